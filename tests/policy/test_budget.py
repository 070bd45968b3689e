"""The retry budget, against a bucket that is filled drop by drop."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, rule

from netio.policy import RetryBudget


class BudgetMachine(RuleBasedStateMachine):
    """The model adds at each request and each passing of time, and caps at once. All numbers are exact in floats."""

    RATIO, FLOOR, CAPACITY = 0.25, 0.5, 4.0

    def __init__(self) -> None:
        super().__init__()
        self.budget = RetryBudget(ratio=self.RATIO, floor=self.FLOOR, capacity=self.CAPACITY)
        self.now = 1_000.0
        self.model: dict[str, float] = {}

    def earn(self, key: str, tokens: float) -> None:
        self.model[key] = min(self.CAPACITY, self.model.get(key, self.CAPACITY) + tokens)

    @rule(key=st.sampled_from("ab"), count=st.integers(1, 10))
    def requests(self, key: str, count: int) -> None:
        for _ in range(count):
            self.budget.accounts[key].requests += 1
            self.earn(key, self.RATIO)

    @rule(quarters=st.integers(0, 20))
    def time_passes(self, quarters: int) -> None:
        self.now += quarters / 4
        for key in self.model:
            self.earn(key, self.FLOOR * quarters / 4)

    @rule(key=st.sampled_from("ab"))
    def withdraw(self, key: str) -> None:
        self.earn(key, 0.0)
        assert self.budget.available(key, self.now) == self.model[key]
        is_allowed = self.model[key] >= 1.0
        assert self.budget.withdraw(key, self.now) == is_allowed
        self.model[key] -= is_allowed


TestBudgetMachine = BudgetMachine.TestCase


def test_new_key_has_all_that_can_be_saved_up() -> None:
    budget = RetryBudget(ratio=0.0, floor=0.0, capacity=3.0)
    assert budget.available("a", 0.0) == 3.0
    assert [budget.withdraw("a", 0.0) for _ in range(5)] == [True, True, True, False, False]
    assert budget.available("a", 1e9) == 0.0


@given(now=st.lists(st.floats(0, 1e6), max_size=20))
def test_clock_that_goes_back_earns_nothing(now: list[float]) -> None:
    budget = RetryBudget(ratio=0.0, floor=1e-9, capacity=1.0)
    assert sum(budget.withdraw("a", each) for each in now) <= 1


def test_unlimited_budget_is_never_spent() -> None:
    budget = RetryBudget.unlimited()
    budget.accounts["a"].requests += 7
    assert all(budget.withdraw("a", 0.0) for _ in range(10_000))


def test_rt_02_keys_do_not_grow_without_end() -> None:
    budget = RetryBudget(limit=100)
    for number in range(10_000):
        budget.accounts[number].requests += 1
    assert sum(1 for _ in budget.accounts.both()) <= 100


@pytest.mark.parametrize(
    "options",
    [{"ratio": -0.1}, {"ratio": float("nan")}, {"floor": -1}, {"capacity": 0}, {"capacity": True}, {"limit": 0}],
)
def test_nonsense_is_refused(options: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=r"RetryBudget\."):
        RetryBudget(**options)
