"""What the user's functions raise comes out unchanged, and leaves no place, permit or flight behind (POOL-10)."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from netio import policy
from netio.message import Request, Response
from netio.testing import FakeClock
from tests.policy.retries import make_request

pytestmark = pytest.mark.anyio


class Mine(Exception):
    pass


class Key:
    """A function that raises when it is told to."""

    def __init__(self) -> None:
        self.is_broken = True

    def __call__(self, request: Request) -> str:
        if self.is_broken:
            raise Mine
        return "key"


POLICIES: dict[str, Callable[[Key], Any]] = {
    "CircuitBreaker": lambda key: policy.CircuitBreaker(key=key),
    "CircuitBreaker, slow": lambda key: policy.CircuitBreaker(key=key, slow_seconds=1.0),
    "RateLimit": lambda key: policy.RateLimit(1.0, key=key),
    "Bulkhead": lambda key: policy.Bulkhead(1, queue=0, key=key),
    "AdaptiveLimit": lambda key: policy.AdaptiveLimit(initial=1, floor=1, queue=0, key=key),
    "Hedge": lambda key: policy.Hedge(1.0, key=key),
    "SingleFlight": lambda key: policy.SingleFlight(limit=1, key=key),
}


@pytest.mark.parametrize("name", POLICIES)
async def test_pool_10_key_that_raises_comes_out_and_nothing_is_held(name: str) -> None:
    key, clock, sent = Key(), FakeClock(), 0
    around = policy.compose([POLICIES[name](key)], lambda request: answer(request))

    async def answer(request: Request) -> Response:
        nonlocal sent
        sent += 1
        return Response(200, request=request)

    with pytest.raises(Mine):
        await around(make_request(clock=clock))
    assert sent == 0
    key.is_broken = False
    assert (await around(make_request(clock=clock))).status_code == 200
    await clock.advance(2.0)  # a timer of Hedge ends
    assert clock.sleepers == 0


@pytest.mark.parametrize("name", POLICIES)
async def test_pool_10_send_that_raises_comes_out_and_nothing_is_held(name: str) -> None:
    key, clock, error = Key(), FakeClock(), Mine()
    key.is_broken = False
    is_failing = True

    async def fail(request: Request) -> Response:
        if is_failing:
            raise error
        return Response(200, request=request)

    around = policy.compose([POLICIES[name](key)], fail)
    with pytest.raises(Mine) as caught:
        await around(make_request(clock=clock))
    assert caught.value is error
    is_failing = False
    await clock.advance(2.0)
    assert (await around(make_request(clock=clock))).status_code == 200
    await clock.advance(2.0)
    assert clock.sleepers == 0
