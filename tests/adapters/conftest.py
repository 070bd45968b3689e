"""A server in memory that answers by path, for what the adapters say about requests to it."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest
from anyio import EndOfStream
from anyio.abc import ByteStream

from netio.testing import MemoryNetwork

HOST = "peer.test"
BASE = f"http://{HOST}"


class Server:
    """Answers each request with the status that its path names; remembers heads. `/cut` ends the connection."""

    def __init__(self) -> None:
        self.heads: list[str] = []

    async def serve(self, stream: ByteStream) -> None:
        buffer = b""
        try:
            while True:
                while b"\r\n\r\n" not in buffer:
                    buffer += await stream.receive()
                head, _, buffer = buffer.partition(b"\r\n\r\n")
                self.heads.append(head.decode())
                path = head.split(b" ")[1].partition(b"?")[0]
                if path == b"/cut":
                    return
                await stream.send(b"HTTP/1.1 %s X\r\nContent-Length: 2\r\n\r\nok" % path[1:4])
        except EndOfStream:
            return

    def fields(self, number: int = -1) -> dict[str, str]:
        """Return the header fields of a request."""
        lines = self.heads[number].split("\r\n")[1:]
        return {name.lower(): value for name, _, value in (line.partition(": ") for line in lines)}


@pytest.fixture
def server() -> Server:
    return Server()


@pytest.fixture
async def network(server: Server) -> AsyncIterator[MemoryNetwork]:
    async with MemoryNetwork() as made:
        made.listen(HOST, 80, server.serve)
        yield made
