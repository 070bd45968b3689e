"""Request: what travels down from the session to a connection."""

from __future__ import annotations

import re
from typing import Any

from netio.body import NO_BODY, RequestBody
from netio.deadline import NEVER, Clock, SystemClock, Timeouts
from netio.errors import InvalidRequest
from netio.headers import Field, HeaderInput, Headers, checked_field
from netio.observe import Observer
from netio.reading import Reading
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
    everybody. `repeats` is how often it was sent again on its way until then, which `Retry` counts as its attempts.
    `reading` is what the caller has said about the response, None for nothing. Headers are made when somebody asks for
    them; `fields` are what will be sent either way.
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
        "reading",
        "redirected_by",
        "repeats",
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
        repeats: int = 0,
        reading: Reading | None = None,
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
        self.repeats = repeats
        self.reading = reading

    @classmethod
    def with_fields(
        cls, method: str, url: URL, fields: tuple[Field, ...], timeouts: Timeouts, reading: Reading | None = None
    ) -> Request:
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
        self.repeats = 0
        self.reading = reading
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
        copy.repeats = self.repeats
        copy.reading = self.reading
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
