"""Logging: one record a request, and a warning for what a person should know.

Values stand in the message for people and in `record.netio`, a dict, for programs. URLs are shown without userinfo and
query; header fields and bodies never are.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from typing import Any

from netio.observe import (
    BreakerChanged,
    ConnectionClosed,
    ConnectionOpened,
    DialFailed,
    Event,
    Hedged,
    Refused,
    RequestFinished,
    Resent,
    Retried,
)
from netio.shown import escaped_line

_ALARMING = frozenset(("broken", "protocol error", "suspect", "not taking"))
"""Reasons for which no healthy server's connection is closed."""


class LogEvents:
    """An observer that logs: `Session(observer=LogEvents())`.

    DEBUG: each request that ended, each connection that opened or closed. INFO: what was sent again, a circuit that
    closed. WARNING: a circuit that opened, a refusal, a connection that could not be opened or broke. `logger` is
    "netio" by default.
    """

    def __init__(self, logger: logging.Logger | None = None) -> None:
        self._logger = logger or logging.getLogger("netio")
        self._ways: Mapping[type[Event], Callable[[Any], None]] = {
            RequestFinished: self._finished,
            Retried: self._retried,
            Resent: self._resent,
            Hedged: self._hedged,
            Refused: self._refused,
            BreakerChanged: self._breaker_changed,
            DialFailed: self._dial_failed,
            ConnectionOpened: self._opened,
            ConnectionClosed: self._closed,
        }

    def __call__(self, event: Event) -> None:
        way = self._ways.get(type(event))
        if way is not None:
            way(event)

    def _log(self, level: int, message: str, *values: Any, **details: Any) -> None:
        if self._logger.isEnabledFor(level):
            self._logger.log(level, message, *(escaped_line(str(value)) for value in values), extra={"netio": details})

    def _finished(self, event: RequestFinished) -> None:
        if not self._logger.isEnabledFor(logging.DEBUG):
            return
        request, response = event.request, event.response
        details: dict[str, Any] = {
            "event": "request",
            "method": request.method,
            "url": request.url.redacted,
            "seconds": event.seconds,
            "status": None,
            "error": None,
        }
        if response is not None:
            details |= {"status": response.status_code, "protocol": response.http_version}
            details |= {"attempts": len(response.attempts) + 1, "redirects": len(response.history)}
            outcome = str(response.status_code)
        else:
            details["error"] = outcome = type(event.error).__name__
        milliseconds = f"{event.seconds * 1e3:.1f}"
        self._log(
            logging.DEBUG, "%s %s: %s in %s ms", request.method, request.url.redacted, outcome, milliseconds, **details
        )

    def _retried(self, event: Retried) -> None:
        text = "%s is sent again in %s s, after attempt %s: %s"
        delay, number = f"{event.delay:.3f}", event.attempt
        self._log(logging.INFO, text, event.request, delay, number, event.outcome, event="retry", attempt=number)

    def _resent(self, event: Resent) -> None:
        why = "421" if event.error is None else type(event.error).__name__
        self._log(logging.INFO, "%s is sent again, as it was not processed: %s", event.request, why, event="resend")

    def _hedged(self, event: Hedged) -> None:
        delay = f"{event.delay:.3f}"
        self._log(logging.INFO, "%s has no answer after %s s and is sent twice", event.request, delay, event="hedge")

    def _refused(self, event: Refused) -> None:
        kind = type(event.error).__name__
        self._log(logging.WARNING, "%s was not sent: %s", event.request, event.error, event="refusal", error=kind)

    def _breaker_changed(self, event: BreakerChanged) -> None:
        level = logging.WARNING if event.after == "open" else logging.INFO
        key = str(event.key)
        self._log(level, "the circuit of %s is %s, it was %s", key, event.after, event.before, event="breaker", key=key)

    def _dial_failed(self, event: DialFailed) -> None:
        kind, origin = type(event.error).__name__, str(event.origin)
        text = "no connection to %s: %s"
        self._log(logging.WARNING, text, origin, event.error, event="dial", origin=origin, error=kind)

    def _opened(self, event: ConnectionOpened) -> None:
        connection = event.connection
        self._log(logging.DEBUG, "%s opened", connection, event="opened", connection=connection.number)

    def _closed(self, event: ConnectionClosed) -> None:
        level = logging.WARNING if event.reason in _ALARMING else logging.DEBUG
        text = "%s closed after %s requests: %s"
        number = event.connection.number
        self._log(
            level,
            text,
            event.connection,
            event.uses,
            event.reason,
            event="closed",
            connection=number,
            reason=event.reason,
        )
