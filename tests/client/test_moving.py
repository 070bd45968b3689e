"""A name that moves from one server to another, both of them alive: connections follow it."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import anyio
import anyio.lowlevel
import pytest
from anyio.abc import ByteStream

import netio
from netio.observe import ConnectionClosed, Event
from netio.pool import Http2Wish
from netio.testing import FakeClock
from netio.transport import Answer, Network
from tests.client.conftest import Version
from tests.peers import Http1Peer, Http2Peer
from tests.transport.far_ends import listen, port_of
from tests.transport.kit_tools import eventually

pytestmark = pytest.mark.anyio

NAME = "moving.test"
OLD, NEW = "127.0.0.1", "127.0.0.2"
TTL = 1.0


@dataclass
class Registrar:
    """A resolver whose answer a test changes."""

    addresses: tuple[str, ...]
    ttl: float = TTL
    asked: int = 0

    async def resolve(self, host: str) -> Answer:
        self.asked += 1
        await anyio.lowlevel.checkpoint()
        return Answer(self.addresses, ttl=self.ttl)

    async def aclose(self) -> None:
        return


@dataclass
class Town:
    """Two servers on one port of two addresses, and a session that knows them by one name."""

    session: netio.Session
    clock: FakeClock
    registrar: Registrar
    old: Http1Peer | Http2Peer
    new: Http1Peer | Http2Peer
    url: str
    closed: list[str] = field(default_factory=list)

    async def get(self, path: str = "/") -> str:
        with anyio.fail_after(5):
            return (await self.session.get(self.url + path)).text


@asynccontextmanager
async def town(version: Version, **options: Any) -> AsyncIterator[Town]:
    peers = [Http1Peer() if version == "HTTP/1.1" else Http2Peer() for _ in range(2)]
    clock, registrar = FakeClock(), Registrar((OLD,))
    closed: list[str] = []

    def observe(event: Event) -> None:
        if isinstance(event, ConnectionClosed):
            closed.append(event.reason)

    async def serve(listener: anyio.abc.SocketListener, peer: Http1Peer | Http2Peer) -> None:
        async def handle(stream: ByteStream) -> None:
            async with stream:
                try:
                    await peer.serve(stream)
                except anyio.BrokenResourceError:
                    return

        await listener.serve(handle)

    async with await listen(OLD) as first, await listen(NEW, port_of(first)) as second:
        async with anyio.create_task_group() as group:
            for listener, peer in zip((first, second), peers, strict=True):
                group.start_soon(serve, listener, peer)
            http2: Http2Wish = False if version == "HTTP/1.1" else "prior-knowledge"
            network = Network(resolver=registrar, **options)
            async with netio.Session(network=network, clock=clock, http2=http2, observer=observe) as session:
                url = f"http://{NAME}:{port_of(first)}"
                yield Town(session, clock, registrar, peers[0], peers[1], url, closed)
            group.cancel_scope.cancel()


async def test_after_the_ttl_no_request_goes_to_the_old_server_and_none_fails(version: Version) -> None:
    async with town(version) as here:
        assert [await here.get() for _ in range(5)] == ["hello"] * 5
        assert (len(here.old.requests), len(here.new.requests)) == (5, 0)
        here.registrar.addresses = (NEW,)
        for _ in range(int((TTL + 1) / 0.1)):  # requests go on all the time
            assert await here.get() == "hello"
            await here.clock.advance(0.1)
        before = len(here.old.requests)
        for _ in range(20):
            assert await here.get() == "hello"
            await here.clock.advance(0.1)
        assert len(here.old.requests) == before < 5 + 20
        assert len(here.new.requests) >= 20
        assert "moved" in here.closed
        await eventually(lambda: here.old.live_connections == 0)
        assert here.session.stats().created == 2


async def test_an_idle_connection_to_a_vanished_address_is_closed_at_once(version: Version) -> None:
    async with town(version) as here:
        await here.get()
        here.registrar.addresses = (NEW,)
        await here.clock.advance(TTL + 0.5)  # nobody asks for the name: it is in use, as there is a connection
        await eventually(lambda: here.old.live_connections == 0)
        assert (here.session.stats().idle, here.closed) == (0, ["moved"])


async def test_a_response_that_is_under_way_is_read_to_its_end(version: Version) -> None:
    async with town(version) as here:
        async with here.session.stream("GET", f"{here.url}/bytes/3000000") as response:
            pieces = response.aiter_bytes()
            size = len(await anext(pieces))
            here.registrar.addresses = (NEW,)
            await here.clock.advance(TTL + 0.5)
            assert await here.get() == "hello"
            assert len(here.new.requests) == 1
            async for piece in pieces:
                size += len(piece)
        assert size == 3_000_000
        await eventually(lambda: here.old.live_connections == 0)
        assert here.closed == ["moved"]


async def test_connections_to_addresses_that_stay_are_kept(version: Version) -> None:
    async with town(version) as here:
        await here.get()
        for addresses in ((NEW, OLD), (OLD, NEW, "127.0.0.3"), (OLD,)):
            here.registrar.addresses = addresses
            await here.clock.advance(TTL + 0.5)
            assert await here.get() == "hello"
        assert (here.session.stats().created, len(here.old.requests), here.closed) == (1, 4, [])


async def test_a_name_without_connections_is_not_asked_for_any_more(version: Version) -> None:
    async with town(version) as here:
        await here.get()
        await here.clock.advance(3 * TTL)
        asked = here.registrar.asked
        assert asked >= 3
        await here.clock.advance(60)  # the connection is closed, idle for too long
        assert here.session.stats().idle == 0
        asked = here.registrar.asked
        await here.clock.advance(30)
        assert here.registrar.asked == asked


async def test_a_connection_that_comes_too_late_serves_who_waits_for_it_and_is_closed() -> None:
    """The name moves between the answer and the connection."""
    gate = anyio.Event()

    async def policy(address: netio.Address) -> str | None:
        if second.is_set():
            await gate.wait()
        return None

    second = anyio.Event()
    async with town("HTTP/1.1", address_policy=policy) as here, here.session.stream("GET", f"{here.url}/drip") as held:
        async with anyio.create_task_group() as group:
            second.set()
            group.start_soon(here.get)
            here.registrar.addresses = (NEW,)
            await here.clock.advance(TTL + 0.5)
            gate.set()
        assert len(here.old.requests) == 2
        assert await here.get() == "hello"
        assert len(here.new.requests) == 1
        assert here.closed == ["moved"]
        await held.aclose()
