"""The latest latencies of one key, and a percentile of them. Plain."""

from __future__ import annotations

import math
from collections import deque

SIZE = 128
LEAST = 20
"""With fewer samples the 95th percentile is the slowest of them, or nothing."""


class Latencies:
    """Remembers the last `SIZE` latencies: who has one appends it to `samples`."""

    __slots__ = ("_share", "samples")

    def __init__(self, share: float) -> None:
        self._share = share
        self.samples: deque[float] = deque(maxlen=SIZE)

    def percentile(self) -> float | None:
        """Reckon the percentile; None if there are fewer than `LEAST` samples. Sorting 128 numbers takes 5 µs."""
        if len(self.samples) < LEAST:
            return None
        ordered = sorted(self.samples)
        return ordered[math.ceil(self._share * len(ordered)) - 1]
