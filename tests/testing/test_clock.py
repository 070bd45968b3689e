"""The clock that a test moves by hand."""

from __future__ import annotations

import time

import anyio
import pytest
from anyio.lowlevel import checkpoint

from netio.testing import FakeClock

pytestmark = pytest.mark.anyio


async def test_it_stands_still_until_it_is_moved() -> None:
    clock = FakeClock(start=5)
    assert clock.now() == 5
    await clock.advance(2.5)
    assert clock.now() == 7.5


async def test_sleepers_wake_in_order_each_at_its_own_moment() -> None:
    clock = FakeClock(start=0)
    woken: list[tuple[str, float]] = []

    async def sleep(name: str, seconds: float) -> None:
        await clock.sleep(seconds)
        woken.append((name, clock.now()))

    async with anyio.create_task_group() as group:
        for name, seconds in (("c", 3), ("a", 1), ("b", 2), ("too late", 4)):
            group.start_soon(sleep, name, seconds)
        await clock.advance(3)
        assert woken == [("a", 1), ("b", 2), ("c", 3)]
        assert clock.now() == 3
        assert clock.sleepers == 1
        await clock.advance(1)
        assert woken[3:] == [("too late", 4)]
        assert clock.sleepers == 0


async def test_sleepers_of_the_same_moment_wake_in_the_order_in_which_they_fell_asleep() -> None:
    clock = FakeClock()
    woken: list[int] = []

    async def sleep(number: int) -> None:
        await clock.sleep(1)
        woken.append(number)

    async with anyio.create_task_group() as group:
        for number in range(10):
            group.start_soon(sleep, number)
            for _ in range(3):
                await checkpoint()
        await clock.advance(1)
    assert woken == list(range(10))


async def test_who_falls_asleep_again_while_time_passes_is_woken_again() -> None:
    clock = FakeClock(start=0)
    ticks: list[float] = []

    async def tick() -> None:
        while True:
            await clock.sleep(1)
            ticks.append(clock.now())

    async with anyio.create_task_group() as group:
        group.start_soon(tick)
        await clock.advance(3.5)
        assert ticks == [1, 2, 3]
        assert clock.now() == 3.5
        await clock.advance(0.5)
        assert ticks == [1, 2, 3, 4]
        group.cancel_scope.cancel()


async def test_what_a_sleeper_sets_off_has_happened_before_the_next_one_wakes() -> None:
    clock = FakeClock(start=0)
    log: list[str] = []
    event = anyio.Event()

    async def first() -> None:
        await clock.sleep(1)
        event.set()

    async def consequence() -> None:
        await event.wait()
        for _ in range(10):
            await checkpoint()
        log.append("consequence")

    async def second() -> None:
        await clock.sleep(1.1)
        log.append("second")

    async with anyio.create_task_group() as group:
        for function in (second, consequence, first):
            group.start_soon(function)
        await clock.advance(2)
    assert log == ["consequence", "second"]


async def test_a_cancelled_sleeper_is_passed_over() -> None:
    clock = FakeClock(start=0)
    has_slept = False

    async def sleep() -> None:
        nonlocal has_slept
        await clock.sleep(1)
        has_slept = True

    async with anyio.create_task_group() as group:
        group.start_soon(sleep)
        await clock.advance(0)
        assert clock.sleepers == 1
        group.cancel_scope.cancel()
    assert clock.sleepers == 0
    await clock.advance(2)
    assert has_slept is False
    assert clock.now() == 2


async def test_advancing_costs_no_real_time() -> None:
    """anyio's own look at all tasks sleeps 100 ms on asyncio each time that one of them can run."""
    clock = FakeClock()

    async def tick() -> None:
        while True:
            await clock.sleep(1)

    async with anyio.create_task_group() as group:
        group.start_soon(tick)
        began = time.thread_time(), time.monotonic()
        await clock.advance(50)
        worked, passed = time.thread_time() - began[0], time.monotonic() - began[1]
        group.cancel_scope.cancel()
    assert passed < 50 * 0.1 + worked  # what anyio would take, whatever else this machine does
