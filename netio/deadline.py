"""Time: how long things may take, and the clock that says so.

netio measures with one monotonic clock and carries every limit as an absolute float, the *deadline*. Nothing on the
path of a request opens a cancel scope for a timeout (one an operation costs 10 to 14 µs, three times what a whole
request has been shown to need in a client with fast engines): whoever waits puts itself under a `Watchdog`, and one
timer a pool lets the watchdog look at all that wait. The watchdog is plain synchronous code that is told the time; the
timer around it lives in `netio.pool`.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from dataclasses import dataclass, field, fields
from typing import Protocol

import anyio

NEVER = math.inf
"""The deadline of what may take for ever."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Timeouts:
    """Limits in seconds; `None` means no limit.

    * `total`: the whole request: queue, connecting, every attempt, back-off, and the body unless it is streamed.
    * `pool`: waiting for a connection; `connect` longer if one is being opened by then.
    * `connect`: opening one connection, name resolution and TLS included.
    * `write`, `read`: the longest silence of the peer while the request is sent and the response received.
    """

    # Most clients have no total limit, and it is the first thing their users miss (httpx#1450). A minute is what
    # load balancers grant an answer.
    total: float | None = 60.0
    pool: float | None = 10.0
    connect: float | None = 10.0  # Go's DefaultTransport: TLSHandshakeTimeout 10 s; curl's default is 300
    read: float | None = 20.0
    write: float | None = 20.0
    silence: float = field(init=False, repr=False, compare=False)
    """The shorter of `read` and `write`, `NEVER` if there is neither."""

    def __post_init__(self) -> None:
        for each in fields(self):
            seconds = getattr(self, each.name) if each.init else None
            if seconds is None:
                continue
            if isinstance(seconds, bool) or not isinstance(seconds, int | float) or not 0 < seconds < NEVER:
                raise ValueError(f"Timeouts.{each.name} must be a positive number of seconds or None, not {seconds!r}")
        shortest = min(NEVER if self.read is None else self.read, NEVER if self.write is None else self.write)
        object.__setattr__(self, "silence", shortest)


class Clock(Protocol):
    """Where netio gets the time from; `netio.testing.FakeClock` is one that a test moves by hand."""

    def now(self) -> float:
        """Return seconds that never go backwards, from an arbitrary start."""
        ...

    async def sleep(self, seconds: float) -> None:
        """Return once `now()` is `seconds` later."""
        ...


class SystemClock:
    """The monotonic clock of the machine."""

    __slots__ = ()

    now = staticmethod(time.monotonic)

    async def sleep(self, seconds: float) -> None:
        await anyio.sleep(seconds)


def deadline_after(now: float, seconds: float | None) -> float:
    """Return the absolute time `seconds` from now, `NEVER` for None."""
    return NEVER if seconds is None else now + seconds


class Watched(Protocol):
    """Something that waits and wants to be told when its time is over."""

    deadline: float

    def look(self, now: float) -> None:
        """Decide what has become of the wait: renew the deadline, or end the wait. Called at each tick."""
        ...


class Watchdog:
    """Everything that waits under a deadline. Adding and removing costs one dict operation each.

    `next_look` is when the timer means to call `look`; if something with an earlier deadline comes, `hurry` tells it.
    """

    __slots__ = ("_hurry", "_watched", "next_look")

    def __init__(self, hurry: Callable[[], None] = lambda: None) -> None:
        self._watched: dict[Watched, None] = {}
        self._hurry = hurry
        self.next_look = NEVER

    def __len__(self) -> int:
        return len(self._watched)

    def add(self, watched: Watched) -> None:
        self._watched[watched] = None
        if watched.deadline < self.next_look:
            self._hurry()

    def discard(self, watched: Watched) -> None:
        self._watched.pop(watched, None)

    def look(self, now: float) -> float:
        """Show the time to all that wait, and return the earliest of their deadlines.

        What is over wakes its own task; nobody's task is cancelled.
        """
        earliest = NEVER
        for watched in list(self._watched):
            watched.look(now)
            earliest = min(earliest, watched.deadline)
        return earliest
