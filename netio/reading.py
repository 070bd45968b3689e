"""How a response's body is read: as pieces, as text, as lines.

None of these iterators is a generator: they may be left early, and nothing is left for the garbage collector to finish.
"""

from __future__ import annotations

import codecs
import re
import sys
from collections import deque
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from encodings import normalize_encoding
from encodings.aliases import aliases
from io import BytesIO
from typing import Any, Protocol, Self

from netio.deadline import NEVER
from netio.errors import BodyTooLarge, BodyUnavailable
from netio.headers import Headers

MAX_BODY = 1_073_741_824  # bytes of a body that is read as a whole; httpx and aiohttp's client have no limit
MAX_LINE = 16_777_216  # characters or bytes of a line; asyncio's StreamReader allows 64 KiB

_CHARSET = re.compile(r";\s*charset\s*=\s*\"?([^\s\";]+)", re.IGNORECASE)
_CHARSETS = frozenset((*aliases, *aliases.values(), "cp874", "koi8_u", "utf_8_sig"))
"""What `codecs.lookup` is asked for: it remembers unknown names for ever, and knows codecs that are no charsets."""
_BYTE_ORDER = "le" if sys.byteorder == "little" else "be"
_LINE_END = re.compile(r"\r\n|\n|\r")


class BodySource(Protocol):
    """Where a response body comes from: a connection, or a fake."""

    async def receive(self) -> bytes:
        """Return the next piece, b"" at the end."""
        ...

    async def aclose(self) -> None:
        """Give up what was not received. May be called at any time, also twice."""
        ...

    # A source may have an attribute `trailers`: fields that came behind the body, empty before its end.


class Owner(Protocol):
    """Whose body is read: a response."""

    request: Any

    @property
    def is_closed(self) -> bool: ...

    async def aclose(self) -> None: ...


