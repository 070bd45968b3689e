"""Bulkhead and AdaptiveLimit: who gets a place, who waits, who is refused, and that no place is ever lost."""

from __future__ import annotations

import gc
import math
from collections.abc import Callable
from typing import Any

import anyio
import pytest
from anyio.lowlevel import checkpoint

from netio.deadline import SystemClock
from netio.errors import BulkheadFull, ConnectError, TotalTimeout
from netio.message import Request, Response
from netio.observe import Event, Refused
from netio.policy import AdaptiveLimit, Bulkhead
from netio.policy._wait import wait_until
from netio.testing import FakeClock, cancel_everywhere
from tests.policy.retries import Pending, Scripted, make_request

pytestmark = pytest.mark.anyio

ORIGIN = make_request().url.origin


class Held:
    """A send that holds each request until it is let go, in the order of arrival."""

    def __init__(self) -> None:
        self.arrived: list[str] = []
        self.doors: dict[str, anyio.Event] = {}

    async def __call__(self, request: Request) -> Response:
        self.arrived.append(request.url.path)
        self.doors[request.url.path] = anyio.Event()
        await self.doors[request.url.path].wait()
        return Response(200, request=request)


Limiter = Bulkhead | AdaptiveLimit


def make_bulkhead(concurrency: int, **options: Any) -> Limiter:
    return Bulkhead(concurrency, **options)


def make_adaptive(concurrency: int, **options: Any) -> Limiter:
    return AdaptiveLimit(initial=concurrency, floor=1, window_samples=10_000, **options)


both = pytest.mark.parametrize("make", [make_bulkhead, make_adaptive])


def active(limiter: Limiter, key: Any = ORIGIN) -> int:
    if isinstance(limiter, Bulkhead):
        return limiter.active(key)
    state = limiter._states.peek(key)
    return 0 if state is None else state.gate.active


class Users:
    """Tasks that send requests through a limiter, and what became of each."""

    def __init__(self, limiter: Limiter, send: Callable[[Request], Any], clock: FakeClock) -> None:
        self.limiter, self.send, self.clock = limiter, send, clock
        self.outcomes: dict[str, object] = {}

    async def one(self, name: str, deadline: float = math.inf) -> None:
        request = make_request(url=f"http://example.org/{name}", clock=self.clock, deadline=deadline)
        try:
            self.outcomes[name] = (await self.limiter(request, self.send)).status_code
        except Exception as error:
            self.outcomes[name] = type(error)


@both
async def test_only_so_many_are_under_way_and_the_rest_comes_in_order(make: Callable[..., Limiter]) -> None:
    send, clock = Held(), FakeClock()
    users = Users(make(2), send, clock)
    async with anyio.create_task_group() as group:
        for name in "abcde":
            group.start_soon(users.one, name)
            await clock.advance(0)
        assert send.arrived == ["/a", "/b"]
        for done, come in zip("abcde", ["c", "d", "e", "", ""], strict=True):
            send.doors[f"/{done}"].set()
            await clock.advance(0)
            assert send.arrived[-1] == f"/{come or 'e'}"
    assert users.outcomes == dict.fromkeys("abcde", 200)
    assert active(users.limiter) == 0


@both
async def test_full_queue_refuses_at_once(make: Callable[..., Limiter]) -> None:
    send, clock = Held(), FakeClock()
    users = Users(make(1, queue=1), send, clock)
    async with anyio.create_task_group() as group:
        for name in "abc":
            group.start_soon(users.one, name)
            await clock.advance(0)
        assert users.outcomes == {"c": BulkheadFull}
        group.cancel_scope.cancel()
    assert active(users.limiter) == 0


@both
@pytest.mark.parametrize("options", [{"queue": 0}, {"longest_wait": 0}])
async def test_it_may_refuse_all_that_would_wait(make: Callable[..., Limiter], options: dict[str, Any]) -> None:
    send, clock = Held(), FakeClock()
    users = Users(make(1, **options), send, clock)
    events: list[Event] = []
    async with anyio.create_task_group() as group:
        group.start_soon(users.one, "a")
        await clock.advance(0)
        request = make_request(clock=clock, observer=events.append)
        with pytest.raises(BulkheadFull, match="1 are under way and 0 wait") as caught:
            await users.limiter(request, send)
        assert events == [Refused(request, caught.value)]
        assert (caught.value.sent, caught.value.phase) == (False, "queue")
        group.cancel_scope.cancel()


@both
async def test_wait_ends_after_its_time_or_at_the_deadline(make: Callable[..., Limiter]) -> None:
    send, clock = Held(), FakeClock()
    users = Users(make(1, longest_wait=5.0), send, clock)
    async with anyio.create_task_group() as group:
        group.start_soon(users.one, "a")
        await clock.advance(0)
        group.start_soon(users.one, "b")
        group.start_soon(users.one, "c", clock.now() + 3)
        await clock.advance(2.9)
        assert users.outcomes == {}
        await clock.advance(0.2)
        assert users.outcomes == {"c": TotalTimeout}
        await clock.advance(2)
        assert users.outcomes == {"c": TotalTimeout, "b": BulkheadFull}
        send.doors["/a"].set()
    assert (users.outcomes["a"], active(users.limiter), clock.sleepers) == (200, 0, 0)


