"""pyreqwest: Rust's reqwest, on threads of its own. It speaks HTTP/1.1 over TLS unless `http2(True)` is asked for."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import timedelta

from _peers import Chunks, Peer, Wish, check
from pyreqwest.client import ClientBuilder


class Pyreqwest(Peer):
    def __init__(self, wish: Wish) -> None:
        super().__init__(wish)
        builder = ClientBuilder().max_connections(wish.connections).no_proxy().timeout(timedelta(seconds=600))
        if wish.is_tls:
            builder = builder.add_root_certificate_pem(wish.authority())
        if wish.protocol == "h2":
            builder = builder.http2(True)
        elif wish.protocol == "h2c":
            builder = builder.http2_prior_knowledge()
        self._client = builder.build()

    async def aclose(self) -> None:
        await self._client.close()

    async def version(self, url: str) -> str:
        response = await self._client.get(url).build().send()
        await response.bytes()
        return "HTTP/2" if response.version == "HTTP/2.0" else response.version

    async def get(self, url: str) -> int:
        response = await self._client.get(url).build().send()
        check(response.status)
        return len(await response.bytes())

    async def download(self, url: str) -> bytes:
        response = await self._client.get(url).build().send()
        check(response.status)
        return bytes(await response.bytes())

    async def stream(self, url: str) -> AsyncIterator[bytes]:
        async with self._client.get(url).build_streamed() as response:
            check(response.status)
            while (chunk := await response.body_reader.read_chunk()) is not None:
                yield chunk  # type: ignore[misc]  # a buffer of Rust's, which behaves like bytes

    async def upload(self, url: str, content: bytes | Chunks) -> bytes:
        builder = self._client.post(url)
        builder = builder.body_bytes(content) if isinstance(content, bytes) else builder.body_stream(content())
        response = await builder.build().send()
        check(response.status)
        return bytes(await response.bytes())
