"""Whether an HTTP/2 server is still there: PING after a silence, and a limit for its answers to PING and SETTINGS.

A connection whose other end has vanished (a NAT that forgot it, a host that was switched off) looks like one that is
merely silent. While requests are in flight, and if wished while idle too, a PING asks; any byte is an answer.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from netio.deadline import NEVER
from netio.errors import ConnectionLost
from netio.wire import Http2Engine

if TYPE_CHECKING:
    from netio.protocol._http2 import Http2Connection


@dataclass(frozen=True, kw_only=True, slots=True)
class PingTimes:
    """In seconds: how long a silence is waited out (None: for ever), and how long the answer may take."""

    after: float | None = 15.0
    timeout: float = 15.0
    when_idle: bool = False


class Pulse:
    """Looks after one connection, under the watchdog of its pool while there is a reason to."""

    __slots__ = ("_asked_at", "_connection", "_engine", "_seen", "_since", "_times", "deadline", "is_watching")

    def __init__(self, connection: Http2Connection, engine: Http2Engine) -> None:
        self._connection = connection
        self._engine = engine
        self._times = connection.environment.ping
        self.is_watching = False
        self._since = 0.0
        self._seen = 0
        self._asked_at: float | None = None
        self.deadline = NEVER

    def begin(self, now: float) -> None:
        """Look after the connection from now on, until it is at rest."""
        if self.is_watching:
            return
        self.is_watching = True
        self._since = now
        self._seen = self._connection.bytes_received
        self._asked_at = None if self._engine.is_settings_acknowledged else now
        self._set_deadline()
        self._connection.environment.watchdog.add(self)

    def end(self) -> None:
        self.is_watching = False
        self._connection.environment.watchdog.discard(self)

    def look(self, now: float) -> None:
        connection, times = self._connection, self._times
        if connection.bytes_received != self._seen:
            self._seen = connection.bytes_received
            self._since = now
            if self._engine.is_settings_acknowledged:
                self._asked_at = None
        if self._asked_at is not None and now >= self._asked_at + times.timeout:
            asked = "a PING" if self._engine.is_settings_acknowledged else "SETTINGS"
            self.end()
            connection.fail(ConnectionLost(f"the server did not answer {asked} for {times.timeout:g} s"))
            return
        if self._asked_at is None and times.after is not None and now >= self._since + times.after:
            if not connection.is_busy and not times.when_idle:
                self.end()
                return
            self._asked_at = now
            connection.ping()
        self._set_deadline()

    def _set_deadline(self) -> None:
        times = self._times
        if self._asked_at is not None:
            self.deadline = self._asked_at + times.timeout
        else:
            self.deadline = NEVER if times.after is None else self._since + times.after
