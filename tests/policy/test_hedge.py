"""Hedge: when a second attempt is made, which one counts, and what becomes of the other (HAZARDS RT-07)."""

from __future__ import annotations

import math
from collections.abc import Awaitable, Callable
from contextvars import ContextVar
from typing import Any

import anyio
import pytest
from anyio.lowlevel import checkpoint
from hypothesis import given
from hypothesis import strategies as st

from netio.body import IteratorBody
from netio.errors import ConnectError, ReadTimeout
from netio.message import Request, Response
from netio.observe import Event, Hedged
from netio.policy import Hedge, RetryBudget
from netio.policy._latencies import LEAST, SIZE, Latencies
from netio.testing import FakeClock, cancel_everywhere
from tests.policy.retries import Hasty, Pending, make_request

pytestmark = pytest.mark.anyio

Outcome = int | Exception


class Timed:
    """A send whose attempts end, each after its time, as they are told. Counts those that were cancelled."""

    def __init__(self, clock: FakeClock, *attempts: tuple[float, Outcome]) -> None:
        self.clock = clock
        self.attempts = list(attempts)
        self.sent: list[float] = []
        self.cancelled = 0
        self.responses: list[Response] = []

    async def __call__(self, request: Request) -> Response:
        seconds, outcome = self.attempts[len(self.sent)]
        self.sent.append(self.clock.now())
        try:
            await self.clock.sleep(seconds)
        except anyio.get_cancelled_exc_class():
            self.cancelled += 1
            raise
        if isinstance(outcome, Exception):
            raise outcome
        self.responses.append(Response(outcome, request=request, source=Pending()))
        return self.responses[-1]


async def run(clock: FakeClock, function: Callable[[], Awaitable[Any]]) -> tuple[float, object]:
    """Run a function while the time goes on; return how long it took, and its result or error."""
    begun, result = clock.now(), list[tuple[float, object]]()

    async def note() -> None:
        try:
            outcome: object = await function()
        except Exception as error:
            outcome = error
        result.append((round(clock.now() - begun, 3), outcome))

    async with anyio.create_task_group() as group:
        group.start_soon(note)
        while not result:
            await clock.advance(0.5)
    return result[0]


async def hedged(*attempts: tuple[float, Outcome], delay: float = 1.0) -> tuple[float, object, Timed]:
    clock = FakeClock()
    send = Timed(clock, *attempts)
    hedge = Hedge(delay, budget=RetryBudget.unlimited())
    took, outcome = await run(clock, lambda: hedge(make_request(clock=clock), send))
    await clock.advance(delay)
    assert clock.sleepers == 0
    return took, outcome, send


async def test_fast_answer_is_not_hedged() -> None:
    took, outcome, send = await hedged((0.9, 200))
    assert (took, outcome, len(send.sent)) == (0.9, send.responses[0], 1)
    assert not send.responses[0].is_closed


async def test_rt_07_slow_answer_loses_to_the_hedge_and_is_cancelled() -> None:
    took, outcome, send = await hedged((60.0, 200), (0.5, 201))
    assert (took, outcome, send.cancelled) == (1.5, send.responses[0], 1)
    assert [response.status_code for response in send.responses] == [201]
    assert not send.responses[0].is_closed


async def test_rt_07_hedge_loses_to_the_first_and_is_cancelled() -> None:
    took, outcome, send = await hedged((1.4, 200), (0.5, 201))
    assert (took, outcome, send.cancelled) == (1.4, send.responses[0], 1)
    assert [response.status_code for response in send.responses] == [200]


async def test_rt_07_two_answers_at_once_leave_one_open() -> None:
    _, outcome, send = await hedged((1.5, 200), (0.5, 201))
    assert isinstance(outcome, Response)
    assert not outcome.is_closed
    assert [response.is_closed for response in send.responses if response is not outcome] == [True] * (
        len(send.responses) - 1
    )


async def test_failure_before_the_hedge_is_the_result_at_once() -> None:
    error = ConnectError("refused")
    took, outcome, send = await hedged((0.5, error), (0.5, 200))
    assert (took, outcome, len(send.sent)) == (0.5, error, 1)
    took, outcome, send = await hedged((0.5, 503), (0.5, 200))
    assert (took, outcome, len(send.sent)) == (0.5, send.responses[0], 1)


@pytest.mark.parametrize(
    ("first", "second", "took", "result"),
    [
        ((1.2, ConnectError("first")), (1.0, 200), 2.0, 200),
        ((1.2, 503), (1.0, 200), 2.0, 200),
        ((5.0, 200), (0.5, ConnectError("second")), 5.0, 200),
        ((5.0, 200), (0.5, 503), 5.0, 200),
        ((5.0, 404), (0.5, 503), 5.0, 404),
        ((1.2, ConnectError("first")), (1.0, 503), 2.0, 503),
        ((1.2, 502), (1.0, ConnectError("second")), 2.0, 502),
        ((1.2, 502), (1.0, 503), 2.0, 502),
        ((1.2, ConnectError("first")), (1.0, ReadTimeout("second")), 2.0, "first"),
    ],
)
async def test_bad_outcome_waits_for_a_better_one(
    first: tuple[float, Outcome], second: tuple[float, Outcome], took: float, result: int | str
) -> None:
    seconds, outcome, send = await hedged(first, second)
    assert seconds == took
    if isinstance(outcome, Response):
        assert outcome.status_code == result
        assert [response for response in send.responses if not response.is_closed] == [outcome]
    else:
        assert isinstance(outcome, ConnectError)
        assert str(outcome) == result


