"""CircuitBreaker around requests and functions: what counts, probes, keys, events (HAZARDS RT-06, POOL-10)."""

from __future__ import annotations

from collections.abc import Coroutine
from typing import Any, TypeVar

import anyio
import pytest
from anyio.lowlevel import checkpoint
from hypothesis import given
from hypothesis import strategies as st

from netio import errors
from netio.errors import CircuitOpen, TotalTimeout
from netio.message import Request, Response
from netio.policy import CircuitBreaker, State
from netio.testing import FakeClock, cancel_everywhere
from tests.policy.breakers import ORIGIN, make_breaker, open_circuit
from tests.policy.retries import Pending, Scripted, make_request

pytestmark = pytest.mark.anyio

T = TypeVar("T")

# ---------------------------------------------------------------------- what counts

FAILURES: dict[str, bool | None] = {
    "ConnectError": True,
    "ResolveError": True,
    "TLSError": True,
    "CertificateError": True,
    "ConnectTimeout": True,
    "ConnectionLost": True,
    "IncompleteBody": True,
    "StreamReset": True,
    "ProtocolError": True,
    "ReadTimeout": True,
    "WriteTimeout": True,
    "AttemptTimedOut": True,
    "TotalTimeout": True,
    "TimeoutError": True,
    "RequestError": True,
    "DecodeError": True,
    "ProxyError": True,
    "AddressRefused": None,
    "BodyTooLarge": None,
    "EventStreamError": None,
    "RedirectError": None,
    "TooManyRedirects": None,
    "CredentialsError": None,
    "PoolTimeout": None,
    "InvalidRequest": None,
    "InvalidURL": None,
    "RequestBodyError": None,
    "SessionClosed": None,
    "Rejected": None,
    "QueueFull": None,
    "CircuitOpen": None,
    "RateLimited": None,
    "BulkheadFull": None,
}


def test_table_of_failures_names_every_error() -> None:
    classes = {name: getattr(errors, name) for name in errors.__all__}
    named = {name for name, cls in classes.items() if isinstance(cls, type) and issubclass(cls, errors.RequestError)}
    assert set(FAILURES) == named


@pytest.mark.parametrize(("name", "is_failure"), FAILURES.items())
async def test_errors_of_the_network_are_failures_and_our_own_say_nothing(name: str, is_failure: bool | None) -> None:
    breaker, clock = make_breaker(), FakeClock()
    for _ in range(2):
        with pytest.raises(getattr(errors, name)):
            await breaker(make_request(clock=clock), Scripted(getattr(errors, name)("x")))
    assert (breaker.state(ORIGIN) is State.OPEN) == (is_failure is True)
    assert breaker.stats()[ORIGIN].rates.calls == (0 if is_failure is not False else 2)


async def test_proxy_that_wants_credentials_says_nothing_about_the_peer() -> None:
    breaker, clock = make_breaker(), FakeClock()
    for status in (407, 502):
        with pytest.raises(errors.ProxyError):
            await breaker(make_request(clock=clock), Scripted(errors.ProxyError("no", status_code=status)))
    assert breaker.stats()[ORIGIN].rates[:2] == (1, 1)


@pytest.mark.parametrize(
    ("status", "is_failure"),
    [(200, False), (404, False), (428, False), (429, True), (430, False), (500, True), (503, True)],
)
async def test_5xx_and_429_are_failures(status: int, is_failure: bool) -> None:
    breaker, clock = make_breaker(), FakeClock()
    for _ in range(2):
        assert (await breaker(make_request(clock=clock), Scripted(status))).status_code == status
    assert (breaker.state(ORIGIN) is State.OPEN) == is_failure


async def test_deadline_that_passes_in_our_own_queue_says_nothing() -> None:
    breaker, clock = make_breaker(), FakeClock()
    for _ in range(4):
        with pytest.raises(TotalTimeout):
            await breaker(make_request(clock=clock), Scripted(TotalTimeout("late", phase="queue")))
    assert breaker.state(ORIGIN) is State.CLOSED


