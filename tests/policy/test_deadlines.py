"""Deadline and AttemptTimeout."""

from __future__ import annotations

from typing import Any

import pytest

from netio.errors import AttemptTimedOut, TotalTimeout
from netio.message import Request, Response
from netio.policy import (
    AttemptTimeout,
    Deadline,
    Retry,
    compose,
)
from tests.policy.retries import Instant, make_request

pytestmark = pytest.mark.anyio

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
