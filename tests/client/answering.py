"""A server of either version that answers each request as a function says, and notes what it was sent."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any, cast

import anyio
import anyio.lowlevel
import h2.errors
import h2.events
from anyio.abc import ByteStream

from tests.client.conftest import House, Version, make_house
from tests.peers import Http2Peer, Http2Side, _Reader

Fields = list[tuple[str, str]]


@dataclass
class Asked:
    """One request, as it arrived."""

    method: str
    path: str
    fields: dict[str, str]
    body: bytes = b""
    trailers: dict[str, str] = field(default_factory=dict)


@dataclass
class Answer:
    """What the server says; with `cut` the connection breaks after so many bytes of the body."""

    status: int = 200
    fields: Fields = field(default_factory=list)
    body: bytes = b""
    hints: list[tuple[int, Fields]] = field(default_factory=list)
    has_length: bool = True
    cut: int | None = None


Handler = Callable[[Asked], Answer]


class Site:
    """The server. `asked` are the requests so far."""

    def __init__(self, handler: Handler) -> None:
        self.handler = handler
        self.asked: list[Asked] = []
        self.peer = Http2Peer()

    def handle(self, asked: Asked) -> Answer:
        self.asked.append(asked)
        return self.handler(asked)

    async def serve1(self, stream: ByteStream) -> None:
        reader = _Reader(stream)
        while True:
            try:
                asked = await _read_request(reader)
                answer = self.handle(asked)
                await _write_answer(stream, answer, asked.method)
            except (anyio.EndOfStream, anyio.BrokenResourceError):
                return
            if answer.cut is not None:
                await stream.aclose()
                return

    async def serve2(self, stream: ByteStream) -> None:
        side = AnsweringSide(self, stream)
        self.peer.live.append(side)
        try:
            await side.run()
        except anyio.ClosedResourceError:
            pass
        finally:
            self.peer.live.remove(side)


async def _read_request(reader: _Reader) -> Asked:
    head = (await reader.until(b"\r\n\r\n")).decode("latin-1")
    first, *lines = head.split("\r\n")
    method, path, _ = first.split(" ", 2)
    asked = Asked(method, path, _as_fields(lines))
    if asked.fields.get("transfer-encoding") == "chunked":
        while size := int(await reader.until(b"\r\n"), 16):
            asked.body += await reader.exactly(size)
            await reader.exactly(2)
        while line := await reader.until(b"\r\n"):
            asked.trailers.update(_as_fields([line.decode("latin-1")]))
    else:
        asked.body = await reader.exactly(int(asked.fields.get("content-length", "0")))
    return asked


def _as_fields(lines: list[str]) -> dict[str, str]:
    pairs = (line.split(": ", 1) for line in lines)
    return {name.lower(): value for name, value in pairs}


async def _write_answer(stream: ByteStream, answer: Answer, method: str) -> None:
    data = b"".join(_head(status, fields) for status, fields in answer.hints)
    framing = ("content-length", str(len(answer.body))) if answer.has_length else ("transfer-encoding", "chunked")
    data += _head(answer.status, [*answer.fields, framing])
    body = answer.body if method != "HEAD" else b""
    if not answer.has_length:
        body = b"%x\r\n%b\r\n0\r\n\r\n" % (len(body), body) if body else b"0\r\n\r\n"
    await stream.send(data + body[: answer.cut])


def _head(status: int, fields: Fields) -> bytes:
    lines = [f"HTTP/1.1 {status} So", *(f"{name}: {value}" for name, value in fields)]
    return "\r\n".join((*lines, "", "")).encode("latin-1")


class AnsweringSide(Http2Side):
    """One HTTP/2 connection of a site."""

    def __init__(self, site: Site, stream: ByteStream) -> None:
        super().__init__(site.peer, stream)
        self.site = site
        self.asking: dict[int, Asked] = {}
        self.cuts: set[int] = set()
        self.ending: list[int] = []

    def on(self, event: h2.events.Event) -> None:
        if isinstance(event, h2.events.RequestReceived):
            fields = dict(cast("list[tuple[str, str]]", event.headers))
            self.asking[event.stream_id] = Asked(fields[":method"], fields[":path"], fields)
        elif isinstance(event, h2.events.TrailersReceived):
            self.asking[event.stream_id].trailers = dict(cast("list[tuple[str, str]]", event.headers))
        super().on(event)

    def on_request(self, stream_id: int) -> None:
        asked = self.asking.pop(stream_id)
        asked.body = bytes(self.received[stream_id])
        answer = self.site.handle(asked)
        for status, fields in answer.hints:
            self.h2.send_headers(stream_id, [(":status", str(status)), *fields])
        length = [("content-length", str(len(answer.body)))] if answer.has_length else []
        body = answer.body[: answer.cut] if asked.method != "HEAD" else b""
        is_cut = answer.cut is not None
        self.h2.send_headers(
            stream_id, [(":status", str(answer.status)), *answer.fields, *length], end_stream=not body and not is_cut
        )
        if is_cut:
            self.cuts.add(stream_id)
        if body:
            self.outgoing[stream_id] = body
        elif is_cut:
            self.end_cut(stream_id)
        else:
            self.paths.pop(stream_id, None)

    def send_body(self, stream_id: int) -> None:
        if stream_id not in self.cuts:
            super().send_body(stream_id)
            return
        content = self.outgoing.pop(stream_id)
        while content:
            size = min(len(content), self.h2.local_flow_control_window(stream_id), self.h2.max_outbound_frame_size)
            if size <= 0:
                self.outgoing[stream_id] = content
                return
            self.h2.send_data(stream_id, content[:size])
            content = content[size:]
        self.end_cut(stream_id)

    def end_cut(self, stream_id: int) -> None:
        self.ending.append(stream_id)

    async def flush(self) -> None:
        """Send what is to be sent, and then what cuts it off, in another read of the client."""
        await super().flush()
        while self.ending:
            stream_id = self.ending.pop()
            for _ in range(20):
                await anyio.lowlevel.checkpoint()
            self.tolerate(self.h2.reset_stream, stream_id, h2.errors.ErrorCodes.INTERNAL_ERROR)
            self.paths.pop(stream_id, None)
            await super().flush()


@asynccontextmanager
async def answering(version: Version, handler: Handler, **options: Any) -> AsyncIterator[tuple[House, Site]]:
    """A session, and a site in the place of the usual server."""
    async with make_house(version, **options) as house:
        site = Site(handler)
        house.peer = site.peer
        house.network.listen("peer.test", 80, site.serve1 if version == "HTTP/1.1" else site.serve2)
        yield house, site
