"""What a hostile or broken HTTP/2 server does to an engine: the rows of HAZARDS section C that belong to wire."""

from __future__ import annotations

import pytest
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

from netio.errors import ProtocolError
from netio.wire import MAX_HEAD_FIELDS, MAX_INFORMATIONAL, Http2Engine, Stream, Wish
from tests.wire.engines import HTTP2_ENGINES
from tests.wire.http2_server import OK, Block, Server, check_that_others_live, refused, resets

PROTOCOL_ERROR, FLOW_CONTROL_ERROR, FRAME_SIZE_ERROR, REFUSED_STREAM, CANCEL = 1, 3, 6, 7, 8
LAST_ID = 2**31 - 1


@pytest.fixture(params=HTTP2_ENGINES, ids=lambda kind: kind.__name__)
def engine(request: pytest.FixtureRequest) -> Http2Engine:
    made: Http2Engine = request.param()
    return made


def test_h2_05_a_giant_encoder_table_is_declined(engine: Http2Engine) -> None:
    server = Server(engine, {SettingCodes.HEADER_TABLE_SIZE: 1_000_000_000})
    server.h2.decoder.max_allowed_table_size = 1_000_000_000
    server.talk()
    for _ in range(3):
        check_that_others_live(server, server.get(fields=(("X-Large", "x" * 3000),)))
    assert server.h2.decoder.header_table_size == 4096


def test_h2_09_a_frame_size_of_zero_is_refused(server: Server) -> None:
    _, code = refused(server, SettingsFrame(0, settings={SettingsFrame.MAX_FRAME_SIZE: 0}))
    assert code == PROTOCOL_ERROR


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


def test_h2_14_a_second_head_that_is_no_trailer_is_no_success(server: Server) -> None:
    """A stream error is enough (RFC 9113 section 8.1.1), the end of the connection is allowed."""
    stream = server.get()
    server.answer(stream, b"hello", ends=False)
    try:
        server.say(server.block(stream, OK))
    except ProtocolError as error:
        server.engine.fail(error)
    assert type(stream.error) is ProtocolError
    assert server.engine.open_streams == 0


@pytest.mark.parametrize("kind", ["HEADERS", "DATA", "WINDOW_UPDATE"])
def test_h2_15_a_server_cannot_open_a_stream(server: Server, kind: str) -> None:
    even = Stream(2)
    frames: dict[str, Frame] = {
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


@pytest.mark.parametrize("kind", HTTP2_ENGINES, ids=lambda kind: kind.__name__)
@pytest.mark.parametrize("scope", ["stream", "connection"])
def test_h2_16_more_than_the_window_is_refused(kind: type[Http2Engine], scope: str) -> None:
    stream_window = 70_000 if scope == "stream" else 1_000_000
    server = Server(kind(stream_window=stream_window, connection_window=80_000))
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
