"""How long a task may wait on a connection, and what it is told when that was too long."""

from __future__ import annotations

from typing import TYPE_CHECKING

from netio.deadline import deadline_after
from netio.errors import Phase, ReadTimeout, TimeoutError, TotalTimeout, WriteTimeout
from netio.transport import Waiter

if TYPE_CHECKING:
    from netio.protocol._connection import Exchange


class Wait:
    """A task that waits for the response.

    The server may be silent for `Timeouts.read`; as long as the request has not left, it may read nothing for
    `Timeouts.write`; and all of it may take until `Exchange.total`. Which of them counts is seen at each look.
    """

    __slots__ = ("_seen", "_since", "deadline", "error", "exchange", "waiter")

    def __init__(self, exchange: Exchange, waiter: Waiter, now: float) -> None:
        timeouts = exchange.request.timeouts
        self.exchange = exchange
        self.waiter = waiter
        self.error: TimeoutError | None = None
        """Set when the time is over, before the task is woken."""
        self._since = now
        self._seen = exchange.progress()
        self.deadline = min(deadline_after(now, timeouts.read), deadline_after(now, timeouts.write), exchange.total)

    @property
    def phase(self) -> Phase:
        return self.exchange.phase

    def has_progressed(self) -> bool:
        """Whether the server is not to blame for the time since the last look."""
        seen, self._seen = self._seen, self.exchange.progress()
        # While the body goes out, silence is not the peer's fault; the upload watches its own progress.
        return seen != self._seen or self.exchange.is_uploading

    def look(self, now: float) -> None:
        if self.has_progressed():
            self._since = now
        phase, timeouts = self.phase, self.exchange.request.timeouts
        seconds = timeouts.write if phase == "send" else timeouts.read
        self.deadline = min(deadline_after(self._since, seconds), self.exchange.total)
        if now >= self.deadline:
            self.error = self._expired(phase, seconds)
            self.waiter.wake()

    def _expired(self, phase: Phase, seconds: float | None) -> TimeoutError:
        request = self.exchange.request
        if seconds is None or self.deadline >= self.exchange.total:
            return TotalTimeout("the deadline of the request passed", request=request, phase=phase, sent=True)
        if phase == "send":
            return WriteTimeout(f"the server took no byte for {seconds:g} s", request=request, phase=phase, sent=True)
        return ReadTimeout(f"the server sent no byte for {seconds:g} s", request=request, phase=phase, sent=True)


class WriteWait(Wait):
    """The same for the task that sends the body: each of its waits is for the server to take something."""

    __slots__ = ()

    @property
    def phase(self) -> Phase:
        return "send"

    def has_progressed(self) -> bool:
        return False
