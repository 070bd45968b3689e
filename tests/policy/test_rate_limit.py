"""RateLimit: GCRA against a slow model, the line of those who wait, and what servers say."""

from __future__ import annotations

import math
import time
from typing import Any

import anyio
import pytest
from anyio.lowlevel import checkpoint
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, rule

from netio.errors import RateLimited
from netio.message import Request, Response
from netio.observe import Event, Refused
from netio.policy import RateLimit
from netio.policy._gcra import Gcra
from netio.policy._rate_fields import seconds_to_wait
from netio.testing import FakeClock, cancel_everywhere
from tests.policy.retries import Hasty, Scripted, make_request

pytestmark = pytest.mark.anyio


# ---------------------------------------------------------------------- GCRA


class GcraMachine(RuleBasedStateMachine):
    """The model is a bucket that gets a token each quarter of a second. All numbers are exact in floats."""

    BURST = 3

    def __init__(self) -> None:
        super().__init__()
        self.gcra = Gcra(4.0, self.BURST)
        self.now = 64.0
        self.tokens = float(self.BURST)
        self.blocked = 0.0

    @rule(sixteenths=st.integers(0, 20))
    def time_passes(self, sixteenths: int) -> None:
        self.now += sixteenths / 16
        self.tokens = min(float(self.BURST), self.tokens + sixteenths / 4)

    @rule(sixteenths=st.integers(0, 40))
    def server_asks_for_patience(self, sixteenths: int) -> None:
        self.blocked = max(self.blocked, self.now + sixteenths / 16)
        self.gcra.block(self.now + sixteenths / 16)

    @rule()
    def take(self) -> None:
        passes = self.tokens >= 1 and self.now >= self.blocked
        assert (self.gcra.due(self.now) <= self.now) == passes
        assert self.gcra.take(self.now) == passes
        self.tokens -= passes

    @rule(ahead=st.integers(0, 5))
    def due(self, ahead: int) -> None:
        # Let those ahead go as soon as they can, in the model, sixteenth by sixteenth.
        now, tokens, left = self.now, self.tokens, ahead
        while True:
            while now >= self.blocked and tokens >= 1 and left:
                tokens, left = tokens - 1, left - 1
            if now >= self.blocked and tokens >= 1:
                break
            now += 1 / 16
            tokens = min(float(self.BURST), tokens + 1 / 4)
        assert self.gcra.due(self.now, ahead) == pytest.approx(now, abs=1e-6)


TestGcraMachine = GcraMachine.TestCase


@given(
    rate=st.floats(0.01, 10_000),
    burst=st.integers(1, 50),
    pauses=st.lists(st.floats(0, 3), min_size=1, max_size=100),
)
def test_no_stretch_of_time_has_more_than_the_rate_and_the_burst(rate: float, burst: int, pauses: list[float]) -> None:
    gcra, now, passed = Gcra(rate, burst), 1_000.0, list[float]()
    for pause in pauses:
        now += pause / rate
        if gcra.take(now):
            passed.append(now)
    for first, start in enumerate(passed):
        for last, end in enumerate(passed[first:], first):
            assert last - first + 1 <= burst + (end - start) * rate + 1e-3


# ---------------------------------------------------------------------- the line


class Users:
    """Tasks that send through a limit; when each passed, or what it was refused with."""

    def __init__(self, limit: RateLimit, clock: FakeClock) -> None:
        self.limit, self.clock, self.begun = limit, clock, clock.now()
        self.passed: dict[str, float] = {}
        self.refused: dict[str, RateLimited] = {}

    async def send(self, request: Request) -> Response:
        self.passed[request.url.path[1:]] = round(self.clock.now() - self.begun, 3)
        return Response(200, request=request)

    async def one(self, name: str, deadline: float = math.inf) -> None:
        request = make_request(url=f"http://example.org/{name}", clock=self.clock, deadline=self.begun + deadline)
        try:
            await self.limit(request, self.send)
        except RateLimited as error:
            self.refused[name] = error


async def test_who_comes_too_early_waits_in_line() -> None:
    clock = FakeClock()
    users = Users(RateLimit(2.0, burst=2, longest_wait=None), clock)
    async with anyio.create_task_group() as group:
        for name in "abcdef":
            group.start_soon(users.one, name)
            await clock.advance(0)
        await clock.advance(10)
    assert users.passed == {"a": 0.0, "b": 0.0, "c": 0.5, "d": 1.0, "e": 1.5, "f": 2.0}


