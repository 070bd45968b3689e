"""Retry: what is sent again, and how often (HAZARDS RT-01, RT-04)."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest

from netio import errors
from netio.body import BytesBody, IteratorBody, RequestBody
from netio.errors import Attempt, ConnectError, ConnectionLost, NetioError, ReadTimeout, RequestError
from netio.message import Request, Response
from netio.policy import RETRIED_STATUSES
from tests.policy.retries import Scripted, attempts_for, make_request, make_retry

pytestmark = pytest.mark.anyio

METHODS = ("GET", "HEAD", "OPTIONS", "TRACE", "PUT", "DELETE", "POST", "PATCH", "PROPFIND", "get")
IDEMPOTENT = METHODS[:6]

# Every error of netio: sent again always if it was not processed (True), or never (False).
DECISIONS = {
    "ConnectError": True,
    "ResolveError": True,
    "TLSError": True,
    "ConnectTimeout": True,
    "ConnectionLost": True,
    "IncompleteBody": True,
    "StreamReset": True,
    "ReadTimeout": True,
    "WriteTimeout": True,
    "ProxyError": True,
    "CertificateError": False,
    "AddressRefused": False,
    "EventStreamError": False,
    "BodyTooLarge": False,
    "InvalidRequest": False,
    "InvalidURL": False,
    "RequestBodyError": False,
    "SessionClosed": False,
    "Rejected": False,
    "QueueFull": False,
    "CircuitOpen": False,
    "RateLimited": False,
    "BulkheadFull": False,
    "AttemptTimedOut": True,
    "TimeoutError": False,
    "PoolTimeout": False,
    "TotalTimeout": False,
    "ProtocolError": False,
    "DecodeError": False,
    "RedirectError": False,
    "TooManyRedirects": False,
    "CredentialsError": False,
    "RequestError": False,
}


# ---------------------------------------------------------------------- what is sent again


@pytest.mark.parametrize(
    ("first", "sent"), [(ReadTimeout("slow"), True), (ConnectError("refused"), False), (503, True)]
)
async def test_rt_01_error_says_that_it_was_sent_if_any_attempt_was(first: RequestError | int, sent: bool) -> None:
    retry, clock = make_retry()
    with pytest.raises(errors.CircuitOpen) as caught:
        await retry(make_request(clock=clock), Scripted(first, errors.CircuitOpen("open")))
    assert (caught.value.sent, len(caught.value.attempts)) == (sent, 1)


def _is_error(outcome: Response | Exception) -> bool:
    return isinstance(outcome, Exception)


@pytest.mark.parametrize(
    ("error", "attempts"),
    [
        (errors.ProxyError("refused", status_code=407), 1),
        (errors.ProxyError("refused", status_code=403), 1),
        (errors.ProxyError("refused", status_code=429), 2),
        (errors.ProxyError("refused", status_code=503), 2),
        (errors.ProxyError("silent"), 2),
        (errors.ResolveError("no name", kind="invalid"), 1),
        (errors.ResolveError("not now", kind="timeout"), 2),
        (errors.ResolveError("not yet", kind="missing"), 2),
        (errors.AddressRefused("private", address="10.0.0.1"), 1),
    ],
)
async def test_what_will_be_the_same_the_next_time_is_not_sent_again(error: RequestError, attempts: int) -> None:
    assert await attempts_for(make_request(), error, 200) == attempts
    everything = {"errors": RequestError}
    assert await attempts_for(make_request(), error, 200, **everything) == attempts
    assert await attempts_for(make_request(), error, 200, when=_is_error) == 2  # who decides, decides


def test_table_of_decisions_names_every_error() -> None:
    named = {
        name
        for name in errors.__all__
        if isinstance(cls := getattr(errors, name), type) and issubclass(cls, RequestError)
    }
    assert set(DECISIONS) == named


@pytest.mark.parametrize("sent", [False, True])
@pytest.mark.parametrize(("name", "is_passing"), DECISIONS.items())
async def test_rt_01_only_what_cannot_run_twice_is_sent_again(name: str, is_passing: bool, sent: bool) -> None:
    for method in METHODS:
        error = getattr(errors, name)("failed", sent=sent)
        is_repeated = is_passing and (not sent or method in IDEMPOTENT)
        assert (method, await attempts_for(make_request(method), error, 200)) == (method, 2 if is_repeated else 1)


@pytest.mark.parametrize("status", [200, 301, 400, 404, 408, 425, 429, 500, 501, 502, 503, 504, 599])
async def test_rt_01_only_idempotent_requests_are_sent_again_after_an_answer(status: int) -> None:
    assert (status in RETRIED_STATUSES) == (status in {429, 502, 503, 504})
    for method in METHODS:
        is_repeated = status in {429, 502, 503, 504} and method in IDEMPOTENT
        assert (method, await attempts_for(make_request(method), status, 200)) == (method, 2 if is_repeated else 1)


async def test_statuses_can_be_chosen() -> None:
    assert await attempts_for(make_request(), 418, 200, statuses=[418]) == 2
    assert await attempts_for(make_request(), 503, 200, statuses=[418]) == 1
    assert await attempts_for(make_request(), 503, 200, statuses=()) == 1


@pytest.mark.parametrize(
    "error", [KeyError("mine"), NetioError("x"), errors.BodyUnavailable("x"), OSError("x"), TimeoutError()]
)
async def test_other_exceptions_pass_at_once(error: Exception) -> None:
    calls: list[Request] = []

    async def send(request: Request) -> Response:
        calls.append(request)
        raise error

    retry, _ = make_retry()
    with pytest.raises(type(error)) as caught:
        await retry(make_request(), send)
    assert (caught.value, len(calls)) == (error, 1)


def generate() -> Iterator[bytes]:
    yield b"one"
    yield b"two"


@pytest.mark.parametrize(
    ("body", "is_replayable"),
    [
        (lambda: BytesBody(b"onetwo"), True),
        (lambda: IteratorBody([b"one", b"two"]), True),
        (lambda: IteratorBody(generate), True),
        (lambda: IteratorBody(generate()), False),
    ],
)
@pytest.mark.parametrize("outcome", [ConnectionLost("lost", sent=False), ConnectionLost("lost", sent=True), 503])
async def test_rt_04_body_that_cannot_be_replayed_is_sent_once(
    body: Callable[[], RequestBody], is_replayable: bool, outcome: RequestError | int
) -> None:
    retry, _ = make_retry()
    send = Scripted(outcome, 200)
    request = make_request("PUT", body=body())
    if is_replayable:
        assert (await retry(request, send)).status_code == 200
        assert send.bodies == [b"onetwo", b"onetwo"]
    elif isinstance(outcome, int):
        assert (await retry(request, send)).status_code == 503
        assert send.bodies == [b"onetwo"]
    else:
        with pytest.raises(ConnectionLost) as caught:
            await retry(request, send)
        assert (caught.value, send.bodies) == (outcome, [b"onetwo"])


async def test_rt_04_generator_that_was_not_begun_can_still_be_sent() -> None:
    calls = 0

    async def send(request: Request) -> Response:
        nonlocal calls
        calls += 1
        if calls == 1:
            raise ConnectError("refused")
        return Response(200, request=request, content=b"".join([chunk async for chunk in request.body.chunks()]))

    retry, _ = make_retry()
    response = await retry(make_request("POST", body=IteratorBody(generate())), send)
    assert (response.content, calls) == (b"onetwo", 2)


# ---------------------------------------------------------------------- how often


@pytest.mark.parametrize("attempts", [1, 2, 3, 7])
async def test_it_is_sent_at_most_so_many_times(attempts: int) -> None:
    retry, clock = make_retry(attempts=attempts)
    failures = [ConnectError(f"refused {number}") for number in range(1, 10)]
    send = Scripted(*failures)
    with pytest.raises(ConnectError) as caught:
        await retry(make_request(clock=clock), send)
    assert (caught.value, len(send.requests), len(clock.naps)) == (failures[attempts - 1], attempts, attempts - 1)


async def test_the_last_answer_is_the_result_when_the_attempts_are_used_up() -> None:
    retry, _ = make_retry(attempts=3)
    send = Scripted(503, 502, 504, 200)
    response = await retry(make_request(), send)
    assert (response.status_code, len(send.requests)) == (504, 3)
    assert [each.is_closed for each in send.responses] == [True, True, False]
    assert response is send.responses[-1]


async def test_errors_and_answers_share_one_count_of_attempts() -> None:
    retry, _ = make_retry(attempts=3)
    send = Scripted(ConnectError("refused"), 503, ReadTimeout("slow"), 200)
    with pytest.raises(ReadTimeout):
        await retry(make_request(), send)
    assert len(send.requests) == 3


async def test_each_request_has_its_own_count() -> None:
    retry, _ = make_retry(attempts=2)
    for _ in range(3):
        assert (await retry(make_request(), Scripted(503, 200))).status_code == 200


async def test_the_first_attempt_is_the_request_itself_and_a_copy_says_how_often_it_was_sent() -> None:
    retry, _ = make_retry()
    send = Scripted(503, 503, 200)
    request = make_request()
    await retry(request, send)
    assert send.requests[0] is request
    assert [each.repeats for each in send.requests] == [0, 1, 2]
    assert {each.url for each in send.requests} == {request.url}


async def test_last_error_says_which_attempt_it_was() -> None:
    retry, _ = make_retry(attempts=3)
    first, last = ConnectError("first"), ConnectError("last")
    with pytest.raises(ConnectError) as caught:
        await retry(make_request(), Scripted(first, 503, last))
    assert caught.value is last
    assert last.__notes__ == [
        "this was attempt 3 of 3",
        "attempt 1: ConnectError: first; then waited 0.100 s",
        "attempt 2: 503; then waited 0.200 s",
    ]
    assert last.attempts == (Attempt("ConnectError: first", 0.1), Attempt("503", 0.2))
    assert not hasattr(first, "__notes__")


async def test_error_that_is_not_retried_says_so_only_after_a_retry() -> None:
    retry, _ = make_retry(attempts=5)
    alone = errors.ProtocolError("alone")
    with pytest.raises(errors.ProtocolError):
        await retry(make_request(), Scripted(alone))
    assert not hasattr(alone, "__notes__")
    second = errors.ProtocolError("second")
    with pytest.raises(errors.ProtocolError):
        await retry(make_request(), Scripted(503, second))
    assert second.__notes__ == ["this was attempt 2 of 5", "attempt 1: 503; then waited 0.100 s"]
