"""Frames in the wrong place, of the wrong size or with the wrong content: what h2spec asks of a client, and more."""

from __future__ import annotations

import pytest
from h2 import events
from h2.settings import SettingCodes
from hyperframe.frame import DataFrame, SettingsFrame, WindowUpdateFrame

from netio.errors import ProtocolError
from netio.wire import ErrorCode, Http2Engine, Stream
from tests.wire.engines import HTTP2_ENGINES, is_success, request_head
from tests.wire.http2_server import OK, Server, refused, resets

PROTOCOL, FLOW, CLOSED, SIZE, COMPRESSION = (
    ErrorCode.PROTOCOL_ERROR,
    ErrorCode.FLOW_CONTROL_ERROR,
    ErrorCode.STREAM_CLOSED,
    ErrorCode.FRAME_SIZE_ERROR,
    ErrorCode.COMPRESSION_ERROR,
)
LAST_ID = 2**31 - 1
DATA, HEADERS, PRIORITY, RST_STREAM, SETTINGS, PUSH_PROMISE, PING, GOAWAY, WINDOW_UPDATE, CONTINUATION = range(10)
STATUS = b"\x88"  # :status 200


@pytest.fixture(params=HTTP2_ENGINES, ids=lambda kind: kind.__name__)
def engine(request: pytest.FixtureRequest) -> Http2Engine:
    made: Http2Engine = request.param()
    return made


def frame(kind: int, flags: int, stream_id: int, payload: bytes = b"") -> bytes:
    return len(payload).to_bytes(3, "big") + bytes([kind, flags]) + stream_id.to_bytes(4, "big") + payload


def number(value: int) -> bytes:
    return value.to_bytes(4, "big")


def setting(which: int, value: int) -> bytes:
    return which.to_bytes(2, "big") + number(value)


# Streams: 1 was answered, 3 was answered but for its end, 5 waits for its head, 7 was never opened.
ENDED, OPEN, WAITING, IDLE = 1, 3, 5, 7

