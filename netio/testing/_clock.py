"""A clock that a test moves by hand.

Moving it means: wake the sleeper that is due first, let everything come to rest, then the next one. On trio, trio
itself knows when all tasks are blocked. anyio's answer for asyncio looks every 100 ms, in real time, so here the loop
is turned until some turns in a row have found no task that could run.
"""

from __future__ import annotations

import asyncio
import heapq
from itertools import count

import anyio

_QUIET_TURNS = 5
"""More than the turns between a callback of the loop that no task shows, and the task that it wakes."""


class FakeClock:
    """Time that passes only when the test says so: `Session(clock=clock)`, then `await clock.advance(20)`."""

    def __init__(self, start: float = 1_000.0) -> None:
        self._now = start
        self._order = count()
        self._sleepers: list[tuple[float, int, anyio.Event]] = []

    def now(self) -> float:
        return self._now

    @property
    def sleepers(self) -> int:
        """How many tasks sleep on this clock."""
        return sum(not event.is_set() for _, _, event in self._sleepers)

    async def sleep(self, seconds: float) -> None:
        event = anyio.Event()
        entry = (self._now + max(seconds, 0.0), next(self._order), event)
        heapq.heappush(self._sleepers, entry)
        try:
            await event.wait()
        finally:
            event.set()  # a sleeper that was cancelled is skipped later

    async def advance(self, seconds: float) -> None:
        """Let time pass: wake every sleeper at its moment, and let all tasks come to rest before the next one."""
        target = self._now + seconds
        await all_tasks_at_rest()
        while self._sleepers and self._sleepers[0][0] <= target:
            due, _, event = heapq.heappop(self._sleepers)
            if not event.is_set():
                self._now = max(self._now, due)
                event.set()
                await all_tasks_at_rest()
        self._now = target
        await all_tasks_at_rest()


async def all_tasks_at_rest() -> None:
    """Return when no other task of the event loop can run without time passing, or something from outside."""
    try:
        this_task = asyncio.current_task()
    except RuntimeError:
        await anyio.wait_all_tasks_blocked()
        return
    quiet = 0
    while quiet < _QUIET_TURNS:
        await asyncio.sleep(0)
        can_run = any(_can_run(task) for task in asyncio.all_tasks() if task is not this_task)
        quiet = 0 if can_run else quiet + 1


def _can_run(task: asyncio.Task[object]) -> bool:
    future = task._fut_waiter  # type: ignore[attr-defined]
    return future is None or future.done()
