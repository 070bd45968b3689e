"""TLS sessions: kept, resumed, and never where they do not belong."""

from __future__ import annotations

import ssl
import time
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import anyio
import anyio.abc
import pytest

import netio
from netio.errors import TLSError
from netio.testing import MemoryNetwork, MemoryStream
from netio.transport import TLSChannel
from netio.transport._tls_client import TLSClient
from netio.transport._tls_sessions import REUSE_SECONDS
from tests.transport import far_ends
from tests.transport.far_ends import HOST, OTHER_HOST, TLSPeer, client_context, server_context
from tests.transport.tls_certificates import NOW, authority, issue
from tests.transport.tls_server import Server as TLSServer
from tests.transport.tls_server import Site, shake_hands

pytestmark = pytest.mark.anyio

# ------------------------------------------------------------------ through a session


VERSIONS = [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3]
PRE_SHARED_KEY, EARLY_DATA = 41, 42  # RFC 8446 section 4.2


def context_of(version: ssl.TLSVersion) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    far_ends.authority().issue_cert(HOST, OTHER_HOST).configure_cert(context)
    context.maximum_version = version
    return context


async def get(session: netio.Session, host: str = HOST) -> netio.Response:
    response = await session.get(f"https://{host}/")
    assert response.content == b"ok"
    return response


@pytest.mark.parametrize("version", VERSIONS)
async def test_the_second_connection_resumes_the_session_of_the_first(version: ssl.TLSVersion) -> None:
    site = Site(context_of(version), closes=True)
    async with MemoryNetwork() as network:
        network.listen(HOST, 443, site)
        async with netio.Session(connect=network.connect, verify=client_context()) as session:
            for _ in range(4):
                await get(session)
    assert site.resumed == [False, True, True, True]


async def test_a_connection_that_stays_open_gives_its_session_too() -> None:
    site = Site()
    async with MemoryNetwork() as network:
        network.listen(HOST, 443, site)
        async with netio.Session(connect=network.connect, verify=client_context()) as session:
            await get(session)
            async with anyio.create_task_group() as group:
                for _ in range(2):
                    group.start_soon(get, session)
    assert site.connections == 2
    assert site.resumed == [False, True]


async def test_connections_opened_together_resume_the_one_session() -> None:
    site = Site()
    async with MemoryNetwork() as network:
        network.listen(HOST, 443, site)
        async with netio.Session(connect=network.connect, verify=client_context()) as session:
            await get(session)
            async with anyio.create_task_group() as group:
                for _ in range(5):
                    group.start_soon(get, session)
    assert site.resumed == [False] + [True] * 4


