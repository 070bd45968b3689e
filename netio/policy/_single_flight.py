"""SingleFlight: identical requests that are under way at the same time share one answer.

The first of them flies, in its own task; the others wait for what comes of it. If the first one is cancelled, or its
own deadline passes, that is not the others' affair: the next of them flies, anew. That costs a second request in a rare
case. The other way, a task that flies for all and belongs to none, costs every request a task, more than the rest of
the client, and outlives those who could clean up after it. When the last one is cancelled nothing is left to fly.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Hashable
from typing import Any, TypeVar

import anyio

from netio.body import NO_BODY
from netio.deadline import NEVER, Clock, SystemClock
from netio.errors import BodyUnavailable, RequestError, TimeoutError, TotalTimeout
from netio.headers import Headers
from netio.message import Request, Response, Send
from netio.policy._alone import AroundAnything, P
from netio.policy._check import whole
from netio.policy._wait import wait_until

T = TypeVar("T")

_SHARED_METHODS = frozenset(("GET", "HEAD"))
_NOTHING = object()


class _Flight:
    """One that flies, and what came of it for the others. Defaults of the class: most are never looked at."""

    landed: anyio.Event | None = None  # made by the first that waits
    result: Any = _NOTHING
    error: RequestError | None = None


class SingleFlight(AroundAnything):
    """Let identical GET and HEAD requests in flight share one answer.

    Identical are those with the same method, URL and header fields, all of them: what is for one user is not shown to
    another. Streamed requests and those with a body fly alone. Each gets a response of its own, around the same bytes.
    Errors are shared too, except timeouts, which depend on how much time each has.

    * `key`: given a request, returns what it is identical by, or None if it flies alone.
    * `limit`: how many flights are known at a time; when there are so many, others fly alone.
    """

    def __init__(
        self,
        *,
        key: Callable[[Request], Hashable | None] | None = None,
        limit: int = 1_000,
        clock: Clock | None = None,
    ) -> None:
        self._key = _identity if key is None else key
        self._limit = whole("SingleFlight.limit", limit)
        self._flights: dict[Hashable, _Flight] = {}
        self._clock = clock or SystemClock()

    async def around(self, request: Request, send: Send) -> Response:
        if request.is_streamed or len(self._flights) >= self._limit:
            return await send(request)
        identity = self._key(request)
        if identity is None:
            return await send(request)
        flights = self._flights
        mine = _Flight()
        while (flight := flights.setdefault(identity, mine)) is not mine:
            if await self._has_landed(flight, request.clock, request):
                if flight.error is not None:
                    raise flight.error.during(request, flight.error.phase, sent=flight.error.sent)
                return _copy(flight.result, request)
        try:
            response = await send(request)
            if mine.landed is not None and _is_whole(response):
                mine.result = response
        except RequestError as error:
            if not isinstance(error, TimeoutError):
                mine.error = error
            raise
        finally:
            del flights[identity]
            if mine.landed is not None:
                mine.landed.set()
        return response

    async def call(self, function: Callable[P, Awaitable[T]], *args: P.args, **kwargs: P.kwargs) -> T:
        """Call a function; calls of it with equal arguments, which must be hashable, share the result object."""
        key = (function, args, tuple(kwargs.items()))
        mine = _Flight()
        while (flight := self._flights.setdefault(key, mine)) is not mine:
            if await self._has_landed(flight, self._clock, None):
                shared: T = flight.result
                return shared
        try:
            result = mine.result = await function(*args, **kwargs)
        finally:
            del self._flights[key]
            if mine.landed is not None:
                mine.landed.set()
        return result

    async def _has_landed(self, flight: _Flight, clock: Clock, request: Request | None) -> bool:
        """Wait for a flight; return whether anything came of it that can be shared."""
        if flight.landed is None:
            flight.landed = anyio.Event()
        deadline = NEVER if request is None else request.deadline
        if not await wait_until(flight.landed, deadline, clock):
            raise TotalTimeout("the deadline of the request passed", request=request, phase="queue", sent=False)
        return flight.result is not _NOTHING or flight.error is not None


def _identity(request: Request) -> Hashable | None:
    if request.method not in _SHARED_METHODS or request.body is not NO_BODY:
        return None
    url = request.url
    return url.target, url.origin, request.method, request.fields


def _is_whole(response: Response) -> bool:
    try:
        response.content  # noqa: B018
    except BodyUnavailable:
        return False
    return True


def _copy(response: Response, request: Request) -> Response:
    """Return the same answer to another request, with headers of its own."""
    copy = Response(
        response.status_code,
        request=request,
        headers=Headers(response.headers),
        content=response.content,
        reason_phrase=response.reason_phrase,
        http_version=response.http_version,
    )
    copy.attempts = response.attempts
    return copy
