"""Which failed requests the pool sends again by itself: those that cannot have been processed, and one more kind.

A server may end a connection, or refuse a stream, in the very moment in which a request is on its way to it; that is no
failure of the request, and whoever sent it should not have to know. So it goes out again where it provably was not
processed (RFC 9113 section 8.7), a few times; and once where a connection that had served before died without a byte of
an answer, if the request may be repeated (RFC 9110 section 9.2.2). All else is for netio.policy.Retry.
"""

from __future__ import annotations

from collections.abc import Callable
from random import random

from netio.errors import Attempt, ConnectionLost, StreamReset
from netio.message import Request
from netio.observe import Resent, tell
from netio.wire import ErrorCode

MAX_REFUSED = 3
"""Times that one request may be refused by REFUSED_STREAM or ENHANCE_YOUR_CALM before that is its error."""

MAX_UNREACHED = 10
"""The same for connections that ended before they came to it: a server in a hurry says GOAWAY every few requests."""

REFUSED_SECONDS = 0.05
CALM_SECONDS = 1.0
MISDIRECTED = 421


class Resends:
    """What has become of the attempts of one request so far."""

    __slots__ = ("_has_died", "_random", "_refused", "_unreached", "attempts", "was_sent")

    def __init__(self, random: Callable[[], float] = random) -> None:
        self._random = random
        self._refused = 0
        self._unreached = 0
        self._has_died = False
        self.was_sent = False
        """Whether the server may have processed one of them."""
        self.attempts: list[Attempt] = []

    def note(self, request: Request, error: ConnectionLost | StreamReset | None, delay: float) -> None:
        """The request is sent again; without an error, since the answer was 421."""
        outcome = str(MISDIRECTED) if error is None else f"{type(error).__name__}: {Exception.__str__(error)}"
        self.attempts.append(Attempt(outcome, delay))
        if request.observer is not None:
            tell(request.observer, Resent(request, error, delay))

    def delay(self, request: Request, error: ConnectionLost | StreamReset, *, is_new: bool) -> float | None:
        """Return how many seconds to wait before it is sent again, None if it is not.

        `is_new` says that the connection had served no other request.
        """
        if not request.body.is_replayable:
            return None
        self.was_sent = self.was_sent or error.sent
        code = error_code(error)
        if error.sent:
            return self._after_death(request, error, is_new=is_new)
        if code in (ErrorCode.REFUSED_STREAM, ErrorCode.ENHANCE_YOUR_CALM):
            return self._after_refusal(code)
        self._unreached += 1
        return 0.0 if self._unreached <= MAX_UNREACHED else None

    def _after_death(self, request: Request, error: ConnectionLost | StreamReset, *, is_new: bool) -> float | None:
        if is_new or self._has_died or not isinstance(error, ConnectionLost):
            return None
        self._has_died = True
        return 0.0 if error.unanswered and request.is_idempotent else None

    def _after_refusal(self, code: int) -> float | None:
        self._refused += 1
        if self._refused > MAX_REFUSED:
            return None
        if code == ErrorCode.ENHANCE_YOUR_CALM:
            return CALM_SECONDS * (0.5 + 0.5 * self._random()) * self._refused
        # At once the first time: most often it is a limit on streams that the server has just lowered.
        return REFUSED_SECONDS * self._random() * 2.0 ** (self._refused - 2) if self._refused > 1 else 0.0


def error_code(error: ConnectionLost | StreamReset) -> int:
    """Return the HTTP/2 error code behind an error, NO_ERROR if there is none."""
    code = error.code if isinstance(error, StreamReset) else error.goaway_code
    return ErrorCode.NO_ERROR if code is None else code
