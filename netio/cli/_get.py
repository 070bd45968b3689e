"""`netio get`: one request, its answer shown or saved.

Disks and the readers of pipes can be slow, and a loop that waits for one answers no PING and sees no timeout. So the
file is opened before the loop begins and finished after its end, and every write is made in a thread.
"""

from __future__ import annotations

import sys
import time
from contextlib import AbstractContextManager, nullcontext
from functools import partial
from typing import Any

import anyio
from anyio.to_thread import run_sync

from netio.cli._arguments import GetOptions
from netio.cli._exits import OK, CommandError
from netio.cli._file import WholeFile
from netio.cli._progress import progress_bar
from netio.cli._screen import Screen, escaped_line, head_lines, reason_of
from netio.client import Session
from netio.deadline import Timeouts
from netio.message import Response

_STDOUT = "-"


def get(options: GetOptions) -> int:
    """Send the request, show or save the answer, and return the exit code."""
    with _file(options) as file:
        anyio.run(partial(_get, options, Screen.of_stdout(), file))
    return OK


def _file(options: GetOptions) -> AbstractContextManager[WholeFile | None]:
    return nullcontext() if options.output in (None, _STDOUT) else WholeFile(options.output)


async def _get(options: GetOptions, screen: Screen, file: WholeFile | None) -> None:
    begun = time.monotonic()
    # No policies: a person at a terminal wants to see what one request does, not what a retry makes of it.
    async with Session(policies=(), http2=options.http2, verify=options.verify) as session:
        async with session.stream("GET", options.url, headers=options.headers, **_timeout(options)) as response:
            head_seconds = time.monotonic() - begun
            is_refused = options.is_failing and response.status_code >= 400
            await _show_head(options, screen, response)
            if is_refused:
                size = 0
            elif file is None:
                size = await _show_body(screen, response)
            else:
                size = await _save_body(file, response)
        body_seconds = time.monotonic() - begun
        if options.is_verbose:
            _tell(f"* URL: {response.url.origin}{response.url.target}")
            _tell(f"* protocol: {response.http_version}")
            _tell(f"* connections opened: {session.stats().created}")
            _tell(f"* head after {head_seconds * 1e3:.1f} ms, {size} bytes of body after {body_seconds * 1e3:.1f} ms")
    if is_refused:
        raise CommandError(f"the server answered {response.status_code} {reason_of(response)}".rstrip())


def _timeout(options: GetOptions) -> dict[str, Any]:
    if options.timeout is None:
        return {}
    seconds = options.timeout
    return {"timeout": Timeouts(total=seconds, pool=seconds, read=seconds, write=seconds)}


async def _show_head(options: GetOptions, screen: Screen, response: Response) -> None:
    if options.output != _STDOUT:
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
    return size


async def _save_body(file: WholeFile, response: Response) -> int:
    size = 0
    with progress_bar(_length(response)) as advance:
        async for piece in response.aiter_bytes():
            await run_sync(file.write, piece)
            size += len(piece)
            advance(len(piece))
    return size


def _length(response: Response) -> int | None:
    """Return how many bytes are to come, as far as the server says so."""
    text = response.headers.get("content-length", "")
    if "content-encoding" in response.headers or not text.isdecimal() or len(text) > 18:
        return None
    return int(text)


def _tell(line: str) -> None:
    print(escaped_line(line), file=sys.stderr)
