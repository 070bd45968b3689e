"""Servers that do what a test tells them, over any ByteStream: one for HTTP/1.1, one for HTTP/2.

Both serve the same small site, so that a test can run over either:

    /           "hello"
    /bytes/N    N bytes
    /echo       what was sent
    /count      the length of what was sent
    /hang       no answer, ever
    /drip       a head, "x", and then nothing more
    /early      the answer comes as soon as the head of the request is here; the body is never read
    /status/N   that status

They count what a client leaves behind: `open_streams`, `resets`.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import cast

import anyio
import h2.config
import h2.connection
import h2.events
import h2.exceptions
import h2.settings
from anyio.abc import ByteStream

Handler = Callable[[ByteStream], Awaitable[None]]


_BLOCK = b"".join(b"%07d\n" % number for number in range(128 * 1024 // 8))


def pattern(size: int) -> bytes:
    """Return bytes in which a piece that is missing or out of place shows."""
    return (_BLOCK * (size // len(_BLOCK) + 1))[:size]


def answer(path: str, body: bytes) -> tuple[int, bytes]:
    if path.startswith("/bytes/"):
        return 200, pattern(int(path.rpartition("/")[2]))
    if path.startswith("/status/"):
        return int(path.rpartition("/")[2]), b""
    if path == "/echo":
        return 200, body
    if path == "/count":
        return 200, b"%d" % len(body)
    return 200, b"hello"


class Http1Peer:
    """An HTTP/1.1 server; `serve` handles one connection."""

    def __init__(self) -> None:
        self.requests: list[bytes] = []
        """The head of every request, as it came."""
        self.bodies: list[bytes] = []
        self.connections = 0
        self.live_connections = 0

    async def serve(self, stream: ByteStream) -> None:
        self.connections += 1
        self.live_connections += 1
        try:
            await self._serve(stream)
        finally:
            self.live_connections -= 1

    async def _serve(self, stream: ByteStream) -> None:
        reader = _Reader(stream)
        while True:
            try:
                head = await reader.until(b"\r\n\r\n")
            except anyio.EndOfStream:
                return
            self.requests.append(head)
            path = head.split(b" ", 2)[1].decode()
            if path == "/early":
                await stream.send(b"HTTP/1.1 413 Content Too Large\r\nContent-Length: 4\r\n\r\nmuch")
                await anyio.sleep_forever()
            body = await reader.body(head)
            self.bodies.append(body)
            await self.respond(stream, path, body)

    async def respond(self, stream: ByteStream, path: str, body: bytes) -> None:
        if path == "/hang":
            await anyio.sleep_forever()
        if path == "/drip":
            await stream.send(b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nx")
            await anyio.sleep_forever()
        status, content = answer(path, body)
        await stream.send(b"HTTP/1.1 %d Whatever\r\nContent-Length: %d\r\n\r\n" % (status, len(content)))
        for start in range(0, len(content), 65_536):
            await stream.send(content[start : start + 65_536])


class _Reader:
    def __init__(self, stream: ByteStream) -> None:
        self.stream = stream
        self.buffer = b""

    async def until(self, mark: bytes) -> bytes:
        while mark not in self.buffer:
            self.buffer += await self.stream.receive()
        found, _, self.buffer = self.buffer.partition(mark)
        return found

    async def exactly(self, size: int) -> bytes:
        while len(self.buffer) < size:
            self.buffer += await self.stream.receive()
        found, self.buffer = self.buffer[:size], self.buffer[size:]
        return found

    async def body(self, head: bytes) -> bytes:
        lines = [line.lower() for line in head.split(b"\r\n")[1:]]
        if b"transfer-encoding: chunked" in lines:
            pieces = []
            while size := int(await self.until(b"\r\n"), 16):
                pieces.append(await self.exactly(size))
                await self.exactly(2)
            await self.exactly(2)
            return b"".join(pieces)
        for line in lines:
            if line.startswith(b"content-length:"):
                return await self.exactly(int(line.partition(b":")[2]))
        return b""


class Http2Peer:
    """An HTTP/2 server on the h2 library; `serve` handles one connection."""

    def __init__(self, max_streams: int = 100) -> None:
        self.max_streams = max_streams
        self.requests: list[str] = []
        self.bodies: list[bytes] = []
        self.resets = 0
        self.connections = 0
        self.live: list[Http2Side] = []

    @property
    def live_connections(self) -> int:
        return len(self.live)

    @property
    def open_streams(self) -> int:
        return sum(len(side.paths) for side in self.live)

    async def serve(self, stream: ByteStream) -> None:
        self.connections += 1
        side = Http2Side(self, stream)
        self.live.append(side)
        try:
            await side.run()
        finally:
            self.live.remove(side)


class Http2Side:
    """One connection of an `Http2Peer`."""

    def __init__(self, peer: Http2Peer, stream: ByteStream) -> None:
        self.peer = peer
        self.stream = stream
        self.h2 = h2.connection.H2Connection(h2.config.H2Configuration(client_side=False, header_encoding="utf-8"))
        self.paths: dict[int, str] = {}
        self.received: dict[int, bytearray] = {}
        self.outgoing: dict[int, bytes] = {}
        self.unread: set[int] = set()
        self.refused = 0

    async def run(self) -> None:
        self.h2.initiate_connection()
        self.h2.update_settings({h2.settings.SettingCodes.MAX_CONCURRENT_STREAMS: self.peer.max_streams})
        await self.flush()
        while True:
            try:
                data = await self.stream.receive()
            except anyio.EndOfStream:
                return
            try:
                events = self.h2.receive_data(data)
            except h2.exceptions.ProtocolError:
                return  # we said GOAWAY, and h2 has no ear for what was under way
            for event in events:
                self.tolerate(self.on, event)
            for stream_id in list(self.outgoing):
                self.tolerate(self.send_body, stream_id)
            await self.flush()

    def tolerate(self, function: Callable[..., None], *arguments: object) -> None:
        """What came in one read may end what its beginning asked for; h2 refuses to answer then."""
        try:
            function(*arguments)
        except h2.exceptions.ProtocolError:
            self.refused += 1

    async def flush(self) -> None:
        if data := self.h2.data_to_send():
            await self.stream.send(data)

    def on(self, event: h2.events.Event) -> None:
        if isinstance(event, h2.events.RequestReceived):
            path = dict(cast("list[tuple[str, str]]", event.headers))[":path"]
            self.peer.requests.append(path)
            self.paths[event.stream_id] = path
            self.received[event.stream_id] = bytearray()
            if path == "/early":
                self.unread.add(event.stream_id)
                self.respond(event.stream_id, 413, b"much")
        elif isinstance(event, h2.events.DataReceived):
            if event.stream_id in self.received:
                self.received[event.stream_id] += event.data
                if event.stream_id not in self.unread:
                    self.h2.acknowledge_received_data(event.flow_controlled_length, event.stream_id)
        elif isinstance(event, h2.events.StreamEnded):
            self.on_request(event.stream_id)
        elif isinstance(event, h2.events.StreamReset):
            self.peer.resets += 1
            for table in (self.paths, self.received, self.outgoing):
                table.pop(event.stream_id, None)

    def on_request(self, stream_id: int) -> None:
        path = self.paths.get(stream_id)
        if path is None or path == "/hang" or stream_id in self.unread:
            return
        body = bytes(self.received[stream_id])
        self.peer.bodies.append(body)
        if path == "/drip":
            self.h2.send_headers(stream_id, [(":status", "200"), ("content-length", "10")])
            self.h2.send_data(stream_id, b"x")
            return
        status, content = answer(path, body)
        self.respond(stream_id, status, content)

    def respond(self, stream_id: int, status: int, content: bytes) -> None:
        fields = [(":status", str(status)), ("content-length", str(len(content)))]
        self.h2.send_headers(stream_id, fields, end_stream=not content)
        if content:
            self.outgoing[stream_id] = content
        else:
            self.paths.pop(stream_id, None)

    def send_body(self, stream_id: int) -> None:
        content = self.outgoing.pop(stream_id)
        while content:
            window = self.h2.local_flow_control_window(stream_id)
            size = min(len(content), window, self.h2.max_outbound_frame_size)
            if size <= 0:
                self.outgoing[stream_id] = content
                return
            self.h2.send_data(stream_id, content[:size], end_stream=size == len(content))
            content = content[size:]
        self.paths.pop(stream_id, None)
