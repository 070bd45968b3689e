"""A circuit: whether calls to one peer are let through. Plain, synchronous, and told the time.

Everything that changes its state is a row of `TRANSITIONS`, and what is done on the way in is in `Circuit._enter_*`.

    closed         all calls pass and are counted; too many failures, or slow ones, trip it
    open           none pass, until a time that grows with each opening and has some jitter
    half-open      `probes` calls pass, not one more; they decide
    forced open    none pass until `reset`
    disabled       all pass, nothing is counted until `reset`

Each call carries the `generation` of the circuit at the time when it was let through, as its permit. A state change
makes a new one, so what comes in late, from before the change, is not counted. A permit of the half-open state that
ends without a verdict (a cancelled call) is given back, so a probe that dies cannot keep the circuit open for ever.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum

from netio.deadline import NEVER
from netio.policy._windows import CountWindow, Rates, TimeWindow, Window


class State(StrEnum):
    CLOSED = "closed"
    OPEN = "open"
    HALF_OPEN = "half-open"
    FORCED_OPEN = "forced open"
    DISABLED = "disabled"


class Signal(StrEnum):
    TRIPPED = "too many calls failed or were slow"
    DUE = "the open time is over and a call comes"
    PASSED = "the probes went well"
    FAILED = "the probes went badly"
    FORCE_OPEN = "force_open()"
    DISABLE = "disable()"
    RESET = "reset()"


TRANSITIONS: dict[tuple[State, Signal], State] = {
    (State.CLOSED, Signal.TRIPPED): State.OPEN,
    (State.OPEN, Signal.DUE): State.HALF_OPEN,
    (State.HALF_OPEN, Signal.PASSED): State.CLOSED,
    (State.HALF_OPEN, Signal.FAILED): State.OPEN,
    **{(state, Signal.FORCE_OPEN): State.FORCED_OPEN for state in State},
    **{(state, Signal.DISABLE): State.DISABLED for state in State},
    **{(state, Signal.RESET): State.CLOSED for state in State},
}


@dataclass(frozen=True, kw_only=True, slots=True)
class CircuitOptions:
    """What `CircuitBreaker` is given; its docstring says what each is."""

    failure_rate: float
    slow_rate: float
    slow_seconds: float
    minimum_calls: int
    window_calls: int
    window_seconds: float | None
    probes: int
    open_seconds: float
    longest_open_seconds: float
    jitter: float
    random: Callable[[], float]


@dataclass(frozen=True, kw_only=True, slots=True)
class CircuitStats:
    """How a circuit stands. `rates` are those of its window, `next_probe` is in how many seconds one is let through."""

    state: State
    rates: Rates
    openings: int
    next_probe: float | None


class Circuit:
    """The state of one key.

    While it is closed, calls that go well need only be counted: the shell adds one to `successes` for each that ends
    before `counts_until` and took less than `slow_seconds`, if the generation is still that of its permit. They come
    into the window with the next call that is looked at. `is_counting` says that nobody asks how long they took.
    """

    __slots__ = (
        "_failures",
        "_openings",
        "_options",
        "_permits",
        "_slow",
        "_until",
        "_verdicts",
        "_window",
        "counts_until",
        "generation",
        "is_counting",
        "slow_seconds",
        "state",
        "successes",
    )

    def __init__(self, options: CircuitOptions) -> None:
        self._options = options
        self.slow_seconds = options.slow_seconds
        self.state = State.CLOSED
        self.generation = 0
        self._openings = 0
        self._until = 0.0
        self._enter_closed(0.0)

    # ------------------------------------------------------------------ transitions

    def signal(self, signal: Signal, now: float) -> None:
        """Change the state by the table; a signal that has no row in the present state does nothing."""
        after = TRANSITIONS.get((self.state, signal))
        if after is None:
            return
        self.state = after
        self.generation += 1
        self.is_counting = False
        if after is State.CLOSED:
            self._openings = 0
            self._enter_closed(now)
        elif after is State.OPEN:
            self._enter_open(now)
        elif after is State.HALF_OPEN:
            self._permits = self._options.probes

    def _enter_closed(self, now: float) -> None:
        options = self._options
        seconds = options.window_seconds
        self._window: Window = CountWindow(options.window_calls) if seconds is None else TimeWindow(seconds)
        self.successes = 0
        self.counts_until = self._window.lasts_until
        self.is_counting = options.slow_seconds == NEVER
        self._permits = self._verdicts = self._failures = self._slow = 0

    def _enter_open(self, now: float) -> None:
        options = self._options
        doublings = min(self._openings, 60)
        seconds = min(options.open_seconds * 2.0**doublings, options.longest_open_seconds)
        self._openings += 1
        self._until = now + seconds * (1.0 + options.jitter * options.random())
        self._permits = self._verdicts = self._failures = self._slow = 0

    # ------------------------------------------------------------------ calls

    def enter(self, now: float) -> int | None:
        """Let a call through and return its permit; return None if it may not pass."""
        if self.state is State.OPEN and now >= self._until:
            self.signal(Signal.DUE, now)
        if self.state is State.HALF_OPEN:
            if not self._permits:
                return None
            self._permits -= 1
        elif self.state is State.OPEN or self.state is State.FORCED_OPEN:
            return None
        return self.generation

    def give_back(self, permit: int) -> None:
        """Take back the permit of a call that ended without saying anything about the peer."""
        if permit == self.generation and self.state is State.HALF_OPEN:
            self._permits += 1

    def conclude(self, permit: int, now: float, *, is_failure: bool, seconds: float = 0.0) -> None:
        """Count a call that ended, `seconds` after it was let through."""
        if permit != self.generation:
            return
        is_slow = seconds >= self._options.slow_seconds
        if self.state is State.CLOSED:
            if self.successes:
                self._take_successes()
            self._window.add(now, is_failure, is_slow)
            self.counts_until = self._window.lasts_until
            if (is_failure or is_slow) and self._is_too_bad(self._window.rates(now)):
                self.signal(Signal.TRIPPED, now)
        elif self.state is State.HALF_OPEN:
            self._verdicts += 1
            self._failures += is_failure
            self._slow += is_slow
            self._judge_probes(now)

    def _take_successes(self) -> None:
        self._window.add_successes(self.successes)
        self.successes = 0

    def _is_too_bad(self, rates: Rates) -> bool:
        options = self._options
        if rates.calls < options.minimum_calls:
            return False
        return (
            rates.failures >= options.failure_rate * rates.calls  # at the rate is too much, as in resilience4j
            or rates.slow >= options.slow_rate * rates.calls
        )

    def _judge_probes(self, now: float) -> None:
        """Decide as soon as the probes still on their way cannot change the outcome."""
        options = self._options
        to_come = options.probes - self._verdicts
        many_failures, many_slow = options.failure_rate * options.probes, options.slow_rate * options.probes
        if self._failures >= many_failures or self._slow >= many_slow:
            self.signal(Signal.FAILED, now)
        elif self._failures + to_come < many_failures and self._slow + to_come < many_slow:
            self.signal(Signal.PASSED, now)

    # ------------------------------------------------------------------ what can be seen

    @property
    def has_probes_out(self) -> bool:
        return self.state is State.HALF_OPEN and self._permits + self._verdicts < self._options.probes

    def next_probe(self, now: float) -> float | None:
        """Return in how many seconds a call may pass: 0 if now, None if nobody knows."""
        if self.state is State.FORCED_OPEN:
            return None
        return max(self._until - now, 0.0) if self.state is State.OPEN else 0.0

    def stats(self, now: float) -> CircuitStats:
        rates = Rates(self._verdicts, self._failures, self._slow)
        if self.state is State.CLOSED:
            self._take_successes()
            rates = self._window.rates(now)
        return CircuitStats(state=self.state, rates=rates, openings=self._openings, next_probe=self.next_probe(now))
