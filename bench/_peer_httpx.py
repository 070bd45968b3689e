"""httpx, and httpx2, which has kept its names."""

from __future__ import annotations

import importlib
from collections.abc import AsyncIterator
from typing import Any, ClassVar

from _peers import Absent, Chunks, Peer, Wish, check


class Httpx(Peer):
    module: ClassVar[str] = "httpx"

    def __init__(self, wish: Wish) -> None:
        super().__init__(wish)
        try:
            library: Any = importlib.import_module(self.module)
        except ModuleNotFoundError as error:
            raise Absent(f"{self.module} is not installed: pip install --group bench") from error
        limits = library.Limits(
            max_connections=wish.connections, max_keepalive_connections=wish.connections, keepalive_expiry=600
        )
        self._client = library.AsyncClient(
            http1=not wish.is_http2, http2=wish.is_http2, verify=wish.context(), limits=limits, timeout=600
        )

    async def aclose(self) -> None:
        await self._client.aclose()

    async def version(self, url: str) -> str:
        return str((await self._client.get(url)).http_version)

    async def get(self, url: str) -> int:
        response = await self._client.get(url)
        check(response.status_code)
        return len(response.content)

    async def download(self, url: str) -> bytes:
        response = await self._client.get(url)
        check(response.status_code)
        content: bytes = response.content
        return content

    async def stream(self, url: str) -> AsyncIterator[bytes]:
        async with self._client.stream("GET", url) as response:
            check(response.status_code)
            async for chunk in response.aiter_bytes():
                yield chunk

    async def upload(self, url: str, content: bytes | Chunks) -> bytes:
        response = await self._client.post(url, content=content if isinstance(content, bytes) else content())
        check(response.status_code)
        answer: bytes = response.content
        return answer


class Httpx2(Httpx):
    module = "httpx2"
