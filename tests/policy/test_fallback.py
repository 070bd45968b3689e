"""Fallback: what is answered by the handler, and what passes."""

from __future__ import annotations

from typing import Any

import pytest

from netio.errors import CircuitOpen, ConnectError, InvalidURL, RequestBodyError
from netio.message import Request, Response
from netio.policy import (
    Fallback,
)
from tests.policy.retries import Scripted, make_request

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
