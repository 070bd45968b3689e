"""Links of every kind with a far end in the hands of the test: in memory and over TCP, each with and without TLS."""

from __future__ import annotations

import os
import socket
import ssl
from collections.abc import Awaitable, Callable
from functools import cache

import anyio
import trustme
from anyio.abc import ByteStream, SocketAttribute, SocketListener

from netio.testing import MemoryStream
from netio.transport import Dial, Dialer, Link, Runtime, TLSChannel
from netio.transport._socket_link import SocketLink
from netio.transport._socket_stream import SocketStream
from netio.transport._tls_client import shake_hands
from netio.url import Origin

HOST = "example.test"
OTHER_HOST = "two.test"
SMALL_BUFFER = 16_384
Pair = Callable[[], Awaitable[tuple[ByteStream, ByteStream]]]


@cache
def authority() -> trustme.CA:
    return trustme.CA()


@cache
def server_context(*protocols: str) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority().issue_cert(HOST, OTHER_HOST).configure_cert(context)
    if protocols:
        context.set_alpn_protocols(list(protocols))
    return context


@cache
def client_context() -> ssl.SSLContext:
    context = ssl.create_default_context()
    authority().configure_trust(context)
    return context


class TLSPeer(ByteStream):
    """The server's end of TLS, which does only what it is told: `send_eof` is close_notify, `aclose` closes below it.

    `cut_to` is how many bytes leave in one send.
    """

    def __init__(
        self, transport_stream: ByteStream, context: ssl.SSLContext | None = None, *, cut_to: int | None = None
    ) -> None:
        self.transport_stream = transport_stream
        self._cut_to = cut_to
        self._incoming = ssl.MemoryBIO()
        self._outgoing = ssl.MemoryBIO()
        self._object = (context or server_context()).wrap_bio(self._incoming, self._outgoing, server_side=True)
        self._sending = anyio.Lock()

    async def handshake(self) -> None:
        while True:
            try:
                self._object.do_handshake()
                await self._flush()
                return
            except ssl.SSLWantReadError:
                await self._flush()
                self._incoming.write(await self.transport_stream.receive())
            except ssl.SSLError:
                await self._flush()
                raise

    @property
    def object(self) -> ssl.SSLObject:
        return self._object

    @property
    def alpn(self) -> str | None:
        return self._object.selected_alpn_protocol()

    async def receive(self, max_bytes: int = 65_536) -> bytes:
        while True:
            try:
                data = self._object.read(max_bytes)
            except ssl.SSLWantReadError:
                self._incoming.write(await self.transport_stream.receive())
                continue
            if not data:  # close_notify
                raise anyio.EndOfStream
            return data

    async def send(self, item: bytes) -> None:
        self._object.write(item)
        await self._flush()

    async def send_eof(self) -> None:
        try:
            self._object.unwrap()
        except ssl.SSLWantReadError:
            pass
        await self._flush()

    async def aclose(self) -> None:
        await self.transport_stream.aclose()

    async def _flush(self) -> None:
        async with self._sending:
            data = self._outgoing.read()
            step = self._cut_to or len(data)
            for start in range(0, len(data), step or 1):
                await self.transport_stream.send(data[start : start + step])


async def memory_pair() -> tuple[ByteStream, ByteStream]:
    return MemoryStream.pair()


async def listen(host: str = "127.0.0.1", port: int = 0, *, backlog: int = 16) -> SocketListener:
    """Return a listening socket whose connections have small buffers."""
    listener = (await anyio.create_tcp_listener(local_host=host, local_port=port, backlog=backlog)).listeners[0]
    assert isinstance(listener, SocketListener)
    listener.extra(SocketAttribute.raw_socket).setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, SMALL_BUFFER)
    return listener


def port_of(listener: SocketListener) -> int:
    return listener.extra(SocketAttribute.local_port)


async def tcp_pair() -> tuple[ByteStream, ByteStream]:
    async with await listen() as listener:
        client = await anyio.connect_tcp("127.0.0.1", port_of(listener))
        server = await listener.accept()
    with anyio.move_on_after(0):
        await server.receive()  # on asyncio an accepted stream reads ahead until a receive has had to wait
    for stream in client, server:
        stream.extra(SocketAttribute.raw_socket).setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, SMALL_BUFFER)
    return client, server


PAIRS: dict[str, Pair] = {"memory": memory_pair, "tcp": tcp_pair}


async def dial_over(runtime: Runtime, stream: ByteStream, scheme: str, *protocols: str) -> Link:
    """Dial an origin over a stream that is there already."""

    async def connect(host: str, port: int) -> ByteStream:
        return stream

    dialer = Dialer(runtime, verify=client_context(), alpn=protocols, connect=connect)
    return await dialer.dial(Dial(Origin(scheme, HOST, 443)))


async def socket_pair() -> tuple[socket.socket, ByteStream]:
    """Return a connected socket of ours that does not block, and the far end; the buffers between are small."""
    ours, theirs = await tcp_pair()
    raw = ours.extra(SocketAttribute.raw_socket)
    sock = socket.socket(fileno=os.dup(raw.fileno()))
    sock.setblocking(False)
    await anyio.aclose_forcefully(ours)
    return sock, theirs


async def make_socket_plain(runtime: Runtime) -> tuple[Link, ByteStream]:
    sock, theirs = await socket_pair()
    return SocketLink(sock, runtime), theirs


async def make_socket_tls(runtime: Runtime) -> tuple[Link, ByteStream]:
    sock, theirs = await socket_pair()
    peer, channel = TLSPeer(theirs), TLSChannel(client_context(), HOST)
    async with anyio.create_task_group() as group:
        group.start_soon(peer.handshake)
        await shake_hands(SocketStream(sock, runtime), channel)
    return SocketLink(sock, runtime, channel), peer


async def make_plain(runtime: Runtime, pair: Pair) -> tuple[Link, ByteStream]:
    ours, theirs = await pair()
    return await dial_over(runtime, ours, "http"), theirs


async def make_tls(runtime: Runtime, pair: Pair) -> tuple[Link, ByteStream]:
    ours, theirs = await pair()
    peer = TLSPeer(theirs)
    async with anyio.create_task_group() as group:
        group.start_soon(peer.handshake)
        link = await dial_over(runtime, ours, "https")
    return link, peer
