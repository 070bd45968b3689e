"""What every HTTP/2 engine must do: the contract of `Http2Engine`."""

from __future__ import annotations

import pytest
from h2 import events
from h2.settings import SettingCodes

from netio.errors import ConnectionLost, StreamReset
from netio.wire import Http2Engine, Wish
from tests.wire.engines import HTTP2_ENGINES, is_success, request_head
from tests.wire.http2_server import Server

SMALL = {SettingCodes.INITIAL_WINDOW_SIZE: 10}
REFUSED_STREAM = 7
CANCEL = 8


@pytest.fixture(params=HTTP2_ENGINES, ids=lambda kind: kind.__name__)
def engine(request: pytest.FixtureRequest) -> Http2Engine:
    made: Http2Engine = request.param()
    return made


# The connection


def test_the_preface_says_what_the_client_wants(engine: Http2Engine) -> None:
    assert engine.has_output
    server = Server(engine)
    server.hear()
    settings = server.h2.remote_settings
    assert settings.enable_push == 0
    assert settings.initial_window_size == 262_144
    assert settings.max_header_list_size == 65_536
    assert server.h2.outbound_flow_control_window == 33_554_432
    assert not engine.has_output
    assert engine.take() == b""


@pytest.mark.parametrize("kind", HTTP2_ENGINES)
def test_windows_can_be_chosen(kind: type[Http2Engine]) -> None:
    engine = kind(stream_window=70_000, connection_window=80_000)
    server = Server(engine)
    server.hear()
    assert server.h2.remote_settings.initial_window_size == 70_000
    assert server.h2.outbound_flow_control_window == 80_000


def test_settings_and_pings_are_answered(engine: Http2Engine) -> None:
    server = Server(engine)
    server.hear()
    server.h2.ping(b"12345678")
    server.say()
    server.hear()
    assert len(server.of(events.SettingsAcknowledged)) == 1
    assert [event.ping_data for event in server.of(events.PingAckReceived)] == [b"12345678"]


def test_the_server_says_how_many_streams_there_may_be(engine: Http2Engine) -> None:
    assert (engine.max_streams, engine.has_settings) == (1, False)
    server = Server(engine, {SettingCodes.MAX_CONCURRENT_STREAMS: 7})
    server.talk()
    assert engine.max_streams == 7
    server.h2.update_settings({SettingCodes.MAX_CONCURRENT_STREAMS: 0})
    server.say()
    assert engine.max_streams == 0
    server.hear()
    server.h2.update_settings({SettingCodes.MAX_CONCURRENT_STREAMS: 2**32 - 1})
    server.say()
    assert 100 < engine.max_streams < 2**31


def test_no_stream_is_opened_beyond_the_limit(engine: Http2Engine) -> None:
    server = Server(engine, {SettingCodes.MAX_CONCURRENT_STREAMS: 2})
    server.talk()
    first, _ = server.get(), server.get()
    with pytest.raises(ConnectionLost, match="2 requests under way") as caught:
        engine.open(request_head())
    assert caught.value.sent is False
    assert not engine.has_output
    server.answer(first)
    assert engine.open_streams == 1
    server.get()
    assert len(server.of(events.RequestReceived)) == 3


# The response


def test_a_response_is_read(server: Server) -> None:
    stream = server.get()
    server.answer(stream, b"hello", [(b":status", b"404"), (b"x-name", b"caf\xe9"), (b"content-length", b"5")])
    assert stream.head is not None
    assert (stream.head.status, stream.head.reason, stream.head.version) == (404, "", "HTTP/2")
    assert stream.head.fields == (("x-name", "caf\xe9"), ("content-length", "5"))
    assert server.engine.take_chunks(stream) == [b"hello"]
    assert stream.chunks == []
    assert stream.received == 5
    assert is_success(stream)
    assert server.engine.open_streams == 0


def test_each_wish_comes_true_once(server: Server) -> None:
    stream = server.get()
    stream.wish = Wish.HEAD
    assert server.answer(stream, ends=False) == [stream]
    assert stream.wish is Wish.NOTHING
    server.send(stream, b"a")
    assert server.say() == []
    server.engine.take_chunks(stream)
    stream.wish = Wish.PROGRESS
    server.send(stream, b"b")
    assert server.say() == [stream]
    server.send(stream, b"c")
    assert server.say() == []
    stream.wish = Wish.END
    server.send(stream, b"d")
    assert server.say() == []
    server.send(stream, b"e", ends=True)
    assert server.say() == [stream]
    assert stream.wish is Wish.NOTHING
    assert is_success(stream)


