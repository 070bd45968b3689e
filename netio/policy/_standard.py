"""The policies that a careful person would have chosen, in the order that docs/policies.md explains."""

from __future__ import annotations

from netio.message import Policy
from netio.policy._adaptive import AdaptiveLimit
from netio.policy._breaker import CircuitBreaker
from netio.policy._bulkhead import Bulkhead
from netio.policy._deadline import AttemptTimeout
from netio.policy._rate_limit import RateLimit
from netio.policy._retry import Retry


def standard(
    *,
    rate_limit: RateLimit | None = None,
    bulkhead: Bulkhead | AdaptiveLimit | None = None,
    retry: Retry | None = None,
    breaker: CircuitBreaker | None = None,
    attempt_timeout: float | None = 20.0,  # Timeouts.read: what makes no progress for so long has failed
) -> list[Policy]:
    """Return rate limit and bulkhead (if given), retry with a budget, circuit breaker, and a time limit per attempt."""
    policies: list[Policy] = []
    if rate_limit is not None:
        policies.append(rate_limit)
    if bulkhead is not None:
        policies.append(bulkhead)
    policies += [retry or Retry(), breaker or CircuitBreaker()]
    if attempt_timeout is not None:
        policies.append(AttemptTimeout(attempt_timeout))
    return policies
