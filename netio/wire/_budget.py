"""How much a server may send that brings nothing, and which streams it may still send for though nobody listens."""

from __future__ import annotations

from netio.wire._contract2 import MAX_GIVEN_UP, MAX_USELESS, USELESS_PER_USEFUL


class FrameBudget:
    """A bucket of useless frames (HAZARDS H2-07, H2-08).

    There is no clock to fill it, so usefulness does: whoever asks says how much of that there was in all, and pays for
    it only when a useless frame comes.
    """

    __slots__ = ("_left", "_useful")

    def __init__(self) -> None:
        self._left = MAX_USELESS
        self._useful = 0

    def spend(self, useful: int) -> bool:
        """Count one useless frame; return whether it was allowed."""
        if useful != self._useful:
            self._left = min(MAX_USELESS, self._left + USELESS_PER_USEFUL * (useful - self._useful))
            self._useful = useful
        self._left -= 1
        return self._left >= 0


class GivenUp:
    """Streams that were reset, or left by a GOAWAY, while frames for them may be under way (RFC 9113 section 5.4.2).

    Of each is known how many bytes its window still allows. The oldest are forgotten: what comes for them is taken, but
    it is useless.
    """

    __slots__ = ("_forgotten", "_windows")

    def __init__(self) -> None:
        self._windows: dict[int, int] = {}
        self._forgotten = 0

    def add(self, stream_id: int, window: int) -> None:
        windows = self._windows
        windows[stream_id] = window
        if len(windows) > MAX_GIVEN_UP:
            oldest = next(iter(windows))
            del windows[oldest]
            self._forgotten = max(self._forgotten, oldest)

    def __contains__(self, stream_id: int) -> bool:
        return stream_id in self._windows or stream_id <= self._forgotten

    def take(self, stream_id: int, size: int) -> int | None:
        """Take bytes off the window of a stream; return what is left, negative if it was overrun, None if forgotten."""
        window = self._windows.get(stream_id)
        if window is None:
            return None
        self._windows[stream_id] = window - size
        return window - size