# What ends the connection, and which of the codes that RFC 9113 allows.
FAULTS: dict[str, tuple[bytes, set[ErrorCode]]] = {
    "DATA too large": (frame(DATA, 0, OPEN, bytes(16_385)), {SIZE}),
    "HEADERS too large": (frame(HEADERS, 4, WAITING, bytes(16_385)), {SIZE}),
    "SETTINGS too large": (frame(SETTINGS, 0, 0, bytes(16_386)), {SIZE}),
    "unknown too large": (frame(0xEE, 0, 0, bytes(16_385)), {SIZE}),
    "no HPACK": (frame(HEADERS, 4, WAITING, b"\xff\xff\xff\xff\xff\xff\xff\xff"), {COMPRESSION, PROTOCOL}),
    "no HPACK for an ended stream": (frame(HEADERS, 4, ENDED, b"\x80"), {COMPRESSION, PROTOCOL, CLOSED}),
    "PRIORITY in a block": (
        frame(HEADERS, 0, WAITING, STATUS) + frame(PRIORITY, 0, WAITING, bytes(5)) + frame(CONTINUATION, 4, WAITING),
        {PROTOCOL},
    ),
    "unknown in a block": (frame(HEADERS, 0, WAITING, STATUS) + frame(0xEE, 0, 0), {PROTOCOL}),
    "DATA in a block": (frame(HEADERS, 0, WAITING, STATUS) + frame(DATA, 0, OPEN, b"x"), {PROTOCOL}),
    "padded DATA in a block": (frame(HEADERS, 0, WAITING, STATUS) + frame(DATA, 8, OPEN, b"\0x"), {PROTOCOL}),
    "HEADERS in a block": (frame(HEADERS, 0, WAITING, STATUS) + frame(HEADERS, 4, OPEN, STATUS), {PROTOCOL}),
    "HEADERS in its own block": (frame(HEADERS, 0, WAITING, STATUS) + frame(HEADERS, 4, WAITING, STATUS), {PROTOCOL}),
    "CONTINUATION of another": (frame(HEADERS, 0, WAITING, STATUS) + frame(CONTINUATION, 4, OPEN), {PROTOCOL}),
    "CONTINUATION of nothing": (frame(CONTINUATION, 4, WAITING, STATUS), {PROTOCOL}),
    "CONTINUATION after the end": (
        frame(HEADERS, 4, WAITING, STATUS) + frame(CONTINUATION, 4, WAITING, STATUS),
        {PROTOCOL},
    ),
    "CONTINUATION of the connection": (frame(CONTINUATION, 4, 0, STATUS), {PROTOCOL}),
    "DATA for idle": (frame(DATA, 0, IDLE, b"x"), {PROTOCOL}),
    "padded DATA for idle": (frame(DATA, 8, IDLE, b"\0x"), {PROTOCOL}),
    "HEADERS for idle": (frame(HEADERS, 4, IDLE, STATUS), {PROTOCOL}),
    "open block for idle": (frame(HEADERS, 0, IDLE, STATUS) + frame(CONTINUATION, 4, IDLE), {PROTOCOL}),
    "RST_STREAM for idle": (frame(RST_STREAM, 0, IDLE, number(8)), {PROTOCOL}),
    "WINDOW_UPDATE for idle": (frame(WINDOW_UPDATE, 0, IDLE, number(1)), {PROTOCOL}),
    "DATA for an even stream": (frame(DATA, 0, 2, b"x"), {PROTOCOL}),
    "HEADERS for an even stream": (frame(HEADERS, 4, 2, STATUS), {PROTOCOL}),
    "RST_STREAM for an even stream": (frame(RST_STREAM, 0, 2, number(8)), {PROTOCOL}),
    "WINDOW_UPDATE for an even stream": (frame(WINDOW_UPDATE, 0, 2, number(1)), {PROTOCOL}),
    "HEADERS after the end": (frame(HEADERS, 4, ENDED, STATUS), {CLOSED}),
    "trailers after the end": (frame(HEADERS, 5, ENDED, b"\x00\x01a\x01b"), {CLOSED}),
    "DATA of the connection": (frame(DATA, 0, 0, b"x"), {PROTOCOL}),
    "HEADERS of the connection": (frame(HEADERS, 4, 0, STATUS), {PROTOCOL}),
    "open block of the connection": (frame(HEADERS, 0, 0, STATUS), {PROTOCOL}),
    "PRIORITY of the connection": (frame(PRIORITY, 0, 0, bytes(5)), {PROTOCOL}),
    "RST_STREAM of the connection": (frame(RST_STREAM, 0, 0, number(8)), {PROTOCOL}),
    "SETTINGS of a stream": (frame(SETTINGS, 0, OPEN), {PROTOCOL}),
    "PING of a stream": (frame(PING, 0, OPEN, bytes(8)), {PROTOCOL}),
    "GOAWAY of a stream": (frame(GOAWAY, 0, OPEN, bytes(8)), {PROTOCOL}),
    "DATA of padding only": (frame(DATA, 8, OPEN, b"\x05xxxxx"[:5]), {PROTOCOL}),
    "DATA of more padding than payload": (frame(DATA, 8, OPEN, b"\xffx"), {PROTOCOL}),
    "padded DATA of nothing": (frame(DATA, 8, OPEN), {PROTOCOL, SIZE}),
    "HEADERS of more padding than payload": (frame(HEADERS, 12, WAITING, b"\xff" + STATUS), {PROTOCOL}),
    "padded HEADERS of nothing": (frame(HEADERS, 12, WAITING), {PROTOCOL, SIZE}),
    "HEADERS without room for their priority": (frame(HEADERS, 0x24, WAITING, b"\0\0\0\0"), {PROTOCOL, SIZE}),
    "short PRIORITY": (frame(PRIORITY, 0, WAITING, bytes(4)), {SIZE}),
    "long RST_STREAM": (frame(RST_STREAM, 0, OPEN, bytes(5)), {SIZE}),
    "short RST_STREAM": (frame(RST_STREAM, 0, OPEN, bytes(3)), {SIZE}),
    "SETTINGS in pieces": (frame(SETTINGS, 0, 0, bytes(5)), {SIZE}),
    "SETTINGS acknowledged with a setting": (frame(SETTINGS, 1, 0, setting(3, 1)), {SIZE}),
    "short PING": (frame(PING, 0, 0, bytes(7)), {SIZE}),
    "long PING": (frame(PING, 0, 0, bytes(9)), {SIZE}),
    "short GOAWAY": (frame(GOAWAY, 0, 0, bytes(7)), {SIZE, PROTOCOL}),
    "short WINDOW_UPDATE": (frame(WINDOW_UPDATE, 0, 0, bytes(3)), {SIZE}),
    "WINDOW_UPDATE by nothing": (frame(WINDOW_UPDATE, 0, 0, number(0)), {PROTOCOL}),
    "WINDOW_UPDATE of a stream by nothing": (frame(WINDOW_UPDATE, 0, OPEN, number(0)), {PROTOCOL}),
    "connection window too large": (frame(WINDOW_UPDATE, 0, 0, number(LAST_ID)), {FLOW}),
    "initial window too large": (frame(SETTINGS, 0, 0, setting(4, 2**31)), {FLOW}),
    "initial window and an update too large": (
        frame(WINDOW_UPDATE, 0, WAITING, number(LAST_ID - 65_535)) + frame(SETTINGS, 0, 0, setting(4, 65_536)),
        {FLOW},
    ),
    "PUSH_PROMISE": (frame(PUSH_PROMISE, 4, OPEN, number(2) + b"\x82"), {PROTOCOL}),
}


