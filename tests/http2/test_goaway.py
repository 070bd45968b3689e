"""A server that leaves (RFC 9113 section 6.8): what it has not looked at goes elsewhere, the rest finishes."""

from __future__ import annotations

from collections.abc import AsyncIterator
from functools import partial

import anyio
import pytest
from anyio.lowlevel import checkpoint

import netio
from netio.testing import FakeClock
from netio.wire import EngineName
from tests.client.conftest import House
from tests.http2.raw import (
    HEADERS,
    LAST_ID,
    MAX_CONCURRENT_STREAMS,
    MAX_FRAME_SIZE,
    Outcome,
    RawPeer,
    RawSide,
    answer,
    code_of,
    data,
    frame,
    goaway,
    head,
    only_connection,
    raw_house,
    reset,
    settings,
)

pytestmark = pytest.mark.anyio


class Leaver(RawPeer):
    """The first connection answers nothing by itself; the others do."""

    async def respond(self, side: RawSide, stream_id: int, request: str, body: bytes) -> None:
        if side.number:
            await super().respond(side, stream_id, request, body)


async def ask(
    house: House, group: anyio.abc.TaskGroup, count: int, method: str = "GET", content: bytes | None = None
) -> list[Outcome]:
    """Send so many requests; they are on streams 1, 3, 5, ... of the first connection when this returns."""
    outcomes = [Outcome() for _ in range(count)]
    for outcome in outcomes:
        group.start_soon(partial(outcome.of, house.session, "/", method, content=content))
        await house.settle()
    assert list(house.peer.sides[0].open) == [2 * number + 1 for number in range(count)]
    return outcomes


async def test_h2_20_requests_above_the_last_id_move_and_the_others_finish(engine: EngineName) -> None:
    async with raw_house(engine, Leaver()) as house:
        async with anyio.create_task_group() as group:
            outcomes = await ask(house, group, 4)
            first = house.peer.sides[0]
            await first.say(goaway(3))
            await house.settle()
            assert [outcome.content for outcome in outcomes] == [None, None, b"hello", b"hello"]
            assert first.is_live
            late = Outcome()
            await late.of(house.session, "/")
            assert (late.content, len(first.of(HEADERS))) == (b"hello", 4)
            await first.say(answer(1, b"first"), answer(3, b"second"))
        assert [outcome.content for outcome in outcomes[:2]] == [b"first", b"second"]
        await house.settle()
        assert not first.is_live
        await house.assert_clean(connections=2)


async def test_h2_20_a_graceful_goaway_in_two_steps_loses_nothing(engine: EngineName) -> None:
    async with raw_house(engine, Leaver()) as house:
        async with anyio.create_task_group() as group:
            outcomes = await ask(house, group, 2)
            first = house.peer.sides[0]
            await first.say(goaway(LAST_ID))
            await house.settle()
            assert [outcome.is_here for outcome in outcomes] == [False, False]
            late = Outcome()
            await late.of(house.session, "/")
            await first.say(goaway(3))
            await house.settle()
            assert [outcome.is_here for outcome in outcomes] == [False, False]
            await first.say(answer(3, b"second"), answer(1, b"first"))
        assert [outcome.content for outcome in [*outcomes, late]] == [b"first", b"second", b"hello"]
        await house.assert_clean(connections=2)


async def test_h2_20_a_post_above_the_last_id_was_not_sent_and_moves_with_its_body(engine: EngineName) -> None:
    async with raw_house(engine, Leaver()) as house:
        async with anyio.create_task_group() as group:
            (outcome,) = await ask(house, group, 1, "POST", b"x" * 40_000)
            await house.peer.sides[0].say(goaway(0))
        assert outcome.content == b"40000"
        assert house.peer.requests == ["POST /", "POST /"]
        await house.assert_clean(connections=2)


async def test_h2_20_a_body_that_cannot_be_replayed_fails_as_not_sent(engine: EngineName) -> None:
    async def once() -> AsyncIterator[bytes]:
        yield b"x" * 100

    async with raw_house(engine, Leaver()) as house:
        outcome = Outcome()
        async with anyio.create_task_group() as group:
            group.start_soon(partial(outcome.of, house.session, "/", "POST", content=once()))
            await house.settle()
            await house.peer.sides[0].say(goaway(0))
        outcome.check_error(netio.ConnectionLost, "GOAWAY", "NO_ERROR", sent=False)
        assert isinstance(outcome.error, netio.ConnectionLost)
        assert outcome.error.goaway_code == 0


async def test_h2_20_an_abrupt_goaway_says_why_to_those_that_may_have_been_processed(engine: EngineName) -> None:
    async with raw_house(engine, Leaver()) as house:
        async with anyio.create_task_group() as group:
            posts = await ask(house, group, 2, "POST", b"x")
            first = house.peer.sides[0]
            await first.say(goaway(1, code_of("INTERNAL_ERROR"), b"out of memory"))
            await first.stream.aclose()
        posts[0].check_error(netio.ConnectionLost, "INTERNAL_ERROR", "out of memory")
        assert posts[1].content == b"1"
        assert house.peer.requests == ["POST /", "POST /", "POST /"]
        await house.assert_clean(connections=2)


@pytest.mark.parametrize("last_ids", [(3, 3, 3), (LAST_ID, 5, 3), (3, 5)])
async def test_h2_20_repeated_goaways_are_taken(engine: EngineName, last_ids: tuple[int, ...]) -> None:
    async with raw_house(engine, Leaver()) as house:
        async with anyio.create_task_group() as group:
            outcomes = await ask(house, group, 3)
            first = house.peer.sides[0]
            for last_id in last_ids:
                await first.say(goaway(last_id))
            await first.say(answer(1, b"1"), answer(3, b"3"))
        assert [outcome.content for outcome in outcomes] == [b"1", b"3", b"hello"]
        await house.assert_clean(connections=2)


