"""How HTTP/2 streams and connections end: cancelled, reset, left by a GOAWAY; and what becomes of their credit."""

from __future__ import annotations

import pytest
from h2.settings import SettingCodes
from hyperframe.frame import DataFrame, GoAwayFrame

from netio.errors import ConnectionLost, ProtocolError, StreamReset
from netio.wire import Http2Engine, ReferenceHttp2, Wish
from tests.wire.engines import HTTP2_ENGINES, is_success, request_head
from tests.wire.http2_server import OK, Server, check_that_others_live, refused, resets

REFUSED_STREAM, CANCEL = 7, 8
LAST_ID = 2**31 - 1


@pytest.fixture(params=HTTP2_ENGINES, ids=lambda kind: kind.__name__)
def engine(request: pytest.FixtureRequest) -> Http2Engine:
    made: Http2Engine = request.param()
    return made


def narrow(kind: type[Http2Engine]) -> Server:
    """Return a server whose client lets it send 100,000 bytes ahead, 80,000 of them for one stream."""
    server = Server(kind(stream_window=80_000, connection_window=100_000))  # type: ignore[call-arg]
    server.talk()
    return server


def cancel_while_more_comes(server: Server) -> None:
    stream = server.get()
    server.answer(stream, ends=False)
    server.stuff(stream, 20_000)
    server.engine.cancel(stream)
    assert server.stuff(stream, 20_000) > 0  # the server has not heard of it yet


def reset_by_the_server(server: Server) -> None:
    stream = server.get()
    server.answer(stream, ends=False)
    server.stuff(stream, 30_000)
    server.h2.reset_stream(stream.id, CANCEL)
    server.say()


def reject_the_body(server: Server) -> None:
    stream = server.get()
    server.answer(stream, block=[*OK, (b"content-length", b"100")], ends=False)
    server.stuff(stream, 30_000)


def reject_the_head(server: Server) -> None:
    stream = server.get()
    server.h2.send_headers(stream.id, [(b":status", b"200"), (b"Upper", b"case")])
    server.stuff(stream, 30_000)


def cancel_an_upload_that_was_answered(server: Server) -> None:
    stream = server.post()
    server.answer(stream, b"x" * 30_000)
    assert is_success(stream)
    server.engine.cancel(stream)


def take_what_is_complete(server: Server) -> None:
    stream = server.get()
    server.answer(stream, b"x" * 30_000)
    assert sum(map(len, server.engine.take_chunks(stream))) == 30_000


def pad(server: Server) -> None:
    stream = server.get()
    server.answer(stream, ends=False)
    for _ in range(100):
        server.send(stream, b"x", padding=255)
    server.h2.end_stream(stream.id)
    server.say()
    assert is_success(stream)
    assert stream.received == 100
    server.engine.take_chunks(stream)


@pytest.mark.parametrize("kind", HTTP2_ENGINES, ids=lambda kind: kind.__name__)
@pytest.mark.parametrize(
    "scenario",
    [
        cancel_while_more_comes,
        reset_by_the_server,
        reject_the_body,
        reject_the_head,
        cancel_an_upload_that_was_answered,
        take_what_is_complete,
        pad,
    ],
    ids=lambda scenario: scenario.__name__,
)
def test_h2_17_no_end_of_a_download_shrinks_the_connection_window(kind: type[Http2Engine], scenario: object) -> None:
    server = narrow(kind)
    assert callable(scenario)
    for _ in range(200):  # several million bytes through a window of 100,000
        scenario(server)
        server.talk()
        assert server.h2.outbound_flow_control_window > 50_000
    assert server.engine.open_streams == server.h2.open_inbound_streams == 0
    check_that_others_live(server, server.get())


@pytest.mark.parametrize("kind", HTTP2_ENGINES, ids=lambda kind: kind.__name__)
def test_h2_17_streams_given_up_by_a_goaway_give_their_credit_back(kind: type[Http2Engine]) -> None:
    server = narrow(kind)
    kept, *given_up = [server.get() for _ in range(4)]
    for stream in given_up:
        server.answer(stream, ends=False)
        server.stuff(stream, 20_000)
    server.say(GoAwayFrame(0, last_stream_id=kept.id))
    for stream in given_up:
        assert stream.error is not None
        server.stuff(stream, 10_000)
    server.talk()
    assert server.h2.outbound_flow_control_window > 50_000
    server.answer(kept, b"hello")
    assert is_success(kept)


def test_h2_28_cancelled_stream_is_reset_and_gives_its_credit_back() -> None:
    for kind in HTTP2_ENGINES:
        server = narrow(kind)
        stream, other = server.get(), server.get()
        server.answer(stream, ends=False)
        assert server.stuff(stream, 60_000) == 60_000
        server.engine.cancel(stream)
        assert resets(server) == {stream.id: CANCEL}
        assert server.h2.outbound_flow_control_window == 100_000
        assert server.engine.open_streams == server.h2.open_inbound_streams == 1  # the other one
        check_that_others_live(server, other)


def test_h2_28_an_unanswered_request_is_reset_when_cancelled(server: Server) -> None:
    stream = server.post(100)
    server.engine.send(stream, b"half")
    server.engine.cancel(stream)
    assert resets(server) == {stream.id: CANCEL}
    assert server.engine.send(stream, b"of it") == 5
    server.engine.end(stream)
    assert not server.engine.has_output


