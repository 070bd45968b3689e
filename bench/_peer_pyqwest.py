"""pyqwest: Rust's reqwest again, bound by other people."""

from __future__ import annotations

from collections.abc import AsyncIterator

from _peers import Chunks, Peer, Wish, check
from pyqwest import Client, HTTPTransport, HTTPVersion


class Pyqwest(Peer):
    def __init__(self, wish: Wish) -> None:
        super().__init__(wish)
        self._transport = HTTPTransport(
            tls_ca_cert=wish.authority() if wish.is_tls else None,
            http_version=HTTPVersion.HTTP2 if wish.is_http2 else HTTPVersion.HTTP1,
            max_connections_per_address=wish.connections,
            pool_max_idle_per_host=wish.connections,
            pool_idle_timeout=600.0,
        )
        self._client = Client(self._transport)

    async def aclose(self) -> None:
        await self._transport.aclose()

    async def version(self, url: str) -> str:
        async with self._client.stream("GET", url) as response:
            async for _ in response.content:
                pass
            return "HTTP/2" if response.http_version == HTTPVersion.HTTP2 else "HTTP/1.1"

    async def get(self, url: str) -> int:
        response = await self._client.get(url)
        check(response.status)
        return len(response.content)

    async def download(self, url: str) -> bytes:
        response = await self._client.get(url)
        check(response.status)
        return response.content

    async def stream(self, url: str) -> AsyncIterator[bytes]:
        async with self._client.stream("GET", url) as response:
            check(response.status)
            async for chunk in response.content:
                yield chunk  # type: ignore[misc]  # a buffer, which behaves like bytes

    async def upload(self, url: str, content: bytes | Chunks) -> bytes:
        response = await self._client.post(url, content=content if isinstance(content, bytes) else content())
        check(response.status)
        return response.content
