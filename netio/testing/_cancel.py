"""Cancel a scenario at its first, second, ... last checkpoint.

The scenario's coroutine is driven by hand, so its suspensions can be counted whatever the event loop: each value it
yields to the loop is one checkpoint. At the chosen one it is cancelled, in one of three ways:

* "scope": through an anyio cancel scope, on any loop;
* "task": by `asyncio.Task.cancel()`, which asyncio's own timeouts use;
* "woken": by `asyncio.Task.cancel()` after what it waited for has happened and before it has noticed. That is the
  moment at which a connection that was just handed over is lost. trio has no such moment: a task that was rescheduled
  is not cancelled before its next checkpoint.
"""

from __future__ import annotations

import asyncio
import types
from collections.abc import Awaitable, Callable, Coroutine, Generator
from typing import Any, Literal

import anyio

Way = Literal["scope", "task", "woken"]

_LAST_CHANCES = 10  # a task that swallows more cancellations than this cannot be helped


def ways_to_cancel() -> tuple[Way, ...]:
    """Return the ways that the running event loop has."""
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return ("scope",)
    return ("scope", "task", "woken")


class _Counter:
    """Counts checkpoints, and acts at one of them."""

    def __init__(self, at: int, act: Callable[[object], None]) -> None:
        self.at = at
        self.act = act
        self.seen = 0

    def passed(self, yielded: object) -> None:
        self.seen += 1
        if self.seen == self.at:
            self.act(yielded)


@types.coroutine
def _drive(coroutine: Coroutine[Any, Any, None], counter: _Counter) -> Generator[Any, Any, None]:
    resume: Callable[[], Any] = lambda: coroutine.send(None)  # noqa: E731
    while True:
        try:
            yielded = resume()
        except StopIteration:
            return
        counter.passed(yielded)
        try:
            value = yield yielded
        except BaseException as error:
            thrown = error
            resume = lambda: coroutine.throw(thrown)  # noqa: B023, E731
        else:
            resume = lambda: coroutine.send(value)  # noqa: B023, E731


async def cancel_at(at: int, scenario: Callable[[], Coroutine[Any, Any, None]], way: Way = "scope") -> bool:
    """Run a scenario, cancelled at its `at`-th checkpoint; return False if it ended before it came to so many."""
    if way == "scope":
        scope = anyio.CancelScope()
        counter = _Counter(at, lambda _: scope.cancel())
        with scope:
            await _drive(scenario(), counter)
        return counter.seen >= at
    return await _cancel_task_at(at, scenario, is_woken=way == "woken")


async def _cancel_task_at(at: int, scenario: Callable[[], Coroutine[Any, Any, None]], *, is_woken: bool) -> bool:
    def act(yielded: object) -> None:
        if is_woken and isinstance(yielded, asyncio.Future):
            # Our callback is there before the task's own, so it runs between the event and the task.
            yielded.add_done_callback(lambda _: task.cancel())
        else:
            task.cancel()

    async def run() -> None:
        await _drive(scenario(), counter)

    counter = _Counter(at, act)
    task = asyncio.ensure_future(run())
    try:
        await asyncio.wait({task})
    except BaseException:
        await _take_along(task)
        raise
    if not task.cancelled() and (error := task.exception()) is not None:
        raise error
    return counter.seen >= at


async def _take_along(task: asyncio.Task[None]) -> None:
    """End a scenario that hangs, perhaps because it has swallowed its cancellation, before the test goes on."""
    with anyio.CancelScope(shield=True):
        for _ in range(_LAST_CHANCES):
            task.cancel()
            await asyncio.wait({task}, timeout=0.1)
            if task.done():
                break
    if task.done() and not task.cancelled():
        task.exception()


async def cancel_everywhere(
    scenario: Callable[[], Coroutine[Any, Any, None]],
    after: Callable[[], Awaitable[None]],
    *,
    seconds: float = 30.0,
) -> int:
    """Cancel a scenario at each of its checkpoints in each way; call `after` after each. Return how often that was.

    `after` checks that nothing was left behind. A scenario that neither ends nor is cancelled within `seconds` fails.
    What fails carries a note that says where the scenario was cancelled.
    """
    runs = 0
    for way in ways_to_cancel():
        at = 1
        while True:
            try:
                with anyio.fail_after(seconds):
                    is_reached = await cancel_at(at, scenario, way)
                    await after()
            except Exception as error:
                error.add_note(f"while the scenario was cancelled at checkpoint {at}, way {way!r}")
                raise
            if not is_reached:
                break
            runs += 1
            at += 1
    return runs