@both
async def test_without_a_longest_wait_one_waits_for_ever(make: Callable[..., Limiter]) -> None:
    send, clock = Held(), FakeClock()
    users = Users(make(1, longest_wait=None), send, clock)
    async with anyio.create_task_group() as group:
        group.start_soon(users.one, "a")
        await clock.advance(0)
        group.start_soon(users.one, "b")
        await clock.advance(1e6)
        send.doors["/a"].set()
        await clock.advance(0)
        send.doors["/b"].set()
    assert users.outcomes == {"a": 200, "b": 200}


@both
async def test_error_gives_the_place_back(make: Callable[..., Limiter]) -> None:
    limiter = make(1, queue=0)
    for _ in range(3):
        with pytest.raises(ConnectError):
            await limiter(make_request(), Scripted(ConnectError("refused")))
    assert (await limiter(make_request(), Scripted(200))).status_code == 200


@both
async def test_streamed_response_keeps_its_place_until_it_is_closed(make: Callable[..., Limiter]) -> None:
    limiter = make(1, queue=0)

    async def stream(request: Request) -> Response:
        return Response(200, request=request, source=Pending())

    response = await limiter(make_request(is_streamed=True), stream)
    with pytest.raises(BulkheadFull):
        await limiter(make_request(), Scripted(200))
    await response.aclose()
    await response.aclose()
    assert active(limiter) == 0
    assert (await limiter(make_request(), Scripted(204))).status_code == 204


@both
async def test_streamed_response_that_is_dropped_gives_its_place_back(make: Callable[..., Limiter]) -> None:
    limiter, clock = make(1), FakeClock()

    async def stream(request: Request) -> Response:
        return Response(200, request=request, source=Pending())

    response: Response | None = await limiter(make_request(is_streamed=True), stream)
    assert (active(limiter), response is None) == (1, False)
    response = None
    gc.collect()
    for _ in range(3):
        await checkpoint()
    await clock.advance(0)
    assert active(limiter) == 0


@both
async def test_cancelled_anywhere_the_place_comes_back(make: Callable[..., Limiter]) -> None:
    limiter, clock = make(1), FakeClock()

    async def answer(request: Request) -> Response:
        await checkpoint()
        return Response(200, request=request)

    async def scenario() -> None:
        async with anyio.create_task_group() as group:
            for _ in range(3):
                group.start_soon(limiter.around, make_request(clock=clock), answer)
            await checkpoint()
            await limiter(make_request(clock=clock, deadline=clock.now() + 9), answer)

    async def after() -> None:
        assert (active(limiter), clock.sleepers) == (0, 0)

    assert await cancel_everywhere(scenario, after) >= 3


async def test_each_origin_has_its_own_places_unless_the_key_is_chosen() -> None:
    send, clock = Held(), FakeClock()
    for limiter, arrived in ((Bulkhead(1), 2), (Bulkhead(1, key=lambda request: "all"), 1)):
        send.arrived.clear()
        async with anyio.create_task_group() as group:
            for host in "ab":
                group.start_soon(limiter.around, make_request(url=f"http://{host}.example/{host}", clock=clock), send)
            await clock.advance(0)
            assert len(send.arrived) == arrived
            group.cancel_scope.cancel()


async def test_bulkhead_stands_around_anything() -> None:
    clock = FakeClock()
    bulkhead = Bulkhead(1, queue=0, clock=clock)

    @bulkhead
    async def double(number: int) -> int:
        return 2 * number

    async with bulkhead.guard("db"):
        assert (bulkhead.active("db"), bulkhead.waiting("db")) == (1, 0)
        with pytest.raises(BulkheadFull) as caught:
            async with bulkhead.guard("db"):
                raise AssertionError
        assert caught.value.request is None
    assert await double(21) == 42
    with pytest.raises(KeyError):
        async with bulkhead.guard("db"):
            raise KeyError("mine")
    assert bulkhead.active("db") == bulkhead.active() == 0


async def test_adaptive_limit_stands_around_a_function() -> None:
    limit = AdaptiveLimit(initial=1, floor=1, queue=0, clock=FakeClock())

    async def nested() -> None:
        with pytest.raises(BulkheadFull):
            await limit.call(checkpoint)
        raise TimeoutError

    with pytest.raises(TimeoutError):
        await limit.call(nested)
    await limit.call(checkpoint)
    assert limit.current() == 1


@pytest.mark.parametrize(
    "options",
    [
        {"concurrency": 0},
        {"concurrency": True},
        {"queue": -1},
        {"longest_wait": -1},
        {"longest_wait": math.nan},
        {"limit": 0},
    ],
)
def test_bulkhead_refuses_nonsense(options: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=r"Bulkhead\."):
        Bulkhead(**options)


async def test_wait_whose_time_is_over_before_it_begins_ends_at_once() -> None:
    clock = SystemClock()
    assert not await wait_until(anyio.Event(), clock.now() - 1.0, clock)
