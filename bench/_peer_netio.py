"""netio."""

from __future__ import annotations

from collections.abc import AsyncIterator

from _peers import Chunks, Peer, Wish, check

import netio


class Netio(Peer):
    def __init__(self, wish: Wish) -> None:
        super().__init__(wish)
        self._session = netio.Session(
            verify=wish.context(),
            http2="prior-knowledge" if wish.protocol == "h2c" else wish.is_http2,
            limits=netio.Limits(connections=wish.connections, idle=wish.connections, idle_seconds=600),
            timeout=netio.Timeouts(total=600, pool=600),
        )

    async def aclose(self) -> None:
        await self._session.aclose()

    async def version(self, url: str) -> str:
        return (await self._session.get(url)).http_version

    async def get(self, url: str) -> int:
        response = await self._session.get(url)
        check(response.status_code)
        return len(response.content)

    async def download(self, url: str) -> bytes:
        response = await self._session.get(url)
        check(response.status_code)
        return response.content

    async def stream(self, url: str) -> AsyncIterator[bytes]:
        async with self._session.stream("GET", url) as response:
            check(response.status_code)
            async for chunk in response.aiter_bytes():
                yield chunk

    async def upload(self, url: str, content: bytes | Chunks) -> bytes:
        response = await self._session.post(url, content=content if isinstance(content, bytes) else content())
        check(response.status_code)
        return response.content
