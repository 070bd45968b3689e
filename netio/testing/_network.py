"""A network in memory: real connections as far as netio can tell, without sockets.

    async with MemoryNetwork() as network:
        network.listen("example.org", 80, handler)
        async with netio.Session(connect=network.connect) as session: ...

Each connection is a pair of `MemoryStream`s with bounded buffers, so that a peer that stops reading is felt. A handler
is `async (stream) -> None` and runs in the network's own task group. `receive_nowait` lets an idle link see, as on a
socket, that the peer has closed it.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Awaitable, Callable
from types import TracebackType
from typing import Self

import anyio
import anyio.lowlevel
from anyio.abc import ByteStream, TaskGroup

CAPACITY = 65_536
"""Bytes in flight in each direction before `send` waits, as a small socket buffer has it."""

Handler = Callable[["MemoryStream"], Awaitable[None]]


class _Pipe:
    """One direction."""

    def __init__(self, capacity: int) -> None:
        self.capacity = capacity
        self.chunks: deque[bytes] = deque()
        self.size = 0
        self.is_ended = False  # the sender has nothing more to say
        self.is_unread = False  # the receiver is gone
        self.is_reset = False
        self._changed = anyio.Event()

    def touch(self) -> None:
        changed, self._changed = self._changed, anyio.Event()
        changed.set()

    async def change(self) -> None:
        await self._changed.wait()

    def take(self, max_bytes: int) -> bytes:
        chunk = self.chunks.popleft()
        if len(chunk) > max_bytes:
            self.chunks.appendleft(chunk[max_bytes:])
            chunk = chunk[:max_bytes]
        self.size -= len(chunk)
        self.touch()
        return chunk


class MemoryStream(ByteStream):
    """One end of a connection in memory."""

    def __init__(self, incoming: _Pipe, outgoing: _Pipe) -> None:
        self._incoming = incoming
        self._outgoing = outgoing
        self._is_closed = False
        self._receiving = anyio.ResourceGuard("reading from")
        self._sending = anyio.ResourceGuard("writing to")

    @classmethod
    def pair(cls, capacity: int = CAPACITY) -> tuple[MemoryStream, MemoryStream]:
        """Return both ends of a new connection."""
        there, back = _Pipe(capacity), _Pipe(capacity)
        return cls(back, there), cls(there, back)

    @property
    def is_closed(self) -> bool:
        return self._is_closed

    def receive_nowait(self, max_bytes: int = 65_536) -> bytes | None:
        """Return what is there, b"" at the end of input, None if there is nothing yet."""
        if self._is_closed:
            raise anyio.ClosedResourceError
        pipe = self._incoming
        if pipe.is_reset:
            raise ConnectionResetError
        if pipe.chunks:
            return pipe.take(max_bytes)
        return b"" if pipe.is_ended else None

    async def receive(self, max_bytes: int = 65_536) -> bytes:
        with self._receiving:
            await anyio.lowlevel.checkpoint()
            while True:
                try:
                    data = self.receive_nowait(max_bytes)
                except ConnectionResetError as error:
                    raise anyio.BrokenResourceError from error
                if data:
                    return data
                if data is not None:
                    raise anyio.EndOfStream
                await self._incoming.change()

    async def send(self, item: bytes) -> None:
        with self._sending:
            await anyio.lowlevel.checkpoint()
            await self._send(item)

    async def _send(self, item: bytes) -> None:
        pipe, rest = self._outgoing, bytes(item)
        while True:
            if self._is_closed or pipe.is_ended:
                raise anyio.ClosedResourceError
            if pipe.is_reset or pipe.is_unread:
                raise anyio.BrokenResourceError from BrokenPipeError("the peer is gone")
            room = pipe.capacity - pipe.size
            if room > 0 and rest:
                pipe.chunks.append(rest[:room])
                pipe.size += min(room, len(rest))
                pipe.touch()
                rest = rest[room:]
            if not rest:
                return
            await pipe.change()

    async def send_eof(self) -> None:
        self._outgoing.is_ended = True
        self._outgoing.touch()
        await anyio.lowlevel.checkpoint()

    def reset(self) -> None:
        """Break the connection as a TCP RST does: what is in flight is lost on both sides."""
        self._is_closed = True
        for pipe in (self._incoming, self._outgoing):
            pipe.is_reset = True
            pipe.chunks.clear()
            pipe.touch()

    def close(self) -> None:
        """Close this end: the peer reads what is in flight, then the end; what it sends from now on fails."""
        self._is_closed = True
        self._outgoing.is_ended = True
        self._incoming.is_unread = True
        self._outgoing.touch()
        self._incoming.touch()

    async def aclose(self) -> None:
        if not self._is_closed:
            self.close()
        await anyio.lowlevel.checkpoint()


class MemoryNetwork:
    """Hosts and ports in memory; see the module's docstring."""

    def __init__(self, capacity: int = CAPACITY) -> None:
        self._capacity = capacity
        self._handlers: dict[tuple[str, int], Handler] = {}
        self._group: TaskGroup | None = None
        self.streams: list[MemoryStream] = []
        """The client's end of every connection so far."""

    @property
    def open_connections(self) -> int:
        """How many connections the client has open."""
        return sum(not stream.is_closed for stream in self.streams)

    def listen(self, host: str, port: int, handler: Handler) -> None:
        """Let a handler serve each connection to a host and port; it is closed when the handler returns."""
        self._handlers[host, port] = handler

    async def connect(self, host: str, port: int) -> MemoryStream:
        """Open a connection: what a session takes as `connect`. Raises ConnectionRefusedError where nobody listens."""
        await anyio.lowlevel.checkpoint()
        handler = self._handlers.get((host, port))
        if handler is None or self._group is None:
            raise ConnectionRefusedError(f"nobody listens on {host}:{port}")
        ours, theirs = MemoryStream.pair(self._capacity)
        self.streams.append(ours)
        self._group.start_soon(self._serve, handler, theirs)
        return ours

    async def _serve(self, handler: Handler, stream: MemoryStream) -> None:
        try:
            await handler(stream)
        except (anyio.EndOfStream, anyio.BrokenResourceError, anyio.ClosedResourceError):
            return  # the client went away, as clients do
        finally:
            if not stream.is_closed:
                stream.close()

    async def __aenter__(self) -> Self:
        self._group = anyio.create_task_group()
        await self._group.__aenter__()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> bool | None:
        assert self._group is not None
        group, self._group = self._group, None
        group.cancel_scope.cancel()
        return await group.__aexit__(kind, error, traceback)
