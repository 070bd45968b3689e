"""BearerAuth: fixed tokens, and tokens that a function renews: when, how often, for whom, and what if it fails."""

from __future__ import annotations

from collections.abc import AsyncIterator
from functools import partial
from typing import Any

import anyio
import pytest
from anyio.lowlevel import checkpoint

from netio.body import IteratorBody
from netio.errors import CredentialsError, TotalTimeout
from netio.message import Request
from netio.policy import BearerAuth, Token
from netio.testing import FakeClock
from tests.policy.web import Answer, Web, answer, ask

pytestmark = pytest.mark.anyio

A = "https://a.test"


class Issuer:
    """Renews tokens, one after the other: t1, t2, ...; the server knows the last one."""

    def __init__(self, lifetime: float | None = None) -> None:
        self.lifetime = lifetime
        self.count = 0
        self.running = 0
        self.at_most = 0
        self.error: Exception | None = None
        self.gate: anyio.Event | None = None

    async def renew(self) -> str | Token:
        self.running += 1
        self.at_most = max(self.at_most, self.running)
        try:
            if self.gate is not None:
                await self.gate.wait()
            await checkpoint()
            if self.error is not None:
                raise self.error
            self.count += 1
            value = f"t{self.count}"
            return value if self.lifetime is None else Token(value, self.lifetime)
        finally:
            self.running -= 1

    def door(self, sent: Request) -> Answer:
        is_right = sent.headers.get("authorization") == f"Bearer t{self.count}"
        return answer(200, body=b"in") if is_right else answer(401)


def setting(**options: Any) -> tuple[Issuer, Web, BearerAuth]:
    issuer = Issuer(**options)
    return issuer, Web({f"{A}/": issuer.door}), BearerAuth(issuer.renew, origins=A)


async def test_a_fixed_token_is_sent_and_a_refusal_is_the_answer() -> None:
    web = Web({f"{A}/": answer(401)})
    response = await ask(web, [BearerAuth("mF_9.B5f-4.1JqM", origins=A)], f"{A}/")
    assert (response.status_code, web.sent("authorization")) == (401, ["Bearer mF_9.B5f-4.1JqM"])


@pytest.mark.parametrize("token", ["", "a b", "a\r\nb", "\u00e9", "=", "a=b"])
def test_req_01_a_token_that_cannot_be_sent_is_refused_and_not_shown(token: str) -> None:
    with pytest.raises(ValueError, match="RFC 6750") as caught:
        BearerAuth(token, origins=A)
    assert not token or repr(token) not in str(caught.value)


def test_a_token_is_text_or_a_function() -> None:
    with pytest.raises(TypeError, match="not bytes"):
        BearerAuth(b"x", origins=A)  # type: ignore[arg-type]


async def test_a_token_is_fetched_once_and_again_when_it_is_refused() -> None:
    issuer, web, policy = setting()
    for _ in range(2):
        assert (await ask(web, [policy], f"{A}/")).content == b"in"
    assert web.sent("authorization") == ["Bearer t1", "Bearer t1"]
    issuer.count = 7  # the server knows another one now
    assert (await ask(web, [policy], f"{A}/")).content == b"in"
    assert web.sent("authorization")[2:] == ["Bearer t1", "Bearer t8"]


async def test_auth_03_a_new_token_that_is_refused_too_is_the_answer() -> None:
    issuer = Issuer()
    web = Web({f"{A}/": answer(401)})
    policy = BearerAuth(issuer.renew, origins=A)
    for count in (2, 4):
        assert (await ask(web, [policy], f"{A}/")).status_code == 401
        assert len(web.requests) == count


async def test_a_token_is_renewed_before_its_life_is_over() -> None:
    _, web, policy = setting(lifetime=100.0)
    clock = FakeClock()
    sent = []
    for seconds in (0.0, 69.0, 1.0, 69.0, 1.5):
        await clock.advance(seconds)
        await ask(web, [policy], f"{A}/", clock=clock)
        sent.append(web.sent("authorization")[-1])
    assert sent == ["Bearer t1", "Bearer t1", "Bearer t2", "Bearer t2", "Bearer t3"]


