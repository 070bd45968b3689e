"""SingleFlight: what is shared with whom, and whose cancellation is whose affair."""

from __future__ import annotations

from typing import Any

import anyio
import pytest
from anyio.lowlevel import checkpoint

from netio.body import NO_BODY, BytesBody
from netio.errors import ConnectError, ReadTimeout, TotalTimeout
from netio.headers import HeaderInput
from netio.message import Request, Response
from netio.policy import SingleFlight
from netio.testing import FakeClock, cancel_everywhere
from tests.policy.retries import Pending, make_request

pytestmark = pytest.mark.anyio


class Held:
    """A send that answers when it is told to, with the number of the request as the body."""

    def __init__(self, *outcomes: Exception) -> None:
        self.outcomes = list(outcomes)
        self.sent = 0
        self.cancelled = 0
        self.go = anyio.Event()

    async def __call__(self, request: Request) -> Response:
        self.sent += 1
        number = self.sent
        try:
            await self.go.wait()
        except anyio.get_cancelled_exc_class():
            self.cancelled += 1
            raise
        if self.outcomes:
            raise self.outcomes.pop(0)
        return Response(200, request=request, content=str(number))


class Users:
    def __init__(self, flights: SingleFlight, send: Held, clock: FakeClock) -> None:
        self.flights, self.send, self.clock = flights, send, clock
        self.outcomes: dict[str, Any] = {}
        self.scopes: dict[str, anyio.CancelScope] = {}

    async def one(self, name: str, request: Request) -> None:
        self.scopes[name] = anyio.CancelScope()
        with self.scopes[name]:
            try:
                self.outcomes[name] = await self.flights(request, self.send)
            except Exception as error:
                self.outcomes[name] = error


def get(
    path: str = "/",
    *,
    method: str = "GET",
    headers: HeaderInput = (),
    clock: FakeClock,
    deadline: float = float("inf"),
    is_streamed: bool = False,
    body: BytesBody = NO_BODY,
) -> Request:
    request = make_request(method, url=f"http://example.org{path}", headers=headers, clock=clock, deadline=deadline)
    return request.replace(body=body, is_streamed=is_streamed)


async def test_identical_requests_share_one_answer() -> None:
    clock, send = FakeClock(), Held()
    users = Users(SingleFlight(), send, clock)
    async with anyio.create_task_group() as group:
        for name in "abc":
            group.start_soon(users.one, name, get("/x?y=1", headers=[("Accept", "*/*")], clock=clock))
            await clock.advance(0)
        send.go.set()
    assert (send.sent, [response.content for response in users.outcomes.values()]) == (1, [b"1"] * 3)
    a, b, c = users.outcomes.values()
    assert len({id(response.request) for response in (a, b, c)}) == 3
    a.headers["X-Mine"] = "1"
    assert "x-mine" not in b.headers
    await users.flights(get("/x?y=1", headers=[("Accept", "*/*")], clock=clock), send)
    assert send.sent == 2


@pytest.mark.parametrize(
    "options",
    [
        {"method": "HEAD"},
        {"path": "/other"},
        {"path": "/?q"},
        {"headers": [("Authorization", "Bearer another user's")]},
        {"method": "POST"},
        {"is_streamed": True},
        {"body": BytesBody(b"x")},
    ],
)
async def test_others_are_sent_by_themselves(options: dict[str, Any]) -> None:
    clock, send = FakeClock(), Held()
    users = Users(SingleFlight(), send, clock)
    async with anyio.create_task_group() as group:
        group.start_soon(users.one, "a", get(clock=clock))
        await clock.advance(0)
        group.start_soon(users.one, "b", get(clock=clock, **options))
        await clock.advance(0)
        send.go.set()
    assert send.sent == 2


