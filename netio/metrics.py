"""Metrics: what is counted, by origin (`Tally`), and the latency of anything that can be awaited (`LatencyProfile`).

A profile is told what happened and when, like all that is counted; only its measuring around an await reads a clock.
Its time line is a sample of bounded size. The last measurements (a ring) would show the end of a run alone, and every
one in so many would have to be thinned out while it grows. So each measurement draws a random number, and those with
the highest numbers stay: at any time a fair sample of all, and two samples merge into the one of both.
"""

from __future__ import annotations

import math
from collections.abc import Awaitable, Callable, Coroutine, Mapping
from functools import wraps
from heapq import heappush, heappushpop
from operator import index
from random import random
from types import TracebackType
from typing import Any, NamedTuple, ParamSpec, Self, TypeVar

from netio.deadline import Clock, SystemClock
from netio.histogram import Histogram, Summary, check_version
from netio.message import Request, Response, Send
from netio.tally import OTHERS, Counts, Outcomes, Tally

__all__ = ["OTHERS", "Counts", "Histogram", "LatencyProfile", "Outcomes", "Sample", "Summary", "Tally"]

_VERSION = 1  # of LatencyProfile.to_dict

T = TypeVar("T")
P = ParamSpec("P")


class Sample(NamedTuple):
    """One measurement: its start in seconds since the profile was made, how long it took, whether it succeeded."""

    start: float
    seconds: float
    is_ok: bool


_Drawn = tuple[float, float, float]  # a random number, start, seconds


class _Reservoir:
    """A fair sample of all that was offered, `places` at most."""

    __slots__ = ("drawn", "places")

    def __init__(self, places: int) -> None:
        self.places = places
        self.drawn: list[_Drawn] = []  # a heap: the lowest number is first

    def offer(self, entry: _Drawn) -> None:
        if len(self.drawn) < self.places:
            heappush(self.drawn, entry)
        elif entry > self.drawn[0]:
            heappushpop(self.drawn, entry)

    def merge(self, other: _Reservoir) -> None:
        # With fewer places there, what a place more would have held is unknown here too.
        self.places = min(self.places, other.places)
        entries = sorted([*self.drawn, *other.drawn], reverse=True)
        self.drawn = entries[: self.places][::-1]  # sorted upwards, which is a heap


class LatencyProfile(Outcomes):
    """Measures anything that can be awaited: `await profile.measure(fetch())`.

    Also `@profile.wrap` on an async function, `async with profile.timing():`, and as a policy of a session. Besides
    the counts of `Outcomes` it keeps a time line: a fair sample of `samples` successes, and one of as many failures.
    `clock` is its own, as a policy too. Tasks may share a profile, threads and processes merge theirs.
    """

    __slots__ = ("_clock", "_failures", "_made", "_random", "_successes")

    def __init__(
        self, *, clock: Clock | None = None, samples: int = 5_000, random: Callable[[], float] = random
    ) -> None:
        if samples < 1:
            raise ValueError(f"a profile keeps one sample or more, not {samples!r}")
        super().__init__()
        self._clock = clock or SystemClock()
        self._random = random
        self._made = self._clock.now()
        self._successes = _Reservoir(samples)
        self._failures = _Reservoir(samples)

    async def measure(self, awaitable: Awaitable[T]) -> T:
        """Await it, count how it ended, and return or raise what it does."""
        async with self.timing():
            return await awaitable

    def wrap(self, function: Callable[P, Awaitable[T]]) -> Callable[P, Coroutine[Any, Any, T]]:
        """Return the async function with each of its calls measured."""

        @wraps(function)
        async def measured(*args: P.args, **kwargs: P.kwargs) -> T:
            return await self.measure(function(*args, **kwargs))

        return measured

    async def __call__(self, request: Request, send: Send) -> Response:
        return await self.measure(send(request))

    def timing(self) -> _Timing:
        """Measure a block: `async with profile.timing():`."""
        return _Timing(self, self._clock)

    def record(self, started: float, seconds: float, error: BaseException | None = None) -> None:
        """Count what was measured elsewhere: when it started, by the clock of the profile, and how it ended."""
        entry = (self._random(), started - self._made, seconds)
        if error is None:
            self.latency.record(seconds)
            self._successes.offer(entry)
        elif self.fail(error):
            self._failures.offer(entry)

    def samples(self) -> list[Sample]:
        """Return the time line, in the order in which the measurements began; cancelled ones are not in it."""
        found = [Sample(start, seconds, True) for _, start, seconds in self._successes.drawn]
        return sorted(found + [Sample(start, seconds, False) for _, start, seconds in self._failures.drawn])

    def __str__(self) -> str:
        kinds = [f"{number} {kind}" for kind, number in sorted(self.failures.items(), key=lambda item: -item[1])]
        ends = [f"failed: {', '.join(kinds)}"] if kinds else []
        if self.cancelled:
            ends.append(f"cancelled: {self.cancelled}")
        return "\n".join([Summary.heading(), str(self.summary()), *ends])

    # ------------------------------------------------------------------ several of them

    def merge(self, other: LatencyProfile) -> None:
        """Add what another profile has measured. The time lines are laid over each other, each from its own zero."""
        self.add_outcomes(other)
        self._successes.merge(other._successes)
        self._failures.merge(other._failures)

    def to_dict(self) -> dict[str, Any]:
        """Return all of it, for JSON."""
        return {
            "version": _VERSION,
            "latency": self.latency.to_dict(),
            "failures": dict(self.failures),
            "cancelled": self.cancelled,
            "samples": self._successes.places,
            "successes_drawn": [list(entry) for entry in self._successes.drawn],
            "failures_drawn": [list(entry) for entry in self._failures.drawn],
        }

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Self:
        """Return the profile that `to_dict` wrote, to look at or to merge. Raises `ValueError` if this is none."""
        check_version(data, _VERSION, "a profile")
        try:
            profile = cls(samples=index(data["samples"]))
            profile.latency = Histogram.from_dict(data["latency"])
            for kind, number in data["failures"].items():
                profile.add_failures(str(kind), _whole(number))
            profile.cancelled = _whole(data["cancelled"])
            for name, reservoir in (("successes", profile._successes), ("failures", profile._failures)):
                for drawn, start, seconds in data[f"{name}_drawn"]:
                    reservoir.offer((_finite(drawn), _finite(start), _finite(seconds)))
        except (AttributeError, KeyError, TypeError) as error:
            raise ValueError(f"this is not what a profile writes: {error!r}") from error
        return profile


class _Timing:
    """`async with` around what is measured."""

    __slots__ = ("_clock", "_profile", "_started")

    def __init__(self, profile: LatencyProfile, clock: Clock) -> None:
        self._profile = profile
        self._clock = clock

    async def __aenter__(self) -> None:
        self._started = self._clock.now()

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._profile.record(self._started, self._clock.now() - self._started, error)


def _whole(number: Any) -> int:
    if index(number) < 0:
        raise ValueError(f"a count is 0 or more, not {number!r}")
    return index(number)


def _finite(number: Any) -> float:
    if not math.isfinite(number):
        raise ValueError(f"a time is a finite number, not {number!r}")
    return float(number)
