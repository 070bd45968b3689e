"""Hedge where things happen in the same turn: a timer that is late, two cancellations at once, errors on both sides."""

from __future__ import annotations

import asyncio
import gc
import weakref

import anyio
import pytest
from anyio.lowlevel import checkpoint

from netio.deadline import NEVER
from netio.errors import ConnectError, ReadTimeout, RequestError
from netio.message import Request, Response
from netio.policy import Hedge, RetryBudget
from netio.testing import FakeClock
from tests.policy.retries import Hasty, Pending, make_request
from tests.policy.test_hedge import Timed, run

pytestmark = pytest.mark.anyio


def make_hedge(delay: float | None = 1.0) -> Hedge:
    return Hedge(delay, budget=RetryBudget.unlimited())


class Lagging(FakeClock):
    """A clock that goes on while the event loop is busy: nobody is woken by that alone."""

    def lag(self, seconds: float) -> None:
        self._now += seconds


async def test_requests_that_come_while_the_timer_is_late_do_not_put_it_off() -> None:
    clock, hedge = Lagging(), make_hedge()
    slow = Timed(clock, (60.0, 200), (0.5, 201))
    quick = Timed(clock, *[(0.1, 200)] * 5)
    async with anyio.create_task_group() as group:
        group.start_soon(hedge.around, make_request(clock=clock), slow)
        await clock.advance(0.5)
        clock.lag(0.75)
        for _ in range(5):
            group.start_soon(hedge.around, make_request(clock=clock), quick)
        await checkpoint()
        await clock.advance(0.0)
        assert len(slow.sent) == 2
        await clock.advance(2.0)
    assert clock.sleepers == 0


async def test_who_comes_after_the_delay_became_shorter_does_not_wait_for_those_before() -> None:
    clock, hedge = FakeClock(), make_hedge(None)
    peer = hedge._peers[make_request().url.origin]
    peer.samples.extend([4.0] * 20)
    peer.delay = 10.0
    sends = [Timed(clock, (60.0, 200), (0.5, 200)) for _ in range(4)]
    async with anyio.create_task_group() as group:
        for send, pause in zip(sends, (5.0, 4.9, 2.6, 60.0), strict=True):
            group.start_soon(hedge.around, make_request(clock=clock), send)
            await clock.advance(pause)  # after ten seconds the timer looks, and finds that four are usual
    assert [[round(sent - 1_000.0, 3) for sent in send.sent] for send in sends] == [
        [0.0, 10.0],
        [5.0, 15.0],
        [9.9, 19.9],
        [12.5, 16.5],
    ]


async def test_timer_that_is_replaced_before_it_has_begun_leaves_the_next_one_alone() -> None:
    clock = FakeClock()
    peer = make_hedge()._peers["key"]
    peer.start(clock, 1_010.0)
    peer.start(clock, 1_002.0)
    await clock.advance(1.0)
    assert (peer.wakes, clock.sleepers) == (1_002.0, 1)
    await clock.advance(1.0)
    assert (peer.wakes, clock.sleepers) == (NEVER, 0)


def test_what_an_event_loop_has_left_behind_is_forgotten_on_the_next_one() -> None:
    clock, hedge = FakeClock(), make_hedge()
    lost = Timed(clock, (60.0, 200), (0.5, 200))

    async def leave() -> None:
        asyncio.ensure_future(hedge.around(make_request(clock=clock), lost)).add_done_callback(print)
        await checkpoint()

    async def ask() -> None:
        send = Timed(clock, (60.0, 200), (0.5, 201))
        took, outcome = await run(clock, lambda: hedge(make_request(clock=clock), send))
        assert isinstance(outcome, Response)
        assert (took, outcome.status_code) == (1.5, 201)

    loops = [asyncio.new_event_loop() for _ in range(2)]
    loops[0].run_until_complete(leave())
    tasks = asyncio.all_tasks(loops[0])
    try:
        clock._sleepers.clear()
        loops[1].run_until_complete(ask())
        assert len(lost.sent) == 1
    finally:
        for task in tasks:
            task.cancel()
        loops[0].run_until_complete(asyncio.wait(tasks))
        for loop in loops:
            loop.close()


