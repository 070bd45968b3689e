"""One timer for all that wait for the same thing: it tells those that are still waiting when their time has come.

A timer for each request would cost more than the request. Here a request that is answered in time costs an entry in a
dict, put in and taken out. All entries of a lookout wait about equally long, so that the oldest is the next one due;
one background task sleeps until then, looks who is left, and ends when nobody is. It is started by whoever comes and
finds that it would wake too late. One that is late itself is left alone: it will look as soon as the loop lets it; a
new one would be late in turn, and so would they all on a busy loop. What an event loop has left behind is forgotten on
the next one. When the wait has become shorter, all entries are looked at until the last of the old ones is due.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Any, Generic, TypeVar

from netio.deadline import NEVER, Clock
from netio.transport import Background, Runtime, current_runtime

E = TypeVar("E", bound=tuple[Any, ...])

_NOW = 1e-9
"""Seconds that count as none: adding a delay to a time rounds."""


class Lookout(ABC, Generic[E]):
    """Calls `overdue` with each entry of `waiting` that is still there when it is due.

    Who waits takes a number (`numbers += 1`), calls `start` unless `now <= wakes <= due`, and puts an entry into
    `waiting`: a tuple that begins with when it is due. Who is done takes it out; what is overdue has been taken out.
    """

    __slots__ = ("_starts", "_task", "_unsorted_until", "numbers", "runtime", "waiting", "wakes")

    def __init__(self) -> None:
        self.runtime: Runtime | None = None
        self._task: Background | None = None
        self._starts = 0
        self.waiting: dict[int, E] = {}
        self.numbers = 0
        self.wakes = NEVER
        self._unsorted_until = 0.0

    @abstractmethod
    def woke(self) -> None:
        """Do what is to be done now and then; called when the timer looks."""

    @abstractmethod
    def overdue(self, number: int, entry: E) -> None:
        """Do what is to be done for one that still waits."""

    def arrive(self) -> Runtime:
        """Return what stands for the event loop that is running; forget what another one has left behind."""
        runtime = self.runtime
        if runtime is None or not runtime.is_current():
            runtime = self.runtime = current_runtime()
            self._task = None
            self._starts += 1
            self.wakes = NEVER
            self.waiting.clear()
        return runtime

    def start(self, clock: Clock, due: float) -> None:
        """Look at that time, and not only when it was meant to be before."""
        runtime = self.arrive()
        if self._task is not None:
            if self.wakes < clock.now():
                return
            self.shortened()
            self._task.cancel()
        self.wakes = due
        self._starts += 1
        self._task = runtime.spawn(self._run, clock, due, self._starts)

    def shortened(self) -> None:
        """Note that who comes from now on waits less long than those that are there."""
        if self.waiting:
            self._unsorted_until = max(self._unsorted_until, next(reversed(self.waiting.values()))[0])

    async def _run(self, clock: Clock, due: float, start: int) -> None:
        try:
            while due < NEVER:
                await clock.sleep(max(due - clock.now(), 0.0))
                if start != self._starts:
                    return  # another one looks
                self.wakes = due = self._look(clock.now() + _NOW)
                self.woke()
        finally:
            if start == self._starts:
                self._task = None
                self.wakes = NEVER

    def _look(self, now: float) -> float:
        """Tell all whose time has come, and return when to look again."""
        overdue: list[tuple[int, E]] = []
        first = NEVER
        for number, entry in self.waiting.items():
            due = entry[0]
            if due <= now:
                overdue.append((number, entry))
                continue
            first = min(first, due)
            if now >= self._unsorted_until:
                break
        for number, _ in overdue:
            del self.waiting[number]
        for number, entry in overdue:
            self.overdue(number, entry)
        return first
