"""aiohttp: HTTP/1.1 on asyncio."""

from __future__ import annotations

from collections.abc import AsyncIterator

import aiohttp
from _peers import Chunks, Peer, Wish, check


class Aiohttp(Peer):
    def __init__(self, wish: Wish) -> None:
        super().__init__(wish)
        connector = aiohttp.TCPConnector(
            limit=wish.connections, ssl=wish.context() if wish.is_tls else True, keepalive_timeout=600
        )
        self._session = aiohttp.ClientSession(connector=connector, timeout=aiohttp.ClientTimeout(total=600))

    async def aclose(self) -> None:
        await self._session.close()

    async def version(self, url: str) -> str:
        async with self._session.get(url) as response:
            await response.read()
            assert response.version is not None
            return f"HTTP/{response.version.major}.{response.version.minor}"

    async def get(self, url: str) -> int:
        async with self._session.get(url) as response:
            check(response.status)
            return len(await response.read())

    async def download(self, url: str) -> bytes:
        async with self._session.get(url) as response:
            check(response.status)
            return await response.read()

    async def stream(self, url: str) -> AsyncIterator[bytes]:
        async with self._session.get(url) as response:
            check(response.status)
            async for chunk in response.content.iter_any():
                yield chunk

    async def upload(self, url: str, content: bytes | Chunks) -> bytes:
        data = content if isinstance(content, bytes) else content()
        async with self._session.post(url, data=data) as response:
            check(response.status)
            return await response.read()
