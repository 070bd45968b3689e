"""What a pool has opened, used and closed: counted when a connection opens and closes, and looked up while it lives.

A connection counts its bytes and its exchanges itself, so nothing is done here for a request, unless it had to wait.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterable
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any

from netio.deadline import Clock
from netio.histogram import Histogram
from netio.observe import (
    ConnectionClosed,
    ConnectionIdle,
    ConnectionOpened,
    DialFailed,
    DialStarted,
    Observer,
    tell,
)
from netio.protocol import Connection
from netio.tally import OTHERS
from netio.timings import ConnectionInfo
from netio.transport import Dial

_ROWS = 1_000
"""So many pairs of origin and protocol have a row of their own; what was closed longest ago is in `OTHERS` then."""


@dataclass(kw_only=True, slots=True)
class Traffic:
    """What connections have done since the pool was made; `active` and `idle` are how many there are now.

    `requests` were sent on them, `reused` of these on a connection that had served before. Bytes are those of HTTP,
    without TLS. `resumed` counts TLS handshakes that were shortened.
    """

    created: int = 0
    active: int = 0
    idle: int = 0
    requests: int = 0
    reused: int = 0
    bytes_sent: int = 0
    bytes_received: int = 0
    secured: int = 0
    resumed: int = 0

    @property
    def reuse_ratio(self) -> float | None:
        """The share of requests on a connection that had served before, 0 to 1."""
        return self.reused / self.requests if self.requests else None

    def add(self, connection: Connection) -> None:
        """Count all that a connection has done."""
        tls = connection.info.tls
        self.created += 1
        self.requests += connection.uses
        self.reused += max(0, connection.uses - 1)
        self.bytes_sent += connection.bytes_sent
        self.bytes_received += connection.bytes_received
        self.secured += tls is not None
        self.resumed += tls is not None and tls.is_resumed

    def merge(self, other: Traffic) -> None:
        """Add what others have done."""
        for name in Traffic.__slots__:
            setattr(self, name, getattr(self, name) + getattr(other, name))

    def to_dict(self) -> dict[str, Any]:
        """Return the figures, for JSON."""
        return {name: getattr(self, name) for name in Traffic.__slots__}


@dataclass(frozen=True, kw_only=True, slots=True)
class Books:
    """What a pool has counted: traffic by origin and protocol, why connections were closed, how long requests waited.

    `limit` is how many connections there may be; `exhausted` counts the requests that found so many, and none free.
    `lookups` are the names that were looked up for connections, `lookups_cached` those that a cache knew.
    """

    traffic: dict[tuple[str, str], Traffic] = field(default_factory=dict)
    closed: dict[str, int] = field(default_factory=dict)
    queue: Histogram = field(default_factory=Histogram)
    limit: int = 0
    exhausted: int = 0
    lookups: int = 0
    lookups_cached: int = 0


class Bookkeeper:
    """Counts what becomes of the connections of a pool, and tells the observer, if there is one."""

    def __init__(self, clock: Clock, limit: int, observer: Observer | None) -> None:
        self._clock = clock
        self._limit = limit
        self._observer = observer
        self._idle: dict[Connection, int] = {}  # how often each was used when it was told to be idle
        self._closed: OrderedDict[tuple[str, str], Traffic] = OrderedDict()
        self._reasons: dict[str, int] = {}
        self._queue = Histogram()
        self._exhausted = 0
        self._lookups = 0
        self._cached = 0

    def queued(self, *, is_exhausted: bool) -> None:
        """A request waits for a connection."""
        self._exhausted += is_exhausted

    def waited(self, seconds: float) -> None:
        """A request has left the queue, for whatever reason."""
        self._queue.record(max(0.0, seconds))

    def dialing(self, dial: Dial) -> None:
        if self._observer is not None:
            tell(self._observer, DialStarted(dial.news.number, dial.origin))

    def dial_failed(self, dial: Dial, error: Exception) -> None:
        self._count_lookup(dial)
        if self._observer is not None:
            tell(self._observer, DialFailed(dial.news.number, dial.origin, error, MappingProxyType(dict(dial.took))))

    def opened(self, dial: Dial, info: ConnectionInfo) -> None:
        self._count_lookup(dial)
        if self._observer is not None:
            tell(self._observer, ConnectionOpened(info))

    def _count_lookup(self, dial: Dial) -> None:
        if dial.news.is_cached is not None:
            self._lookups += 1
            self._cached += dial.news.is_cached

    def tell_idle(self, living: Iterable[tuple[Connection, bool]]) -> None:
        """Tell which connections have fallen idle since this was last called; not between any two requests."""
        for connection, is_idle in living:
            if is_idle and self._observer is not None and self._idle.get(connection) != connection.uses:
                self._idle[connection] = connection.uses
                tell(self._observer, ConnectionIdle(connection.info, connection.uses))

    def closed(self, connection: Connection, why: str) -> None:
        """The ledger has struck a connection off."""
        why = connection.why_closed or why
        self._idle.pop(connection, None)
        self._reasons[why] = self._reasons.get(why, 0) + 1
        self._row(str(connection.origin), connection.info.protocol).add(connection)
        if self._observer is not None:
            seconds = self._clock.now() - connection.opened_at
            sent, received = connection.bytes_sent, connection.bytes_received
            event = ConnectionClosed(connection.info, why, connection.uses, sent, received, seconds)
            tell(self._observer, event)

    def _row(self, origin: str, protocol: str) -> Traffic:
        key = (origin, protocol)
        row = self._closed.get(key)
        if row is None:
            if len(self._closed) >= _ROWS:
                _, oldest = self._closed.popitem(last=False)
                self._row(OTHERS, "").merge(oldest)
            row = self._closed[key] = Traffic()
        self._closed.move_to_end(key)
        return row

    def books(self, living: Iterable[tuple[Connection, bool]]) -> Books:
        """Return all that was counted; `living` are the connections that there are, and whether each is idle."""
        traffic: dict[tuple[str, str], Traffic] = {}
        # Who asks may be another thread than the loop's: so what the loop changes is copied in one step.
        for key, row in list(self._closed.items()):
            traffic[key] = Traffic()
            traffic[key].merge(row)
        for connection, is_idle in living:
            row = traffic.setdefault((str(connection.origin), connection.info.protocol), Traffic())
            row.add(connection)
            row.idle += is_idle
            row.active += not is_idle
        return Books(
            traffic=traffic,
            closed=dict(self._reasons),
            queue=self._queue.copy(),
            limit=self._limit,
            exhausted=self._exhausted,
            lookups=self._lookups,
            lookups_cached=self._cached,
        )


def connection_info(dial: Dial, protocol: str, now: float) -> ConnectionInfo:
    """Return what a dial has found out about the connection that came of it."""
    news = dial.news
    return ConnectionInfo(
        number=news.number,
        origin=dial.origin,
        protocol=protocol,
        peer=news.peer,
        local=news.local,
        tls=news.tls,
        opened_at=now,
        took=MappingProxyType(dict(dial.took)),
    )
