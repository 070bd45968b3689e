"""`netio [METHOD] URL [ITEM ...]`: one request, its answer shown or saved.

Disks and the readers of pipes can be slow, and a loop that waits for one answers no PING and sees no timeout. So every
write is made in a thread. A file is opened before anything is sent, and complete or not there in the end. What is got
with GET goes on where the connection breaks, as `Session.download` does; here the first answer is shown, too, and saved
whatever its status is.
"""

from __future__ import annotations

import sys
from functools import partial
from typing import Any

import anyio
from anyio.to_thread import run_sync

from netio.body import Progress
from netio.cli._arguments import SendOptions
from netio.cli._call import make_session, request_options
from netio.cli._exits import OK, CommandError
from netio.cli._file import OutputFile
from netio.cli._progress import progress_bar
from netio.cli._screen import Screen, head_lines, reason_of
from netio.cli._waterfall import waterfall
from netio.client import Download, Session
from netio.deadline import NEVER, SystemClock
from netio.histogram import shown_time
from netio.message import Request, Response
from netio.shown import escaped_line

_STDOUT = "-"
_ATTEMPTS = 5
"""Requests for one file; a server that is gone for good is told of within a second."""


def send(options: SendOptions) -> int:
    """Send the request, show or save the answer, and return the exit code."""
    # A body may be read from a pipe, which can take long: before the loop begins, where Ctrl-C ends it.
    arguments = request_options(options.message, options.wire)
    anyio.run(partial(_send, options, Screen.of_stdout(), arguments))
    return OK


async def _send(options: SendOptions, screen: Screen, arguments: dict[str, Any]) -> None:
    path = options.output
    async with make_session(options.wire, options.message) as session:
        if path is None or path == _STDOUT:
            response, size = await _show(options, screen, session, arguments)
        else:
            async with OutputFile(path) as file:
                response = await _Saving(options, screen, session, file).run(arguments)
                await file.commit()
                size = file.size
        _tell_more(options, response, size, session.stats().created)
    _check_status(options, response)


async def _show(
    options: SendOptions, screen: Screen, session: Session, arguments: dict[str, Any]
) -> tuple[Response, int]:
    """Send the request and show the answer; return it, closed, and how many bytes its body has."""
    message = options.message
    async with session.stream(message.method, message.url, follow_redirects=options.follow, **arguments) as response:
        await _show_head(options, screen, response)
        return response, 0 if _is_refused(options, response) else await _show_body(screen, response)


class _Saving:
    """One request, and those for the rest if the connection breaks."""

    def __init__(self, options: SendOptions, screen: Screen, session: Session, file: OutputFile) -> None:
        self._options = options
        self._screen = screen
        self._session = session
        self._file = file
        self._clock = SystemClock()
        self._first: Response | None = None

    async def run(self, arguments: dict[str, Any]) -> Response:
        """Return the last answer, closed. Raises `CommandError` if its status is one to fail for."""
        request = self._request(arguments)
        async with await self._send(request) as first:
            await _show_head(self._options, self._screen, first)
            if _is_refused(self._options, first):
                _tell_more(self._options, first, 0, self._session.stats().created)
                _check_status(self._options, first)
            with progress_bar() as progress:
                if first.status_code == 200 and _is_resumable(request):
                    self._first = first
                    return await self._download(request, progress).into(self._file)
                async for piece in first.aiter_bytes():
                    await self._file.write(piece)
                    progress(self._file.size, _length(first))
        return first

    def _download(self, request: Request, progress: Progress) -> Download:
        deadline = None if request.body_deadline == NEVER else request.body_deadline
        clock = self._clock
        return Download(request, self._fetch, clock=clock, attempts=_ATTEMPTS, progress=progress, deadline=deadline)

    def _request(self, arguments: dict[str, Any]) -> Request:
        message = self._options.message
        request = self._session.build_request(message.method, message.url, **arguments)
        given = {name.lower() for name in (*(name for name, _ in message.items.headers), *message.items.without)}
        if _is_resumable(request) and "accept-encoding" not in given:
            request = request.with_field("accept-encoding", "identity")  # a part of something compressed is of no use
        if self._options.wire.timeout is not None:
            request.body_deadline = self._clock.now() + self._options.wire.timeout
        return request

    async def _send(self, request: Request) -> Response:
        options = self._options
        if options.message.auth is None:
            return await self._session.send(request, stream=True, follow_redirects=options.follow)
        return await self._session.send(
            request, stream=True, follow_redirects=options.follow, auth=options.message.auth
        )

    async def _fetch(self, request: Request) -> Response:
        first, self._first = self._first, None
        if first is not None:
            return first
        if self._options.is_verbose:
            _tell(f"* the connection broke after {self._file.size} bytes of body: another request")
        return await self._send(request)


def _is_resumable(request: Request) -> bool:
    return request.method == "GET" and not ("range" in request.headers or "if-range" in request.headers)


def _is_refused(options: SendOptions, response: Response) -> bool:
    return options.is_failing and response.status_code >= 400


def _check_status(options: SendOptions, response: Response) -> None:
    if _is_refused(options, response):
        raise CommandError(f"the server answered {response.status_code} {reason_of(response)}".rstrip())


def _tell_more(options: SendOptions, response: Response, size: int, connections: int) -> None:
    timings = response.timings
    if options.is_verbose:
        _tell(f"* URL: {response.url.origin}{response.url.target}")
        for earlier in response.history:
            _tell(f"* redirected by: {earlier.url.redacted} ({earlier.status_code})")
        _tell(f"* protocol: {response.http_version}")
        if timings.connection is not None:
            _tell(f"* {timings.connection}")
        _tell(f"* connections opened: {connections}")
        _tell(f"* {size} bytes of body, all in {shown_time(timings.total)}")
    if options.has_timings:
        for line in waterfall(timings):
            _tell(line)


async def _show_head(options: SendOptions, screen: Screen, response: Response) -> None:
    if options.output != _STDOUT and not options.shows_body_only:
        await run_sync(screen.show_head, response)
    elif options.is_verbose:
        for line in head_lines(response):
            _tell(line)


async def _show_body(screen: Screen, response: Response) -> int:
    size = 0
    async for piece in response.aiter_bytes():
        size += len(piece)
        if not await run_sync(screen.show_piece, piece, response.charset):
            _tell("netio: the body is not text and is not shown; -o FILE saves it")
            break
    await run_sync(screen.end)
    await run_sync(screen.end_line)
    return size


def _length(response: Response) -> int | None:
    """Return how many bytes are to come, as far as the server says so."""
    text = response.headers.get("content-length", "")
    if "content-encoding" in response.headers or not text.isdecimal() or len(text) > 18:
        return None
    return int(text)


def _tell(line: str) -> None:
    print(escaped_line(line), file=sys.stderr)