async def test_h2_20_an_idle_connection_that_is_told_goodbye_is_closed(engine: EngineName) -> None:
    async with raw_house(engine) as house:
        await house.session.get("/")
        await house.peer.sides[0].say(goaway(1))
        await house.settle()
        assert house.session.stats().idle == 0
        assert not house.peer.sides[0].is_live
        assert (await house.session.get("/")).content == b"hello"
        await house.assert_clean(connections=2)


async def test_h2_17_what_comes_after_a_goaway_gives_its_credit_back(engine: EngineName) -> None:
    async with raw_house(engine, Leaver()) as house:
        async with anyio.create_task_group() as group:
            outcomes = await ask(house, group, 2)
            first = house.peer.sides[0]
            await first.say(goaway(1))
            await house.settle()
            pieces = 100  # more in all than the window of one stream, for a stream that moved away
            before = first.granted
            await first.say(head(1))
            for _ in range(pieces):
                await first.say(data(1, bytes(16_000)))
                await house.settle()
            assert before - 16_000 * pieces + first.granted > 0
            await first.say(data(1, b"end", ends=True))
        assert len(outcomes[0].content or b"") == 16_000 * pieces + 3
        assert outcomes[1].content == b"hello"
        await house.assert_clean(connections=2)


async def test_h2_22_reset_and_goaway_in_one_read_leak_nothing(engine: EngineName) -> None:
    limits = netio.Limits(connections=1)
    async with raw_house(engine, Leaver({MAX_CONCURRENT_STREAMS: 1}), limits=limits) as house:
        outcomes = [Outcome() for _ in range(5)]
        async with anyio.create_task_group() as group:
            for outcome in outcomes:
                group.start_soon(outcome.of, house.session, "/")
            await house.settle()
            first = house.peer.sides[0]
            assert (list(first.open), house.session.stats().queued) == ([1], 4)
            await first.say(reset(1, code_of("REFUSED_STREAM")), goaway(0))
        assert [outcome.content for outcome in outcomes] == [b"hello"] * 5
        await house.assert_clean(connections=2)


@pytest.mark.parametrize("fault", [settings({MAX_FRAME_SIZE: 0}), head(2), frame(0xFF, 0, bytes(20_000))])
async def test_h2_24_a_bad_frame_of_a_server_that_leaves_ends_what_is_left(engine: EngineName, fault: bytes) -> None:
    async with raw_house(engine, Leaver()) as house:
        async with anyio.create_task_group() as group:
            outcomes = await ask(house, group, 2)
            first = house.peer.sides[0]
            await first.say(goaway(1), fault)
            await house.settle()
        outcomes[0].check_error(netio.ProtocolError)
        assert outcomes[1].content == b"hello"
        assert len(first.goodbyes) == 1
        await house.assert_clean(connections=2)


async def test_h2_24_a_bad_frame_after_we_have_said_goodbye_is_ignored(engine: EngineName) -> None:
    async with raw_house(engine) as house:
        await house.session.get("/")
        first = house.peer.sides[0]
        connection = only_connection(house)
        async with anyio.create_task_group() as group:
            group.start_soon(house.session.aclose)
            while not connection.is_closed:
                await checkpoint()
            connection.feed(settings({MAX_FRAME_SIZE: 0}) + b"\xff" * 50)
        await house.settle()
        assert first.goodbyes == [0]


def use_up(house: House, engine: EngineName, *, left: int) -> None:
    """Leave so many stream ids to the only connection."""
    next_id = 2**31 + 1 - 2 * left
    inside = only_connection(house)._engine
    if engine == "fast":
        inside._next_id = next_id
    else:
        inside._h2.highest_outbound_stream_id = next_id - 2


async def test_h2_25_when_the_stream_ids_are_used_up_a_new_connection_takes_over(engine: EngineName) -> None:
    async with raw_house(engine) as house:
        await house.session.get("/")
        use_up(house, engine, left=2)
        for _ in range(4):
            assert (await house.session.get("/")).content == b"hello"
        assert [heard.stream_id for heard in house.peer.sides[0].of(HEADERS)] == [1, LAST_ID - 2, LAST_ID]
        assert not house.peer.sides[0].is_live
        await house.assert_clean(connections=2)


async def test_h2_25_many_requests_at_once_share_the_last_stream_ids(engine: EngineName) -> None:
    async with raw_house(engine) as house:
        await house.session.get("/")
        use_up(house, engine, left=3)
        outcomes = [Outcome() for _ in range(20)]
        async with anyio.create_task_group() as group:
            for outcome in outcomes:
                group.start_soon(outcome.of, house.session, "/")
        assert [outcome.content for outcome in outcomes] == [b"hello"] * 20
        assert len(house.peer.sides[0].of(HEADERS)) == 4
        await house.assert_clean(connections=2)


async def test_h2_20_enhance_your_calm_is_obeyed(engine: EngineName) -> None:
    clock = FakeClock()
    async with raw_house(engine, Leaver(), clock=clock) as house:
        async with anyio.create_task_group() as group:
            (outcome,) = await ask(house, group, 1)
            await house.peer.sides[0].say(goaway(0, code_of("ENHANCE_YOUR_CALM")))
            await clock.advance(0.4)
            assert len(house.peer.requests) == 1
            await clock.advance(0.7)
        assert outcome.content == b"hello"
        await house.assert_clean(connections=2)
