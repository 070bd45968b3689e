"""Load for `netio bench`: the same request many times, in a closed or an open loop.

In the closed loop each of `concurrency` tasks sends its next request when it has the answer to the one before: the
server sets the pace, and a server that stalls is asked less. In the open loop requests are due at a fixed rate, whether
the ones before are answered or not, and a latency counts from the moment at which the request was due: what waits
because `concurrency` requests are under way already is part of it (Gil Tene's coordinated omission). A rate that the
server cannot keep up with makes that queue longer and longer: what is due while `BACKLOG` requests wait is never sent,
nor is what waits when the time is over; both are counted.

Timers of event loops are exact to a millisecond, more than a request takes on a fast network. So the last two
milliseconds before a request is due are spent in turns of the loop.
"""

from __future__ import annotations

import math
from collections import Counter, deque
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field

import anyio
from anyio.lowlevel import checkpoint

from netio.deadline import Clock, SystemClock
from netio.errors import NetioError
from netio.message import Response
from netio.metrics import LatencyProfile

SPIN = 0.002  # seconds

BACKLOG = 100_000
"""Requests of the open loop that may wait for a place."""


@dataclass(frozen=True, kw_only=True)
class Load:
    """How much: until `requests` were begun or `seconds` are over; `rate` a second, or as fast as answers come."""

    concurrency: int = 50
    requests: int | None = None
    seconds: float | None = None
    rate: float | None = None


@dataclass
class Result:
    """What came of it. Latencies are those of all answers, whatever their status."""

    profile: LatencyProfile = field(default_factory=LatencyProfile)
    statuses: Counter[int] = field(default_factory=Counter[int])
    versions: Counter[str] = field(default_factory=Counter[str])
    body_bytes: int = 0
    begun: int = 0
    unsent: int = 0
    """In the open loop, the requests that were due and never begun."""
    behind: float = 0.0
    """In the open loop, how late the latest request was begun, in seconds."""
    seconds: float = 0.0
    """From the first request until the last answer."""

    @property
    def ended(self) -> int:
        return self.profile.succeeded + self.profile.failed

    @property
    def rate(self) -> float:
        """Answers a second."""
        return self.profile.succeeded / self.seconds if self.seconds else 0.0


class LoadTest:
    """Calls `send` as the load says; `result` may be looked at while it runs."""

    def __init__(
        self, send: Callable[[], Awaitable[Response]], load: Load, clock: Clock | None = None, *, spin: float = SPIN
    ) -> None:
        self._send = send
        self._load = load
        self._clock = clock or SystemClock()
        self._spin = spin
        self._late: deque[float] = deque()  # when those requests were due that wait for a free place
        self._in_flight = 0
        self._due = 0  # requests that were due so far
        self._end = 0.0
        self.began = 0.0
        self.result = Result()

    @property
    def elapsed(self) -> float:
        """Seconds since the first request."""
        return self._clock.now() - self.began

    async def run(self) -> Result:
        """Return when the last answer has come."""
        self.began = self._clock.now()
        self._end = float("inf") if self._load.seconds is None else self.began + self._load.seconds
        if self._load.rate is None:
            async with anyio.create_task_group() as group:
                for _ in range(self._load.concurrency):
                    group.start_soon(self._closed_loop)
        else:
            await self._open_loop(self._load.rate)
        self.result.seconds = self._clock.now() - self.began
        return self.result

    async def _closed_loop(self) -> None:
        while self._may_begin(now := self._clock.now(), self.result.begun):
            await self._one(now)

    def _may_begin(self, when: float, number: int) -> bool:
        return when < self._end and (self._load.requests is None or number < self._load.requests)

    async def _open_loop(self, rate: float) -> None:
        async with anyio.create_task_group() as group:
            while self._may_begin(due := self.began + self._due / rate, self._due):
                await self._until(due)
                has_place = self._in_flight < self._load.concurrency
                if not has_place and self._clock.now() >= self._end:
                    break
                self._due += 1
                if has_place:
                    self._in_flight += 1
                    group.start_soon(self._serve, due)
                elif len(self._late) < BACKLOG:
                    self._late.append(due)
                else:
                    self.result.unsent += 1
            self.result.unsent += self._still_due(rate)

    def _still_due(self, rate: float) -> int:
        """Return how many requests are due before the end, and were not looked at when it came."""
        if self._load.seconds is None:
            return 0
        all_due = math.ceil(self._load.seconds * rate)
        if self._load.requests is not None:
            all_due = min(all_due, self._load.requests)
        return max(all_due - self._due, 0)

    async def _until(self, due: float) -> None:
        """Return when it is time. At least one turn of the loop goes by: a rate beyond reach must not stop the rest."""
        while (rest := due - self._clock.now()) > self._spin:
            await self._clock.sleep(rest - self._spin)
        await checkpoint()
        while self._clock.now() < due:
            await checkpoint()

    async def _serve(self, due: float) -> None:
        """Send one request, and then those that wait for a place."""
        try:
            await self._one(due)
            while self._late:
                if self._clock.now() >= self._end:
                    self.result.unsent += len(self._late)
                    self._late.clear()
                    return
                await self._one(self._late.popleft())
        finally:
            self._in_flight -= 1

    async def _one(self, due: float) -> None:
        result = self.result
        result.begun += 1
        result.behind = max(result.behind, self._clock.now() - due)
        try:
            response = await self._send()
        except NetioError as error:
            result.profile.record(due, self._clock.now() - due, error)
            return
        result.profile.record(due, self._clock.now() - due)
        result.statuses[response.status_code] += 1
        result.versions[response.http_version] += 1
        result.body_bytes += len(response.content)
