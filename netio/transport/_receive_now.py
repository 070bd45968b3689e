"""Receiving without waiting: how an idle link finds out whether its peer has said or ended something meanwhile."""

from __future__ import annotations

import os
import select
import socket
from collections.abc import Callable

from anyio.abc import ByteStream, SocketAttribute

READ_SIZE = 262_144  # what asyncio's transports read at most, so that anyio passes on what was read in one piece

UVLOOP_BUFFER = 256_000
"""uvloop reads on at once if a read has filled its buffer, and then anyio keeps the second piece in a queue."""


def find_receive_now(stream: ByteStream) -> Callable[[], bytes | None] | None:
    """Return a function that receives without waiting: None for nothing there, b"" at the end of input.

    It is used only while no task is inside `receive`. anyio's streams read from their socket only inside of it, so the
    socket may be read behind their back, unless something may be left in anyio's own queue (`SocketReader`).
    """
    receive_now = getattr(stream, "receive_nowait", None)
    if receive_now is not None:
        return receive_now  # type: ignore[no-any-return]
    raw = stream.extra(SocketAttribute.raw_socket, None)
    if raw is None or not hasattr(select, "poll"):
        return None
    return SocketReader(raw)


class SocketReader:
    """Reads from the socket of one of anyio's streams. What waits in that stream's own queue it cannot see."""

    __slots__ = ("_descriptor", "_poll", "_raw")

    def __init__(self, raw: socket.socket) -> None:
        self._raw = raw
        self._descriptor = raw.fileno()
        poll = select.poll()
        poll.register(self._descriptor, select.POLLIN)
        self._poll = poll

    def __call__(self) -> bytes | None:
        if self._raw.fileno() != self._descriptor:
            return b""  # closed by the loop; the number may belong to another connection by now
        if not self._poll.poll(0):
            return None
        try:
            return os.read(self._descriptor, READ_SIZE)
        except BlockingIOError:
            return None
