"""The circuit: each row of its table, its windows, and random histories against a slow model (HAZARDS RT-06)."""

from __future__ import annotations

import math
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from netio.policy._circuit import TRANSITIONS, Circuit, CircuitOptions, Signal, State
from netio.policy._windows import CountWindow, Rates, TimeWindow


def make_circuit(**changes: Any) -> Circuit:
    values: dict[str, Any] = {
        "failure_rate": 0.5,
        "slow_rate": 1.0,
        "slow_seconds": math.inf,
        "minimum_calls": 4,
        "window_calls": 8,
        "window_seconds": None,
        "probes": 3,
        "open_seconds": 5.0,
        "longest_open_seconds": 20.0,
        "jitter": 0.0,
        "random": lambda: 0.5,
    }
    return Circuit(CircuitOptions(**(values | changes)))


def call(circuit: Circuit, now: float, *, is_failure: bool, seconds: float = 0.0) -> bool:
    """Make one call; return whether it was let through."""
    permit = circuit.enter(now)
    if permit is None:
        return False
    circuit.conclude(permit, now, is_failure=is_failure, seconds=seconds)
    return True


def in_state(state: State, **changes: Any) -> Circuit:
    """Return a circuit that has come into a state at the time 0, or shortly after."""
    circuit = make_circuit(**changes)
    if state in (State.OPEN, State.HALF_OPEN):
        circuit.signal(Signal.TRIPPED, 0.0)
    if state is State.HALF_OPEN:
        circuit.signal(Signal.DUE, 5.0)
    if state is State.FORCED_OPEN:
        circuit.signal(Signal.FORCE_OPEN, 0.0)
    if state is State.DISABLED:
        circuit.signal(Signal.DISABLE, 0.0)
    assert circuit.state is state
    return circuit


# ---------------------------------------------------------------------- the table

ROWS = {
    (State.CLOSED, Signal.TRIPPED): State.OPEN,
    (State.CLOSED, Signal.FORCE_OPEN): State.FORCED_OPEN,
    (State.CLOSED, Signal.DISABLE): State.DISABLED,
    (State.CLOSED, Signal.RESET): State.CLOSED,
    (State.OPEN, Signal.DUE): State.HALF_OPEN,
    (State.OPEN, Signal.FORCE_OPEN): State.FORCED_OPEN,
    (State.OPEN, Signal.DISABLE): State.DISABLED,
    (State.OPEN, Signal.RESET): State.CLOSED,
    (State.HALF_OPEN, Signal.PASSED): State.CLOSED,
    (State.HALF_OPEN, Signal.FAILED): State.OPEN,
    (State.HALF_OPEN, Signal.FORCE_OPEN): State.FORCED_OPEN,
    (State.HALF_OPEN, Signal.DISABLE): State.DISABLED,
    (State.HALF_OPEN, Signal.RESET): State.CLOSED,
    (State.FORCED_OPEN, Signal.FORCE_OPEN): State.FORCED_OPEN,
    (State.FORCED_OPEN, Signal.DISABLE): State.DISABLED,
    (State.FORCED_OPEN, Signal.RESET): State.CLOSED,
    (State.DISABLED, Signal.FORCE_OPEN): State.FORCED_OPEN,
    (State.DISABLED, Signal.DISABLE): State.DISABLED,
    (State.DISABLED, Signal.RESET): State.CLOSED,
}


def test_table_is_what_it_should_be() -> None:
    assert TRANSITIONS == ROWS


@pytest.mark.parametrize("state", State)
@pytest.mark.parametrize("signal", Signal)
def test_each_row_and_no_other_changes_the_state(state: State, signal: Signal) -> None:
    circuit = in_state(state)
    permit = circuit.generation
    circuit.signal(signal, 10.0)
    assert circuit.state is ROWS.get((state, signal), state)
    assert (circuit.generation != permit) == ((state, signal) in ROWS)
    passes = circuit.enter(10.0) is not None
    assert passes == (circuit.state in (State.CLOSED, State.HALF_OPEN, State.DISABLED))


