"""The two sides behind a session with a proxy, each writing down what it hears: a proxy of each kind, and an origin.

Both are real servers on loopback. The proxy finds any name on loopback, so that a test can tell who has looked it up.
"""

from __future__ import annotations

import ssl
from base64 import b64decode
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from functools import cache
from typing import Literal

import anyio
from anyio.abc import ByteStream, SocketAttribute, SocketStream
from anyio.streams.stapled import MultiListener

from netio.transport import Connect
from netio.transport._proxy import Kind
from tests.peers import Http1Peer, Http2Peer
from tests.transport.far_ends import TLSPeer, authority

LOOPBACK = "127.0.0.1"
ORIGIN_NAME = "origin.test"
PROXY_NAME = "proxy.test"
ENDED = (anyio.EndOfStream, anyio.BrokenResourceError, anyio.ClosedResourceError)

Handler = Callable[[ByteStream], Awaitable[None]]


@cache
def certificate_for(name: str, *protocols: str) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority().issue_cert(name, LOOPBACK, "localhost").configure_cert(context)
    context.set_alpn_protocols(list(protocols))
    return context


class Recording(ByteStream):
    """A stream that writes down what is received through it."""

    def __init__(self, stream: ByteStream, heard: bytearray) -> None:
        self._stream = stream
        self._heard = heard

    async def receive(self, max_bytes: int = 65_536) -> bytes:
        data = await self._stream.receive(max_bytes)
        self._heard += data
        return data

    async def exactly(self, size: int) -> bytes:
        data = b""
        while len(data) < size:
            data += await self.receive(size - len(data))
        return data

    async def send(self, item: bytes) -> None:
        await self._stream.send(item)

    async def send_eof(self) -> None:
        await self._stream.send_eof()

    async def aclose(self) -> None:
        await self._stream.aclose()


class OriginSide:
    """An HTTP server; `heard` is all that came, decrypted."""

    def __init__(self, scheme: Literal["http", "https"], *, in_http2: bool = False) -> None:
        self.scheme = scheme
        self.heard = bytearray()
        self.connections = 0
        self.peer: Http1Peer | Http2Peer = Http2Peer() if in_http2 else Http1Peer()
        self._context = certificate_for(ORIGIN_NAME, "h2" if in_http2 else "http/1.1") if scheme == "https" else None

    async def serve(self, stream: ByteStream) -> None:
        self.connections += 1
        if self._context is not None:
            peer = TLSPeer(stream, self._context)
            await peer.handshake()
            stream = peer
        await self.peer.serve(Recording(stream, self.heard))


