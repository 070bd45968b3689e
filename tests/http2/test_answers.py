"""Broken answers that cost their own request only, and oddities that cost nothing."""

from __future__ import annotations

import anyio
import pytest

import netio
from netio.wire import EngineName
from tests.client.conftest import House
from tests.http2.raw import (
    DATA,
    END_HEADERS,
    END_STREAM,
    HEADERS,
    PADDED,
    PING,
    PRIORITY,
    Outcome,
    RawPeer,
    RawSide,
    answer,
    code_of,
    credit,
    data,
    frame,
    head,
    literal,
    raw_house,
    settings,
)

pytestmark = pytest.mark.anyio

LENGTH = b"content-length"


async def check_costs_one(house: House, *frames: bytes, is_ended: bool = False) -> Outcome:
    """Say frames for stream 1: its request must fail; the one on stream 3 must not notice.

    The stream must be reset, unless both sides had ended it.
    """
    broken, other = Outcome(), Outcome()
    async with anyio.create_task_group() as group:
        for outcome in (broken, other):
            group.start_soon(outcome.of, house.session, "/hang")
            await house.settle()
        (side,) = house.peer.sides
        await side.say(*frames)
        await house.settle()
        assert broken.is_here
        assert not other.is_here
        await side.say(answer(3))
    broken.check_error(netio.ProtocolError)
    assert other.content == b"hello"
    if not is_ended:
        assert side.resets == {1: code_of("PROTOCOL_ERROR")}
    assert (await house.session.get("/")).content == b"hello"
    await house.assert_clean(connections=1)
    return broken


MALFORMED = {
    "no status": literal(b"x", b"y"),
    "two statuses": b"\x88\x88",
    "late status": literal(b"x", b"y") + b"\x88",
    "status of two digits": b"\x08\x0220",
    "request field": b"\x88\x84",
    "upper case": b"\x88" + literal(b"X-Name", b"1"),
    "line feed": b"\x88" + literal(b"x", b"a\nset-cookie: b"),
    "NUL": b"\x88" + literal(b"x", b"a\x00b"),
    "connection": b"\x88" + literal(b"connection", b"close"),
    "transfer-encoding": b"\x88" + literal(b"transfer-encoding", b"chunked"),
}


@pytest.mark.parametrize("name", list(MALFORMED))
async def test_h2_13_a_malformed_head_costs_its_request_only(engine: EngineName, name: str) -> None:
    async with raw_house(engine) as house:
        await check_costs_one(house, frame(HEADERS, 1, MALFORMED[name], END_HEADERS))


async def test_h2_13_malformed_trailers_cost_their_request_only(engine: EngineName) -> None:
    async with raw_house(engine) as house:
        trailers = frame(HEADERS, 1, literal(b"X-Sum", b"1"), END_HEADERS | END_STREAM)
        broken = await check_costs_one(house, head(1), data(1, b"hello"), trailers, is_ended=True)
        assert broken.error is not None
        assert broken.error.phase == "body"


WRONG_LENGTHS = {
    "too short": [head(1, more=literal(LENGTH, b"10")), data(1, b"hello", ends=True)],
    "too long": [head(1, more=literal(LENGTH, b"3")), data(1, b"hello")],
    "body before the head": [data(1, b"hello")],
    "no body at all": [head(1, more=literal(LENGTH, b"5"), ends=True)],
}


@pytest.mark.parametrize("name", list(WRONG_LENGTHS))
async def test_h2_14_a_body_that_is_not_as_announced_is_no_success(engine: EngineName, name: str) -> None:
    async with raw_house(engine) as house:
        await check_costs_one(house, *WRONG_LENGTHS[name], is_ended=name in ("too short", "no body at all"))


async def test_h2_14_a_stream_that_breaks_off_fails_whoever_reads_it(engine: EngineName) -> None:
    async with raw_house(engine) as house:
        errors: list[netio.RequestError] = []
        pieces: list[bytes] = []

        async def read() -> None:
            async with house.session.stream("GET", "/hang", timeout=None) as response:
                try:
                    async for piece in response.aiter_bytes():
                        pieces.append(piece)  # noqa: PERF401  # what came before the error counts
                except netio.RequestError as error:
                    errors.append(error)

        async with anyio.create_task_group() as group:
            group.start_soon(read)
            await house.settle()
            (side,) = house.peer.sides
            await side.say(head(1, more=literal(LENGTH, b"10")), data(1, b"hello"))
            await house.settle()
            await side.say(data(1, b"!", ends=True))
        assert pieces[:1] == [b"hello"]
        assert [(type(error), error.phase) for error in errors] == [(netio.ProtocolError, "body")]
        await house.assert_clean(connections=1)


async def test_h2_15_data_for_a_stream_that_is_closed_is_told_and_credited(engine: EngineName) -> None:
    async with raw_house(engine) as house:
        await house.session.get("/")
        (side,) = house.peer.sides
        await side.say(data(1, b"more"))
        await house.settle()
        assert side.resets == {1: code_of("STREAM_CLOSED")}
        assert (await house.session.get("/")).content == b"hello"
        await house.assert_clean(connections=1)


ODD = [
    frame(0xEE, 0, b"grease", 0xFF),
    frame(0xEE, 1, b"grease"),
    frame(0x0C, 0, b"\x00\x12https://other.test"),  # ORIGIN
    frame(0x0A, 0, b'\x00\x00h2=":8000"'),  # ALTSVC
    frame(PRIORITY, 1, bytes(5)),
    frame(PRIORITY, 99, bytes(5)),
    settings({0x0A0A: 1, 0xFFFF: 7}),
    credit(0, 1),
    frame(PING, 0, b"12345678"),
]


async def test_h2_30_what_is_unknown_or_odd_changes_nothing(engine: EngineName) -> None:
    async with raw_house(engine) as house:
        outcome = Outcome()
        async with anyio.create_task_group() as group:
            group.start_soon(outcome.of, house.session, "/hang")
            await house.settle()
            (side,) = house.peer.sides
            padded = frame(DATA, 1, b"\x03hello" + bytes(3), PADDED | END_STREAM)
            pieces = [head(1, 103, more=literal(b"link", b"x")), head(1), data(1, b"oh, "), padded]
            for piece in pieces:
                await side.say(*ODD, piece)
        assert outcome.content == b"oh, hello"
        assert (await house.session.get("/")).content == b"hello"
        await house.assert_clean(connections=1)


class OneByteAtATime(RawPeer):
    async def respond(self, side: RawSide, stream_id: int, request: str, body: bytes) -> None:
        for byte in answer(stream_id):
            await side.say(bytes((byte,)))
        side.open.pop(stream_id, None)


async def test_slow_06_http2_frames_may_come_byte_by_byte(engine: EngineName) -> None:
    async with raw_house(engine, OneByteAtATime()) as house:
        for _ in range(3):
            assert (await house.session.get("/")).content == b"hello"
        await house.assert_clean(connections=1)


async def test_h2_13_response_trailers_are_kept_with_the_message_and_no_part_of_the_head(engine: EngineName) -> None:
    async with raw_house(engine) as house:
        outcome = Outcome()
        async with anyio.create_task_group() as group:
            group.start_soon(outcome.of, house.session, "/hang")
            await house.settle()
            trailers = frame(HEADERS, 1, literal(b"x-sum", b"1"), END_HEADERS | END_STREAM)
            await house.peer.sides[0].say(head(1), data(1, b"hello"), trailers)
            await house.settle()
        assert outcome.content == b"hello"
        house.peer.sides[0].open.clear()
        await house.assert_clean(connections=1)
