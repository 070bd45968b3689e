"""Whether the server is still there: SETTINGS acknowledged in time, PING while requests are in flight."""

from __future__ import annotations

from functools import partial

import anyio
import pytest

import netio
from netio.testing import FakeClock
from netio.wire import EngineName
from tests.http2.raw import PING, Outcome, RawPeer, RawSide, answer, data, head, raw_house

pytestmark = pytest.mark.anyio

LIMITS = netio.Limits(ping_after=10, ping_timeout=5, idle_seconds=1_000, connection_age=None)


def deaf() -> RawPeer:
    """A server that acknowledges nothing."""
    peer = RawPeer()
    peer.acknowledges = False
    return peer


class FallsSilent(RawPeer):
    """Acknowledges nothing once it is told to; a second connection is answered."""

    async def respond(self, side: RawSide, stream_id: int, request: str, body: bytes) -> None:
        if side.number:
            await side.say(answer(stream_id, b"second"))
        else:
            await super().respond(side, stream_id, request, body)


async def test_h2_26_settings_that_are_not_acknowledged_in_time_end_the_connection(engine: EngineName) -> None:
    clock = FakeClock()
    async with raw_house(engine, deaf(), clock=clock, limits=LIMITS) as house:
        outcomes = [Outcome(), Outcome()]
        async with anyio.create_task_group() as group:
            for outcome in outcomes:
                group.start_soon(partial(outcome.of, house.session, "/hang", "POST", content=b"x"))
            await clock.advance(4.8)
            assert [outcome.is_here for outcome in outcomes] == [False, False]
            await clock.advance(0.4)
        for outcome in outcomes:
            outcome.check_error(netio.ConnectionLost, "did not answer SETTINGS for 5 s")
        await house.assert_clean(connections=1)


async def test_h2_26_answers_do_not_make_up_for_settings_that_are_not_acknowledged(engine: EngineName) -> None:
    clock = FakeClock()
    async with raw_house(engine, deaf(), clock=clock, limits=LIMITS) as house:
        for _ in range(4):
            assert (await house.session.get("/")).content == b"hello"
            await clock.advance(1)
        assert house.session.stats().idle == 1
        await clock.advance(1.2)
        assert house.session.stats().idle == 0
        await house.assert_clean(connections=1)


async def test_h2_27_a_silence_is_asked_about_while_requests_are_in_flight(engine: EngineName) -> None:
    clock = FakeClock()
    async with raw_house(engine, clock=clock, limits=LIMITS) as house:
        outcome = Outcome()
        async with anyio.create_task_group() as group:
            group.start_soon(outcome.of, house.session, "/hang")
            await clock.advance(9.8)
            (side,) = house.peer.sides
            assert side.of(PING) == []
            await clock.advance(0.4)
            assert len(side.of(PING)) == 1
            await clock.advance(30)  # each answer begins the silence anew
            assert len(side.of(PING)) in (3, 4)
            assert not outcome.is_here
            await side.say(answer(1))
        assert outcome.content == b"hello"
        await house.assert_clean(connections=1)


async def test_h2_27_nothing_is_asked_while_data_comes(engine: EngineName) -> None:
    clock = FakeClock()
    async with raw_house(engine, clock=clock, limits=LIMITS) as house:
        outcome = Outcome()
        async with anyio.create_task_group() as group:
            group.start_soon(outcome.of, house.session, "/hang")
            await house.settle()
            (side,) = house.peer.sides
            await side.say(head(1))
            for _ in range(10):
                await clock.advance(9)
                await side.say(data(1, b"x"))
            assert side.of(PING) == []
            await side.say(data(1, ends=True))
        assert outcome.content == b"x" * 10
        await house.assert_clean(connections=1)


