"""How a response's body is read: as pieces, as text, as lines.

None of these iterators is a generator: they may be left early, and nothing is left for the garbage collector to finish.
"""

from __future__ import annotations

import codecs
import re
import sys
from collections import deque
from collections.abc import AsyncIterator
from encodings import normalize_encoding
from encodings.aliases import aliases
from typing import Protocol, Self

from netio.errors import BodyUnavailable

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
    """Whose body is read."""

    @property
    def is_closed(self) -> bool: ...

    async def aclose(self) -> None: ...


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

    __slots__ = ("_begun", "_is_ended", "_lines", "_texts")

    def __init__(self, texts: AsyncIterator[str]) -> None:
        self._texts = texts
        self._lines: deque[str] = deque()
        self._begun: list[str] = []
        self._is_ended = False

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> str:
        while not self._lines and not self._is_ended:
            try:
                self._cut(await anext(self._texts))
            except StopAsyncIteration:
                self._is_ended = True
                if self._begun:
                    self._lines.append("".join(self._begun).removesuffix("\r"))
        if not self._lines:
            raise StopAsyncIteration
        return self._lines.popleft()

    def _cut(self, text: str) -> None:
        if self._begun and self._begun[-1].endswith("\r"):
            text = self._begun.pop() + text
        # A CR at the very end may be the first half of a CRLF: it waits for what follows.
        held = "\r" if text.endswith("\r") else ""
        *lines, last = _LINE_END.split(text.removesuffix("\r"))
        for line in lines:
            self._begun.append(line)
            self._lines.append("".join(self._begun))
            self._begun.clear()
        if last or held:
            self._begun.append(last + held)