async def test_bug_in_the_callers_code_says_nothing() -> None:
    async def buggy(request: Request) -> Response:
        raise KeyError("mine")

    breaker = make_breaker()
    for _ in range(4):
        with pytest.raises(KeyError):
            await breaker(make_request(), buggy)
    assert breaker.state(ORIGIN) is State.CLOSED


async def test_what_counts_can_be_chosen() -> None:
    breaker = make_breaker(failed=lambda outcome: isinstance(outcome, Response) and outcome.status_code == 404)
    for status in (500, 500, 500):
        await breaker(make_request(), Scripted(status))
    assert breaker.state(ORIGIN) is State.CLOSED
    for status in (404, 404):
        await breaker(make_request(), Scripted(status))
    assert breaker.state(ORIGIN) is State.OPEN


async def test_pool_10_function_that_raises_is_heard_and_nothing_is_lost() -> None:
    def failed(outcome: object) -> bool:
        if isinstance(outcome, Response) and outcome.status_code == 418:
            raise ZeroDivisionError
        return True

    breaker, clock = make_breaker(failed=failed, probes=1), FakeClock()
    await open_circuit(breaker, clock)
    await clock.advance(5)
    send = Scripted(418, 418)
    for _ in range(2):  # the permit of the probe came back
        with pytest.raises(ZeroDivisionError):
            await breaker(make_request(clock=clock), send)
    assert [response.is_closed for response in send.responses] == [True, True]
    assert breaker.state(ORIGIN) is State.HALF_OPEN


@pytest.mark.parametrize("options", [{"slow_rate": 0.5}, {"window_seconds": 60.0}])
async def test_slow_answers_open_it(options: dict[str, Any]) -> None:
    breaker, clock = make_breaker(slow_seconds=1.0, **options), FakeClock()

    async def slow(request: Request) -> Response:
        clock._now += 1.0
        return Response(200, request=request)

    for _ in range(2):
        await breaker(make_request(clock=clock), slow)
    assert breaker.state(ORIGIN) is State.OPEN


async def test_window_by_time_forgets() -> None:
    breaker, clock = make_breaker(window_seconds=10.0, minimum_calls=3), FakeClock()
    for _ in range(2):
        await breaker(make_request(clock=clock), Scripted(503))
        await clock.advance(11)
    await breaker(make_request(clock=clock), Scripted(503))
    assert breaker.state(ORIGIN) is State.CLOSED
    for _ in range(2):
        await breaker(make_request(clock=clock), Scripted(503))
    assert breaker.state(ORIGIN) is State.OPEN


# ---------------------------------------------------------------------- open and half-open


async def test_open_circuit_refuses_and_says_when_to_come_again() -> None:
    breaker, clock = make_breaker(), FakeClock()
    await open_circuit(breaker, clock)
    await clock.advance(2)
    request = make_request(clock=clock)
    with pytest.raises(CircuitOpen) as caught:
        await breaker(request, Scripted())
    assert (caught.value.retry_after, caught.value.sent, caught.value.request) == (3.0, False, request)
    message, _, rest = str(caught.value).partition(" [")
    assert message == "the circuit of http://example.org is open: the next probe is due in 3.0 s"
    assert rest == "GET http://example.org/; phase queue; not processed by the server]"


async def test_rt_06_thousand_tasks_meet_a_breaker_that_turns_half_open() -> None:
    breaker, clock = make_breaker(probes=3), FakeClock()
    await open_circuit(breaker, clock)
    await clock.advance(5)
    go, sent, refused = anyio.Event(), 0, 0

    async def answer(request: Request) -> Response:
        nonlocal sent
        sent += 1
        await go.wait()
        return Response(200, request=request)

    async def one() -> None:
        nonlocal refused
        try:
            await breaker(make_request(clock=clock), answer)
        except CircuitOpen:
            refused += 1

    async with anyio.create_task_group() as group:
        for _ in range(1_000):
            group.start_soon(one)
        await clock.advance(0)
        assert (sent, refused, breaker.state(ORIGIN)) == (3, 997, State.HALF_OPEN)
        go.set()
    assert (sent, breaker.state(ORIGIN)) == (3, State.CLOSED)


