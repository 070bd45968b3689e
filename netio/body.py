"""Request bodies. Each knows its length, its media type, and whether it can be sent a second time.

What is sent twice (a retry, a redirect, a second try on a fresh connection) asks `is_replayable` first: a generator
that has begun to run is gone, and sending an empty body in its place would be a lie (HAZARDS RT-04).
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import AsyncGenerator, AsyncIterable, Callable, Iterable
from contextlib import aclosing
from typing import TypeVar

from netio.errors import RequestBodyError
from netio.headers import Field, HeaderInput, checked_trailers

T = TypeVar("T")

Chunks = Iterable[bytes] | AsyncIterable[bytes]
Progress = Callable[[int, int | None], object]
"""Called with how many bytes there are so far, and how many there will be in all, None if nobody knows."""
Trailers = HeaderInput | Callable[[], HeaderInput]


class RequestBody(ABC):
    """What follows the head of a request."""

    __slots__ = ()

    content_type: str | None = None
    length: int | None = None
    """In bytes; None if it is known only at the end."""

    data: bytes | None = None
    """The whole body, if it is in memory."""

    is_prepared: bool = True
    """Whether `prepare` need not be called."""

    progress: Progress | None = None
    """Told how much of it has been sent."""

    has_trailers: bool = False
    """Whether fields follow it. Then its length is not announced."""

    is_attended: bool = False
    """Whether it has one of these two."""

    @property
    def total(self) -> int | None:
        """How many bytes it has, announced or not; None if nobody knows."""
        return self.length

    async def prepare(self) -> None:  # noqa: B027  # most have nothing to prepare
        """Find out the length where that takes a look at a file. A body that was not prepared may be sent as well."""

    def trailers(self) -> tuple[Field, ...]:
        """Return the fields that follow it; asked for when its last byte was sent."""
        return ()

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

    A list or a function can be replayed, a generator cannot. A sync iterable runs on the event loop: it must
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
                yield checked_chunk(chunk)

    def __repr__(self) -> str:
        return f"<IteratorBody over {type(self._source).__name__}>"


class AttendedBody(RequestBody):
    """Another body, with what the caller has to say about its sending."""

    __slots__ = ("_body", "_trailers", "content_type", "data", "has_trailers", "is_prepared", "length", "progress")

    is_attended = True

    def __init__(
        self, body: RequestBody, *, progress: Progress | None = None, trailers: Trailers | None = None
    ) -> None:
        self._body = body
        self._trailers = trailers if trailers is None or callable(trailers) else checked_trailers(trailers)
        self.progress = progress
        self.has_trailers = trailers is not None
        self.content_type = body.content_type
        self.data = body.data
        self.is_prepared = body.is_prepared
        self.length = None if self.has_trailers else body.length

    @property
    def is_replayable(self) -> bool:
        return self._body.is_replayable

    @property
    def total(self) -> int | None:
        return self._body.length

    async def prepare(self) -> None:
        await self._body.prepare()
        self.is_prepared = True
        self.length = None if self.has_trailers else self._body.length

    def chunks(self) -> AsyncGenerator[bytes]:
        return self._body.chunks()

    def trailers(self) -> tuple[Field, ...]:
        trailers = self._trailers
        if trailers is None:
            return ()
        return checked_trailers(trailers()) if callable(trailers) else trailers

    @property
    def trailer_names(self) -> str:
        """What a Trailer field says about them, "" if that is not known yet (RFC 9110 section 6.6.2)."""
        return ", ".join(dict.fromkeys(name for name, _ in self._trailers)) if isinstance(self._trailers, tuple) else ""

    def __repr__(self) -> str:
        return f"<AttendedBody over {self._body!r}>"


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


def checked_chunk(chunk: object) -> bytes:
    """Return a piece of a body as bytes, or raise `RequestBodyError`."""
    if isinstance(chunk, bytes):
        return chunk
    if isinstance(chunk, bytearray | memoryview):
        return bytes(chunk)
    raise RequestBodyError(f"a body iterator must yield bytes, not {type(chunk).__name__}")