async def test_post_is_not_hedged() -> None:
    clock = FakeClock()
    send = Timed(clock, (60.0, 200))
    took, _ = await run(clock, lambda: Hedge(1.0)(make_request("POST", clock=clock), send))
    assert (took, len(send.sent)) == (60.0, 1)


@pytest.mark.parametrize("is_begun", [False, True])
async def test_rt_04_body_that_cannot_be_replayed_is_not_hedged(is_begun: bool) -> None:
    clock, body = FakeClock(), IteratorBody(iter([b"x"]))
    send = Timed(clock, (60.0, 200))

    async def reading(request: Request) -> Response:
        assert not request.body.is_replayable or b"".join([chunk async for chunk in request.body.chunks()]) == b"x"
        return await send(request)

    if is_begun:
        assert [chunk async for chunk in body.chunks()] == [b"x"]
    took, _ = await run(clock, lambda: Hedge(1.0)(make_request(body=body, clock=clock), reading))
    assert (took, len(send.sent)) == (60.0, 1)


async def test_rt_02_budget_bounds_the_extra_load() -> None:
    clock = FakeClock()
    hedge = Hedge(1.0, budget=RetryBudget(ratio=0.1, floor=0.0, capacity=2.0))
    sent = 0
    for _ in range(40):
        send = Timed(clock, (2.0, 200), (2.0, 200))
        await run(clock, lambda send=send: hedge(make_request(clock=clock), send))  # type: ignore[misc]
        sent += len(send.sent)
    assert sent == 40 + 2 + 3  # what was saved up, and a tenth of the requests since the first hedge


async def test_delay_is_the_percentile_of_the_last_answers() -> None:
    clock, events = FakeClock(), list[Event]()
    hedge = Hedge(percentile=0.9, budget=RetryBudget.unlimited())
    for number in range(LEAST):
        send = Timed(clock, ((number + 1) / 10, 200))
        took, _ = await run(clock, lambda send=send: hedge(make_request(clock=clock), send))  # type: ignore[misc]
        assert took == (number + 1) / 10  # until so many are known nothing is hedged
    send = Timed(clock, (60.0, 200), (0.1, 200))
    request = make_request(clock=clock, observer=events.append)
    took, _ = await run(clock, lambda: hedge(request, send))
    assert took == pytest.approx(1.9)
    (event,) = events
    assert isinstance(event, Hedged)
    assert event.request is request
    assert event.delay == pytest.approx(1.8)


async def test_origins_have_latencies_of_their_own() -> None:
    clock = FakeClock()
    hedge = Hedge(budget=RetryBudget.unlimited())
    for _ in range(LEAST):
        send = Timed(clock, (0.1, 200))
        await run(clock, lambda send=send: hedge(make_request(url="http://a.example/", clock=clock), send))  # type: ignore[misc]
    for host, attempts in (("a", 2), ("b", 1)):
        send = Timed(clock, (2.0, 200), (0.1, 200))
        request = make_request(url=f"http://{host}.example/", clock=clock)
        await run(clock, lambda request=request, send=send: hedge(request, send))  # type: ignore[misc]
        assert len(send.sent) == attempts


@given(samples=st.lists(st.floats(0, 100), max_size=3 * SIZE), share=st.floats(0.01, 1.0))
def test_percentile_is_that_of_the_last_samples(samples: list[float], share: float) -> None:
    latencies = Latencies(share)
    latencies.samples.extend(samples)
    last = sorted(samples[-SIZE:])
    assert latencies.percentile() == (None if len(last) < LEAST else last[math.ceil(share * len(last)) - 1])


async def test_call_hedges_a_function() -> None:
    clock = FakeClock()
    hedge = Hedge(1.0, clock=clock)
    calls = 0

    @hedge
    async def slow_then_fast(number: int) -> int:
        nonlocal calls
        calls += 1
        await clock.sleep(60.0 if calls == 1 else 0.5)
        return number

    assert await run(clock, lambda: slow_then_fast(7)) == (1.5, 7)
    assert calls == 2
    learning = Hedge(clock=clock)
    assert await run(clock, lambda: learning.call(slow_then_fast, 8)) == (0.5, 8)


