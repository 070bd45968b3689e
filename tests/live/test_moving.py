"""A name that moves from server A to server B, by real DNS and in real time: the issue's own words."""

from __future__ import annotations

import time
from collections.abc import Iterator

import anyio
import pytest
from anyio.abc import ByteStream

import netio
from tests.peers import Http1Peer
from tests.transport.dns.server import NameServer, Script
from tests.transport.far_ends import listen, port_of

pytest.importorskip("pycares")
pytestmark = [pytest.mark.anyio, pytest.mark.live]

NAME = "moving.test"
TTL = 1
PAUSE = 0.01


@pytest.fixture
def names() -> Iterator[NameServer]:
    with NameServer({NAME: Script(a=["127.0.0.1"], ttl=TTL)}).running() as server:
        yield server


class Timed(Http1Peer):
    """Notes when each request came."""

    def __init__(self) -> None:
        super().__init__()
        self.times: list[float] = []

    async def respond(self, stream: ByteStream, path: str, body: bytes) -> None:
        self.times.append(time.monotonic())
        await super().respond(stream, path, body)

    async def handle(self, stream: ByteStream) -> None:
        async with stream:
            try:
                await self.serve(stream)
            except anyio.BrokenResourceError:
                return


async def test_within_ttl_and_a_second_no_new_request_goes_to_the_old_server_and_none_fails(names: NameServer) -> None:
    old, new, moved = Timed(), Timed(), 0.0
    resolver = netio.CaresResolver(servers=[names.place])
    async with await listen("127.0.0.1") as first, await listen("127.0.0.2", port_of(first)) as second:
        async with anyio.create_task_group() as group:
            group.start_soon(first.serve, old.handle)
            group.start_soon(second.serve, new.handle)
            async with netio.Session(network=netio.Network(resolver=resolver)) as session:
                url = f"http://{NAME}:{port_of(first)}/"

                async def client(end: float) -> None:
                    while time.monotonic() < end:
                        assert (await session.get(url)).status_code == 200
                        await anyio.sleep(PAUSE)

                began = time.monotonic()
                async with anyio.create_task_group() as clients:
                    for _ in range(5):
                        clients.start_soon(client, began + 4.5)
                    await anyio.sleep(1.5)
                    moved = time.monotonic()
                    names.change(NAME, a=["127.0.0.2"])
            group.cancel_scope.cancel()
    await resolver.aclose()
    assert max(old.times) - moved <= TTL + 1
    assert len(new.times) > 100
    assert len(old.times) > 50
