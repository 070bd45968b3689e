"""RateLimit: so many a second, evenly, with a burst; who comes too early waits, or is refused at once.

Who waits stands in line, and only the first of a line sleeps. So they go in the order in which they came, a place that
is given up (cancelled) is nobody's loss, and nobody needs a scope: whether there is time enough is known on arrival,
and again when the server has asked for more patience.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Awaitable, Callable, Hashable
from functools import partial
from types import TracebackType
from typing import Literal, TypeVar

import anyio

from netio.deadline import NEVER, Clock, SystemClock
from netio.errors import RateLimited
from netio.message import Request, Response, Send
from netio.observe import Refused, tell
from netio.policy._alone import AroundAnything, P
from netio.policy._check import not_negative, positive, whole
from netio.policy._gcra import NOW, Gcra
from netio.policy._rate_fields import seconds_to_wait
from netio.policy._states import LIMIT, States

T = TypeVar("T")

_FIRST_LOOKED_AT = {"nothing": 1_000, "refusals": 429, "answers": 0}
"""The first status whose fields are looked at."""


class RateLimit(AroundAnything):
    """Send at most `rate` requests a second to the same origin, `burst` of them at once.

    * `longest_wait`: for how many seconds one may wait for its turn, within its deadline; None for as long as that. Who
      would have to wait longer is refused with `RateLimited` on arrival.
    * `follow`: stop for as long as the server asks for, at most `longest_pause` seconds: "refusals" looks at the fields
      of 429 and 503 (Retry-After, RateLimit and its kin), "answers" at the RateLimit fields of all answers, which costs
      some 0.05 µs a field, "nothing" at none.
    * `key`: given a request, returns what the rate goes by; its origin by default. `limit` keys are remembered.
    * `clock`: for use without a session; a request brings its own.
    """

    def __init__(
        self,
        rate: float,
        *,
        burst: int = 1,
        longest_wait: float | None = 5.0,  # resilience4j
        follow: Literal["nothing", "refusals", "answers"] = "refusals",
        longest_pause: float = 300.0,
        key: Callable[[Request], Hashable] | None = None,
        limit: int = LIMIT,
        clock: Clock | None = None,
    ) -> None:
        make = partial(Line, positive("RateLimit.rate", rate, "requests a second"), whole("RateLimit.burst", burst))
        self._lines = States(make, limit=whole("RateLimit.limit", limit), is_kept=_has_waiters)
        self._longest = NEVER if longest_wait is None else not_negative("RateLimit.longest_wait", longest_wait)
        if follow not in _FIRST_LOOKED_AT:
            raise ValueError(f"RateLimit.follow must be one of {', '.join(_FIRST_LOOKED_AT)}, not {follow!r}")
        self._first_looked_at = _FIRST_LOOKED_AT[follow]
        self._pause = not_negative("RateLimit.longest_pause", longest_pause)
        self._key = key
        self._clock = clock or SystemClock()

    async def around(self, request: Request, send: Send) -> Response:
        line = self._lines[request.url.origin if self._key is None else self._key(request)]
        clock = request.clock
        if line.waiters or not line.gcra.take(clock.now()):
            await self._wait(line, clock, request)
        response = await send(request)
        if response.status_code >= self._first_looked_at:
            seconds = seconds_to_wait(response, self._pause)
            if seconds:
                line.block(clock.now() + seconds)
        return response

    async def _wait(self, line: Line, clock: Clock, request: Request | None) -> None:
        latest = clock.now() + self._longest
        try:
            await line.wait(clock, latest if request is None else min(latest, request.deadline))
        except RateLimited as error:
            error.request = request
            if request is not None and request.observer is not None:
                tell(request.observer, Refused(request, error))
            raise

    def guard(self, key: Hashable = None) -> RateGuard:
        """Return an async context manager whose body begins when it is its turn; raises `RateLimited` on entry."""
        return RateGuard(self, self._lines[key])

    async def enter(self, line: Line) -> None:
        if line.waiters or not line.gcra.take(self._clock.now()):
            await self._wait(line, self._clock, None)

    async def call(self, function: Callable[P, Awaitable[T]], *args: P.args, **kwargs: P.kwargs) -> T:
        """Call a function when it is its turn; all that is called shares the rate of the key None."""
        await self.enter(self._lines[None])
        return await function(*args, **kwargs)


class RateGuard:
    """A turn, before the body of `async with`."""

    __slots__ = ("_limit", "_line")

    def __init__(self, limit: RateLimit, line: Line) -> None:
        self._limit = limit
        self._line = line

    async def __aenter__(self) -> None:
        await self._limit.enter(self._line)

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        pass


class _Waiter:
    """One in a line. It must have its turn by `latest`."""

    __slots__ = ("event", "latest")

    def __init__(self, latest: float) -> None:
        self.latest = latest
        self.event = anyio.Event()


class Line:
    """The rate of one key, and those who wait for their turn."""

    __slots__ = ("gcra", "waiters")

    def __init__(self, rate: float, burst: int) -> None:
        self.gcra = Gcra(rate, burst)
        self.waiters: OrderedDict[_Waiter, None] = OrderedDict()

    def block(self, until: float) -> None:
        """Let nobody through before that time; wake those who cannot wait for so long."""
        self.gcra.block(until)
        for waiter in self.waiters:
            if waiter.latest < until:
                waiter.event.set()

    async def wait(self, clock: Clock, latest: float) -> None:
        """Return when it is the caller's turn; raise `RateLimited` as soon as that cannot be in time."""
        self._check(clock.now(), len(self.waiters), latest)
        waiter = _Waiter(latest)
        self.waiters[waiter] = None
        try:
            while next(iter(self.waiters)) is not waiter:
                await waiter.event.wait()
                waiter.event = anyio.Event()
                self._check(clock.now(), 0, latest)
            while not self.gcra.take(now := clock.now()):
                self._check(now, 0, latest)
                await clock.sleep(self.gcra.due(now) - now)
        finally:
            is_first = next(iter(self.waiters)) is waiter
            del self.waiters[waiter]
            if is_first and self.waiters:
                next(iter(self.waiters)).event.set()

    def _check(self, now: float, ahead: int, latest: float) -> None:
        due = self.gcra.due(now, ahead)
        if due > latest + NOW:
            error = RateLimited(f"the next turn is in {due - now:.3g} s, which is too late", sent=False)
            error.retry_after = due - now
            raise error


def _has_waiters(line: Line) -> bool:
    return bool(line.waiters)
