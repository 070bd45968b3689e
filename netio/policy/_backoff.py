"""How long to wait before the next attempt: by our own reckoning, and by the server's.

Exponential, and random in one of two ways ("Exponential Backoff And Jitter", AWS Architecture Blog, 2015):

* full: evenly from 0 to `base * 2 ** (attempt - 1)`, which spreads a crowd of clients best;
* decorrelated: evenly from `base` to three times the delay before, which never comes back at once.

Both end at `cap`.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from datetime import UTC
from email.utils import parsedate_to_datetime
from typing import Literal

from netio.headers import Headers
from netio.policy._check import positive

Jitter = Literal["full", "decorrelated"]

_DIGITS = 12  # a number of seconds with more of them is a hundred thousand years


class Backoff:
    """The delays between attempts, in seconds."""

    __slots__ = ("_base", "_cap", "_jitter", "_random")

    def __init__(self, name: str, base: float, cap: float, jitter: Jitter, random: Callable[[], float]) -> None:
        self._base = positive(f"{name}.base", base)
        self._cap = positive(f"{name}.cap", cap)
        if base > cap:
            raise ValueError(f"{name}.base must not be above {name}.cap: {base!r} and {cap!r}")
        if jitter not in ("full", "decorrelated"):
            raise ValueError(f"{name}.jitter must be 'full' or 'decorrelated', not {jitter!r}")
        self._jitter = jitter
        self._random = random

    def delay(self, attempt: int, previous: float | None) -> float:
        """Return how long to wait after an attempt, counted from 1; `previous` is what this returned before."""
        if self._jitter == "full":
            doublings = min(attempt - 1, 1_000)  # 2.0 ** 1_024 is more than a float holds
            return self._random() * min(self._cap, self._base * 2.0**doublings)
        longest = 3 * (self._base if previous is None else previous)
        return min(self._cap, self._base + self._random() * max(longest - self._base, 0.0))


def retry_after(headers: Headers, cap: float) -> float | None:
    """Return the seconds that a Retry-After field asks for, 0 to `cap` (RFC 9110 section 10.2.3), or None.

    A date is reckoned from the server's own Date field if there is one: its clock may be wrong, but by the same amount.
    What is neither a number nor a date is ignored.
    """
    value = headers.get("retry-after", "").strip()
    if value.isascii() and value.isdigit():
        return min(float(value), cap) if len(value) <= _DIGITS else cap
    date = _date(value)
    if date is None:
        return None
    sent = _date(headers.get("date", ""))
    return min(max(date - (time.time() if sent is None else sent), 0.0), cap)


def _date(value: str) -> float | None:
    """Return an HTTP-date as seconds since 1970, None if it is none."""
    if not value:
        return None
    try:
        date = parsedate_to_datetime(value)
        return (date if date.tzinfo else date.replace(tzinfo=UTC)).timestamp()
    except (ValueError, TypeError, IndexError, OverflowError):
        return None
