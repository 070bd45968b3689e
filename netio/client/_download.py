"""Downloads that go on where they broke off (RFC 9110 section 14).

`Resume` holds the rules, and has no await. What is asked for is the content without codings, since a part of something
compressed could not be put behind another part. The first answer says which state of the file this is: by a strong
ETag, or by a Last-Modified that is old enough to be strong (section 8.8.2.2). The next request asks for the rest on
condition that this is still so (Range with If-Range). The answer is then one of

    206   the rest; only if its Content-Range begins where the file ends, and nothing says that it is another state
    200   all of it, since the file has changed or the server knows no ranges: begin again
    416   there is nothing behind what is here: the file is complete if it says the same length, else begin again

and anything else is an error. Without such a mark of its state the file is begun again as well: two halves of different
files would be worse than time lost (HAZARDS DEC-07).
"""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import replace
from datetime import UTC
from email.utils import parsedate_to_datetime
from os import PathLike
from typing import Literal, TypedDict

from netio.body import Progress
from netio.client._build import TimeoutInput
from netio.client._semantics import AuthInput
from netio.deadline import NEVER, Clock
from netio.errors import (
    ConnectError,
    ConnectionLost,
    ConnectTimeout,
    InvalidRequest,
    ProtocolError,
    ReadTimeout,
    RequestError,
    StatusError,
    StreamReset,
    TotalTimeout,
)
from netio.headers import HeaderInput, Headers
from netio.message import Policy, Request, Response
from netio.policy import Redirects
from netio.reading import Informed, body_too_large
from netio.saving import FileWriter
from netio.url import Params

Verdict = Literal["append", "begin again", "ask again", "complete"]

BREAKS = (ConnectionLost, ConnectError, ConnectTimeout, ReadTimeout, StreamReset)
"""What a download outlives."""

FIRST_DELAY, LONGEST_DELAY = 0.1, 5.0
"""Seconds before an attempt that follows one which brought nothing; doubled each time, up to the second."""

_RANGE = re.compile(r"bytes ([0-9]{1,19})-([0-9]{1,19})/([0-9]{1,19}|\*)").fullmatch
_NO_RANGE = re.compile(r"bytes \*/([0-9]{1,19})").fullmatch


class DownloadOptions(TypedDict, total=False):
    """What `Session.download` takes besides its own; `Session.request` says what each is."""

    params: Params | None
    headers: HeaderInput | None
    timeout: TimeoutInput
    policies: Sequence[Policy] | None
    max_body: int | None
    on_informational: Informed | None
    cookies: Mapping[str, str] | None
    follow_redirects: bool | Redirects | None
    auth: AuthInput | None


class Resume:
    """What is known of a file that is being downloaded."""

    def __init__(self) -> None:
        self.is_begun = False
        """Whether the server has sent the head of the file."""
        self.total: int | None = None
        self._validator: str | None = None

    def fields(self, size: int) -> dict[str, str]:
        """Return what the next request has to say, if so many bytes are here."""
        if not size or self._validator is None:
            return {}
        return {"range": f"bytes={size}-", "if-range": self._validator}

    def judge(self, response: Response, size: int) -> Verdict:
        """Say what to do with an answer. Raises `StatusError` or `ProtocolError` for one that is of no use."""
        has_asked = bool(self.fields(size))
        if response.status_code == 206 and has_asked:
            return self._judge_part(response, size)
        if response.status_code == 416 and has_asked:
            return self._judge_no_part(response, size)
        if not response.is_success:
            response.raise_for_status()
            request = response.request
            raise StatusError(
                f"{response.status_code} for {request.method} {request.url.redacted} is no file", response=response
            )
        if response.status_code == 206:
            raise self._wrong(response, "sent a part of the file that was not asked for")
        self._begin(response)
        return "begin again"

    def is_complete(self, size: int) -> bool:
        """Whether so many bytes are all, now that an answer has come to its end."""
        return self.total is None or size == self.total

    def _begin(self, response: Response) -> None:
        headers = response.headers
        is_coded = headers.get("content-encoding", "identity").lower() != "identity"
        self.is_begun = True
        self._validator = None if is_coded or headers.get("accept-ranges", "") == "none" else validator_of(headers)
        self.total = None if is_coded else response.content_length

    def _judge_part(self, response: Response, size: int) -> Verdict:
        headers = response.headers
        found = _RANGE(headers.get("content-range", ""))
        if found is None:
            raise self._wrong(response, "sent a part of the file without saying which")
        first, last = int(found[1]), int(found[2])
        total = self.total if found[3] == "*" else int(found[3])
        if first != size or last < first or (total is not None and last >= total):
            raise self._wrong(response, f"sent bytes {first} to {last} of {found[3]} instead of those from {size} on")
        if response.content_length not in (None, last - first + 1):
            raise self._wrong(
                response, f"sent bytes {first} to {last}, and says that they are {response.content_length}"
            )
        if headers.get("content-encoding", "identity").lower() != "identity":
            raise self._wrong(response, "sent a part of the file with a content coding")
        if self._is_other(headers) or (self.total is not None and total != self.total):
            return self._forget()
        self.total = total
        return "append"

    def _judge_no_part(self, response: Response, size: int) -> Verdict:
        found = _NO_RANGE(response.headers.get("content-range", ""))
        if found is not None and int(found[1]) == size and self.total in (None, size):
            return "complete"
        return self._forget()

    def _is_other(self, headers: Headers) -> bool:
        """Whether the part says that it is of another state of the file; a server may not know If-Range."""
        name = "etag" if self._validator is not None and self._validator.startswith('"') else "last-modified"
        return headers.get(name, self._validator) != self._validator

    def _forget(self) -> Verdict:
        self._validator = self.total = None
        return "ask again"

    def _wrong(self, response: Response, what: str) -> ProtocolError:
        return ProtocolError(f"the server {what}", request=response.request, phase="head", sent=True)