@pytest.mark.parametrize("wish", list(Wish))
def test_a_complete_stream_is_returned_whatever_it_wished(server: Server, wish: Wish) -> None:
    stream = server.get()
    stream.wish = wish
    assert server.answer(stream, b"hello") == [stream]
    assert stream.wish is Wish.NOTHING


def test_a_complete_stream_is_not_returned_again(server: Server) -> None:
    stream = server.post()
    assert server.answer(stream) == [stream]
    server.h2.increment_flow_control_window(100, stream.id)
    assert server.say() == []
    server.h2.reset_stream(stream.id, 0)
    assert server.say() == []
    assert is_success(stream)


def test_a_stream_is_returned_once_by_one_feed(engine: Http2Engine) -> None:
    server = Server(engine, SMALL)
    server.talk()
    stream, other = server.post(), server.get()
    engine.send(stream, bytes(20))
    stream.wish = Wish.END
    server.hear()
    server.h2.increment_flow_control_window(100, stream.id)
    server.h2.increment_flow_control_window(100)
    server.h2.send_headers(other.id, [(b":status", b"200")], end_stream=True)
    server.h2.send_headers(stream.id, [(b":status", b"200")], end_stream=True)
    assert [woken.id for woken in server.say()] == [stream.id, other.id]


def test_interim_responses_fulfil_no_wish(server: Server) -> None:
    stream = server.get()
    stream.wish = Wish.HEAD
    server.h2.send_headers(stream.id, [(b":status", b"103"), (b"link", b"</a>")])
    assert server.say() == []
    assert [(head.status, head.fields) for head in stream.informational] == [(103, (("link", "</a>"),))]
    assert stream.head is None
    assert server.answer(stream) == [stream]


def test_a_body_that_nobody_takes_holds_the_server_back(server: Server) -> None:
    stream = server.get()
    server.answer(stream, ends=False)
    assert server.stuff(stream, 2_000_000) == 262_144
    server.talk()
    assert server.stuff(stream, 1) == 0
    assert sum(map(len, server.engine.take_chunks(stream))) == 262_144
    server.talk()
    assert server.stuff(stream, 2_000_000) == 262_144
    assert server.engine.take_chunks(stream) != []
    server.talk()
    assert server.h2.outbound_flow_control_window >= 33_554_432 // 2


def test_padding_is_no_part_of_the_body(server: Server) -> None:
    stream = server.get()
    server.answer(stream, block=[(b":status", b"200"), (b"content-length", b"10")], ends=False)
    server.send(stream, b"hello", padding=0)
    server.send(stream, b"world", padding=255, ends=True)
    server.say()
    assert is_success(stream)
    assert server.engine.take_chunks(stream) == [b"hello", b"world"]


def test_a_stream_that_credits_itself_does_not_wait_for_its_reader(server: Server) -> None:
    stream = server.get()
    stream.credits_itself = True
    server.answer(stream, ends=False)
    for _ in range(5):
        assert server.stuff(stream, 1_000_000) > 0
        server.talk()
    assert server.stuff(stream, 2_000_000) >= 262_144 // 2
    assert sum(map(len, server.engine.take_chunks(stream))) == stream.received


def test_what_came_before_a_stream_credited_itself_is_credited_with_the_rest(server: Server) -> None:
    stream = server.get()
    server.answer(stream, ends=False)
    server.stuff(stream, 262_000)
    server.talk()
    assert server.h2.local_flow_control_window(stream.id) == 144
    stream.credits_itself = True
    server.stuff(stream, 10)
    server.talk()
    assert server.h2.local_flow_control_window(stream.id) == 262_144


def test_trailers_are_kept_apart(server: Server) -> None:
    stream = server.get()
    server.answer(stream, b"hello", [(b":status", b"200"), (b"trailer", b"x-sum")], ends=False)
    server.h2.send_headers(stream.id, [(b"x-sum", b"1"), (b"content-length", b"7")], end_stream=True)
    server.say()
    assert stream.trailers == (("x-sum", "1"),)  # a length comes too late to mean anything
    assert stream.head is not None
    assert stream.head.fields == (("trailer", "x-sum"),)
    assert is_success(stream)


