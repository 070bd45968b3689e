"""Retry: send again what failed, when that can help and can do no harm.

The decision is a list of early returns (`_may_retry`), ending in the conservative answer. The back-off is exponential
with full jitter: a delay drawn evenly from zero to the bound spreads a crowd of clients best ("Exponential Backoff And
Jitter", AWS Architecture Blog, 2015).
"""

from __future__ import annotations

from collections.abc import Callable, Collection
from random import random

from netio.deadline import NEVER, Clock, SystemClock
from netio.errors import (
    CertificateError,
    ConnectError,
    ConnectionLost,
    ConnectTimeout,
    ReadTimeout,
    RequestError,
    StreamReset,
    WriteTimeout,
)
from netio.message import Request, Response, Send

RETRIED_STATUSES = frozenset((429, 502, 503, 504))  # "try again" in the words of RFC 9110 section 15.6 and RFC 6585

_PASSING = (ConnectError, ConnectionLost, StreamReset, ConnectTimeout, ReadTimeout, WriteTimeout)
"""What may be different the next time. Not among them: our own refusals, the total deadline, a broken protocol."""


class Retry:
    """Send a request up to `attempts` times.

    Again is sent after an error of the network and after a status in `statuses`, if the request is idempotent by its
    method or provably never reached the server, and if its body can be replayed. Between attempts it waits a random
    time of at most `base * 2 ** (attempt - 1)` seconds, at most `cap`. If that would pass the deadline of the request,
    the last error or response is the result at once. A response that is not returned is closed.
    """

    def __init__(
        self,
        *,
        attempts: int = 3,
        statuses: Collection[int] = RETRIED_STATUSES,
        base: float = 0.1,
        cap: float = 5.0,
        clock: Clock | None = None,
        random: Callable[[], float] = random,
    ) -> None:
        if not isinstance(attempts, int) or isinstance(attempts, bool) or attempts < 1:
            raise ValueError(f"Retry.attempts must be a whole number of at least 1, not {attempts!r}")
        if not 0 < base <= cap < NEVER:
            raise ValueError(f"Retry.base and Retry.cap must be seconds with 0 < base <= cap, not {base!r} and {cap!r}")
        self._attempts = attempts
        self._statuses = frozenset(statuses)
        self._base = base
        self._cap = cap
        self._clock = clock or SystemClock()
        self._random = random

    async def __call__(self, request: Request, send: Send) -> Response:
        attempt = 1
        while True:
            try:
                response = await send(request)
            except RequestError as error:
                delay = self._delay(request, attempt) if _may_retry(request, error) else None
                if delay is None:
                    if attempt > 1:
                        error.add_note(f"this was attempt {attempt} of {self._attempts}")
                    raise
            else:
                if response.status_code not in self._statuses or not _may_repeat(request):
                    return response
                delay = self._delay(request, attempt)
                if delay is None:
                    return response
                await response.aclose()
            await self._clock.sleep(delay)
            attempt += 1

    def _delay(self, request: Request, attempt: int) -> float | None:
        """Return how long to wait before the next attempt, None if there is none or no time for it."""
        if attempt >= self._attempts:
            return None
        doublings = min(attempt - 1, 1_000)  # 2.0 ** 1_024 is more than a float holds
        delay = self._random() * min(self._cap, self._base * 2.0**doublings)
        return delay if self._clock.now() + delay < request.deadline else None


def _may_repeat(request: Request) -> bool:
    return request.is_idempotent and request.body.is_replayable


def _may_retry(request: Request, error: RequestError) -> bool:
    if not isinstance(error, _PASSING):
        return False
    if isinstance(error, CertificateError):
        return False  # it will be the same certificate
    if not request.body.is_replayable:
        return False
    if not error.sent:
        return True  # RFC 9110 section 9.2.2: "if it has some means to know that the request was not processed"
    return request.is_idempotent
