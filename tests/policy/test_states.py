"""What policies remember by key: bounded, the longest unused first to go (HAZARDS RT-06)."""

from __future__ import annotations

from collections.abc import Hashable

from hypothesis import given
from hypothesis import strategies as st

from netio.policy._states import States


class State:
    def __init__(self) -> None:
        self.is_busy = False


def test_state_is_made_once() -> None:
    states = States(State)
    assert states["a"] is states["a"]
    assert states["a"] is not states["b"]
    assert states.peek("c") is None
    assert {key for key, _ in states.both()} == {"a", "b"}


@given(keys=st.lists(st.integers(0, 30), max_size=300), limit=st.integers(2, 20))
def test_rt_06_no_more_than_the_limit_and_none_forgotten_that_was_just_used(keys: list[int], limit: int) -> None:
    states = States(State, limit=limit)
    last: dict[Hashable, State] = {}
    for position, key in enumerate(keys):
        recent: list[int] = []
        for other in reversed(keys[:position]):
            if other not in recent:
                recent.append(other)
        state = states[key]
        if key in recent[: limit // 2]:
            assert state is last[key]
        last[key] = state
        assert sum(1 for _ in states.both()) <= limit
        assert states.peek(key) is state


@given(keys=st.lists(st.integers(0, 100), max_size=300))
def test_rt_06_busy_states_are_kept(keys: list[int]) -> None:
    states = States(State, limit=4, is_kept=lambda state: state.is_busy)
    busy = {key: states[key] for key in ("x", "y", "z")}
    for state in busy.values():
        state.is_busy = True
    for key in keys:
        assert states[key] is states[key]
    assert {key: states.peek(key) for key in busy} == busy
    assert sum(1 for _ in states.both()) <= 4 + 2 * len(busy)
