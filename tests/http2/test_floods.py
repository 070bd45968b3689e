"""What ends a connection: floods and broken frames. The requests on it fail, and the next ones do not notice."""

from __future__ import annotations

import anyio
import pytest

import netio
from netio.wire import MAX_HEAD_BYTES, EngineName
from tests.client.conftest import House
from tests.http2.raw import (
    ACK,
    CONTINUATION,
    DATA,
    END_HEADERS,
    HEADERS,
    LAST_ID,
    MAX_FRAME_SIZE,
    OK,
    PADDED,
    PING,
    PRIORITY,
    PUSH_PROMISE,
    SETTINGS,
    WINDOW_UPDATE,
    Outcome,
    RawPeer,
    RawSide,
    answer,
    code_of,
    credit,
    data,
    frame,
    goaway,
    head,
    literal,
    raw_house,
    reset,
    settings,
)

pytestmark = pytest.mark.anyio


async def check_ends(house: House, *frames: bytes, code: str, words: str = "", method: str = "GET") -> None:
    """Two requests are under way, on streams 1 and 3; these frames must end the connection with a code and these words.

    The next request must be served by another connection.
    """
    outcomes = [Outcome(), Outcome()]
    async with anyio.create_task_group() as group:
        for outcome in outcomes:
            group.start_soon(outcome.of, house.session, "/hang", method)
            await house.settle()
        (side,) = house.peer.sides
        assert sorted(side.open) == [1, 3]
        try:
            await side.say(*frames)
        except anyio.BrokenResourceError:
            pass  # the client did not listen to the end
    await house.settle()
    for outcome in outcomes:
        outcome.check_error(netio.ProtocolError, words)
    assert [outcome.error.request.url.path for outcome in outcomes] == ["/hang"] * 2  # type: ignore[union-attr]
    assert side.goodbyes == [code_of(code)]
    assert not side.is_live
    assert (await house.session.get("/")).content == b"hello"
    await house.assert_clean(connections=2)


async def test_h2_01_a_flood_of_continuations_ends_the_connection(engine: EngineName) -> None:
    async with raw_house(engine) as house:
        flood = [frame(CONTINUATION, 1, b"\x00\x01a\x01b")] * 9
        await check_ends(house, frame(HEADERS, 1, OK), *flood, code="ENHANCE_YOUR_CALM", words="MAX_CONTINUATIONS")


