"""Request bodies. Each knows its length, its media type, and whether it can be sent a second time.

What is sent twice (a retry, a redirect, a second try on a fresh connection) asks `is_replayable` first: a generator
that has begun to run is gone, and sending an empty body in its place would be a lie (HAZARDS RT-04).
"""

from __future__ import annotations

import json as jsonlib
from abc import ABC, abstractmethod
from collections.abc import AsyncGenerator, AsyncIterable, Callable, Iterable, Mapping
from contextlib import aclosing
from typing import Any, TypeVar
from urllib.parse import urlencode

from netio.errors import InvalidRequest, RequestBodyError
from netio.url import text_pairs

T = TypeVar("T")

Chunks = Iterable[bytes] | AsyncIterable[bytes]
Content = str | bytes | bytearray | memoryview | Chunks | Callable[[], Chunks]
FormData = Mapping[str, Any] | Iterable[tuple[str, Any]]


class RequestBody(ABC):
    """What follows the head of a request."""

    __slots__ = ()

    content_type: str | None = None
    length: int | None = None
    """In bytes; None if it is known only at the end."""

    data: bytes | None = None
    """The whole body, if it is in memory."""

    @property
    @abstractmethod
    def is_replayable(self) -> bool:
        """Whether `chunks()` may be called (again)."""

    @abstractmethod
    def chunks(self) -> AsyncGenerator[bytes]:
        """Yield the body piece by piece. Raises `RequestBodyError` if it is gone already."""


class BytesBody(RequestBody):
    """A body in memory."""

    __slots__ = ("content_type", "data", "length")

    def __init__(self, data: bytes, content_type: str | None = None) -> None:
        self.data = data
        self.length = len(data)
        self.content_type = content_type

    @property
    def is_replayable(self) -> bool:
        return True

    async def chunks(self) -> AsyncGenerator[bytes]:
        assert self.data is not None
        yield self.data

    def __repr__(self) -> str:
        return f"<BytesBody of {self.length} bytes>"


NO_BODY = BytesBody(b"")
"""The body of a request that has none."""


class IteratorBody(RequestBody):
    """A body produced piece by piece, by a sync or async iterable of bytes or a function that returns one.

    A list or a function can be replayed, a generator or a file cannot. A sync iterable runs on the event loop: it must
    not block.
    """

    __slots__ = ("_is_one_shot", "_is_started", "_source")

    def __init__(self, source: Chunks | Callable[[], Chunks]) -> None:
        self._source = source
        self._is_one_shot = not callable(source) and _is_one_shot(source)
        self._is_started = False

    @property
    def is_replayable(self) -> bool:
        return not (self._is_one_shot and self._is_started)

    async def chunks(self) -> AsyncGenerator[bytes]:
        if not self.is_replayable:
            raise RequestBodyError(
                "the body is an iterator that has been read already; pass a function that returns a new one"
            )
        self._is_started = True
        source = self._source() if callable(self._source) else self._source
        if not isinstance(source, Iterable | AsyncIterable):
            raise RequestBodyError(f"the function must return an iterable of bytes, not {type(source).__name__}")
        async with aclosing(each(source)) as chunks:
            async for chunk in chunks:
                yield _checked_chunk(chunk)

    def __repr__(self) -> str:
        return f"<IteratorBody over {type(self._source).__name__}>"


async def each(source: Iterable[T] | AsyncIterable[T]) -> AsyncGenerator[T]:
    """Yield what an iterable of either kind has; to be closed (`contextlib.aclosing`) if it is not read to its end."""
    if not isinstance(source, AsyncIterable):
        for item in source:
            yield item
        return
    iterator = aiter(source)
    try:
        async for item in iterator:
            yield item
    finally:
        # A generator that is not read to its end is closed here, in the task that ran it, and not by the collector.
        if isinstance(iterator, AsyncGenerator):
            await iterator.aclose()


def _is_one_shot(source: Chunks) -> bool:
    """Whether iterating it uses it up: then it gives the same iterator twice, or a new one over the same open file."""
    if hasattr(source, "read"):
        return True
    return aiter(source) is aiter(source) if isinstance(source, AsyncIterable) else iter(source) is iter(source)


async def measured(chunks: AsyncGenerator[bytes], length: int) -> AsyncGenerator[bytes]:
    """Yield chunks that are to be `length` bytes in all. Raises `RequestBodyError` if they are not (HAZARDS REQ-04).

    The chunk that completes the length is held back until no other follows: once the peer has that many bytes it takes
    the request for complete, and may answer what was only the beginning of a longer body.
    """
    last = b""
    async with aclosing(chunks):
        async for chunk in chunks:
            length -= len(chunk)
            if length < 0:
                raise RequestBodyError(
                    f"the request body is longer than its declared length, by {-length} bytes or more"
                )
            if length == 0:
                last += chunk
            else:
                yield chunk
    if length:
        raise RequestBodyError(f"the request body is shorter than its declared length, by {length} bytes")
    yield last


def _checked_chunk(chunk: object) -> bytes:
    if isinstance(chunk, bytes):
        return chunk
    if isinstance(chunk, bytearray | memoryview):
        return bytes(chunk)
    raise RequestBodyError(f"a body iterator must yield bytes, not {type(chunk).__name__}")


def encode_body(content: Content | None = None, data: FormData | None = None, json: Any = None) -> RequestBody:
    """Make a body of at most one of `content`, form `data` and `json`. None is no body; JSON's null is content="null".

    Raises `InvalidRequest` for more than one of them or what cannot be encoded.
    """
    if (content is not None) + (data is not None) + (json is not None) > 1:
        raise InvalidRequest("content, data and json exclude each other: a request has one body")
    if json is not None:
        return _json_body(json)
    if data is not None:
        return _form_body(data)
    if content is None:
        return NO_BODY
    if isinstance(content, str):
        return _text_body(content)
    if isinstance(content, bytes | bytearray | memoryview):
        return BytesBody(bytes(content))
    if isinstance(content, Mapping):
        raise InvalidRequest("content is a mapping; send it with data= as a form or with json= as JSON")
    if isinstance(content, Iterable | AsyncIterable) or callable(content):
        return IteratorBody(content)
    raise InvalidRequest(f"content cannot be of type {type(content).__name__}")


def _text_body(text: str) -> BytesBody:
    try:
        return BytesBody(text.encode(), "text/plain; charset=utf-8")
    except UnicodeEncodeError as error:
        raise InvalidRequest(f"content cannot be sent as UTF-8: {error.reason}") from None


def _json_body(value: Any) -> BytesBody:
    try:
        text = jsonlib.dumps(value, ensure_ascii=False, separators=(",", ":"), allow_nan=False)
        return BytesBody(text.encode(), "application/json")
    except (TypeError, ValueError, RecursionError) as error:
        raise InvalidRequest(f"the value cannot be sent as JSON: {error}") from error


def _form_body(data: FormData) -> BytesBody:
    try:
        text = urlencode(list(text_pairs(data)))
    except (TypeError, ValueError) as error:
        raise InvalidRequest(f"data cannot be sent as a form: {error}") from error
    return BytesBody(text.encode("ascii"), "application/x-www-form-urlencoded")