class ProxySide:
    """A proxy of any kind, with or without credentials.

    `heard` is what was said to the proxy itself, `passed` what it has passed on to an origin without looking into it,
    `names` are the hosts that it was asked for, `connections` how many there were to it, `wants` its credentials.
    """

    def __init__(self, kind: Kind, wants: tuple[str, str] | None = None, reach: Connect | None = None) -> None:
        self.kind = kind
        self._reach_by = reach or _on_loopback
        self.wants = wants
        self.heard = bytearray()
        self.passed = bytearray()
        self.names: list[str] = []
        self.connections = 0
        self.context = certificate_for(PROXY_NAME, "http/1.1")

    async def serve(self, stream: ByteStream) -> None:
        self.connections += 1
        if self.kind == "https":
            peer = TLSPeer(stream, self.context)
            await peer.handshake()
            stream = peer
        speaking = Recording(stream, self.heard)
        if self.kind.startswith("socks"):
            await self._serve_socks(speaking, stream)
        else:
            await self._serve_http(speaking, stream)

    # ------------------------------------------------------------------ HTTP

    async def _serve_http(self, speaking: Recording, stream: ByteStream) -> None:
        while True:
            head = b""
            while not head.endswith(b"\r\n\r\n"):
                head += await speaking.receive(1)
                if not head[:1].isalpha():
                    await stream.send(b"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n")
                    return
            method, target, _ = head.split(b" ", 2)
            if not self._is_welcome(head):
                challenge = b"Proxy-Authenticate: Basic realm=proxy\r\n"
                await stream.send(b"HTTP/1.1 407 Who Are You\r\n" + challenge + b"Content-Length: 0\r\n\r\n")
                if method == b"CONNECT":
                    return
            elif method == b"CONNECT":
                host, _, port = target.decode().rpartition(":")
                async with await self._reach(host, int(port)) as upstream:
                    await stream.send(b"HTTP/1.1 200 Connection established\r\n\r\n")
                    await relay(stream, upstream, self.passed)
                return
            else:
                await self._forward(head, target.decode(), stream)

    def _is_welcome(self, head: bytes) -> bool:
        if self.wants is None:
            return True
        fields = [line.partition(b": ") for line in head.split(b"\r\n")[1:]]
        given = [value for name, _, value in fields if name.lower() == b"proxy-authorization"]
        return [b64decode(one.removeprefix(b"Basic ")).decode() for one in given] == [":".join(self.wants)]

    async def _forward(self, head: bytes, target: str, stream: ByteStream) -> None:
        """Send the request on as proxies do, without the fields for them; it has no body, and the answer a length."""
        assert target.startswith("http://"), target
        authority, _, path = target.removeprefix("http://").partition("/")
        host, _, port = authority.partition(":")
        lines = head.split(b"\r\n")
        kept = [line for line in lines[1:] if not line.lower().startswith(b"proxy-")]
        async with await self._reach(host, int(port or 80)) as upstream:
            start = lines[0].split(b" ")[0] + f" /{path} HTTP/1.1".encode()
            await upstream.send(b"\r\n".join([start, *kept]))
            answer = b""
            while b"\r\n\r\n" not in answer:
                answer += await upstream.receive()
            before, _, after = answer.partition(b"\r\n\r\n")
            length = int(before.lower().partition(b"content-length: ")[2].partition(b"\r\n")[0])
            while len(after) < length:
                after += await upstream.receive()
            await stream.send(before + b"\r\n\r\n" + after)

    # ------------------------------------------------------------------ SOCKS5

    async def _serve_socks(self, speaking: Recording, stream: ByteStream) -> None:
        version, count = await speaking.exactly(2)
        assert version == 5
        methods = await speaking.exactly(count)
        wanted = 0 if self.wants is None else 2
        if wanted not in methods:
            await stream.send(b"\x05\xff")
            return
        await stream.send(bytes([5, wanted]))
        if self.wants is not None and not await self._is_let_in(speaking, stream):
            return
        assert await speaking.exactly(3) == b"\x05\x01\x00"
        (kind,) = await speaking.exactly(1)
        if kind == 3:
            host = (await speaking.exactly((await speaking.exactly(1))[0])).decode()
        else:
            assert kind == 1
            host = ".".join(map(str, await speaking.exactly(4)))
        port = int.from_bytes(await speaking.exactly(2))
        async with await self._reach(host, port) as upstream:
            await stream.send(b"\x05\x00\x00\x01\x7f\x00\x00\x01\x00\x00")
            await relay(stream, upstream, self.passed)

    async def _is_let_in(self, speaking: Recording, stream: ByteStream) -> bool:
        assert await speaking.exactly(1) == b"\x01"
        username = await speaking.exactly((await speaking.exactly(1))[0])
        password = await speaking.exactly((await speaking.exactly(1))[0])
        is_welcome = (username.decode(), password.decode()) == self.wants
        await stream.send(b"\x01" + bytes([not is_welcome]))
        return is_welcome

    async def _reach(self, host: str, port: int) -> ByteStream:
        self.names.append(host)
        return await self._reach_by(host, port)


async def _on_loopback(host: str, port: int) -> ByteStream:
    return await anyio.connect_tcp(LOOPBACK, port)


async def relay(one: ByteStream, other: ByteStream, passed: bytearray) -> None:
    """Pass bytes both ways until one side ends."""

    async def pass_on(source: ByteStream, sink: ByteStream, record: bytearray) -> None:
        try:
            while True:
                data = await source.receive()
                record += data
                await sink.send(data)
        except ENDED:
            group.cancel_scope.cancel()

    async with anyio.create_task_group() as group:
        group.start_soon(pass_on, one, other, passed)
        group.start_soon(pass_on, other, one, bytearray())


@asynccontextmanager
async def serving(*handlers: Handler, host: str = LOOPBACK) -> AsyncIterator[list[int]]:
    """Serve each on a free port of loopback; yield the ports. Whoever leaves ends all of them."""
    listeners: list[MultiListener[SocketStream]] = []

    def guarded(handler: Handler) -> Handler:
        async def handle(stream: ByteStream) -> None:
            async with stream:
                try:
                    await handler(stream)
                except (*ENDED, ssl.SSLError):
                    return  # the client went away, or did not want us

        return handle

    try:
        async with anyio.create_task_group() as group:
            for handler in handlers:
                listener = await anyio.create_tcp_listener(local_host=host)
                listeners.append(listener)
                group.start_soon(listener.serve, guarded(handler))
            yield [listener.extra(SocketAttribute.local_port) for listener in listeners]
            group.cancel_scope.cancel()
    finally:
        with anyio.CancelScope(shield=True):
            for listener in listeners:
                await listener.aclose()
