"""Retry: send again what failed, when that can help and can do no harm.

While all is well, `Retry.around` is one frame that looks at a status code. Everything else happens after a failure, in
`_Repeating`, which is the same for a request and for a call of any function. Whether there is a next attempt is a list
of early returns (`_Repeating.next_delay`), ending with the budget, since what is taken from it is spent.
"""

from __future__ import annotations

import math
from collections.abc import Awaitable, Callable, Collection, Container, Hashable
from functools import partial
from random import random
from typing import Any, Literal, TypeVar

from netio.deadline import NEVER, Clock, SystemClock
from netio.errors import (
    Attempt,
    AttemptTimedOut,
    ConnectError,
    ConnectionLost,
    ConnectTimeout,
    ReadTimeout,
    RequestError,
    StreamReset,
    WriteTimeout,
)
from netio.message import IDEMPOTENT_METHODS, Request, Response, Send
from netio.observe import Retried, tell
from netio.policy._alone import AroundAnything, P
from netio.policy._backoff import Backoff, Jitter, retry_after
from netio.policy._budget import RetryBudget
from netio.policy._check import not_negative, whole
from netio.policy._verdict import is_final

T = TypeVar("T")
Outcome = Response | Exception
Hook = Callable[[Any], bool | float | None]
Kind = Literal["connect", "read", "status"]

RETRIED_STATUSES = frozenset((429, 502, 503, 504))  # "try again" in the words of RFC 9110 section 15.6 and RFC 6585

RETRIED_ERRORS: tuple[type[Exception], ...] = (
    ConnectError,
    ConnectionLost,
    StreamReset,
    ConnectTimeout,
    ReadTimeout,
    WriteTimeout,
    AttemptTimedOut,
    ConnectionError,
)
"""What may be different the next time. Not among them: our own refusals, the total deadline, a broken protocol.

Whatever is named here, `AddressRefused`, `CertificateError`, names that cannot be one and what a proxy forbids are not
sent again: they will be the same.
"""


class _Everything:
    """All statuses: with a hook each answer is looked at."""

    def __contains__(self, status: object) -> bool:
        return True


class Retry(AroundAnything):
    """Send a request up to `attempts` times.

    * `statuses`, `errors`: what is sent again. `when` decides in their place: it is given the response or the error,
      and returns False, True, or in how many seconds to try again.
    * `methods`: requests that may be processed twice; so may those with an Idempotency-Key field. Others are sent again
      only if they provably did not reach the server, and none whose body cannot be replayed.
    * `base`, `cap`, `jitter`: the delay is random, from 0 to `base` seconds, then twice as much, and so on up to `cap`;
      "decorrelated" is never below `base`.
    * `retry_after_cap`: a Retry-After field is added to the delay, as at most so many seconds.
    * `connect`, `read`, `status`: how many repeats there may be after errors before the request was sent, after other
      errors, and after answers; None leaves it to `attempts`.
    * `budget`: how much load repeats may add; None for one of its own, with the defaults of `RetryBudget`.
    * `clock`: for `call`; a request brings its own.

    Redirects do not multiply the attempts: what was repeated before one is not there for what comes after it.
    If there is no time for another attempt before the deadline of the request, the last error or response is the result
    at once. It says in `attempts` what was before. A response that is not returned is closed.
    """

    def __init__(
        self,
        *,
        attempts: int = 3,  # as in Polly, resilience4j and the AWS SDKs
        statuses: Collection[int] = RETRIED_STATUSES,
        errors: type[Exception] | tuple[type[Exception], ...] = RETRIED_ERRORS,
        when: Hook | None = None,
        methods: Collection[str] = IDEMPOTENT_METHODS,
        base: float = 0.1,  # the AWS SDKs: 50 to 100 ms
        cap: float = 5.0,
        jitter: Jitter = "full",
        retry_after_cap: float = 21_600.0,  # urllib3: six hours
        connect: int | None = None,
        read: int | None = None,
        status: int | None = None,
        budget: RetryBudget | None = None,
        clock: Clock | None = None,
        random: Callable[[], float] = random,
    ) -> None:
        self.attempts = whole("Retry.attempts", attempts)
        self.backoff = Backoff("Retry", base, cap, jitter, random)
        self.retry_after_cap = not_negative("Retry.retry_after_cap", retry_after_cap)
        self.methods = frozenset(methods)
        self.statuses = frozenset(statuses)
        self.errors = errors
        self.when = when
        self.repeats: dict[Kind, int] = {
            "connect": self.attempts if connect is None else whole("Retry.connect", connect, 0),
            "read": self.attempts if read is None else whole("Retry.read", read, 0),
            "status": self.attempts if status is None else whole("Retry.status", status, 0),
        }
        self.budget = RetryBudget() if budget is None else budget
        self._accounts = self.budget.accounts
        self._looked_at: Container[int] = self.statuses if when is None else _Everything()
        self._clock = clock or SystemClock()

    async def around(self, request: Request, send: Send) -> Response:
        self._accounts[request.url.origin].requests += 1
        outcome: Outcome
        try:
            outcome = await send(request)
        except Exception as error:
            outcome = error
        else:
            if outcome.status_code not in self._looked_at:
                return outcome
        repeating = _Repeating(self, request.clock, request.url.origin, request)
        try:
            response: Response = await repeating.run(partial(repeating.send, send), outcome)
            return response
        finally:
            del outcome  # an error that is raised holds this frame, which must not hold it in turn

    async def call(self, function: Callable[P, Awaitable[T]], *args: P.args, **kwargs: P.kwargs) -> T:
        """Call a function, and again after one of `errors`; there is one budget for all that is called."""
        self._accounts[None].requests += 1
        try:
            return await function(*args, **kwargs)
        except Exception as error:
            outcome = error
        repeating = _Repeating(self, self._clock, None, None)
        again: Callable[[], Awaitable[Any]] = partial(function, *args, **kwargs)
        try:
            result: T = await repeating.run(again, outcome)
            return result
        finally:
            del outcome


