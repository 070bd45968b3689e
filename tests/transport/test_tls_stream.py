"""A byte stream inside TLS, and TLS inside TLS: what an https proxy needs."""

from __future__ import annotations

import select
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import anyio
import pytest
from anyio.abc import ByteStream

from netio.errors import CertificateError
from netio.testing import MemoryStream, cancel_everywhere
from netio.transport import Link, Runtime, StreamLink, TLSChannel
from netio.transport._socket_stream import SocketStream
from netio.transport._tls_client import TLSClient, shake_hands
from netio.transport._tls_stream import TLSStream
from tests.transport.far_ends import HOST, OTHER_HOST, TLSPeer, client_context, socket_pair
from tests.transport.kit_tools import eventually, pattern
from tests.transport.link_kit import CHECKS, NAMES, Check

pytestmark = pytest.mark.anyio


class Duplexed:
    """Both ends of a connection under TLS: ours is a TLSStream, theirs a TLSPeer, and what is between them."""

    def __init__(self, ours: TLSStream, theirs: TLSPeer, below: MemoryStream, peer_below: MemoryStream) -> None:
        self.ours = ours
        self.theirs = theirs
        self.below = below
        self.peer_below = peer_below


async def connected(capacity: int = 65_536) -> Duplexed:
    below, peer_below = MemoryStream.pair(capacity)
    peer, channel = TLSPeer(peer_below), TLSChannel(client_context(), HOST)
    async with anyio.create_task_group() as group:
        group.start_soon(peer.handshake)
        await shake_hands(below, channel)
    return Duplexed(TLSStream(below, channel), peer, below, peer_below)


@asynccontextmanager
async def within(seconds: float = 5.0) -> AsyncIterator[None]:
    with anyio.fail_after(seconds):
        yield


async def test_bytes_go_both_ways_at_the_same_time() -> None:
    pair, data = await connected(4_096), pattern(400_000)
    received = {"ours": b"", "theirs": b""}

    async def take(name: str, stream: ByteStream) -> None:
        while len(received[name]) < len(data):
            received[name] += await stream.receive(7_000)

    async with within(), anyio.create_task_group() as group:
        group.start_soon(take, "ours", pair.ours)
        group.start_soon(take, "theirs", pair.theirs)
        group.start_soon(pair.theirs.send, data)
        await pair.ours.send(data)
    assert received == {"ours": data, "theirs": data}


async def test_no_more_is_received_than_is_asked_for() -> None:
    pair = await connected()
    await pair.theirs.send(b"hello")
    assert [await pair.ours.receive(2) for _ in range(3)] == [b"he", b"ll", b"o"]


async def test_close_notify_is_the_end_and_an_end_without_is_a_break() -> None:
    pair = await connected()
    await pair.theirs.send(b"last")
    await pair.theirs.send_eof()
    assert await pair.ours.receive() == b"last"
    with pytest.raises(anyio.EndOfStream):
        await pair.ours.receive()
    pair = await connected()
    await pair.theirs.aclose()
    with pytest.raises(anyio.BrokenResourceError, match="without close_notify"):
        await pair.ours.receive()


async def test_a_broken_record_is_a_broken_stream_after_what_came_before() -> None:
    pair = await connected()
    await pair.theirs.send(b"good")
    await pair.peer_below.send(b"garbage, surely no record")
    assert await pair.ours.receive() == b"good"
    with pytest.raises(anyio.BrokenResourceError, match="broke the TLS protocol"):
        await pair.ours.receive()


async def test_our_end_may_end_while_theirs_goes_on() -> None:
    pair = await connected()
    await pair.ours.send_eof()
    with pytest.raises(anyio.EndOfStream):
        await pair.theirs.receive()
    await pair.theirs.send(b"still here")
    assert await pair.ours.receive() == b"still here"
    with pytest.raises(anyio.BrokenResourceError, match="closed"):
        await pair.ours.send(b"more")


async def test_closing_says_so_and_closes_what_is_below() -> None:
    pair = await connected()
    await pair.ours.aclose()
    await pair.ours.aclose()
    assert pair.below.is_closed is True
    with pytest.raises(anyio.EndOfStream):
        await pair.theirs.receive()
    for use in (pair.ours.receive(), pair.ours.send(b"x"), pair.ours.send_eof()):
        with pytest.raises(anyio.ClosedResourceError):
            await use


async def test_closing_after_the_peer_has_left_is_no_error() -> None:
    pair = await connected()
    pair.peer_below.reset()
    await pair.ours.aclose()
    assert pair.below.is_closed is True


async def test_pool_01_nothing_follows_a_send_that_was_cancelled() -> None:
    """Half a record may have left: whatever came behind it would be read as its other half."""
    pair = await connected(1_024)
    with anyio.move_on_after(0.01):
        await pair.ours.send(pattern(100_000))
    with pytest.raises(anyio.BrokenResourceError, match="interrupted"):
        await pair.ours.send(b"more")
    with anyio.fail_after(1):
        await pair.ours.aclose()  # and no close_notify either
    assert pair.below.is_closed is True


async def test_two_sends_at_a_time_are_refused() -> None:
    pair = await connected(1_024)
    async with anyio.create_task_group() as group:
        group.start_soon(pair.ours.send, pattern(100_000))
        await anyio.wait_all_tasks_blocked()
        with pytest.raises(anyio.BusyResourceError):
            await pair.ours.send(b"more")
        group.cancel_scope.cancel()