def validator_of(headers: Headers) -> str | None:
    """Return what If-Range may say: a strong ETag, or a date that is a strong validator; None for neither."""
    etag = headers.get("etag", "")
    if etag.startswith('"') and etag.endswith('"') and len(etag) > 1:
        return etag
    modified, sent = _seconds(headers.get("last-modified")), _seconds(headers.get("date"))
    if etag or modified is None or sent is None or sent - modified < 1:
        return None
    return headers["last-modified"]


def _seconds(date: str | None) -> float | None:
    try:
        moment = parsedate_to_datetime(date or "")
        return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp()
    except (ValueError, TypeError, IndexError, OverflowError):
        return None


class Download:
    """One download: as many requests as it takes."""

    def __init__(
        self,
        request: Request,
        fetch: Callable[[Request], Awaitable[Response]],
        *,
        clock: Clock,
        attempts: int,
        progress: Progress | None,
        deadline: float | None,
    ) -> None:
        if "range" in request.headers or "if-range" in request.headers:
            raise InvalidRequest("Range and If-Range of a download are netio's to send", request=request)
        if isinstance(attempts, bool) or not isinstance(attempts, int) or attempts < 1:
            raise ValueError(f"attempts must be a whole number of at least 1, not {attempts!r}")
        self._request = request.with_field("accept-encoding", "identity")
        self._request.is_streamed = True
        self._fetch = fetch
        self._clock = clock
        self._attempts = attempts
        self._progress = progress
        self._deadline = deadline
        self._resume = Resume()
        self._received = 0
        reading = request.reading
        self._most = NEVER if reading is None else reading.max_stream

    async def run(self, path: str | PathLike[str], *, durable: bool) -> Response:
        """Do it; return the last answer, closed."""
        async with FileWriter(path) as writer:
            response = await self.into(writer)
            await writer.commit(durable=durable)
        return response

    async def into(self, writer: FileWriter) -> Response:
        """Write all of it; return the last answer, closed."""
        stalls = 0
        for attempt in range(1, self._attempts + 1):
            before = self._received
            try:
                response = await self._attempt(writer)
            except BREAKS as error:
                if attempt == self._attempts or not self._can_go_on(writer, error):
                    raise
                stalls = 0 if self._received > before else stalls + 1
                if stalls:
                    await self._clock.sleep(min(FIRST_DELAY * 2.0 ** (stalls - 1), LONGEST_DELAY))
                continue
            if response is not None:
                return response
        message = f"the file was not complete after {self._attempts} requests (attempts)"
        raise ConnectionLost(message, request=self._request, phase="body", sent=True)

    def _can_go_on(self, writer: FileWriter, error: RequestError) -> bool:
        """Whether a request may follow one that broke: one for the rest, or for all if what is here can be dropped."""
        is_begun = self._resume.is_begun or error.phase == "body"  # a head may come at once with the break
        return is_begun and (bool(self._resume.fields(writer.size)) or writer.can_begin_again)

    async def _attempt(self, writer: FileWriter) -> Response | None:
        """Send one request and write what comes; return the answer if the file is complete with it."""
        resume = self._resume
        request = self._next_request(resume.fields(writer.size))
        async with await self._fetch(request) as response:
            verdict = resume.judge(response, writer.size)
            if verdict == "complete":
                return response
            if verdict == "ask again":
                return None
            if verdict == "begin again" and writer.size:
                await writer.begin_again()
            if (resume.total or 0) > self._most:
                raise body_too_large(self._most, request)
            async for chunk in response.aiter_bytes():
                self._received += len(chunk)
                await writer.write(chunk)
                if writer.size > self._most:
                    raise body_too_large(self._most, request)
                if self._progress is not None:
                    self._progress(writer.size, resume.total)
        return response if resume.is_complete(writer.size) else None

    def _next_request(self, fields: Mapping[str, str]) -> Request:
        request = self._request
        for name, value in fields.items():
            request = request.with_field(name, value)
        if self._deadline is None:
            return request
        left = self._deadline - self._clock.now()
        if left <= 0:
            raise TotalTimeout("the deadline of the download passed", request=request, phase="body", sent=True)
        request = request.with_deadline(NEVER)
        request.timeouts = replace(request.timeouts, total=left)
        request.body_deadline = self._deadline
        return request
