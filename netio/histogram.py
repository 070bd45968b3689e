"""Latency histograms: how long things took, in less than 10 KiB, however many there were.

The buckets are log-linear, as in HdrHistogram: each power of two is cut into 64 buckets of the same width, so a bucket
is between 1/128 and 1/64 of its lower bound wide, and its middle is at most 1/128 (0.78 %) away from anything in it.
A percentile by nearest rank lies in the same bucket as the exact one, hence it has the same bound.

Seconds become ticks of 2**-26 s (15 ns). The first 64 ticks, up to 0.95 µs, have a bucket each; the last bucket ends
at 2**15 s (9 h 6 min), and holds what took longer too. That makes 2,304 counters of 32 bits. They are there as far as
the longest time recorded so far. A counter that is full is carried into a dict: exact as well, and the size still holds
with eight full ones, which takes 34 billion values.

The fast path of `record` asks one question: is this between the shortest and the longest time so far? Then neither
they nor the array need a look. It costs 0.22 µs; `math.frexp` in place of `bit_length` would add 0.03, integer sums
0.08. The sums are floats: merged in another order they differ in their last bits; buckets, minimum and maximum do not.
"""

from __future__ import annotations

import math
from array import array
from bisect import bisect_left
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass
from itertools import accumulate
from math import floor
from operator import index
from typing import Any

_VERSION = 1  # of `to_dict`; another layout of the buckets is another version
_TICKS = float(1 << 26)  # a second
_LONGEST = math.nextafter(2.0**15, 0.0)
_LAST = 2_303  # the bucket of _LONGEST
_FULL = 32  # bits of a counter
_ABSURD = 1e9  # seconds: 32 years

_SHOWN = (50.0, 90.0, 95.0, 99.0, 99.9)


@dataclass(frozen=True, kw_only=True, slots=True)
class Summary:
    """How long things took, in seconds, and how many succeeded. A time is None if there is nothing to take it from.

    `count` is how many ended by themselves, `success_rate` which share of them (0 to 1) succeeded; the times are those
    of the successful ones.
    """

    count: int = 0
    mean: float | None = None
    minimum: float | None = None
    maximum: float | None = None
    deviation: float | None = None
    p50: float | None = None
    p90: float | None = None
    p95: float | None = None
    p99: float | None = None
    p999: float | None = None
    success_rate: float | None = None

    @staticmethod
    def heading() -> str:
        """Return the line above a table of summaries, which are 79 columns wide."""
        names = ("mean", "min", "max", "std", "p50", "p90", "p95", "p99", "p99.9", "ok")
        return f"{'count':>9}{''.join(f'{name:>7}' for name in names)}"

    def __str__(self) -> str:
        spread = (self.mean, self.minimum, self.maximum, self.deviation)
        times = (*spread, self.p50, self.p90, self.p95, self.p99, self.p999)
        rate = "-" if self.success_rate is None else f"{self.success_rate * 100:.4g}%"
        return f"{self.count:>9}{''.join(f'{shown_time(time):>7}' for time in times)}{rate:>7}"

    def to_dict(self) -> dict[str, Any]:
        """Return the fields by name, for JSON."""
        return asdict(self)


def shown_time(seconds: float | None) -> str:
    """Write a time with three digits and its unit, in six characters at most up to a day; "-" for None."""
    if seconds is None:
        return "-"
    if seconds < 1e-6:
        return f"{seconds * 1e6:.2f}µs"
    for unit, size in (("µs", 1e-6), ("ms", 1e-3), ("s", 1.0)):
        if seconds < 999.5 * size:
            return f"{seconds / size:#.3g}".rstrip(".") + unit
    return f"{seconds:.0f}s"


