"""Time: limits that refuse nonsense, and the watchdog that tells those who wait."""

from __future__ import annotations

import math
import pickle
import time
from dataclasses import FrozenInstanceError, fields, replace
from typing import Any

import anyio
import pytest

from netio.deadline import NEVER, SystemClock, Timeouts, Watchdog, deadline_after
from netio.testing import FakeClock

NAMES = [field.name for field in fields(Timeouts) if field.init]


# ---------------------------------------------------------------------- Timeouts


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize(
    "seconds", [0, 0.0, -0.0, -1, -1e-9, math.nan, math.inf, -math.inf, True, False, "5", b"5", [5], object(), 5j]
)
def test_timeouts_refuse_nonsense(name: str, seconds: Any) -> None:
    with pytest.raises(ValueError, match=f"Timeouts.{name} must be a positive number of seconds or None"):
        Timeouts(**{name: seconds})


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("seconds", [None, 1, 0.001, 1e9, 5e-324])
def test_timeouts_take_positive_numbers_and_none(name: str, seconds: Any) -> None:
    timeouts = Timeouts(**{name: seconds})
    assert getattr(timeouts, name) == seconds
    assert replace(Timeouts(), **{name: seconds}) == timeouts


def test_timeouts_have_the_documented_defaults() -> None:
    timeouts = Timeouts()
    assert [getattr(timeouts, name) for name in NAMES] == [60.0, 10.0, 10.0, 20.0, 20.0]
    assert NAMES == ["total", "pool", "connect", "read", "write"]


def test_timeouts_are_keyword_only_and_frozen() -> None:
    with pytest.raises(TypeError):
        Timeouts(5)  # type: ignore[call-arg]
    with pytest.raises(FrozenInstanceError):
        Timeouts().total = 5  # type: ignore[misc]
    assert {Timeouts(total=5): 1}[Timeouts(total=5)] == 1
    assert pickle.loads(pickle.dumps(Timeouts(total=None))) == Timeouts(total=None)


def test_deadline_is_an_absolute_time() -> None:
    assert deadline_after(100.0, 5) == 105.0
    assert deadline_after(100.0, None) == NEVER
    assert math.inf == NEVER


# ---------------------------------------------------------------------- clocks


def test_slow_05_system_clock_is_the_monotonic_one() -> None:
    before = time.monotonic()
    now = SystemClock().now()
    assert before <= now <= time.monotonic()


@pytest.mark.anyio
async def test_system_clock_sleeps_at_least_as_long_as_it_should() -> None:
    clock = SystemClock()
    before = clock.now()
    await clock.sleep(0.001)
    assert clock.now() - before >= 0.001


@pytest.mark.anyio
async def test_fake_clock_wakes_each_sleeper_at_its_moment() -> None:
    clock = FakeClock(start=100.0)
    woken: list[tuple[str, float]] = []

    async def sleeper(name: str, seconds: float) -> None:
        await clock.sleep(seconds)
        woken.append((name, clock.now()))

    with anyio.fail_after(10):
        async with anyio.create_task_group() as group:
            for name, seconds in (("late", 3.0), ("early", 1.0), ("never", 1_000.0)):
                group.start_soon(sleeper, name, seconds)
            await clock.advance(2.0)
            assert (woken, clock.sleepers) == ([("early", 101.0)], 2)
            await clock.advance(2.0)
            assert (woken, clock.now()) == ([("early", 101.0), ("late", 103.0)], 104.0)
            group.cancel_scope.cancel()
    assert clock.sleepers == 0


# ---------------------------------------------------------------------- the watchdog


class Waiting:
    """Somebody who waits: it renews its deadline so many times, and is over then."""

    def __init__(self, deadline: float, *, renewals: int = 0) -> None:
        self.deadline = deadline
        self.renewals = renewals
        self.looks: list[float] = []
        self.is_over = False

    def look(self, now: float) -> None:
        self.looks.append(now)
        if now < self.deadline:
            return
        if self.renewals:
            self.renewals -= 1
            self.deadline = now + 10
        else:
            self.is_over = True


def test_watchdog_shows_the_time_to_all_that_wait() -> None:
    watchdog = Watchdog()
    early, late = Waiting(5.0), Waiting(20.0)
    watchdog.add(early)
    watchdog.add(late)
    assert len(watchdog) == 2
    assert watchdog.look(4.0) == 5.0
    assert watchdog.look(5.0) == 5.0
    assert (early.is_over, late.is_over) == (True, False)
    watchdog.discard(early)
    assert watchdog.look(19.0) == 20.0
    assert early.looks == [4.0, 5.0]
    assert late.looks == [4.0, 5.0, 19.0]


def test_watchdog_says_when_the_next_deadline_is_after_a_renewal() -> None:
    watchdog = Watchdog()
    watchdog.add(Waiting(5.0, renewals=1))
    assert watchdog.look(6.0) == 16.0


def test_watchdog_of_nobody_has_no_deadline() -> None:
    assert Watchdog().look(5.0) == NEVER


def test_discarding_twice_or_somebody_unknown_does_nothing() -> None:
    watchdog = Watchdog()
    waiting = Waiting(5.0)
    watchdog.add(waiting)
    watchdog.discard(waiting)
    watchdog.discard(waiting)
    watchdog.discard(Waiting(1.0))
    assert len(watchdog) == 0


def test_watchdog_may_be_changed_while_it_looks() -> None:
    watchdog = Watchdog()

    class Leaving(Waiting):
        def look(self, now: float) -> None:
            super().look(now)
            watchdog.discard(self)
            watchdog.add(Waiting(100.0))

    leaving, other = Leaving(5.0), Waiting(50.0)
    watchdog.add(leaving)
    watchdog.add(other)
    watchdog.look(10.0)
    assert (leaving.is_over, other.looks, len(watchdog)) == (True, [10.0], 2)


def test_timer_is_hurried_only_by_a_deadline_before_its_next_look() -> None:
    hurries: list[float] = []
    watchdog = Watchdog(lambda: hurries.append(watchdog.next_look))
    watchdog.next_look = 10.0
    watchdog.add(Waiting(10.0))
    watchdog.add(Waiting(11.0))
    watchdog.add(Waiting(NEVER))
    assert hurries == []
    watchdog.add(Waiting(9.9))
    assert hurries == [10.0]
