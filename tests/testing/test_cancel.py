"""The cancellation harness finds what it is there to find."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any

import anyio
import pytest
from anyio.lowlevel import checkpoint

from netio.testing import cancel_at, cancel_everywhere, ways_to_cancel
from netio.transport import Runtime, Waiter, current_runtime

pytestmark = pytest.mark.anyio


async def nothing() -> None:
    """Check nothing after a run."""


class Resource:
    """Something that must not be left open."""

    def __init__(self) -> None:
        self.open = 0

    async def assert_closed(self) -> None:
        is_open, self.open = self.open, 0
        assert is_open == 0


def later(runtime: Runtime, function: Callable[[], None], turns: int = 4) -> None:
    """Call a function some turns of the loop from now: a cancelled task has run by then."""
    runtime.soon(function if turns == 1 else lambda: later(runtime, function, turns - 1))


async def park(runtime: Runtime) -> None:
    """Suspend once."""
    waiter = runtime.waiter()
    later(runtime, waiter.wake)
    await waiter.park()


async def three_checkpoints() -> None:
    for _ in range(3):
        await checkpoint()


async def count_checkpoints(scenario: Callable[[], Coroutine[Any, Any, None]]) -> int:
    seen = 0
    while await cancel_at(seen + 1, scenario, "scope"):
        seen += 1
    return seen


async def test_every_checkpoint_is_cancelled_in_every_way() -> None:
    per_way = await count_checkpoints(three_checkpoints)
    assert per_way % 3 == 0
    assert await cancel_everywhere(three_checkpoints, nothing) == per_way * len(ways_to_cancel())


async def test_a_bare_suspension_is_one_checkpoint() -> None:
    runtime = current_runtime()

    async def park_three_times() -> None:
        for _ in range(3):
            await park(runtime)

    assert await count_checkpoints(park_three_times) == 3
    assert await cancel_everywhere(park_three_times, nothing) == 3 * len(ways_to_cancel())


async def test_a_scenario_without_checkpoints_is_run_but_never_cancelled() -> None:
    runs = 0

    async def scenario() -> None:
        nonlocal runs
        runs += 1

    assert await cancel_everywhere(scenario, nothing) == 0
    assert runs == len(ways_to_cancel())


async def test_the_last_run_of_each_way_is_not_cancelled() -> None:
    ends = 0

    async def scenario() -> None:
        nonlocal ends
        await three_checkpoints()
        ends += 1

    await cancel_everywhere(scenario, nothing)
    assert ends >= len(ways_to_cancel())


async def test_a_leak_at_the_third_checkpoint_only_is_found() -> None:
    runtime, resource = current_runtime(), Resource()

    async def scenario() -> None:
        await park(runtime)
        await park(runtime)
        resource.open += 1
        await park(runtime)  # cancelled here, it stays open
        resource.open -= 1
        await park(runtime)

    with pytest.raises(AssertionError) as caught:
        await cancel_everywhere(scenario, resource.assert_closed)
    assert caught.value.__notes__ == ["while the scenario was cancelled at checkpoint 3, way 'scope'"]


class Desk:
    """Hands a thing to whoever waits for it, as a pool does with a connection."""

    def __init__(self, runtime: Runtime, *, is_careful: bool) -> None:
        self.runtime = runtime
        self.is_careful = is_careful
        self.things = 1
        self.waiting: list[Waiter] = []

    async def take_and_give_back(self) -> None:
        waiter = self.runtime.waiter()
        self.waiting.append(waiter)
        later(self.runtime, self.serve)
        try:
            await waiter.park()
        except BaseException:
            if waiter in self.waiting:
                self.waiting.remove(waiter)
            elif self.is_careful:  # it was served before it noticed that it was cancelled
                self.things += 1
            raise
        self.things += 1

    def serve(self) -> None:
        if self.waiting:
            self.things -= 1
            self.waiting.pop().wake()

    async def assert_nothing_lost(self) -> None:
        for _ in range(10):
            await checkpoint()
        assert self.things == 1


async def test_a_hand_over_lost_between_wake_and_run_is_found() -> None:
    """Only asyncio has this moment, and only the way "woken" hits it."""
    runtime = current_runtime()
    for way in ways_to_cancel():
        desk = Desk(runtime, is_careful=False)
        assert await cancel_at(1, desk.take_and_give_back, way) is True
        for _ in range(10):
            await checkpoint()
        assert desk.things == (0 if way == "woken" else 1)


async def test_a_hand_over_that_is_given_back_passes() -> None:
    desk = Desk(current_runtime(), is_careful=True)
    runs = await cancel_everywhere(desk.take_and_give_back, desk.assert_nothing_lost)
    assert runs == len(ways_to_cancel())


async def test_an_exception_of_the_scenario_is_raised_with_a_note() -> None:
    async def scenario() -> None:
        try:
            await three_checkpoints()
        except BaseException:
            raise ZeroDivisionError from None

    for way in ways_to_cancel():
        with pytest.raises(ZeroDivisionError):
            await cancel_at(1, scenario, way)
    with pytest.raises(ZeroDivisionError) as caught:
        await cancel_everywhere(scenario, nothing)
    assert caught.value.__notes__ == ["while the scenario was cancelled at checkpoint 1, way 'scope'"]


async def test_a_scenario_that_hangs_fails() -> None:
    with pytest.raises(TimeoutError) as caught:
        await cancel_everywhere(anyio.sleep_forever, nothing, seconds=0.05)
    assert caught.value.__notes__ == ["while the scenario was cancelled at checkpoint 2, way 'scope'"]


async def test_a_check_that_hangs_fails() -> None:
    with pytest.raises(TimeoutError):
        await cancel_everywhere(three_checkpoints, anyio.sleep_forever, seconds=0.05)


async def hang_after_a_swallowed_cancellation() -> None:
    cancelled = anyio.get_cancelled_exc_class()
    try:
        await anyio.sleep_forever()
    except cancelled:
        await anyio.sleep_forever()


async def test_a_scenario_that_swallows_its_cancellation_and_hangs_fails() -> None:
    if "task" not in ways_to_cancel():
        # A scope's cancellation comes back at every checkpoint, so that a scenario cannot hang after it.
        assert await cancel_at(1, hang_after_a_swallowed_cancellation, "scope") is True
        return
    with pytest.raises(TimeoutError):
        with anyio.fail_after(0.05):
            await cancel_at(1, hang_after_a_swallowed_cancellation, "task")
    assert [task for task in asyncio.all_tasks() if "_cancel_task_at" in repr(task)] == []


async def test_a_cancelled_harness_takes_its_scenario_along() -> None:
    is_over = False

    async def scenario() -> None:
        nonlocal is_over
        try:
            await anyio.sleep_forever()
        finally:
            is_over = True

    for way in ways_to_cancel():
        is_over = False
        with anyio.move_on_after(0.02):
            await cancel_at(1_000, scenario, way)
        assert is_over is True