@pytest.mark.parametrize("size", [1, 5_000])
async def test_what_is_there_can_be_taken_without_waiting(size: int) -> None:
    pair = await connected()
    take = pair.ours.receive_nowait
    assert take is not None
    assert take() is None
    await pair.theirs.send(pattern(size))
    assert take() == pattern(size)
    assert take() is None
    await pair.theirs.send_eof()
    assert take() == b""


async def test_a_stream_that_cannot_be_asked_does_not_pretend_to() -> None:
    class Mute(ByteStream):
        async def receive(self, max_bytes: int = 65_536) -> bytes:
            raise anyio.EndOfStream

        async def send(self, item: bytes) -> None:
            raise anyio.BrokenResourceError

        async def send_eof(self) -> None:
            raise anyio.BrokenResourceError

        async def aclose(self) -> None:
            return

    stream = TLSStream(Mute(), TLSChannel(client_context(), HOST))
    assert stream.receive_nowait is None


# ------------------------------------------------------------------ TLS in TLS


async def make_tls_in_tls(runtime: Runtime) -> tuple[Link, ByteStream]:
    pair = await connected(16_384)
    inner, channel = TLSPeer(pair.theirs), TLSChannel(client_context(), OTHER_HOST)
    async with anyio.create_task_group() as group:
        group.start_soon(inner.handshake)
        await shake_hands(pair.ours, channel)
    return StreamLink(pair.ours, runtime, channel), inner


@pytest.mark.parametrize("is_pumped", [False, True], ids=["pulled", "pumped"])
@pytest.mark.parametrize("check", CHECKS, ids=NAMES)
async def test_a_link_in_tls_in_tls_passes(
    runtime: Runtime, check: Check, is_pumped: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("netio.transport._queueing_link.CLOSE_SECONDS", 0.05)
    await check(lambda: make_tls_in_tls(runtime), is_pumped=is_pumped)


async def test_tls_07_both_certificates_are_checked() -> None:
    """urllib3 CVE-2021-28363: the proxy's was not. The origin's is checked inside, by a client of its own."""
    limiter = anyio.CapacityLimiter(1)
    stranger, trusted = TLSClient(True, limiter), TLSClient(client_context(), limiter)

    async def attempt(proxy: TLSClient, origin: TLSClient) -> TLSChannel:
        below, peer_below = MemoryStream.pair()

        async def serve() -> None:
            outer = TLSPeer(peer_below)
            try:
                await outer.handshake()
                await TLSPeer(outer).handshake()
            except (ssl.SSLError, anyio.EndOfStream, anyio.BrokenResourceError):
                peer_below.close()

        async with anyio.create_task_group() as group:
            group.start_soon(serve)
            failure: CertificateError | None = None
            try:
                channel = await proxy.secure(below, HOST, 8443, alpn=())
                inner = await origin.secure(TLSStream(below, channel), OTHER_HOST, 443, alpn=("http/1.1",))
            except CertificateError as error:
                failure = error
            below.close()
        if failure is not None:
            raise failure
        return inner

    for proxy, origin in [(stranger, trusted), (trusted, stranger)]:
        with pytest.raises(CertificateError) as caught:
            await attempt(proxy, origin)
        assert caught.value.reason == "unknown issuer"
    assert (await attempt(trusted, trusted)).version == "TLSv1.3"


async def test_tls_over_a_socket_can_be_asked_what_is_there(runtime: Runtime) -> None:
    sock, far = await socket_pair()
    stream, peer, channel = SocketStream(sock, runtime), TLSPeer(far), TLSChannel(client_context(), HOST)
    async with within(), anyio.create_task_group() as group:
        group.start_soon(peer.handshake)
        await shake_hands(stream, channel)
    secured = TLSStream(stream, channel)
    take = secured.receive_nowait
    assert take is not None
    await peer.send(b"hello")
    await eventually(lambda: bool(select.select([sock], [], [], 0)[0]))
    assert take() == b"hello"
    assert take() is None
    await peer.send(b"goodbye")
    assert await secured.receive() == b"goodbye"
    await secured.aclose()
    assert sock.fileno() == -1
    await peer.aclose()


async def test_pool_01_a_handshake_inside_may_be_cancelled_anywhere() -> None:
    streams: list[MemoryStream] = []

    async def scenario() -> None:
        below, peer_below = MemoryStream.pair()
        streams.append(below)
        client = TLSClient(client_context(), anyio.CapacityLimiter(1))

        async def serve() -> None:
            outer = TLSPeer(peer_below)
            try:
                await outer.handshake()
                await TLSPeer(outer).handshake()
            except (ssl.SSLError, anyio.EndOfStream, anyio.BrokenResourceError, anyio.ClosedResourceError):
                return

        async with anyio.create_task_group() as group:
            group.start_soon(serve)
            stream: TLSStream | None = None
            try:
                stream = TLSStream(below, await client.secure(below, HOST, 443, alpn=()))
                await client.secure(stream, OTHER_HOST, 443, alpn=())
            finally:
                await (stream or below).aclose()
                group.cancel_scope.cancel()

    async def nothing_is_open() -> None:
        assert all(stream.is_closed for stream in streams)

    assert await cancel_everywhere(scenario, nothing_is_open) > 10
