"""The recent past of a circuit: how many calls there were, and how many of them failed or were slow.

Two windows with one face. Rates are asked for only after a failure or a slow call, which alone can make them rise.
Until `lasts_until` calls that went well need not be told one by one: they would all be counted at the same place.
"""

from __future__ import annotations

from collections import deque
from typing import NamedTuple, Protocol

from netio.deadline import NEVER


class Rates(NamedTuple):
    """What a window holds."""

    calls: int
    failures: int
    slow: int


class Window(Protocol):
    """Counts calls, and forgets old ones."""

    @property
    def lasts_until(self) -> float: ...

    def add(self, now: float, is_failure: bool, is_slow: bool) -> None: ...

    def add_successes(self, calls: int) -> None:
        """Count calls that ended before `lasts_until`."""
        ...

    def rates(self, now: float) -> Rates: ...


class CountWindow:
    """The last `size` calls. It remembers at which number the failures and the slow calls came, not all calls."""

    __slots__ = ("_calls", "_failures", "_size", "_slow")

    def __init__(self, size: int) -> None:
        self._size = size
        self._calls = 0
        self._failures: deque[int] = deque()
        self._slow: deque[int] = deque()

    @property
    def lasts_until(self) -> float:
        return NEVER

    def add(self, now: float, is_failure: bool, is_slow: bool) -> None:
        self._calls += 1
        if is_failure:
            self._failures.append(self._calls)
        if is_slow:
            self._slow.append(self._calls)

    def add_successes(self, calls: int) -> None:
        self._calls += calls

    def rates(self, now: float) -> Rates:
        oldest = self._calls - self._size
        for numbers in (self._failures, self._slow):
            while numbers and numbers[0] <= oldest:
                numbers.popleft()
        return Rates(min(self._calls, self._size), len(self._failures), len(self._slow))


class _Bucket:
    __slots__ = ("calls", "ends", "failures", "slow")

    def __init__(self, ends: float) -> None:
        self.ends = ends
        self.calls = self.failures = self.slow = 0


class TimeWindow:
    """The calls of the last `seconds`, in ten buckets: a call counts until its bucket is out of the window."""

    __slots__ = ("_buckets", "_newest", "_seconds", "_step")

    BUCKETS = 10

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds
        self._step = seconds / self.BUCKETS
        self._newest = _Bucket(float("-inf"))
        self._buckets: deque[_Bucket] = deque()

    @property
    def lasts_until(self) -> float:
        return self._newest.ends

    def add(self, now: float, is_failure: bool, is_slow: bool) -> None:
        bucket = self._bucket(now)
        bucket.calls += 1
        bucket.failures += is_failure
        bucket.slow += is_slow

    def add_successes(self, calls: int) -> None:
        self._newest.calls += calls

    def rates(self, now: float) -> Rates:
        self._drop_old(now)
        buckets = self._buckets
        return Rates(
            sum(each.calls for each in buckets),
            sum(each.failures for each in buckets),
            sum(each.slow for each in buckets),
        )

    def _bucket(self, now: float) -> _Bucket:
        if now >= self._newest.ends:
            self._newest = _Bucket(now + self._step)
            self._buckets.append(self._newest)
            self._drop_old(now)
        return self._newest

    def _drop_old(self, now: float) -> None:
        oldest = now - self._seconds
        while self._buckets and self._buckets[0].ends <= oldest:
            self._buckets.popleft()