@pytest.mark.parametrize("lifetime", [0.0, -5.0])
async def test_a_token_without_a_life_does_not_renew_for_ever(lifetime: float) -> None:
    issuer, web, policy = setting(lifetime=lifetime)
    assert (await ask(web, [policy], f"{A}/")).content == b"in"
    assert issuer.count == 1


async def test_many_requests_renew_once() -> None:
    issuer, web, policy = setting()
    answers: list[bytes] = []

    async def one() -> None:
        answers.append((await ask(web, [policy], f"{A}/")).content)

    async with anyio.create_task_group() as group:
        for _ in range(50):
            group.start_soon(one)
    assert (answers, issuer.count, issuer.at_most) == ([b"in"] * 50, 1, 1)
    issuer.count = 10
    async with anyio.create_task_group() as group:
        for _ in range(50):
            group.start_soon(one)
    assert (answers, issuer.count, issuer.at_most) == ([b"in"] * 100, 11, 1)


async def test_a_failure_is_that_of_all_who_waited_and_the_next_one_tries_again() -> None:
    issuer, web, policy = setting()
    issuer.gate, issuer.error = anyio.Event(), LookupError("no token today")
    errors: list[CredentialsError] = []

    async def one() -> None:
        with pytest.raises(CredentialsError, match="LookupError: no token today") as caught:
            await ask(web, [policy], f"{A}/")
        errors.append(caught.value)

    async with anyio.create_task_group() as group:
        for _ in range(5):
            group.start_soon(one)
        await anyio.wait_all_tasks_blocked()
        issuer.gate.set()
    assert len({id(error) for error in errors}) == 5
    assert {(error.sent, error.phase, error.__cause__ is issuer.error) for error in errors} == {(False, "build", True)}
    assert web.requests == []
    issuer.error = None
    assert (await ask(web, [policy], f"{A}/")).content == b"in"


async def test_who_renews_and_is_cancelled_leaves_it_to_the_next() -> None:
    issuer, web, policy = setting()
    issuer.gate = anyio.Event()
    answers: list[bytes] = []

    async def one() -> None:
        answers.append((await ask(web, [policy], f"{A}/")).content)

    async with anyio.create_task_group() as group:
        async with anyio.create_task_group() as first:
            first.start_soon(one)
            await anyio.wait_all_tasks_blocked()
            group.start_soon(one)
            group.start_soon(one)
            await anyio.wait_all_tasks_blocked()
            first.cancel_scope.cancel()
        await anyio.wait_all_tasks_blocked()
        assert issuer.running == 1
        issuer.gate.set()
    assert (answers, issuer.count) == ([b"in", b"in"], 1)


async def test_who_waits_for_a_token_waits_no_longer_than_its_deadline() -> None:
    issuer, web, policy = setting()
    issuer.gate, clock = anyio.Event(), FakeClock()

    async with anyio.create_task_group() as group:
        group.start_soon(partial(ask, web, [policy], f"{A}/"))
        await anyio.wait_all_tasks_blocked()

        async def late() -> None:
            with pytest.raises(TotalTimeout) as caught:
                await ask(web, [policy], f"{A}/", clock=clock, deadline=clock.now() + 5)
            assert (caught.value.sent, caught.value.phase) == (False, "build")

        async with anyio.create_task_group() as waiting:
            waiting.start_soon(late)
            await anyio.wait_all_tasks_blocked()
            await clock.advance(5)
        issuer.gate.set()
    assert len(web.requests) == 1


async def pieces() -> AsyncIterator[bytes]:
    yield b"once"


async def test_a_refused_request_whose_body_is_gone_is_the_answer_and_the_next_one_has_a_new_token() -> None:
    issuer, web, policy = setting()
    await ask(web, [policy], f"{A}/")
    issuer.count = 5
    assert (await ask(web, [policy], f"{A}/", "POST", body=IteratorBody(pieces()))).status_code == 401
    assert (await ask(web, [policy], f"{A}/")).content == b"in"
    assert web.sent("authorization") == ["Bearer t1", "Bearer t1", "Bearer t6"]


async def test_a_function_that_returns_no_token_is_an_error_that_shows_none() -> None:
    async def renew() -> str:
        return "two words"

    with pytest.raises(CredentialsError, match="RFC 6750") as caught:
        await ask(Web({}), [BearerAuth(renew, origins=A)], f"{A}/")
    assert "two words" not in str(caught.value)
