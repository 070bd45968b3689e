"""A web of any origins for tests of what goes around a request: as a `send`, and as servers in a network in memory.

    web = Web({"http://a.test/": redirect("/b"), "http://a.test/b": answer(200, body=b"here")})
    response = await compose([Redirects()], web)(request("http://a.test/"))
    assert [sent.url for sent in web.requests] == [...]

`web.serve(network, *origins)` puts the same behind HTTP/1.1 connections, so that what a real connection does counts.
"""

from __future__ import annotations

import ssl
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, cast

import anyio
from anyio.abc import ByteStream
from anyio.streams.tls import TLSStream

from netio.deadline import NEVER, Clock
from netio.headers import Field
from netio.message import Policy, Request, Response
from netio.policy import compose
from netio.testing import FakeClock, MemoryNetwork
from netio.url import URL, Origin


@dataclass
class Answer:
    """What a server says."""

    status: int = 200
    fields: list[Field] = field(default_factory=list)
    body: bytes = b""


Page = Answer | Callable[[Request], Answer]


def answer(status: int = 200, fields: Mapping[str, str] | Iterable[Field] = (), body: bytes = b"") -> Answer:
    if isinstance(fields, Mapping):
        fields = cast("Mapping[str, str]", fields).items()
    return Answer(status, list(fields), body)


def redirect(location: str | None, status: int = 302, body: bytes = b"moved") -> Answer:
    return answer(status, {} if location is None else {"location": location}, body)


class Streamed:
    """A body that is pulled, in pieces; it knows whether it was read and closed."""

    def __init__(self, body: bytes | Iterable[bytes], size: int = 16_384) -> None:
        pieces = [body[i : i + size] for i in range(0, len(body), size)] if isinstance(body, bytes) else body
        self._pieces = iter(pieces)
        self.taken = 0
        self.is_closed = False

    async def receive(self) -> bytes:
        piece = next(self._pieces, b"")
        self.taken += len(piece)
        return piece

    async def aclose(self) -> None:
        self.is_closed = True


class Web:
    """Pages by URL; other URLs are 404. As a `send` it answers streamed requests with bodies that are pulled."""

    def __init__(self, pages: Mapping[str, Page]) -> None:
        self.pages = {str(URL(url)): page for url, page in pages.items()}
        self.requests: list[Request] = []
        self.bodies: list[bytes] = []
        self.sources: list[Streamed] = []

    async def __call__(self, request: Request) -> Response:
        self.requests.append(request)
        self.bodies.append(b"".join([chunk async for chunk in request.body.chunks()]))
        said = self.page(request)
        if not request.is_streamed:
            return Response(said.status, request=request, headers=said.fields, content=said.body)
        source = Streamed(said.body)
        self.sources.append(source)
        fields = [*said.fields, ("content-length", str(len(said.body)))]
        return Response(said.status, request=request, headers=fields, source=source)

    def page(self, request: Request) -> Answer:
        page = self.pages.get(f"{request.url.origin}{request.url.target}", Answer(404))
        return page if isinstance(page, Answer) else page(request)

    @property
    def urls(self) -> list[str]:
        return [f"{sent.url.origin}{sent.url.target}" for sent in self.requests]

    def sent(self, name: str) -> list[str | None]:
        """Return the value of a field in each request that came."""
        return [sent.headers.get(name) for sent in self.requests]

    # ------------------------------------------------------------------ on a network

    def serve(self, network: MemoryNetwork, *origins: str, tls: ssl.SSLContext | None = None) -> None:
        for each in origins:
            origin = URL(each).origin
            network.listen(origin.host, origin.port, self._handler(origin, tls if origin.is_tls else None))

    def _handler(self, origin: Origin, tls: ssl.SSLContext | None) -> Callable[[ByteStream], Any]:
        async def handle(stream: ByteStream) -> None:
            received = b""
            if tls is not None:
                stream = await TLSStream.wrap(stream, server_side=True, ssl_context=tls, standard_compatible=False)
            while True:
                while b"\r\n\r\n" not in received:
                    try:
                        received += await stream.receive()
                    except anyio.EndOfStream:
                        return
                head, _, received = received.partition(b"\r\n\r\n")
                said = self.page(self._note(origin, head))
                lines = [f"{name}: {value}\r\n" for name, value in said.fields]
                if not any(name.lower() == "content-length" for name, _ in said.fields):
                    lines.append(f"content-length: {len(said.body)}\r\n")
                await stream.send(f"HTTP/1.1 {said.status} X\r\n{''.join(lines)}\r\n".encode("latin-1") + said.body)

        return handle

    def _note(self, origin: Origin, head: bytes) -> Request:
        first, *lines = head.decode("latin-1").split("\r\n")
        method, target, _ = first.split(" ")
        fields = [(name, value.strip()) for name, _, value in (line.partition(":") for line in lines)]
        self.requests.append(Request(method, f"{origin}{target}", headers=fields))
        return self.requests[-1]


def two_pages(status: int, location: str | None = "/next") -> Web:
    """Return a site whose first page says `status`, and by default leads to its second one."""
    return Web({"http://a.test/": redirect(location, status), "http://a.test/next": answer(body=b"here")})


def request(url: str, method: str = "GET", *, clock: Clock | None = None, **options: Any) -> Request:
    return Request(method, url, clock=clock or FakeClock(), deadline=options.pop("deadline", NEVER), **options)


async def ask(web: Any, policies: list[Policy], url: str, method: str = "GET", **options: Any) -> Response:
    """Send one request through some policies."""
    return await compose(policies, web)(request(url, method, **options))
