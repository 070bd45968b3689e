"""The web application behind the demo and the tests: one small answer for each thing a client has to get right.

| path                          | answer                                                                             |
|-------------------------------|------------------------------------------------------------------------------------|
| `/`                           | 200 bytes of JSON                                                                  |
| `/bytes/N`                    | the first N bytes of `content()`, streamed; `?length=no` leaves Content-Length out |
| `/echo`                       | the request body, piece by piece as it comes in                                    |
| `/upload`                     | JSON: how many bytes came in, and their sha256                                     |
| `/headers`                    | JSON: method, http_version, path, query and header fields of the request           |
| `/status/N`                   | an answer with this status code and no content                                     |
| `/slow?seconds=S`             | `slept`, after S seconds                                                           |
| `/drip?count=C&size=S&delay=D`| the first C * S bytes of `content()` in pieces of S bytes, D seconds apart         |
| `/flaky?id=N`                 | 503 to the first two tries of every fifth N, JSON with the number of tries else    |

It is plain ASGI and needs no web server to be imported. `/echo` answers while it reads, so over HTTP/1.1 a client that
does not read while it sends can lock itself up with a body larger than the buffers between the two.
"""

from __future__ import annotations

import hashlib
import json
import random
from collections.abc import AsyncIterator, Awaitable, Callable, MutableMapping
from typing import Any
from urllib.parse import parse_qs

import anyio

Scope = MutableMapping[str, Any]
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]

FLAKY_EVERY = 5
FLAKY_FAILURES = 2
_MAX_SECONDS = 60.0
_PIECE = 32_768
# The period is a prime, so that no exchange or loss of whole blocks (4 KiB, 16 KiB frames, 64 KiB reads) goes unseen.
_PERIOD = 65_521
_PATTERN = random.Random(0).randbytes(_PERIOD)
_PATTERN_TWICE = _PATTERN * 2
_HELLO = json.dumps({"hello": "from netio's embedded origin", "padding": ""})
_INDEX = _HELLO.replace('""', '"' + "." * (200 - len(_HELLO)) + '"').encode()


