"""Requests that a server turns down: REFUSED_STREAM, low limits on streams, 421, and resets of all kinds."""

from __future__ import annotations

from functools import partial

import anyio
import pytest

import netio
from netio.testing import FakeClock
from netio.wire import EngineName
from tests.http2.raw import (
    END_STREAM,
    HEADERS,
    MAX_CONCURRENT_STREAMS,
    RST_STREAM,
    Outcome,
    RawPeer,
    RawSide,
    answer,
    code_of,
    data,
    head,
    raw_house,
    reset,
    settings,
)

pytestmark = pytest.mark.anyio

REFUSED = code_of("REFUSED_STREAM")


class Refuser(RawPeer):
    """Refuses the first requests, as many as it is told."""

    def __init__(self, times: int) -> None:
        super().__init__()
        self.left = times

    async def respond(self, side: RawSide, stream_id: int, request: str, body: bytes) -> None:
        if self.left:
            self.left -= 1
            await side.say(reset(stream_id, REFUSED))
        else:
            await super().respond(side, stream_id, request, body)


@pytest.mark.parametrize("method", ["GET", "POST"])
async def test_h2_21_a_refused_request_is_sent_again_three_times(engine: EngineName, method: str) -> None:
    clock = FakeClock()
    async with raw_house(engine, Refuser(3), clock=clock) as house:
        outcome = Outcome()
        async with anyio.create_task_group() as group:
            content = b"12345" if method == "POST" else None
            group.start_soon(partial(outcome.of, house.session, "/", method, content=content))
            await house.settle()
            assert len(house.peer.requests) == 2  # the first repetition is at once, the others wait
            await clock.advance(1)
        assert outcome.content == (b"5" if method == "POST" else b"hello")
        assert len(house.peer.requests) == 4
        await house.assert_clean(connections=1)


async def test_h2_21_a_server_that_refuses_everything_is_given_up(engine: EngineName) -> None:
    clock = FakeClock()
    async with raw_house(engine, Refuser(1_000), clock=clock) as house:
        outcome = Outcome()
        async with anyio.create_task_group() as group:
            group.start_soon(outcome.of, house.session, "/")
            await clock.advance(10)
        outcome.check_error(netio.StreamReset, "REFUSED_STREAM", sent=False)
        assert len(house.peer.requests) == 4
        await house.assert_clean(connections=1)


async def test_h2_21_backing_off_ends_at_the_deadline(engine: EngineName) -> None:
    clock = FakeClock()
    async with raw_house(engine, Refuser(1_000), clock=clock) as house:
        outcome = Outcome()
        async with anyio.create_task_group() as group:
            group.start_soon(partial(outcome.of, house.session, "/", timeout=1e-9))
            await clock.advance(5)
        assert outcome.error is not None
        assert outcome.error.sent is False
        assert len(house.peer.requests) <= 2


async def test_h2_11_a_limit_below_what_is_in_flight_lets_it_finish_and_holds_the_others(engine: EngineName) -> None:
    async with raw_house(engine, limits=netio.Limits(connections=1)) as house:
        await house.session.get("/")
        side = house.peer.sides[0]
        async with anyio.create_task_group() as group:
            outcomes = [Outcome() for _ in range(6)]
            for outcome in outcomes[:3]:
                group.start_soon(outcome.of, house.session, "/hang")
            await house.settle()
            await side.say(settings({MAX_CONCURRENT_STREAMS: 2}))
            await house.settle()
            for outcome in outcomes[3:]:
                group.start_soon(outcome.of, house.session, "/hang")
            await house.settle()
            assert (len(side.open), house.session.stats().queued) == (3, 3)
            await side.say(answer(3))
            await house.settle()
            assert (len(side.open), house.session.stats().queued) == (2, 3)
            await side.say(answer(5))
            await house.settle()
            assert (len(side.open), house.session.stats().queued) == (2, 2)
            await side.say(settings({MAX_CONCURRENT_STREAMS: 100}))
            await house.settle()
            assert (len(side.open), house.session.stats().queued) == (4, 0)
            await side.say(*[answer(stream_id) for stream_id in list(side.open)])
        assert [outcome.content for outcome in outcomes] == [b"hello"] * 6
        await house.assert_clean(connections=1)


async def test_h2_11_a_limit_of_zero_sends_new_requests_to_another_connection(engine: EngineName) -> None:
    async with raw_house(engine) as house:
        await house.session.get("/")
        first = house.peer.sides[0]
        async with anyio.create_task_group() as group:
            running = Outcome()
            group.start_soon(running.of, house.session, "/hang")
            await house.settle()
            await first.say(settings({MAX_CONCURRENT_STREAMS: 0}))
            await house.settle()
            assert (await house.session.get("/")).content == b"hello"
            assert house.session.stats().created == 2
            await first.say(answer(3))
        assert running.content == b"hello"
        await house.assert_clean(connections=2)


async def test_h2_11_a_limit_of_zero_that_is_raised_again_wakes_those_that_wait(engine: EngineName) -> None:
    async with raw_house(engine, limits=netio.Limits(connections=1)) as house:
        await house.session.get("/")
        side = house.peer.sides[0]
        outcomes = [Outcome() for _ in range(4)]
        async with anyio.create_task_group() as group:
            group.start_soon(outcomes[0].of, house.session, "/hang")
            await house.settle()
            for _ in range(3):
                await side.say(settings({MAX_CONCURRENT_STREAMS: 5}), settings({MAX_CONCURRENT_STREAMS: 0}))
            await house.settle()
            for outcome in outcomes[1:]:
                group.start_soon(outcome.of, house.session, "/")
            await house.settle()
            assert (len(side.open), house.session.stats().queued) == (1, 3)
            await side.say(settings({MAX_CONCURRENT_STREAMS: 2}))
            await house.settle()
            assert [outcome.content for outcome in outcomes] == [None] + [b"hello"] * 3
            await side.say(answer(3))
        await house.assert_clean(connections=1)


