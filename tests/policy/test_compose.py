"""Policies around a send: the first one listed is the outermost."""

from __future__ import annotations

import traceback

import pytest

from netio.message import Policy, Request, Response, Send
from netio.policy import CircuitBreaker, Redirects, Retry, compose
from tests.policy.retries import make_request, make_retry

pytestmark = pytest.mark.anyio

REQUEST = Request("GET", "http://example.org/")


class Trace:
    """A policy that writes down when it is passed, and may answer by itself."""

    def __init__(self, name: str, log: list[str], *, answers: bool = False) -> None:
        self.name = name
        self.log = log
        self.answers = answers

    async def __call__(self, request: Request, send: Send) -> Response:
        self.log.append(f"{self.name} down")
        if self.answers:
            return Response(299, request=request)
        response = await send(request.replace(headers=[*request.headers.fields, ("passed", self.name)]))
        self.log.append(f"{self.name} up")
        return response


async def answer(request: Request) -> Response:
    return Response(200, request=request)


async def test_first_policy_is_the_outermost() -> None:
    log: list[str] = []
    send = compose([Trace("a", log), Trace("b", log), Trace("c", log)], answer)
    response = await send(REQUEST)
    assert log == ["a down", "b down", "c down", "c up", "b up", "a up"]
    assert response.request.headers.get_list("passed") == ["a", "b", "c"]


async def test_policy_may_answer_by_itself() -> None:
    log: list[str] = []
    response = await compose([Trace("a", log), Trace("b", log, answers=True), Trace("c", log)], answer)(REQUEST)
    assert (response.status_code, log) == (299, ["a down", "b down", "a up"])


async def test_request_is_not_changed_by_a_policy_that_passes_on_a_copy() -> None:
    await compose([Trace("a", [])], answer)(REQUEST)
    assert REQUEST.headers.fields == ()


async def test_policies_are_composed_once_and_for_all() -> None:
    log: list[str] = []
    policies: list[Policy] = [Trace("a", log)]
    send = compose(policies, answer)
    policies.append(Trace("b", log))
    await send(REQUEST)
    await send(REQUEST)
    assert log == ["a down", "a up", "a down", "a up"]


def test_no_policy_is_no_cost() -> None:
    assert compose([], answer) is answer


async def test_function_is_a_policy() -> None:
    async def through(request: Request, send: Send) -> Response:
        return await send(request)

    assert (await compose([through], answer)(REQUEST)).status_code == 200


async def test_policy_is_one_coroutine_frame() -> None:
    depths: list[int] = []

    async def measure(request: Request) -> Response:
        depths.append(sum(1 for _ in traceback.walk_stack(None)))
        return Response(200, request=request)

    async def through(request: Request, send: Send) -> Response:
        return await send(request)

    lists: list[list[Policy]] = [[], [through], [Retry()], [Retry(), CircuitBreaker()], [Retry(), through, through]]
    for policies in lists:
        await compose(policies, measure)(REQUEST)
    assert [depth - depths[0] for depth in depths] == [0, 1, 1, 2, 3]


async def test_error_passes_through_all_policies() -> None:
    async def fail(request: Request) -> Response:
        raise KeyError("mine")

    log: list[str] = []
    with pytest.raises(KeyError, match="mine"):
        await compose([Trace("a", log), Trace("b", log)], fail)(REQUEST)
    assert log == ["a down", "b down"]


def test_rt_05_two_retries_are_refused() -> None:
    with pytest.raises(ValueError, match="more than one Retry"):
        compose([Retry(), CircuitBreaker(), Retry()], answer)


@pytest.mark.parametrize(
    ("fails_before", "fails_after", "status"), [(0, 2, 200), (1, 1, 200), (2, 0, 200), (2, 1, 503)]
)
async def test_rt_05_redirects_do_not_multiply_attempts(fails_before: int, fails_after: int, status: int) -> None:
    script = [*[503] * fails_before, 302, *[503] * fails_after, 200]
    sent: list[str] = []

    async def send(request: Request) -> Response:
        sent.append(request.url.target)
        status = script.pop(0)
        headers = [("Location", "/there")] if status == 302 else []
        return Response(status, request=request, headers=headers)

    retry, clock = make_retry(attempts=3)
    response = await compose([Redirects(), retry], send)(make_request(clock=clock))
    assert response.status_code == status
    assert sent == ["/"] * (fails_before + 1) + ["/there"] * min(fails_after + 1, 3 - fails_before)
