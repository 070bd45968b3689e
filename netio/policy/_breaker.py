"""CircuitBreaker: stop sending to a peer that fails, and ask it now and then whether it works again.

The rules are in `_circuit`; here is what awaits. With a circuit that is closed and not judged by a function of the
user's, a call that goes well costs one lookup and one addition; with a window by time one look at the clock besides,
with a limit for slow calls two.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Hashable
from functools import partial
from random import random
from types import TracebackType
from typing import Self, TypeVar

from netio.deadline import NEVER, Clock, SystemClock
from netio.errors import CircuitOpen
from netio.message import Request, Response, Send
from netio.observe import BreakerChanged, Refused, tell
from netio.policy._alone import AroundAnything, P
from netio.policy._check import not_negative, positive, share, whole
from netio.policy._circuit import Circuit, CircuitOptions, CircuitStats, Signal, State
from netio.policy._states import LIMIT, States
from netio.policy._verdict import FIRST_FAILING_STATUS, Verdict, call_failed, peer_failed

T = TypeVar("T")
Outcome = Response | Exception


class CircuitBreaker(AroundAnything):
    """Refuse requests with `CircuitOpen` while too many of the last ones to the same origin have failed.

    * `failure_rate`, `slow_rate`: which share of the window opens the circuit, once it has `minimum_calls`; slow is
      what takes `slow_seconds` or more until the response is there (for a streamed one, its head).
    * `window_calls`: the window is the last so many calls; or, with `window_seconds`, those of the last seconds.
    * `open_seconds`: how long it stays open; twice as long after each probing that fails, up to
      `longest_open_seconds`, and longer by a random share of at most `jitter`.
    * `probes`: how many calls then pass; as soon as their outcome is certain the circuit closes, or opens again.
    * `failed`: given a response or an exception, returns True if the peer has failed, False if it works, None if that
      says nothing. By default errors of the network, 5xx and 429 are failures.
    * `key`: given a request, returns what the circuit goes by; its origin by default. `limit` keys are remembered.
    * `clock`: for use without a session; a request brings its own.

    A call that is cancelled says nothing: it is not counted, and a probe's permit goes to somebody else.
    """

    def __init__(
        self,
        *,
        failure_rate: float = 0.5,  # resilience4j
        slow_rate: float = 1.0,  # resilience4j
        slow_seconds: float | None = None,
        minimum_calls: int = 20,  # Hystrix; resilience4j and Polly have 100
        window_calls: int = 100,  # resilience4j
        window_seconds: float | None = None,
        probes: int = 3,
        open_seconds: float = 1.0,  # bench/policies.py: who always waits 5 s recovers after all others
        longest_open_seconds: float = 5.0,  # what Polly and Hystrix wait each time
        jitter: float = 0.2,
        failed: Verdict | None = None,
        key: Callable[[Request], Hashable] | None = None,
        limit: int = LIMIT,
        clock: Clock | None = None,
        random: Callable[[], float] = random,
    ) -> None:
        if longest_open_seconds < open_seconds:
            raise ValueError("CircuitBreaker.longest_open_seconds must not be below CircuitBreaker.open_seconds")
        if window_seconds is None and minimum_calls > window_calls:
            raise ValueError("CircuitBreaker.minimum_calls must not be above CircuitBreaker.window_calls")
        options = CircuitOptions(
            failure_rate=share("CircuitBreaker.failure_rate", failure_rate),
            slow_rate=share("CircuitBreaker.slow_rate", slow_rate),
            slow_seconds=NEVER if slow_seconds is None else positive("CircuitBreaker.slow_seconds", slow_seconds),
            minimum_calls=whole("CircuitBreaker.minimum_calls", minimum_calls),
            window_calls=whole("CircuitBreaker.window_calls", window_calls),
            window_seconds=None
            if window_seconds is None
            else positive("CircuitBreaker.window_seconds", window_seconds),
            probes=whole("CircuitBreaker.probes", probes),
            open_seconds=positive("CircuitBreaker.open_seconds", open_seconds),
            longest_open_seconds=positive("CircuitBreaker.longest_open_seconds", longest_open_seconds),
            jitter=not_negative("CircuitBreaker.jitter", jitter, "a share"),
            random=random,
        )
        self._circuits = States(partial(Circuit, options), limit=whole("CircuitBreaker.limit", limit), is_kept=_is_kept)
        self._key = key
        self._failed = peer_failed if failed is None else failed
        self._call_failed = call_failed if failed is None else failed
        # Below this status an answer is a success, without asking anybody.
        self._first_suspect = FIRST_FAILING_STATUS if failed is None else 0
        self._clock = clock or SystemClock()

    @classmethod
    def simple(cls, *, failure_threshold: int = 5, recovery_timeout: float = 30.0, clock: Clock | None = None) -> Self:
        """Return the breaker of the textbooks: it opens after so many failures in a row, for so many seconds."""
        threshold = whole("CircuitBreaker.failure_threshold", failure_threshold)
        seconds = positive("CircuitBreaker.recovery_timeout", recovery_timeout)
        return cls(
            failure_rate=1.0,
            minimum_calls=threshold,
            window_calls=threshold,
            probes=1,
            open_seconds=seconds,
            longest_open_seconds=seconds,
            jitter=0.0,
            clock=clock,
        )

    async def around(self, request: Request, send: Send) -> Response:
        circuit = self._circuits[request.url.origin if self._key is None else self._key(request)]
        if circuit.is_counting:
            started = 0.0  # nobody will ask
        elif circuit.state is State.CLOSED:
            started = request.clock.now()
        else:
            return await self._watched(circuit, request, send)
        permit = circuit.generation
        try:
            response = await send(request)
        except Exception as error:
            self._count(circuit, permit, request, error, started)
            raise
        if response.status_code < self._first_suspect and permit == circuit.generation:
            if circuit.counts_until == NEVER and circuit.is_counting:
                circuit.successes += 1
                return response
            now = request.clock.now()
            if now < circuit.counts_until and (circuit.is_counting or now - started < circuit.slow_seconds):
                circuit.successes += 1
                return response
        return await self._counted(circuit, permit, request, response, started)

    async def _watched(self, circuit: Circuit, request: Request, send: Send) -> Response:
        """Do the same with a circuit that is not closed."""
        started = request.clock.now()
        permit = self._enter(circuit, started, request)
        try:
            response = await send(request)
        except Exception as error:
            self._count(circuit, permit, request, error, started)
            raise
        except BaseException:
            circuit.give_back(permit)
            raise
        return await self._counted(circuit, permit, request, response, started)

    def _enter(self, circuit: Circuit, now: float, request: Request) -> int:
        before = circuit.state
        permit = circuit.enter(now)
        if permit is None:
            error = _refusal(circuit, now, request.url.origin if self._key is None else self._key(request), request)
            if request.observer is not None:
                tell(request.observer, Refused(request, error))
            raise error
        self._tell(circuit, before, request)
        return permit

    async def _counted(
        self, circuit: Circuit, permit: int, request: Request, response: Response, started: float
    ) -> Response:
        try:
            self._count(circuit, permit, request, response, started)
        except BaseException:  # out of the user's function (HAZARDS POOL-10)
            await response.aclose()
            raise
        return response

    def _count(self, circuit: Circuit, permit: int, request: Request, outcome: Outcome, started: float) -> None:
        before, now = circuit.state, request.clock.now()
        _conclude(circuit, permit, self._failed, outcome, now, now - started)
        self._tell(circuit, before, request)

    def _tell(self, circuit: Circuit, before: State, request: Request) -> None:
        if circuit.state is not before and request.observer is not None:
            key = request.url.origin if self._key is None else self._key(request)
            tell(request.observer, BreakerChanged(key, before.value, circuit.state.value))

    # ------------------------------------------------------------------ without a session

    def guard(self, key: Hashable = None) -> Guard:
        """Return an async context manager around anything that may fail; raises `CircuitOpen` on entry."""
        return Guard(self._circuits[key], key, self._call_failed, self._clock)

    async def call(self, function: Callable[P, Awaitable[T]], *args: P.args, **kwargs: P.kwargs) -> T:
        """Call a function unless the circuit is open; all that is called shares the one circuit of the key None."""
        async with self.guard():
            return await function(*args, **kwargs)

    # ------------------------------------------------------------------ what can be seen and set

    def state(self, key: Hashable = None) -> State:
        """Return the state of a key, by default an `Origin`; a key that never came up is closed."""
        circuit = self._circuits.peek(key)
        return State.CLOSED if circuit is None else circuit.state

    def stats(self) -> dict[Hashable, CircuitStats]:
        """Return how each circuit stands."""
        now = self._clock.now()
        return {key: circuit.stats(now) for key, circuit in self._circuits.both()}

    def force_open(self, key: Hashable = None) -> None:
        """Let nothing through until `reset`."""
        self._circuits[key].signal(Signal.FORCE_OPEN, self._clock.now())

    def disable(self, key: Hashable = None) -> None:
        """Let everything through, and count nothing, until `reset`."""
        self._circuits[key].signal(Signal.DISABLE, self._clock.now())

    def reset(self, key: Hashable = None) -> None:
        """Close the circuit and forget what was counted."""
        self._circuits[key].signal(Signal.RESET, self._clock.now())


class Guard:
    """A circuit around the body of `async with`; may be entered once."""

    __slots__ = ("_circuit", "_clock", "_failed", "_key", "_permit", "_started")

    def __init__(self, circuit: Circuit, key: Hashable, failed: Verdict, clock: Clock) -> None:
        self._circuit = circuit
        self._key = key
        self._failed = failed
        self._clock = clock
        self._started: float | None

    async def __aenter__(self) -> None:
        circuit = self._circuit
        if circuit.is_counting:
            self._permit, self._started = circuit.generation, None
            return
        self._started = now = self._clock.now()
        permit = circuit.enter(now)
        if permit is None:
            raise _refusal(circuit, now, self._key, None)
        self._permit = permit

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        circuit = self._circuit
        is_only_counted = circuit.is_counting and circuit.counts_until == NEVER and self._failed is call_failed
        if error is None and is_only_counted and self._permit == circuit.generation:
            circuit.successes += 1
        elif error is None or isinstance(error, Exception):
            now = self._clock.now()
            seconds = 0.0 if self._started is None else now - self._started
            _conclude(circuit, self._permit, self._failed, error, now, seconds)
        else:
            circuit.give_back(self._permit)


def _conclude(circuit: Circuit, permit: int, failed: Verdict, outcome: object, now: float, seconds: float) -> None:
    try:
        is_failure = failed(outcome)
    except BaseException:
        circuit.give_back(permit)
        raise
    if is_failure is None:
        circuit.give_back(permit)
    else:
        circuit.conclude(permit, now, is_failure=bool(is_failure), seconds=seconds)


def _refusal(circuit: Circuit, now: float, key: Hashable, request: Request | None) -> CircuitOpen:
    due = circuit.next_probe(now)
    when = "until it is reset" if due is None else f"the next probe is due in {due:.1f} s" if due else "probes are out"
    error = CircuitOpen(f"the circuit of {key} is {circuit.state}: {when}", request=request, sent=False)
    error.retry_after = due
    return error


def _is_kept(circuit: Circuit) -> bool:
    return circuit.has_probes_out or circuit.state in (State.FORCED_OPEN, State.DISABLED)
