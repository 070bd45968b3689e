"""Request, Response, and the two shapes that everything around a request has: Send and Policy."""

from __future__ import annotations

import json as jsonlib
import re
from collections.abc import AsyncIterator, Awaitable, Callable
from datetime import timedelta
from types import TracebackType
from typing import Any, Protocol, Self

from netio.body import NO_BODY, RequestBody
from netio.deadline import NEVER, Clock, SystemClock, Timeouts
from netio.errors import Attempt, BodyUnavailable, InvalidRequest, StatusError
from netio.headers import Field, HeaderInput, Headers, checked_field
from netio.observe import Observer
from netio.reading import BodySource, Given, Lines, Pulled, Texts, charset_of
from netio.url import URL, Origin

_TOKEN = re.compile(r"[!#$%&'*+\-.^_`|~0-9A-Za-z]+").fullmatch

SYSTEM_CLOCK = SystemClock()

USUAL_METHODS = frozenset(("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"))
IDEMPOTENT_METHODS = frozenset(("GET", "HEAD", "OPTIONS", "TRACE", "PUT", "DELETE"))  # RFC 9110 section 9.2.2


class Request:
    """One request, as it travels down from the session to a connection.

    Policies pass on a changed copy (`request.replace(headers=...)`) instead of changing what they were given.
    `deadline` is absolute on the session's clock and set when the request is sent. `is_streamed` says that the caller
    will read the response body itself: then the deadline counts until the head, and `body_deadline` for the rest.
    `started` is when that was. `clock` is the session's: policies measure and sleep by it; `observer` hears what they
    do, if anybody listens. `redirected_by` are the origins whose redirects have led here: credentials are not for
    everybody. Headers are made when somebody asks for them; `fields` are what will be sent either way.
    """

    __slots__ = (
        "_fields",
        "_headers",
        "body",
        "body_deadline",
        "clock",
        "deadline",
        "is_streamed",
        "method",
        "observer",
        "redirected_by",
        "started",
        "timeouts",
        "url",
    )

    def __init__(
        self,
        method: str,
        url: URL | str,
        *,
        headers: HeaderInput = (),
        body: RequestBody = NO_BODY,
        timeouts: Timeouts | None = None,
        deadline: float = NEVER,
        body_deadline: float = NEVER,
        is_streamed: bool = False,
        clock: Clock = SYSTEM_CLOCK,
        observer: Observer | None = None,
        started: float = 0.0,
        redirected_by: tuple[Origin, ...] = (),
    ) -> None:
        if not isinstance(method, str) or (method not in USUAL_METHODS and not _TOKEN(method)):
            raise InvalidRequest(f"{ascii(method)[:80]} is not a method (RFC 9110 section 9.1)")
        self.method = method
        self.url = url if isinstance(url, URL) else URL(url)
        self._headers: Headers | None = headers if isinstance(headers, Headers) else Headers(headers)
        self._fields: tuple[Field, ...] = ()
        self.body = body
        self.timeouts = timeouts or Timeouts()
        self.deadline = deadline
        self.body_deadline = body_deadline
        self.is_streamed = is_streamed
        self.clock = clock
        self.observer = observer
        self.started = started
        self.redirected_by = redirected_by

    @classmethod
    def with_fields(cls, method: str, url: URL, fields: tuple[Field, ...], timeouts: Timeouts) -> Request:
        """Make a request without a body out of what is known to be valid."""
        self = cls.__new__(cls)
        self.method = method
        self.url = url
        self._headers = None
        self._fields = fields
        self.body = NO_BODY
        self.timeouts = timeouts
        self.deadline = self.body_deadline = NEVER
        self.is_streamed = False
        self.clock = SYSTEM_CLOCK
        self.observer = None
        self.started = 0.0
        self.redirected_by = ()
        return self

    @property
    def headers(self) -> Headers:
        headers = self._headers
        if headers is None:
            headers = self._headers = Headers.received(self._fields)
        return headers

    @property
    def fields(self) -> tuple[Field, ...]:
        """The header fields as they are now, as an immutable tuple."""
        headers = self._headers
        return self._fields if headers is None else headers.fields

    def replace(self, **changes: Any) -> Request:
        """Return a copy with some attributes changed; headers are copied, so the copy can be changed freely."""
        values = {name: changes.pop(name, getattr(self, name)) for name in _ATTRIBUTES}
        if changes:
            raise TypeError(f"Request has no attribute {', '.join(changes)}")
        values["headers"] = Headers(values["headers"])
        return Request(values.pop("method"), values.pop("url"), **values)

    def with_deadline(self, deadline: float) -> Request:
        """Return a copy with another deadline. Cheaper than `replace`: the copy shares the headers."""
        copy = Request.__new__(Request)
        copy.method = self.method
        copy.url = self.url
        copy._headers = self._headers
        copy._fields = self._fields
        copy.body = self.body
        copy.timeouts = self.timeouts
        copy.deadline = deadline
        copy.body_deadline = self.body_deadline
        copy.is_streamed = self.is_streamed
        copy.clock = self.clock
        copy.observer = self.observer
        copy.started = self.started
        copy.redirected_by = self.redirected_by
        return copy

    def with_field(self, name: str, value: str) -> Request:
        """Return a copy with a header field in place of those of the same name; cheaper than `replace`, too."""
        copy = self.with_deadline(self.deadline)
        lowered = name.lower()
        kept = [field for field in self.fields if field[0].lower() != lowered]
        copy._headers = None
        copy._fields = (*kept, checked_field(name, value))
        return copy

    @property
    def is_idempotent(self) -> bool:
        """Whether processing it twice has the effect of once.

        By its method (RFC 9110 section 9.2.2), or since its Idempotency-Key lets the server recognise it
        (draft-ietf-httpapi-idempotency-key-header).
        """
        return self.method in IDEMPOTENT_METHODS or "idempotency-key" in self.headers

    def __repr__(self) -> str:
        return f"<Request {self.method} {self.url.redacted}>"


