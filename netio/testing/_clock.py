"""A clock that a test moves by hand."""

from __future__ import annotations

import heapq
from itertools import count

import anyio


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
        await anyio.wait_all_tasks_blocked()
        while self._sleepers and self._sleepers[0][0] <= target:
            due, _, event = heapq.heappop(self._sleepers)
            if not event.is_set():
                self._now = max(self._now, due)
                event.set()
                await anyio.wait_all_tasks_blocked()
        self._now = target
        await anyio.wait_all_tasks_blocked()