async def test_others_to_the_same_target_share_among_themselves() -> None:
    clock, send = FakeClock(), Held()
    users = Users(SingleFlight(), send, clock)
    go, held = anyio.Event(), send.go

    def of(user: str) -> Request:
        return get(headers=[("Authorization", user)], clock=clock)

    async with anyio.create_task_group() as group:
        for name, user in (("a1", "a"), ("b1", "b"), ("b2", "b"), ("a2", "a"), ("c1", "c")):
            group.start_soon(users.one, name, of(user))
            await clock.advance(0)
        assert send.sent == 3
        users.scopes["a1"].cancel()  # its target is free for a moment: a2 flies there
        await clock.advance(0)
        send.go = go
        group.start_soon(users.one, "b3", of("b"))  # the second of a user that flies elsewhere
        group.start_soon(users.one, "d1", of("d"))
        await clock.advance(0)
        assert send.sent == 5
        go.set()
        held.set()
    contents = {name: response.content for name, response in users.outcomes.items()}
    assert contents == {"b1": b"2", "b2": b"2", "b3": b"2", "c1": b"3", "a2": b"4", "d1": b"5"}
    assert (users.flights._flights, users.flights._others, users.flights._landings) == ({}, 0, {})


async def test_posts_are_never_shared() -> None:
    clock, send = FakeClock(), Held()
    users = Users(SingleFlight(), send, clock)
    async with anyio.create_task_group() as group:
        for name in "ab":
            group.start_soon(users.one, name, get(method="POST", clock=clock))
            await clock.advance(0)
        send.go.set()
    assert send.sent == 2


async def test_waiter_that_is_cancelled_leaves_the_flight_alone() -> None:
    clock, send = FakeClock(), Held()
    users = Users(SingleFlight(), send, clock)
    async with anyio.create_task_group() as group:
        for name in "abc":
            group.start_soon(users.one, name, get(clock=clock))
            await clock.advance(0)
        users.scopes["b"].cancel()
        await clock.advance(0)
        send.go.set()
    assert (send.sent, send.cancelled, sorted(users.outcomes)) == (1, 0, ["a", "c"])


async def test_when_the_one_that_flies_is_cancelled_the_next_one_flies() -> None:
    clock, send = FakeClock(), Held()
    users = Users(SingleFlight(), send, clock)
    async with anyio.create_task_group() as group:
        for name in "abcd":
            group.start_soon(users.one, name, get(clock=clock))
            await clock.advance(0)
        users.scopes["a"].cancel()
        await clock.advance(0)
        assert (send.sent, send.cancelled) == (2, 1)
        send.go.set()
    assert send.sent == 2
    assert {name: response.content for name, response in users.outcomes.items()} == dict.fromkeys("bcd", b"2")


async def test_when_the_last_one_is_cancelled_nothing_flies() -> None:
    clock, send = FakeClock(), Held()
    users = Users(SingleFlight(), send, clock)
    async with anyio.create_task_group() as group:
        for name in "ab":
            group.start_soon(users.one, name, get(clock=clock))
            await clock.advance(0)
        for name in "ba":
            users.scopes[name].cancel()
            await clock.advance(0)
    assert (send.sent, send.cancelled, users.outcomes, users.flights._flights) == (1, 1, {}, {})


async def test_error_is_shared_but_not_the_object() -> None:
    clock, send = FakeClock(), Held(ConnectError("refused"))
    users = Users(SingleFlight(), send, clock)
    requests = {name: get(clock=clock) for name in "ab"}
    async with anyio.create_task_group() as group:
        for name, request in requests.items():
            group.start_soon(users.one, name, request)
            await clock.advance(0)
        send.go.set()
    assert send.sent == 1
    assert [type(error) for error in users.outcomes.values()] == [ConnectError, ConnectError]
    assert users.outcomes["a"] is not users.outcomes["b"]
    assert users.outcomes["b"].request is requests["b"]


@pytest.mark.parametrize("error", [TotalTimeout("late"), ReadTimeout("slow"), KeyError("mine")])
async def test_timeouts_and_strange_errors_are_not_shared(error: Exception) -> None:
    clock, send = FakeClock(), Held(error)
    users = Users(SingleFlight(), send, clock)
    async with anyio.create_task_group() as group:
        for name in "ab":
            group.start_soon(users.one, name, get(clock=clock))
            await clock.advance(0)
        send.go.set()
    assert (send.sent, users.outcomes["a"], users.outcomes["b"].content) == (2, error, b"2")