JsonDecoder = Callable[[bytes], Any]
Informed = Callable[[int, Headers], object]
"""Told of an interim response: its status, such as 103, and its fields."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Reading:
    """What the caller has said about how the response to a request is to be read. Limits are in bytes, as decoded."""

    max_body: float = MAX_BODY
    """Of a body that is read as a whole."""
    max_stream: float = NEVER
    """Of one that is iterated over."""
    json_decoder: JsonDecoder | None = None
    on_informational: Informed | None = None


def charset_of(content_type: str) -> str:
    """Return the charset that a Content-Type names if Python knows it, else utf-8."""
    found = _CHARSET.search(content_type)
    name = normalize_encoding(found.group(1)).lower() if found else "utf_8"
    if name in _CHARSETS:
        try:
            info = codecs.lookup(name)
        except LookupError:
            return "utf-8"
        if getattr(info, "_is_text_encoding", True):  # "base64" and its kin are codecs, not charsets
            return info.name
    return "utf-8"


class Given:
    """The pieces of a body that is in memory: one, or none."""

    __slots__ = ("_content",)

    def __init__(self, content: bytes) -> None:
        self._content = content

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> bytes:
        content, self._content = self._content, b""
        if not content:
            raise StopAsyncIteration
        return content


class Pulled:
    """The pieces of a body as they arrive; its owner, the response, is closed at their end."""

    __slots__ = ("_is_ended", "_is_receiving", "_owner", "_source")

    def __init__(self, owner: Owner, source: BodySource) -> None:
        self._owner = owner
        self._source = source
        self._is_ended = False
        self._is_receiving = False

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> bytes:
        if self._is_ended:
            raise StopAsyncIteration
        if self._owner.is_closed:
            raise BodyUnavailable("the response was closed before the end of its body")
        if self._is_receiving:
            raise BodyUnavailable("another task is reading the response body")
        self._is_receiving = True
        try:
            chunk = await self._source.receive()
        except BaseException:
            await self._owner.aclose()
            raise
        finally:
            self._is_receiving = False
        if not chunk:
            self._is_ended = True
            await self._owner.aclose()
            raise StopAsyncIteration
        return chunk


class Limited:
    """Pieces of a body of which no more than `most` bytes are wanted; `announced` is how many there will be, if known.

    One that is larger is refused before its first piece if that is known by then, and closed either way.
    """

    __slots__ = ("_announced", "_chunks", "_left", "_most", "_owner")

    def __init__(self, owner: Owner, chunks: AsyncIterator[bytes], most: float, announced: int | None) -> None:
        self._owner = owner
        self._chunks = chunks
        self._most = self._left = most
        self._announced = announced or 0

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> bytes:
        if self._announced <= self._most:
            chunk = await anext(self._chunks)
            self._left -= len(chunk)
            if self._left >= 0:
                return chunk
        await self._owner.aclose()
        raise body_too_large(self._most, self._owner.request)


def body_too_large(most: float, request: Any) -> BodyTooLarge:
    return BodyTooLarge(f"the response body is larger than {most:.0f} bytes (max_body)", request=request)


def line_too_long(most: int, what: str, request: Any) -> BodyTooLarge:
    return BodyTooLarge(f"a line of the response body is longer than {most} {what} (max_line)", request=request)


async def joined(chunks: AsyncIterator[bytes]) -> bytes:
    """Return all pieces as one, without a copy of them beside it: BytesIO hands out the very buffer it has grown."""
    first = await anext(chunks, b"")
    buffer: BytesIO | None = None
    async for chunk in chunks:
        if buffer is None:
            buffer = BytesIO()
            buffer.write(first)
            first = b""
        buffer.write(chunk)
    return first if buffer is None else buffer.getvalue()


def together(chunks: list[bytes]) -> bytes:
    """Return all pieces as one. Each is let go as it is copied, and the list is empty then: for many bytes."""
    buffer = BytesIO()
    chunks.reverse()
    while chunks:
        buffer.write(chunks.pop())
    return buffer.getvalue()


class Texts:
    """Decodes pieces of bytes into pieces of text."""

    __slots__ = ("_charset", "_chunks", "_decoder", "_is_ended")

    def __init__(self, chunks: AsyncIterator[bytes], charset: str) -> None:
        self._chunks = chunks
        self._charset = charset
        self._decoder = codecs.getincrementaldecoder(charset)(errors="replace")
        self._is_ended = False

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> str:
        while not self._is_ended:
            try:
                text = self._decode(await anext(self._chunks))
            except StopAsyncIteration:
                self._is_ended = True
                text = self._decoder.decode(b"", final=True)
            if text:
                return text
        raise StopAsyncIteration

    def _decode(self, chunk: bytes) -> str:
        try:
            return self._decoder.decode(chunk)
        except UnicodeError:
            # UTF-16 and UTF-32 without a byte order mark: `bytes.decode` then takes the machine's, and so do we.
            begun, _ = self._decoder.getstate()
            self._decoder = codecs.getincrementaldecoder(f"{self._charset}-{_BYTE_ORDER}")(errors="replace")
            return self._decoder.decode(begun + chunk)


class Lines:
    """Cuts pieces of text into lines. `_begun` is the line whose end has not come, in pieces."""

    __slots__ = ("_begun", "_begun_size", "_is_ended", "_lines", "_max_line", "_owner", "_texts")

    def __init__(self, owner: Owner, texts: AsyncIterator[str], max_line: int) -> None:
        self._owner = owner
        self._texts = texts
        self._max_line = max_line
        self._lines: deque[str] = deque()
        self._begun: list[str] = []
        self._begun_size = 0
        self._is_ended = False

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> str:
        while not self._lines and not self._is_ended:
            try:
                self._cut(await anext(self._texts))
            except BodyTooLarge:
                await self._owner.aclose()
                raise
            except StopAsyncIteration:
                self._is_ended = True
                if self._begun:
                    self._lines.append("".join(self._begun).removesuffix("\r"))
        if not self._lines:
            raise StopAsyncIteration
        return self._lines.popleft()

    def _cut(self, text: str) -> None:
        if self._begun and self._begun[-1].endswith("\r"):
            held = self._begun.pop()
            self._begun_size -= len(held) - 1
            text = held + text
        # A CR at the very end may be the first half of a CRLF: it waits for what follows.
        held = "\r" if text.endswith("\r") else ""
        *lines, last = _LINE_END.split(text.removesuffix("\r"))
        for line in lines:
            self._begin(line, "")
            self._lines.append("".join(self._begun))
            self._begun.clear()
            self._begun_size = 0
        if last or held:
            self._begin(last, held)

    def _begin(self, piece: str, held: str) -> None:
        self._begun.append(piece + held)
        self._begun_size += len(piece)
        if self._begun_size > self._max_line:
            raise line_too_long(self._max_line, "characters", self._owner.request)


class JsonLines:
    """Cuts a body into lines and parses each: JSON lines, or NDJSON, which are UTF-8. Empty lines are passed over."""

    __slots__ = ("_begun", "_chunks", "_is_ended", "_lines", "_max_line", "_number", "_owner", "_parse")

    def __init__(self, owner: Owner, chunks: AsyncIterator[bytes], parse: JsonDecoder, max_line: int) -> None:
        self._owner = owner
        self._chunks = chunks
        self._parse = parse
        self._max_line = max_line
        self._lines: deque[bytes] = deque()
        self._begun = bytearray()
        self._number = 0
        self._is_ended = False

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> Any:
        while True:
            while self._lines:
                self._number += 1
                line = self._lines.popleft().strip()
                if line:
                    return self._parsed(line)
            if self._is_ended:
                raise StopAsyncIteration
            try:
                self._cut(await anext(self._chunks))
            except StopAsyncIteration:
                self._is_ended = True
                self._lines.append(bytes(self._begun))
            except BodyTooLarge:
                await self._owner.aclose()
                raise

    def _parsed(self, line: bytes) -> Any:
        try:
            return self._parse(line)
        except ValueError as error:
            error.add_note(f"line {self._number} of the response body")
            raise

    def _cut(self, chunk: bytes) -> None:
        *lines, last = chunk.split(b"\n")
        for line in lines:
            self._begin(line)
            self._lines.append(bytes(self._begun))
            self._begun.clear()
        self._begin(last)

    def _begin(self, piece: bytes) -> None:
        self._begun += piece
        if len(self._begun) > self._max_line:
            raise line_too_long(self._max_line, "bytes", self._owner.request)
