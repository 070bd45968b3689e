"""What StreamLink owes beyond the contract: when it reads, which tasks it has, and streams that are not ours."""

from __future__ import annotations

import errno
import socket
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

import anyio
import pytest
from anyio.abc import ByteStream, SocketAttribute, SocketStream

from netio.errors import ConnectionLost
from netio.testing import MemoryStream
from netio.transport import HIGH_WATER, Runtime, StreamLink, TLSChannel
from tests.transport.far_ends import (
    HOST,
    TLSPeer,
    authority,
    client_context,
    dial_over,
    listen,
    memory_pair,
    port_of,
    server_context,
)
from tests.transport.kit_tools import PLENTY, Ends, Recorder, pattern, read_exactly, turn
from tests.transport.tls_server import Server

pytestmark = pytest.mark.anyio

PUMPED = pytest.mark.parametrize("is_pumped", [False, True], ids=["pulled", "pumped"])


def linked(runtime: Runtime, stream: ByteStream, peer: ByteStream, *, is_pumped: bool) -> Ends:
    link, recorder = StreamLink(stream, runtime), Recorder()
    link.start(recorder, is_pumped=is_pumped)
    return Ends(link, peer, recorder, is_tls=False)


def pulled(runtime: Runtime, capacity: int = 65_536) -> Ends:
    ours, theirs = MemoryStream.pair(capacity)
    return linked(runtime, ours, theirs, is_pumped=False)


class Faulty(MemoryStream):
    """A stream whose author did not think of everything."""

    receive_error: Exception | None = None
    send_error: Exception | None = None
    close_error: Exception | None = None

    async def receive(self, max_bytes: int = 65_536) -> bytes:
        if self.receive_error is not None:
            raise self.receive_error
        return await super().receive(max_bytes)

    async def send(self, item: bytes) -> None:
        if self.send_error is not None:
            raise self.send_error
        await super().send(item)

    async def aclose(self) -> None:
        await super().aclose()
        if self.close_error is not None:
            raise self.close_error


class Slow(ByteStream):
    """A stream that sends only once it may."""

    def __init__(self, stream: ByteStream) -> None:
        self._stream = stream
        self.may_send = anyio.Event()

    async def receive(self, max_bytes: int = 65_536) -> bytes:
        return await self._stream.receive(max_bytes)

    async def send(self, item: bytes) -> None:
        await self.may_send.wait()
        await self._stream.send(item)

    async def send_eof(self) -> None:
        await self._stream.send_eof()

    async def aclose(self) -> None:
        await self._stream.aclose()


def faulty() -> tuple[Faulty, MemoryStream]:
    ours, theirs = Faulty.pair()
    assert isinstance(ours, Faulty)
    return ours, theirs


# ------------------------------------------------------------------ pulled


async def test_a_pulled_link_reads_only_while_a_task_waits(runtime: Runtime) -> None:
    ends = pulled(runtime)
    await ends.peer.send(b"x")
    await turn()
    assert ends.recorder.calls == []
    await ends.until_received(b"x")
    await ends.peer.send(b"y")
    await turn()
    assert ends.recorder.received == b"x"
    ends.link.abort()


async def test_a_small_exchange_on_a_pulled_link_needs_no_task(runtime: Runtime) -> None:
    ends, counts = pulled(runtime), []
    ends.recorder.on_feed = lambda: counts.append(runtime.tasks)
    async with anyio.create_task_group() as group:
        ends.link.write(b"question")
        group.start_soon(ends.until_received, b"answer")
        assert await ends.peer.receive() == b"question"
        await ends.peer.send(b"answer")
    assert counts == [0]
    ends.link.abort()


async def test_after_an_upload_a_pulled_link_has_no_task_left(runtime: Runtime) -> None:
    ends, data = pulled(runtime), pattern(PLENTY)

    async def upload() -> None:
        for start in range(0, len(data), HIGH_WATER):
            ends.link.write(data[start : start + HIGH_WATER])
            await ends.link.drain(ends.link.waiter())

    with anyio.fail_after(5):
        async with anyio.create_task_group() as group:
            group.start_soon(upload)
            group.start_soon(ends.until_received, b"thanks")
            assert await read_exactly(ends.peer, len(data)) == data
            await ends.peer.send(b"thanks")
        await runtime.finish()
    assert runtime.tasks == 0
    ends.link.abort()