async def test_waiter_obeys_its_own_deadline() -> None:
    clock, send = FakeClock(), Held()
    users = Users(SingleFlight(), send, clock)
    async with anyio.create_task_group() as group:
        group.start_soon(users.one, "a", get(clock=clock))
        await clock.advance(0)
        group.start_soon(users.one, "b", get(clock=clock, deadline=clock.now() + 2))
        await clock.advance(2.1)
        assert [type(error) for error in users.outcomes.values()] == [TotalTimeout]
        send.go.set()
    assert users.outcomes["a"].content == b"1"


async def test_answer_that_was_not_read_is_not_shared() -> None:
    clock, flights, sent = FakeClock(), SingleFlight(), 0
    go = anyio.Event()

    async def stream(request: Request) -> Response:
        nonlocal sent
        sent += 1
        await go.wait()
        return Response(200, request=request, source=Pending())

    async def one() -> None:
        async with await flights(get(clock=clock), stream):
            pass

    async with anyio.create_task_group() as group:
        for _ in range(2):
            group.start_soon(one)
            await clock.advance(0)
        go.set()
    assert sent == 2


async def test_what_follows_the_body_is_shared_too() -> None:
    clock, send = FakeClock(), Held()
    fields = (("content-type", "text/plain"),)

    async def with_trailers(request: Request) -> Response:
        response = await send(request)
        return Response.received(200, request, fields, "OK", "HTTP/2", response.content, (("x-sum", "1"),))

    flights, responses = SingleFlight(), list[Response]()

    async def one() -> None:
        responses.append(await flights(get(clock=clock), with_trailers))

    async with anyio.create_task_group() as group:
        for _ in range(2):
            group.start_soon(one)
        await clock.advance(0)
        send.go.set()
    assert send.sent == 1
    assert [response.trailers["x-sum"] for response in responses] == ["1", "1"]
    assert [(response.http_version, response.headers["content-type"]) for response in responses] == [
        ("HTTP/2", "text/plain")
    ] * 2


async def test_flights_are_bounded() -> None:
    clock, send = FakeClock(), Held()
    users = Users(SingleFlight(limit=1), send, clock)
    async with anyio.create_task_group() as group:
        for number in range(3):
            group.start_soon(users.one, f"{number}", get(f"/{number}", clock=clock))
            await clock.advance(0)
        assert len(users.flights._flights) == 1
        send.go.set()
    assert (send.sent, users.flights._flights) == (3, {})


async def test_key_can_be_chosen() -> None:
    clock, send = FakeClock(), Held()
    users = Users(SingleFlight(key=lambda request: request.url.path or None), send, clock)
    async with anyio.create_task_group() as group:
        for name in "ab":
            group.start_soon(users.one, name, get("/same", headers=[("X-Request-Id", name)], clock=clock))
            await clock.advance(0)
        send.go.set()
    assert send.sent == 1


async def test_calls_with_equal_arguments_share_the_result() -> None:
    flights, calls = SingleFlight(), list[int]()

    @flights
    async def double(number: int) -> int:
        calls.append(number)
        await checkpoint()
        return 2 * number

    results: list[int] = []

    async def one(number: int) -> None:
        results.append(await double(number))

    async with anyio.create_task_group() as group:
        for number in (1, 1, 2, 1):
            group.start_soon(one, number)
    assert (sorted(calls), sorted(results)) == ([1, 2], [2, 2, 2, 4])


async def test_cancelled_anywhere_no_flight_is_left() -> None:
    flights, clock = SingleFlight(), FakeClock()

    async def answer(request: Request) -> Response:
        await checkpoint()
        await checkpoint()
        return Response(200, request=request)

    async def scenario() -> None:
        async with anyio.create_task_group() as group:
            for _ in range(3):
                group.start_soon(flights.around, get(clock=clock), answer)
                group.start_soon(flights.around, get(method="HEAD", clock=clock), answer)
            await flights(get(clock=clock), answer)

    async def after() -> None:
        assert (flights._flights, flights._others, flights._landings) == ({}, 0, {})

    assert await cancel_everywhere(scenario, after) >= 2