def content(size: int) -> bytes:
    """Return the body of `/bytes/{size}`."""
    return (_PATTERN * (size // _PERIOD + 1))[:size]


def _pattern(start: int, size: int) -> bytes:
    begin = start % _PERIOD
    return _PATTERN_TWICE[begin : begin + size]


class BadParameter(Exception):
    """A number in the path or the query is missing, not a number, or out of range."""


class Call:
    """One request as the routes see it."""

    def __init__(self, scope: Scope, receive: Receive, send: Send) -> None:
        self.scope = scope
        self.path: str = scope["path"]
        self.query = parse_qs(scope["query_string"].decode("latin-1"))
        self._receive = receive
        self._send = send

    def number(self, name: str, default: int) -> int:
        return _checked_int(self.query.get(name, [str(default)])[0])

    def seconds(self, name: str) -> float:
        try:
            seconds = float(self.query.get(name, ["0"])[0])
        except ValueError:
            raise BadParameter(name) from None
        if not 0 <= seconds <= _MAX_SECONDS:
            raise BadParameter(name)
        return seconds

    def field(self, name: bytes) -> bytes | None:
        return next((value for found, value in self.scope["headers"] if found.lower() == name), None)

    async def body(self) -> AsyncIterator[bytes]:
        while True:
            message = await self._receive()
            if message["type"] == "http.disconnect":
                return
            yield message.get("body", b"")
            if not message.get("more_body", False):
                return

    async def start(self, status: int, *fields: tuple[bytes, bytes]) -> None:
        await self._send({"type": "http.response.start", "status": status, "headers": list(fields)})

    async def piece(self, data: bytes, *, is_last: bool = False) -> None:
        await self._send({"type": "http.response.body", "body": data, "more_body": not is_last})

    async def answer(self, status: int, body: bytes, content_type: bytes = b"text/plain; charset=utf-8") -> None:
        await self.start(status, (b"content-type", content_type), (b"content-length", b"%d" % len(body)))
        await self.piece(body, is_last=True)

    async def answer_json(self, value: Any, status: int = 200) -> None:
        await self.answer(status, json.dumps(value).encode(), b"application/json")


class OriginApp:
    """The ASGI application. Its only state is how often each id of `/flaky` was refused."""

    def __init__(self) -> None:
        self._refused: dict[str, int] = {}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            await _lifespan(receive, send)
        elif scope["type"] == "http":
            await self._route(Call(scope, receive, send))
        else:
            raise NotImplementedError(f"no {scope['type']} here")

    async def _route(self, call: Call) -> None:
        first, _, rest = call.path.removeprefix("/").partition("/")
        try:
            if first == "flaky":
                await self._flaky(call)
            elif first in _NUMBERED_ROUTES:
                await _NUMBERED_ROUTES[first](call, _checked_int(rest))
            elif first in _ROUTES and not rest:
                await _ROUTES[first](call)
            else:
                await call.answer(404, b"no such path\n")
        except BadParameter as error:
            await call.answer(400, f"bad or missing number: {error}\n".encode())

    async def _flaky(self, call: Call) -> None:
        """Refuse the first tries of every fifth id; after the answer its count starts again, so memory is bounded."""
        name = str(call.number("id", 0))
        refused = self._refused.pop(name, 0)
        if int(name) % FLAKY_EVERY == 0 and refused < FLAKY_FAILURES:
            self._refused[name] = refused + 1
            await call.answer(503, b"try again\n")
        else:
            await call.answer_json({"id": int(name), "tries": refused + 1})


def _checked_int(text: str) -> int:
    if not (text.isascii() and text.isdigit() and len(text) <= 12):
        raise BadParameter(text[:40])
    return int(text)


async def _lifespan(receive: Receive, send: Send) -> None:
    while True:
        message = await receive()
        await send({"type": f"{message['type']}.complete"})
        if message["type"] == "lifespan.shutdown":
            return


async def _index(call: Call) -> None:
    await call.answer(200, _INDEX, b"application/json")


async def _bytes(call: Call, size: int) -> None:
    fields = [(b"content-type", b"application/octet-stream")]
    if call.query.get("length") != ["no"]:
        fields.append((b"content-length", b"%d" % size))
    await call.start(200, *fields)
    for start in range(0, size, _PIECE):
        await call.piece(_pattern(start, min(_PIECE, size - start)))
    await call.piece(b"", is_last=True)


async def _echo(call: Call) -> None:
    fields = [(b"content-type", call.field(b"content-type") or b"application/octet-stream")]
    length = call.field(b"content-length")
    if length is not None:
        fields.append((b"content-length", length))
    await call.start(200, *fields)
    async for piece in call.body():
        await call.piece(piece)
    await call.piece(b"", is_last=True)


async def _upload(call: Call) -> None:
    received = 0
    digest = hashlib.sha256()
    async for piece in call.body():
        received += len(piece)
        digest.update(piece)
    await call.answer_json({"bytes": received, "sha256": digest.hexdigest()})


async def _headers(call: Call) -> None:
    scope = call.scope
    fields = [[name.decode("latin-1"), value.decode("latin-1")] for name, value in scope["headers"]]
    await call.answer_json(
        {
            "method": scope["method"],
            "http_version": scope["http_version"],
            "path": scope["raw_path"].decode("latin-1"),
            "query": scope["query_string"].decode("latin-1"),
            "headers": fields,
        }
    )


async def _status(call: Call, status: int) -> None:
    if not 200 <= status <= 599:
        raise BadParameter(str(status))
    fields = [] if status in (204, 304) else [(b"content-length", b"0")]
    await call.start(status, *fields)
    await call.piece(b"", is_last=True)


async def _slow(call: Call) -> None:
    await anyio.sleep(call.seconds("seconds"))
    await call.answer(200, b"slept\n")


async def _drip(call: Call) -> None:
    count, size, delay = call.number("count", 10), call.number("size", 1), call.seconds("delay")
    if size > _PERIOD:
        raise BadParameter("size")
    await call.start(200, (b"content-type", b"application/octet-stream"))
    for sent in range(count):
        if sent:
            await anyio.sleep(delay)
        await call.piece(_pattern(sent * size, size))
    await call.piece(b"", is_last=True)


_ROUTES: dict[str, Callable[[Call], Awaitable[None]]] = {
    "": _index,
    "echo": _echo,
    "upload": _upload,
    "headers": _headers,
    "slow": _slow,
    "drip": _drip,
}
_NUMBERED_ROUTES: dict[str, Callable[[Call, int], Awaitable[None]]] = {"bytes": _bytes, "status": _status}

app = OriginApp()
