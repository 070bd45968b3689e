"""The runtime on trio. Imported only where trio is running, so that netio works without trio installed."""

from __future__ import annotations

import contextvars
from collections.abc import Awaitable, Callable
from typing import Any

import trio
from trio.lowlevel import (
    Abort,
    RaiseCancelT,
    Task,
    TrioToken,
    current_task,
    current_trio_token,
    in_trio_task,
    reschedule,
    spawn_system_task,
    wait_task_rescheduled,
)

from netio.transport._runtime import Background, Runtime, Waiter


def is_inside_trio() -> bool:
    return in_trio_task()


class _TrioWaiter(Waiter):
    __slots__ = ("_task",)

    def __init__(self) -> None:
        self.is_awake = False
        self._task: Task | None = None

    def wake(self) -> None:
        self.is_awake = True
        task = self._task
        if task is not None:
            self._task = None
            reschedule(task)

    async def park(self) -> None:
        if not self.is_awake:
            self._task = current_task()
            await wait_task_rescheduled(self._abort)

    def _abort(self, _: RaiseCancelT) -> Abort:
        # At once: the task is scheduled with Cancelled from here on, and a wake must not reschedule it again.
        self._task = None
        return Abort.SUCCEEDED


class TrioRuntime(Runtime):
    """trio."""

    def __init__(self) -> None:
        super().__init__()
        self._token: TrioToken = current_trio_token()

    def waiter(self) -> Waiter:
        return _TrioWaiter()

    def is_current(self) -> bool:
        return in_trio_task() and current_trio_token() is self._token

    def soon(self, function: Callable[[], object]) -> None:
        try:
            self._token.run_sync_soon(function)
        except trio.RunFinishedError:
            return

    def _start(self, task: Background, function: Callable[..., Awaitable[None]], arguments: tuple[Any, ...]) -> None:
        spawn_system_task(self._run, task, function, arguments, context=contextvars.copy_context())
