"""The service that the pages talk to: a few books at https://api.example.com.

A real server (hypercorn, TLS, HTTP/1.1 and HTTP/2) on a free port of loopback, in a thread. The pages show ordinary
URLs; `Service.connect` is what leads them here instead of into the internet.

| request                | answer                                                                            |
|------------------------|-----------------------------------------------------------------------------------|
| GET /books             | the books as JSON; `?author=`, `?limit=`                                          |
| GET /books/N           | one book, or 404                                                                  |
| POST /books            | 201 and the book that was sent, with an id                                        |
| GET /books.ndjson      | a thousand copies, one JSON object a line, without Content-Length                 |
| PUT /covers/N          | how many bytes came, and of what type                                             |
| GET /busy              | 503 twice, then 200, and again                                                    |
| GET /slow              | never                                                                             |
| GET /latest            | 302 to /books/3                                                                   |
| GET /news              | an event stream: two new books, and its end                                       |
"""

from __future__ import annotations

import asyncio
import errno
import json
import socket
import ssl
import threading
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, MutableMapping
from contextlib import contextmanager
from typing import Any, cast
from urllib.parse import parse_qs

import anyio
import trustme
from anyio.abc import ByteStream
from hypercorn.asyncio import serve
from hypercorn.config import Config

HOST = "api.example.com"
BOOKS = [
    {"id": 1, "title": "A Wizard of Earthsea", "author": "Le Guin"},
    {"id": 2, "title": "Solaris", "author": "Lem"},
    {"id": 3, "title": "The Dispossessed", "author": "Le Guin"},
]
EVENTS = b"text/event-stream"
STOP_SECONDS = 10

Event = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Event]]
Emit = Callable[[Event], Awaitable[None]]


class BookApp:
    """The ASGI application."""

    def __init__(self) -> None:
        self.turned_away = 0

    async def __call__(self, scope: Event, receive: Receive, send: Emit) -> None:
        if scope["type"] == "http":
            await self._answer(scope["method"], scope["path"], scope, receive, send)
        else:
            await _live(receive, send)

    async def _answer(self, method: str, path: str, scope: Event, receive: Receive, send: Emit) -> None:
        match method, path.strip("/").split("/"):
            case "GET", ["books"]:
                await _respond(send, 200, _chosen(parse_qs(scope["query_string"].decode())))
            case "GET", ["books", number] if number in {str(book["id"]) for book in BOOKS}:
                await _respond(send, 200, BOOKS[int(number) - 1])
            case "POST", ["books"]:
                body = b"".join([piece async for piece in _body(receive)])
                await _respond(send, 201, {"id": len(BOOKS) + 1, **json.loads(body)})
            case "GET", ["books.ndjson"]:
                await _export(send)
            case "PUT", ["covers", _]:
                size = sum([len(piece) async for piece in _body(receive)])
                kind = dict(scope["headers"]).get(b"content-type", b"").decode()
                await _respond(send, 200, {"bytes": size, "type": kind})
            case "GET", ["busy"]:
                self.turned_away = (self.turned_away + 1) % 3
                await _respond(send, 503 if self.turned_away else 200, {})
            case "GET", ["slow"]:
                await _until_gone(receive)
            case "GET", ["latest"]:
                await send({"type": "http.response.start", "status": 302, "headers": [(b"location", b"/books/3")]})
                await send({"type": "http.response.body", "body": b""})
            case "GET", ["news"]:
                await send({"type": "http.response.start", "status": 200, "headers": [(b"content-type", EVENTS)]})
                events = "".join(f"event: new\ndata: {json.dumps(book)}\n\n" for book in BOOKS[1:])
                await send({"type": "http.response.body", "body": events.encode()})
            case _:
                await _respond(send, 404, {"detail": "no such book"})


def _chosen(query: dict[str, list[str]]) -> list[dict[str, Any]]:
    books = [book for book in BOOKS if book["author"] in query.get("author", [book["author"]])]
    return books[: int(query.get("limit", ["100"])[0])]


async def _body(receive: Receive) -> AsyncIterator[bytes]:
    while (event := await receive())["type"] == "http.request":
        yield event.get("body", b"")
        if not event.get("more_body"):
            return


async def _respond(send: Emit, status: int, value: object) -> None:
    body = json.dumps(value).encode()
    fields = [(b"content-type", b"application/json"), (b"content-length", b"%d" % len(body))]
    await send({"type": "http.response.start", "status": status, "headers": fields})
    await send({"type": "http.response.body", "body": body})


async def _export(send: Emit) -> None:
    await send({"type": "http.response.start", "status": 200, "headers": [(b"content-type", b"application/x-ndjson")]})
    lines = "".join(f"{json.dumps(book)}\n" for book in BOOKS).encode()
    for _ in range(1_000):
        await send({"type": "http.response.body", "body": lines, "more_body": True})
    await send({"type": "http.response.body", "body": b""})


async def _until_gone(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass


async def _live(receive: Receive, send: Emit) -> None:
    while True:
        kind = (await receive())["type"]
        await send({"type": f"{kind}.complete"})
        if kind == "lifespan.shutdown":
            return


class Service:
    """The running service, as a client is led to it."""

    def __init__(self, app: BookApp, port: int, trust: ssl.SSLContext) -> None:
        self.app = app
        self.trust = trust
        self._port = port

    async def connect(self, host: str, port: int) -> ByteStream:
        if (host, port) != (HOST, 443):
            raise ConnectionRefusedError(errno.ECONNREFUSED, "connection refused")
        return await anyio.connect_tcp("127.0.0.1", self._port)


@contextmanager
def running_service() -> Iterator[Service]:
    """Run the service in a thread, and end it."""
    authority, trust = trustme.CA(), ssl.create_default_context()
    authority.configure_trust(trust)
    listener = socket.create_server(("127.0.0.1", 0))
    app, port = BookApp(), listener.getsockname()[1]
    loop, is_over = asyncio.new_event_loop(), asyncio.Event()

    def run() -> None:
        serving = serve(cast("Any", app), _config(listener, authority), shutdown_trigger=is_over.wait)
        with asyncio.Runner(loop_factory=lambda: loop) as runner:
            runner.run(serving)

    thread = threading.Thread(target=run, name="books")
    thread.start()
    try:
        yield Service(app, port, trust)
    finally:
        loop.call_soon_threadsafe(is_over.set)
        thread.join(STOP_SECONDS)
        assert not thread.is_alive()


def _config(listener: socket.socket, authority: trustme.CA) -> Config:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.set_alpn_protocols(["h2", "http/1.1"])
    authority.issue_cert(HOST).configure_cert(context)

    class BookConfig(Config):
        """Takes the TLS context as it is, so that no key is written to a file."""

        ssl_enabled = True

        def create_ssl_context(self) -> ssl.SSLContext:
            return context

    config = BookConfig()
    config.bind = [f"fd://{listener.detach()}"]
    config.graceful_timeout = 0.1
    config.loglevel = "ERROR"
    return config
