"""A breaker that opens after two failures of four, and how to open it."""

from __future__ import annotations

from typing import Any

import pytest

from netio.errors import ConnectError
from netio.policy import CircuitBreaker, State
from netio.testing import FakeClock
from tests.policy.retries import Scripted, make_request

ORIGIN = make_request().url.origin


def make_breaker(**options: Any) -> CircuitBreaker:
    values: dict[str, Any] = {"minimum_calls": 2, "window_calls": 4, "jitter": 0.0, "open_seconds": 5.0}
    return CircuitBreaker(**(values | options))


async def open_circuit(breaker: CircuitBreaker, clock: FakeClock, url: str = "http://example.org/") -> None:
    for _ in range(2):
        with pytest.raises(ConnectError):
            await breaker(make_request(url=url, clock=clock), Scripted(ConnectError("refused")))
    assert breaker.state(make_request(url=url).url.origin) is State.OPEN
