"""Fallback, deadlines, and the standard list."""

from __future__ import annotations

from typing import Any

import pytest

from netio.errors import AttemptTimedOut, CircuitOpen, ConnectError, InvalidURL, RequestBodyError, TotalTimeout
from netio.message import Request, Response
from netio.policy import (
    AdaptiveLimit,
    AttemptTimeout,
    Bulkhead,
    CircuitBreaker,
    Deadline,
    Fallback,
    RateLimit,
    Retry,
    compose,
    standard,
)
from netio.testing import FakeClock
from tests.policy.retries import Instant, Scripted, make_request

pytestmark = pytest.mark.anyio


async def stale(request: Request, outcome: object) -> Response:
    return Response(203, request=request, content=str(outcome))


# ---------------------------------------------------------------------- Fallback


@pytest.mark.parametrize("outcome", [ConnectError("refused"), CircuitOpen("open"), 429, 500, 503])
async def test_failure_is_answered_by_the_handler(outcome: Any) -> None:
    send = Scripted(outcome)
    response = await Fallback(stale)(make_request(), send)
    assert response.status_code == 203
    assert [each.is_closed for each in send.responses] == [True] * len(send.responses)


@pytest.mark.parametrize("outcome", [200, 304, 404, 428, 431])
async def test_other_answers_pass(outcome: int) -> None:
    send = Scripted(outcome)
    assert await Fallback(stale)(make_request(), send) is send.responses[0]
    assert not send.responses[0].is_closed


@pytest.mark.parametrize("error", [InvalidURL("x"), RequestBodyError("x")])
async def test_mistakes_of_the_caller_pass(error: Any) -> None:
    with pytest.raises(type(error)) as caught:
        await Fallback(stale)(make_request(), Scripted(error))
    assert caught.value is error


async def test_what_is_a_failure_can_be_chosen() -> None:
    fallback = Fallback(stale, when=lambda outcome: isinstance(outcome, Response) and outcome.status_code == 404)
    assert (await fallback(make_request(), Scripted(404))).status_code == 203
    assert (await fallback(make_request(), Scripted(503))).status_code == 503
    with pytest.raises(ConnectError):
        await fallback(make_request(), Scripted(ConnectError("refused")))


async def test_handler_may_return_the_outcome_itself() -> None:
    async def same(request: Request, outcome: Any) -> Response:
        assert isinstance(outcome, Response)
        return outcome

    send = Scripted(503)
    assert await Fallback(same)(make_request(), send) is send.responses[0]
    assert not send.responses[0].is_closed


async def test_pool_10_handler_that_raises_is_heard_and_the_response_closed() -> None:
    async def broken(request: Request, outcome: object) -> Response:
        raise KeyError("mine")

    send = Scripted(503)
    with pytest.raises(KeyError, match="mine"):
        await Fallback(broken)(make_request(), send)
    assert send.responses[0].is_closed
    with pytest.raises(ZeroDivisionError):
        await Fallback(stale, when=lambda outcome: 1 / 0 > 0)(make_request(), another := Scripted(200))
    assert another.responses[0].is_closed


async def test_fallback_stands_around_a_function() -> None:
    async def handler(request: None, error: Exception) -> str:
        return f"{request} {error}"

    fallback = Fallback(handler)

    @fallback
    async def fail(error: Exception) -> str:
        raise error

    assert await fail(ValueError("mine")) == "None mine"
    with pytest.raises(InvalidURL):
        await fail(InvalidURL("x"))
    with pytest.raises(TypeError, match=r"Fallback\.handler"):
        Fallback(42)  # type: ignore[arg-type]


# ---------------------------------------------------------------------- Deadline, AttemptTimeout


class Late:
    """A send that waits as a connection does: until its answer comes, or the deadline."""

    def __init__(self, *seconds: float) -> None:
        self.seconds = list(seconds)
        self.requests: list[Request] = []

    async def __call__(self, request: Request) -> Response:
        self.requests.append(request)
        seconds = self.seconds.pop(0)
        left = request.deadline - request.clock.now()
        await request.clock.sleep(min(seconds, left))
        if seconds >= left:
            raise TotalTimeout("late", request=request, phase="head", sent=True)
        return Response(200, request=request)


async def test_deadline_tightens_and_never_loosens() -> None:
    clock, send = Instant(), Late(0, 0)
    begun = clock.now()
    request = make_request(clock=clock)
    await Deadline(5)(request, send)
    await Deadline(5)(make_request(clock=clock, deadline=begun + 3), send)
    assert [each.deadline for each in send.requests] == [begun + 5, begun + 3]
    assert request.deadline == float("inf")
    assert send.requests[0].headers is request.headers


async def test_deadline_covers_all_attempts() -> None:
    clock, send = Instant(), Late(2, 2)
    policies = compose([Deadline(3), AttemptTimeout(1), Retry(random=lambda: 0.0)], send)
    with pytest.raises(AttemptTimedOut):
        await policies(make_request(clock=clock))
    assert len(send.requests) == 1


async def test_attempt_that_takes_too_long_is_sent_again() -> None:
    clock, send = Instant(), Late(9, 9, 0.5)
    begun = clock.now()
    request = make_request(clock=clock, deadline=begun + 60)
    response = await compose([Retry(random=lambda: 0.0), AttemptTimeout(2)], send)(request)
    assert [attempt.outcome for attempt in response.attempts] == [
        "AttemptTimedOut: the attempt took longer than 2 s"
    ] * 2
    assert [each.deadline - begun for each in send.requests] == [2, 4, 6]


async def test_attempt_timeout_keeps_phase_and_request_of_what_it_was() -> None:
    request = make_request(clock=Instant())
    with pytest.raises(AttemptTimedOut) as caught:
        await AttemptTimeout(2)(request, Late(3))
    error = caught.value
    assert (error.request, error.phase, error.sent) == (request, "head", True)
    assert isinstance(error.__cause__, TotalTimeout)
    assert isinstance(error, TimeoutError)


async def test_deadline_of_the_request_is_no_attempt_timeout() -> None:
    clock = Instant()
    with pytest.raises(TotalTimeout):
        await AttemptTimeout(2)(make_request(clock=clock, deadline=clock.now() + 2), Late(3))


@pytest.mark.parametrize("policy", [Deadline, AttemptTimeout])
async def test_server_is_told_how_much_time_is_left(policy: type[Deadline]) -> None:
    clock, send = Instant(), Late(0, 0, 0, 0)
    request = make_request(clock=clock, headers=[("X-Time-Left", "mine")])
    await policy(1.5, header="X-Time-Left")(request, send)
    await policy(1.5, header="grpc-timeout")(request, send)
    await policy(9, header="x-time-left")(request.with_deadline(clock.now() + 0.25), send)
    await policy(1e9, header="grpc-timeout")(request, send)
    assert [each.headers["x-time-left"] for each in send.requests] == ["1500", "mine", "250", "mine"]
    assert [each.headers.get("grpc-timeout") for each in send.requests] == [None, "1500m", None, "99999999m"]
    assert request.headers["x-time-left"] == "mine"


@pytest.mark.parametrize("policy", [Deadline, AttemptTimeout])
@pytest.mark.parametrize("seconds", [0, -1, float("inf"), float("nan"), True, "1"])
def test_limits_of_time_refuse_nonsense(policy: type[Deadline], seconds: Any) -> None:
    with pytest.raises(ValueError, match=f"{policy.__name__}.seconds"):
        policy(seconds)


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
