"""What a hostile or broken HTTP/2 server does to an engine: the rows of HAZARDS section C that belong to wire."""

from __future__ import annotations

import pytest
from h2 import events
from h2.settings import SettingCodes
from hyperframe.frame import (
    AltSvcFrame,
    DataFrame,
    Frame,
    GoAwayFrame,
    PushPromiseFrame,
    SettingsFrame,
    WindowUpdateFrame,
)

from netio.errors import ConnectionLost, ProtocolError, StreamReset
from netio.wire import MAX_HEAD_FIELDS, MAX_INFORMATIONAL, Http2Engine, ReferenceHttp2, Stream, Wish
from tests.wire.engines import HTTP2_ENGINES, is_success, request_head
from tests.wire.http2_server import OK, Block, Server

PROTOCOL_ERROR, FLOW_CONTROL_ERROR, FRAME_SIZE_ERROR, REFUSED_STREAM, CANCEL = 1, 3, 6, 7, 8
LAST_ID = 2**31 - 1


@pytest.fixture(params=HTTP2_ENGINES, ids=lambda kind: kind.__name__)
def engine(request: pytest.FixtureRequest) -> Http2Engine:
    made: Http2Engine = request.param()
    return made


@pytest.fixture
def server(engine: Http2Engine) -> Server:
    """A server that has exchanged its first SETTINGS with the engine."""
    server = Server(engine)
    server.talk()
    return server


def refused(server: Server, *frames: Frame | bytes) -> tuple[ProtocolError, int]:
    """Say what must end the connection; return the error, and the code of the GOAWAY that answers it."""
    with pytest.raises(ProtocolError) as caught:
        server.say(*frames)
    server.engine.fail(caught.value)
    output = server.engine.take()
    assert output[-14:-13] == b"\x07", "the last frame is no GOAWAY"
    assert server.engine.max_streams == 0
    return caught.value, int.from_bytes(output[-4:], "big")


def resets(server: Server) -> dict[int, int]:
    """Return which streams the engine has reset, and by which code."""
    server.talk()
    return {event.stream_id: int(event.error_code or 0) for event in server.of(events.StreamReset)}


def check_that_others_live(server: Server, other: Stream) -> None:
    """A stream that was open and one that is new must still work, and then no stream may be left open."""
    for stream in (other, server.get(fields=(("X-New", "1"),))):
        server.answer(stream, b"hello")
        assert is_success(stream)
    assert server.engine.open_streams == 0


def test_h2_05_a_giant_encoder_table_is_declined(engine: Http2Engine) -> None:
    server = Server(engine, {SettingCodes.HEADER_TABLE_SIZE: 1_000_000_000})
    server.h2.decoder.max_allowed_table_size = 1_000_000_000
    server.talk()
    for _ in range(3):
        check_that_others_live(server, server.get(fields=(("X-Large", "x" * 3000),)))
    assert server.h2.decoder.header_table_size == 4096


def test_h2_09_a_frame_size_of_zero_is_refused(server: Server) -> None:
    error, code = refused(server, SettingsFrame(0, settings={SettingsFrame.MAX_FRAME_SIZE: 0}))
    assert code == PROTOCOL_ERROR
    assert error.__cause__ is not None


@pytest.mark.parametrize("parent", ["open", "closed", "zero", "leaving"])
def test_h2_12_any_push_ends_the_connection(server: Server, parent: str) -> None:
    stream = server.get()
    frames: list[Frame | bytes] = []
    if parent == "closed":
        server.answer(stream)
    if parent == "leaving":
        frames.append(GoAwayFrame(0, last_stream_id=LAST_ID))
    block = server.h2.encoder.encode([(b":method", b"GET"), (b":path", b"/")])
    push = PushPromiseFrame(stream.id, promised_stream_id=2, data=block, flags=["END_HEADERS"]).serialize()
    if parent == "zero":
        push = push[:5] + bytes(4) + push[9:]
    _, code = refused(server, *frames, push)
    assert code == PROTOCOL_ERROR
    if parent != "closed":
        assert type(stream.error) is ProtocolError


