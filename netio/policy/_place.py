"""Holding a place of a gate: getting one, by waiting if need be, and giving it back when the response is closed."""

from __future__ import annotations

import anyio

from netio.deadline import Clock
from netio.errors import BulkheadFull, TotalTimeout
from netio.message import Request, Response
from netio.observe import Refused, tell
from netio.policy._gate import Gate, Ticket
from netio.policy._wait import wait_until
from netio.transport import Runtime, current_runtime


async def wait_for_place(gate: Gate, seconds: float, clock: Clock, request: Request | None) -> None:
    """Wait in the queue of a gate, at most so many seconds, and not beyond the deadline of the request.

    Raises `BulkheadFull` if the queue is full or the time is over, `TotalTimeout` at the deadline.
    """
    event = anyio.Event()
    ticket = Ticket(event.set)
    if seconds <= 0 or not gate.enqueue(ticket):
        raise _full(f"{gate.active} are under way and {gate.waiting} wait", request)
    latest = clock.now() + seconds
    deadline = latest if request is None else min(latest, request.deadline)
    try:
        await wait_until(event, deadline, clock)
    except BaseException:
        gate.leave(ticket)
        raise
    if ticket.is_served:
        return
    gate.leave(ticket)
    if request is not None and request.deadline <= latest:
        raise TotalTimeout("the deadline of the request passed", request=request, phase="queue", sent=False)
    raise _full(f"no place became free in {seconds:g} s", request)


def _full(message: str, request: Request | None) -> BulkheadFull:
    error = BulkheadFull(message, request=request, sent=False)
    if request is not None and request.observer is not None:
        tell(request.observer, Refused(request, error))
    return error


def hold_until_closed(gate: Gate, response: Response) -> None:
    """Give the place back when the body of a streamed response is through; resilience4j and Envoy do the same."""
    response.on_close(Place(gate, current_runtime()).release)


class Place:
    """A place that a streamed response holds. If that is dropped unclosed, the garbage collector gives it back."""

    __slots__ = ("_gate", "_runtime")

    def __init__(self, gate: Gate, runtime: Runtime) -> None:
        self._gate: Gate | None = gate
        self._runtime = runtime

    def release(self) -> None:
        gate, self._gate = self._gate, None
        if gate is not None:
            gate.give()

    def __del__(self) -> None:
        if self._gate is not None:
            self._runtime.soon(self._gate.give)  # the collector runs anywhere, in another thread too
