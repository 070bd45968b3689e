"""How many requests a peer can bear at a time, learnt from how long it takes. Plain, and told the time.

The idea is TCP Vegas' by way of Netflix' concurrency-limits (Gradient2) and Envoy's adaptive concurrency: while a peer
has room, its latency does not depend on how much it is sent; when it grows, requests queue up there. After each window

    gradient  = tolerance * usual latency / latency now      between 0.5 and 1
    headroom  = sqrt(limit)                                  so that a higher limit is tried at all
    new limit = limit * gradient + headroom                  and the limit goes a fifth of the way there

An answer that says "too much" (429, 503, a timeout) takes a tenth off instead, as AIMD does. A limit that is not used
does not grow: nobody would know whether it holds.
"""

from __future__ import annotations

import math
from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True, slots=True)
class GradientOptions:
    """What `AdaptiveLimit` is given; its docstring says what each is."""

    initial: int
    floor: int
    ceiling: int
    tolerance: float
    window_seconds: float
    window_samples: int


SMOOTHING = 0.2  # Gradient2's
BACK_OFF = 0.9  # AIMD of concurrency-limits
MEMORY = 100.0  # windows; Gradient2 remembers 600 samples
FORGET = 0.95  # Gradient2: when the usual latency is more than twice that of now, it is a memory of bad times


class Gradient:
    """The limit of one key. Of an answer that came well the shell adds to `samples` and `seconds`, and no more."""

    __slots__ = ("_limit", "_options", "_usual", "dropped", "most_active", "samples", "seconds", "window_ends")

    def __init__(self, options: GradientOptions) -> None:
        self._options = options
        self._limit = float(options.initial)
        self._usual: float | None = None
        self.window_ends = 0.0
        self._reset()

    def _reset(self) -> None:
        self.samples = 0
        self.seconds = 0.0
        self.dropped = 0
        self.most_active = 0

    @property
    def limit(self) -> int:
        return int(self._limit)

    @property
    def usual(self) -> float | None:
        """The latency that the peer usually has, in seconds."""
        return self._usual

    def end_window(self, now: float) -> None:
        """Reckon the limit from what was seen in the window; a window with too little goes on."""
        options = self._options
        if self.dropped:
            self._limit *= BACK_OFF
        elif self.samples < options.window_samples:
            return
        else:
            self._follow(self.seconds / self.samples)
        self._limit = min(max(self._limit, float(options.floor)), float(options.ceiling))
        self.window_ends = now + options.window_seconds
        self._reset()

    def _follow(self, latency: float) -> None:
        usual = latency if self._usual is None else self._usual + (latency - self._usual) / MEMORY
        self._usual = usual * FORGET if usual > 2 * latency else usual
        gradient = min(max(self._options.tolerance * usual / max(latency, 1e-9), 0.5), 1.0)
        target = self._limit * gradient + math.sqrt(self._limit)
        if target > self._limit and self.most_active < self._limit / 2:
            return
        self._limit += SMOOTHING * (target - self._limit)