MALFORMED_HEADS: dict[str, Block] = {
    "no status": [(b"x", b"y")],
    "two statuses": [(b":status", b"200"), (b":status", b"200")],
    "late status": [(b"x", b"y"), (b":status", b"200")],
    "short status": [(b":status", b"20")],
    "long status": [(b":status", b"2000")],
    "low status": [(b":status", b"099")],
    "high status": [(b":status", b"999")],
    "no number": [(b":status", b"2x0")],
    "sign": [(b":status", b"+20")],
    "switching": [(b":status", b"101")],
    "request field": [*OK, (b":path", b"/")],
    "unknown field": [*OK, (b":custom", b"1")],
    "upper case": [*OK, (b"X-Name", b"1")],
    "space in name": [*OK, (b"x name", b"1")],
    "line in name": [*OK, (b"x\r\nname", b"1")],
    "colon in name": [*OK, (b"x:name", b"1")],
    "empty name": [*OK, (b"", b"1")],
    "non-ASCII name": [*OK, (b"x\xe9", b"1")],
    "CR": [*OK, (b"x", b"a\rb")],
    "LF": [*OK, (b"x", b"a\nb")],
    "NUL": [*OK, (b"x", b"a\x00b")],
    "space before": [*OK, (b"x", b" a")],
    "tab after": [*OK, (b"x", b"a\t")],
    "connection": [*OK, (b"connection", b"close")],
    "keep-alive": [*OK, (b"keep-alive", b"timeout=5")],
    "transfer-encoding": [*OK, (b"transfer-encoding", b"chunked")],
    "upgrade": [*OK, (b"upgrade", b"h2c")],
    "too many fields": [*OK, *[(b"x", b"y")] * (MAX_HEAD_FIELDS + 1)],
    "long length": [*OK, (b"content-length", b"1" * 20)],
}


@pytest.mark.parametrize(
    ("name", "ends"),
    # A 1xx head cannot end its stream: that is another fault.
    [(name, ends) for name in MALFORMED_HEADS for ends in (False, True) if not (name == "switching" and ends)],
)
def test_h2_13_a_malformed_head_costs_its_stream_only(server: Server, name: str, ends: bool) -> None:
    stream, other = server.get(), server.get()
    stream.wish = Wish.HEAD
    assert server.say(server.block(stream, MALFORMED_HEADS[name], ends=ends)) == [stream]
    assert type(stream.error) is ProtocolError
    assert stream.error.sent is True
    assert stream.head is None
    check_that_others_live(server, other)


def test_h2_13_a_stream_with_a_malformed_head_is_reset(server: Server) -> None:
    stream = server.get()
    server.say(server.block(stream, [(b"x", b"y")]))
    assert resets(server) == {stream.id: PROTOCOL_ERROR}


@pytest.mark.parametrize("block", [[(b":status", b"200")], [(b"X-Sum", b"1")], [(b"x", b"a\nb")]])
def test_h2_13_malformed_trailers_cost_their_stream_only(server: Server, block: Block) -> None:
    stream, other = server.get(), server.get()
    server.answer(stream, b"hello", ends=False)
    server.say(server.block(stream, block, ends=True))
    assert type(stream.error) is ProtocolError
    assert stream.trailers == ()
    check_that_others_live(server, other)


def test_h1_11_informational_responses_are_limited_over_http2_too(server: Server) -> None:
    stream, other = server.get(), server.get()
    server.say(*[server.block(stream, [(b":status", b"103")]) for _ in range(MAX_INFORMATIONAL)])
    assert len(stream.informational) == MAX_INFORMATIONAL
    assert not stream.is_complete
    server.say(server.block(stream, [(b":status", b"103")]))
    assert isinstance(stream.error, ProtocolError)
    assert "MAX_INFORMATIONAL" in str(stream.error)
    check_that_others_live(server, other)


WRONG_BODIES = {
    "too short": (b"10", [b"hello"], True),
    "nothing": (b"10", [], True),
    "too long": (b"3", [b"hello"], False),
    "too long in the end": (b"8", [b"hello", b"world"], True),
}


@pytest.mark.parametrize("name", list(WRONG_BODIES))
def test_h2_14_a_body_that_is_not_as_long_as_announced_costs_its_stream_only(server: Server, name: str) -> None:
    length, pieces, ends = WRONG_BODIES[name]
    stream, other = server.get(), server.get()
    stream.wish = Wish.END
    frames: list[Frame | bytes] = [server.block(stream, [*OK, (b"content-length", length)], ends=ends and not pieces)]
    for number, piece in enumerate(pieces, 1):
        is_last = ends and number == len(pieces)
        frames.append(DataFrame(stream.id, data=piece, flags=["END_STREAM"] if is_last else []))
    assert server.say(*frames) == [stream]
    assert type(stream.error) is ProtocolError
    assert length.decode() in str(stream.error)
    check_that_others_live(server, other)


