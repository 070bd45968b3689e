"""The latest latencies of one key, and a percentile of them. Plain."""

from __future__ import annotations

import math

SIZE = 128
LEAST = 20
"""With fewer samples the 95th percentile is the slowest of them, or nothing."""
REFRESH = 16
"""The percentile is reckoned anew after so many samples: sorting 128 numbers takes 5 µs."""


class Latencies:
    """Remembers the last `SIZE` latencies; `percentile` is None until there are `LEAST` of them."""

    __slots__ = ("_next", "_samples", "_share", "percentile")

    def __init__(self, share: float) -> None:
        self._share = share
        self._samples: list[float] = []
        self._next = 0
        self.percentile: float | None = None

    def add(self, seconds: float) -> None:
        samples, place = self._samples, self._next
        if len(samples) < SIZE:
            samples.append(seconds)
        else:
            samples[place % SIZE] = seconds
        self._next = place + 1
        if place % REFRESH == 0 or self.percentile is None:
            self._reckon()

    def _reckon(self) -> None:
        if len(self._samples) >= LEAST:
            ordered = sorted(self._samples)
            self.percentile = ordered[math.ceil(self._share * len(ordered)) - 1]
