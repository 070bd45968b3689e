"""Retry: how long it waits between attempts, and that it can be cancelled meanwhile."""

from __future__ import annotations

import math
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import anyio
import pytest
from hypothesis import given
from hypothesis import strategies as st

from netio.deadline import NEVER
from netio.errors import ConnectError, RequestError
from netio.message import Request, Response
from netio.policy import Retry
from netio.policy._backoff import Backoff
from netio.testing import FakeClock
from tests.policy.retries import Instant, Scripted, attempts_for, make_request, make_retry

pytestmark = pytest.mark.anyio


# ---------------------------------------------------------------------- back-off


@pytest.mark.parametrize(
    ("drawn", "naps"),
    [
        (1.0, [0.1, 0.2, 0.4, 0.8, 1.0, 1.0]),
        (0.5, [0.05, 0.1, 0.2, 0.4, 0.5, 0.5]),
        (0.0, [0.0] * 6),
    ],
)
async def test_delay_is_drawn_from_a_range_that_doubles_up_to_the_cap(drawn: float, naps: list[float]) -> None:
    retry, clock = make_retry(attempts=7, base=0.1, cap=1.0, random=lambda: drawn)
    await retry(make_request(clock=clock), Scripted(*[503] * 6, 200))
    assert clock.naps == pytest.approx(naps)


@given(
    base=st.floats(1e-300, 1e300),
    times=st.floats(1.0, 1e6),
    drawn=st.floats(0.0, 1.0, exclude_max=True),
    attempt=st.integers(1, 10_000),
)
def test_delay_is_never_negative_nor_above_the_cap(base: float, times: float, drawn: float, attempt: int) -> None:
    cap = base * times
    delay = Backoff("Retry", base, cap, "full", lambda: drawn).delay(attempt, None)
    assert 0.0 <= delay <= cap
    assert delay <= base * 2.0 ** min(attempt - 1, 20) or attempt > 21


async def test_very_many_attempts_are_no_overflow() -> None:
    retry, clock = make_retry(attempts=1_200, base=0.001, cap=0.002)
    response = await retry(make_request(clock=clock), Scripted(*[503] * 1_199, 200))
    assert (response.status_code, clock.naps[-1], len(clock.naps)) == (200, 0.002, 1_199)


@pytest.mark.parametrize(
    "options",
    [
        {"attempts": 0},
        {"attempts": -1},
        {"attempts": 2.5},
        {"attempts": True},
        {"attempts": "3"},
        {"attempts": None},
        {"base": 0},
        {"base": -1},
        {"base": math.nan},
        {"base": math.inf, "cap": math.inf},
        {"base": 1, "cap": 0.5},
        {"cap": math.inf},
        {"cap": math.nan},
        {"cap": 0},
    ],
)
def test_nonsense_is_refused(options: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=r"Retry\."):
        Retry(**options)


# ---------------------------------------------------------------------- deadline


@pytest.mark.parametrize(("deadline", "attempts"), [(0.1, 1), (0.100001, 2), (0.3, 2), (0.31, 3), (NEVER, 3)])
@pytest.mark.parametrize("outcome", [ConnectError("refused"), 503])
async def test_no_delay_goes_past_the_deadline(deadline: float, attempts: int, outcome: RequestError | int) -> None:
    retry, clock = make_retry(attempts=3, base=0.1, cap=10.0)
    start = clock.now()
    request = make_request(deadline=start + deadline, clock=clock)
    send = Scripted(*[outcome] * 3)
    with expect_error(outcome):
        response = await retry(request, send)
        assert (response.status_code, response.is_closed) == (503, False)
    assert len(send.requests) == attempts
    assert clock.now() < start + deadline
    assert sum(clock.naps) == pytest.approx(clock.now() - start)


@contextmanager
def expect_error(outcome: RequestError | int) -> Iterator[None]:
    if isinstance(outcome, int):
        yield
        return
    with pytest.raises(type(outcome)):
        yield


async def test_request_whose_deadline_has_passed_is_not_sent_again() -> None:
    deadline = Instant().now()
    assert await attempts_for(make_request(deadline=deadline), 503, 200, random=lambda: 0.0) == 1
    assert await attempts_for(make_request(deadline=deadline + 0.001), 503, 200, random=lambda: 0.0) == 2


# ---------------------------------------------------------------------- cancellation


async def test_it_sleeps_on_the_clock_of_the_request() -> None:
    clock = FakeClock()
    retry = Retry(base=1.0, random=lambda: 1.0)
    send = Scripted(503, 200)
    statuses: list[int] = []

    async def run() -> None:
        statuses.append((await retry(make_request(clock=clock), send)).status_code)

    with anyio.fail_after(10):
        async with anyio.create_task_group() as group:
            group.start_soon(run)
            await clock.advance(0.9)
            assert (len(send.requests), clock.sleepers, statuses) == (1, 1, [])
            await clock.advance(0.2)
    assert (len(send.requests), clock.sleepers, statuses) == (2, 0, [200])


async def test_cancellation_during_the_delay_comes_through_and_leaves_nothing() -> None:
    clock = FakeClock()
    retry = Retry(base=1.0, random=lambda: 1.0)
    send = Scripted(503, 200)
    is_over = False

    async def run() -> None:
        nonlocal is_over
        try:
            await retry(make_request(clock=clock), send)
        finally:
            is_over = True

    with anyio.fail_after(10):
        async with anyio.create_task_group() as group:
            group.start_soon(run)
            await clock.advance(0.5)
            assert clock.sleepers == 1
            group.cancel_scope.cancel()
    assert (is_over, clock.sleepers, len(send.requests)) == (True, 0, 1)
    assert [response.is_closed for response in send.responses] == [True]


async def test_cancellation_of_an_attempt_is_not_retried() -> None:
    calls = 0

    async def send(request: Request) -> Response:
        nonlocal calls
        calls += 1
        await anyio.sleep_forever()
        raise AssertionError

    retry, _ = make_retry()
    with anyio.move_on_after(0) as scope:
        await retry(make_request(), send)
    assert (scope.cancelled_caught, calls) == (True, 1)
