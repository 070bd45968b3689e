"""Ending what a task waits for, from elsewhere on its loop, without ending the task: at no cost where it never happens.

On asyncio a task has all that is needed: `cancel` throws a cancellation in, and the frame that knows why takes it back
with `uncancel`, which says by its count whether somebody else has cancelled the task too. That is how asyncio.timeout
does it. So nothing has to be opened beforehand, and a frame that is never interrupted pays for one look at which task
it is. trio cancels by scopes only: there `ScopedTask` stands in for the task, with a scope around the wait.

    task = runtime.running_task()
    before = task.cancelling()
    try:
        await something()              # on trio `await task.run(something)`
    except BaseException as error:     # elsewhere, in the meantime: has_interrupted = True; task.cancel()
        was_us = has_interrupted and task.uncancel() <= before and isinstance(error, INTERRUPTED)
"""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Awaitable, Callable
from functools import partial
from typing import Protocol, TypeVar

T = TypeVar("T")


class Interruption(BaseException):
    """A wait in a `ScopedTask` was ended. It never leaves the frame that called `run`."""


INTERRUPTED = (asyncio.CancelledError, Interruption)


class RunningTask(Protocol):
    """An asyncio task, or what stands in for one."""

    def cancel(self) -> object: ...

    def cancelling(self) -> int: ...

    def uncancel(self) -> int: ...


class ScopedTask(RunningTask, Protocol):
    """What stands in for a task where only scopes can be cancelled."""

    async def run(self, function: Callable[[], Awaitable[T]]) -> T:
        """Await a function; raise `Interruption` if it was `cancel` that ended it."""
        ...


def running_task_of(loop: asyncio.AbstractEventLoop) -> Callable[[], RunningTask | None]:
    """Return a function that returns the running task of a loop, at the least cost.

    Up to Python 3.11 current_task is written in Python, and asks the kernel for the id of the process each time, for
    0.3 µs.
    """
    if sys.version_info >= (3, 12):
        return partial(asyncio.current_task, loop)
    return partial(asyncio.tasks._current_tasks.get, loop)  # type: ignore[attr-defined]


def scoped_task() -> ScopedTask:
    """Return what stands in for the running task on trio."""
    from netio.transport._runtime_trio import TrioTask

    return TrioTask()
