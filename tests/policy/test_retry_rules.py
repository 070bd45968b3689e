"""Retry: Retry-After, hooks, counts by kind, the budget, events, and use without a session (HAZARDS RT-01 to RT-03)."""

from __future__ import annotations

import math
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from typing import Any

import pytest
from anyio.lowlevel import checkpoint

from netio.errors import ConnectError, ConnectionLost, ProtocolError, ReadTimeout, RequestError
from netio.headers import Headers
from netio.message import Request, Response
from netio.observe import Event, Retried
from netio.policy import Retry, RetryBudget
from netio.policy._backoff import Backoff, retry_after
from netio.testing import cancel_everywhere
from tests.policy.retries import Instant, Pending, Scripted, attempts_for, make_request, make_retry

pytestmark = pytest.mark.anyio

HOURS_6 = 21_600.0
NOON = datetime(2026, 1, 1, 12, tzinfo=UTC)


class Answering:
    """A send that gives 503 with some fields, then 200."""

    def __init__(self, *fields: tuple[str, str]) -> None:
        self.fields = fields
        self.responses: list[Response] = []

    async def __call__(self, request: Request) -> Response:
        status = 200 if self.responses else 503
        self.responses.append(Response(status, request=request, headers=self.fields, source=Pending()))
        return self.responses[-1]


# ---------------------------------------------------------------------- Retry-After


@pytest.mark.parametrize(
    ("value", "seconds"),
    [
        ("0", 0.0),
        ("7", 7.0),
        (" 7 ", 7.0),
        ("1000000000", HOURS_6),
        ("9" * 5_000, HOURS_6),
        ("-5", None),
        ("+5", None),
        ("1.5", None),
        ("٣", None),
        ("²", None),
        ("soon", None),
        ("", None),
        ("Thu, 01 Jan 2026 12:00:30 GMT", 30.0),
        ("Thu Jan  1 12:00:30 2026", 30.0),
        ("Thursday, 01-Jan-26 12:00:30 GMT", 30.0),
        ("Thu, 01 Jan 2026 11:00:00 GMT", 0.0),
        ("Thu, 01 Jan 9999 12:00:00 GMT", HOURS_6),
        ("Thu, 01 Jan 2026 12:00:30", 30.0),
        ("Thu, 99 Jan 2026 12:00:30 GMT", None),
        ("Thu, 01 Jan 99999999999 12:00:30 GMT", None),
    ],
)
def test_rt_03_retry_after_is_read_and_clamped(value: str, seconds: float | None) -> None:
    headers = Headers.received((("Date", format_datetime(NOON, usegmt=True)), ("Retry-After", value)))
    assert retry_after(headers, HOURS_6) == seconds


def test_rt_03_date_without_the_servers_own_is_reckoned_from_our_clock() -> None:
    soon = format_datetime(datetime.now(UTC) + timedelta(seconds=100), usegmt=True)
    seconds = retry_after(Headers([("Retry-After", soon)]), HOURS_6)
    assert seconds is not None
    assert 0 < seconds <= 100
    assert retry_after(Headers([("Retry-After", soon), ("Date", "nonsense")]), HOURS_6) is not None
    assert retry_after(Headers(), HOURS_6) is None


async def test_rt_03_retry_after_is_waited_with_the_delay_added() -> None:
    retry, clock = make_retry(base=0.5)
    send = Answering(("Retry-After", "30"))
    assert (await retry(make_request(clock=clock), send)).status_code == 200
    assert clock.naps == [30.5]


@pytest.mark.parametrize(("deadline", "attempts"), [(30.0, 1), (30.5, 1), (30.6, 2)])
async def test_rt_03_retry_after_beyond_the_deadline_ends_it_at_once(deadline: float, attempts: int) -> None:
    retry, clock = make_retry(base=0.5)
    send = Answering(("Retry-After", "30"))
    response = await retry(make_request(clock=clock, deadline=clock.now() + deadline), send)
    assert len(send.responses) == attempts
    assert not response.is_closed
    assert clock.naps == ([] if attempts == 1 else [30.5])


