"""How long a task may wait on a connection, and what it is told when that was too long."""

from __future__ import annotations

from typing import TYPE_CHECKING

from netio.deadline import deadline_after
from netio.errors import Phase, ReadTimeout, TimeoutError, TotalTimeout, WriteTimeout
from netio.transport import Waiter

if TYPE_CHECKING:
    from netio.protocol._exchange import Exchange


class WriteWait:
    """The task that sends a body, waiting for the server to take some of it: at most `Timeouts.write`."""

    __slots__ = ("_exchange", "_limit", "_unsent", "_waiter", "deadline", "error")

    def __init__(self, exchange: Exchange, waiter: Waiter, now: float) -> None:
        self._exchange = exchange
        self._waiter = waiter
        self._limit = deadline_after(now, exchange.request.timeouts.write)
        self._unsent = exchange.connection.link.unsent
        self.error: TimeoutError | None = None
        """Set when the time is over, before the task is woken."""
        self.deadline = min(self._limit, exchange.total)

    def look(self, now: float) -> None:
        exchange, unsent = self._exchange, self._exchange.connection.link.unsent
        if unsent < self._unsent:  # some of it has left
            self._unsent = unsent
            self._limit = deadline_after(now, exchange.request.timeouts.write)
        self.deadline = min(self._limit, exchange.total)  # which changes when the head of the answer is here
        if now >= self.deadline:
            self.error = expired(self._exchange, "send", self._exchange.request.timeouts.write, now)
            self._waiter.wake()


class Pause:
    """A wait that simply ends when its time has come."""

    __slots__ = ("_waiter", "deadline")

    def __init__(self, waiter: Waiter, deadline: float) -> None:
        self._waiter = waiter
        self.deadline = deadline

    def look(self, now: float) -> None:
        if now >= self.deadline:
            self._waiter.wake()


def expired(exchange: Exchange, phase: Phase, seconds: float | None, now: float) -> TimeoutError:
    """Return the error of an exchange whose time is over, with what each phase of the request has taken."""
    request = exchange.request
    error: TimeoutError
    if seconds is None or now >= exchange.total:
        error = TotalTimeout("the deadline of the request passed", request=request, phase=phase, sent=True)
    elif phase == "send":
        error = WriteTimeout(f"the server took no byte for {seconds:g} s", request=request, phase=phase, sent=True)
    else:
        error = ReadTimeout(f"the server sent no byte for {seconds:g} s", request=request, phase=phase, sent=True)
    error.took = phase_seconds(exchange, now)
    return error


def phase_seconds(exchange: Exchange, now: float) -> dict[Phase, float]:
    """Return how many seconds each phase of a request has taken, the last one until now."""
    connection, started = exchange.connection, exchange.request.started
    took: dict[Phase, float] = {}
    waited = max(0.0, exchange.opened_at - started)
    if connection.opened_at >= started:  # while this request was there, so it waited for that
        took.update(connection.info.took)
        waited = max(0.0, waited - sum(connection.info.took.values()))
    took = {"queue": waited, **took}
    if exchange.upload is not None:
        took["send"] = now - exchange.opened_at
        return took
    sent_at = exchange.opened_at if exchange.sent_at is None else exchange.sent_at
    took["send"] = sent_at - exchange.opened_at
    took["head"] = (now if exchange.head_at is None else exchange.head_at) - sent_at
    if exchange.head_at is not None:
        took["body"] = now - exchange.head_at
    return took
