"""Servers that speak TLS: one without I/O and the talk of the two ends, and one for HTTP in a network of memory."""

from __future__ import annotations

import ssl

import anyio
import pytest
from anyio.abc import ByteStream

from netio.transport import TLSChannel
from tests.transport.far_ends import HOST, TLSPeer, client_context, server_context


class Server:
    """The other end."""

    def __init__(self, context: ssl.SSLContext | None = None) -> None:
        self.incoming = ssl.MemoryBIO()
        self.outgoing = ssl.MemoryBIO()
        self.object = (context or server_context()).wrap_bio(self.incoming, self.outgoing, server_side=True)
        self.is_done = False

    def handshake(self, received: bytes) -> bytes:
        self.incoming.write(received)
        try:
            self.object.do_handshake()
            self.is_done = True
        except ssl.SSLError:
            pass
        return self.outgoing.read()

    def send(self, data: bytes) -> bytes:
        self.object.write(data)
        return self.outgoing.read()

    def close(self) -> bytes:
        with pytest.raises(ssl.SSLWantReadError):
            self.object.unwrap()
        return self.outgoing.read()

    def receive(self, received: bytes) -> bytes:
        self.incoming.write(received)
        return self.object.read(1_000_000)


def cut(data: bytes, size: int | None) -> list[bytes]:
    return [data[start : start + size] for start in range(0, len(data), size)] if size else [data]


def shake_hands(channel: TLSChannel, server: Server, *, size: int | None = None) -> bytes:
    """Let both ends speak until both are done; return what the server has sent beyond that."""
    is_done = channel.handshake()
    while True:
        answer = b"".join(server.handshake(piece) for piece in cut(channel.take(), size))
        for number, piece in enumerate(pieces := cut(answer, size)):
            if is_done:
                return b"".join(pieces[number:])
            is_done = channel.handshake(piece)
        if is_done and not channel.has_output:
            return b""


def connected(context: ssl.SSLContext | None = None, host: str = HOST) -> tuple[TLSChannel, Server]:
    channel, server = TLSChannel(client_context(), host), Server(context)
    assert channel.decrypt(shake_hands(channel, server)) == b""
    return channel, server


ANSWER = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok"
LAST_ANSWER = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\nconnection: close\r\n\r\nok"


class Site:
    """An https server for `MemoryNetwork.listen`: answers each request with 200, and remembers what it has seen.

    With `closes` each connection is for one request. A handshake that fails is in `refusals`.
    """

    def __init__(self, context: ssl.SSLContext | None = None, *, closes: bool = False) -> None:
        self.context = context or server_context()
        self.answer = LAST_ANSWER if closes else ANSWER
        self.closes = closes
        self.connections = 0
        self.resumed: list[bool] = []
        self.names: list[str | None] = []
        self.clients: list[str | None] = []
        self.askers: list[tuple[str | None, bytes]] = []  # by each request: the certificate of its client, and its path
        self.refusals: list[str] = []
        self.requests: list[bytes] = []

    async def __call__(self, stream: ByteStream) -> None:
        self.connections += 1
        self.context.sni_callback = self._note_name
        peer = TLSPeer(stream, self.context)
        try:
            await peer.handshake()
        except ssl.SSLError as error:
            self.refusals.append(str(error.reason))
            return
        self.resumed.append(bool(peer.object.session_reused))
        certificate = peer.object.getpeercert(binary_form=True)
        client = None if certificate is None else ssl.DER_cert_to_PEM_cert(certificate)
        self.clients.append(client)
        try:
            await self._answer(peer, client)
        except (anyio.EndOfStream, ssl.SSLError):
            await peer.aclose()

    def _note_name(self, _: ssl.SSLObject, name: str | None, __: ssl.SSLContext) -> None:
        self.names.append(name)

    async def _answer(self, peer: TLSPeer, client: str | None) -> None:
        received = b""
        while True:
            while b"\r\n\r\n" not in received:
                received += await peer.receive()
            head, _, received = received.partition(b"\r\n\r\n")
            self.requests.append(head)
            self.askers.append((client, head.split()[1]))
            await peer.send(self.answer)
            if self.closes:
                await peer.send_eof()
                await peer.aclose()
                return
