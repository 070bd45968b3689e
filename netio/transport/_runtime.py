"""The two things netio needs from an event loop besides anyio: places to wait, and tasks that outlive a request.

A `Waiter` is one task's place to sleep. It is a bare future on asyncio and a bare `wait_task_rescheduled` on trio: an
anyio.Event costs two to three times as much, and a waiter is made for every wait of every request. Waking is
synchronous, idempotent, may come before the sleep, and carries no data: the woken task looks at what has become of its
own affairs. So a spurious wake is harmless and a wake is never lost together with what it announced.

Background tasks (dials, readers and writers of HTTP/2 connections, uploads, the timer) belong to the pool, not to the
request that started them: plain tasks on asyncio, system tasks on trio. Each runs inside a cancel scope of its own and
is ended through it. So, on both loops, a task that is cancelled before its first step still runs up to its first
checkpoint, and its cleanup with it (a bare asyncio task would never begin). `Runtime.aclose` ends and awaits them all.
"""

from __future__ import annotations

import asyncio
import logging
import sys
from abc import ABC, abstractmethod
from collections.abc import Awaitable, Callable, Generator
from typing import Any, TypeVarTuple, Unpack

import anyio

from netio.transport._runtime_task import RunningTask, running_task_of

Ts = TypeVarTuple("Ts")

CLOSE_GRACE = 2.0
"""Seconds that background tasks get to end once they are cancelled; only a user's code could need them."""

_get_running_loop = asyncio._get_running_loop  # unlike its public twin it does not raise where there is none

_log = logging.getLogger("netio")


class Waiter(ABC):
    """A place for one task to sleep, once."""

    __slots__ = ("is_awake",)

    def __init__(self) -> None:
        self.is_awake = False

    @abstractmethod
    def wake(self) -> None:
        """Let the task go on; do nothing if it was woken before. Never raises, never runs anything of the task."""

    @abstractmethod
    def park(self) -> Awaitable[None]:
        """Sleep until woken; at once if that has happened already."""


class _Done:
    """An awaitable that does not wait."""

    __slots__ = ()

    def __await__(self) -> Generator[None, None, None]:
        return
        yield


_DONE = _Done()


def wake(waiter: Waiter | None) -> None:
    """Wake whoever waits there, if anybody does."""
    if waiter is not None:
        waiter.wake()


class Background:
    """A running background task."""

    __slots__ = ("_name", "scope")

    def __init__(self, name: str) -> None:
        self._name = name
        self.scope = anyio.CancelScope()

    def cancel(self) -> None:
        """Ask the task to end at its next checkpoint."""
        self.scope.cancel()

    async def run(self, function: Callable[[Unpack[Ts]], Awaitable[None]], arguments: tuple[*Ts]) -> None:
        try:
            with self.scope:
                await function(*arguments)
        except Exception:
            # Background functions handle what can happen; what arrives here is a bug in netio. On trio an exception
            # that leaves a system task would take the whole program down.
            _log.exception("netio: background task %s failed; please report this", self._name)