async def test_rt_03_cap_can_be_chosen() -> None:
    retry, clock = make_retry(base=0.5, retry_after_cap=2)
    await retry(make_request(clock=clock), Answering(("Retry-After", "30")))
    assert clock.naps == [2.5]


# ---------------------------------------------------------------------- delays


def test_decorrelated_delays_stay_between_base_and_three_times_the_one_before() -> None:
    for drawn in (0.0, 0.5, 1.0):
        backoff = Backoff("Retry", 0.1, 2.0, "decorrelated", lambda drawn=drawn: drawn)  # type: ignore[misc]
        delay: float | None = None
        for attempt in range(1, 30):
            longest = 3 * (0.1 if delay is None else delay)
            delay = backoff.delay(attempt, delay)
            assert delay == pytest.approx(min(2.0, 0.1 + drawn * (longest - 0.1)))


async def test_decorrelated_jitter_remembers_the_delay_before() -> None:
    retry, clock = make_retry(attempts=4, base=0.1, cap=10, jitter="decorrelated")
    await retry(make_request(clock=clock), Scripted(503, 503, 503, 200))
    assert clock.naps == pytest.approx([0.3, 0.9, 2.7])


# ---------------------------------------------------------------------- what is sent again


async def test_rt_01_post_with_an_idempotency_key_is_sent_again() -> None:
    key = [("Idempotency-Key", '"8e03978e"')]
    for outcome in (503, ConnectionLost("lost"), ReadTimeout("slow")):
        assert await attempts_for(make_request("POST", headers=key), outcome, 200) == 2
        assert await attempts_for(make_request("POST"), outcome, 200) == 1


async def test_rt_01_methods_can_be_chosen() -> None:
    assert await attempts_for(make_request("POST"), 503, 200, methods=["POST"]) == 2
    assert await attempts_for(make_request("GET"), 503, 200, methods=["POST"]) == 1
    assert await attempts_for(make_request("GET"), ConnectError("refused"), 200, methods=["POST"]) == 2


async def test_errors_can_be_chosen() -> None:
    assert await attempts_for(make_request(), ProtocolError("x"), 200, errors=ProtocolError) == 2
    assert await attempts_for(make_request(), ConnectError("x"), 200, errors=(ProtocolError,)) == 1


@pytest.mark.parametrize(
    ("verdict", "naps"),
    [(True, [0.1]), (False, None), (None, None), (0.0, [0.0]), (0, [0]), (2.5, [2.5]), (-3.0, [0.0]), (math.nan, None)],
)
@pytest.mark.parametrize("outcome", [ConnectError("refused"), 503, 200])
async def test_hook_says_whether_and_when(verdict: Any, naps: list[float] | None, outcome: RequestError | int) -> None:
    seen: list[object] = []

    def when(what: object) -> Any:
        seen.append(what)
        return verdict if len(seen) == 1 else False

    retry, clock = make_retry(when=when)
    send = Scripted(outcome, 204)
    try:
        await retry(make_request(clock=clock), send)
    except ConnectError:
        assert naps is None
    assert clock.naps == (naps or [])
    assert seen[0] is (outcome if isinstance(outcome, RequestError) else send.responses[0])


async def test_rt_01_hook_cannot_repeat_what_may_have_run() -> None:
    assert await attempts_for(make_request("POST"), 503, 200, when=lambda _: True) == 1
    assert await attempts_for(make_request("POST"), ReadTimeout("slow"), 200, when=lambda _: 1.0) == 1


async def test_pool_10_hook_that_raises_is_heard_and_the_response_closed() -> None:
    def when(outcome: object) -> bool:
        raise KeyError("mine")

    retry, _ = make_retry(when=when)
    send = Scripted(503)
    with pytest.raises(KeyError, match="mine"):
        await retry(make_request(), send)
    assert send.responses[0].is_closed