class Histogram:
    """Counts times in seconds: percentiles within 0.78 % from 1 µs to 9 hours, the rest exact.

    Shorter times are right within 8 ns, longer ones count as 9 hours in percentiles. Not for several threads at once:
    give each a histogram and merge them.
    """

    __slots__ = ("_carries", "_counts", "_maximum", "_minimum", "_squares", "_total")

    def __init__(self) -> None:
        self._counts = array("I")
        self._carries: dict[int, int] = {}  # by bucket, in units of 2**32
        self._minimum = math.inf
        self._maximum = -math.inf
        self._total = 0.0
        self._squares = 0.0

    def record(self, seconds: float) -> None:
        """Count one time. Raises `ValueError` if it is negative, 32 years or longer, or no number."""
        if not self._minimum <= seconds <= self._maximum:
            self._admit(seconds)
        ticks = floor(seconds * _TICKS)
        shift = ticks.bit_length() - 7
        try:
            self._counts[(shift << 6) + (ticks >> shift)] += 1
        except (OverflowError, ValueError, IndexError):  # a full counter, less than 1 µs, more than 9 hours
            self._add(_bucket(seconds), 1)
        self._total += seconds
        self._squares += seconds * seconds

    def _admit(self, seconds: float) -> None:
        if not 0.0 <= seconds < _ABSURD:
            raise ValueError(f"a duration is from 0 to {_ABSURD:.0f} seconds, not {seconds!r}")
        self._stretch(float(seconds), float(seconds))

    def _stretch(self, minimum: float, maximum: float) -> None:
        """Make the extremes include these two, and the array long enough for them."""
        self._minimum = min(self._minimum, minimum)
        self._maximum = max(self._maximum, maximum)
        missing = (_bucket(self._maximum) | 63) + 1 - len(self._counts)
        if missing > 0:
            self._counts = self._counts + array("I", bytes(4 * missing))

    def _add(self, bucket: int, number: int) -> None:
        number += self._counts[bucket]
        if number >> _FULL:
            self._carries[bucket] = self._carries.get(bucket, 0) + (number >> _FULL)
        self._counts[bucket] = number & ((1 << _FULL) - 1)

    # ------------------------------------------------------------------ what it says

    @property
    def count(self) -> int:
        return sum(self._counts) + (sum(self._carries.values()) << _FULL)

    @property
    def total(self) -> float:
        """All times together, in seconds."""
        return self._total

    @property
    def minimum(self) -> float | None:
        return None if self._minimum > self._maximum else self._minimum

    @property
    def maximum(self) -> float | None:
        return None if self._minimum > self._maximum else self._maximum

    @property
    def mean(self) -> float | None:
        count = self.count
        return min(max(self._total / count, self._minimum), self._maximum) if count else None

    @property
    def deviation(self) -> float | None:
        """The standard deviation of what was recorded, from the sum of squares.

        Rounding makes it wrong by about a millionth of the mean: a smaller one is noise.
        """
        count = self.count
        if not count:
            return None
        mean = self._total / count
        return math.sqrt(max(self._squares / count - mean * mean, 0.0))

    def percentile(self, percent: float) -> float | None:
        """Return the time that `percent` of all did not exceed (nearest rank), None if there is none.

        What falls on the first or last rank, as 0 and 100 always do, is the exact minimum or maximum. Six decimals of
        `percent` count. Raises `ValueError` outside 0 to 100.
        """
        return self.percentiles((percent,))[0]

    def percentiles(self, percents: Iterable[float]) -> list[float | None]:
        """Return several of them for the price of one: 25 to 50 µs, and 1 µs for each."""
        ranks: list[int] = list(accumulate(self._whole_counts()))
        return [self._at(percent, ranks) for percent in percents]

    def _at(self, percent: float, ranks: list[int]) -> float | None:
        if not 0 <= percent <= 100:
            raise ValueError(f"a percentile is from 0 to 100, not {percent!r}")
        count = ranks[-1] if ranks else 0
        if not count:
            return None
        # In integers: 0.999 * 1000 is more than 999 in floats, and would be rounded up to the next rank.
        rank = -(-round(percent * 1_000_000) * count // 100_000_000)
        if rank <= 1:
            return self._minimum
        if rank == count:
            return self._maximum
        lower, upper = _bounds(bisect_left(ranks, rank))
        return min(max((lower + upper) / 2, self._minimum), self._maximum)

    def summary(self, *, failed: int = 0) -> Summary:
        """Return the analysis of these times; `failed` is how many more there were that did not succeed."""
        count = self.count
        p50, p90, p95, p99, p999 = self.percentiles(_SHOWN)
        return Summary(
            count=count + failed,
            mean=self.mean,
            minimum=self.minimum,
            maximum=self.maximum,
            deviation=self.deviation,
            p50=p50,
            p90=p90,
            p95=p95,
            p99=p99,
            p999=p999,
            success_rate=count / (count + failed) if count + failed else None,
        )

    def buckets(self) -> Iterator[tuple[float, float, int]]:
        """Yield lower bound, upper bound (excluded) and count of each bucket that holds something, shortest first."""
        for bucket, number in self._filled():
            yield (*_bounds(bucket), number)

    def _whole_counts(self) -> list[int]:
        counts = self._counts.tolist()
        for bucket, carry in self._carries.items():
            counts[bucket] += carry << _FULL
        return counts

    def _filled(self) -> list[tuple[int, int]]:
        if not self._counts:
            return []
        first = _bucket(self._minimum)
        return [(bucket, number) for bucket, number in enumerate(self._whole_counts()[first:], first) if number]

    def __repr__(self) -> str:
        return f"<Histogram of {self.count} times, {shown_time(self.minimum)} to {shown_time(self.maximum)}>"

    # ------------------------------------------------------------------ several of them

    def merge(self, other: Histogram) -> None:
        """Add what another histogram has counted."""
        filled = other._filled()
        if not filled:
            return
        self._stretch(other._minimum, other._maximum)
        counts = self._counts
        for bucket, number in filled:
            together = counts[bucket] + number
            if together >> _FULL:
                self._add(bucket, number)
            else:
                counts[bucket] = together
        self._total += other._total
        self._squares += other._squares

    def copy(self) -> Histogram:
        """Return a histogram of its own that has counted the same."""
        copied = Histogram()
        copied._counts = self._counts[:]
        copied._carries = dict(self._carries)
        copied._minimum, copied._maximum = self._minimum, self._maximum
        copied._total, copied._squares = self._total, self._squares
        return copied

    def since(self, earlier: Histogram) -> Histogram:
        """Return what was counted since `earlier`, a copy of this histogram then. Raises `ValueError` if it is none.

        Minimum and maximum are those of the buckets, within 1.6 %, where they are not known better.
        """
        counts = dict(self._filled())
        for bucket, number in earlier._filled():
            counts[bucket] = counts.get(bucket, 0) - number
        filled = {bucket: number for bucket, number in counts.items() if number}
        if any(number < 0 for number in filled.values()):
            raise ValueError("the other histogram has counted what this one has not")
        between = Histogram()
        if not filled:
            return between
        lowest, highest = _bounds(min(filled))[0], math.nextafter(_bounds(max(filled))[1], 0.0)
        if max(filled) == _LAST:
            highest = self._maximum
        between._stretch(max(lowest, self._minimum), min(highest, self._maximum))
        for bucket, number in filled.items():
            between._add(bucket, number)
        between._total = max(self._total - earlier._total, 0.0)
        between._squares = max(self._squares - earlier._squares, 0.0)
        return between

    def to_dict(self) -> dict[str, Any]:
        """Return all of it, for JSON: only buckets that hold something, as pairs of number and count."""
        return {
            "version": _VERSION,
            "total": self._total,
            "squares": self._squares,
            "minimum": self.minimum,
            "maximum": self.maximum,
            "buckets": [list(pair) for pair in self._filled()],
        }

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Histogram:
        """Return the histogram that `to_dict` wrote. Raises `ValueError` if this is none, or of another version."""
        check_version(data, _VERSION, "a histogram")
        histogram = cls()
        try:
            pairs = [(index(bucket), index(number)) for bucket, number in data["buckets"]]
            if pairs:
                histogram._load(pairs, *(float(data[name]) for name in ("minimum", "maximum", "total", "squares")))
        except (KeyError, TypeError, OverflowError) as error:
            raise ValueError(f"this is not what a histogram writes: {error!r}") from error
        return histogram

    def _load(self, pairs: list[tuple[int, int]], minimum: float, maximum: float, total: float, squares: float) -> None:
        buckets = [bucket for bucket, _ in pairs]
        if any(number < 1 for _, number in pairs) or len(set(buckets)) < len(buckets):
            raise ValueError("a bucket of a histogram counts what is there, once")
        if not 0 <= minimum <= maximum < _ABSURD:
            raise ValueError("the extremes of a histogram are durations, in their order")
        if (_bucket(minimum), _bucket(maximum)) != (min(buckets), max(buckets)):
            raise ValueError("the extremes of a histogram lie in its outermost buckets")
        if not (0 <= total < math.inf and 0 <= squares < math.inf):
            raise ValueError("the sums of a histogram are finite and not negative")
        self._stretch(minimum, maximum)
        for bucket, number in pairs:
            self._add(bucket, number)
        self._total, self._squares = total, squares


def check_version(data: Mapping[str, Any], version: int, what: str) -> None:
    """Raise `ValueError` if a dict was not written by this version of what wrote it."""
    found = data.get("version")
    if found != version:
        raise ValueError(f"{what} of version {version} is needed, not {found!r}")


def _bucket(seconds: float) -> int:
    ticks = floor(min(seconds, _LONGEST) * _TICKS)
    shift = max(ticks.bit_length() - 7, 0)
    return (shift << 6) + (ticks >> shift)


def _bounds(bucket: int) -> tuple[float, float]:
    shift = max((bucket >> 6) - 1, 0)
    lower = bucket - (shift << 6)
    return (lower << shift) / _TICKS, ((lower + 1) << shift) / _TICKS
