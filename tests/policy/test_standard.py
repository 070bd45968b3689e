"""The standard list."""

from __future__ import annotations

import pytest

from netio.errors import CircuitOpen
from netio.policy import (
    AdaptiveLimit,
    AttemptTimeout,
    Bulkhead,
    CircuitBreaker,
    RateLimit,
    Retry,
    compose,
    standard,
)
from netio.testing import FakeClock
from tests.policy.retries import Instant, Scripted, make_request

pytestmark = pytest.mark.anyio

# ---------------------------------------------------------------------- standard()


def test_standard_list_is_in_order() -> None:
    assert [type(policy) for policy in standard()] == [Retry, CircuitBreaker, AttemptTimeout]
    assert [type(policy) for policy in standard(attempt_timeout=None)] == [Retry, CircuitBreaker]
    rate, bulkhead, retry, breaker = RateLimit(1), Bulkhead(1), Retry(), CircuitBreaker()
    assert standard(bulkhead=bulkhead, rate_limit=rate, retry=retry, breaker=breaker)[:4] == [
        rate,
        bulkhead,
        retry,
        breaker,
    ]
    assert isinstance(standard(bulkhead=AdaptiveLimit())[0], AdaptiveLimit)
    assert standard()[0] is not standard()[0]


async def test_open_circuit_ends_the_retries_of_the_standard_list() -> None:
    clock = FakeClock()
    breaker = CircuitBreaker(minimum_calls=2, window_calls=2)
    send = Scripted(*[503] * 9)
    policies = compose(
        standard(retry=Retry(attempts=9, base=1e-9, cap=1e-9, random=lambda: 0.0), breaker=breaker), send
    )
    with pytest.raises(CircuitOpen) as caught:
        await policies(make_request(clock=Instant()))
    assert len(send.requests) == 2
    assert [attempt.outcome for attempt in caught.value.attempts] == ["503", "503"]
    assert clock.sleepers == 0
