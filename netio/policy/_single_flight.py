"""SingleFlight: identical requests that are under way at the same time share one answer.

The first of them flies, in its own task; the others wait for what comes of it. If the first one is cancelled, or its
own deadline passes, that is not the others' affair: the next of them flies, anew. That costs a second request in a rare
case. The other way, a task that flies for all and belongs to none, costs every request a task, more than the rest of
the client, and outlives those who could clean up after it. When the last one is cancelled nothing is left to fly.

To hash all header fields of each request would be most of what this costs. So a flight is found by its target alone,
whose hash Python remembers, and the rest is compared only where that target is in flight already. What flies to the
same target without being identical goes by its whole identity meanwhile.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Hashable
from typing import Any, NamedTuple, TypeVar

import anyio

from netio.body import NO_BODY
from netio.deadline import NEVER, Clock, SystemClock
from netio.errors import BodyUnavailable, RequestError, TimeoutError, TotalTimeout
from netio.headers import Field
from netio.message import Request, Response, Send
from netio.policy._alone import AroundAnything, P
from netio.policy._check import whole
from netio.policy._wait import wait_until
from netio.url import Origin

T = TypeVar("T")

_SHARED_METHODS = frozenset(("GET", "HEAD"))
_NOTHING = object()


class _Landing:
    """What comes of one that flies, for those who wait for it. Made by the first of them."""

    __slots__ = ("error", "event", "result")

    def __init__(self) -> None:
        self.event = anyio.Event()
        self.result: Any = _NOTHING
        self.error: RequestError | None = None

    @property
    def is_of_use(self) -> bool:
        return self.result is not _NOTHING or self.error is not None


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
        self._key = key
        self._limit = whole("SingleFlight.limit", limit)
        self._flights: dict[Hashable, Request] = {}  # by the target or the user's key, a few by their identity
        self._others = 0  # how many of them go by their identity
        self._calls: set[Hashable] = set()
        self._landings: dict[Hashable, _Landing] = {}
        self._clock = clock or SystemClock()

    async def around(self, request: Request, send: Send) -> Response:
        flights = self._flights
        if request.is_streamed or len(flights) >= self._limit:
            return await send(request)
        place: Hashable = None
        if self._key is not None:
            place = self._key(request)
        elif request.method in _SHARED_METHODS and request.body is NO_BODY:
            place = request.url.target
        if place is None:
            return await send(request)
        if place in flights or self._others:
            shared, place = await self._join(place, request)
            if shared is not None:
                return shared
        flights[place] = request
        try:
            response = await send(request)
            if self._landings:
                self._show(place, response)
        except RequestError as error:
            if self._landings:
                self._show(place, error)
            raise
        finally:
            del flights[place]
            if self._others and type(place) is _Identity:
                self._others -= 1
            if self._landings:
                self._land(place)
        return response

    async def _join(self, place: Hashable, request: Request) -> tuple[Response | None, Hashable]:
        """Return the answer to an identical request in flight, or None and the place where this one may fly."""
        flights = self._flights
        identity = place if self._key is not None else _Identity.of(request)
        while True:
            flying = flights.get(place)
            if flying is not None and (self._key is not None or _Identity.of(flying) == identity):
                landing = await self._landing(place, request.clock, request)
            elif identity in flights:
                landing = await self._landing(identity, request.clock, request)
            elif flying is None:
                return None, place
            else:
                self._others += 1
                return None, identity
            if landing.error is not None:
                raise landing.error.during(request, landing.error.phase, sent=landing.error.sent)
            if landing.is_of_use:
                return _copy(landing.result, request), place

    async def call(self, function: Callable[P, Awaitable[T]], *args: P.args, **kwargs: P.kwargs) -> T:
        """Call a function; calls of it with equal arguments, which must be hashable, share the result object."""
        key = (function, args, tuple(kwargs.items()))
        while key in self._calls:
            landing = await self._landing(key, self._clock, None)
            if landing.is_of_use:
                shared: T = landing.result
                return shared
        self._calls.add(key)
        try:
            result = await function(*args, **kwargs)
            if key in self._landings:
                self._landings[key].result = result
        finally:
            self._calls.remove(key)
            self._land(key)
        return result

    async def _landing(self, place: Hashable, clock: Clock, request: Request | None) -> _Landing:
        """Wait for a flight, and return what came of it."""
        landing = self._landings.setdefault(place, _Landing())
        deadline = NEVER if request is None else request.deadline
        if not await wait_until(landing.event, deadline, clock):
            raise TotalTimeout("the deadline of the request passed", request=request, phase="queue", sent=False)
        return landing

    def _show(self, place: Hashable, outcome: Response | RequestError) -> None:
        """Give those who wait what can be shared of an outcome."""
        landing = self._landings.get(place)
        if landing is None:
            return
        if isinstance(outcome, Response):
            # A copy: the body of the original may be decoded before those who wait have looked at it.
            landing.result = _copy(outcome, outcome.request) if _is_whole(outcome) else _NOTHING
        elif not isinstance(outcome, TimeoutError):
            landing.error = outcome

    def _land(self, place: Hashable) -> None:
        landing = self._landings.pop(place, None)
        if landing is not None:
            landing.event.set()


class _Identity(NamedTuple):
    """What makes two requests the same."""

    target: str
    origin: Origin
    method: str
    fields: tuple[Field, ...]

    @classmethod
    def of(cls, request: Request) -> _Identity:
        return cls(request.url.target, request.url.origin, request.method, request.fields)


def _is_whole(response: Response) -> bool:
    try:
        response.content  # noqa: B018
    except BodyUnavailable:
        return False
    return True


def _copy(response: Response, request: Request) -> Response:
    """Return the same answer to another request, with headers of its own."""
    copy = Response.received(
        response.status_code,
        request,
        response.headers.fields,
        response.reason_phrase,
        response.http_version,
        response.content,
        response.trailers.fields,
    )
    copy.attempts = response.attempts
    return copy
