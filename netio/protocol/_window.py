"""How large the receive windows of an HTTP/2 connection should be: as much as is under way in one round trip.

A window smaller than that makes the server wait for credit; a larger one only lets a server pile up what a slow reader
has not taken. So while a lot of data comes a PING is sent along, and what the readers have taken until its answer is
the product of bandwidth and delay, or less, if it is they who are slow. If that fills half of the window, and was
faster than any sample before, the window was what limited it, and is doubled, as in gRPC's BDP estimator. Not so where
the round trip is so short that the window hinders nobody.

Half of it, because credit goes back by halves: what comes between a PING and its answer is between one half and all of
a window that limits, as it happens to fall. So a sample that is not much too small is repeated soon, and out of step.

Pure: told the time and the counters of the engine.
"""

from __future__ import annotations

from netio.deadline import NEVER
from netio.wire import MAX_STREAM_WINDOW, Http2Engine

ENOUGH = 500e6
"""Bytes a second that one stream may bring and still be called unhindered: more than this client takes from one."""

GAIN = 1.1
"""How much faster than the best sample one has to be, or a router that queues all it gets would be filled for nothing:
a window twice as large that was needed doubles the rate."""

CONNECTION_TO_STREAM = 16
"""How many streams of one connection may fill their windows unread before the others stand still."""


class WindowTuner:
    """Sends a PING with `probe`, as soon as `data_received` of the engine is at `next_at`; takes its answer."""

    __slots__ = ("_best_rate", "_engine", "_ping", "_since", "_taken", "next_at")

    def __init__(self, engine: Http2Engine) -> None:
        self._engine = engine
        self._ping = 0  # its number, 0 while none is under way
        self._taken = 0
        self._since = 0.0
        self._best_rate = 0.0
        self.next_at: float = engine.stream_window // 4

    @property
    def is_answered(self) -> bool:
        return 0 < self._ping <= self._engine.pings_answered

    def probe(self, now: float, taken: int) -> None:
        """Begin a sample; `taken` counts the bytes of bodies that the readers have taken so far."""
        engine = self._engine
        engine.ping()
        self._ping = engine.pings_sent
        self._taken = taken
        self._since = now
        self.next_at = NEVER

    def take_answer(self, now: float, taken: int) -> None:
        """End it: grow the windows if it says so, and decide when to take the next one."""
        engine = self._engine
        self._ping = 0
        sample, window = taken - self._taken, engine.stream_window
        rate = sample / max(now - self._since, 1e-6)
        if window >= MAX_STREAM_WINDOW:
            return
        if sample * 2 >= window and self._best_rate * GAIN < rate < ENOUGH:
            self._best_rate = rate
            window = min(MAX_STREAM_WINDOW, max(2 * window, 2 * sample))
            engine.grow_windows(window, max(engine.connection_window, CONNECTION_TO_STREAM * window))
            self.next_at = engine.data_received + window // 2
        elif window // 4 <= sample < window // 2:
            self.next_at = engine.data_received + window * 6 // 5
        else:  # things may change, but not often
            self.next_at = engine.data_received + window * 21 // 5
