"""The floor on asyncio and uvloop: a bare Protocol and one future a request; TLS by the loop's own transport."""

from __future__ import annotations

import asyncio
import ssl
from typing import cast
from urllib.parse import urlsplit

from _peers import Wrong
from _raw_wire import Http1, Http2


class _Http1(asyncio.Protocol):
    transport: asyncio.Transport

    def __init__(self) -> None:
        self._reply = Http1()
        self.future: asyncio.Future[int] | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast("asyncio.Transport", transport)  # those of uvloop do not inherit from it

    def data_received(self, data: bytes) -> None:
        size = self._reply.feed(data)
        if size is not None and self.future is not None:
            self.future.set_result(size)

    def connection_lost(self, exc: Exception | None) -> None:
        if self.future is not None and not self.future.done():
            self.future.set_exception(exc or Wrong("the server closed the connection"))


class RawHttp1:
    """Any number of connections, each used by one request at a time."""

    def __init__(self, url: str, context: ssl.SSLContext | None) -> None:
        parts = urlsplit(url)
        assert parts.hostname is not None
        assert parts.port is not None
        self._place = parts.hostname, parts.port
        self._context = context
        self._request = Http1.request(parts.netloc, parts.path)
        self._free: list[_Http1] = []
        self._loop = asyncio.get_running_loop()

    async def get(self) -> int:
        if self._free:
            connection = self._free.pop()
        else:
            _, connection = await self._loop.create_connection(_Http1, *self._place, ssl=self._context)
        future: asyncio.Future[int] = self._loop.create_future()
        connection.future = future
        connection.transport.write(self._request)
        size = await future
        self._free.append(connection)
        return size

    async def aclose(self) -> None:
        for connection in self._free:
            connection.transport.abort()


class RawHttp2(asyncio.Protocol):
    """One connection; what several requests write in one turn of the loop is sent at once."""

    def __init__(self, url: str, context: ssl.SSLContext | None) -> None:
        parts = urlsplit(url)
        assert parts.hostname is not None
        assert parts.port is not None
        self._place = parts.hostname, parts.port
        self._context = context
        if context is not None:
            context.set_alpn_protocols(["h2"])
        self._wire = Http2(parts.scheme, parts.netloc, parts.path)
        self._waiting: dict[int, asyncio.Future[int]] = {}
        self._is_flush_due = False
        self._opening: asyncio.Task[None] | None = None
        self._loop = asyncio.get_running_loop()

    async def _open(self) -> None:
        await self._loop.create_connection(lambda: self, *self._place, ssl=self._context)

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)

    def data_received(self, data: bytes) -> None:
        for stream, size in self._wire.feed(data):
            self._waiting.pop(stream).set_result(size)
        if self._wire.out:
            self._flush()

    def connection_lost(self, exc: Exception | None) -> None:
        for future in self._waiting.values():
            future.set_exception(exc or Wrong("the server closed the connection"))

    def _flush(self) -> None:
        self._is_flush_due = False
        if self._wire.out:
            self._transport.write(self._wire.take())

    async def get(self) -> int:
        if self._opening is None:
            self._opening = self._loop.create_task(self._open())
        if not self._opening.done():
            await asyncio.shield(self._opening)
        future: asyncio.Future[int] = self._loop.create_future()
        self._waiting[self._wire.request()] = future
        if not self._wire.is_busy:
            self._flush()
        elif not self._is_flush_due:
            self._is_flush_due = True
            self._loop.call_soon(self._flush)
        return await future

    async def aclose(self) -> None:
        self._waiting.clear()
        self._transport.abort()
