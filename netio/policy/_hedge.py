"""Hedge: what has no answer after the usual time is sent a second time, and the first answer counts.

"The Tail at Scale" (Dean and Barroso, 2013): waiting for the 95th percentile before asking again bounds the extra load
at 5 % and cuts most of the tail, since two slow answers in a row are rare. A budget bounds it for real, when everything
is slow.

The request flies in the caller's own task, and on the way of one that is answered in time there is neither a task nor a
scope nor a timer of its own: it puts itself into the `Lookout` of its origin and takes itself out. Only for one that is
still there when its time has come a second attempt is sent, in a background task, and the two make a `Race`. Cancelling
the loser resets its stream, or closes its HTTP/1.1 connection; a response that comes too late is closed.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Coroutine, Hashable
from contextvars import Context, copy_context
from functools import partial
from typing import Any, TypeVar

from netio.body import NO_BODY
from netio.deadline import Clock, SystemClock
from netio.message import Request, Response, Send
from netio.observe import Hedged, tell
from netio.policy._alone import AroundAnything, P
from netio.policy._budget import RetryBudget
from netio.policy._check import not_negative, positive, share, whole
from netio.policy._latencies import Latencies
from netio.policy._lookout import Lookout
from netio.policy._race import Race
from netio.policy._states import LIMIT, States
from netio.transport import RunningTask, scoped_task

T = TypeVar("T")

_Flight = tuple[float, RunningTask, int, Context, Hashable, float, Callable[[Any], Awaitable[Any]], Request | None]
"""A first attempt: when the second is due, its task, how often that was cancelled, context, key, begin and call."""


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
        self.least_delay = not_negative("Hedge.least_delay", least_delay)
        self.delay = None if delay is None else max(positive("Hedge.delay", delay), self.least_delay)
        make = partial(_Peer, self, share("Hedge.percentile", percentile))
        self._peers = States(make, limit=whole("Hedge.limit", limit))
        self._budget = RetryBudget(ratio=0.06, floor=0.0, capacity=10.0) if budget is None else budget
        self._key = key
        self._clock = clock or SystemClock()

    def around(self, request: Request, send: Send) -> Coroutine[Any, Any, Response]:
        # Not a coroutine itself, only the way to one: that saves each request a frame.
        key = request.url.origin if self._key is None else self._key(request)
        if request.is_idempotent and (request.body is NO_BODY or request.body.is_replayable):
            return self._hedged(key, request.clock, send, request)
        return self._learning(self._peers[key], request.clock, send, request)

    def call(self, function: Callable[P, Awaitable[T]], *args: P.args, **kwargs: P.kwargs) -> Coroutine[Any, Any, T]:
        """Call a function, and once more if it takes long; the other call is cancelled."""
        return self._hedged(None, self._clock, lambda _: function(*args, **kwargs), None)

    async def _learning(
        self, peer: _Peer, clock: Clock, send: Callable[[Any], Awaitable[T]], request: Request | None
    ) -> T:
        """Send it once, and remember how long it took."""
        now = clock.now()
        result = await send(request)
        peer.learn(clock.now() - now)
        return result

    async def _hedged(
        self, key: Hashable, clock: Clock, send: Callable[[Any], Awaitable[T]], request: Request | None
    ) -> T:
        """Send the first attempt; `_Peer.overdue` sends the second one."""
        peer = self._peers[key]
        if peer.delay is None:
            return await self._learning(peer, clock, send, request)
        now = clock.now()
        due = now + peer.delay
        task, first = peer.running_task(), send
        if task is None:
            task, first = peer.find_task(send)
        if not now <= peer.wakes <= due:
            peer.start(clock, due)
        number = peer.numbers = peer.numbers + 1
        peer.waiting[number] = due, task, task.cancelling(), copy_context(), key, now, send, request
        outcome: Any
        try:
            outcome = await first(request)
        except BaseException as error:
            outcome = error
        else:
            if peer.waiting.pop(number, None) is not None:
                peer.samples.append(clock.now() - now)
                result: T = outcome
                return result
        try:
            result = await peer.settle(number, outcome)
        finally:
            del outcome  # an error that is raised holds this frame
        peer.samples.append(clock.now() - now)  # if the hedge has won, the least that the first would have taken
        return result

    def may_hedge(self, key: Hashable, request: Request | None, requests: int, delay: float) -> bool:
        """Say whether a second attempt may be sent; `requests` were counted since this was asked for the last time."""
        self._budget.accounts[key].requests += requests
        now = (self._clock if request is None else request.clock).now()
        if request is not None and (now >= request.deadline or not request.body.is_replayable):
            return False  # it was replayable before the first attempt began
        if not self._budget.withdraw(key, now):
            return False
        if request is not None and request.observer is not None:
            tell(request.observer, Hedged(request, delay))
        return True


class _Peer(Lookout[_Flight]):
    """What is known of one key, and who waits for it. `delay` is None until enough latencies are known."""

    __slots__ = ("_counted", "_hedge", "_latencies", "_races", "delay", "running_task", "samples")

    def __init__(self, hedge: Hedge, percentile: float) -> None:
        super().__init__()
        self._hedge = hedge
        self._counted = 0
        self._races: dict[int, Race] = {}
        self._latencies = Latencies(percentile)
        self.samples = self._latencies.samples
        self.delay = hedge.delay
        self.running_task: Callable[[], RunningTask | None] = _nobody

    def learn(self, seconds: float) -> None:
        self.samples.append(seconds)
        if self.delay is None:
            self.woke()

    def woke(self) -> None:
        if self._hedge.delay is None and (percentile := self._latencies.percentile()) is not None:
            before, self.delay = self.delay, max(percentile, self._hedge.least_delay)
            if before is not None and self.delay < before:
                self.shortened()

    def find_task(self, send: Callable[[Any], Awaitable[T]]) -> tuple[RunningTask, Callable[[Any], Awaitable[T]]]:
        """Return the running task, and `send`; on trio what stands in for it, and `send` inside of that."""
        self.running_task = self.arrive().running_task
        task = self.running_task()
        if task is not None:
            return task, send
        scoped = scoped_task()
        return scoped, lambda request: scoped.run(partial(send, request))

    def overdue(self, number: int, entry: _Flight) -> None:
        due, task, before, context, key, now, send, request = entry
        requests, self._counted = self.numbers - self._counted, self.numbers
        if self._hedge.may_hedge(key, request, requests, due - now):
            self._races[number] = Race(task, before, partial(send, request), context)

    async def settle(self, number: int, outcome: Any) -> Any:
        """Return or raise what comes of a request whose first attempt has ended like this."""
        self.waiting.pop(number, None)
        race = self._races.pop(number, None)
        try:
            if race is not None:
                return await race.settle(outcome)
            if isinstance(outcome, BaseException):
                raise outcome
            return outcome
        finally:
            del outcome  # an error that is raised holds this frame


def _nobody() -> None:
    return None
