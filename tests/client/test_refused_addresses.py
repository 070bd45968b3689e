"""An address policy holds for every connection of a session, whatever leads to it (HAZARDS DNS-04)."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

import anyio
import anyio.lowlevel
import pytest
from anyio.abc import ByteStream

import netio
from netio import policy
from netio.testing import FakeClock
from netio.transport import Answer
from tests.peers import Http1Peer
from tests.transport.far_ends import listen, port_of
from tests.transport.kit_tools import open_sockets

pytestmark = pytest.mark.anyio

PUBLIC, PRIVATE = "127.0.0.2", "127.0.0.1"
"""Loopback has to do for both: `PUBLIC` is what the policies of these tests allow."""


class Rebinding:
    """A resolver that says something else each time, for as short as it may."""

    def __init__(self, *addresses: str) -> None:
        self.addresses = list(addresses)

    async def resolve(self, host: str) -> Answer:
        await anyio.lowlevel.checkpoint()
        return Answer((self.addresses.pop(0) if len(self.addresses) > 1 else self.addresses[0],), ttl=0)

    async def aclose(self) -> None:
        return


class Redirecting(Http1Peer):
    target = ""

    async def respond(self, stream: ByteStream, path: str, body: bytes) -> None:
        if path == "/away":
            head = f"HTTP/1.1 302 Found\r\nLocation: {self.target}\r\nContent-Length: 0\r\n\r\n"
            await stream.send(head.encode())
        else:
            await super().respond(stream, path, body)


@asynccontextmanager
async def houses() -> AsyncIterator[tuple[int, Redirecting, Http1Peer]]:
    """Serve on one port of the public and of the private address."""
    public, private = Redirecting(), Http1Peer()

    def handler(peer: Http1Peer) -> Callable[[ByteStream], object]:
        async def handle(stream: ByteStream) -> None:
            async with stream:
                await peer.serve(stream)

        return handle

    before = open_sockets()
    async with await listen(PUBLIC) as first, await listen(PRIVATE, port_of(first)) as second:
        async with anyio.create_task_group() as group:
            group.start_soon(first.serve, handler(public))
            group.start_soon(second.serve, handler(private))
            with anyio.fail_after(10):
                yield port_of(first), public, private
            group.cancel_scope.cancel()
    assert open_sockets() <= before


def network(resolver: Rebinding | None = None, **hosts: str) -> netio.Network:
    named = {host.replace("_", "."): address for host, address in hosts.items()}
    return netio.Network(address_policy=netio.deny_private(allow=[PUBLIC]), resolver=resolver, hosts=named)


@pytest.mark.parametrize(
    ("host", "said"),
    [
        (PRIVATE, "127.0.0.1 is refused by the address policy: loopback"),
        ("[::1]", "[::1] is refused by the address policy: loopback"),
        ("[::ffff:127.0.0.1]", "[::ffff:7f00:1] is refused by the address policy: it leads to 127.0.0.1, loopback"),
        ("localhost", "localhost has the address 127.0.0.1, which is refused by the address policy: loopback"),
        ("inner.test", "inner.test has the address 127.0.0.1, which is refused by the address policy: loopback"),
    ],
)
async def test_dns_04_a_url_that_leads_inside_is_refused_in_each_spelling(host: str, said: str) -> None:
    async with houses() as (port, _, private), netio.Session(network=network(inner_test=PRIVATE)) as session:
        with pytest.raises(netio.AddressRefused) as caught:
            await session.get(f"http://{host}:{port}/")
        assert str(caught.value).startswith(said)
        assert (caught.value.sent, caught.value.phase, caught.value.reason[-8:]) == (False, "connect", "loopback")
        assert private.connections == 0


async def test_dns_04_a_name_that_is_rebound_between_two_connections_is_refused() -> None:
    clock = FakeClock()
    options = {"network": network(Rebinding(PUBLIC, PRIVATE)), "clock": clock}
    async with houses() as (port, public, private), netio.Session(**options) as session:  # type: ignore[arg-type]
        url = f"http://attacker.test:{port}/"
        assert (await session.get(url, headers={"Connection": "close"})).text == "hello"
        await clock.advance(60)
        with pytest.raises(
            netio.AddressRefused, match=r"attacker\.test has the address 127\.0\.0\.1, which is refused"
        ):
            await session.get(url)
        assert (public.connections, private.connections) == (1, 0)


async def test_dns_04_what_was_checked_is_what_is_connected_to() -> None:
    """The policy itself asks the name again, and is told another address: nothing comes of it."""
    resolver = Rebinding(PUBLIC, PRIVATE)

    async def checked(address: netio.Address) -> str | None:
        await resolver.resolve(address.host)
        return None if str(address.ip) == PUBLIC else "inside"

    outside = netio.Network(resolver=resolver, address_policy=checked)
    async with houses() as (port, public, private), netio.Session(network=outside) as session:
        assert (await session.get(f"http://attacker.test:{port}/")).text == "hello"
        assert (public.connections, private.connections) == (1, 0)


async def test_dns_04_a_redirect_that_leads_inside_is_refused() -> None:
    options = {"network": network(outer_test=PUBLIC), "follow_redirects": True}
    async with houses() as (port, public, private), netio.Session(**options) as session:  # type: ignore[arg-type]
        public.target = f"http://{PRIVATE}:{port}/secret"
        with pytest.raises(netio.AddressRefused):
            await session.get(f"http://outer.test:{port}/away")
        assert (len(public.requests), private.connections) == (1, 0)


@pytest.mark.parametrize("proxy", ["http", "socks5h"])
async def test_dns_04_a_proxy_inside_is_refused(proxy: str) -> None:
    async with houses() as (port, _, private):
        options = {"network": network(), "proxy": f"{proxy}://{PRIVATE}:{port}"}
        async with netio.Session(**options) as session:  # type: ignore[arg-type]
            with pytest.raises(netio.AddressRefused):
                await session.get("http://outer.test/")
        assert private.connections == 0


@pytest.mark.parametrize("proxy", ["http", "socks5", "socks5h"])
@pytest.mark.parametrize("url", ["http://169.254.169.254/", "https://[fd00::1]/"])
async def test_dns_04_an_address_inside_is_refused_through_a_proxy_too(proxy: str, url: str) -> None:
    async with houses() as (port, public, _):
        options = {"network": network(), "proxy": f"{proxy}://{PUBLIC}:{port}"}
        async with netio.Session(**options) as session:  # type: ignore[arg-type]
            with pytest.raises(netio.AddressRefused):
                await session.get(url)
        assert public.requests == []


async def test_dns_04_through_socks5_a_name_is_resolved_here_and_checked() -> None:
    async with houses() as (port, public, _):
        options = {"network": network(inner_test=PRIVATE), "proxy": f"socks5://{PUBLIC}:{port}"}
        async with netio.Session(**options) as session:  # type: ignore[arg-type]
            with pytest.raises(netio.AddressRefused, match=r"inner\.test has the address 127\.0\.0\.1"):
                await session.get("http://inner.test/")
        assert public.requests == []


async def test_what_was_refused_is_not_tried_again_and_says_nothing_about_the_peer() -> None:
    asked: list[netio.Address] = []

    def never(address: netio.Address) -> str | None:
        asked.append(address)
        return "never"

    breaker = policy.CircuitBreaker.simple(failure_threshold=1)
    policies = [policy.Retry(attempts=3), breaker]
    outside = netio.Network(hosts={"outer.test": PUBLIC}, address_policy=never)
    async with netio.Session(network=outside, policies=policies) as session:
        for _ in range(2):
            with pytest.raises(netio.AddressRefused):
                await session.get("http://outer.test/")
    assert [str(address.ip) for address in asked] == [PUBLIC, PUBLIC]