async def test_a_link_whose_small_send_was_interrupted_says_so_and_sends_nothing_more(runtime: Runtime) -> None:
    """How much of it has left nobody knows, so anything behind it would be taken for something else."""
    ends = pulled(runtime, capacity=4)
    ends.link.write(b"GET / HTTP/1.1")
    waiter = ends.link.waiter()
    with anyio.fail_after(5):
        async with anyio.create_task_group() as group:
            group.start_soon(ends.wait, waiter)
            await turn()
            waiter.wake()
    assert ends.recorder.calls == []
    assert ends.link.is_stale() is True
    ends.link.write(b"GET /more HTTP/1.1")
    assert ends.link.has_unsent is False
    error = await ends.until_lost()
    assert isinstance(error, ConnectionLost)
    assert "interrupted" in str(error)
    assert await ends.peer.receive() == b"GET "
    ends.link.abort()


async def test_an_upload_waits_for_its_turn_behind_the_head(runtime: Runtime) -> None:
    """The task that waits is in the middle of sending the head when another has more to send."""
    ours, theirs = MemoryStream.pair()
    slow = Slow(ours)
    ends, data = linked(runtime, slow, theirs, is_pumped=False), pattern(HIGH_WATER)
    ends.link.write(b"head")
    with anyio.fail_after(5):
        async with anyio.create_task_group() as group:
            group.start_soon(ends.until_received, b"thanks")
            await turn()
            ends.link.write(data)
            group.start_soon(ends.link.drain, ends.link.waiter())
            await turn()
            slow.may_send.set()
            assert await read_exactly(theirs, 4 + len(data)) == b"head" + data
            await theirs.send(b"thanks")
    ends.link.abort()


async def test_a_fin_after_a_send_that_failed_is_no_clean_end(runtime: Runtime) -> None:
    """A socket reports a reset once; if the send has heard of it, the receive sees nothing but an end."""
    ours, theirs = faulty()
    ours.send_error = anyio.BrokenResourceError()
    ours.send_error.__cause__ = ConnectionResetError(errno.ECONNRESET, "reset")
    ends = linked(runtime, ours, theirs, is_pumped=False)
    await theirs.send(b"half of a body that ends with the connection")
    await theirs.send_eof()
    ends.link.write(b"x")
    error = await ends.until_lost()
    assert isinstance(error, ConnectionLost)
    assert str(error) == "the connection broke: connection reset by peer"
    assert ends.recorder.received == b"half of a body that ends with the connection"
    ends.link.abort()


# ------------------------------------------------------------------ idle


@asynccontextmanager
async def over_tcp(runtime: Runtime, connect: Callable[[int], Awaitable[SocketStream]]) -> AsyncIterator[Ends]:
    """Make a pulled link over a socket, and close everything whatever happens: uvloop hangs on what is left open."""
    async with await listen() as listener, await connect(port_of(listener)) as stream, await listener.accept() as peer:
        ends = linked(runtime, stream, peer, is_pumped=False)
        try:
            yield ends
        finally:
            ends.link.abort()


async def connect_reading_ahead(port: int) -> SocketStream:
    raw = socket.create_connection(("127.0.0.1", port))
    raw.setblocking(False)
    return await SocketStream.from_socket(raw)  # which on asyncio reads ahead until a receive has had to wait


async def test_h1_13_bytes_that_the_stream_itself_has_kept_make_a_link_stale(runtime: Runtime) -> None:
    """On asyncio anyio's protocol may have read ahead; then the socket below it is silent."""
    async with over_tcp(runtime, connect_reading_ahead) as ends:
        await ends.peer.send(b"answer")
        await turn()  # it is read ahead, so that the receive need not wait
        await ends.until_received(b"answer")
        assert ends.link.is_stale() is False
        await ends.peer.send(b"forged")
        await turn()
        assert ends.link.is_stale() is True