@pytest.mark.parametrize("turns", range(30))
async def test_rt_07_scope_that_is_cancelled_while_the_hedge_wins_catches_its_own_cancellation(turns: int) -> None:
    # In one of these turns both happen, while the first attempt is not waiting for anything but its turn.
    responses: list[Response] = []
    sent = 0

    async def send(request: Request) -> Response:
        nonlocal sent
        sent += 1
        for _ in range(40 if sent == 1 else 5):
            await checkpoint()
        responses.append(Response(200, request=request, source=Pending()))
        return responses[-1]

    async def cancel_later(scope: anyio.CancelScope) -> None:
        for _ in range(turns):
            await checkpoint()
        scope.cancel()

    async with anyio.create_task_group() as group:
        with anyio.CancelScope() as scope:
            group.start_soon(cancel_later, scope)
            await (await make_hedge()(make_request(clock=Hasty()), send)).aclose()
            await checkpoint()
        await checkpoint()
        assert [response for response in responses if not response.is_closed] == []


@pytest.mark.parametrize("is_sent", [(False, True), (True, False), (False, False)])
@pytest.mark.parametrize("seconds", [(1.2, 1.0), (5.0, 0.5)])
async def test_error_says_that_the_request_was_sent_if_one_attempt_was(
    is_sent: tuple[bool, bool], seconds: tuple[float, float]
) -> None:
    clock = FakeClock()
    first, second = ConnectError("first", sent=is_sent[0]), ReadTimeout("second", sent=is_sent[1])
    send = Timed(clock, (seconds[0], first), (seconds[1], second))
    _, outcome = await run(clock, lambda: make_hedge()(make_request(clock=clock), send))
    assert isinstance(outcome, RequestError)
    assert outcome.sent == any(is_sent)


class Strange(BaseException):
    """What no policy takes for the outcome of a request: SystemExit, or what a test framework ends a test with."""


async def test_what_is_no_exception_ends_the_caller_and_not_the_background_task() -> None:
    clock, sent, error = FakeClock(), list[Response](), Strange()

    async def send(request: Request) -> Response:
        if sent:
            await clock.sleep(0.5)
            raise error
        sent.append(Response(200, request=request, source=Pending()))
        await clock.sleep(5.0)
        return sent[0]

    async def ask() -> None:
        with pytest.raises(Strange) as raised:
            await make_hedge()(make_request(clock=clock), send)
        assert raised.value is error

    async with anyio.create_task_group() as group:
        group.start_soon(ask)
        await clock.advance(1.75)


@pytest.mark.parametrize("outcomes", [((1.2, 0), (1.0, 0)), ((5.0, 0), (0.5, 0)), ((5.0, 200), (0.5, 0))])
async def test_errors_of_a_race_are_freed_without_the_garbage_collector(
    outcomes: tuple[tuple[float, int], tuple[float, int]],
) -> None:
    clock, errors = FakeClock(), list[weakref.ref[Exception]]()
    attempts = list(outcomes)

    async def send(request: Request) -> Response:
        seconds, status = attempts.pop(0)
        await clock.sleep(seconds)
        if status:
            return Response(status, request=request)
        error = ConnectError("refused")
        errors.append(weakref.ref(error))
        try:
            raise error
        finally:
            del error

    async def ask() -> None:
        try:
            await make_hedge()(make_request(clock=clock), send)
        except ConnectError:
            pass

    gc.disable()
    try:
        async with anyio.create_task_group() as group:
            group.start_soon(ask)
            await clock.advance(60.0)
        assert [error() for error in errors if error() is not None] == []
    finally:
        gc.enable()
