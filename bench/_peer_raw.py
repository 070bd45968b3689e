"""The floor: what the event loop and the kernel cost, without a client. It knows one GET and nothing else."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import sniffio
from _peers import VERSIONS, Chunks, Peer, Wish, Wrong

_ONLY_GET = "the raw loop knows nothing but one GET"


class Raw(Peer):
    def __init__(self, wish: Wish) -> None:
        super().__init__(wish)
        self._floor: Any = None

    def _open(self, url: str) -> Any:
        context = self.wish.context() if self.wish.is_tls else None
        if sniffio.current_async_library() == "trio":
            import _raw_trio as raw
        else:
            import _raw_asyncio as raw  # type: ignore[no-redef]
        return (raw.RawHttp2 if self.wish.is_http2 else raw.RawHttp1)(url, context)

    async def aclose(self) -> None:
        if self._floor is not None:
            await self._floor.aclose()

    async def version(self, url: str) -> str:
        self._floor = self._open(url)
        self.get = self._get  # type: ignore[method-assign]
        await self._floor.get()
        return VERSIONS[self.wish.protocol]  # it would not have understood another one

    async def get(self, url: str) -> int:
        raise Wrong("the raw loop has to be opened by asking for its version")

    async def _get(self, url: str) -> int:
        size: int = await self._floor.get()
        return size

    async def download(self, url: str) -> bytes:
        raise Wrong(_ONLY_GET)

    async def stream(self, url: str) -> AsyncIterator[bytes]:
        raise Wrong(_ONLY_GET)
        yield b""

    async def upload(self, url: str, content: bytes | Chunks) -> bytes:
        raise Wrong(_ONLY_GET)
