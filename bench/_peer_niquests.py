"""niquests: requests' interface over urllib3-future, on asyncio."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import niquests
from _peers import Chunks, Peer, Wish, check


class Niquests(Peer):
    def __init__(self, wish: Wish) -> None:
        super().__init__(wish)
        self._session: Any = niquests.AsyncSession(
            pool_connections=10,
            pool_maxsize=wish.connections,
            disable_http1=wish.is_http2,
            disable_http2=not wish.is_http2,
            disable_http3=True,
            timeout=600,
            revocation_configuration=None,  # the authority of a benchmark publishes no list
        )
        self._session.verify = wish.trusted

    async def aclose(self) -> None:
        await self._session.close()

    async def version(self, url: str) -> str:
        response = await self._session.get(url)
        return {11: "HTTP/1.1", 20: "HTTP/2"}.get(response.http_version, str(response.http_version))

    async def get(self, url: str) -> int:
        response = await self._session.get(url)
        check(response.status_code)
        return len(response.content)

    async def download(self, url: str) -> bytes:
        response = await self._session.get(url)
        check(response.status_code)
        content: bytes = response.content
        return content

    async def stream(self, url: str) -> AsyncIterator[bytes]:
        response = await self._session.get(url, stream=True)
        check(response.status_code)
        async for chunk in await response.iter_content(65_536):
            yield chunk
        await response.close()

    async def upload(self, url: str, content: bytes | Chunks) -> bytes:
        response = await self._session.post(url, data=content if isinstance(content, bytes) else content())
        check(response.status_code)
        answer: bytes = response.content
        return answer