def linked_with_early_bytes(runtime: Runtime, *, is_pumped: bool) -> Ends:
    """Return a link whose TLS has got the server's first words with the last flight of the handshake (TLS 1.2)."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.maximum_version = ssl.TLSVersion.TLSv1_2
    authority().issue_cert(HOST).configure_cert(context)
    channel, server = TLSChannel(client_context(), HOST), Server(context)
    channel.handshake()
    channel.handshake(server.handshake(channel.take()))
    assert channel.handshake(server.handshake(channel.take()) + server.send(b"early")) is True
    ours, theirs = MemoryStream.pair()
    link, recorder = StreamLink(ours, runtime, channel), Recorder()
    link.start(recorder, is_pumped=is_pumped)
    return Ends(link, theirs, recorder, is_tls=True)


async def test_h1_13_bytes_that_came_with_the_handshake_make_a_link_stale(runtime: Runtime) -> None:
    ends = linked_with_early_bytes(runtime, is_pumped=False)
    assert ends.link.is_stale() is True
    ends.link.abort()


@PUMPED
async def test_bytes_that_came_with_the_handshake_are_delivered(runtime: Runtime, is_pumped: bool) -> None:
    ends = linked_with_early_bytes(runtime, is_pumped=is_pumped)
    with anyio.fail_after(5):
        await ends.until_received(b"early")
    ends.link.abort()


async def test_a_stream_that_was_closed_behind_the_links_back_is_stale(runtime: Runtime) -> None:
    """Its descriptor may be another connection's by now, and nothing may be read from there."""
    streams: list[SocketStream] = []

    async def connect(port: int) -> SocketStream:
        streams.append(await anyio.connect_tcp("127.0.0.1", port))
        return streams[0]

    async with over_tcp(runtime, connect) as ends:
        assert ends.link.is_stale() is False
        raw = streams[0].extra(SocketAttribute.raw_socket)
        await streams[0].aclose()
        if raw.fileno() == -1:  # uvloop's sockets do not say that they are closed
            assert ends.link.is_stale() is True


async def test_a_closed_stream_in_memory_is_stale(runtime: Runtime) -> None:
    ours, theirs = MemoryStream.pair()
    ends = linked(runtime, ours, theirs, is_pumped=False)
    await ours.aclose()
    assert ends.link.is_stale() is True
    ends.link.abort()


async def test_a_stream_that_cannot_be_asked_is_not_called_stale(runtime: Runtime) -> None:
    class Opaque(MemoryStream):
        receive_nowait = None  # type: ignore[assignment]

    ours, theirs = Opaque.pair()
    ends = linked(runtime, ours, theirs, is_pumped=False)
    await theirs.aclose()
    assert ends.link.is_stale() is False
    ends.link.abort()


# ------------------------------------------------------------------ streams of others


@PUMPED
@pytest.mark.parametrize(
    ("error", "words"),
    [
        (ValueError("the user's own"), "the user's own"),
        (OSError(errno.ETIMEDOUT, "timed out"), "connection timed out"),
        (ssl.SSLError(1, "[SSL] bad record"), "[ssl] bad record"),
        (anyio.BrokenResourceError(), "closed"),
    ],
)
async def test_pool_10_whatever_receiving_raises_is_a_lost_connection(
    runtime: Runtime, is_pumped: bool, error: Exception, words: str
) -> None:
    ours, theirs = faulty()
    ours.receive_error = error
    ends = linked(runtime, ours, theirs, is_pumped=is_pumped)
    with anyio.fail_after(5):
        lost = await ends.until_lost()
    assert isinstance(lost, ConnectionLost)
    assert str(lost) == f"the connection broke: {words}"
    assert lost.__cause__ is error
    ends.link.abort()


@PUMPED
async def test_pool_10_what_sending_raises_is_a_lost_connection_unless_it_is_merely_broken(
    runtime: Runtime, is_pumped: bool
) -> None:
    ours, theirs = faulty()
    ours.send_error = ValueError("the user's own")
    ends = linked(runtime, ours, theirs, is_pumped=is_pumped)
    ends.link.write(b"x")
    with anyio.fail_after(5):
        lost = await ends.until_lost()
    assert isinstance(lost, ConnectionLost)
    assert lost.__cause__ is ours.send_error
    ends.link.abort()


@PUMPED
async def test_pool_10_what_closing_raises_is_no_news(runtime: Runtime, is_pumped: bool) -> None:
    for error in (anyio.BrokenResourceError(), OSError(errno.EIO, "input/output error")):
        ours, theirs = faulty()
        ours.close_error = error
        ends = linked(runtime, ours, theirs, is_pumped=is_pumped)
        ends.link.abort()
        await runtime.finish()
        assert ours.is_closed is True


async def test_a_link_knows_what_tls_agreed_on(runtime: Runtime) -> None:
    for spoken, agreed in ((("h2",), "h2"), ((), None)):
        ours, theirs = await memory_pair()
        peer = TLSPeer(theirs, server_context(*spoken))
        async with anyio.create_task_group() as group:
            group.start_soon(peer.handshake)
            link = await dial_over(runtime, ours, "https", "h2", "http/1.1")
        assert link.alpn == agreed
        link.abort()
    plain = await dial_over(runtime, (await memory_pair())[0], "http", "h2")
    assert plain.alpn is None
    plain.abort()
