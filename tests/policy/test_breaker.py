"""CircuitBreaker around requests and functions: what counts, probes, keys, events (HAZARDS RT-06, POOL-10)."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import anyio
import pytest
from anyio.lowlevel import checkpoint

from netio import errors
from netio.errors import CircuitOpen, ConnectError, ReadTimeout, TotalTimeout
from netio.message import Request, Response, Send
from netio.observe import BreakerChanged, Event, Refused
from netio.policy import CircuitBreaker, State
from netio.testing import FakeClock, cancel_everywhere
from tests.policy.retries import Pending, Scripted, make_request

pytestmark = pytest.mark.anyio

ORIGIN = make_request().url.origin


def make_breaker(**options: Any) -> CircuitBreaker:
    values: dict[str, Any] = {"minimum_calls": 2, "window_calls": 4, "jitter": 0.0, "open_seconds": 5.0}
    return CircuitBreaker(**(values | options))


async def open_circuit(breaker: CircuitBreaker, clock: FakeClock, url: str = "http://example.org/") -> None:
    for _ in range(2):
        with pytest.raises(ConnectError):
            await breaker(make_request(url=url, clock=clock), Scripted(ConnectError("refused")))
    assert breaker.state(make_request(url=url).url.origin) is State.OPEN


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
