"""Dialing through a proxy: its time, its end, its cancellation at every point."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import anyio
import pytest
from anyio.abc import ByteStream

import netio
from netio import Origin, Proxy
from netio.testing import FakeClock, MemoryNetwork, cancel_everywhere
from netio.testing._clock import all_tasks_at_rest
from netio.transport import Dial, Dialer, Link, Proxies, Runtime
from netio.transport._proxy import Kind
from tests.transport.far_ends import client_context
from tests.transport.proxy.sides import LOOPBACK, ORIGIN_NAME, PROXY_NAME, OriginSide, ProxySide, serving

pytestmark = pytest.mark.anyio

CREDENTIALS = ("gatekeeper", "secret")
PROXY_PORT = 3128
every_kind = pytest.mark.parametrize("kind", ["http", "https", "socks5h"])


@asynccontextmanager
async def network(kind: Kind, origin: OriginSide) -> AsyncIterator[MemoryNetwork]:
    """A network in memory with a proxy and, behind it, an origin."""
    async with MemoryNetwork() as behind, MemoryNetwork() as here:
        behind.listen(ORIGIN_NAME, 443 if origin.scheme == "https" else 80, origin.serve)
        proxy = ProxySide(kind, CREDENTIALS, reach=behind.connect)
        here.listen(PROXY_NAME, PROXY_PORT, proxy.serve)
        yield here


def dialer(runtime: Runtime, here: MemoryNetwork, kind: Kind) -> Dialer:
    proxy = Proxy(f"{kind}://{PROXY_NAME}:{PROXY_PORT}", credentials=CREDENTIALS, verify=client_context())
    return Dialer(runtime, verify=client_context(), alpn=("http/1.1",), connect=here.connect, proxies=Proxies.of(proxy))


@every_kind
@pytest.mark.parametrize("scheme", ["http", "https"])
async def test_a_dial_cancelled_anywhere_leaves_no_connection(runtime: Runtime, kind: Kind, scheme: str) -> None:
    origin = OriginSide("https" if scheme == "https" else "http")
    async with network(kind, origin) as here:
        through = dialer(runtime, here, kind)
        links: list[Link] = []

        async def scenario() -> None:
            dial = Dial(Origin(scheme, ORIGIN_NAME, 443 if scheme == "https" else 80))
            links.append(await through.dial(dial))
            assert dial.phase == ("tls" if scheme == "https" else "proxy")

        async def after() -> None:
            for link in links:
                link.abort()
            links.clear()
            await all_tasks_at_rest()
            assert here.open_connections == 0

        assert await cancel_everywhere(scenario, after) >= (5 if scheme == "https" else 1)
        await through.aclose()


@every_kind
@pytest.mark.parametrize("scheme", ["http", "https"])
async def test_a_session_closed_while_the_proxy_is_silent_leaves_nothing(kind: Kind, scheme: str) -> None:
    silent = anyio.Event()

    async def say_nothing(stream: ByteStream) -> None:
        silent.set()
        await anyio.sleep_forever()

    with anyio.fail_after(20):
        async with serving(say_nothing) as (port,), anyio.create_task_group() as group:
            proxy = Proxy(f"{kind}://{LOOPBACK}:{port}", verify=client_context())
            session = netio.Session(proxy=proxy)

            async def ask() -> None:
                with pytest.raises(netio.SessionClosed):
                    await session.get(f"{scheme}://{ORIGIN_NAME}/")

            group.start_soon(ask)
            await silent.wait()
            await session.aclose()
        stats = session.stats()
        assert (stats.active, stats.idle, stats.dialing, stats.queued) == (0, 0, 0, 0)


@every_kind
async def test_px_04_a_silent_proxy_is_waited_for_as_long_as_connecting_may_take(kind: Kind) -> None:
    silent = anyio.Event()

    async def say_nothing(stream: ByteStream) -> None:
        silent.set()
        await anyio.sleep_forever()

    clock, failed = FakeClock(), anyio.Event()
    proxy = Proxy(f"{kind}://{PROXY_NAME}:{PROXY_PORT}", verify=client_context())
    with anyio.fail_after(20):
        async with MemoryNetwork() as here, anyio.create_task_group() as group:
            here.listen(PROXY_NAME, PROXY_PORT, say_nothing)
            async with netio.Session(proxy=proxy, connect=here.connect, clock=clock) as session:

                async def ask() -> None:
                    with pytest.raises(netio.ConnectTimeout) as caught:
                        await session.get(f"https://{ORIGIN_NAME}/", timeout=netio.Timeouts(connect=5, total=60))
                    assert (caught.value.phase, caught.value.sent) == ("proxy", False)
                    failed.set()

                group.start_soon(ask)
                await silent.wait()
                await clock.advance(4.9)
                assert session.stats().dialing == 1
                await clock.advance(0.2)
                await failed.wait()


async def test_px_04_a_refused_tunnel_is_not_asked_for_again_by_retries() -> None:
    asked: list[bytes] = []

    async def refuse(stream: ByteStream) -> None:
        asked.append(await stream.receive())
        await stream.send(b"HTTP/1.1 407 Proxy Authentication Required\r\nProxy-Authenticate: Basic\r\n\r\n")

    async with MemoryNetwork() as here:
        here.listen(PROXY_NAME, PROXY_PORT, refuse)
        proxy = Proxy(f"http://{PROXY_NAME}:{PROXY_PORT}", credentials=("user", "wrong"))
        async with netio.Session(proxy=proxy, connect=here.connect, policies=netio.policy.standard()) as session:
            with pytest.raises(netio.ProxyError) as caught:
                await session.get(f"https://{ORIGIN_NAME}/")
    assert caught.value.status_code == 407
    assert len(asked) == 1