@pytest.mark.parametrize("is_apart", [False, True], ids=["with the head", "in an empty DATA frame"])
@pytest.mark.parametrize(("method", "status"), [("HEAD", b"200"), ("GET", b"304"), ("GET", b"204"), ("HEAD", b"304")])
def test_some_responses_have_no_body(server: Server, method: str, status: bytes, is_apart: bool) -> None:
    stream = server.get(method=method)
    block = [(b":status", status)] if status == b"204" else [(b":status", status), (b"content-length", b"5")]
    server.h2.send_headers(stream.id, block, end_stream=not is_apart)
    if is_apart:
        server.h2.end_stream(stream.id)
    assert server.say() == [stream]
    assert is_success(stream)
    assert server.engine.open_streams == 0
    other = server.get()
    server.answer(other)
    assert is_success(other)


def test_an_early_answer_leaves_the_stream_open_until_the_request_ends(server: Server) -> None:
    engine = server.engine
    stream = server.post(6)
    engine.send(stream, b"abc")
    assert server.answer(stream, b"hello") == [stream]
    assert is_success(stream)
    assert engine.open_streams == 1
    assert engine.send(stream, b"def") == 3
    engine.end(stream)
    assert engine.open_streams == 0
    server.hear()
    assert server.body_heard() == b"abcdef"


def test_an_early_answer_wakes_a_sender_that_waits_for_room(engine: Http2Engine) -> None:
    server = Server(engine, SMALL)
    server.talk()
    stream = server.post()
    engine.send(stream, bytes(20))
    server.hear()
    assert server.answer(stream) == [stream]
    assert not stream.needs_room


@pytest.mark.parametrize("code", [0, CANCEL])
def test_h2_23_a_reset_after_a_complete_answer_only_stops_the_request(engine: Http2Engine, code: int) -> None:
    server = Server(engine, SMALL)
    server.talk()
    stream = server.post()
    engine.send(stream, bytes(20))
    server.hear()
    server.h2.send_headers(stream.id, [(b":status", b"413")], end_stream=True)
    server.h2.reset_stream(stream.id, code)
    assert server.say() == [stream]
    assert is_success(stream)
    assert stream.is_request_ended
    assert not stream.needs_room
    assert engine.open_streams == 0
    assert engine.send(stream, bytes(10)) == 10
    engine.end(stream)
    engine.cancel(stream)
    assert not engine.has_output


def test_a_reset_stream_has_an_error_with_its_code(server: Server) -> None:
    engine = server.engine
    stream, other = server.get(), server.get()
    stream.wish = Wish.HEAD
    server.h2.reset_stream(stream.id, 11)
    assert server.say() == [stream]
    error = stream.error
    assert isinstance(error, StreamReset)
    assert error.code == 11
    assert error.sent is True
    assert "ENHANCE_YOUR_CALM" in str(error)
    assert engine.open_streams == 1
    server.answer(other)
    assert is_success(other)


def test_a_reset_in_the_middle_of_a_body_is_no_success(server: Server) -> None:
    stream = server.get()
    server.answer(stream, b"hello", ends=False)
    server.h2.reset_stream(stream.id, 0)
    server.say()
    assert isinstance(stream.error, StreamReset)
    assert (stream.error.code, stream.error.phase, stream.error.sent) == (0, "body", True)
    assert server.engine.take_chunks(stream) == [b"hello"]


def test_a_refused_stream_was_not_sent(server: Server) -> None:
    stream = server.post()
    server.h2.reset_stream(stream.id, REFUSED_STREAM)
    server.say()
    assert isinstance(stream.error, StreamReset)
    assert (stream.error.code, stream.error.sent) == (REFUSED_STREAM, False)
    assert stream.is_request_ended
    assert server.engine.send(stream, b"to nobody") == 9
    assert not server.engine.has_output


def test_a_refusal_after_a_head_proves_nothing(server: Server) -> None:
    stream = server.get()
    server.answer(stream, ends=False)
    server.h2.reset_stream(stream.id, REFUSED_STREAM)
    server.say()
    assert isinstance(stream.error, StreamReset)
    assert stream.error.sent is True
