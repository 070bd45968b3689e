"""An HTTP/2 server made of frames, which says whatever a test wants said: what no library would send.

It answers "/" with "hello", "/hang" never, and a POST with the length of its body, credits what it reads at once, and
acknowledges SETTINGS and PING, unless told otherwise. What it hears is kept frame by frame in `RawSide.heard`.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

import anyio
import hpack
from anyio.abc import ByteStream

import netio
from netio.wire import EngineName, ErrorCode
from tests.client.conftest import House, make_house

DATA, HEADERS, PRIORITY, RST_STREAM, SETTINGS, PUSH_PROMISE, PING, GOAWAY, WINDOW_UPDATE, CONTINUATION = range(10)
END_STREAM, ACK, END_HEADERS, PADDED = 0x1, 0x1, 0x4, 0x8
MAX_CONCURRENT_STREAMS, INITIAL_WINDOW_SIZE, MAX_FRAME_SIZE = 3, 4, 5
LAST_ID = 2**31 - 1
PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
OK = b"\x88"  # ":status: 200", an entry of the static table


def frame(kind: int, stream_id: int = 0, payload: bytes = b"", flags: int = 0) -> bytes:
    return (len(payload) << 8 | kind).to_bytes(4, "big") + bytes((flags,)) + stream_id.to_bytes(4, "big") + payload


def settings(values: dict[int, int] | None = None) -> bytes:
    pairs = [number.to_bytes(2, "big") + value.to_bytes(4, "big") for number, value in (values or {}).items()]
    return frame(SETTINGS, payload=b"".join(pairs))


def goaway(last_id: int, code: int = 0, debug: bytes = b"") -> bytes:
    return frame(GOAWAY, payload=last_id.to_bytes(4, "big") + code.to_bytes(4, "big") + debug)


def reset(stream_id: int, code: int) -> bytes:
    return frame(RST_STREAM, stream_id, code.to_bytes(4, "big"))


def credit(stream_id: int, size: int) -> bytes:
    return frame(WINDOW_UPDATE, stream_id, size.to_bytes(4, "big"))


def literal(name: bytes, value: bytes) -> bytes:
    """Return a field that leaves the table alone (RFC 7541 section 6.2.2); shorter than 127 bytes each."""
    return b"\x00" + bytes((len(name),)) + name + bytes((len(value),)) + value


def head(stream_id: int, status: int = 200, *, more: bytes = b"", ends: bool = False) -> bytes:
    block = (OK if status == 200 else b"\x08\x03%d" % status) + more
    return frame(HEADERS, stream_id, block, END_HEADERS | (END_STREAM if ends else 0))


def data(stream_id: int, content: bytes = b"", *, ends: bool = False) -> bytes:
    return frame(DATA, stream_id, content, END_STREAM if ends else 0)


def answer(stream_id: int, content: bytes = b"hello", status: int = 200) -> bytes:
    return head(stream_id, status) + data(stream_id, content, ends=True)


@dataclass
class Heard:
    """One frame of the client."""

    kind: int
    flags: int
    stream_id: int
    payload: bytes

    @property
    def code(self) -> int:
        """The error code, which is last in RST_STREAM and in a GOAWAY without explanation."""
        return int.from_bytes(self.payload[-4:], "big")


class RawPeer:
    """A server; each of its connections is a `RawSide`."""

    def __init__(self, values: dict[int, int] | None = None) -> None:
        self.values = values or {MAX_CONCURRENT_STREAMS: 100}
        self.requests: list[str] = []
        """Method and path of each, over all connections."""
        self.sides: list[RawSide] = []
        self.acknowledges = True
        self.credits = True

    @property
    def live(self) -> list[RawSide]:
        return [side for side in self.sides if side.is_live]

    @property
    def open_streams(self) -> int:
        return sum(len(side.open) for side in self.live)

    async def serve(self, stream: ByteStream) -> None:
        side = RawSide(self, stream, len(self.sides))
        self.sides.append(side)
        try:
            await side.run()
        except (anyio.EndOfStream, anyio.BrokenResourceError, anyio.ClosedResourceError):
            pass  # the client went away, as clients do
        finally:
            side.is_live = False

    async def begin(self, side: RawSide) -> None:
        await side.say(settings(self.values))

    async def respond(self, side: RawSide, stream_id: int, request: str, body: bytes) -> None:
        """Do with a request what this server does; called when it has ended."""
        if request.endswith("/hang"):
            return
        await side.say(answer(stream_id, b"hello" if request.startswith("GET") else b"%d" % len(body)))

    async def on_head(self, side: RawSide, stream_id: int, request: str) -> None:
        """See the head of a request."""

    async def on_pong(self, side: RawSide) -> None:
        """See the answer to a PING."""


class RawSide:
    """One connection of a `RawPeer`; it is the `number`-th."""

    def __init__(self, peer: RawPeer, stream: ByteStream, number: int) -> None:
        self.peer = peer
        self.stream = stream
        self.number = number
        self.is_live = True
        self.heard: list[Heard] = []
        self.open: dict[int, str] = {}
        """Requests that have neither been answered nor been reset."""
        self.granted = 65_535
        """How many bytes of DATA the client has allowed on the connection so far."""
        self.received = 0
        """How many bytes of DATA have come."""
        self._bodies: dict[int, bytearray] = {}
        self._decoder = hpack.Decoder()
        self._turn = anyio.Lock()

    def of(self, kind: int) -> list[Heard]:
        return [heard for heard in self.heard if heard.kind == kind]

    @property
    def resets(self) -> dict[int, int]:
        return {heard.stream_id: heard.code for heard in self.of(RST_STREAM)}

    @property
    def goodbyes(self) -> list[int]:
        """The error codes of the GOAWAYs of the client."""
        return [heard.code for heard in self.of(GOAWAY)]

    async def say(self, *frames: bytes) -> None:
        raw = b"".join(frames)
        self._note(raw)
        async with self._turn:
            await self.stream.send(raw)

    def _note(self, raw: bytes) -> None:
        """Take the streams that these frames end off the open ones."""
        while len(raw) >= 9:
            size, kind, flags = int.from_bytes(raw[:3], "big"), raw[3], raw[4]
            if kind == RST_STREAM or (kind in (DATA, HEADERS) and flags & END_STREAM):
                self.open.pop(int.from_bytes(raw[5:9], "big"), None)
            raw = raw[9 + size :]

    async def run(self) -> None:
        buffer = b""
        while len(buffer) < len(PREFACE):
            buffer += await self.stream.receive()
        assert buffer.startswith(PREFACE)
        buffer = buffer[len(PREFACE) :]
        await self.peer.begin(self)
        while True:
            while len(buffer) >= 9 and len(buffer) >= (end := 9 + int.from_bytes(buffer[:3], "big")):
                heard = Heard(buffer[3], buffer[4], int.from_bytes(buffer[5:9], "big"), buffer[9:end])
                buffer = buffer[end:]
                self.heard.append(heard)
                await self._on(heard)
            buffer += await self.stream.receive()

    async def _on(self, heard: Heard) -> None:
        if heard.kind in (SETTINGS, PING) and not heard.flags & ACK and self.peer.acknowledges:
            await self.say(frame(heard.kind, payload=heard.payload if heard.kind == PING else b"", flags=ACK))
        elif heard.kind == PING and heard.flags & ACK:
            await self.peer.on_pong(self)
        elif heard.kind == WINDOW_UPDATE and not heard.stream_id:
            self.granted += heard.code
        elif heard.kind == RST_STREAM:
            self.open.pop(heard.stream_id, None)
        elif heard.kind == HEADERS:
            fields: dict[Any, Any] = dict(self._decoder.decode(heard.payload))
            self.open[heard.stream_id] = request = f"{fields[':method']} {fields[':path']}"
            self._bodies[heard.stream_id] = bytearray()
            self.peer.requests.append(request)
            await self.peer.on_head(self, heard.stream_id, request)
        elif heard.kind == DATA and heard.stream_id in self._bodies:
            self.received += len(heard.payload)
            self._bodies[heard.stream_id] += heard.payload
            if heard.payload and self.peer.credits:
                await self.say(credit(0, len(heard.payload)), credit(heard.stream_id, len(heard.payload)))
        if heard.kind in (HEADERS, DATA) and heard.flags & END_STREAM and heard.stream_id in self.open:
            body = self._bodies.pop(heard.stream_id)
            await self.peer.respond(self, heard.stream_id, self.open[heard.stream_id], bytes(body))


@asynccontextmanager
async def raw_house(engine: EngineName, peer: RawPeer | None = None, **options: Any) -> AsyncIterator[House]:
    """A session, with a `RawPeer` in the place of the server."""
    async with make_house("HTTP/2", engine=engine, **options) as house:
        house.peer = peer or RawPeer()
        house.network.listen("peer.test", 80, house.peer.serve)
        yield house


class Outcome:
    """What became of one request."""

    def __init__(self) -> None:
        self.content: bytes | None = None
        self.error: netio.RequestError | None = None

    @property
    def is_here(self) -> bool:
        return self.content is not None or self.error is not None

    async def of(self, session: netio.Session, path: str, method: str = "GET", **options: Any) -> None:
        options.setdefault("timeout", None)
        try:
            self.content = (await session.request(method, path, **options)).content
        except netio.RequestError as error:
            self.error = error

    def check_error(self, kind: type[netio.RequestError], *words: str, sent: bool = True) -> None:
        assert type(self.error) is kind, repr(self.error)
        for word in words:
            assert word in str(self.error)
        assert self.error.sent is sent


def only_connection(house: House) -> Any:
    assert house.session._pool is not None
    (connection,) = house.session._pool._ledger._members
    return connection


def code_of(name: str) -> int:
    return int(ErrorCode[name])