class Runtime(ABC):
    """The event loop that a pool lives on."""

    def __init__(self) -> None:
        self._tasks: set[Background] = set()
        self._finishing: list[Waiter] = []

    @property
    def tasks(self) -> int:
        """How many background tasks are running."""
        return len(self._tasks)

    @abstractmethod
    def waiter(self) -> Waiter:
        """Make a waiter for the calling task."""

    @abstractmethod
    def is_current(self) -> bool:
        """Whether the calling code runs on this event loop."""

    running_task: Callable[[], RunningTask | None]
    """Returns the task that is running on this loop; None on trio, and while the loop does not run."""

    # The loop calls back, at each of its turns, while the socket with this descriptor can be read from or written to.
    # Removing what was not added does nothing, also on a loop that is closed.

    @abstractmethod
    def add_reader(self, descriptor: int, callback: Callable[[], None]) -> None: ...

    @abstractmethod
    def remove_reader(self, descriptor: int) -> None: ...

    @abstractmethod
    def add_writer(self, descriptor: int, callback: Callable[[], None]) -> None: ...

    @abstractmethod
    def remove_writer(self, descriptor: int) -> None: ...

    @abstractmethod
    def call_soon(self, function: Callable[[], object]) -> None:
        """Call a function at the end of this turn of the loop; only from the loop itself."""

    @abstractmethod
    def soon(self, function: Callable[[], object]) -> None:
        """Call a function on the loop, from anywhere: another thread, a finalizer. Does nothing on a dead loop."""

    @abstractmethod
    def _start(
        self, task: Background, function: Callable[..., Awaitable[None]], arguments: tuple[Any, ...]
    ) -> None: ...

    def spawn(self, function: Callable[[Unpack[Ts]], Awaitable[None]], *arguments: *Ts) -> Background:
        """Run a function in the background, in a copy of the caller's context."""
        task = Background(getattr(function, "__qualname__", repr(function)))
        self._tasks.add(task)
        self._start(task, function, arguments)
        return task

    async def _run(
        self, task: Background, function: Callable[..., Awaitable[None]], arguments: tuple[Any, ...]
    ) -> None:
        try:
            await task.run(function, arguments)
        finally:
            self._tasks.discard(task)
            if not self._tasks:
                for waiter in self._finishing:
                    waiter.wake()

    async def finish(self) -> None:
        """Wait until no background task is left."""
        while self._tasks:
            waiter = self.waiter()
            self._finishing.append(waiter)
            try:
                await waiter.park()
            finally:
                self._finishing.remove(waiter)

    async def aclose(self) -> None:
        """Cancel all background tasks and wait until they have ended, at most `CLOSE_GRACE` seconds."""
        for task in list(self._tasks):
            task.cancel()
        with anyio.move_on_after(CLOSE_GRACE, shield=True):
            await self.finish()


class _AsyncioWaiter(Waiter):
    __slots__ = ("_future", "_loop")

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self.is_awake = False
        self._loop = loop
        self._future: asyncio.Future[None] | None = None

    def wake(self) -> None:
        self.is_awake = True
        future = self._future
        if future is not None and not future.done():
            future.set_result(None)

    def park(self) -> Awaitable[None]:
        if self.is_awake:
            return _DONE
        self._future = self._loop.create_future()
        return self._future


class AsyncioRuntime(Runtime):
    """asyncio and uvloop."""

    def __init__(self) -> None:
        super().__init__()
        self._loop = asyncio.get_running_loop()
        self.running_task = running_task_of(self._loop)
        self._references: set[asyncio.Task[None]] = set()  # the loop itself holds tasks weakly

    def waiter(self) -> Waiter:
        return _AsyncioWaiter(self._loop)

    def is_current(self) -> bool:
        return _get_running_loop() is self._loop

    def add_reader(self, descriptor: int, callback: Callable[[], None]) -> None:
        self._loop.add_reader(descriptor, callback)

    def remove_reader(self, descriptor: int) -> None:
        if not self._loop.is_closed():
            self._loop.remove_reader(descriptor)

    def add_writer(self, descriptor: int, callback: Callable[[], None]) -> None:
        self._loop.add_writer(descriptor, callback)

    def remove_writer(self, descriptor: int) -> None:
        if not self._loop.is_closed():
            self._loop.remove_writer(descriptor)

    def call_soon(self, function: Callable[[], object]) -> None:
        self._loop.call_soon(function)

    def soon(self, function: Callable[[], object]) -> None:
        try:
            self._loop.call_soon_threadsafe(function)
        except RuntimeError:  # the loop is closed, perhaps since a moment ago
            return

    def _start(self, task: Background, function: Callable[..., Awaitable[None]], arguments: tuple[Any, ...]) -> None:
        # Not by the loop's factory: an eager one would run the first step inside of `spawn`, whose callers are in the
        # middle of something.
        running = asyncio.Task(self._run(task, function, arguments), loop=self._loop)
        self._references.add(running)
        running.add_done_callback(self._references.discard)


def current_runtime() -> Runtime:
    """Make a runtime for the event loop that is running."""
    if "trio" in sys.modules:
        from netio.transport._runtime_trio import TrioRuntime, is_inside_trio

        if is_inside_trio():
            return TrioRuntime()
    return AsyncioRuntime()
