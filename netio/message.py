"""Request, Response, and the two shapes that everything around a request has: Send and Policy."""

from __future__ import annotations

import json as jsonlib
from collections.abc import AsyncIterator, Awaitable, Callable
from datetime import timedelta
from os import PathLike
from types import TracebackType
from typing import Any, Protocol, Self

from netio.body import Progress
from netio.deadline import NEVER
from netio.errors import Attempt, BodyTooLarge, BodyUnavailable, StatusError
from netio.headers import Field, HeaderInput, Headers
from netio.reading import (
    MAX_BODY,
    MAX_LINE,
    BodySource,
    Given,
    JsonDecoder,
    JsonLines,
    Limited,
    Lines,
    Pulled,
    Texts,
    body_too_large,
    charset_of,
    joined,
)
from netio.request import IDEMPOTENT_METHODS, USUAL_METHODS, Request
from netio.saving import FileWriter
from netio.timings import RawStamps, Timings
from netio.url import URL

__all__ = [
    "Decoding",
    "IDEMPOTENT_METHODS",
    "Policy",
    "Request",
    "Response",
    "Send",
    "USUAL_METHODS",
    "too_large",
]


class Response:
    """One response. Its body is either here (`content`) or pulled from the connection while it is iterated.

    A test or a handler makes one by `Response(200, request=request, json={...})`. `attempts` are the attempts before
    this one, if the request was sent more than once; `history` are the redirects that led here, closed, the first one
    first. `may_be_coded` is False where it is known that there is no Content-Encoding.
    """

    __slots__ = (
        "_as_sent",
        "_content",
        "_decoding",
        "_fields",
        "_headers",
        "_is_closed",
        "_is_taken",
        "_on_close",
        "_source",
        "_stamps",
        "_trailers",
        "attempts",
        "elapsed_seconds",
        "history",
        "http_version",
        "may_be_coded",
        "reason_phrase",
        "request",
        "status_code",
    )

    def __init__(
        self,
        status_code: int,
        *,
        request: Request,
        headers: HeaderInput = (),
        content: bytes | str | None = None,
        json: Any = None,
        source: BodySource | None = None,
        reason_phrase: str = "",
        http_version: str = "HTTP/1.1",
    ) -> None:
        self.status_code = status_code
        self.request = request
        self._headers: Headers | None = headers if isinstance(headers, Headers) else Headers(headers)
        self._fields: tuple[Field, ...] = ()
        self._trailers: tuple[Field, ...] = ()
        self.reason_phrase = reason_phrase
        self.http_version = http_version
        if json is not None:
            content = jsonlib.dumps(json)
            self._headers = Headers(self._headers)
            self._headers.setdefault("content-type", "application/json")
        if content is None and source is None:
            content = b""
        self._content = content.encode() if isinstance(content, str) else content
        self._source = source
        self._is_taken = False
        self._is_closed = source is None
        self._on_close: list[Callable[[], None]] | None = None
        self._decoding: Decoding | None = None
        self._as_sent: bytes | None = None
        self.may_be_coded = True
        self._stamps: RawStamps | None = None
        self.elapsed_seconds = 0.0
        self.attempts: tuple[Attempt, ...] = ()
        self.history: tuple[Response, ...] = ()

    @classmethod
    def received(
        cls,
        status_code: int,
        request: Request,
        fields: tuple[Field, ...],
        reason_phrase: str,
        http_version: str,
        body: bytes | BodySource,
        trailers: tuple[Field, ...] = (),
        stamps: RawStamps | None = None,
    ) -> Response:
        """Make the response that a connection has received: its fields are valid, and become Headers when asked for."""
        self = cls.__new__(cls)
        self.status_code = status_code
        self.request = request
        self._headers = None
        self._fields = fields
        self._trailers = trailers
        self.reason_phrase = reason_phrase
        self.http_version = http_version
        if isinstance(body, bytes):
            self._content, self._source, self._is_closed = body, None, True
        else:
            self._content, self._source, self._is_closed = None, body, False
        self._is_taken = False
        self._stamps = stamps
        self.elapsed_seconds = 0.0
        self._on_close = None
        self._decoding = self._as_sent = None
        self.may_be_coded = True
        self.attempts = ()
        self.history = ()
        return self

    @property
    def headers(self) -> Headers:
        headers = self._headers
        if headers is None:
            headers = self._headers = Headers.received(self._fields)
        return headers

    @property
    def trailers(self) -> Headers:
        """Fields that the server has sent behind the body (RFC 9110 section 6.5); none before the body was read."""
        return Headers.received(self._trailers or getattr(self._source, "trailers", ()))

    @property
    def url(self) -> URL:
        return self.request.url

    @property
    def content_length(self) -> int | None:
        """The length of the body as it is sent, None if it was not announced."""
        length = self.headers.get("content-length", "")
        return int(length) if length.isascii() and length.isdigit() and len(length) < 20 else None

    @property
    def elapsed(self) -> timedelta:
        """From the call until the response was there: with its body, or its head alone if it is streamed."""
        return timedelta(seconds=self.elapsed_seconds)

    @property
    def timings(self) -> Timings:
        """Where the time went, phase by phase, and on which connection; of a streamed body at its end."""
        stamps: RawStamps | None = self._stamps or getattr(self._source, "stamps", None)
        attempts = len(self.attempts) + 1
        if stamps is None:
            return Timings(total=self.elapsed_seconds, attempts=attempts)
        return Timings.of(self.request.started, stamps, attempts)

    @property
    def is_success(self) -> bool:
        return 200 <= self.status_code < 300

    @property
    def is_closed(self) -> bool:
        return self._is_closed

    @property
    def content(self) -> bytes:
        """The body. Raises `BodyUnavailable` if it was neither read nor given."""
        if self._content is None:
            raise BodyUnavailable("the response is streamed: call `await response.aread()` first")
        return self._content

    @property
    def charset(self) -> str:
        """The charset of the Content-Type field if Python knows it, else utf-8."""
        return charset_of(self.headers.get("content-type", ""))

    @property
    def text(self) -> str:
        """The body as text. Bytes that do not fit the charset become U+FFFD."""
        return self.content.decode(self.charset, errors="replace")

    def json(self) -> Any:
        """Parse the body as JSON, by the session's `json_decoder` if it has one.

        Raises `ValueError` if it is no JSON (json.JSONDecodeError, UnicodeDecodeError), or what the decoder raises.
        """
        return self._json_decoder(self.content)

    @property
    def _json_decoder(self) -> JsonDecoder:
        reading = self.request.reading
        return parse_json if reading is None or reading.json_decoder is None else reading.json_decoder

    def raise_for_status(self) -> Self:
        """Return the response itself, or raise `StatusError` if its status is 400 or above."""
        if self.status_code < 400:
            return self
        reason = f" {_harmless(self.reason_phrase)}" if self.reason_phrase else ""
        request = self.request
        raise StatusError(f"{self.status_code}{reason} for {request.method} {request.url.redacted}", response=self)

    async def aread(self) -> bytes:
        """Read the whole body, remember and return it. Raises `BodyTooLarge` for one above `max_body`."""
        if self._content is None:
            self._content = await joined(self._decoded(is_whole=True))
        return self._content

    def aiter_raw(self) -> AsyncIterator[bytes]:
        """Iterate over the body as it was sent, piece by piece as it arrives.

        Raises `BodyUnavailable` if it was taken before or the response is closed. None of these iterators is a
        generator: they may be left early, and nothing is left for the garbage collector to finish.
        """
        as_sent = self._content if self._decoding is None else self._as_sent
        if as_sent is not None:
            return Given(as_sent)
        if self._is_taken:
            raise BodyUnavailable("the response body has been read already, or is being read")
        if self._is_closed or self._source is None:
            raise BodyUnavailable("the response is closed")
        self._is_taken = True
        return Pulled(self, self._source)

    def aiter_bytes(self) -> AsyncIterator[bytes]:
        """Iterate over the body without its content codings, piece by piece as it arrives."""
        return self._decoded(is_whole=False) if self._content is None else Given(self._content)

    def _decoded(self, *, is_whole: bool) -> AsyncIterator[bytes]:
        chunks, announced = self.aiter_raw(), None
        if self._decoding is not None:
            chunks = self._decoding(self, chunks, is_whole=is_whole)
        elif self.request.method != "HEAD":
            announced = self.content_length
        reading = self.request.reading
        if is_whole:
            return Limited(self, chunks, MAX_BODY if reading is None else reading.max_body, announced)
        if reading is None or reading.max_stream == NEVER:
            return chunks
        return Limited(self, chunks, reading.max_stream, announced)

    def decode_by(self, decoding: Decoding) -> None:
        """Let everything but `aiter_raw` read the body through `decoding`. A body in memory has to be read again."""
        self._decoding = decoding
        self.may_be_coded = False
        self._as_sent, self._content = self._content, None

    def aiter_text(self) -> AsyncIterator[str]:
        """Iterate over the body as text; a character cut by two pieces is put together."""
        return Texts(self.aiter_bytes(), self.charset)

    def aiter_lines(self, *, max_line: int = MAX_LINE) -> AsyncIterator[str]:
        """Iterate over the lines of the body without their ends, which are LF, CRLF or CR.

        Raises `BodyTooLarge` for a line of more than `max_line` characters, and closes the response then.
        """
        return Lines(self, self.aiter_text(), max_line)

    def aiter_json_lines(self, *, max_line: int = MAX_LINE) -> AsyncIterator[Any]:
        """Iterate over the values of a body that has one JSON text a line (NDJSON, JSON lines), which is UTF-8.

        By the session's `json_decoder`, if it has one. Raises `BodyTooLarge` for a line of more than `max_line` bytes,
        and `ValueError`, with the number of the line in a note, for one that is no JSON.
        """
        return JsonLines(self, self.aiter_bytes(), self._json_decoder, max_line)

    async def save(self, path: str | PathLike[str], *, progress: Progress | None = None, durable: bool = False) -> int:
        """Write the body to a file, and return how many bytes it has; for a response that is streamed, or read.

        The file takes the place of what was there when it is complete, and not before; with `durable` the disk has it
        by then. `progress` is called with the bytes so far, and all of them if that is known. Whatever the status:
        call `raise_for_status` first. Errors of the file system come through. See `Session.download` for one that
        goes on after it broke off.
        """
        total = None if self._decoding is not None else self.content_length
        try:
            async with FileWriter(path) as writer:
                async for chunk in self.aiter_bytes():
                    await writer.write(chunk)
                    if progress is not None:
                        progress(writer.size, total)
                await writer.commit(durable=durable)
        except BaseException:
            await self.aclose()
            raise
        return writer.size

    def on_close(self, callback: Callable[[], None]) -> None:
        """Call a function, which must not raise, once the response is closed: at once if it is."""
        if self._is_closed:
            callback()
        elif self._on_close is None:
            self._on_close = [callback]
        else:
            self._on_close.append(callback)

    async def aclose(self) -> None:
        """Give back the connection; what was not read of the body is dropped."""
        if self._is_closed:
            return
        self._is_closed = True
        try:
            if self._source is not None:
                await self._source.aclose()
        finally:
            callbacks, self._on_close = self._on_close, None
            for callback in callbacks or ():
                callback()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self.aclose()

    def __repr__(self) -> str:
        return f"<Response {self.status_code} to {self.request.method} {self.request.url.redacted}>"


def parse_json(data: bytes) -> Any:
    """Parse JSON by the json module."""
    try:
        return jsonlib.loads(data)
    except RecursionError:
        raise ValueError("the JSON is nested too deeply") from None


def too_large(request: Request) -> BodyTooLarge:
    """Return the error of a response that is larger than a request allows."""
    most = MAX_BODY if request.reading is None else request.reading.max_body
    return body_too_large(most, request)


def _harmless(text: str) -> str:
    """Escape what a terminal would obey instead of showing it (HAZARDS LOG-02); C1 controls are legal in a reason."""
    return "".join(character if character.isprintable() else ascii(character)[1:-1] for character in text)


class Decoding(Protocol):
    """What undoes the content codings of a body; `is_whole` says that all of it will be held in memory."""

    def __call__(self, response: Response, raw: AsyncIterator[bytes], *, is_whole: bool) -> AsyncIterator[bytes]: ...


Send = Callable[[Request], Awaitable[Response]]
"""The one arrow: whatever a request passes is a function from a request to its response."""


class Policy(Protocol):
    """What may happen around a request: it is given the request and the rest of the way."""

    async def __call__(self, request: Request, send: Send) -> Response: ...