async def test_h2_02_a_bomb_of_references_ends_the_connection(engine: EngineName) -> None:
    async with raw_house(engine) as house:
        big = b"\x40\x01a\x7f\x81\x1e" + b"x" * 4_000  # a field of 4,000 bytes, which goes into the table
        bomb = OK + big + b"\xbe" * (MAX_HEAD_BYTES // 4_000 + 1)
        async with anyio.create_task_group() as group:
            outcome = Outcome()
            group.start_soon(outcome.of, house.session, "/hang")
            await house.settle()
            (side,) = house.peer.sides
            await side.say(frame(HEADERS, 1, bomb, END_HEADERS))
        outcome.check_error(netio.ProtocolError)
        assert (await house.session.get("/")).content == b"hello"
        await house.assert_clean()


async def test_h2_03_very_many_tiny_fields_are_no_answer(engine: EngineName) -> None:
    async with raw_house(engine) as house:
        outcome = Outcome()
        async with anyio.create_task_group() as group:
            group.start_soon(outcome.of, house.session, "/hang")
            await house.settle()
            (side,) = house.peer.sides
            cookies = literal(b"set-cookie", b"a=b") * 600  # 9,600 bytes: not too many bytes, but too many fields
            await side.say(frame(HEADERS, 1, OK + cookies, END_HEADERS))
        outcome.check_error(netio.ProtocolError, "MAX_HEAD_FIELDS")
        assert (await house.session.get("/")).content == b"hello"
        await house.assert_clean()


BROKEN_BLOCKS = {
    "index zero": b"\x80",
    "endless number": b"\xff" * 9 + b"\x7f",
    "table size late": b"\x88\x3f\xe1\x1f",
    "table size too large": b"\x3f\xe2\x1f\x88",
    "bad padding": b"\x00\x81\x00\x00",
}


@pytest.mark.parametrize("name", list(BROKEN_BLOCKS))
async def test_h2_04_broken_hpack_ends_the_connection(engine: EngineName, name: str) -> None:
    code = "COMPRESSION_ERROR" if engine == "fast" else "PROTOCOL_ERROR"  # which is what h2 calls it
    async with raw_house(engine) as house:
        await check_ends(house, frame(HEADERS, 1, BROKEN_BLOCKS[name], END_HEADERS), code=code)


@pytest.mark.parametrize("kind", [PING, SETTINGS])
async def test_h2_06_a_flood_of_questions_ends_the_connection(engine: EngineName, kind: int) -> None:
    async with raw_house(engine) as house:
        flood = frame(kind, payload=bytes(8) if kind == PING else b"") * 1_100
        await check_ends(house, flood, code="ENHANCE_YOUR_CALM")


async def test_h2_06_settings_without_end_end_the_connection(engine: EngineName) -> None:
    async with raw_house(engine) as house:
        many = settings(dict.fromkeys(range(256, 289), 1))
        await check_ends(house, many, code="ENHANCE_YOUR_CALM", words="MAX_SETTINGS")


EMPTY = {
    "DATA": data(1),
    "padding": frame(DATA, 1, b"\x03" + bytes(3), PADDED),
}


@pytest.mark.parametrize("name", list(EMPTY))
async def test_h2_07_a_flood_of_empty_frames_ends_the_connection(engine: EngineName, name: str) -> None:
    async with raw_house(engine) as house:
        await check_ends(house, head(1), EMPTY[name] * 1_100, code="ENHANCE_YOUR_CALM", words="MAX_USELESS")


async def test_h2_07_one_byte_a_frame_is_slow_and_comes_through(engine: EngineName) -> None:
    async with raw_house(engine) as house, anyio.create_task_group() as group:
        outcome = Outcome()
        group.start_soon(outcome.of, house.session, "/hang")
        await house.settle()
        (side,) = house.peer.sides
        await side.say(head(1), data(1, b"x") * 5_000, data(1, ends=True))
        await house.settle()
        assert outcome.content == b"x" * 5_000


SMALL = {
    "RST_STREAM": reset(1, 8),
    "WINDOW_UPDATE": credit(0, 1),
    "PRIORITY": frame(PRIORITY, 1, bytes(5)),
    "unknown": frame(0xEE, 0, b"grease"),
    "GOAWAY": goaway(LAST_ID),
    "acknowledgement": frame(SETTINGS, flags=ACK),
}


@pytest.mark.parametrize("name", list(SMALL))
async def test_h2_08_a_flood_of_small_frames_ends_the_connection(engine: EngineName, name: str) -> None:
    async with raw_house(engine) as house:
        before = answer(1) if name == "RST_STREAM" else b""
        async with anyio.create_task_group() as group:
            outcomes = [Outcome(), Outcome()]
            for outcome in outcomes:
                group.start_soon(outcome.of, house.session, "/hang")
                await house.settle()
            (side,) = house.peer.sides
            try:
                await side.say(before, SMALL[name] * 1_100)
            except anyio.BrokenResourceError:
                pass
        await house.settle()
        assert side.goodbyes == [code_of("ENHANCE_YOUR_CALM")]
        outcomes[1].check_error(netio.ProtocolError, "MAX_USELESS")
        assert (await house.session.get("/")).content == b"hello"
        await house.assert_clean(connections=2)


async def test_h2_09_a_frame_size_of_zero_ends_the_connection(engine: EngineName) -> None:
    async with raw_house(engine) as house:
        await check_ends(house, settings({MAX_FRAME_SIZE: 0}), code="PROTOCOL_ERROR")


async def test_h2_12_a_push_ends_the_connection(engine: EngineName) -> None:
    async with raw_house(engine) as house:
        push = frame(PUSH_PROMISE, 1, b"\x00\x00\x00\x02\x82\x84", END_HEADERS)
        await check_ends(house, push, code="PROTOCOL_ERROR")
        asked = [heard.payload for heard in house.peer.sides[0].of(SETTINGS) if heard.payload]
        assert b"\x00\x02\x00\x00\x00\x00" in asked[0]  # ENABLE_PUSH is 0


@pytest.mark.parametrize(
    ("frames", "code"),
    [
        (data(7, b"x"), "PROTOCOL_ERROR"),
        (head(2), "PROTOCOL_ERROR"),
        (frame(DATA, 0, b"x"), "PROTOCOL_ERROR"),
        (frame(PING, 0, b"short"), "FRAME_SIZE_ERROR"),
        (head(1) + frame(DATA, 1, b"\x09x", PADDED), "PROTOCOL_ERROR"),
        (frame(WINDOW_UPDATE, 0, bytes(4)), "PROTOCOL_ERROR"),
    ],
    ids=["idle stream", "even stream", "stream zero", "wrong size", "bad padding", "no increment"],
)
async def test_h2_15_frames_where_they_must_not_be_end_the_connection(
    engine: EngineName, frames: bytes, code: str
) -> None:
    async with raw_house(engine) as house:
        await check_ends(house, frames, code=code)


async def test_h2_16_a_server_that_overruns_a_window_ends_the_connection(engine: EngineName) -> None:
    async with raw_house(engine) as house:
        outcome = Outcome()
        async with anyio.create_task_group() as group:
            group.start_soon(read_late, house, outcome)
            await house.settle()
            (side,) = house.peer.sides
            try:
                await side.say(head(1), data(1, bytes(16_384)) * 17)  # a stream window is 16 of them
            except anyio.BrokenResourceError:
                pass
        assert side.goodbyes == [code_of("FLOW_CONTROL_ERROR")]
        outcome.check_error(netio.ProtocolError, "window of stream 1" if engine == "fast" else "")


async def read_late(house: House, outcome: Outcome) -> None:
    """Begin to read a response only when everything has come."""
    async with house.session.stream("GET", "/hang", timeout=None) as response:
        await house.settle()
        try:
            outcome.content = await response.aread()
        except netio.RequestError as error:
            outcome.error = error


class SpeaksHttp1(RawPeer):
    async def begin(self, side: RawSide) -> None:
        await side.say(b"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n")


async def test_h2_26_a_server_that_does_not_speak_http2_is_quoted(engine: EngineName) -> None:
    async with raw_house(engine, SpeaksHttp1()) as house:
        outcome = Outcome()
        await outcome.of(house.session, "/")
        outcome.check_error(netio.ProtocolError, "HTTP/1.1 400 Bad Request")
        await house.settle()
        await house.assert_clean(connections=1)


async def test_h2_24_what_comes_after_a_fault_changes_nothing(engine: EngineName) -> None:
    async with raw_house(engine) as house:
        garbage = settings({MAX_FRAME_SIZE: 0}) + head(2) + goaway(0) + b"\xff" * 100
        await check_ends(house, garbage, code="PROTOCOL_ERROR", words="MAX_FRAME_SIZE" if engine == "fast" else "")