async def test_who_would_wait_too_long_is_refused_on_arrival() -> None:
    clock = FakeClock()
    users = Users(RateLimit(1.0, longest_wait=2.0), clock)
    async with anyio.create_task_group() as group:
        for name, deadline in (("a", math.inf), ("b", 0.5), ("c", math.inf), ("d", 1.5), ("e", 2.0), ("f", math.inf)):
            group.start_soon(users.one, name, deadline)
            await clock.advance(0)
        assert {name: error.retry_after for name, error in users.refused.items()} == {"b": 1.0, "d": 2.0, "f": 3.0}
        await clock.advance(10)
    assert users.passed == {"a": 0.0, "c": 1.0, "e": 2.0}
    assert all(error.request is not None and not error.sent for error in users.refused.values())


async def test_place_in_line_that_is_given_up_is_taken_by_the_next() -> None:
    clock = FakeClock()
    users = Users(RateLimit(1.0, longest_wait=None), clock)
    async with anyio.create_task_group() as group:
        scopes = {}
        for name in "abcde":
            scopes[name] = anyio.CancelScope()

            async def cancellable(name: str = name) -> None:
                with scopes[name]:
                    await users.one(name)

            group.start_soon(cancellable)
            await clock.advance(0)
        scopes["b"].cancel()  # the first in line, asleep
        scopes["d"].cancel()
        await clock.advance(10)
    assert users.passed == {"a": 0.0, "c": 1.0, "e": 2.0}


async def test_cancelled_anywhere_the_line_goes_on() -> None:
    clock = Hasty()
    limit = RateLimit(1.0, longest_wait=None)

    async def scenario() -> None:
        users = Users(limit, clock)
        async with anyio.create_task_group() as group:
            for name in "abc":
                group.start_soon(users.one, name)
            await checkpoint()
            await users.one("d")

    async def after() -> None:
        assert not any(line.waiters for _, line in limit._lines.both())
        users = Users(limit, clock)
        await users.one("z")
        assert users.passed.keys() == {"z"}

    assert await cancel_everywhere(scenario, after) >= 2


async def test_refusal_is_told_to_the_observer() -> None:
    clock, events = FakeClock(), list[Event]()
    limit = RateLimit(1.0, longest_wait=0)
    await limit(make_request(clock=clock), Scripted(200))
    request = make_request(clock=clock, observer=events.append)
    with pytest.raises(RateLimited, match="the next turn is in 1 s, which is too late") as caught:
        await limit(request, Scripted())
    assert events == [Refused(request, caught.value)]


async def test_each_origin_has_its_own_rate() -> None:
    clock, limit = FakeClock(), RateLimit(1.0, longest_wait=0)
    for host in "abc":
        assert (await limit(make_request(url=f"http://{host}.example/", clock=clock), Scripted(200))).status_code == 200


async def test_rate_limit_stands_around_anything() -> None:
    clock = FakeClock()
    limit = RateLimit(1.0, longest_wait=0, clock=clock)

    @limit
    async def double(number: int) -> int:
        return 2 * number

    async with limit.guard("db"):
        pass
    with pytest.raises(RateLimited) as caught:
        async with limit.guard("db"):
            raise AssertionError
    assert (caught.value.request, caught.value.retry_after) == (None, 1.0)
    assert await double(21) == 42
    with pytest.raises(RateLimited):
        await double(21)


# ---------------------------------------------------------------------- what servers say

