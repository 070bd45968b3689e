"""The one timer of a pool: it tells the watchdog and the ledger what time it is.

It runs while there is anything to look after, looks at least every 100 ms while somebody waits (a tick of that size
bounds how late a renewed deadline is noticed), and sooner if a deadline is nearer. After the event loop was blocked it
lets the loop take in what has arrived meanwhile before it calls anything late (HAZARDS SLOW-07).
"""

from __future__ import annotations

from collections.abc import Callable

import anyio
from anyio.lowlevel import checkpoint

from netio.deadline import Clock, Watchdog
from netio.transport import Background, Runtime

SHORTEST_NAP = 0.005
LONGEST_NAP = 0.1
IDLE_NAP = 1.0
BLOCKED = 0.1
"""A nap that took so much longer than it should means that the loop was blocked."""
LOOP_TURNS = 4
"""Turns of any event loop from what happens on a socket to the task that waits for it."""


class Timer:
    """Tells the watchdog and `expire` the time at every tick, until `is_idle()` and nobody waits."""

    def __init__(
        self, runtime: Runtime, clock: Clock, *, expire: Callable[[float], None], is_idle: Callable[[], bool]
    ) -> None:
        self._runtime = runtime
        self._clock = clock
        self._expire = expire
        self._is_idle = is_idle
        self._nap: anyio.CancelScope | None = None
        self._task: Background | None = None
        self.watchdog = Watchdog(self._hurry)

    def start(self) -> None:
        """Run, unless it is running."""
        if self._task is None:
            self._task = self._runtime.spawn(self._run)

    def stop(self) -> None:
        if self._task is not None:
            self._task.cancel()

    def _hurry(self) -> None:
        if self._nap is not None:
            self._nap.cancel()

    async def _run(self) -> None:
        try:
            while not self._is_idle() or len(self.watchdog):
                await self._look()
        finally:
            self._task = None

    async def _look(self) -> None:
        now = self._clock.now()
        earliest = self.watchdog.look(now)
        self._expire(now)
        longest = LONGEST_NAP if len(self.watchdog) else IDLE_NAP
        seconds = max(SHORTEST_NAP, min(longest, earliest - now))
        self.watchdog.next_look = now + seconds
        with anyio.CancelScope() as self._nap:
            await self._clock.sleep(seconds)
        self._nap = None
        if self._clock.now() > self.watchdog.next_look + BLOCKED:
            for _ in range(LOOP_TURNS):
                await checkpoint()
