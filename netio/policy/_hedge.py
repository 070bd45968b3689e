"""Hedge: what has no answer after the usual time is sent a second time, and the first answer counts.

"The Tail at Scale" (Dean and Barroso, 2013): waiting for the 95th percentile before asking again bounds the extra load
at 5 % and cuts most of the tail, since two slow answers in a row are rare. A budget bounds it for real, when everything
is slow.

The request flies in the caller's own task, and the hedge in a child task of the same group, so both end with the call.
Cancelling the loser resets its stream, or closes its HTTP/1.1 connection; a response that comes too late is closed.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Hashable
from functools import partial
from typing import Any, TypeVar

import anyio

from netio.deadline import Clock, SystemClock
from netio.message import Request, Response, Send
from netio.observe import Hedged, tell
from netio.policy._alone import AroundAnything, P
from netio.policy._budget import RetryBudget
from netio.policy._check import not_negative, positive, share, whole
from netio.policy._latencies import Latencies
from netio.policy._states import LIMIT, States

T = TypeVar("T")

_GOOD = 2


class Hedge(AroundAnything):
    """Send a request a second time if it has no answer after `delay` seconds; the first good answer is the result.

    * `delay`: None for the time in which the share `percentile` of the last answers of the same origin came, but at
      least `least_delay`. Until 20 answers are known nothing is hedged.
    * `budget`: how much load hedges may add; None for one of its own, with at most 6 % of the requests.
    * `key`: given a request, returns what latencies go by; its origin by default. `limit` keys are remembered.
    * `clock`: for `call`; a request brings its own.

    Only idempotent requests whose body can be replayed are hedged. An error, a 5xx or a 429 is not taken while the
    other attempt may still do better; without a hedge under way it is the result at once.
    """

    def __init__(
        self,
        delay: float | None = None,
        *,
        percentile: float = 0.95,  # "The Tail at Scale"
        least_delay: float = 0.001,
        budget: RetryBudget | None = None,
        key: Callable[[Request], Hashable] | None = None,
        limit: int = LIMIT,
        clock: Clock | None = None,
    ) -> None:
        self._delay = None if delay is None else positive("Hedge.delay", delay)
        self._least = not_negative("Hedge.least_delay", least_delay)
        make = partial(Latencies, share("Hedge.percentile", percentile))
        self._latencies = States(make, limit=whole("Hedge.limit", limit))
        self._budget = RetryBudget(ratio=0.06, floor=0.0, capacity=10.0) if budget is None else budget
        self._key = key
        self._clock = clock or SystemClock()

    async def around(self, request: Request, send: Send) -> Response:
        key = request.url.origin if self._key is None else self._key(request)
        latencies = self._latencies[key]
        clock = request.clock
        started = clock.now()
        delay = self._delay or latencies.percentile
        if delay is None or not request.is_idempotent or not request.body.is_replayable:
            response = await send(request)
            latencies.add(clock.now() - started)
            return response
        self._budget.accounts[key].requests += 1
        race = _Race(partial(send, request), max(delay, self._least), clock, partial(self._may_hedge, key, request))
        try:
            result: Response = await race.run()
        finally:
            # If the hedge has won, this is the least that the first attempt would have taken.
            latencies.add(clock.now() - started)
        return result

    def _may_hedge(self, key: Hashable, request: Request, delay: float) -> bool:
        now = request.clock.now()
        if now >= request.deadline or not request.body.is_replayable:  # it was, before the first attempt began
            return False
        if not self._budget.withdraw(key, now):
            return False
        if request.observer is not None:
            tell(request.observer, Hedged(request, delay))
        return True

    async def call(self, function: Callable[P, Awaitable[T]], *args: P.args, **kwargs: P.kwargs) -> T:
        """Call a function, and once more if it takes long; the other call is cancelled."""
        latencies, clock = self._latencies[None], self._clock
        started = clock.now()
        delay = self._delay or latencies.percentile
        self._budget.accounts[None].requests += 1
        call: Callable[[], Awaitable[Any]] = partial(function, *args, **kwargs)
        try:
            if delay is None:
                only: T = await call()
                return only
            result: T = await _Race(call, max(delay, self._least), clock, self._may_call_again).run()
            return result
        finally:
            latencies.add(clock.now() - started)

    def _may_call_again(self, delay: float) -> bool:
        return self._budget.withdraw(None, self._clock.now())


class _Race:
    """One attempt now and perhaps another one later.

    `_running` counts the attempts under way. The race is over with the first good outcome, or when none is running.
    """

    def __init__(
        self,
        attempt: Callable[[], Awaitable[Any]],
        delay: float,
        clock: Clock,
        may_hedge: Callable[[float], bool],
    ) -> None:
        self._attempt = attempt
        self._delay = delay
        self._clock = clock
        self._may_hedge = may_hedge
        self._running = 1
        self._outcome: Any = None
        self._rank: int | None = None
        self._scope: anyio.CancelScope | None = None

    async def run(self) -> Any:
        try:
            async with anyio.create_task_group() as group:
                self._scope = group.cancel_scope
                group.start_soon(self._hedge)
                await self._fly()
        except BaseException:
            await _discard(self._outcome)
            raise
        outcome, self._outcome = self._outcome, None
        if isinstance(outcome, Exception):
            try:
                raise outcome
            finally:
                del outcome
        return outcome

    async def _hedge(self) -> None:
        await self._clock.sleep(self._delay)
        if self._may_hedge(self._delay):
            self._running += 1
            await self._fly()

    async def _fly(self) -> None:
        outcome: Any
        try:
            outcome = await self._attempt()
        except Exception as error:
            outcome = error
        self._running -= 1
        worse = self._settle(outcome)
        if self._scope is not None and (self._rank == _GOOD or not self._running):
            self._scope.cancel()
        await _discard(worse)

    def _settle(self, outcome: Any) -> Any:
        """Keep the better outcome, of equals the first; return the other one."""
        if self._rank is None or _rank(outcome) > self._rank:
            outcome, self._outcome, self._rank = self._outcome, outcome, _rank(outcome)
        return outcome


def _rank(outcome: object) -> int:
    """Say how good an outcome is: even a bad answer says more than an error."""
    if isinstance(outcome, Exception):
        return 0
    is_bad = isinstance(outcome, Response) and (outcome.status_code >= 500 or outcome.status_code == 429)
    return 1 if is_bad else _GOOD


async def _discard(outcome: object) -> None:
    if isinstance(outcome, Response):
        await outcome.aclose()
