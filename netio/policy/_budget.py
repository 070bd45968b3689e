"""The retry budget: how much load repeats may add.

One token bucket for each key. A request puts `ratio` of a token in, a repeat takes one out, and `floor` tokens come by
themselves each second, so that a client which sends little may repeat at all. While all is well nothing is computed:
a request only adds one to a count (`budget.accounts[key].requests += 1`), and what that is worth is settled when a
token is asked for. Between two withdrawals the bucket only fills, so that capping it once is as good as always.

Attempts alone do not prevent a retry storm: three attempts are three times the load, at the very time at which the peer
can bear the least. A budget bounds it at `1 + ratio`.
"""

from __future__ import annotations

from collections.abc import Hashable
from typing import Self

from netio.deadline import NEVER
from netio.policy._check import not_negative, positive, whole
from netio.policy._states import LIMIT, States


class Account:
    """The bucket of one key."""

    __slots__ = ("filled_at", "requests", "tokens")

    def __init__(self) -> None:
        self.requests = 0
        self.tokens = NEVER  # full, whatever that is
        self.filled_at = NEVER


class RetryBudget:
    """Allows `ratio` repeats for each request, and `floor` a second besides; give it to several policies to share it.

    `capacity` is how many repeats can be saved up; a new key has them all. Not for use from several threads.
    """

    def __init__(
        self,
        *,
        ratio: float = 0.2,  # reqwest and Finagle: 20 %
        floor: float = 1.0,  # a second. Finagle and tower have 10, for clients that send more than most
        capacity: float = 100.0,  # Finagle's reserve. One connection that dies may take 100 streams with it
        limit: int = LIMIT,
    ) -> None:
        self._ratio = not_negative("RetryBudget.ratio", ratio, "a share")
        self._floor = not_negative("RetryBudget.floor", floor, "repeats a second")
        self._capacity = positive("RetryBudget.capacity", capacity, "repeats")
        self.accounts = States(Account, limit=whole("RetryBudget.limit", limit))

    @classmethod
    def unlimited(cls) -> Self:
        """Return a budget that is never spent."""
        budget = cls()
        budget._capacity = budget._ratio = NEVER
        return budget

    def withdraw(self, key: Hashable, now: float) -> bool:
        """Take one repeat out; return False if there is none."""
        account = self.accounts[key]
        account.tokens = self._tokens(account, now)
        account.filled_at = now
        account.requests = 0
        if account.tokens < 1.0:
            return False
        account.tokens -= 1.0
        return True

    def available(self, key: Hashable, now: float) -> float:
        """Return how many repeats of a key the budget has at the moment."""
        account = self.accounts.peek(key)
        return self._capacity if account is None else self._tokens(account, now)

    def _tokens(self, account: Account, now: float) -> float:
        if account.tokens == NEVER:
            return self._capacity
        earned = account.requests * self._ratio if account.requests else 0.0
        return min(self._capacity, account.tokens + earned + max(now - account.filled_at, 0.0) * self._floor)
