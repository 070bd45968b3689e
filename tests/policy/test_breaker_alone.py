"""CircuitBreaker: keys, what can be seen and set, events, the textbooks' form, and use without a session."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import anyio
import pytest

from netio import errors
from netio.errors import CircuitOpen, ReadTimeout
from netio.message import Request, Send
from netio.observe import BreakerChanged, Event, Refused
from netio.policy import CircuitBreaker, State
from netio.testing import FakeClock
from tests.policy.breakers import ORIGIN, make_breaker, open_circuit
from tests.policy.retries import Scripted, make_request

pytestmark = pytest.mark.anyio

# ---------------------------------------------------------------------- keys, what can be seen and set


async def test_each_origin_has_its_own_circuit() -> None:
    breaker, clock = make_breaker(), FakeClock()
    await open_circuit(breaker, clock, "http://a.example/")
    assert (await breaker(make_request(url="http://b.example/", clock=clock), Scripted(200))).status_code == 200
    assert {key: circuit.state for key, circuit in breaker.stats().items()} == {
        make_request(url="http://a.example/").url.origin: State.OPEN,
        make_request(url="http://b.example/").url.origin: State.CLOSED,
    }


async def test_key_can_be_chosen() -> None:
    breaker, clock = make_breaker(key=lambda request: request.url.path), FakeClock()
    for _ in range(2):
        await breaker(make_request(url="http://example.org/a", clock=clock), Scripted(503))
    assert (breaker.state("/a"), breaker.state("/b")) == (State.OPEN, State.CLOSED)


async def test_rt_06_keys_do_not_grow_without_end() -> None:
    breaker = make_breaker(limit=50, key=lambda request: request.url.path)
    for number in range(500):
        await breaker(make_request(url=f"http://example.org/{number}"), Scripted(200))
    assert len(breaker.stats()) <= 50


async def test_circuit_can_be_set_by_hand() -> None:
    breaker, clock = make_breaker(clock=FakeClock()), FakeClock()
    breaker.force_open(ORIGIN)
    with pytest.raises(CircuitOpen, match="forced open: until it is reset") as caught:
        await breaker(make_request(clock=clock), Scripted())
    assert caught.value.retry_after is None
    breaker.disable(ORIGIN)
    for _ in range(10):
        await breaker(make_request(clock=clock), Scripted(503))
    assert breaker.state(ORIGIN) is State.DISABLED
    breaker.reset(ORIGIN)
    await breaker(make_request(clock=clock), Scripted(503))
    assert breaker.state(ORIGIN) is State.CLOSED


async def test_what_a_user_has_forced_is_not_forgotten() -> None:
    breaker = make_breaker(limit=4, key=lambda request: request.url.path)
    breaker.force_open("/forced")
    for number in range(100):
        await breaker(make_request(url=f"http://example.org/{number}"), Scripted(200))
    assert breaker.state("/forced") is State.FORCED_OPEN


async def test_observer_is_told_of_changes_and_refusals() -> None:
    breaker, clock = make_breaker(probes=1), FakeClock()
    events: list[Event] = []

    def request() -> Request:
        return make_request(clock=clock, observer=events.append)

    for _ in range(2):
        await breaker(request(), Scripted(503))
    with pytest.raises(CircuitOpen) as caught:
        await breaker(refused := request(), Scripted())
    await clock.advance(5)
    await breaker(request(), Scripted(200))
    assert events == [
        BreakerChanged(ORIGIN, "closed", "open"),
        Refused(refused, caught.value),
        BreakerChanged(ORIGIN, "open", "half-open"),
        BreakerChanged(ORIGIN, "half-open", "closed"),
    ]


# ---------------------------------------------------------------------- the textbook's, and alone


async def test_simple_breaker_opens_after_failures_in_a_row_and_asks_once() -> None:
    clock = FakeClock()
    breaker = CircuitBreaker.simple(failure_threshold=3, recovery_timeout=30.0)
    for status in (503, 503, 200, 503, 503):
        await breaker(make_request(clock=clock), Scripted(status))
    assert breaker.state(ORIGIN) is State.CLOSED
    await breaker(make_request(clock=clock), Scripted(503))
    assert breaker.state(ORIGIN) is State.OPEN
    for _ in range(3):  # the time does not grow
        await clock.advance(29.9)
        with pytest.raises(CircuitOpen):
            await breaker(make_request(clock=clock), Scripted())
        await clock.advance(0.2)
        await breaker(make_request(clock=clock), Scripted(503))
    await clock.advance(30)
    await breaker(make_request(clock=clock), Scripted(200))
    assert breaker.state(ORIGIN) is State.CLOSED


async def test_guard_stands_around_anything() -> None:
    clock = FakeClock()
    breaker = make_breaker(clock=clock, probes=1)
    for _ in range(2):
        with pytest.raises(KeyError):
            async with breaker.guard("db"):
                raise KeyError("mine")
    with pytest.raises(CircuitOpen, match="the circuit of db is open") as caught:
        async with breaker.guard("db"):
            raise AssertionError
    assert (caught.value.request, caught.value.retry_after) == (None, 5.0)
    async with breaker.guard("cache"):
        pass
    await clock.advance(5)
    with anyio.move_on_after(0):
        async with breaker.guard("db"):
            await anyio.sleep_forever()
    assert breaker.state("db") is State.HALF_OPEN
    async with breaker.guard("db"):
        pass
    assert breaker.state("db") is State.CLOSED


async def test_guard_counts_no_refusal_of_another_policy() -> None:
    breaker = make_breaker()
    for _ in range(4):
        with pytest.raises(errors.RateLimited):
            async with breaker.guard():
                raise errors.RateLimited("x")
    assert breaker.state() is State.CLOSED


async def test_call_and_decorator_share_the_circuit_of_the_breaker() -> None:
    breaker = make_breaker(clock=FakeClock())

    async def fail() -> None:
        raise ReadTimeout("slow")

    @breaker
    async def double(number: int) -> int:
        return 2 * number

    assert await double(2) == 4
    with pytest.raises(ReadTimeout):
        await breaker.call(fail)
    with pytest.raises(CircuitOpen):
        await double(2)


async def test_function_is_a_policy_like_any_other() -> None:
    policy: Callable[[Request, Send], Any] = make_breaker()
    assert (await policy(make_request(), Scripted(204))).status_code == 204


@pytest.mark.parametrize(
    "options",
    [
        {"failure_rate": 0},
        {"failure_rate": 1.1},
        {"slow_rate": 0},
        {"slow_seconds": 0},
        {"minimum_calls": 0},
        {"minimum_calls": 101},
        {"window_calls": 2.5},
        {"window_seconds": -1},
        {"window_seconds": True},
        {"probes": 0},
        {"open_seconds": 0},
        {"open_seconds": 100},
        {"longest_open_seconds": float("inf")},
        {"jitter": -0.1},
        {"limit": 0},
    ],
)
def test_nonsense_is_refused(options: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=r"CircuitBreaker\."):
        CircuitBreaker(**options)


@pytest.mark.parametrize("options", [{"failure_threshold": 0}, {"recovery_timeout": 0}])
def test_nonsense_is_refused_by_the_simple_one(options: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=r"CircuitBreaker\."):
        CircuitBreaker.simple(**options)