_ATTRIBUTES = ("headers", *(name for name in Request.__slots__ if not name.startswith("_")))


class Response:
    """One response. Its body is either here (`content`) or pulled from the connection while it is iterated.

    A test or a handler makes one by `Response(200, request=request, json={...})`. `attempts` are the attempts before
    this one, if the request was sent more than once; `history` are the redirects that led here, closed, the first one
    first.
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
        "_trailers",
        "attempts",
        "elapsed_seconds",
        "history",
        "http_version",
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
        self.elapsed_seconds = 0.0
        self._on_close = None
        self._decoding = self._as_sent = None
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
    def elapsed(self) -> timedelta:
        """From the call until the response was there: with its body, or its head alone if it is streamed."""
        return timedelta(seconds=self.elapsed_seconds)

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
        """Parse the body as JSON. Raises `ValueError` if it is not (json.JSONDecodeError, UnicodeDecodeError)."""
        try:
            return jsonlib.loads(self.content)
        except RecursionError:
            raise ValueError("the JSON is nested too deeply") from None

    def raise_for_status(self) -> Self:
        """Return the response itself, or raise `StatusError` if its status is 400 or above."""
        if self.status_code < 400:
            return self
        reason = f" {self.reason_phrase}" if self.reason_phrase else ""
        request = self.request
        raise StatusError(f"{self.status_code}{reason} for {request.method} {request.url.redacted}", response=self)

    async def aread(self) -> bytes:
        """Read the whole body, remember and return it."""
        if self._content is None:
            self._content = b"".join([chunk async for chunk in self._decoded(is_whole=True)])
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
        raw = self.aiter_raw()
        return raw if self._decoding is None else self._decoding(self, raw, is_whole=is_whole)

    def decode_by(self, decoding: Decoding) -> None:
        """Let everything but `aiter_raw` read the body through `decoding`. A body in memory has to be read again."""
        self._decoding = decoding
        self._as_sent, self._content = self._content, None

    def aiter_text(self) -> AsyncIterator[str]:
        """Iterate over the body as text; a character cut by two pieces is put together."""
        return Texts(self.aiter_bytes(), self.charset)

    def aiter_lines(self) -> AsyncIterator[str]:
        """Iterate over the lines of the body without their ends, which are LF, CRLF or CR."""
        return Lines(self.aiter_text())

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


class Decoding(Protocol):
    """What undoes the content codings of a body; `is_whole` says that all of it will be held in memory."""

    def __call__(self, response: Response, raw: AsyncIterator[bytes], *, is_whole: bool) -> AsyncIterator[bytes]: ...


Send = Callable[[Request], Awaitable[Response]]
"""The one arrow: whatever a request passes is a function from a request to its response."""


class Policy(Protocol):
    """What may happen around a request: it is given the request and the rest of the way."""

    async def __call__(self, request: Request, send: Send) -> Response: ...
