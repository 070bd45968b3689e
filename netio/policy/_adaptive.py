"""AdaptiveLimit: as many at a time as the peer can bear, which is learnt from its latency.

A bulkhead whose size nobody has to guess. The rules are in `_gradient`, the places and the queue in `_gate`.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Hashable
from functools import partial
from typing import TypeVar

from netio.deadline import NEVER, Clock, SystemClock
from netio.errors import AttemptTimedOut, ConnectTimeout, ReadTimeout, TotalTimeout
from netio.message import Request, Response, Send
from netio.observe import LimitChanged, tell
from netio.policy._alone import AroundAnything, P
from netio.policy._check import not_negative, positive, whole
from netio.policy._gate import Gate
from netio.policy._gradient import Gradient, GradientOptions
from netio.policy._place import hold_until_closed, wait_for_place
from netio.policy._states import LIMIT, States

T = TypeVar("T")

OVERLOADED_STATUSES = frozenset((429, 503, 504))


class _Adapting:
    """The places of one key, and what says how many they are."""

    __slots__ = ("gate", "gradient")

    def __init__(self, options: GradientOptions, queue: int) -> None:
        self.gate = Gate(options.initial, queue)
        self.gradient = Gradient(options)

    def end_window(self, now: float) -> tuple[int, int]:
        """Reckon the limit anew; return it as it was and as it is."""
        before = self.gate.limit
        self.gradient.end_window(now)
        if self.gradient.limit != before:
            self.gate.resize(self.gradient.limit)
        return before, self.gate.limit


class AdaptiveLimit(AroundAnything):
    """Let as many requests to the same origin be under way as it bears; refuse others with `BulkheadFull`.

    * `initial`, `floor`, `ceiling`: how many there may be at first, at least and at most.
    * `tolerance`: how many times the usual latency is still taken for usual.
    * `window_seconds`, `window_samples`: how long, and for how many answers at least, it looks before it changes.
    * `queue`, `longest_wait`, `key`, `limit`, `clock`: as for `Bulkhead`.

    Latency is the time until the response is there; for a streamed one until its head, but it keeps its place until it
    is closed. What fails otherwise than by 429, 503, 504 or a timeout, or is cancelled, says nothing.
    """

    def __init__(
        self,
        *,
        initial: int = 20,  # Gradient2
        floor: int = 3,  # Envoy
        ceiling: int = 200,  # Gradient2
        tolerance: float = 1.5,  # Gradient2
        window_seconds: float = 0.1,  # Envoy: concurrency_update_interval
        window_samples: int = 10,  # Gradient2
        queue: int = 100,
        longest_wait: float | None = 1.0,
        key: Callable[[Request], Hashable] | None = None,
        limit: int = LIMIT,
        clock: Clock | None = None,
    ) -> None:
        name = type(self).__name__
        if not whole(f"{name}.floor", floor) <= whole(f"{name}.initial", initial) <= whole(f"{name}.ceiling", ceiling):
            raise ValueError(f"{name} must have floor <= initial <= ceiling, not {floor}, {initial}, {ceiling}")
        if positive(f"{name}.tolerance", tolerance, "a factor") < 1:
            raise ValueError(f"{name}.tolerance must be at least 1, not {tolerance!r}")
        options = GradientOptions(
            initial=initial,
            floor=floor,
            ceiling=ceiling,
            tolerance=tolerance,
            window_seconds=positive(f"{name}.window_seconds", window_seconds),
            window_samples=whole(f"{name}.window_samples", window_samples),
        )
        make = partial(_Adapting, options, whole(f"{name}.queue", queue, 0))
        self._states = States(make, limit=whole(f"{name}.limit", limit), is_kept=_is_busy)
        self._longest = NEVER if longest_wait is None else not_negative(f"{name}.longest_wait", longest_wait)
        self._key = key
        self._clock = clock or SystemClock()

    async def around(self, request: Request, send: Send) -> Response:
        key = request.url.origin if self._key is None else self._key(request)
        state = self._states[key]
        gate, gradient, clock = state.gate, state.gradient, request.clock
        if gate.active < gate.limit:
            gate.active += 1
        else:
            await wait_for_place(gate, self._longest, clock, request)
        # From here on the place is ours. No await may come in between.
        if gate.active > gradient.most_active:
            gradient.most_active = gate.active
        started = clock.now()
        try:
            response = await send(request)
        except BaseException as error:
            if _is_too_much(error):
                gradient.dropped += 1
                self._end_window(state, clock.now(), key, request)
            gate.give()
            raise
        now = clock.now()
        if response.status_code >= 429 and response.status_code in OVERLOADED_STATUSES:
            gradient.dropped += 1
        else:
            gradient.samples += 1
            gradient.seconds += now - started
        if now >= gradient.window_ends:
            self._end_window(state, now, key, request)
        if response.is_closed:
            gate.active -= 1  # `give`, without its two calls
            if gate.tickets:
                gate.admit()
        else:
            hold_until_closed(gate, response)
        return response

    def _end_window(self, state: _Adapting, now: float, key: Hashable, request: Request) -> None:
        if now < state.gradient.window_ends:
            return
        before, after = state.end_window(now)
        if before != after and request.observer is not None:
            tell(request.observer, LimitChanged(key, before, after))

    async def call(self, function: Callable[P, Awaitable[T]], *args: P.args, **kwargs: P.kwargs) -> T:
        """Call a function when there is a place; all that is called shares the limit of the key None.

        A builtin `TimeoutError` says that it was too much.
        """
        state = self._states[None]
        gate, gradient = state.gate, state.gradient
        if not gate.take():
            await wait_for_place(gate, self._longest, self._clock, None)
        gradient.most_active = max(gradient.most_active, gate.active)
        started = self._clock.now()
        try:
            result = await function(*args, **kwargs)
        except BaseException as error:
            if _is_too_much(error) or type(error) is TimeoutError:
                gradient.dropped += 1
            raise
        else:
            gradient.samples += 1
            gradient.seconds += self._clock.now() - started
            return result
        finally:
            if self._clock.now() >= gradient.window_ends:
                state.end_window(self._clock.now())
            gate.give()

    def current(self, key: Hashable = None) -> int | None:
        """Return how many may be under way at the moment; None for a key that never came up."""
        state = self._states.peek(key)
        return None if state is None else state.gate.limit


def _is_too_much(error: BaseException) -> bool:
    if isinstance(error, TotalTimeout):
        return error.phase != "queue"
    return isinstance(error, ReadTimeout | ConnectTimeout | AttemptTimedOut)


def _is_busy(state: _Adapting) -> bool:
    return state.gate.is_busy