def test_tripped_is_raised_by_too_many_failures() -> None:
    circuit = make_circuit()
    for is_failure in (True, False, False, True):
        assert call(circuit, 0.0, is_failure=is_failure)
    assert circuit.state is State.OPEN


def test_due_is_raised_by_the_first_call_after_the_open_time() -> None:
    circuit = in_state(State.OPEN)
    assert circuit.enter(4.999) is None
    assert circuit.next_probe(4.999) != 0.0
    assert circuit.enter(5.0) is not None
    assert circuit.state is State.HALF_OPEN


@pytest.mark.parametrize(
    ("outcomes", "after"),
    [
        ([False, False], State.CLOSED),  # two of three are well: the third cannot change it
        ([True, True], State.OPEN),
        ([True, False], State.HALF_OPEN),
        ([True, False, False], State.CLOSED),
        ([False, True, True], State.OPEN),
    ],
)
def test_passed_and_failed_are_raised_as_soon_as_the_probes_are_decided(outcomes: list[bool], after: State) -> None:
    circuit = in_state(State.HALF_OPEN)
    permits = [circuit.enter(6.0) for _ in range(3)]
    for permit, is_failure in zip(permits, outcomes, strict=False):
        assert permit is not None
        assert circuit.state is State.HALF_OPEN
        circuit.conclude(permit, 6.0, is_failure=is_failure)
    assert circuit.state is after


# ---------------------------------------------------------------------- closed


def test_fewer_calls_than_the_minimum_do_not_trip() -> None:
    circuit = make_circuit(minimum_calls=4)
    states = []
    for _ in range(4):
        call(circuit, 0.0, is_failure=True)
        states.append(circuit.state)
    assert states == [State.CLOSED, State.CLOSED, State.CLOSED, State.OPEN]


def test_calls_that_are_only_counted_count() -> None:
    circuit = make_circuit(minimum_calls=4)
    assert circuit.is_counting
    circuit.successes += 5
    for _ in range(4):
        call(circuit, 0.0, is_failure=True)
    assert circuit.state is State.OPEN  # 4 of the last 8
    circuit = make_circuit(minimum_calls=4)
    circuit.successes += 5
    for _ in range(3):
        call(circuit, 0.0, is_failure=True)
    assert circuit.stats(0.0).rates == Rates(8, 3, 0)
    assert circuit.state is State.CLOSED


def test_old_failures_are_forgotten() -> None:
    circuit = make_circuit(minimum_calls=8)
    for _ in range(3):
        call(circuit, 0.0, is_failure=True)
    circuit.successes += 6
    call(circuit, 0.0, is_failure=True)
    assert (circuit.state, circuit.stats(0.0).rates) == (State.CLOSED, Rates(8, 2, 0))


def test_slow_calls_trip_at_their_own_rate() -> None:
    circuit = make_circuit(slow_seconds=2.0, slow_rate=0.5, failure_rate=1.0)
    assert not circuit.is_counting
    for seconds in (1.999, 2.0, 0.0, 2.0):
        assert call(circuit, 0.0, is_failure=False, seconds=seconds)
    assert circuit.state is State.OPEN


# ---------------------------------------------------------------------- open


def test_open_time_doubles_up_to_the_longest_and_begins_anew_after_closing() -> None:
    circuit = make_circuit(open_seconds=5.0, longest_open_seconds=12.0, probes=1)
    now, times = 0.0, []
    circuit.signal(Signal.TRIPPED, now)
    for _ in range(4):
        wait = circuit.next_probe(now)
        assert wait is not None
        times.append(wait)
        now += wait
        assert call(circuit, now, is_failure=True)
    assert times == [5.0, 10.0, 12.0, 12.0]
    now += 12.0
    assert call(circuit, now, is_failure=False)
    assert (circuit.state, circuit.stats(now).openings) == (State.CLOSED, 0)
    circuit.signal(Signal.TRIPPED, now)
    assert circuit.next_probe(now) == 5.0


