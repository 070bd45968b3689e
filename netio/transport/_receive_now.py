"""Receiving without waiting: how an idle link finds out whether its peer has said or ended something meanwhile.

A stream that has `receive_nowait` is asked by it. Below one of anyio's streams is a socket, and since those streams
read only while a task is inside `receive`, the socket may be read behind their back while none is. Yet on asyncio and
uvloop anyio's protocol object may have been given more than it was asked for, and then keeps it in a queue: uvloop
reads on at once when a read has filled its buffer, `SocketStream.from_socket` begins to read before anybody asks, and a
receive may be cancelled while bytes arrive. There is no public way to see that queue.
"""

from __future__ import annotations

import os
import select
import socket
from collections.abc import Callable, Sized

from anyio.abc import ByteStream, SocketAttribute

READ_SIZE = 262_144  # what asyncio's transports read at most, so that nothing of one read stays in anyio's queue


def find_receive_now(stream: ByteStream) -> Callable[[], bytes | None] | None:
    """Return a function that receives without waiting: None for nothing there, b"" at the end of input.

    It is no more than a look whether the silence lasts: where the stream has kept something, it says b"" as well.
    """
    receive_now = getattr(stream, "receive_nowait", None)
    if receive_now is not None:
        return receive_now  # type: ignore[no-any-return]
    raw = stream.extra(SocketAttribute.raw_socket, None)
    if raw is None or not hasattr(select, "poll"):
        return None
    protocol = getattr(stream, "_protocol", None)
    return _SocketReader(raw, getattr(protocol, "read_queue", ()))


class _SocketReader:
    __slots__ = ("_descriptor", "_kept", "_poll", "_raw")

    def __init__(self, raw: socket.socket, kept: Sized) -> None:
        self._raw = raw
        self._kept = kept
        self._descriptor = raw.fileno()
        poll = select.poll()
        poll.register(self._descriptor, select.POLLIN)
        self._poll = poll

    def __call__(self) -> bytes | None:
        if self._kept:
            return b""
        if self._raw.fileno() != self._descriptor:
            return b""  # closed by the loop; the number may belong to another connection by now
        if not self._poll.poll(0):
            return None
        try:
            return os.read(self._descriptor, READ_SIZE)
        except BlockingIOError:
            return None
