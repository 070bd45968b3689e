"""Bulkhead: only so many at a time, and only so many waiting.

One slow peer then holds `concurrency` requests of ours and not all of them, and who cannot be served soon hears so at
once. Waiting is first come, first served.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Hashable
from functools import partial
from types import TracebackType
from typing import TypeVar

from netio.deadline import NEVER, Clock, SystemClock
from netio.message import Request, Response, Send
from netio.policy._alone import AroundAnything, P
from netio.policy._check import not_negative, whole
from netio.policy._gate import Gate
from netio.policy._place import hold_until_closed, wait_for_place
from netio.policy._states import LIMIT, States

T = TypeVar("T")


class Bulkhead(AroundAnything):
    """Let at most `concurrency` requests to the same origin be under way; refuse others with `BulkheadFull`.

    * `queue`: how many may wait for a place. `longest_wait`: for how many seconds; None for as long as their deadline.
    * `key`: given a request, returns what the places go by; its origin by default. `limit` keys are remembered.
    * `clock`: for use without a session; a request brings its own.

    A streamed response keeps its place until it is closed.
    """

    def __init__(
        self,
        concurrency: int = 25,  # resilience4j
        *,
        queue: int = 100,
        longest_wait: float | None = 5.0,
        key: Callable[[Request], Hashable] | None = None,
        limit: int = LIMIT,
        clock: Clock | None = None,
    ) -> None:
        make = partial(Gate, whole("Bulkhead.concurrency", concurrency), whole("Bulkhead.queue", queue, 0))
        self._gates = States(make, limit=whole("Bulkhead.limit", limit), is_kept=_is_busy)
        self._longest = NEVER if longest_wait is None else not_negative("Bulkhead.longest_wait", longest_wait)
        self._key = key
        self._clock = clock or SystemClock()

    async def around(self, request: Request, send: Send) -> Response:
        gate = self._gates[request.url.origin if self._key is None else self._key(request)]
        if gate.active < gate.limit:
            gate.active += 1
        else:
            await wait_for_place(gate, self._longest, request.clock, request)
        # From here on the place is ours. No await may come in between.
        try:
            response = await send(request)
        except BaseException:
            gate.give()
            raise
        if response.is_closed:
            gate.active -= 1  # `give`, without its two calls
            if gate.tickets:
                gate.admit()
        else:
            hold_until_closed(gate, response)
        return response

    def guard(self, key: Hashable = None) -> GateGuard:
        """Return an async context manager that holds a place; raises `BulkheadFull` on entry."""
        return GateGuard(self._gates[key], self._longest, self._clock)

    async def call(self, function: Callable[P, Awaitable[T]], *args: P.args, **kwargs: P.kwargs) -> T:
        """Call a function when there is a place; all that is called shares the places of the key None."""
        async with self.guard():
            return await function(*args, **kwargs)

    def active(self, key: Hashable = None) -> int:
        """Return how many places are taken."""
        gate = self._gates.peek(key)
        return 0 if gate is None else gate.active

    def waiting(self, key: Hashable = None) -> int:
        """Return how many wait for a place."""
        gate = self._gates.peek(key)
        return 0 if gate is None else gate.waiting


class GateGuard:
    """A place held through the body of `async with`."""

    __slots__ = ("_clock", "_gate", "_longest")

    def __init__(self, gate: Gate, longest: float, clock: Clock) -> None:
        self._gate = gate
        self._longest = longest
        self._clock = clock

    async def __aenter__(self) -> None:
        if not self._gate.take():
            await wait_for_place(self._gate, self._longest, self._clock, None)

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._gate.give()


def _is_busy(gate: Gate) -> bool:
    return gate.is_busy