def test_h2_28_late_frames_of_a_cancelled_stream_are_dropped_in_silence(server: Server) -> None:
    stream, other = server.get(), server.get()
    server.engine.cancel(stream)
    server.engine.take()
    server.h2.send_headers(stream.id, [(b":status", b"103")])
    server.h2.send_headers(stream.id, [*OK, (b"x-new", b"in the table")])
    server.h2.send_data(stream.id, b"hello")
    server.h2.send_headers(stream.id, [(b"x-sum", b"1")], end_stream=True)
    assert server.say() == []
    assert not server.engine.has_output
    assert (stream.head, stream.chunks, stream.trailers) == (None, [], ())
    server.answer(other, block=[*OK, (b"x-new", b"in the table")])
    assert other.head is not None
    assert other.head.fields == (("x-new", "in the table"),)


# Leaving


def test_h2_20_streams_after_the_last_one_of_a_goaway_were_not_sent(server: Server) -> None:
    engine = server.engine
    kept, first, second = server.get(), server.post(), server.get()
    kept.wish = first.wish = Wish.END
    second.needs_room = True
    woken = server.say(GoAwayFrame(0, last_stream_id=kept.id, additional_data=b"max\nage"))
    assert [stream.id for stream in woken] == [first.id, second.id]
    for stream in (first, second):
        assert isinstance(stream.error, ConnectionLost)
        assert stream.error.sent is False
        assert stream.is_request_ended
        assert "max\\nage" in str(stream.error)
    assert first.error is not second.error
    assert engine.max_streams == 0
    assert engine.open_streams == 1
    with pytest.raises(ConnectionLost) as caught:
        engine.open(request_head())
    assert caught.value.sent is False
    assert engine.send(first, b"to nobody") == 9
    server.answer(kept, b"hello")
    assert is_success(kept)
    assert engine.open_streams == 0


def test_h2_20_a_graceful_goaway_in_two_steps_loses_nothing(server: Server) -> None:
    first, second = server.get(), server.get()
    assert server.say(GoAwayFrame(0, last_stream_id=LAST_ID)) == []
    assert server.engine.max_streams == 0
    assert server.engine.open_streams == 2
    server.answer(first, b"hello")
    server.say(GoAwayFrame(0, last_stream_id=first.id))
    assert is_success(first)
    assert isinstance(second.error, ConnectionLost)
    assert second.error.sent is False


@pytest.mark.parametrize("last_ids", [(1, 1), (1, 3), (3, 1), (LAST_ID, LAST_ID)])
def test_h2_20_repeated_goaways_are_taken(server: Server, last_ids: tuple[int, int]) -> None:
    first, second = server.get(), server.get()
    for last_id in last_ids:
        server.say(GoAwayFrame(0, last_stream_id=last_id, error_code=0))
    assert not first.is_complete
    assert second.is_complete == (min(last_ids) < second.id)
    server.answer(first, b"hello")
    assert is_success(first)


def test_h2_20_a_goaway_with_an_error_names_it(server: Server) -> None:
    stream = server.get()
    server.say(GoAwayFrame(0, last_stream_id=0, error_code=11))
    assert isinstance(stream.error, ConnectionLost)
    assert "ENHANCE_YOUR_CALM" in str(stream.error)


def test_h2_20_an_unfinished_upload_goes_on_after_a_goaway(server: Server) -> None:
    stream = server.post(10)
    server.engine.send(stream, b"hello")
    server.say(GoAwayFrame(0, last_stream_id=stream.id))
    server.engine.send(stream, b"world")
    server.engine.end(stream)
    server.hear()
    assert server.body_heard() == b"helloworld"


def test_h2_20_a_goaway_that_is_none_is_refused(server: Server) -> None:
    refused(server, b"\x00\x00\x04\x07\x00\x00\x00\x00\x00\x00\x00\x00\x00")


def test_h2_22_reset_and_goaway_in_one_read_leak_nothing() -> None:
    for kind in HTTP2_ENGINES:
        engine = kind()
        server = Server(engine, {SettingCodes.MAX_CONCURRENT_STREAMS: 1})
        server.talk()
        stream = server.get()
        stream.wish = Wish.HEAD
        server.h2.reset_stream(stream.id, REFUSED_STREAM)
        assert server.say(GoAwayFrame(0, last_stream_id=LAST_ID)) == [stream]
        assert isinstance(stream.error, StreamReset)
        assert stream.error.sent is False
        assert engine.open_streams == 0


def test_h2_24_what_comes_after_a_fault_is_ignored(server: Server) -> None:
    engine = server.engine
    stream = server.get()
    refused(server, DataFrame(2, data=b"x"))
    for data in (b"\xff" * 100, GoAwayFrame(0, last_stream_id=0).serialize(), DataFrame(1, data=b"x").serialize()):
        assert engine.feed(data) == []
    assert not engine.has_output
    assert type(stream.error) is ProtocolError


def test_h2_24_a_fault_says_goodbye_once(server: Server) -> None:
    server.get()
    with pytest.raises(ProtocolError):
        server.say(DataFrame(2, data=b"x"))
    assert server.engine.take().count(b"\x00\x00\x08\x07\x00\x00\x00\x00\x00") == 1
    server.engine.close()
    assert not server.engine.has_output


def test_h2_25_a_connection_without_stream_ids_is_leaving() -> None:
    engine = ReferenceHttp2()
    engine._h2.highest_outbound_stream_id = LAST_ID - 2
    assert engine.max_streams == 100
    assert engine.open(request_head()).id == LAST_ID
    assert engine.max_streams == 0
    with pytest.raises(ConnectionLost) as caught:
        engine.open(request_head())
    assert caught.value.sent is False
