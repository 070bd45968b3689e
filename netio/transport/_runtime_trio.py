"""The runtime on trio. Imported only where trio is running, so that netio works without trio installed."""

from __future__ import annotations

import contextvars
import logging
from collections.abc import Awaitable, Callable
from selectors import EVENT_READ, EVENT_WRITE, DefaultSelector
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
    wait_readable,
    wait_task_rescheduled,
)

from netio.transport._runtime import Background, Runtime, Waiter, wake
from netio.transport._runtime_task import Interruption, T

_log = logging.getLogger("netio")


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


class TrioTask:
    """Stands in for an asyncio task, whose wait can be ended: with a scope."""

    __slots__ = ("_scope",)

    def __init__(self) -> None:
        self._scope = trio.CancelScope()

    def cancel(self) -> None:
        self._scope.cancel()

    def cancelling(self) -> int:
        return 0

    def uncancel(self) -> int:
        return 0

    async def run(self, function: Callable[[], Awaitable[T]]) -> T:
        with self._scope:
            return await function()
        raise Interruption


class _Poller:
    """All sockets of a runtime, watched by one task.

    trio wants a task for each socket that is waited for, and tells the kernel anew at each wait. Here one task waits
    for a selector to have something, and the sockets stay registered with that; so on trio, too, bytes are pushed.
    """

    def __init__(self) -> None:
        self._selector = DefaultSelector()
        self._stopped: Waiter | None = None
        self.task = Background("the poller")

    @property
    def is_idle(self) -> bool:
        return not self._selector.get_map()

    async def stop(self, waiter: Waiter) -> None:
        self._stopped = waiter
        self.task.cancel()
        await waiter.park()

    def watch(self, descriptor: int, event: int, callback: Callable[[], None]) -> None:
        key = self._selector.get_map().get(descriptor)
        if key is None:
            self._selector.register(descriptor, event, {event: callback})
        else:
            self._selector.modify(descriptor, key.events | event, {**key.data, event: callback})

    def unwatch(self, descriptor: int, event: int) -> None:
        key = self._selector.get_map().get(descriptor)
        if key is not None and key.events & event:
            rest = {other: callback for other, callback in key.data.items() if other != event}
            if rest:
                self._selector.modify(descriptor, key.events & ~event, rest)
            else:
                self._selector.unregister(descriptor)

    async def run(self) -> None:
        selector = self._selector
        try:
            while True:
                await wait_readable(selector)
                for key, events in selector.select(0):
                    for event, callback in key.data.items():
                        if events & event:
                            _call(callback)
        finally:
            selector.close()
            wake(self._stopped)


def _call(callback: Callable[[], None]) -> None:
    try:
        callback()
    except Exception:
        # Callbacks handle what can happen; one bug must not stop the bytes of all other connections.
        _log.exception("netio: %r failed; please report this", callback)


class TrioRuntime(Runtime):
    """trio."""

    def __init__(self) -> None:
        super().__init__()
        self._token: TrioToken = current_trio_token()
        self.running_task = lambda: None
        self._poller: _Poller | None = None

    def waiter(self) -> Waiter:
        return _TrioWaiter()

    def is_current(self) -> bool:
        return in_trio_task() and current_trio_token() is self._token

    def add_reader(self, descriptor: int, callback: Callable[[], None]) -> None:
        self._watch(descriptor, EVENT_READ, callback)

    def remove_reader(self, descriptor: int) -> None:
        self._unwatch(descriptor, EVENT_READ)

    def add_writer(self, descriptor: int, callback: Callable[[], None]) -> None:
        self._watch(descriptor, EVENT_WRITE, callback)

    def remove_writer(self, descriptor: int) -> None:
        self._unwatch(descriptor, EVENT_WRITE)

    def _watch(self, descriptor: int, event: int, callback: Callable[[], None]) -> None:
        if self._poller is None:
            self._poller = _Poller()
            self._start(self._poller.task, self._poller.run, ())
        self._poller.watch(descriptor, event, callback)

    def _unwatch(self, descriptor: int, event: int) -> None:
        if self._poller is not None:
            self._poller.unwatch(descriptor, event)

    async def finish(self) -> None:
        await super().finish()
        poller = self._poller
        if poller is not None and poller.is_idle:
            self._poller = None
            await poller.stop(self.waiter())

    def call_soon(self, function: Callable[[], object]) -> None:
        self._token.run_sync_soon(function)

    def soon(self, function: Callable[[], object]) -> None:
        try:
            self._token.run_sync_soon(function)
        except trio.RunFinishedError:
            return

    def _start(self, task: Background, function: Callable[..., Awaitable[None]], arguments: tuple[Any, ...]) -> None:
        spawn_system_task(self._run, task, function, arguments, context=contextvars.copy_context())
