"""Policies in a session, over a network in memory: places of streamed responses, hedges, and limits on attempts."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

import anyio
import pytest

import netio
from netio import policy
from netio.testing import FakeClock, MemoryNetwork, MemoryStream

pytestmark = pytest.mark.anyio

URL = "http://example.org/"
ANSWER = b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nbody"

Reply = Callable[[int, MemoryStream], Awaitable[None]]


class Server:
    """Counts requests, and replies to each as it is told; a reply that ends closes the connection."""

    def __init__(self, reply: Reply) -> None:
        self.reply = reply
        self.requests = 0

    async def __call__(self, stream: MemoryStream) -> None:
        received = b""
        while True:
            while b"\r\n\r\n" not in received:
                received += await stream.receive()
            received = received.partition(b"\r\n\r\n")[2]
            self.requests += 1
            await self.reply(self.requests, stream)


async def answer(number: int, stream: MemoryStream) -> None:
    await stream.send(ANSWER)


async def slow_at_first(number: int, stream: MemoryStream) -> None:
    if number == 1:
        await anyio.sleep_forever()
    await stream.send(ANSWER)


async def test_streamed_response_holds_its_place_in_a_session() -> None:
    bulkhead = policy.Bulkhead(1, queue=0)
    async with MemoryNetwork() as network:
        network.listen("example.org", 80, Server(answer))
        async with netio.Session(connect=network.connect, policies=[bulkhead]) as session:
            async with session.stream("GET", URL) as response:
                with pytest.raises(netio.BulkheadFull):
                    await session.get(URL)
                assert await response.aread() == b"body"
                assert (await session.get(URL)).content == b"body"
            assert bulkhead.active(netio.URL(URL).origin) == 0


async def test_rt_07_loser_of_a_hedge_loses_its_connection() -> None:
    clock, server = FakeClock(), Server(slow_at_first)
    async with MemoryNetwork() as network:
        network.listen("example.org", 80, server)
        async with netio.Session(connect=network.connect, policies=[policy.Hedge(1.0)], clock=clock) as session:
            contents: list[bytes] = []

            async def get() -> None:
                contents.append((await session.get(URL)).content)

            async with anyio.create_task_group() as group:
                group.start_soon(get)
                await clock.advance(0.9)
                assert (contents, server.requests) == ([], 1)
                await clock.advance(0.2)
            assert (contents, server.requests, network.open_connections) == ([b"body"], 2, 1)
            assert (session.stats().active, session.stats().idle) == (0, 1)


async def test_attempt_that_hangs_is_repeated_within_the_deadline() -> None:
    clock, server = FakeClock(), Server(slow_at_first)
    policies = policy.standard(attempt_timeout=2.0, retry=policy.Retry(random=lambda: 0.0))
    async with MemoryNetwork() as network:
        network.listen("example.org", 80, server)
        async with netio.Session(connect=network.connect, policies=policies, clock=clock) as session:
            responses: list[netio.Response] = []

            async def get() -> None:
                responses.append(await session.get(URL))

            async with anyio.create_task_group() as group:
                group.start_soon(get)
                await clock.advance(2.5)
            (attempt,) = responses[0].attempts
            assert attempt.outcome == "AttemptTimedOut: the attempt took longer than 2 s"
            assert (server.requests, network.open_connections) == (2, 1)