@pytest.mark.parametrize(("method", "status"), [("HEAD", b"200"), ("GET", b"204"), ("GET", b"304")])
def test_h2_14_a_body_where_none_may_be_costs_its_stream_only(server: Server, method: str, status: bytes) -> None:
    stream, other = server.get(method=method), server.get()
    server.say(server.block(stream, [(b":status", status)]), DataFrame(stream.id, data=b"x"))
    assert type(stream.error) is ProtocolError
    check_that_others_live(server, other)


def test_h2_14_a_body_before_the_head_costs_its_stream_only(server: Server) -> None:
    stream, other = server.get(), server.get()
    server.say(DataFrame(stream.id, data=b"hello"))
    assert type(stream.error) is ProtocolError
    assert resets(server)[stream.id] == PROTOCOL_ERROR
    check_that_others_live(server, other)


def test_h2_14_a_second_head_that_is_no_trailer_is_refused(server: Server) -> None:
    stream = server.get()
    server.answer(stream, b"hello", ends=False)
    stream.wish = Wish.END
    with pytest.raises(ProtocolError) as caught:
        if server.say(server.block(stream, OK)) == [stream]:
            raise stream.error or AssertionError("the stream has no error")
    server.engine.fail(caught.value)
    assert type(stream.error) is ProtocolError


@pytest.mark.parametrize("kind", ["HEADERS", "DATA", "WINDOW_UPDATE"])
def test_h2_15_a_server_cannot_open_a_stream(server: Server, kind: str) -> None:
    even = Stream(2)
    frames = {
        "HEADERS": server.block(even, OK),
        "DATA": DataFrame(2, data=b"x"),
        "WINDOW_UPDATE": WindowUpdateFrame(2, window_increment=1),
    }
    _, code = refused(server, frames[kind])
    assert code == PROTOCOL_ERROR


def test_h2_15_an_answer_to_a_request_that_was_not_made_is_refused(server: Server) -> None:
    _, code = refused(server, server.block(Stream(7), OK))
    assert code == PROTOCOL_ERROR


def test_h2_15_a_frame_too_long_is_refused_by_its_header(server: Server) -> None:
    error, code = refused(server, b"\x00\x40\x01\x00\x00\x00\x00\x00\x01")
    assert code == FRAME_SIZE_ERROR
    assert "16385 bytes" in str(error)


@pytest.mark.parametrize("scope", ["stream", "connection"])
def test_h2_16_more_than_the_window_is_refused(scope: str) -> None:
    engine = ReferenceHttp2(stream_window=70_000 if scope == "stream" else 1_000_000, connection_window=80_000)
    server = Server(engine)
    server.talk()
    stream = server.get()
    server.answer(stream, ends=False)
    full = DataFrame(stream.id, data=bytes(16_000))
    frames = 4 if scope == "stream" else 5
    server.say(*[full] * frames)
    assert stream.received == frames * 16_000
    _, code = refused(server, full)
    assert code == FLOW_CONTROL_ERROR
    assert type(stream.error) is ProtocolError


# Credit


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


def drop_what_is_complete(server: Server) -> None:
    stream = server.get()
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
        drop_what_is_complete,
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


@pytest.mark.parametrize(
    "data",
    [
        b"HTTP/1.1 400 Bad Request\r\n\r\n",
        b"SSH-2.0-OpenSSH_9.2\r\n",
        b"\x15\x03\x01\x00\x02\x02\x46\x00\x00",
        DataFrame(1, data=b"x").serialize(),
        SettingsFrame(0, flags=["ACK"]).serialize(),
    ],
)
def test_h2_26_what_does_not_begin_with_settings_is_not_http2(engine: Http2Engine, data: bytes) -> None:
    engine.take()
    with pytest.raises(ProtocolError, match="does not speak HTTP/2") as caught:
        engine.feed(data)
    assert repr(data[:9])[2:-1] in str(caught.value)
    assert engine.has_output


def test_h2_30_what_is_unknown_is_ignored(server: Server) -> None:
    other = server.get()
    unknown = b"\x00\x00\x06\xee\xff\x00\x00\x00\x00grease"
    origin = b"\x00\x00\x06\x0c\x00\x00\x00\x00\x01origin"
    settings = SettingsFrame(0, settings={0x0A0A: 5})
    reserved = bytearray(WindowUpdateFrame(0, window_increment=1).serialize())
    reserved[5] |= 0x80
    alternative = AltSvcFrame(0, origin=b"example.com", field=b'h2=":8000"')
    assert server.say(unknown, origin, settings, bytes(reserved), alternative) == []
    check_that_others_live(server, other)