def three_streams(server: Server) -> tuple[Stream, Stream, Stream]:
    ended, begun, waiting = server.get(), server.get(), server.post()
    server.answer(ended)
    server.answer(begun, ends=False)
    assert (ended.id, begun.id, waiting.id) == (ENDED, OPEN, WAITING)
    return ended, begun, waiting


@pytest.mark.parametrize("name", list(FAULTS))
def test_h2_15_faults_of_the_connection_end_it(server: Server, name: str) -> None:
    data, codes = FAULTS[name]
    ended, begun, waiting = three_streams(server)
    _, code = refused(server, data)
    assert code in codes
    assert is_success(ended)
    for stream in (begun, waiting):
        assert type(stream.error) is ProtocolError
    assert server.engine.open_streams == 0


# What costs its stream only.
STREAM_FAULTS: dict[str, tuple[int, bytes, set[ErrorCode]]] = {
    "window too large": (WAITING, frame(WINDOW_UPDATE, 0, WAITING, number(LAST_ID)), {FLOW}),
    "window too large after a head": (OPEN, frame(WINDOW_UPDATE, 0, OPEN, number(LAST_ID)), {FLOW}),
    "DATA before the head": (WAITING, frame(DATA, 0, WAITING, b"x"), {PROTOCOL}),
    "padded DATA before the head": (WAITING, frame(DATA, 8, WAITING, b"\x01xx"), {PROTOCOL}),
    "empty DATA before the head": (WAITING, frame(DATA, 0, WAITING), {PROTOCOL}),
    "the end before the head": (WAITING, frame(DATA, 1, WAITING), {PROTOCOL}),
}


@pytest.mark.parametrize("name", list(STREAM_FAULTS))
def test_h2_15_faults_of_a_stream_cost_it_only(server: Server, name: str) -> None:
    stream_id, data, codes = STREAM_FAULTS[name]
    _, begun, waiting = three_streams(server)
    hurt, other = (begun, waiting) if stream_id == OPEN else (waiting, begun)
    assert server.say(data) == [hurt]
    assert type(hurt.error) is ProtocolError
    assert not other.is_complete
    assert resets(server)[stream_id] in codes
    assert server.engine.open_streams == 1