async def test_tls_09_after_a_minute_no_ticket_is_seen_twice(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever listens could tell that both connections are of one client, wherever that has gone meanwhile."""
    site, seen, now = Site(closes=True), [], time.time()
    monkeypatch.setattr("netio.transport._tls_client.time.time", lambda: now)

    async def serve(stream: MemoryStream) -> None:
        first = await stream.receive()
        seen.append(extensions_of(first).get(PRE_SHARED_KEY))
        await site(Rewound(stream, first))

    async with MemoryNetwork() as network:
        network.listen(HOST, 443, serve)
        async with netio.Session(connect=network.connect, verify=client_context()) as session:
            for _ in range(4):
                await get(session)
                now += REUSE_SECONDS + 1
    assert site.resumed == [False, True, True, True]
    identities = [hello[4 : 4 + int.from_bytes(hello[2:4], "big")] for hello in seen if hello is not None]
    assert len(set(identities)) == 3


async def test_http2_resumes_as_well() -> None:
    """Its server may say something before the ticket; the client looks again, and again at close."""
    context = server_context("h2", "http/1.1")
    resumed: list[bool] = []

    async def serve(stream: MemoryStream) -> None:
        peer = TLSPeer(stream, context)
        await peer.handshake()
        resumed.append(bool(peer.object.session_reused))
        await peer.send(b"\0\0\0\4\0\0\0\0\0")  # SETTINGS
        while True:
            await peer.receive()

    async with MemoryNetwork() as network:
        network.listen(HOST, 443, serve)
        client = TLSClient(client_context(), anyio.CapacityLimiter(1))
        for _ in range(2):
            stream = await network.connect(HOST, 443)
            channel = await client.secure(stream, HOST, 443, alpn=("h2",))
            assert channel.alpn == "h2"
            while not channel.decrypt(await stream.receive()):
                pass
            await stream.aclose()
    assert resumed == [False, True]
    assert (client.full, client.resumed) == (1, 1)


async def test_sessions_may_be_turned_off() -> None:
    ca = authority()
    site = Site(issue(HOST, by=ca).server(), closes=True)
    async with MemoryNetwork() as network:
        network.listen(HOST, 443, site)
        tls = netio.TLS(ca=ca.pem, sessions=False)
        async with netio.Session(connect=network.connect, verify=tls) as session:
            for _ in range(3):
                await get(session)
    assert site.resumed == [False] * 3


async def test_tls_09_two_sessions_share_no_tickets() -> None:
    site = Site(closes=True)
    async with MemoryNetwork() as network:
        network.listen(HOST, 443, site)
        for _ in range(3):
            async with netio.Session(connect=network.connect, verify=client_context()) as session:
                await get(session)
    assert site.resumed == [False] * 3


async def test_tls_09_a_ticket_is_not_offered_to_another_host_or_port() -> None:
    site = Site(closes=True)
    async with MemoryNetwork() as network:
        for host, port in [(HOST, 443), (OTHER_HOST, 443), (HOST, 8443)]:
            network.listen(host, port, site)
        async with netio.Session(connect=network.connect, verify=client_context()) as session:
            for url in [f"https://{HOST}/", f"https://{OTHER_HOST}/", f"https://{HOST}:8443/"]:
                await session.get(url)
    assert site.resumed == [False] * 3


async def test_tls_09_no_early_data_is_sent() -> None:
    """What could be replayed would be in the first flight, behind the ClientHello."""
    site, firsts = Site(closes=True), []

    async def serve(stream: MemoryStream) -> None:
        first = await stream.receive()
        firsts.append(first)
        await site(Rewound(stream, first))

    async with MemoryNetwork() as network:
        network.listen(HOST, 443, serve)
        async with netio.Session(connect=network.connect, verify=client_context()) as session:
            for _ in range(2):
                await get(session)
    assert site.resumed == [False, True]
    for first in firsts:
        assert (first[0], len(first)) == (22, 5 + int.from_bytes(first[3:5], "big"))  # one record of the handshake
        assert EARLY_DATA not in extensions_of(first)
    assert [PRE_SHARED_KEY in extensions_of(first) for first in firsts] == [False, True]


class Rewound(anyio.abc.ByteStream):
    """A stream of which something has been read already."""

    def __init__(self, stream: MemoryStream, first: bytes) -> None:
        self._stream = stream
        self._first = first

    async def receive(self, max_bytes: int = 65_536) -> bytes:
        first, self._first = self._first, b""
        return first or await self._stream.receive(max_bytes)

    async def send(self, item: bytes) -> None:
        await self._stream.send(item)

    async def send_eof(self) -> None:
        await self._stream.send_eof()

    async def aclose(self) -> None:
        await self._stream.aclose()


def extensions_of(hello: bytes) -> dict[int, bytes]:
    """Return the extensions of a ClientHello that is in one record (RFC 8446 section 4.1.2)."""
    at = 5 + 4 + 2 + 32  # record, handshake, version, random
    at += 1 + hello[at]  # session id
    at += 2 + int.from_bytes(hello[at : at + 2], "big")  # cipher suites
    at += 1 + hello[at]  # compression
    at += 2
    found = {}
    while at < len(hello):
        size = int.from_bytes(hello[at + 2 : at + 4], "big")
        found[int.from_bytes(hello[at : at + 2], "big")] = hello[at + 4 : at + 4 + size]
        at += 4 + size
    return found


async def test_tls_09_a_ticket_expires_with_the_certificate(monkeypatch: pytest.MonkeyPatch) -> None:
    ca = authority()
    leaf = issue(HOST, by=ca, valid=(NOW - timedelta(days=1), NOW + timedelta(minutes=30)))
    site = Site(leaf.server(), closes=True)
    async with MemoryNetwork() as network:
        network.listen(HOST, 443, site)
        async with netio.Session(connect=network.connect, verify=netio.TLS(ca=ca.pem)) as session:
            await get(session)
            later = time.time() + 1_801
            monkeypatch.setattr("netio.transport._tls_client.time.time", lambda: later)
            await get(session)  # OpenSSL has a clock of its own, by which the certificate is good still
    assert site.resumed == [False, False]


@pytest.mark.parametrize("version", VERSIONS)
async def test_a_server_that_has_forgotten_the_session_shakes_hands_in_full(version: ssl.TLSVersion) -> None:
    sites = [Site(context_of(version), closes=True) for _ in range(2)]
    client = TLSClient(client_context(), anyio.CapacityLimiter(1))
    async with MemoryNetwork() as network:
        for number in (0, 1, 1):
            network.listen(HOST, 443, sites[number])
            await talk(client, network)
    assert [site.resumed for site in sites] == [[False], [False, True]]
    assert (client.full, client.resumed) == (2, 1)


async def talk(client: TLSClient, network: MemoryNetwork, alpn: tuple[str, ...] = ()) -> None:
    stream = await network.connect(HOST, 443)
    channel = await client.secure(stream, HOST, 443, alpn=alpn)
    await stream.send(channel.encrypt(b"GET / HTTP/1.1\r\n\r\n"))
    while not channel.decrypt(await stream.receive()):
        pass
    channel.close()
    await stream.aclose()


async def break_off(stream: MemoryStream) -> None:
    await stream.receive()
    await stream.send(b"\x15\x03\x03\x00\x02\x02\x28")  # handshake_failure


async def close_at_once(stream: MemoryStream) -> None:
    await stream.receive()


@pytest.mark.parametrize("broken", [break_off, close_at_once])
async def test_a_server_that_cannot_bear_sessions_is_offered_none_any_more(
    broken: Callable[[MemoryStream], Any],
) -> None:
    site = Site(closes=True)
    client = TLSClient(client_context(), anyio.CapacityLimiter(1))
    async with MemoryNetwork() as network:
        network.listen(HOST, 443, site)
        await talk(client, network)
        network.listen(HOST, 443, broken)
        with pytest.raises(TLSError):
            await talk(client, network)
        network.listen(HOST, 443, site)
        for _ in range(2):
            await talk(client, network)
    assert site.resumed == [False, False, False]


async def test_tls_04_a_context_that_comes_to_check_does_not_resume_what_was_not_checked() -> None:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    ca = authority()
    site = Site(issue("wrong.test", by=ca).server(), closes=True)
    client = TLSClient(context, anyio.CapacityLimiter(1))
    async with MemoryNetwork() as network:
        network.listen(HOST, 443, site)
        await talk(client, network)
        context.verify_mode = ssl.CERT_REQUIRED
        context.load_verify_locations(cadata=ca.pem.decode())
        await talk(client, network)
        context.check_hostname = True
        with pytest.raises(netio.CertificateError) as caught:
            await talk(client, network)
    assert caught.value.reason == "wrong name"
    assert site.resumed == [False, False]


async def test_each_list_of_protocols_has_sessions_of_its_own() -> None:
    """A session belongs to its context, and a context has one list of protocols."""
    ca = authority()
    site = Site(issue(HOST, by=ca).server(), closes=True)
    client = TLSClient(netio.TLS(ca=ca.pem), anyio.CapacityLimiter(1))
    async with MemoryNetwork() as network:
        network.listen(HOST, 443, site)
        for alpn in [("h2", "http/1.1"), ("http/1.1",), ("http/1.1",), ("h2", "http/1.1")]:
            await talk(client, network, alpn)
    assert site.resumed == [False, False, True, True]


# ------------------------------------------------------------------ when it is looked for


def watched(
    tickets: int, version: ssl.TLSVersion = ssl.TLSVersion.TLSv1_3
) -> tuple[TLSChannel, TLSServer, list[object]]:
    """Return a channel and its server, after the handshake, and where the channel's session will be put."""
    context = context_of(version)
    context.num_tickets = tickets
    channel, server = TLSChannel(client_context(), HOST), TLSServer(context)
    found: list[object] = []
    rest = shake_hands(channel, server)
    channel.keep_session(found.append)
    assert channel.decrypt(rest) == b""
    return channel, server, found


@pytest.mark.parametrize("version", VERSIONS)
def test_a_session_is_given_away_once_with_the_first_plaintext(version: ssl.TLSVersion) -> None:
    channel, server, found = watched(2, version)
    assert found == []
    for _ in range(3):
        assert channel.decrypt(server.send(b"x")) == b"x"
        assert len(found) == 1
        assert type(channel) is TLSChannel  # so that no read costs more than without
    channel.close()
    assert len(found) == 1


def test_a_server_that_sends_no_ticket_is_looked_at_a_few_times_and_no_more() -> None:
    channel, server, found = watched(0)
    kinds = []
    for _ in range(4):
        assert channel.decrypt(server.send(b"x")) == b"x"
        kinds.append(type(channel) is TLSChannel)
    assert kinds == [False, False, True, True]
    channel.close()
    assert found == []


def test_what_comes_behind_close_is_decrypted_though_the_session_is_given_away() -> None:
    channel, server, found = watched(2)
    channel.close()
    assert channel.decrypt(server.send(b"late")) == b"late"
    assert len(found) == 1


def test_a_session_that_came_with_no_plaintext_is_found_at_close() -> None:
    channel, _, found = watched(2)
    channel.close()
    assert len(found) == 1


def test_a_connection_that_broke_gives_no_session() -> None:
    channel, _, found = watched(2)
    assert channel.decrypt(b"garbage, surely no record") == b""
    assert channel.failure is not None
    channel.close()
    assert found == []