class Stepping:
    """A send whose attempts each take so many checkpoints."""

    def __init__(self, *attempts: tuple[int, int]) -> None:
        self.attempts = list(attempts)
        self.running = 0
        self.responses: list[Response] = []

    async def __call__(self, request: Request) -> Response:
        steps, status = self.attempts.pop(0)
        self.running += 1
        try:
            for _ in range(steps):
                await checkpoint()
        finally:
            self.running -= 1
        self.responses.append(Response(status, request=request, source=Pending()))
        return self.responses[-1]


@pytest.mark.parametrize(
    ("first", "second", "result"),
    [
        ((40, 200), (5, 201), 201),
        ((15, 200), (40, 201), 200),
        ((15, 503), (20, 500), 503),
        ((15, 503), (20, 201), 201),
        ((20, 200), (5, 500), 200),
    ],
)
async def test_rt_07_cancelled_anywhere_nothing_is_left_open_or_under_way(
    first: tuple[int, int], second: tuple[int, int], result: int
) -> None:
    hedge = Hedge(1.0, budget=RetryBudget.unlimited())
    sends: list[Stepping] = []
    statuses: set[int] = set()

    async def scenario() -> None:
        sends.append(Stepping(first, second))
        async with await hedge(make_request(clock=Hasty()), sends[-1]) as response:
            statuses.add(response.status_code)

    async def after() -> None:
        assert [send.running for send in sends if send.running] == []
        assert [response for send in sends for response in send.responses if not response.is_closed] == []
        (peer,) = hedge._peers.values()
        assert (peer.waiting, peer._races) == ({}, {})

    assert await cancel_everywhere(scenario, after) >= 8
    assert statuses == {result}
    assert [send.attempts for send in sends].count([]) > len(sends) / 3  # the hedge was under way


async def test_rt_07_hedge_that_wins_leaves_an_outer_cancellation_alone() -> None:
    clock, inner = FakeClock(), anyio.CancelScope()
    send = Timed(clock, (60.0, 200), (0.5, 201))
    outcomes: list[str] = []

    async def one() -> None:
        with inner:
            async with await Hedge(1.0)(make_request(clock=clock), send):
                outcomes.append("answered")
            inner.cancel()
            await checkpoint()
            outcomes.append("not reached")
        outcomes.append("after the scope")
        await checkpoint()
        outcomes.append("and not cancelled")

    async with anyio.create_task_group() as group:
        group.start_soon(one)
        await clock.advance(3.0)
    assert outcomes == ["answered", "after the scope", "and not cancelled"]


async def test_hedge_runs_in_the_context_of_its_request() -> None:
    clock, seen = FakeClock(), list[str]()
    user: ContextVar[str] = ContextVar("user")
    hedge = Hedge(1.0, budget=RetryBudget.unlimited())

    async def slow(request: Request) -> Response:
        seen.append(user.get())
        await clock.sleep(60.0 if seen.count(user.get()) == 1 else 0.5)
        return Response(200, request=request)

    async def one(name: str) -> None:
        user.set(name)
        await hedge(make_request(clock=clock), slow)

    async with anyio.create_task_group() as group:
        for name in "ab":
            group.start_soon(one, name)
            await clock.advance(0.25)
        await clock.advance(2.0)
    assert seen == ["a", "b", "a", "b"]


async def test_timer_is_shared_and_ends_when_nobody_waits() -> None:
    clock = FakeClock()
    hedge = Hedge(1.0, budget=RetryBudget.unlimited())
    send = Timed(clock, *[(0.5, 200)] * 100)
    async with anyio.create_task_group() as group:
        for _ in range(100):
            group.start_soon(hedge.around, make_request(clock=clock), send)
        await clock.advance(0.25)
        assert clock.sleepers == 101
        await clock.advance(0.5)
        assert clock.sleepers == 1
        await clock.advance(0.5)
    assert (clock.sleepers, len(send.sent)) == (0, 100)


async def test_shorter_delay_is_kept_while_the_timer_sleeps_for_a_longer_one() -> None:
    clock = FakeClock()
    hedge = Hedge(percentile=1.0, budget=RetryBudget.unlimited())
    peer = hedge._peers[make_request().url.origin]
    peer.delay = 10.0
    slow = Timed(clock, (60.0, 200), (0.5, 200))
    quick = Timed(clock, (60.0, 200), (0.5, 200))
    async with anyio.create_task_group() as group:
        group.start_soon(hedge.around, make_request(clock=clock), slow)
        await clock.advance(1.0)
        peer.delay = 2.0
        group.start_soon(hedge.around, make_request(clock=clock), quick)
        await clock.advance(20.0)
    assert [[sent - 1_000.0 for sent in send.sent] for send in (slow, quick)] == [[0.0, 10.0], [1.0, 3.0]]


@pytest.mark.parametrize(
    "options",
    [{"delay": 0}, {"delay": math.inf}, {"percentile": 0}, {"percentile": 1.1}, {"least_delay": -1}, {"limit": 0}],
)
def test_nonsense_is_refused(options: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=r"Hedge\."):
        Hedge(**options)
