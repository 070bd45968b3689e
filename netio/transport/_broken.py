"""What a broken stream raises, and how to say it: every event loop puts it differently."""

from __future__ import annotations

import os
import socket
import ssl
from typing import Protocol

import anyio

from netio.errors import ConnectionLost

BROKEN = (anyio.BrokenResourceError, anyio.ClosedResourceError, OSError)

_NOT_FROM_THE_SYSTEM = (socket.gaierror, socket.herror, ssl.SSLError)  # their errno is a code of the library


def words(error: BaseException) -> str:
    """Say what happened in the words of the operating system, if it was the one to say it."""
    if isinstance(error, anyio.BrokenResourceError | anyio.ClosedResourceError):
        if not isinstance(error.__cause__, OSError):
            return str(error).lower() or "closed"
        error = error.__cause__
    if not isinstance(error, OSError):
        return (str(error) or type(error).__name__).lower()
    if error.errno and not isinstance(error, _NOT_FROM_THE_SYSTEM):
        return os.strerror(error.errno).lower()
    return (error.strerror or str(error) or type(error).__name__).lower()


def lost_by(error: BaseException) -> ConnectionLost:
    """Return the error of a connection that broke by another one."""
    lost = ConnectionLost(f"the connection broke: {words(error)}")
    lost.__cause__ = error
    return lost


class Closable(Protocol):
    async def aclose(self) -> None: ...


async def close_stream(stream: Closable) -> None:
    """Close a stream at once; that it was broken already is no news."""
    try:
        with anyio.CancelScope() as scope:
            scope.cancel()
            await stream.aclose()
    except BROKEN:
        return
