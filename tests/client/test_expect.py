"""Expect: 100-continue: the body is held back until the server wants it, or a second has passed (HAZARDS H1-17)."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import anyio
import anyio.lowlevel
import h2.events
import pytest

import netio
from netio.protocol._head import request_head
from netio.testing import FakeClock, MemoryStream, cancel_everywhere
from tests.client.conftest import House, Version, make_house
from tests.peers import Http2Peer, Http2Side, _Reader

pytestmark = pytest.mark.anyio

EXPECT = {"Expect": "100-continue"}
CONTINUE = b"HTTP/1.1 100 Continue\r\n\r\n"
Step = Callable[["Waiting"], Awaitable[None]]


class Waiting:
    """One request at a server, of which the head is here: the test says what comes next. Either version."""

    def __init__(self) -> None:
        self.body = b""
        self.is_whole = False

    async def interim(self, status: int) -> None:
        raise NotImplementedError

    async def answer(self, status: int) -> None:
        raise NotImplementedError


class Waiting1(Waiting):
    def __init__(self, stream: MemoryStream) -> None:
        super().__init__()
        self.stream = stream

    async def interim(self, status: int) -> None:
        await self.stream.send(b"HTTP/1.1 %d So\r\n\r\n" % status)

    async def answer(self, status: int) -> None:
        await self.stream.send(b"HTTP/1.1 %d So\r\nContent-Length: 2\r\n\r\nok" % status)


class Waiting2(Waiting):
    def __init__(self, side: Http2Side, stream_id: int) -> None:
        super().__init__()
        self.side = side
        self.stream_id = stream_id

    async def interim(self, status: int) -> None:
        self.side.h2.send_headers(self.stream_id, [(":status", str(status))])
        await self.side.flush()

    async def answer(self, status: int) -> None:
        self.side.respond(self.stream_id, status, b"ok")
        self.side.send_body(self.stream_id)
        await self.side.flush()


class Host:
    """A server of either version that tells the test of every request as soon as its head is here."""

    def __init__(self, house: House, *, is_obliging: bool = False) -> None:
        self.house = house
        self.is_obliging = is_obliging
        """Whether it says 100 and answers by itself."""
        self.waiting: list[Waiting] = []
        house.network.listen("peer.test", 80, self._serve1 if house.version == "HTTP/1.1" else self._serve2)

    async def next(self) -> Waiting:
        await self.house.settle()
        return self.waiting[-1]

    async def _serve1(self, stream: MemoryStream) -> None:
        reader = _Reader(stream)
        while True:
            head = await reader.until(b"\r\n\r\n")
            if b"xpect" not in head:
                await Waiting1(stream).answer(200)
                continue
            waiting = Waiting1(stream)
            self.waiting.append(waiting)
            if self.is_obliging:
                await waiting.interim(100)
            waiting.body = await reader.body(head)
            waiting.is_whole = True
            if self.is_obliging:
                await waiting.answer(200)

    async def _serve2(self, stream: MemoryStream) -> None:
        peer: Http2Peer = self.house.peer
        side = Listening(peer, stream, self)
        peer.live.append(side)
        try:
            await side.run()
        finally:
            peer.live.remove(side)


class Listening(Http2Side):
    def __init__(self, peer: Http2Peer, stream: MemoryStream, host: Host) -> None:
        super().__init__(peer, stream)
        self.waiting: dict[int, Waiting] = {}
        self.host = host

    def on(self, event: h2.events.Event) -> None:
        super().on(event)
        if isinstance(event, h2.events.RequestReceived) and ("expect", "100-continue") in event.headers:  # type: ignore[comparison-overlap]
            stream_id = event.stream_id
            self.waiting[stream_id] = Waiting2(self, stream_id)
            self.host.waiting.append(self.waiting[stream_id])
            if self.host.is_obliging:
                self.h2.send_headers(stream_id, [(":status", "100")])
        elif isinstance(event, h2.events.DataReceived) and event.stream_id in self.waiting:
            self.waiting[event.stream_id].body += event.data

    def on_request(self, stream_id: int) -> None:
        if stream_id not in self.waiting:
            super().on_request(stream_id)
            return
        self.waiting[stream_id].is_whole = True
        if self.host.is_obliging:
            self.respond(stream_id, 200, b"ok")


async def pieces() -> AsyncIterator[bytes]:
    for _ in range(4):
        await anyio.lowlevel.checkpoint()
        yield b"x" * 30_000


BODIES: dict[str, Callable[[], Any]] = {
    "small": lambda: b"small",
    "large": lambda: b"l" * 300_000,
    "iterator": lambda: iter([b"one ", b"two"]),
    "async iterator": pieces,
}
SIZES = {"small": 5, "large": 300_000, "iterator": 7, "async iterator": 120_000}


@pytest.fixture(params=BODIES)
def kind(request: pytest.FixtureRequest) -> str:
    return str(request.param)


async def posting(
    house: House, kind: str, step: Callable[[Waiting], Awaitable[None]], **options: Any
) -> tuple[netio.Response, Waiting]:
    """Post a body of a kind with the expectation, and do what the step says once the server has the head."""
    host, responses = Host(house), list[netio.Response]()
    waiting = Waiting()

    async def post() -> None:
        responses.append(await house.session.post("/", content=BODIES[kind](), headers=EXPECT, **options))

    async with anyio.create_task_group() as group:
        group.start_soon(post)
        waiting = await host.next()
        assert (waiting.body, responses) == (b"", [])
        await step(waiting)
    await house.settle()
    return responses[0], waiting


async def assert_over(house: House, *, is_kept: bool) -> None:
    """Nothing is left; the connection is idle, or closed, and the next request is served."""
    await house.settle()
    stats = house.session.stats()
    assert (stats.active, stats.idle) == (0, int(is_kept))
    assert house.network.open_connections == int(is_kept)
    assert (await house.session.get("/")).status_code == 200
    assert house.session.stats().created == (1 if is_kept else 2)


async def test_h1_17_the_body_is_sent_once_the_server_says_100(version: Version, kind: str) -> None:
    async with make_house(version) as house:

        async def step(waiting: Waiting) -> None:
            await waiting.interim(100)
            await house.settle()
            assert (len(waiting.body), waiting.is_whole) == (SIZES[kind], True)
            await waiting.answer(200)

        response, _ = await posting(house, kind, step)
        assert (response.status_code, response.content) == (200, b"ok")
        await assert_over(house, is_kept=True)


async def test_h1_17_the_body_is_sent_after_a_second_of_silence_and_not_before(version: Version, kind: str) -> None:
    clock = FakeClock()
    async with make_house(version, clock=clock) as house:

        async def step(waiting: Waiting) -> None:
            await clock.advance(0.99)
            assert waiting.body == b""
            await clock.advance(0.02)
            assert (len(waiting.body), waiting.is_whole) == (SIZES[kind], True)
            await waiting.interim(100)  # late, and of no consequence
            await waiting.answer(200)

        response, _ = await posting(house, kind, step)
        assert (response.status_code, response.content) == (200, b"ok")
        await assert_over(house, is_kept=True)


@pytest.mark.parametrize("status", [200, 401, 417])
async def test_h1_17_a_final_answer_before_the_body_is_delivered_and_the_body_is_not_sent(
    version: Version, kind: str, status: int
) -> None:
    clock = FakeClock()
    async with make_house(version, clock=clock) as house:

        async def step(waiting: Waiting) -> None:
            await waiting.answer(status)

        response, waiting = await posting(house, kind, step)
        assert (response.status_code, response.content) == (status, b"ok")
        await clock.advance(1.1)  # the second of silence passes, and nobody sends
        assert (waiting.body, waiting.is_whole) == (b"", False)
        # HTTP/1.1 cannot end the request otherwise; HTTP/2 resets its stream, and the connection lives.
        await assert_over(house, is_kept=version == "HTTP/2")
        if version == "HTTP/2":
            assert (house.peer.resets, house.peer.open_streams) == (1, 0)


async def test_h1_17_an_answer_of_which_only_the_head_has_come_stops_the_body_too() -> None:
    clock = FakeClock()
    async with make_house("HTTP/1.1", clock=clock) as house:

        async def step(waiting: Waiting) -> None:
            assert isinstance(waiting, Waiting1)
            await waiting.stream.send(b"HTTP/1.1 401 Unauthorized\r\nContent-Length: 2\r\n\r\n")
            await clock.advance(3)
            assert waiting.body == b""
            await waiting.stream.send(b"no")

        response, waiting = await posting(house, "large", step)
        assert (response.status_code, response.content, waiting.body) == (401, b"no", b"")
        await assert_over(house, is_kept=False)


async def test_h1_17_another_interim_answer_is_a_sign_of_life_and_lets_the_body_go(version: Version) -> None:
    async with make_house(version) as house:

        async def step(waiting: Waiting) -> None:
            await waiting.interim(102)
            await house.settle()
            assert waiting.is_whole
            await waiting.answer(200)

        response, _ = await posting(house, "large", step)
        assert response.content == b"ok"
        await assert_over(house, is_kept=True)


@pytest.mark.parametrize("timeouts", [netio.Timeouts(read=5, total=None), netio.Timeouts(read=None, total=5)], ids=str)
async def test_h1_17_a_server_that_says_nothing_at_all_is_given_up_in_time(
    version: Version, timeouts: netio.Timeouts
) -> None:
    clock = FakeClock()
    async with make_house(version, clock=clock) as house:
        host, caught = Host(house), list[netio.TimeoutError]()

        async def post() -> None:
            with pytest.raises(netio.TimeoutError) as info:
                await house.session.post("/", content=b"small", headers=EXPECT, timeout=timeouts)
            caught.append(info.value)

        async with anyio.create_task_group() as group:
            group.start_soon(post)
            waiting = await host.next()
            await clock.advance(4.8)
            assert (waiting.is_whole, caught) == (True, [])
            await clock.advance(1.5)
        assert [(error.sent, error.phase) for error in caught] == [(True, "head")]


async def test_h1_17_a_body_that_fails_after_the_100_fails_the_request(version: Version) -> None:
    async def failing() -> AsyncIterator[bytes]:
        yield b"x" * 10
        raise KeyError("mine")

    async with make_house(version) as house:
        host = Host(house)

        async def post() -> None:
            with pytest.raises(KeyError, match="mine"):
                await house.session.post("/", content=failing(), headers=EXPECT)

        async with anyio.create_task_group() as group:
            group.start_soon(post)
            await (await host.next()).interim(100)
        await assert_over(house, is_kept=version == "HTTP/2")


async def test_pool_01_cancelled_at_every_checkpoint_the_wait_leaves_nothing(version: Version, kind: str) -> None:
    async with make_house(version) as house:
        Host(house, is_obliging=True)

        async def scenario() -> None:
            assert (await house.session.post("/", content=BODIES[kind](), headers=EXPECT)).content == b"ok"

        async def after() -> None:
            await house.settle()
            stats = house.session.stats()
            assert (stats.active, stats.dialing, stats.queued) == (0, 0, 0)
            assert house.network.open_connections == stats.idle
            assert (await house.session.get("/")).status_code == 200

        assert await cancel_everywhere(scenario, after) > 0


def test_a_request_without_a_body_expects_nothing() -> None:
    headers = {"Expect": "100-continue", "X-Kept": "1"}
    assert request_head(netio.Request("GET", "http://peer.test/", headers=headers)).fields == (("X-Kept", "1"),)
    body = netio.body.BytesBody(b"x")
    fields = request_head(netio.Request("PUT", "http://peer.test/", headers=headers, body=body)).fields
    assert fields == (("Expect", "100-continue"), ("X-Kept", "1"))