@pytest.mark.parametrize(
    ("options", "outcomes", "attempts"),
    [
        ({"connect": 1}, [ConnectError("x"), ConnectError("x"), 200], 2),
        ({"connect": 0}, [ConnectError("x"), 200], 1),
        ({"connect": 0}, [ReadTimeout("x"), 503, 200], 3),
        ({"connect": 0}, [ConnectionLost("x", sent=False), 200], 1),
        ({"read": 1}, [ReadTimeout("x"), ConnectionLost("x"), 200], 2),
        ({"read": 0}, [ConnectError("x"), 503, 200], 3),
        ({"status": 1}, [503, ConnectError("x"), 503, 200], 3),
        ({"connect": 1, "read": 1, "status": 1}, [ConnectError("x"), ReadTimeout("x"), 503, 200], 4),
    ],
)
async def test_repeats_are_counted_by_kind(
    options: dict[str, int], outcomes: list[RequestError | int], attempts: int
) -> None:
    assert await attempts_for(make_request(), *outcomes, attempts=9, **options) == attempts


@pytest.mark.parametrize("name", ["connect", "read", "status"])
@pytest.mark.parametrize("value", [-1, 1.5, True])
def test_counts_refuse_nonsense(name: str, value: Any) -> None:
    with pytest.raises(ValueError, match=f"Retry.{name}"):
        Retry(**{name: value})
    with pytest.raises(ValueError, match=r"Retry\.jitter"):
        Retry(jitter="none")  # type: ignore[arg-type]


# ---------------------------------------------------------------------- budget


async def test_rt_02_when_the_budget_is_spent_the_failure_is_the_result() -> None:
    budget = RetryBudget(ratio=0.0, floor=0.0, capacity=2.0)
    retry, clock = make_retry(budget=budget)
    counts = []
    for _ in range(3):
        send = Scripted(503, 503, 503)
        response = await retry(make_request(clock=clock), send)
        counts.append(len(send.requests))
        assert (response.status_code, response.is_closed) == (503, False)
    assert counts == [3, 1, 1]


async def test_rt_02_retries_add_no_more_load_than_the_budget_allows() -> None:
    retry, _ = make_retry(attempts=5, budget=RetryBudget(ratio=0.2, floor=0.0, capacity=10.0))
    clock = Instant()
    sent = 0
    for _ in range(1_000):
        send = Scripted(*[503] * 5)
        await retry(make_request(clock=clock), send)
        sent += len(send.requests)
    assert 1_200 <= sent <= 1_000 * 1.2 + 10


async def test_rt_02_budget_is_per_origin_and_shared_by_those_who_are_given_it() -> None:
    budget = RetryBudget(ratio=0.0, floor=0.0, capacity=1.0)
    first, second = make_retry(budget=budget)[0], make_retry(budget=budget)[0]
    clock = Instant()
    counts = []
    for retry, host in ((first, "a"), (second, "a"), (second, "b")):
        send = Scripted(503, 503, 503)
        await retry(make_request(url=f"http://{host}.example/", clock=clock), send)
        counts.append(len(send.requests))
    assert counts == [2, 1, 2]


async def test_rt_02_every_retry_has_a_budget_of_its_own_unless_told_otherwise() -> None:
    assert Retry().budget is not Retry().budget
    retry, clock = make_retry(attempts=1_000, budget=None, base=1e-6, cap=1e-6)
    send = Scripted(*[503] * 1_000)
    await retry(make_request(clock=clock), send)
    assert len(send.requests) == 101


# ---------------------------------------------------------------------- what is left behind


async def test_response_says_what_was_before_it() -> None:
    retry, clock = make_retry()
    response = await retry(make_request(clock=clock), Scripted(503, ReadTimeout("slow"), 200))
    assert [(attempt.outcome, attempt.delay) for attempt in response.attempts] == [
        ("503", 0.1),
        ("ReadTimeout: slow", 0.2),
    ]
    assert (await retry(make_request(clock=clock), Scripted(200))).attempts == ()


