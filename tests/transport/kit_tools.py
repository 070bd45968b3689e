"""What the checks of the contract kit share: a receiver that writes everything down, and a peer's ways to end.

Nothing here knows which Link it is. A check gets `make`, which returns a link that was not started and the far end as
an anyio ByteStream. Under TLS the far end is a stream with a `transport_stream` below it, whose `send_eof` says
close_notify.
"""

from __future__ import annotations

import os
import socket
import stat
import struct
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from functools import cache

import anyio
from anyio.abc import ByteStream, SocketAttribute
from anyio.lowlevel import checkpoint

from netio.errors import RequestError
from netio.transport import Link, Waiter

Make = Callable[[], Awaitable[tuple[Link, ByteStream]]]

GUARD = 5.0
"""Seconds after which a check is taken to hang."""

PLENTY = 524_288
"""Bytes that fit into no buffers between the two ends, however generous; `make` keeps those small."""


@cache
def pattern(size: int) -> bytes:
    """Return bytes in which a piece that is missing, doubled or out of place shows."""
    return b"".join(b"%07d\n" % number for number in range(size // 8 + 1))[:size]


class Recorder:
    """A receiver that writes down what it is told, in order, and wakes whoever waits."""

    def __init__(self) -> None:
        self.calls: list[bytes | RequestError | None] = []
        self.waiter: Waiter | None = None
        self.on_feed: Callable[[], None] = lambda: None
        self.on_lost: Callable[[], None] = lambda: None

    def feed(self, data: bytes) -> None:
        self.calls.append(data)
        self.on_feed()
        self.wake()

    def lost(self, error: RequestError | None) -> None:
        self.calls.append(error)
        self.on_lost()
        self.wake()

    def wake(self) -> None:
        if self.waiter is not None:
            self.waiter.wake()

    @property
    def pieces(self) -> list[bytes]:
        return [call for call in self.calls if isinstance(call, bytes)]

    @property
    def received(self) -> bytes:
        return b"".join(self.pieces)

    @property
    def losses(self) -> list[RequestError | None]:
        return [call for call in self.calls if not isinstance(call, bytes)]

    def assert_lawful(self) -> None:
        """Whatever happened: no empty piece, at most one loss, and nothing after it."""
        assert b"" not in self.calls
        assert len(self.losses) <= 1
        if self.losses:
            assert not isinstance(self.calls[-1], bytes)


@dataclass
class Ends:
    """A link and its two ends."""

    link: Link
    peer: ByteStream
    recorder: Recorder
    is_tls: bool

    async def until(self, condition: Callable[[], bool]) -> None:
        """Wait on the link, as a connection does, until a condition has come true that the receiver can bring about."""
        while not condition():
            assert self.recorder.losses == [], "lost before the condition came true"
            waiter = self.recorder.waiter = self.link.waiter()
            await self.link.wait(waiter)
            self.recorder.waiter = None

    async def wait(self, waiter: Waiter) -> None:
        await self.link.wait(waiter)

    async def until_received(self, data: bytes) -> None:
        await self.until(lambda: len(self.recorder.received) >= len(data))
        assert self.recorder.received == data

    async def until_lost(self) -> RequestError | None:
        await self.until(lambda: self.recorder.losses != [])
        return self.recorder.losses[0]


@asynccontextmanager
async def opened(make: Make, *, is_pumped: bool) -> AsyncIterator[Ends]:
    """Make a link, start it, and close both ends afterwards."""
    with anyio.fail_after(GUARD):
        link, peer = await make()
        ends = Ends(link, peer, Recorder(), is_tls=lowest(peer) is not peer)
        link.start(ends.recorder, is_pumped=is_pumped)
        try:
            yield ends
        finally:
            link.abort()
            await anyio.aclose_forcefully(peer)
        ends.recorder.assert_lawful()


async def read_exactly(peer: ByteStream, size: int) -> bytes:
    data = b""
    while len(data) < size:
        data += await peer.receive(size - len(data))
    return data


async def read_to_end(peer: ByteStream) -> bytes:
    data = b""
    while True:
        try:
            data += await peer.receive()
        except anyio.EndOfStream:
            return data


async def eventually(condition: Callable[[], bool]) -> None:
    """Let the loop turn until a condition has come true that needs no task to wait on the link."""
    while not condition():  # noqa: ASYNC110
        await anyio.sleep(0.001)


def open_sockets() -> int:
    """Count the sockets of this process."""
    return sum(map(_is_socket, range(512)))


def _is_socket(descriptor: int) -> bool:
    try:
        return stat.S_ISSOCK(os.fstat(descriptor).st_mode)
    except OSError:
        return False


async def turn() -> None:
    """Let the loop turn some times, so that what can happen by itself has happened."""
    for _ in range(20):
        await checkpoint()


# ------------------------------------------------------------------ what a peer can do to a connection


def lowest(peer: ByteStream) -> ByteStream:
    """Return the stream below TLS."""
    return getattr(peer, "transport_stream", peer)


async def end_cleanly(peer: ByteStream) -> None:
    """Say that nothing more comes: close_notify, or FIN where there is no TLS."""
    await peer.send_eof()


async def cut(peer: ByteStream) -> None:
    """Send FIN below TLS."""
    await lowest(peer).send_eof()


async def reset(peer: ByteStream) -> None:
    """Break the connection: RST, or what a stream in memory has for it."""
    stream = lowest(lowest(peer))  # TLS may be inside TLS
    raw = stream.extra(SocketAttribute.raw_socket, None)
    if raw is None:
        stream.reset()  # type: ignore[attr-defined]
        return
    raw.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    await anyio.aclose_forcefully(stream)
