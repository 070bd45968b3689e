"""What is decided over TLS: the version by ALPN, the way back to HTTP/1.1, and whose connection it is."""

from __future__ import annotations

import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial
from typing import Literal

import anyio
import pytest
import trustme
from anyio.abc import ByteStream
from anyio.streams.tls import TLSAttribute, TLSStream

import netio
from netio.wire import EngineName
from tests.client.conftest import House, make_house
from tests.http2.raw import HEADERS, Outcome, RawPeer, RawSide, code_of, goaway, reset
from tests.peers import Http1Peer

pytestmark = pytest.mark.anyio

URL = "https://peer.test/"
HTTP_1_1_REQUIRED = code_of("HTTP_1_1_REQUIRED")


@pytest.fixture(scope="module")
def authority() -> trustme.CA:
    return trustme.CA()


class BothVersions:
    """A TLS server that speaks whatever ALPN comes to."""

    def __init__(self, authority: trustme.CA, http2: RawPeer, offers: tuple[str, ...] = ("h2", "http/1.1")) -> None:
        self.http1 = Http1Peer()
        self.http2 = http2
        self.offered: list[str | None] = []
        self.may_shake_hands = anyio.Event()
        self.may_shake_hands.set()
        self._context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self._context.set_alpn_protocols(list(offers))
        authority.issue_cert("peer.test", "other.test").configure_cert(self._context)

    @property
    def open_streams(self) -> int:
        return self.http2.open_streams

    async def serve(self, stream: ByteStream) -> None:
        await self.may_shake_hands.wait()
        tls = await TLSStream.wrap(stream, server_side=True, ssl_context=self._context, standard_compatible=False)
        chosen = tls.extra(TLSAttribute.alpn_protocol)
        self.offered.append(chosen)
        await (self.http2 if chosen == "h2" else self.http1).serve(tls)


@asynccontextmanager
async def tls_house(
    engine: EngineName, authority: trustme.CA, http2: RawPeer, offers: tuple[str, ...] = ("h2", "http/1.1")
) -> AsyncIterator[tuple[House, BothVersions]]:
    context = ssl.create_default_context()
    authority.configure_trust(context)
    async with make_house("HTTP/2", engine=engine, http2=True, verify=context) as house:
        server = house.peer = BothVersions(authority, http2, offers)
        for name in ("peer.test", "other.test"):
            house.network.listen(name, 443, server.serve)
        yield house, server


class Requires11(RawPeer):
    """Wants HTTP/1.1, once so many requests are there, and says so in one of the ways there are."""

    def __init__(self, how: Literal["reset", "goaway", "goaway and end"], after: int = 1) -> None:
        super().__init__()
        self.how = how
        self.after = after

    async def respond(self, side: RawSide, stream_id: int, request: str, body: bytes) -> None:
        if len(side.open) < self.after:
            return
        if self.how == "reset":
            await side.say(*[reset(number, HTTP_1_1_REQUIRED) for number in list(side.open)])
        elif self.how == "goaway":
            await side.say(goaway(0, HTTP_1_1_REQUIRED))
        else:
            await side.say(goaway(max(side.open), HTTP_1_1_REQUIRED))
            await side.stream.aclose()


@pytest.mark.parametrize("method", ["GET", "POST"])
@pytest.mark.parametrize("how", ["reset", "goaway", "goaway and end"])
async def test_h2_23_http11_required_falls_back_once_and_is_remembered(
    engine: EngineName, authority: trustme.CA, how: Literal["reset", "goaway", "goaway and end"], method: str
) -> None:
    async with tls_house(engine, authority, Requires11(how)) as (house, server):
        for _ in range(3):
            response = await house.session.request(method, URL, content=b"x" if method == "POST" else None)
            assert (response.content, response.http_version) == (b"hello", "HTTP/1.1")
        await house.settle()
        assert server.offered == ["h2", "http/1.1"]
        assert len(server.http2.requests) == 1


@pytest.mark.parametrize("how", ["reset", "goaway"])
async def test_h2_23_all_that_share_the_connection_fall_back_with_it(
    engine: EngineName, authority: trustme.CA, how: Literal["reset", "goaway"]
) -> None:
    async with tls_house(engine, authority, Requires11(how, after=5)) as (house, server):
        outcomes = [Outcome() for _ in range(5)]
        async with anyio.create_task_group() as group:
            for outcome in outcomes:
                group.start_soon(partial(outcome.of, house.session, URL, "POST", content=b"x"))
        assert [outcome.content for outcome in outcomes] == [b"hello"] * 5
        assert (len(server.http2.requests), server.offered.count("h2")) == (5, 1)
        assert house.session.stats().created == 6


async def test_h2_23_without_a_way_back_http11_required_is_the_error(engine: EngineName, authority: trustme.CA) -> None:
    async with make_house("HTTP/2", engine=engine) as house:  # prior knowledge
        house.peer = Requires11("reset")
        house.network.listen("peer.test", 80, house.peer.serve)
        outcome = Outcome()
        await outcome.of(house.session, "/", "POST", content=b"x")
        outcome.check_error(netio.StreamReset, "HTTP_1_1_REQUIRED")
        assert house.peer.requests == ["POST /"]


async def test_h2_29_many_requests_wait_for_one_handshake(engine: EngineName, authority: trustme.CA) -> None:
    async with tls_house(engine, authority, RawPeer()) as (house, server):
        server.may_shake_hands = anyio.Event()
        count = 1_000 if engine == "fast" else 300
        outcomes = [Outcome() for _ in range(count)]
        async with anyio.create_task_group() as group:
            for outcome in outcomes:
                group.start_soon(outcome.of, house.session, URL)
            await house.settle()
            stats = house.session.stats()
            assert (stats.dialing, stats.queued) == (1, count)
            server.may_shake_hands.set()
        assert {outcome.content for outcome in outcomes} == {b"hello"}
        # A hundred at a time on the first one; the queue behind them is worth more connections.
        assert server.offered == ["h2"] * house.session.stats().created
        await house.assert_clean()


async def test_h2_29_when_the_handshake_comes_to_http1_nobody_is_lost(
    engine: EngineName, authority: trustme.CA
) -> None:
    async with tls_house(engine, authority, RawPeer(), offers=("http/1.1",)) as (house, server):
        outcomes = [Outcome() for _ in range(60)]
        async with anyio.create_task_group() as group:
            for outcome in outcomes:
                group.start_soon(outcome.of, house.session, URL)
        assert {outcome.content for outcome in outcomes} == {b"hello"}
        assert set(server.offered) == {"http/1.1"}
        assert house.session.stats().created <= 60


async def test_h2_31_a_certificate_for_two_names_makes_no_shared_connection(
    engine: EngineName, authority: trustme.CA
) -> None:
    async with tls_house(engine, authority, RawPeer()) as (house, server):
        for url in (URL, "https://other.test/", URL):
            assert (await house.session.get(url)).content == b"hello"
        assert [len(side.of(HEADERS)) for side in server.http2.sides] == [2, 1]
        await house.assert_clean(connections=2)