# What changes nothing.
HARMLESS = {
    "unknown frame": frame(0xEE, 0xFF, 0, b"grease"),
    "unknown frame of a stream": frame(0xEE, 0, OPEN, b"grease"),
    "unknown frame of an idle stream": frame(0xEE, 0, IDLE, b"grease"),
    "unknown flags": frame(WINDOW_UPDATE, 0xFF, 0, number(1)),
    "unknown flags of DATA": frame(DATA, 0xF6, OPEN, b"x"),
    "reserved bit": frame(WINDOW_UPDATE, 0, 2**31, number(1)),
    "reserved bit of DATA": frame(DATA, 0, 2**31 | OPEN, b"x"),
    "reserved bit of a window": frame(WINDOW_UPDATE, 0, 0, number(2**31 | 1)),
    "unknown setting": frame(SETTINGS, 0, 0, setting(0xFFFF, LAST_ID)),
    "settings twice": frame(SETTINGS, 0, 0, setting(3, 1) + setting(3, 100)),
    "priority of an idle stream": frame(PRIORITY, 0, 101, bytes(5)),
    "priority of an even stream": frame(PRIORITY, 0, 2, bytes(5)),
    "window of an ended stream": frame(WINDOW_UPDATE, 0, ENDED, number(1)),
    "reset of an ended stream": frame(RST_STREAM, 0, ENDED, number(0)),
    "padded DATA": frame(DATA, 8, OPEN, b"\x03x\0\0\0"),
    "empty DATA": frame(DATA, 0, OPEN),
    "unsent PING answered": frame(PING, 1, 0, bytes(8)),
}


@pytest.mark.parametrize("name", list(HARMLESS))
def test_h2_15_what_is_odd_and_allowed_changes_nothing(server: Server, name: str) -> None:
    _, begun, waiting = three_streams(server)
    assert server.say(HARMLESS[name]) == []
    assert (begun.is_complete, waiting.is_complete) == (False, False)
    assert resets(server) == {}
    server.answer(waiting, b"hello")
    server.engine.end(waiting)
    assert is_success(waiting)
    server.say(frame(DATA, 1, OPEN))
    assert is_success(begun)
    assert server.engine.open_streams == 0


def test_h2_15_priority_and_padding_of_heads_are_skipped(server: Server) -> None:
    _, _, waiting = three_streams(server)
    server.say(frame(HEADERS, 0x2C, WAITING, b"\x02" + b"\xff" * 5 + STATUS + b"\0\0"))
    assert waiting.head is not None
    assert (waiting.head.status, waiting.head.fields) == (200, ())


def test_h2_15_reserved_bit_of_a_head_is_ignored(server: Server) -> None:
    _, _, waiting = three_streams(server)
    server.say(frame(HEADERS, 4, 2**31 | WAITING, STATUS))
    assert waiting.head is not None


def test_h2_15_data_after_the_end_of_a_response_resets_what_is_left(server: Server) -> None:
    """The request of the stream is still being sent, so that it is half-closed."""
    stream = server.post()
    server.answer(stream, b"hello")
    server.say(DataFrame(stream.id, data=b"more"))
    assert resets(server) == {stream.id: CLOSED}
    assert is_success(stream)
    assert stream.is_request_ended
    assert server.engine.take_chunks(stream) == [b"hello"]
    assert server.engine.open_streams == 0


def test_h2_15_data_for_a_closed_stream_is_told_and_credited(server: Server) -> None:
    stream = server.get()
    server.answer(stream, b"hello")
    late = frame(DATA, 0, stream.id, bytes(16_000))
    server.say(late)
    assert server.engine.take().endswith(frame(RST_STREAM, 0, stream.id, number(CLOSED)))
    assert server.engine.take_chunks(stream) == [b"hello"]


@pytest.mark.parametrize("length", [b"", b"x", b"-1", b"+5", b"5, 6", b"1" * 20, b"\xb2"])
def test_h2_14_a_length_that_is_none_is_no_success(server: Server, length: bytes) -> None:
    """Over h2 it ends the connection, which RFC 9113 section 5.4.2 allows for any stream error."""
    stream = server.get()
    try:
        server.say(server.block(stream, [*OK, (b"content-length", length)]), DataFrame(stream.id, data=b"hello"))
    except ProtocolError as error:
        server.engine.fail(error)
    assert type(stream.error) is ProtocolError


def test_h2_14_lengths_that_agree_are_one(server: Server) -> None:
    stream = server.get()
    server.say(
        server.block(stream, [*OK, (b"content-length", b"5"), (b"content-length", b"5")]),
        DataFrame(stream.id, data=b"hello", flags=["END_STREAM"]),
    )
    assert is_success(stream)


# The windows of the server (HAZARDS H2-10)


