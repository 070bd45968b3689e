"""AdaptiveLimit: how many it lets through, by what it sees."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import pytest

from netio.errors import ConnectError, ReadTimeout, TotalTimeout
from netio.message import Request, Response
from netio.observe import Event, LimitChanged
from netio.policy import AdaptiveLimit
from netio.policy._gradient import Gradient, GradientOptions
from netio.testing import FakeClock
from tests.policy.retries import make_request

pytestmark = pytest.mark.anyio

ORIGIN = make_request().url.origin

# ---------------------------------------------------------------------- the gradient


def make_gradient(**changes: Any) -> Gradient:
    values: dict[str, Any] = {
        "initial": 20,
        "floor": 3,
        "ceiling": 100,
        "tolerance": 1.5,
        "window_seconds": 0.1,
        "window_samples": 10,
    }
    return Gradient(GradientOptions(**(values | changes)))


def window(gradient: Gradient, latency: float, *, active: int | None = None, dropped: int = 0, now: float = 0.0) -> int:
    gradient.samples, gradient.seconds, gradient.dropped = 10, 10 * latency, dropped
    gradient.most_active = gradient.limit if active is None else active
    gradient.end_window(now)
    return gradient.limit


def test_limit_grows_while_the_latency_stays_and_ends_at_the_ceiling() -> None:
    gradient = make_gradient()
    limits = [window(gradient, 0.05) for _ in range(200)]
    assert limits == sorted(limits)
    assert limits[-1] == 100


def test_limit_falls_when_the_latency_grows_and_comes_back() -> None:
    gradient = make_gradient(initial=100)
    for _ in range(50):
        window(gradient, 0.05)
    fallen = [window(gradient, 0.5) for _ in range(40)]
    assert fallen == sorted(fallen, reverse=True)
    assert fallen[-1] < 20
    back = [window(gradient, 0.05) for _ in range(400)]
    assert back[-1] == 100


def test_limit_that_is_not_used_does_not_grow() -> None:
    gradient = make_gradient()
    assert {window(gradient, 0.05, active=9) for _ in range(50)} == {20}
    assert [window(gradient, 0.05, active=20) for _ in range(3)][-1] > 20


def test_too_much_takes_a_tenth_off_down_to_the_floor() -> None:
    gradient = make_gradient()
    assert [window(gradient, 0.05, dropped=1) for _ in range(3)] == [18, 16, 14]
    assert [window(gradient, 0.05, dropped=1) for _ in range(50)][-1] == 3


def test_window_with_too_few_answers_goes_on() -> None:
    gradient = make_gradient()
    gradient.samples, gradient.seconds = 9, 1.0
    gradient.end_window(5.0)
    assert (gradient.samples, gradient.usual, gradient.window_ends) == (9, None, 0.0)
    window(gradient, 0.1, now=5.0)
    assert (gradient.samples, gradient.usual, gradient.window_ends) == (0, 0.1, 5.1)


async def test_adaptive_limit_follows_latency_and_tells_of_it() -> None:
    clock = FakeClock()
    limit = AdaptiveLimit(initial=10, window_samples=2, window_seconds=1.0)
    events: list[Event] = []
    seconds, status = 0.1, 200

    async def answer(request: Request) -> Response:
        clock._now += seconds
        return Response(status, request=request)

    async def send(count: int) -> None:
        for _ in range(count):
            state = limit._states[ORIGIN]
            state.gradient.most_active = state.gate.limit  # as if it were used
            await limit(make_request(clock=clock, observer=events.append), answer)

    await send(30)
    high = limit.current(ORIGIN)
    assert high is not None
    assert high > 10
    seconds, status = 0.5, 503
    await send(30)
    low = limit.current(ORIGIN)
    assert low is not None
    assert low < high
    changes = [event for event in events if isinstance(event, LimitChanged)]
    assert changes[0].before == 10
    assert all(one.after == two.before for one, two in pairwise(changes))
    assert changes[-1] == LimitChanged(ORIGIN, changes[-1].before, low)


@pytest.mark.parametrize(
    ("error", "falls"),
    [(ReadTimeout("slow"), True), (TotalTimeout("x", phase="queue"), False), (ConnectError("x"), False)],
)
async def test_only_timeouts_of_the_peer_say_that_it_was_too_much(error: Exception, falls: bool) -> None:
    limit, clock = AdaptiveLimit(initial=10, window_seconds=0.001), FakeClock()

    async def fail(request: Request) -> Response:
        clock._now += 1.0
        raise error

    for _ in range(5):
        with pytest.raises(type(error)):
            await limit(make_request(clock=clock), fail)
    current = limit.current(ORIGIN)
    assert current is not None
    assert (current < 10) == falls


@pytest.mark.parametrize(
    "options",
    [
        {"initial": 2},
        {"floor": 0},
        {"floor": 30},
        {"ceiling": 10},
        {"tolerance": 0.9},
        {"window_seconds": 0},
        {"window_samples": 0},
        {"queue": -1},
        {"longest_wait": "1"},
        {"limit": 0},
    ],
)
def test_adaptive_limit_refuses_nonsense(options: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="AdaptiveLimit"):
        AdaptiveLimit(**options)
