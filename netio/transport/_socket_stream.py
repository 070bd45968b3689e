"""A connected socket while it is being made ready for a Link: connecting, and what is said before HTTP (TLS, a proxy).

It has the three methods of an anyio ByteStream that a handshake needs, and raises what anyio's streams raise.
"""

from __future__ import annotations

import errno
import os
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


async def connect_socket(address: str, port: int, runtime: Runtime) -> socket.socket:
    """Connect to an IP address; raise OSError. Whatever happens, no socket is left open."""
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    sock = socket.socket(family, socket.SOCK_STREAM)
    try:
        sock.setblocking(False)
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        code = sock.connect_ex(_place(address, port, family))
        if code in (errno.EINPROGRESS, errno.EWOULDBLOCK, errno.EINTR):
            await until_writable(sock, runtime)
            code = sock.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
        if code:
            raise OSError(code, os.strerror(code))
    except BaseException:
        sock.close()
        raise
    return sock


def _place(address: str, port: int, family: int) -> tuple[object, ...]:
    if family != socket.AF_INET6:
        return (address, port)
    bare, _, zone = address.partition("%")
    if not zone:
        return (address, port)
    return (bare, port, 0, int(zone) if zone.isdigit() else socket.if_nametoindex(zone))