async def test_observer_is_told_of_each_repeat() -> None:
    events: list[Event] = []
    retry, clock = make_retry()
    request = make_request(clock=clock, observer=events.append)
    await retry(request, Scripted(503, ConnectError("refused"), 200))
    assert events == [Retried(request, 1, "503", 0.1), Retried(request, 2, "ConnectError: refused", 0.2)]


async def test_error_that_is_raised_is_not_part_of_a_circle() -> None:
    retry, clock = make_retry()
    with pytest.raises(ConnectError) as caught:
        await retry(make_request(clock=clock), Scripted(*[ConnectError("refused")] * 3))
    traceback = caught.value.__traceback__
    held: list[object] = []
    while traceback is not None:
        if traceback.tb_frame.f_code.co_filename.endswith("_retry.py"):
            held += [value for value in traceback.tb_frame.f_locals.values() if value is caught.value]
        traceback = traceback.tb_next
    assert held == []


# ---------------------------------------------------------------------- without a session


class Flaky:
    """A function that fails some times, then returns its arguments."""

    def __init__(self, *errors: Exception) -> None:
        self.errors = list(errors)
        self.calls = 0

    async def __call__(self, *args: object, **kwargs: object) -> tuple[object, ...]:
        self.calls += 1
        if self.errors:
            raise self.errors.pop(0)
        return (*args, kwargs)


async def test_call_repeats_a_function() -> None:
    retry, clock = make_retry()
    flaky = Flaky(ConnectionResetError("x"), ConnectError("x"))
    assert await retry.call(flaky, 1, key="two") == (1, {"key": "two"})
    assert (flaky.calls, clock.naps) == (3, [0.1, 0.2])


async def test_call_raises_the_last_error_with_its_history() -> None:
    retry, _ = make_retry(errors=KeyError)
    last = KeyError("third")
    with pytest.raises(KeyError) as caught:
        await retry.call(Flaky(KeyError("first"), KeyError("second"), last))
    assert caught.value is last
    assert last.__notes__[0] == "this was attempt 3 of 3"
    assert len(last.__notes__) == 3


async def test_call_lets_other_errors_pass() -> None:
    retry, _ = make_retry()
    flaky = Flaky(ValueError("mine"))
    with pytest.raises(ValueError, match="mine"):
        await retry.call(flaky)
    assert flaky.calls == 1


async def test_call_returns_a_response_as_it_is() -> None:
    retry, _ = make_retry()
    response = Response(503, request=make_request())

    async def get() -> Response:
        return response

    assert await retry.call(get) is response


async def test_retry_is_a_decorator() -> None:
    retry, _ = make_retry()
    failures = [ConnectionError("x")]

    @retry
    async def double(number: int) -> int:
        """Double a number."""
        if failures:
            raise failures.pop()
        return 2 * number

    assert await double(21) == 42
    assert (double.__name__, double.__doc__) == ("double", "Double a number.")
    with pytest.raises(TypeError, match="Retry decorates an async function, not int"):
        retry(42)  # type: ignore[call-overload]


# ---------------------------------------------------------------------- cancellation


async def test_cancelled_anywhere_it_leaves_no_response_open() -> None:
    retry, _ = make_retry(base=1e-6, cap=1e-6)
    responses: list[Response] = []

    async def send(request: Request) -> Response:
        await checkpoint()
        responses.append(Response(503 if len(responses) % 3 else 502, request=request, source=Pending()))
        return responses[-1]

    async def scenario() -> None:
        async with await retry(Request("GET", "http://example.org/"), send):
            pass

    async def after() -> None:
        assert [response for response in responses if not response.is_closed] == []
        responses.clear()

    assert await cancel_everywhere(scenario, after) >= 5