async def test_h2_11_a_server_that_never_allows_a_stream_is_waited_for_in_vain(engine: EngineName) -> None:
    """It refuses what was sent before its SETTINGS came; the requests end by their limits, and do not dial for ever."""
    clock = FakeClock()

    class Closed(Refuser):
        async def begin(self, side: RawSide) -> None:
            await side.say(settings({MAX_CONCURRENT_STREAMS: 0}))

    async with raw_house(engine, Closed(1_000), clock=clock) as house:
        outcomes = [Outcome() for _ in range(5)]
        async with anyio.create_task_group() as group:
            for outcome in outcomes:
                group.start_soon(partial(outcome.of, house.session, "/", timeout=netio.Timeouts(total=30)))
            await clock.advance(31)
        for outcome in outcomes:
            assert outcome.error is not None
            assert outcome.error.sent is False
        assert house.session.stats().created <= 4 * len(outcomes)
        await house.assert_clean()


class Misdirected(RawPeer):
    """Says 421 on every connection that has served other requests, and on all if told so."""

    is_stubborn = False

    async def respond(self, side: RawSide, stream_id: int, request: str, body: bytes) -> None:
        status = 421 if len(side.of(HEADERS)) > 1 or self.is_stubborn else 200
        await side.say(answer(stream_id, b"%d" % status, status))


@pytest.mark.parametrize("method", ["GET", "POST"])
async def test_h2_23_a_421_on_a_used_connection_is_sent_again_on_a_new_one(engine: EngineName, method: str) -> None:
    async with raw_house(engine, Misdirected()) as house:
        await house.session.get("/")
        response = await house.session.request(method, "/", content=b"x" if method == "POST" else None)
        assert (response.status_code, response.content) == (200, b"200")
        assert len(house.peer.requests) == 3
        await house.assert_clean(connections=2)


async def test_h2_23_a_421_on_a_new_connection_is_the_answer(engine: EngineName) -> None:
    async with raw_house(engine, Misdirected()) as house:
        house.peer.is_stubborn = True
        assert (await house.session.get("/")).status_code == 421
        assert (await house.session.get("/")).status_code == 421
        assert len(house.peer.requests) == 3  # the second one was tried once more
        await house.assert_clean()


@pytest.mark.parametrize("code", ["NO_ERROR", "CANCEL", "INTERNAL_ERROR"])
async def test_h2_23_a_reset_after_the_whole_answer_changes_nothing(engine: EngineName, code: str) -> None:
    """RFC 9113 section 8.1: the server does not want the rest of the request."""
    async with raw_house(engine) as house:
        house.peer.credits = False  # the upload stalls
        outcome = Outcome()
        async with anyio.create_task_group() as group:
            group.start_soon(partial(outcome.of, house.session, "/", "POST", content=b"x" * 500_000))
            await house.settle()
            (side,) = house.peer.sides
            await side.say(answer(1, b"enough"), reset(1, code_of(code)))
        assert outcome.content == b"enough"
        house.peer.credits = True
        assert (await house.session.get("/")).content == b"hello"
        await house.assert_clean(connections=1)


@pytest.mark.parametrize("code", ["CANCEL", "INTERNAL_ERROR", "ENHANCE_YOUR_CALM", "PROTOCOL_ERROR"])
async def test_h2_23_a_reset_without_answer_is_the_error_of_that_request_alone(engine: EngineName, code: str) -> None:
    async with raw_house(engine) as house:
        outcomes = [Outcome(), Outcome()]
        async with anyio.create_task_group() as group:
            for outcome in outcomes:
                group.start_soon(outcome.of, house.session, "/hang")
                await house.settle()
            await house.peer.sides[0].say(reset(1, code_of(code)))
            await house.settle()
            outcomes[0].check_error(netio.StreamReset, code)
            assert not outcomes[1].is_here
            await house.peer.sides[0].say(answer(3))
        assert outcomes[1].content == b"hello"
        assert house.peer.requests == ["GET /hang", "GET /hang"]
        await house.assert_clean(connections=1)


async def test_h2_28_what_is_cancelled_is_reset_and_both_sides_count_the_same(engine: EngineName) -> None:
    async with raw_house(engine) as house:
        await house.session.get("/")
        side = house.peer.sides[0]
        for number in range(20):
            async with anyio.create_task_group() as group:
                for _ in range(5):
                    group.start_soon(Outcome().of, house.session, "/hang")
                await house.settle()
                begun = list(side.open)
                if number % 2:
                    await side.say(*[head(stream_id) + data(stream_id, b"some") for stream_id in begun])
                    await house.settle()
                assert len(begun) == 5
                group.cancel_scope.cancel()
            await house.settle()
            assert side.open == {}
        assert set(side.resets.values()) == {code_of("CANCEL")}
        assert len(side.of(RST_STREAM)) == 100
        assert [heard for heard in side.of(HEADERS) if not heard.flags & END_STREAM] == []
        await house.assert_clean(connections=1)
