"""The generic cell rate algorithm (ITU-T I.371): a leaky bucket in one number. Plain, and told the time.

`tat`, the theoretical arrival time, is when the next request would come if all came evenly. One may be early by as much
as makes `burst` of them at once. So there is no count to refill, and idle time saves up no more than the burst.
"""

from __future__ import annotations

NOW = 1e-9
"""Seconds that count as none: adding a delay to a time rounds."""


class Gcra:
    """Lets `rate` requests a second through, `burst` of them at once."""

    __slots__ = ("_interval", "_not_before", "_tat", "_tolerance")

    def __init__(self, rate: float, burst: int) -> None:
        self._interval = 1.0 / rate
        self._tolerance = (burst - 1) * self._interval
        self._tat = 0.0
        self._not_before = 0.0

    def take(self, now: float) -> bool:
        """Let a request through now, if it may."""
        tat, soon = self._tat, now + NOW
        if tat - self._tolerance > soon or self._not_before > soon:
            return False
        self._tat = (now if now > tat else tat) + self._interval  # noqa: FURB136  # `max` costs as much as all the rest
        return True

    def due(self, now: float, ahead: int = 0) -> float:
        """Return when a request may pass at the earliest, if so many others go before it."""
        first = max(now, self._not_before)
        return max(first, max(self._tat, first) + ahead * self._interval - self._tolerance)

    def block(self, until: float) -> None:
        """Let nothing through before that time; an earlier one that was said before stays."""
        self._not_before = max(self._not_before, until)
