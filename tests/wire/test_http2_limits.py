"""The limits of HTTP/2 by name: what a server may do is done at the limit, and refused one past it."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from h2.settings import SettingCodes
from hyperframe.frame import (
    ContinuationFrame,
    DataFrame,
    Frame,
    GoAwayFrame,
    HeadersFrame,
    PingFrame,
    PriorityFrame,
    RstStreamFrame,
    SettingsFrame,
    WindowUpdateFrame,
)

from netio.wire import (
    MAX_ANSWERS,
    MAX_CONTINUATIONS,
    MAX_GIVEN_UP,
    MAX_HEAD_BYTES,
    MAX_HEAD_FIELDS,
    MAX_INFORMATIONAL,
    MAX_SETTINGS,
    MAX_STREAM_WINDOW,
    MAX_USELESS,
    ErrorCode,
    Http2Engine,
    Stream,
)
from tests.wire.engines import HTTP2_ENGINES, is_success
from tests.wire.http2_server import OK, Server, check_that_others_live, refused

LAST_ID = 2**31 - 1


@pytest.fixture(params=HTTP2_ENGINES, ids=lambda kind: kind.__name__)
def engine(request: pytest.FixtureRequest) -> Http2Engine:
    made: Http2Engine = request.param()
    return made


def check_refused(server: Server, *frames: Frame | bytes, name: str) -> None:
    error, code = refused(server, *frames)
    assert code == ErrorCode.ENHANCE_YOUR_CALM
    if name:
        assert name in str(error)


def check_useless(server: Server, *frames: Frame) -> None:
    """Say the frames, which bring nothing, as often as is allowed, and then once more."""
    raw = b"".join(frame.serialize() for frame in frames)
    half = MAX_USELESS // len(frames) // 2
    for _ in range(2):
        server.say(raw * half)
        server.engine.take()
    check_refused(server, raw, name="MAX_USELESS")


def open_one(server: Server) -> Stream:
    stream = server.get()
    server.answer(stream, ends=False)
    return stream


def close_one(server: Server) -> Stream:
    stream = server.get()
    server.answer(stream)
    assert is_success(stream)
    return stream


def cancel_one(server: Server) -> Stream:
    stream = server.get()
    server.engine.cancel(stream)
    server.engine.take()
    return stream


FLOODS: dict[str, tuple[str, Callable[[Server], Frame]]] = {
    "ping": ("h2_06", lambda _: PingFrame(0, opaque_data=b"12345678")),
    "ping answer": ("h2_06", lambda _: PingFrame(0, opaque_data=bytes(8), flags=["ACK"])),
    "settings": ("h2_06", lambda _: SettingsFrame(0)),
    "settings answer": ("h2_06", lambda _: SettingsFrame(0, flags=["ACK"])),
    "empty data": ("h2_07", lambda server: DataFrame(open_one(server).id)),
    "padding": ("h2_07", lambda server: DataFrame(open_one(server).id, pad_length=255, flags=["PADDED"])),
    "data for a closed stream": ("h2_07", lambda server: DataFrame(close_one(server).id, data=b"x")),
    "empty data for a cancelled stream": ("h2_07", lambda server: DataFrame(cancel_one(server).id)),
    "head for a cancelled stream": (
        "h2_07",
        lambda server: HeadersFrame(cancel_one(server).id, data=b"\x88", flags=["END_HEADERS"]),
    ),
    "reset of a closed stream": ("h2_08", lambda server: RstStreamFrame(close_one(server).id, error_code=8)),
    "window": ("h2_08", lambda _: WindowUpdateFrame(0, window_increment=1)),
    "window of an open stream": ("h2_08", lambda server: WindowUpdateFrame(open_one(server).id, window_increment=1)),
    "window of a closed stream": ("h2_08", lambda server: WindowUpdateFrame(close_one(server).id, window_increment=1)),
    "priority": ("h2_08", lambda _: PriorityFrame(1, depends_on=0, stream_weight=1)),
    "goaway": ("h2_08", lambda _: GoAwayFrame(0, last_stream_id=LAST_ID)),
    "unknown": ("h2_08", lambda _: Frame.parse_frame_header(memoryview(b"\x00\x00\x00\x20\x00\x00\x00\x00\x00"))[0]),
}


def floods(row: str) -> list[str]:
    return [name for name, (which, _) in FLOODS.items() if which == row]


@pytest.mark.parametrize("name", floods("h2_06"))
def test_h2_06_a_flood_of_questions_ends_the_connection(server: Server, name: str) -> None:
    check_useless(server, FLOODS[name][1](server))


@pytest.mark.parametrize("name", floods("h2_07"))
def test_h2_07_a_flood_of_empty_frames_ends_the_connection(server: Server, name: str) -> None:
    check_useless(server, FLOODS[name][1](server))


@pytest.mark.parametrize("name", floods("h2_08"))
def test_h2_08_a_flood_of_small_frames_ends_the_connection(server: Server, name: str) -> None:
    check_useless(server, FLOODS[name][1](server))


def test_h2_08_floods_of_several_kinds_are_one(server: Server) -> None:
    stream = open_one(server)
    check_useless(
        server, PingFrame(0), WindowUpdateFrame(0, window_increment=1), DataFrame(stream.id), PriorityFrame(5)
    )


@pytest.mark.parametrize("what", ["requests", "download", "upload", "pings"])
def test_what_is_useful_wins_back_what_is_not(server: Server, what: str) -> None:
    engine = server.engine
    stream = server.post()
    engine.send(stream, b"begun")
    server.answer(stream, ends=False)
    server.h2.increment_flow_control_window(1_000_000)
    server.say()
    for _ in range(5 * MAX_USELESS // 10):
        if what == "requests":
            server.answer(server.get())
        elif what == "download":
            server.say(DataFrame(stream.id, data=bytes(256)))
            engine.take_chunks(stream)
        elif what == "upload":
            assert engine.send(stream, b"x") == 1
        else:
            engine.ping()
            server.hear()
        server.say(*[WindowUpdateFrame(0, window_increment=1)] * 10)
        engine.take()
    assert not stream.is_complete
    server.get()  # wins back the last ten; no more than all of them can be saved
    check_useless(server, PriorityFrame(1))


def test_an_upload_may_be_credited_in_very_small_steps(server: Server) -> None:
    """Go's server did so, once for each read of a handler, for stream and connection."""
    stream = server.post()
    for _ in range(8):
        assert server.engine.send(stream, bytes(8_000)) == 8_000
        for _ in range(8_000 // 64):
            server.h2.increment_flow_control_window(64)
            server.h2.increment_flow_control_window(64, stream.id)
            server.say()
        server.hear()
    assert not stream.is_complete


def test_h2_06_answers_that_nobody_takes_are_limited(server: Server) -> None:
    stream = open_one(server)
    ping = PingFrame(0, opaque_data=b"12345678")
    useful = DataFrame(stream.id, data=bytes(256))
    for begin in range(0, MAX_ANSWERS, 10):
        server.say(useful, *([ping] * 9), SettingsFrame(0))
        assert begin < MAX_ANSWERS
    check_refused(server, ping, name="MAX_ANSWERS")


def test_h2_06_answers_that_were_taken_do_not_count(server: Server) -> None:
    stream = open_one(server)
    for _ in range(3 * MAX_ANSWERS // 10):
        server.say(DataFrame(stream.id, data=bytes(256)), *([PingFrame(0)] * 10))
        server.engine.take()
        server.engine.take_chunks(stream)
    server.say(*([PingFrame(0)] * (MAX_ANSWERS // 2)))
    assert not stream.is_complete


def settings(count: int) -> bytes:
    return (6 * count).to_bytes(3, "big") + bytes.fromhex("040000000000") + bytes.fromhex("0A0A00000001") * count


def test_h2_06_a_settings_frame_has_a_limited_number_of_settings(server: Server) -> None:
    other = server.get()
    server.say(settings(MAX_SETTINGS))
    check_that_others_live(server, other)
    check_refused(server, settings(MAX_SETTINGS + 1), name="MAX_SETTINGS")


def continued(server: Server, stream: Stream, count: int, *, ends: bool) -> list[Frame]:
    block = server.h2.encoder.encode(OK)
    more = [ContinuationFrame(stream.id) for _ in range(count)]
    if ends:
        more[-1].flags.add("END_HEADERS")
    return [HeadersFrame(stream.id, data=block), *more]


def test_h2_01_a_header_block_goes_on_for_a_limited_number_of_frames(server: Server) -> None:
    stream, other, last = server.get(), server.get(), server.get()
    server.say(*continued(server, stream, MAX_CONTINUATIONS, ends=True))
    assert stream.head is not None
    check_that_others_live_beside(server, other, last)
    check_refused(server, *continued(server, last, MAX_CONTINUATIONS + 1, ends=True), name="MAX_CONTINUATIONS")


def check_that_others_live_beside(server: Server, other: Stream, open_still: Stream) -> None:
    server.answer(other, b"hello")
    assert is_success(other)
    assert not open_still.is_complete


def test_h2_01_a_header_block_without_end_is_given_up_early(server: Server) -> None:
    stream = server.get()
    frames = [HeadersFrame(stream.id), *[ContinuationFrame(stream.id, data=bytes(16_000)) for _ in range(100)]]
    check_refused(server, *frames, name="")
    assert stream.error is not None


def head_of_size(size: int) -> list[tuple[bytes, bytes]]:
    return [*OK, (b"x", b"v" * (size - (32 + 10) - 33))]


def big(server: Server, stream: Stream, size: int) -> list[Frame]:
    block = server.h2.encoder.encode(head_of_size(size), huffman=False)
    parts = [block[begin : begin + 16_000] for begin in range(0, len(block), 16_000)]
    frames: list[Frame] = [HeadersFrame(stream.id, data=parts[0])]
    frames += [ContinuationFrame(stream.id, data=part) for part in parts[1:]]
    frames[-1].flags.add("END_HEADERS")
    return frames


def test_h2_01_the_bytes_of_a_head_are_limited(server: Server) -> None:
    stream, last = server.get(), server.get()
    server.say(*big(server, stream, MAX_HEAD_BYTES))
    assert stream.head is not None
    check_refused(server, *big(server, last, MAX_HEAD_BYTES + 1), name="")


def test_h2_02_a_bomb_of_references_is_refused(server: Server) -> None:
    stream, last = server.get(), server.get()
    server.say(server.block(stream, [*OK, (b"x", b"v" * 4000)]))
    assert stream.head is not None
    check_refused(server, HeadersFrame(last.id, data=b"\x88" + b"\xbe" * 16_000, flags=["END_HEADERS"]), name="")


@pytest.mark.parametrize("name", [b"x", b"set-cookie"])
def test_h2_03_the_number_of_fields_is_limited(server: Server, name: bytes) -> None:
    stream, last, other = server.get(), server.get(), server.get()
    server.say(server.block(stream, [*OK, *[(name, b"y")] * MAX_HEAD_FIELDS]))
    assert stream.head is not None
    assert len(stream.head.fields) == MAX_HEAD_FIELDS
    server.answer(stream, b"", block=[(b"x", b"y")])
    server.say(server.block(last, [*OK, *[(name, b"y")] * (MAX_HEAD_FIELDS + 1)]))
    assert "MAX_HEAD_FIELDS" in str(last.error)
    check_that_others_live(server, other)


def test_h2_07_one_byte_of_data_a_frame_is_slow_and_allowed(server: Server) -> None:
    stream = open_one(server)
    for _ in range(10):
        server.say(*[DataFrame(stream.id, data=b"x")] * 300)
    assert b"".join(server.engine.take_chunks(stream)) == b"x" * 3000


@pytest.mark.parametrize("code", list(ErrorCode))
def test_h2_08_a_server_may_reset_whatever_is_asked_of_it(server: Server, code: ErrorCode) -> None:
    """Rapid reset costs a request each, so whoever asks decides when it is enough."""
    for _ in range(300):
        stream = server.get()
        server.h2.reset_stream(stream.id, code)
        server.say()
        assert stream.is_complete
    check_that_others_live(server, server.get())


@pytest.mark.parametrize("kind", HTTP2_ENGINES, ids=lambda kind: kind.__name__)
def test_streams_that_were_given_up_are_forgotten_and_still_tolerated(kind: type[Http2Engine]) -> None:
    server = Server(kind(), {SettingCodes.MAX_CONCURRENT_STREAMS: 10})
    server.talk()
    first = cancel_one(server)
    for _ in range(MAX_GIVEN_UP + 10):
        stream = server.get()
        server.engine.cancel(stream)
        server.talk()
    server.say(HeadersFrame(first.id, data=b"\x88", flags=["END_HEADERS"]), DataFrame(first.id, data=b"x"))
    check_that_others_live(server, server.get())


def test_h2_28_what_comes_for_a_cancelled_stream_is_limited_by_its_window(engine: Http2Engine) -> None:
    server = Server(engine)
    server.talk()
    stream = cancel_one(server)
    full = DataFrame(stream.id, data=bytes(16_384))
    for _ in range(engine.stream_window // 16_384):
        server.say(full)
        engine.take()
    with pytest.raises(Exception, match="more than the window of stream 1"):
        for _ in range(MAX_STREAM_WINDOW // 16_384):
            server.say(full)
            engine.take()


def test_the_limit_of_informational_answers_is_one_of_a_stream(server: Server) -> None:
    for _ in range(3):
        stream = server.get()
        server.say(*[server.block(stream, [(b":status", b"103")]) for _ in range(MAX_INFORMATIONAL)])
        server.answer(stream)
        assert is_success(stream)