class _Repeating:
    """What becomes of one request, or one call, after its first attempt has failed."""

    def __init__(self, retry: Retry, clock: Clock, key: Hashable, request: Request | None) -> None:
        self._retry = retry
        self._clock = clock
        self._key = key
        self._request = request
        self._deadline = NEVER if request is None else request.deadline
        # Attempts are those of the whole request, whatever redirects are on its way (HAZARDS RT-05).
        self._number = 1 if request is None else 1 + request.repeats
        self._backed_off: float | None = None
        self._repeats: dict[Kind, int] = {"connect": 0, "read": 0, "status": 0}
        self._history: list[Attempt] = []
        self._was_sent = False

    async def run(self, again: Callable[[], Awaitable[Any]], outcome: Any) -> Any:
        """Repeat until there is nothing to repeat; return the last result, or raise the last error."""
        try:
            while True:
                delay = await self._decide(outcome)
                if delay is None:
                    self._tell_history(outcome)
                    if isinstance(outcome, Exception):
                        raise outcome
                    return outcome
                self._note(outcome, delay)
                if isinstance(outcome, Response):
                    await outcome.aclose()
                await self._clock.sleep(delay)
                self._number += 1
                try:
                    outcome = await again()
                except Exception as error:
                    outcome = error
        finally:
            del outcome

    async def send(self, send: Send) -> Response:
        """Send the request again, as a copy that says how often it was sent before."""
        assert self._request is not None
        request = self._request.with_deadline(self._deadline)
        request.repeats = self._number - 1
        return await send(request)

    async def _decide(self, outcome: Any) -> float | None:
        try:
            return self._next_delay(outcome)
        except BaseException:  # the user's hook (HAZARDS POOL-10)
            if isinstance(outcome, Response):
                await outcome.aclose()
            raise

    def _next_delay(self, outcome: Any) -> float | None:
        """Return how long to wait before the next attempt, None if there is none."""
        if self._number >= self._retry.attempts or not self._is_failure(outcome):
            return None
        verdict = self._verdict(outcome)
        if verdict is False or not self._may_repeat(outcome):
            return None
        kind = _kind(outcome)
        if self._repeats[kind] >= self._retry.repeats[kind]:
            return None
        delay = self._delay(outcome, verdict)
        now = self._clock.now()
        if now + delay >= self._deadline or not self._retry.budget.withdraw(self._key, now):
            return None
        self._repeats[kind] += 1
        return delay

    def _is_failure(self, outcome: Any) -> bool:
        return isinstance(outcome, Exception) or (self._request is not None and isinstance(outcome, Response))

    def _verdict(self, outcome: Outcome) -> bool | float:
        retry = self._retry
        if retry.when is not None:
            verdict = retry.when(outcome)
            return False if verdict is None else verdict
        if isinstance(outcome, Response):
            return outcome.status_code in retry.statuses
        return isinstance(outcome, retry.errors) and not is_final(outcome)

    def _may_repeat(self, outcome: Outcome) -> bool:
        request = self._request
        if request is None:
            return True
        if not request.body.is_replayable:
            return False
        if isinstance(outcome, RequestError) and not outcome.sent:
            return True  # RFC 9110 section 9.2.2: "if it has some means to know that the request was not processed"
        return request.method in self._retry.methods or "idempotency-key" in request.headers

    def _delay(self, outcome: Outcome, verdict: bool | float) -> float:
        if verdict is not True:
            return max(0.0, verdict) if math.isfinite(verdict) else NEVER
        self._backed_off = self._retry.backoff.delay(self._number, self._backed_off)
        if not isinstance(outcome, Response):
            return self._backed_off
        # Added, not the longer of the two: who are all told the same second shall not all come back in it.
        return self._backed_off + (retry_after(outcome.headers, self._retry.retry_after_cap) or 0.0)

    def _note(self, outcome: Outcome, delay: float) -> None:
        text = _text(outcome)
        self._history.append(Attempt(text, delay))
        self._was_sent |= not isinstance(outcome, RequestError) or outcome.sent
        request = self._request
        if request is not None and request.observer is not None:
            tell(request.observer, Retried(request, self._number, text, delay))

    def _tell_history(self, outcome: Any) -> None:
        """Leave with the last outcome what was before it."""
        if not self._history:
            return
        history = tuple(self._history)
        if self._was_sent and isinstance(outcome, RequestError):
            outcome.sent = True  # if not this time, then before
        if isinstance(outcome, RequestError) or (isinstance(outcome, Response) and self._request is not None):
            outcome.attempts = (*history, *outcome.attempts)
        if isinstance(outcome, Exception):
            outcome.add_note(f"this was attempt {self._number} of {self._retry.attempts}")
            for number, attempt in enumerate(history, 1):
                outcome.add_note(f"attempt {number}: {attempt.outcome}; then waited {attempt.delay:.3f} s")


def _kind(outcome: Outcome) -> Kind:
    if isinstance(outcome, Response):
        return "status"
    if isinstance(outcome, ConnectError | ConnectTimeout) or (isinstance(outcome, RequestError) and not outcome.sent):
        return "connect"
    return "read"


def _text(outcome: Outcome) -> str:
    if isinstance(outcome, Response):
        return str(outcome.status_code)
    # The message alone: what RequestError adds is the same for each attempt.
    return f"{type(outcome).__name__}: {Exception.__str__(outcome)}"
