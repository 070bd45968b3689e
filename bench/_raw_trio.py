"""The floor on trio: its sockets, or its SSLStream."""

from __future__ import annotations

import ssl
from urllib.parse import urlsplit

import outcome
import trio
from _peers import Wrong
from _raw_wire import Http1, Http2

_READ = 65_536


async def _connect(url: str, context: ssl.SSLContext | None) -> trio.abc.Stream:
    parts = urlsplit(url)
    assert parts.hostname is not None
    assert parts.port is not None
    stream = await trio.open_tcp_stream(parts.hostname, parts.port)
    if context is None:
        return stream
    return trio.SSLStream(stream, context, server_hostname=parts.hostname, https_compatible=True)


class RawHttp1:
    """Any number of connections, each used by one request at a time."""

    def __init__(self, url: str, context: ssl.SSLContext | None) -> None:
        parts = urlsplit(url)
        self._url = url
        self._context = context
        self._request = Http1.request(parts.netloc, parts.path)
        self._free: list[tuple[trio.abc.Stream, Http1]] = []

    async def get(self) -> int:
        stream, reply = self._free.pop() if self._free else (await _connect(self._url, self._context), Http1())
        await stream.send_all(self._request)
        while True:
            data = await stream.receive_some(_READ)
            if not data:
                raise Wrong("the server closed the connection")
            size = reply.feed(bytes(data))
            if size is not None:
                self._free.append((stream, reply))
                return size

    async def aclose(self) -> None:
        for stream, _ in self._free:
            await trio.aclose_forcefully(stream)


class RawHttp2:
    """One connection with a reader task; what several requests write in one turn of the loop is sent at once."""

    def __init__(self, url: str, context: ssl.SSLContext | None) -> None:
        parts = urlsplit(url)
        self._url = url
        self._context = context
        if context is not None:
            context.set_alpn_protocols(["h2"])
        self._wire = Http2(parts.scheme, parts.netloc, parts.path)
        self._parked: dict[int, trio.lowlevel.Task] = {}
        # Of tasks that are still inside of the sending: an answer can overtake them.
        self._early: dict[int, int] = {}
        self._is_flushing = False
        self._stream: trio.abc.Stream | None = None
        self._opening = trio.Lock()
        self._error: Exception | None = None

    async def _open(self) -> None:
        async with self._opening:
            if self._stream is None:
                self._stream = await _connect(self._url, self._context)
                trio.lowlevel.spawn_system_task(self._read, self._stream)

    async def _read(self, stream: trio.abc.Stream) -> None:
        try:
            while data := await stream.receive_some(_READ):
                for number, size in self._wire.feed(bytes(data)):
                    task = self._parked.pop(number, None)
                    if task is None:
                        self._early[number] = size
                    else:
                        trio.lowlevel.reschedule(task, outcome.Value(size))
                if self._wire.out and not self._is_flushing:
                    await self._flush()
            raise Wrong("the server closed the connection")
        except (trio.BrokenResourceError, trio.ClosedResourceError, Wrong) as error:
            self._error = error
            for task in self._parked.values():
                trio.lowlevel.reschedule(task, outcome.Error(error))

    async def _flush(self) -> None:
        assert self._stream is not None
        self._is_flushing = True
        try:
            if self._wire.is_busy:
                await trio.lowlevel.checkpoint()
            while self._wire.out:
                await self._stream.send_all(self._wire.take())
        finally:
            self._is_flushing = False

    async def get(self) -> int:
        if self._stream is None:
            await self._open()
        number = self._wire.request()
        if not self._is_flushing:
            await self._flush()
            if number in self._early:
                return self._early.pop(number)
        if self._error is not None:
            raise self._error
        self._parked[number] = trio.lowlevel.current_task()
        size: int = await trio.lowlevel.wait_task_rescheduled(lambda _: trio.lowlevel.Abort.FAILED)
        return size

    async def aclose(self) -> None:
        if self._stream is not None:
            await trio.aclose_forcefully(self._stream)
