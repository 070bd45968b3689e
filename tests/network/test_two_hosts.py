"""Connections between two hosts: addresses that swallow everything, that refuse, and a cable that is pulled."""

from __future__ import annotations

from collections.abc import Iterator

import anyio
import pytest
from anyio.abc import ByteStream, SocketListener

import netio
from netio.testing import FakeClock
from tests.network.namespaces import HERE, THERE, THERE_6, Hosts, pull_the_cable, two_hosts
from tests.peers import Http1Peer
from tests.transport.far_ends import listen, port_of
from tests.transport.kit_tools import eventually, open_sockets

pytestmark = pytest.mark.anyio

DEAD_4 = [f"10.79.0.{number}" for number in range(1, 6)]
DEAD_6 = [f"fd79::{number}" for number in range(1, 6)]
UNREACHABLE = "10.78.0.1"
NAME = "far.test"


@pytest.fixture(scope="module")
def hosts() -> Iterator[Hosts]:
    with two_hosts() as made:
        yield made


async def far_listener(hosts: Hosts, address: str = THERE) -> SocketListener:
    with hosts.inside(hosts.there):
        return await listen(address)


class Recording(Http1Peer):
    """Notes where each connection comes from."""

    def __init__(self) -> None:
        super().__init__()
        self.clients: list[str] = []

    async def handle(self, stream: ByteStream) -> None:
        async with stream:
            self.clients.append(str(stream.extra(anyio.abc.SocketAttribute.remote_address)[0]))
            try:
                await self.serve(stream)
            except anyio.BrokenResourceError:
                return


async def test_slow_01_behind_a_black_hole_in_ipv6_the_ipv4_address_is_connected_within_300_ms(hosts: Hosts) -> None:
    clock, peer, before = FakeClock(), Recording(), open_sockets()
    network = netio.Network(hosts={NAME: [DEAD_6[0], THERE]})
    async with await far_listener(hosts) as listener, anyio.create_task_group() as group:
        group.start_soon(listener.serve, peer.handle)
        with hosts.inside(hosts.here):
            async with netio.Session(network=network, clock=clock) as session:
                async with anyio.create_task_group() as requests:
                    requests.start_soon(session.get, f"http://{NAME}:{port_of(listener)}/")
                    await clock.advance(0.24)
                    assert peer.connections == 0
                    await clock.advance(0.01)
                    await eventually(lambda: peer.connections == 1)
                assert clock.now() - 1000.0 <= 0.3
        assert peer.clients == [HERE]
        group.cancel_scope.cancel()
    await eventually(lambda: open_sockets() <= before)


async def test_slow_01_ten_black_holes_are_all_in_the_error_within_the_connect_timeout(hosts: Hosts) -> None:
    clock, before = FakeClock(), open_sockets()
    errors: list[netio.ConnectTimeout] = []
    with hosts.inside(hosts.here):
        async with netio.Session(network=netio.Network(hosts={NAME: DEAD_4 + DEAD_6}), clock=clock) as session:

            async def fetch() -> None:
                with pytest.raises(netio.ConnectTimeout) as caught:
                    await session.get(f"http://{NAME}/", timeout=netio.Timeouts(connect=2.0))
                errors.append(caught.value)

            async with anyio.create_task_group() as group:
                group.start_soon(fetch)
                await clock.advance(1.99)
                assert errors == []
                await clock.advance(0.2)
    (error,) = errors
    assert {each.address for each in error.tried} == {*DEAD_4, *(f"[{address}]" for address in DEAD_6)}
    assert len(error.tried) == 10
    assert [each.address for each in error.tried][:3] == [DEAD_4[0], f"[{DEAD_6[0]}]", DEAD_4[1]]
    assert {each.error for each in error.tried} == {"no answer"}
    assert (error.phase, error.sent) == ("connect", False)
    await eventually(lambda: open_sockets() <= before)


async def test_dns_03_addresses_that_a_router_refuses_cost_no_time(hosts: Hosts) -> None:
    peer = Recording()
    network = netio.Network(hosts={NAME: [UNREACHABLE, THERE]}, attempt_delay=60.0)
    async with await far_listener(hosts) as listener, anyio.create_task_group() as group:
        group.start_soon(listener.serve, peer.handle)
        with hosts.inside(hosts.here):
            async with netio.Session(network=network) as session:
                assert (await session.get(f"http://{NAME}:{port_of(listener)}/")).text == "hello"
        group.cancel_scope.cancel()


async def test_connections_come_from_the_local_address_and_only_its_family_is_tried(hosts: Hosts) -> None:
    peer = Recording()
    network = netio.Network(hosts={NAME: [THERE_6, THERE]}, local_address=HERE, attempt_delay=60.0)
    async with await far_listener(hosts) as listener, anyio.create_task_group() as group:
        group.start_soon(listener.serve, peer.handle)
        with hosts.inside(hosts.here):
            async with netio.Session(network=network) as session:
                assert (await session.get(f"http://{NAME}:{port_of(listener)}/")).text == "hello"
        assert peer.clients == [HERE]
        group.cancel_scope.cancel()


@pytest.mark.live  # a second of real time, which is the kernel's
async def test_what_is_not_acknowledged_ends_the_connection_by_user_timeout() -> None:
    peer = Recording()
    with two_hosts() as hosts:
        async with await far_listener(hosts) as listener, anyio.create_task_group() as group:
            group.start_soon(listener.serve, peer.handle)
            with hosts.inside(hosts.here):
                async with netio.Session(network=netio.Network(user_timeout=0.5)) as session:
                    url = f"http://{THERE}:{port_of(listener)}/"
                    assert (await session.get(url)).text == "hello"
                    pull_the_cable(hosts)
                    with pytest.raises(netio.ConnectionLost) as caught:
                        await session.post(url, content="x")
                    assert "connection timed out" in str(caught.value.__cause__)
            group.cancel_scope.cancel()
