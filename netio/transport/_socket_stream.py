"""A connected socket while it is being made ready for a Link: connecting, and what is said before HTTP (TLS, a proxy).

It has the three methods of an anyio ByteStream that a handshake needs, and raises what anyio's streams raise.
"""

from __future__ import annotations

import socket
from typing import Protocol

import anyio

from netio.transport._runtime import Runtime


class Duplex(Protocol):
    """What a handshake needs: an anyio ByteStream, or a SocketStream."""

    async def send(self, item: bytes, /) -> None: ...

    async def receive(self, max_bytes: int = 65_536, /) -> bytes: ...

    async def aclose(self) -> None: ...


class SocketStream:
    """See the module's docstring. `detach` hands the socket on."""

    __slots__ = ("_runtime", "_socket")

    def __init__(self, sock: socket.socket, runtime: Runtime) -> None:
        self._socket = sock
        self._runtime = runtime

    def detach(self) -> socket.socket:
        return self._socket

    async def send(self, item: bytes) -> None:
        rest = memoryview(item)
        while rest:
            try:
                rest = rest[self._socket.send(rest) :]
            except (BlockingIOError, InterruptedError):
                await until_writable(self._socket, self._runtime)

    async def receive(self, max_bytes: int = 65_536) -> bytes:
        while True:
            try:
                data = self._socket.recv(max_bytes)
            except (BlockingIOError, InterruptedError):
                await until_readable(self._socket, self._runtime)
                continue
            if not data:
                raise anyio.EndOfStream
            return data

    def receive_nowait(self, max_bytes: int = 65_536) -> bytes | None:
        """Return what is there, b"" at the end of input, None if there is nothing yet. Raises OSError."""
        try:
            return self._socket.recv(max_bytes)
        except (BlockingIOError, InterruptedError):
            return None

    async def aclose(self) -> None:
        self._socket.close()


async def until_readable(sock: socket.socket, runtime: Runtime) -> None:
    """Return when the socket has something to be read, or is broken."""
    waiter, descriptor = runtime.waiter(), sock.fileno()
    runtime.add_reader(descriptor, waiter.wake)
    try:
        await waiter.park()
    finally:
        runtime.remove_reader(descriptor)


async def until_writable(sock: socket.socket, runtime: Runtime) -> None:
    """Return when the socket takes more, or is broken."""
    waiter, descriptor = runtime.waiter(), sock.fileno()
    runtime.add_writer(descriptor, waiter.wake)
    try:
        await waiter.park()
    finally:
        runtime.remove_writer(descriptor)
