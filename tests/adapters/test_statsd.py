"""What StatsdWriter writes."""

from __future__ import annotations

import re
import socket

import pytest

import netio
from netio.adapters import StatsdWriter
from netio.observe import BreakerChanged, Hedged
from netio.testing import MemoryNetwork
from tests.adapters.conftest import BASE
from tests.canary import Canary

pytestmark = pytest.mark.anyio

_LINE = re.compile(rb"[A-Za-z0-9_.]+:[0-9.]+\|(?:c|ms)(?:\|#[^\n]+)?\n").fullmatch


async def said(network: MemoryNetwork, path: str, *, tags: bool = False) -> list[bytes]:
    """Return the lines about one request."""
    datagrams: list[bytes] = []
    async with netio.Session(
        connect=network.connect, observer=StatsdWriter(write=datagrams.append, tags=tags)
    ) as session:
        try:
            await session.post(f"{BASE}{path}")
        except netio.NetioError:
            assert path == "/cut"
    lines = [line for datagram in datagrams for line in datagram.splitlines(keepends=True)]
    assert all(map(_LINE, lines))
    return [re.sub(rb":[0-9.]+\|ms", b":N|ms", line) for line in lines]


async def test_a_request_is_a_counter_and_a_timer(network: MemoryNetwork) -> None:
    assert await said(network, "/200") == [
        b"netio.connections.opened:1|c\n",
        b"netio.requests.peer_test.200:1|c\n",
        b"netio.duration.peer_test:N|ms\n",
        b"netio.connections.closed:1|c\n",
    ]


async def test_with_tags_names_are_short(network: MemoryNetwork) -> None:
    lines = await said(network, "/404", tags=True)
    assert b"netio.requests:1|c|#host:peer.test,outcome:404\n" in lines
    assert b"netio.duration:N|ms|#host:peer.test\n" in lines


async def test_a_failure_is_counted_by_its_error(network: MemoryNetwork) -> None:
    names = {line.partition(b":")[0] for line in await said(network, "/cut")}
    assert any(name.startswith(b"netio.requests.peer_test.") and b"200" not in name for name in names)


def test_datagrams_go_over_udp() -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as server:
        server.bind(("127.0.0.1", 0))
        server.settimeout(5)
        writer = StatsdWriter(port=server.getsockname()[1], prefix="shop")
        try:
            writer(Hedged(netio.Request("GET", BASE), 0.1))
            assert server.recv(2_000) == b"shop.hedges:1|c\n"
        finally:
            writer.close()


def test_what_cannot_be_sent_is_dropped() -> None:
    writer = StatsdWriter(port=9)
    writer(BreakerChanged("db", "closed", "open"))
    writer.close()
    writer(BreakerChanged("db", "open", "closed"))
    assert writer._socket is not None
    assert writer._socket.fileno() == -1


def test_a_hostile_key_cannot_write_lines_of_its_own() -> None:
    written: list[bytes] = []
    StatsdWriter(write=written.append, tags=True)(BreakerChanged("a", "closed", "open\nx:1|c|#y"))
    assert written == [b"netio.breaker:1|c|#outcome:open_x_1_c__y\n"]


async def test_log_01_no_secret_is_written(network: MemoryNetwork) -> None:
    canary, written = Canary(), list[bytes]()
    async with netio.Session(connect=network.connect, observer=StatsdWriter(write=written.append)) as session:
        await session.post(
            canary.url(f"{BASE}/200"), headers=canary.headers, cookies=canary.cookies, content=canary.body
        )
    assert canary.leaks(b"".join(written).decode()) == []
    assert len(written) >= 2
