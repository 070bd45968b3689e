"""A link without a network: what is written is forgotten, and whoever waits gets the next canned answer at once.

Nothing suspends, so a request is one plain call (`drive`): what it costs is the client alone, without event loop,
kernel and task switches. This is the one place in bench/ that knows netio from the inside: `Link`, and the name of the
dialer in the pool.
"""

from __future__ import annotations

from collections.abc import Awaitable, Coroutine, Generator, Iterator
from struct import Struct
from typing import Any, TypeVar

import netio
from netio.errors import RequestError
from netio.transport import Link, Receiver, Waiter, current_runtime

T = TypeVar("T")

_FRAME = Struct(">HBBBL")


class _Now:
    """An awaitable that does not wait."""

    __slots__ = ()

    def __await__(self) -> Generator[Any, Any, None]:
        return
        yield


_NOW = _Now()


class MemoryLink(Link):
    """HTTP/1.1: each wait is for one answer."""

    __slots__ = ("_answers", "_receiver", "_runtime")

    def __init__(self, answers: Iterator[bytes]) -> None:
        self._answers = answers
        self._runtime = current_runtime()
        self._receiver: Receiver | None = None

    # Properties, as those of the real links: what they cost is paid there too.
    @property
    def alpn(self) -> str | None:
        return None

    @property
    def unsent(self) -> int:
        return 0

    @property
    def has_unsent(self) -> bool:
        return False

    @property
    def is_pushed(self) -> bool:
        return True

    def start(self, receiver: Receiver, *, is_pumped: bool) -> None:
        self._receiver = receiver

    def write(self, data: bytes | memoryview) -> None:
        pass

    def waiter(self) -> Waiter:
        return self._runtime.waiter()

    def wait(self, waiter: Waiter) -> Awaitable[None]:
        assert self._receiver is not None
        self._receiver.feed(next(self._answers))
        return _NOW

    async def drain(self, waiter: Waiter) -> None:
        pass

    def pause(self) -> None:
        pass

    def resume(self) -> None:
        pass

    def is_stale(self, *, is_thorough: bool = True) -> bool:
        return False

    def abort(self) -> None:
        pass

    async def aclose(self) -> None:
        pass


class MemoryLink2(MemoryLink):
    """HTTP/2: finds the streams in what is written and puts their numbers into the canned frames."""

    __slots__ = ("_streams", "_tail")

    def __init__(self, answers: Iterator[bytes]) -> None:
        super().__init__(answers)
        self._streams: list[int] = []
        self._tail = b""

    def start(self, receiver: Receiver, *, is_pumped: bool) -> None:
        super().start(receiver, is_pumped=is_pumped)
        receiver.feed(b"\x00\x00\x06\x04\x00\x00\x00\x00\x00" + b"\x00\x03\x00\x00\x00\x64")  # SETTINGS, 100 streams
        receiver.feed(b"\x00\x00\x00\x04\x01\x00\x00\x00\x00")  # and the acknowledgement of ours

    def write(self, data: bytes | memoryview) -> None:
        data = self._tail + bytes(data)
        position = 24 if data.startswith(b"PRI * ") else 0
        while position + 9 <= len(data):
            high, low, kind, _, stream = _FRAME.unpack_from(data, position)
            if kind == 1:
                self._streams.append(stream)
            position += 9 + (high << 8 | low)
        if position > len(data):
            raise AssertionError("a frame was written in two pieces")
        self._tail = data[position:]

    def wait(self, waiter: Waiter) -> Awaitable[None]:
        assert self._receiver is not None
        for stream in self._streams:
            self._receiver.feed(next(self._answers).replace(b"\xff\xff\xff\xff", stream.to_bytes(4, "big")))
        self._streams.clear()
        return _NOW


class _MemoryDialer:
    def __init__(self, link: Link) -> None:
        self._link = link

    async def dial(self, dial: object) -> Link:
        return self._link


def put_below(session: netio.Session, link: Link) -> None:
    """Let the session's pool dial this link, instead of the network."""
    pool = session._make_pool()
    if not hasattr(pool, "_dialer"):
        raise AssertionError("netio.pool.Pool has no _dialer any more: bench/_memory_link.py must learn what it has")
    pool._dialer = _MemoryDialer(link)  # type: ignore[assignment]
    session._pool = pool


def drive(coroutine: Coroutine[Any, Any, T]) -> T:
    """Run a coroutine that never suspends to its end, as one call."""
    try:
        coroutine.send(None)
    except StopIteration as end:
        result: T = end.value
        return result
    coroutine.close()
    raise RequestError("the request waited for the event loop, where it must not: see bench/_memory_link.py")