async def test_h2_27_any_byte_is_an_answer(engine: EngineName) -> None:
    clock = FakeClock()
    async with raw_house(engine, clock=clock, limits=LIMITS) as house:
        outcome = Outcome()
        async with anyio.create_task_group() as group:
            group.start_soon(outcome.of, house.session, "/hang")
            await house.settle()
            (side,) = house.peer.sides
            house.peer.acknowledges = False
            await clock.advance(12)
            assert len(side.of(PING)) == 1
            await side.say(head(1))
            await clock.advance(9)
            assert not outcome.is_here
            assert len(side.of(PING)) == 1
            await side.say(data(1, b"late", ends=True))
        assert outcome.content == b"late"
        await house.assert_clean(connections=1)


async def test_h2_27_a_connection_that_does_not_answer_fails_all_that_are_on_it(engine: EngineName) -> None:
    clock = FakeClock()
    async with raw_house(engine, clock=clock, limits=LIMITS) as house:
        await house.session.get("/")
        house.peer.acknowledges = False
        outcomes = [Outcome() for _ in range(3)]
        async with anyio.create_task_group() as group:
            for outcome in outcomes:
                group.start_soon(partial(outcome.of, house.session, "/hang", "POST", content=b"x"))
            await clock.advance(14.8)
            assert [outcome.is_here for outcome in outcomes] == [False] * 3
            await clock.advance(0.5)
        for outcome in outcomes:
            outcome.check_error(netio.ConnectionLost, "did not answer a PING for 5 s")
            assert isinstance(outcome.error, netio.ConnectionLost)
            assert (outcome.error.phase, outcome.error.unanswered) == ("head", True)
        await house.assert_clean(connections=1)


async def test_h2_27_what_may_be_repeated_moves_to_another_connection(engine: EngineName) -> None:
    clock = FakeClock()
    async with raw_house(engine, FallsSilent(), clock=clock, limits=LIMITS) as house:
        await house.session.get("/")
        house.peer.acknowledges = False
        outcomes = [Outcome(), Outcome()]
        async with anyio.create_task_group() as group:
            for outcome in outcomes:
                group.start_soon(outcome.of, house.session, "/hang")
            await clock.advance(14)
            house.peer.acknowledges = True
            await clock.advance(2)
        assert [outcome.content for outcome in outcomes] == [b"second"] * 2
        await house.assert_clean(connections=2)


@pytest.mark.parametrize("wished", [False, True])
async def test_h2_27_an_idle_connection_is_asked_only_if_that_is_wished(engine: EngineName, wished: bool) -> None:
    clock = FakeClock()
    limits = netio.Limits(ping_after=10, ping_timeout=5, ping_when_idle=wished, idle_seconds=1_000)
    async with raw_house(engine, clock=clock, limits=limits) as house:
        await house.session.get("/")
        (side,) = house.peer.sides
        await clock.advance(35)
        assert len(side.of(PING)) == (3 if wished else 0)
        house.peer.acknowledges = False
        await clock.advance(20)
        assert house.session.stats().idle == (0 if wished else 1)
        await house.assert_clean(connections=1)


async def test_h2_27_after_a_rest_the_silence_is_counted_from_the_new_request(engine: EngineName) -> None:
    clock = FakeClock()
    async with raw_house(engine, clock=clock, limits=LIMITS) as house:
        await house.session.get("/")
        await clock.advance(500)
        (side,) = house.peer.sides
        outcome = Outcome()
        async with anyio.create_task_group() as group:
            group.start_soon(outcome.of, house.session, "/hang")
            await clock.advance(9.8)
            assert side.of(PING) == []
            await clock.advance(0.4)
            assert len(side.of(PING)) == 1
            await side.say(answer(3))
        await house.assert_clean(connections=1)


async def test_h2_27_who_wishes_no_pings_gets_none(engine: EngineName) -> None:
    clock = FakeClock()
    limits = netio.Limits(ping_after=None, ping_timeout=5)
    async with raw_house(engine, clock=clock, limits=limits) as house:
        outcome = Outcome()
        async with anyio.create_task_group() as group:
            group.start_soon(outcome.of, house.session, "/hang")
            await clock.advance(300)
            (side,) = house.peer.sides
            assert side.of(PING) == []
            await side.say(answer(1))
        await house.assert_clean(connections=1)