@given(drawn=st.floats(0, 1, exclude_max=True), openings=st.integers(0, 100))
def test_open_time_has_jitter_on_top_and_never_overflows(drawn: float, openings: int) -> None:
    circuit = make_circuit(jitter=0.2, random=lambda: drawn, probes=1)
    circuit.signal(Signal.TRIPPED, 0.0)
    for _ in range(openings):
        circuit.signal(Signal.DUE, 0.0)
        circuit.signal(Signal.FAILED, 0.0)
    seconds = min(5.0 * 2.0 ** min(openings, 10), 20.0)
    assert circuit.next_probe(0.0) == pytest.approx(seconds * (1 + 0.2 * drawn))


def test_next_probe_says_when_to_come_again() -> None:
    circuit = in_state(State.OPEN)
    assert [circuit.next_probe(now) for now in (0.0, 2.0, 5.0, 9.0)] == [5.0, 3.0, 0.0, 0.0]
    assert in_state(State.CLOSED).next_probe(0.0) == 0.0
    assert in_state(State.HALF_OPEN).next_probe(6.0) == 0.0
    assert in_state(State.FORCED_OPEN).next_probe(0.0) is None


# ---------------------------------------------------------------------- half-open


def test_rt_06_exactly_so_many_probes_pass() -> None:
    circuit = in_state(State.OPEN, probes=3)
    permits = [circuit.enter(5.0) for _ in range(1_000)]
    assert sum(permit is not None for permit in permits) == 3


def test_rt_06_permit_that_is_given_back_goes_to_another() -> None:
    circuit = in_state(State.OPEN, probes=1)
    permit = circuit.enter(5.0)
    assert permit is not None
    assert circuit.has_probes_out
    assert circuit.enter(5.0) is None
    circuit.give_back(permit)
    assert not circuit.has_probes_out
    assert circuit.enter(5.0) is not None
    assert circuit.state is State.HALF_OPEN


def test_rt_06_what_comes_in_late_is_not_counted() -> None:
    circuit = make_circuit(probes=1)
    late = circuit.enter(0.0)
    assert late is not None
    circuit.signal(Signal.TRIPPED, 0.0)
    circuit.conclude(late, 1.0, is_failure=False)
    circuit.give_back(late)
    probe = circuit.enter(5.0)
    assert probe is not None
    circuit.conclude(late, 5.0, is_failure=False)
    circuit.give_back(late)
    assert (circuit.state, circuit.enter(5.0)) == (State.HALF_OPEN, None)
    circuit.conclude(probe, 5.0, is_failure=True)
    assert circuit.state is State.OPEN


def test_slow_probes_are_bad_probes() -> None:
    circuit = in_state(State.HALF_OPEN, slow_seconds=1.0, slow_rate=0.5)
    for _ in range(2):
        call(circuit, 6.0, is_failure=False, seconds=1.0)
    assert circuit.state is State.OPEN


def test_disabled_lets_all_through_and_counts_nothing() -> None:
    circuit = in_state(State.DISABLED)
    assert all(call(circuit, 0.0, is_failure=True) for _ in range(100))
    assert (circuit.state, circuit.stats(0.0).rates) == (State.DISABLED, Rates(0, 0, 0))


# ---------------------------------------------------------------------- windows against slow models


@given(
    calls=st.lists(st.tuples(st.booleans(), st.booleans(), st.integers(0, 3)), max_size=60),
    size=st.integers(1, 12),
)
def test_window_by_count_holds_the_last_calls(calls: list[tuple[bool, bool, int]], size: int) -> None:
    window, model = CountWindow(size), list[tuple[bool, bool]]()
    for is_failure, is_slow, successes in calls:
        window.add_successes(successes)
        window.add(0.0, is_failure, is_slow)
        model += [(False, False)] * successes + [(is_failure, is_slow)]
        last = model[-size:]
        assert window.rates(0.0) == Rates(len(last), sum(each[0] for each in last), sum(each[1] for each in last))


@given(calls=st.lists(st.tuples(st.integers(0, 400), st.booleans(), st.booleans()), max_size=60))
def test_window_by_time_holds_what_is_younger_and_at_most_a_tenth_more(calls: list[tuple[int, bool, bool]]) -> None:
    window, now, model = TimeWindow(10.0), 0.0, list[tuple[float, bool, bool]]()
    for hundredths, is_failure, is_slow in calls:
        now += hundredths / 100
        window.add(now, is_failure, is_slow)
        model.append((now, is_failure, is_slow))
        rates = window.rates(now)
        for column, seen in enumerate(rates):
            surely = sum(1 for each in model if each[0] > now - 9.999 and (column == 0 or each[column]))
            perhaps = sum(1 for each in model if each[0] > now - 11.001 and (column == 0 or each[column]))
            assert surely <= seen <= perhaps


