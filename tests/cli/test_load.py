"""The two loops of load, on a clock that the test turns."""

from __future__ import annotations

import anyio
import pytest
from anyio.lowlevel import checkpoint

import netio
from netio.cli import _load
from netio.cli._load import Load, LoadTest
from netio.deadline import SystemClock
from netio.testing import FakeClock

pytestmark = pytest.mark.anyio

REQUEST = netio.Request("GET", "http://h.test/")


def answer(status: int = 200) -> netio.Response:
    return netio.Response(status, request=REQUEST, content=b"12345")


async def test_the_closed_loop_sends_so_many_requests_and_never_more_at_a_time() -> None:
    at_once = most = 0

    async def send() -> netio.Response:
        nonlocal at_once, most
        at_once += 1
        most = max(most, at_once)
        await checkpoint()
        at_once -= 1
        return answer()

    result = await LoadTest(send, Load(concurrency=3, requests=100)).run()
    assert (result.begun, result.ended, most) == (100, 100, 3)
    assert result.body_bytes == 500
    assert result.statuses == {200: 100}


async def test_errors_are_counted_by_kind_and_end_nothing() -> None:
    number = 0

    async def send() -> netio.Response:
        nonlocal number
        number += 1
        await checkpoint()
        if number % 2:
            raise netio.ReadTimeout("no answer", request=REQUEST)
        return answer(503)

    result = await LoadTest(send, Load(concurrency=1, requests=10)).run()
    assert result.profile.failures == {"ReadTimeout": 5}
    assert result.statuses == {503: 5}


async def test_the_closed_loop_ends_with_its_time() -> None:
    clock = FakeClock()

    async def send() -> netio.Response:
        await clock.sleep(0.4)
        return answer()

    test = LoadTest(send, Load(concurrency=2, seconds=1.0), clock)
    async with anyio.create_task_group() as group:
        group.start_soon(test.run)
        for _ in range(5):
            await clock.advance(0.4)
    assert test.result.ended == 6  # begun at 0, 0.4 and 0.8, by two tasks


class Server:
    """One place: an answer takes `seconds`, and the third request holds all up for longer."""

    def __init__(self, clock: FakeClock) -> None:
        self.clock = clock
        self.asked = 0

    async def send(self) -> netio.Response:
        self.asked += 1
        await self.clock.sleep(1.0 if self.asked == 3 else 0.001)
        return answer()


async def test_in_the_open_loop_a_stall_counts_for_all_that_were_due_meanwhile() -> None:
    clock = FakeClock()
    server = Server(clock)
    test = LoadTest(server.send, Load(concurrency=1, requests=10, rate=10.0), clock, spin=0.0)
    async with anyio.create_task_group() as group:
        group.start_soon(test.run)
        while test.result.ended < 10:
            await clock.advance(0.001)
    latency = test.result.profile.latency
    # Due at 0.3 to 0.9, begun after 1.2: each waits for the stall's end, the first of them for 0.9 s.
    assert latency.maximum == pytest.approx(1.0, abs=0.01)
    assert latency.percentile(50) == pytest.approx(0.5, abs=0.15)
    assert test.result.behind == pytest.approx(0.9, abs=0.01)


async def test_the_open_loop_keeps_its_pace_on_a_real_clock() -> None:
    async def send() -> netio.Response:
        await checkpoint()
        return answer()

    clock = SystemClock()
    began = clock.now()
    result = await LoadTest(send, Load(concurrency=10, requests=100, rate=1_000.0)).run()
    assert result.ended == 100
    assert clock.now() - began >= 0.099  # never faster than asked for


async def test_a_rate_beyond_reach_keeps_nobody_from_being_served_and_ends_with_its_time() -> None:
    """The dispatcher is always late then, and must let the loop go round all the same."""

    async def send() -> netio.Response:
        for _ in range(3):
            await checkpoint()
        return answer()

    result = await LoadTest(send, Load(concurrency=2, seconds=0.1, rate=1_000_000.0)).run()
    assert result.ended > 2
    assert result.begun + result.unsent == 100_000


async def test_what_waits_for_a_place_is_bounded_and_the_rest_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_load, "BACKLOG", 10)
    is_open = anyio.Event()

    async def send() -> netio.Response:
        await is_open.wait()
        return answer()

    test = LoadTest(send, Load(concurrency=2, requests=100, rate=1_000_000.0))
    async with anyio.create_task_group() as group:
        group.start_soon(test.run)
        while test.result.unsent < 88:
            await checkpoint()
        is_open.set()
    assert (test.result.begun, test.result.ended, test.result.unsent) == (12, 12, 88)


async def test_what_still_waits_when_the_time_is_over_is_never_sent() -> None:
    clock = FakeClock()

    async def send() -> netio.Response:
        await clock.sleep(0.4)
        return answer()

    test = LoadTest(send, Load(concurrency=1, seconds=1.0, rate=10.0), clock, spin=0.0)
    async with anyio.create_task_group() as group:
        group.start_soon(test.run)
        for _ in range(20):
            await clock.advance(0.1)
    assert (test.result.ended, test.result.unsent) == (3, 7)  # begun at 0, 0.4 and 0.8
