"""Fallback: an answer of one's own where the peer has none."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any, TypeVar

from netio.errors import InvalidRequest, RequestBodyError, RequestError
from netio.message import Request, Response, Send
from netio.policy._alone import AroundAnything, P

T = TypeVar("T")

Handler = Callable[[Any, Any], Awaitable[Any]]
"""Given the request (None for a function) and what came of it, return what the caller gets."""


def failed(outcome: object) -> bool:
    """Take every error of a request but the caller's own mistakes, and 429 and 5xx, for a failure."""
    if isinstance(outcome, Response):
        return outcome.status_code >= 500 or outcome.status_code == 429
    return isinstance(outcome, RequestError) and not isinstance(outcome, InvalidRequest | RequestBodyError)


def call_failed(outcome: object) -> bool:
    return isinstance(outcome, Exception) and (failed(outcome) or not isinstance(outcome, RequestError))


class Fallback(AroundAnything):
    """Answer with `await handler(request, outcome)` where the outcome is a failure: a response or an error.

    `when` says what is one: by default 429, 5xx and all errors of a request, refusals by other policies among them, but
    not those that are the caller's own. Of a function called alone, every exception. The handler may return the outcome
    itself; a response that it does not return is closed.
    """

    def __init__(self, handler: Handler, *, when: Callable[[Any], bool] | None = None) -> None:
        if not callable(handler):
            raise TypeError(f"Fallback.handler must be an async function, not {type(handler).__name__}")
        self._handler = handler
        self._when = failed if when is None else when
        self._call_when = call_failed if when is None else when
        self._first_suspect = 429 if when is None else 0

    async def around(self, request: Request, send: Send) -> Response:
        outcome: Response | Exception
        try:
            outcome = await send(request)
        except Exception as error:
            if not self._when(error):
                raise
            outcome = error
        else:
            if outcome.status_code < self._first_suspect:
                return outcome
        return await self._instead(request, outcome)

    async def _instead(self, request: Request, outcome: Response | Exception) -> Response:
        """Ask the handler; close the response that is not returned, also if the handler or `when` fails."""
        kept: Response | None = None
        try:
            if isinstance(outcome, Response) and not self._when(outcome):
                kept = outcome
                return outcome
            result: Response = await self._handler(request, outcome)
            kept = result
            return result
        finally:
            if isinstance(outcome, Response) and kept is not outcome:
                await outcome.aclose()
            del outcome  # an error in it holds this frame

    async def call(self, function: Callable[P, Awaitable[T]], *args: P.args, **kwargs: P.kwargs) -> T:
        """Call a function, and the handler with (None, the error) if it fails."""
        try:
            return await function(*args, **kwargs)
        except Exception as error:
            if not self._call_when(error):
                raise
            result: T = await self._handler(None, error)
            return result