async def test_rt_06_cancelled_probe_gives_its_permit_back() -> None:
    breaker, clock = make_breaker(probes=1), FakeClock()
    await open_circuit(breaker, clock)
    await clock.advance(5)

    async def hang(request: Request) -> Response:
        await anyio.sleep_forever()
        raise AssertionError

    for _ in range(3):
        with anyio.move_on_after(0) as scope:
            await breaker(make_request(clock=clock), hang)
        assert (scope.cancelled_caught, breaker.state(ORIGIN)) == (True, State.HALF_OPEN)
    await breaker(make_request(clock=clock), Scripted(200))
    assert breaker.state(ORIGIN) is State.CLOSED


async def test_rt_06_cancellation_is_no_failure() -> None:
    breaker, clock = make_breaker(), FakeClock()

    async def hang(request: Request) -> Response:
        await anyio.sleep_forever()
        raise AssertionError

    for _ in range(10):
        with anyio.move_on_after(0):
            await breaker(make_request(clock=clock), hang)
    assert breaker.stats()[ORIGIN].rates.calls == 0


async def test_rt_06_cancelled_anywhere_the_next_probe_passes() -> None:
    clock = FakeClock()
    breaker = make_breaker(probes=1)

    async def answer(request: Request) -> Response:
        await checkpoint()
        await checkpoint()
        return Response(200, request=request)

    async def scenario() -> None:
        await open_circuit(breaker, clock)
        clock._now += 5
        await breaker(make_request(clock=clock), answer)

    async def after() -> None:
        clock._now += 5
        await breaker(make_request(clock=clock), Scripted(200))
        assert breaker.state(ORIGIN) is State.CLOSED
        breaker.reset(ORIGIN)

    assert await cancel_everywhere(scenario, after) >= 2


async def test_answer_from_before_the_opening_is_not_counted() -> None:
    breaker, clock = make_breaker(probes=1), FakeClock()
    go = anyio.Event()

    async def late(request: Request) -> Response:
        await go.wait()
        return Response(200, request=request)

    async with anyio.create_task_group() as group:
        group.start_soon(breaker.around, make_request(clock=clock), late)
        await clock.advance(0)
        await open_circuit(breaker, clock)
        go.set()
    assert breaker.state(ORIGIN) is State.OPEN


async def test_streamed_answer_is_judged_by_its_head_and_left_open() -> None:
    breaker = make_breaker()

    async def stream(request: Request) -> Response:
        return Response(200, request=request, source=Pending())

    response = await breaker(make_request(is_streamed=True), stream)
    assert not response.is_closed
    await response.aclose()


def finish(coroutine: Coroutine[Any, Any, T]) -> T:
    """Run a coroutine that never waits."""
    try:
        coroutine.send(None)
    except StopIteration as end:
        result: T = end.value
        return result
    raise AssertionError("it waits")


@given(
    calls=st.lists(st.tuples(st.integers(0, 300), st.booleans(), st.integers(0, 200)), max_size=60),
    slow_seconds=st.sampled_from([None, 1.0]),
)
def test_calls_that_are_only_counted_are_in_the_window_by_time_like_all_others(
    calls: list[tuple[int, bool, int]], slow_seconds: float | None
) -> None:
    clock, model = FakeClock(), list[tuple[float, bool, bool]]()
    breaker = CircuitBreaker(window_seconds=10.0, minimum_calls=1_000, slow_seconds=slow_seconds)

    async def send(request: Request) -> Response:
        clock._now += took / 100
        return Response(503 if is_failure else 200, request=request)

    for pause, is_failure, took in calls:
        clock._now += pause / 100
        assert finish(breaker(make_request(clock=clock), send)).status_code == (503 if is_failure else 200)
        model.append((clock.now(), is_failure, slow_seconds is not None and took / 100 >= slow_seconds))
    breaker._clock = clock
    if calls:
        rates = breaker.stats()[ORIGIN].rates
        young = [each for each in model if each[0] > clock.now() - 10.0]
        perhaps = [each for each in model if each[0] > clock.now() - 11.001]
        assert len(young) <= rates.calls <= len(perhaps)
        assert sum(each[1] for each in young) <= rates.failures <= sum(each[1] for each in perhaps)
        assert sum(each[2] for each in young) <= rates.slow <= sum(each[2] for each in perhaps)
