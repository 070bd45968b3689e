"""Ending what a task waits for from elsewhere, without ending the task, or hiding who else has cancelled it."""

from __future__ import annotations

import asyncio

import anyio
import pytest
from anyio.lowlevel import checkpoint

from netio.testing import FakeClock
from netio.transport import INTERRUPTED, RunningTask, current_runtime, scoped_task

pytestmark = pytest.mark.anyio


class Wait:
    """One task that waits for ever, and says what became of it."""

    def __init__(self) -> None:
        self.task: RunningTask | None = None
        self.has_interrupted = False
        self.was_us: bool | None = None
        self.is_through = False

    def end(self) -> None:
        assert self.task is not None
        self.has_interrupted = True
        self.task.cancel()

    async def run(self) -> None:
        self.task = current_runtime().running_task()
        wait = anyio.sleep_forever
        if self.task is None:
            scoped = self.task = scoped_task()
            wait = lambda: scoped.run(anyio.sleep_forever)  # noqa: E731
        before = self.task.cancelling()
        try:
            await wait()
        except BaseException as error:
            self.was_us = self.has_interrupted and self.task.uncancel() <= before and isinstance(error, INTERRUPTED)
            if not self.was_us:
                raise
        await checkpoint()
        self.is_through = True


async def test_wait_is_ended_and_the_task_goes_on() -> None:
    wait, clock = Wait(), FakeClock()
    async with anyio.create_task_group() as group:
        group.start_soon(wait.run)
        await clock.advance(0)
        wait.end()
    assert (wait.was_us, wait.is_through) == (True, True)


@pytest.mark.parametrize("is_first", [True, False])
async def test_scope_that_is_cancelled_too_still_ends_the_task(is_first: bool) -> None:
    wait, clock, scope = Wait(), FakeClock(), anyio.CancelScope()

    async def run() -> None:
        with scope:
            await wait.run()

    async with anyio.create_task_group() as group:
        group.start_soon(run)
        await clock.advance(0)
        if is_first:
            scope.cancel()
        wait.end()
        scope.cancel()
    assert (wait.is_through, scope.cancelled_caught) == (False, True)


@pytest.mark.parametrize("is_first", [True, False])
async def test_task_that_is_cancelled_too_is_cancelled(is_first: bool) -> None:
    if current_runtime().running_task() is None:
        return  # trio cancels by scopes only
    wait, clock = Wait(), FakeClock()
    task = asyncio.ensure_future(wait.run())
    await clock.advance(0)
    assert wait.task is task
    for _ in range(2):
        (task.cancel if is_first else wait.end)()
        is_first = not is_first
    with pytest.raises(asyncio.CancelledError):
        await task
    assert (wait.was_us, wait.is_through) == (False, False)


async def test_cancelled_from_outside_alone_it_was_not_us() -> None:
    wait, clock = Wait(), FakeClock()
    async with anyio.create_task_group() as group:
        group.start_soon(wait.run)
        await clock.advance(0)
        group.cancel_scope.cancel()
    assert (wait.was_us, wait.is_through) == (False, False)