FIELDS: list[tuple[int, list[tuple[str, str]], float]] = [
    (200, [], 0.0),
    (200, [("RateLimit", '"default";r=50;t=30')], 0.0),
    (200, [("RateLimit", '"default";r=0;t=30')], 30.0),
    (200, [("RATELIMIT", '"a";r=5;t=90, "b";r=0;t=7')], 7.0),
    (200, [("ratelimit", '"a";t=7;r=0'), ("ratelimit", '"b";r=0;t=8')], 8.0),
    (200, [("RateLimit", '"default";r=0')], 0.0),
    (200, [("RateLimit", '"default";r=00000000000000000;t=5')], 0.0),
    (200, [("RateLimit-Remaining", "0"), ("RateLimit-Reset", "12")], 12.0),
    (200, [("X-RateLimit-Remaining", "1"), ("X-RateLimit-Reset", "12")], 0.0),
    (200, [("X-Ratelimit-Remaining", "0"), ("X-Ratelimit-Reset", "soon")], 0.0),
    (200, [("X-RateLimit-Remaining", "-1"), ("X-RateLimit-Reset", "12")], 0.0),
    (200, [("X-RateLimit-Remaining", "0"), ("X-RateLimit-Reset", "1")], 1.0),
    (200, [("RateLimit", '"default";r=0;t=999999999')], 300.0),
    (200, [("Retry-After", "30")], 0.0),
    (429, [("Retry-After", "30"), ("RateLimit", '"default";r=0;t=60')], 30.0),
    (503, [("Retry-After", "1000000000")], 300.0),
    (429, [("Retry-After", "-1"), ("RateLimit", '"default";r=0;t=60')], 60.0),
    (429, [], 0.0),
]


@pytest.mark.parametrize(("status", "fields", "seconds"), FIELDS)
def test_rt_03_fields_are_read_and_clamped(status: int, fields: list[tuple[str, str]], seconds: float) -> None:
    assert seconds_to_wait(Response(status, request=make_request(), headers=fields), 300.0) == seconds


def test_rt_03_reset_may_be_a_time_since_1970() -> None:
    soon = str(int(time.time()) + 200)
    response = Response(
        200, request=make_request(), headers=[("X-RateLimit-Remaining", "0"), ("X-RateLimit-Reset", soon)]
    )
    assert 0 < seconds_to_wait(response, 300.0) <= 201
    past = Response(
        200, request=make_request(), headers=[("X-RateLimit-Remaining", "0"), ("X-RateLimit-Reset", "1000000001")]
    )
    assert seconds_to_wait(past, 300.0) == 0.0


@pytest.mark.parametrize(
    ("follow", "status", "is_blocked"),
    [("refusals", 429, True), ("refusals", 200, False), ("answers", 200, True), ("nothing", 429, False)],
)
async def test_it_stops_for_as_long_as_the_server_says(follow: Any, status: int, is_blocked: bool) -> None:
    clock = FakeClock()
    limit = RateLimit(1_000.0, burst=10, follow=follow, longest_wait=0)
    send = Scripted(200)

    async def answer(request: Request) -> Response:
        return Response(status, request=request, headers=[("RateLimit", '"default";r=0;t=30')])

    await limit(make_request(clock=clock), answer)
    await clock.advance(29)
    if not is_blocked:
        await limit(make_request(clock=clock), send)
        return
    with pytest.raises(RateLimited) as caught:
        await limit(make_request(clock=clock), send)
    assert caught.value.retry_after == 1.0
    await clock.advance(1)
    await limit(make_request(clock=clock), send)


async def test_who_waits_is_refused_when_the_server_asks_for_more_patience() -> None:
    clock = FakeClock()
    limit = RateLimit(1.0, longest_wait=None)
    users = Users(limit, clock)
    go = anyio.Event()

    async def refuse(request: Request) -> Response:
        await go.wait()
        return Response(429, request=request, headers=[("Retry-After", "60")])

    async with anyio.create_task_group() as group:
        group.start_soon(limit.around, make_request(clock=clock), refuse)
        await clock.advance(0)
        for name, deadline in (("first", 50), ("short", 10), ("long", 100)):
            group.start_soon(users.one, name, float(deadline))
            await clock.advance(0)
        go.set()
        await clock.advance(0.5)
        assert (users.passed, set(users.refused)) == ({}, {"short"})
        await clock.advance(1)
        assert users.refused.keys() == {"short", "first"}
        await clock.advance(100)
    assert users.passed == {"long": 60.0}


@pytest.mark.parametrize(
    "options",
    [
        {"rate": 0},
        {"rate": math.inf},
        {"burst": 0},
        {"longest_wait": -1},
        {"follow": True},
        {"longest_pause": -1},
        {"limit": 0},
    ],
)
def test_nonsense_is_refused(options: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=r"RateLimit\."):
        RateLimit(**({"rate": 1.0} | options))