def window(size: int) -> SettingsFrame:
    return SettingsFrame(0, settings={SettingsFrame.INITIAL_WINDOW_SIZE: size})


def test_h2_10_a_window_may_be_negative(server: Server) -> None:
    engine = server.engine
    stream = server.post(100_000)
    assert engine.send(stream, bytes(100_000)) == 65_535
    server.say(WindowUpdateFrame(0, window_increment=1_000_000))
    assert stream.needs_room
    for size in (0, 10, 0, 65_535):
        assert server.say(window(size)) == []
        assert engine.send(stream, bytes(10)) == 0
    assert server.say(WindowUpdateFrame(stream.id, window_increment=5)) == [stream]
    assert engine.send(stream, bytes(10)) == 5
    assert server.say(window(65_545)) == [stream]
    assert engine.send(stream, bytes(100)) == 10
    new = engine.open(request_head("POST", length=100))
    assert engine.send(new, bytes(100)) == 100


def test_h2_10_a_window_of_zero_stalls_the_request_and_nothing_else(engine: Http2Engine) -> None:
    server = Server(engine, {SettingCodes.INITIAL_WINDOW_SIZE: 0})
    server.talk()
    stream, other = server.post(5), server.get()
    assert engine.send(stream, b"hello") == 0
    assert stream.needs_room
    server.answer(other, b"hello")
    assert is_success(other)
    server.h2.increment_flow_control_window(5, stream.id)
    assert server.say() == [stream]
    assert engine.send(stream, b"hello") == 5
    server.talk()
    server.answer(stream)
    assert is_success(stream)


def test_h2_10_the_largest_window_is_one(server: Server) -> None:
    stream = server.post(200_000)
    server.say(window(LAST_ID), WindowUpdateFrame(0, window_increment=LAST_ID - 65_535))
    assert server.engine.send(stream, bytes(200_000)) == 200_000


# Unread bodies (HAZARDS H2-19)


@pytest.mark.parametrize("kind", HTTP2_ENGINES, ids=lambda kind: kind.__name__)
def test_h2_19_a_body_that_nobody_reads_leaves_the_others_their_window(kind: type[Http2Engine]) -> None:
    server = Server(kind(stream_window=70_000, connection_window=200_000))
    server.talk()
    unread = [server.get(), server.get()]
    for stream in unread:
        server.answer(stream, ends=False)
        assert server.stuff(stream, 1_000_000) == 70_000
    for _ in range(20):
        stream = server.get()
        server.answer(stream, ends=False)
        left = 40_000
        for _ in range(100):
            left -= server.stuff(stream, left)
            server.engine.take_chunks(stream)
            server.talk()
        assert left == 0
        server.h2.end_stream(stream.id)
        server.say()
        assert is_success(stream)
    assert sum(len(chunk) for stream in unread for chunk in stream.chunks) == 140_000


# Errors while leaving (HAZARDS H2-24)


@pytest.mark.parametrize("name", ["DATA for idle", "PING of a stream", "no HPACK", "PUSH_PROMISE", "short GOAWAY"])
def test_h2_24_a_fault_while_we_are_leaving_is_told_once(server: Server, name: str) -> None:
    three_streams(server)
    server.engine.close()
    server.engine.take()
    _, code = refused(server, FAULTS[name][0])
    assert code in FAULTS[name][1]
    assert server.engine.feed(FAULTS[name][0]) == []
    assert not server.engine.has_output


# Both directions at once (HAZARDS H2-18)


def test_h2_18_an_upload_goes_on_while_the_server_floods(server: Server) -> None:
    engine = server.engine
    upload, download = server.post(300_000), server.get()
    server.answer(download, ends=False)
    sent = 0
    for _ in range(60):
        server.stuff(download, 20_000)
        if sent < 300_000:
            sent += engine.send(upload, bytes(300_000 - sent))
        engine.take_chunks(download)
        for event in server.hear():
            if isinstance(event, events.DataReceived):
                server.h2.acknowledge_received_data(event.flow_controlled_length, upload.id)
        server.say()
    assert sent == len(server.body_heard()) == 300_000
    assert download.received == 60 * 20_000
    server.answer(upload)
    assert is_success(upload)
