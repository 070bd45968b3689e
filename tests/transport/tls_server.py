"""The server's end of TLS without I/O, and the talk of the two ends."""

from __future__ import annotations

import ssl

import pytest

from netio.transport import TLSChannel
from tests.transport.far_ends import HOST, client_context, server_context


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