def test_window_by_time_is_empty_after_its_time() -> None:
    window = TimeWindow(10.0)
    for second in range(5):
        window.add(float(second), True, True)
        window.add_successes(2)
    assert window.rates(4.0) == Rates(15, 5, 5)
    assert window.rates(20.0) == Rates(0, 0, 0)


# ---------------------------------------------------------------------- random histories


class CircuitMachine(RuleBasedStateMachine):
    """Calls that begin, end well or badly, or are cancelled, in any order, against a model that remembers them all."""

    def __init__(self) -> None:
        super().__init__()
        self.circuit = make_circuit(minimum_calls=3, window_calls=6, probes=2, longest_open_seconds=20.0)
        self.now = 0.0
        self.state = State.CLOSED
        self.era = 0
        self.calls: list[tuple[int, int]] = []  # era in which it was let through, its permit
        self.window: list[bool] = []
        self.probes: list[bool] = []
        self.out = 0
        self.openings = 0
        self.until = 0.0

    def change(self, state: State) -> None:
        self.state = state
        self.era += 1
        self.window, self.probes, self.out = [], [], 0
        if state is State.OPEN:
            self.until = self.now + min(5.0 * 2**self.openings, 20.0)
            self.openings += 1
        if state is State.CLOSED:
            self.openings = 0

    @rule(seconds=st.integers(0, 8))
    def time_passes(self, seconds: int) -> None:
        self.now += seconds

    @rule()
    def begin(self) -> None:
        if self.state is State.OPEN and self.now >= self.until:
            self.change(State.HALF_OPEN)
        passes = self.state in (State.CLOSED, State.DISABLED) or (
            self.state is State.HALF_OPEN and self.out + len(self.probes) < 2
        )
        permit = self.circuit.enter(self.now)
        assert (permit is not None) == passes
        if permit is not None:
            self.calls.append((self.era, permit))
            self.out += self.state is State.HALF_OPEN

    @precondition(lambda self: self.calls)
    @rule(data=st.data(), is_failure=st.booleans())
    def end(self, data: st.DataObject, is_failure: bool) -> None:
        era, permit = self.calls.pop(data.draw(st.integers(0, len(self.calls) - 1)))
        self.circuit.conclude(permit, self.now, is_failure=is_failure)
        if era != self.era:
            return
        if self.state is State.CLOSED:
            self.window = [*self.window, is_failure][-6:]
            if is_failure and len(self.window) >= 3 and sum(self.window) * 2 >= len(self.window):
                self.change(State.OPEN)
        elif self.state is State.HALF_OPEN:
            self.out -= 1
            self.probes.append(is_failure)
            if any(self.probes):  # one of two is the rate
                self.change(State.OPEN)
            elif len(self.probes) == 2:
                self.change(State.CLOSED)

    @precondition(lambda self: self.calls)
    @rule(data=st.data())
    def cancel(self, data: st.DataObject) -> None:
        era, permit = self.calls.pop(data.draw(st.integers(0, len(self.calls) - 1)))
        self.circuit.give_back(permit)
        if era == self.era:
            self.out -= self.state is State.HALF_OPEN

    @rule(signal=st.sampled_from([Signal.RESET, Signal.FORCE_OPEN, Signal.DISABLE]))
    def set_by_hand(self, signal: Signal) -> None:
        self.circuit.signal(signal, self.now)
        self.change(ROWS[self.state, signal])

    @invariant()
    def states_agree(self) -> None:
        assert self.circuit.state is self.state
        assert self.circuit.has_probes_out == (self.out > 0)
        if self.state is State.OPEN:
            assert self.circuit.next_probe(self.now) == max(self.until - self.now, 0.0)


TestCircuitMachine = CircuitMachine.TestCase
