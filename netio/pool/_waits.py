"""What waits in a pool, as its timer looks at it: requests in the queue, and dials."""

from __future__ import annotations

from collections.abc import Mapping

from netio.deadline import deadline_after
from netio.errors import ConnectError, ConnectTimeout, Phase, PoolTimeout, RequestError, TimeoutError, TotalTimeout
from netio.message import Request
from netio.pool._books import Ticket
from netio.pool._ledger import Ledger
from netio.protocol import Connection
from netio.transport import Background, Dial, Waiter


class QueueWait:
    """A request in the queue, for `Timeouts.pool`.

    If a connection is being opened for it by then, it waits for `Timeouts.connect` more. The dial itself may go on for
    longer: it has the limit of the request that caused it, and may serve others.
    """

    __slots__ = ("_connect", "_is_extended", "_ledger", "_ticket", "_total", "deadline", "is_expired", "waiter")

    def __init__(
        self, ledger: Ledger[Connection], ticket: Ticket[Connection], waiter: Waiter, request: Request, now: float
    ) -> None:
        self._ledger = ledger
        self._ticket = ticket
        self._connect = request.timeouts.connect
        self._total = request.deadline
        self._is_extended = False
        self.waiter = waiter
        self.is_expired = False
        self.deadline = min(deadline_after(now, request.timeouts.pool), self._total)

    def look(self, now: float) -> None:
        if now < self.deadline:
            return
        if now < self._total and not self._is_extended and self._ledger.is_being_dialed(self._ticket):
            self._is_extended = True
            self.deadline = min(deadline_after(now, self._connect), self._total)
            return
        self.is_expired = True
        self.waiter.wake()


class Dialing:
    """A dial in the background, under its time limit."""

    __slots__ = ("_began", "deadline", "dial", "is_expired", "task")

    def __init__(self, dial: Dial) -> None:
        self.dial = dial
        self.deadline = dial.deadline
        self._began = dial.clock.now()
        self.is_expired = False
        self.task: Background

    def look(self, now: float) -> None:
        if now >= self.deadline:
            self.is_expired = True
            self.task.cancel()

    def error(self, cause: BaseException) -> ConnectError | ConnectTimeout:
        """Return what those are told that wait for it, when it was cancelled."""
        dial = self.dial
        dial.end()
        if not self.is_expired:  # on asyncio a `connect` hook is cancelled too by awaiting a task that was
            error = ConnectError(f"connecting to {dial.origin} was cancelled", phase=dial.phase)
            error.__cause__ = cause
            return error
        seconds = f"{self.deadline - self._began:g} s"
        message = f"connecting to {dial.origin} took longer than {seconds}{dial.story()}"
        timeout = ConnectTimeout(message, phase=dial.phase)
        timeout.took = dict(dial.took)
        timeout.tried = dial.tried
        return timeout


def queue_timeout(request: Request, wait: QueueWait, dial: Dial | None, now: float) -> TimeoutError:
    """Return the error of a request whose time in the queue is over, while this dial was under way for it."""
    error = _in_words(request, wait, "queue" if dial is None else dial.phase)
    took: dict[Phase, float] = {}
    if dial is not None:
        dial.end()
        took.update(dial.took)
        error.args = (f"{error.args[0]}{dial.story()}",)
        if isinstance(error, ConnectTimeout):
            error.tried = dial.tried
    error.took = with_queue(request, took, now)
    return error


def with_queue(request: Request, took: Mapping[Phase, float], now: float) -> dict[Phase, float]:
    """Add what a request has waited beside its dial, which may be older than itself."""
    waited = max(0.0, now - request.started)
    dialed: dict[Phase, float] = {phase: min(seconds, waited) for phase, seconds in took.items()}
    return {"queue": max(0.0, waited - sum(dialed.values())), **dialed}


def _in_words(request: Request, wait: QueueWait, phase: Phase) -> TimeoutError:
    if wait.deadline >= request.deadline:
        return TotalTimeout("the deadline of the request passed", request=request, phase=phase, sent=False)
    if phase != "queue":
        return ConnectTimeout("no connection came about in time", request=request, phase=phase, sent=False)
    seconds = request.timeouts.pool
    return PoolTimeout(
        f"no connection became free for {seconds:g} s; more of them (Limits.connections), fewer requests at once, or "
        "responses that are read and closed earlier would help",
        request=request,
        phase="queue",
        sent=False,
    )


def first_of(group: BaseExceptionGroup[BaseException]) -> BaseException:
    """Return the first error of several; if it is about a request, so are the others."""
    error: BaseException = group
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    return error


def for_request(error: Exception, request: Request, now: float) -> Exception:
    """Give a dial's error to one of those that waited for it; what a user's hook raised is handed on as it is."""
    if not isinstance(error, RequestError):
        return error
    mine = error.during(request, error.phase, sent=False)
    if isinstance(mine, TimeoutError):
        mine.took = with_queue(request, mine.took, now)
    return mine
