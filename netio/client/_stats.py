"""What `Session.stats()` returns: how a session stands, what it has done, and how long it took."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from textwrap import wrap
from typing import Any

from netio.histogram import Histogram, Summary, shown_time
from netio.pool import Books, PoolStats, Traffic
from netio.shown import shown_bytes
from netio.tally import Counts, Tally

_SHOWN_ORIGINS = 10
_SHOWN_KINDS = 6
_WIDTH = 79
_INDENT = 13


@dataclass(frozen=True, kw_only=True, slots=True)
class OriginStats:
    """What became of the requests to one origin, or of all, and what its connections have done.

    `latency` sums up the times of what was answered, `histogram` has them all. Without metrics
    (`Session(metrics=False)`) only `traffic` says anything.
    """

    succeeded: int = 0
    failures: Mapping[str, int] = field(default_factory=dict)
    cancelled: int = 0
    retries: int = 0
    statuses: Mapping[str, int] = field(default_factory=dict)
    latency: Summary = field(default_factory=Summary)
    histogram: Histogram = field(default_factory=Histogram, repr=False, compare=False)
    traffic: Traffic = field(default_factory=Traffic)

    @property
    def failed(self) -> int:
        return sum(self.failures.values())

    @classmethod
    def of(cls, counts: Counts | None, traffic: Traffic) -> OriginStats:
        """Put together what was counted of requests and of connections."""
        if counts is None:
            return cls(traffic=traffic)
        return cls(
            succeeded=counts.succeeded,
            failures=dict(counts.failures),
            cancelled=counts.cancelled,
            retries=counts.retries,
            statuses=counts.statuses_by_class(),
            latency=counts.summary(),
            histogram=counts.latency.copy(),
            traffic=traffic,
        )

    def to_dict(self) -> dict[str, Any]:
        """Return the figures, for JSON."""
        return {
            "succeeded": self.succeeded,
            "failed": self.failed,
            "failures": dict(self.failures),
            "cancelled": self.cancelled,
            "retries": self.retries,
            "statuses": dict(self.statuses),
            "latency": self.latency.to_dict(),
            "traffic": self.traffic.to_dict(),
        }


@dataclass(frozen=True, kw_only=True, slots=True)
class SessionStats:
    """A snapshot of a session. `print` it for a table, or take `as_dict`.

    * `requests`: all that were begun; each is `in_flight`, or has `succeeded` (was answered, whatever the status),
      `failed`, or was `cancelled`. Those that wait in the pool are `queued`.
    * `active`, `idle`, `dialing`: connections now; `limit` is how many there may be, `utilisation` the share of them
      that is in use. `created` and `dial_failures`: so far; `closed`: so far, by reason (`ConnectionClosed`).
    * `queue`: how long those had to wait that did not get a connection at once; `exhausted` of them found as many
      connections as the limits allow.
    * `reuse_ratio`: the share of requests that went over a connection which had served before.
    * `lookups`, `lookups_cached`: names that were looked up for connections, and those that a cache knew.
    * `handshakes`, `resumed`: of TLS. `bytes_sent`, `bytes_received`: of HTTP, without TLS.
    * `total`, and `origins` by name, the busiest first: what became of requests, how long they took, and the traffic.
      `protocols`: the traffic by protocol.
    """

    requests: int = 0
    in_flight: int = 0
    succeeded: int = 0
    failed: int = 0
    cancelled: int = 0
    active: int = 0
    idle: int = 0
    dialing: int = 0
    queued: int = 0
    created: int = 0
    dial_failures: int = 0
    limit: int = 0
    exhausted: int = 0
    queue: Summary = field(default_factory=Summary)
    closed: Mapping[str, int] = field(default_factory=dict)
    lookups: int = 0
    lookups_cached: int = 0
    total: OriginStats = field(default_factory=OriginStats)
    origins: Mapping[str, OriginStats] = field(default_factory=dict)
    protocols: Mapping[str, Traffic] = field(default_factory=dict)

    @property
    def utilisation(self) -> float | None:
        return self.active / self.limit if self.limit else None

    @property
    def reuse_ratio(self) -> float | None:
        return self.total.traffic.reuse_ratio

    @property
    def bytes_sent(self) -> int:
        return self.total.traffic.bytes_sent

    @property
    def bytes_received(self) -> int:
        return self.total.traffic.bytes_received

    @property
    def handshakes(self) -> int:
        return self.total.traffic.secured

    @property
    def resumed(self) -> int:
        return self.total.traffic.resumed

    def as_dict(self) -> dict[str, Any]:
        """Return all figures, for JSON: plain numbers, text, lists and dicts."""
        plain = {name: getattr(self, name) for name in (*_NUMBERS, *_DERIVED)}
        return plain | {
            "queue": self.queue.to_dict(),
            "closed": dict(self.closed),
            "total": self.total.to_dict(),
            "origins": {name: row.to_dict() for name, row in self.origins.items()},
            "protocols": {name: row.to_dict() for name, row in self.protocols.items()},
        }

    def __str__(self) -> str:
        lines = [line for name, text in _lines(self) if text for line in _wrapped(name, text)]
        if self.total.latency.count:
            lines += ["", Summary.heading(), *_rows(self)]
        return "\n".join(lines)


_DERIVED = ("utilisation", "reuse_ratio", "bytes_sent", "bytes_received", "handshakes", "resumed")
_NUMBERS = tuple(name for name in SessionStats.__slots__ if isinstance(getattr(SessionStats(), name), int))


def session_stats(
    ended: tuple[int, int, int], requests: int, tally: Tally | None, pool: PoolStats | None, books: Books
) -> SessionStats:
    """Put a snapshot together; `ended` are the requests that have succeeded, failed and were cancelled."""
    counts = {} if tally is None else tally.rows()
    traffic, protocols, total = _by_origin(books)
    names = sorted({*counts, *traffic}, key=lambda name: _busyness(counts.get(name), traffic.get(name)))
    succeeded, failed, cancelled = ended
    return SessionStats(
        requests=requests,
        in_flight=requests - sum(ended),
        succeeded=succeeded,
        failed=failed,
        cancelled=cancelled,
        active=0 if pool is None else pool.active,
        idle=0 if pool is None else pool.idle,
        dialing=0 if pool is None else pool.dialing,
        queued=0 if pool is None else pool.queued,
        created=0 if pool is None else pool.created,
        dial_failures=0 if pool is None else pool.dial_failures,
        limit=books.limit,
        exhausted=books.exhausted,
        queue=books.queue.summary(),
        closed=books.closed,
        lookups=books.lookups,
        lookups_cached=books.lookups_cached,
        total=OriginStats.of(None if tally is None else tally.in_all(), total),
        origins={name: OriginStats.of(counts.get(name), traffic.get(name) or Traffic()) for name in names},
        protocols=protocols,
    )


def _busyness(counts: Counts | None, traffic: Traffic | None) -> int:
    return -max(counts.requests if counts else 0, traffic.requests if traffic else 0)


def _by_origin(books: Books) -> tuple[dict[str, Traffic], dict[str, Traffic], Traffic]:
    """Return the traffic by origin, by protocol, and in all."""
    origins: dict[str, Traffic] = {}
    protocols: dict[str, Traffic] = {}
    total = Traffic()
    for (origin, protocol), row in books.traffic.items():
        origins.setdefault(origin, Traffic()).merge(row)
        protocols.setdefault(protocol, Traffic()).merge(row)
        total.merge(row)
    return origins, protocols, total


# ---------------------------------------------------------------------- as text


def _lines(stats: SessionStats) -> Iterator[tuple[str, str]]:
    ended = (f"{stats.succeeded:,} answered", f"{stats.failed:,} failed", f"{stats.cancelled:,} cancelled")
    yield "requests", ", ".join((*ended, f"{stats.in_flight:,} under way", f"{stats.total.retries:,} retries"))
    yield "failures", _listed(stats.total.failures)
    yield "statuses", _listed(stats.total.statuses)
    share = "" if stats.utilisation is None else f" ({stats.utilisation:.0%} of {stats.limit} in use)"
    yield "connections", f"{stats.active} active, {stats.idle} idle, {stats.dialing} being opened{share}"
    yield "  so far", f"{stats.created:,} created, {stats.dial_failures:,} failed to open"
    yield "  closed", _listed(stats.closed)
    reused = "" if stats.reuse_ratio is None else f"{stats.reuse_ratio:.1%} of requests"
    yield "  reuse", "; ".join(part for part in (reused, _shares(stats.protocols)) if part)
    times = f"; p50 {shown_time(stats.queue.p50)}, p99 {shown_time(stats.queue.p99)}" if stats.queue.count else ""
    yield "queue", f"{stats.queued:,} wait, {stats.queue.count:,} have waited{times}; {stats.exhausted:,} at the limit"
    yield "names", f"{stats.lookups:,} looked up, {stats.lookups_cached:,} of them cached" if stats.lookups else ""
    yield "TLS", f"{stats.handshakes:,} handshakes, {stats.resumed:,} resumed" if stats.handshakes else ""
    yield "bytes", f"{shown_bytes(stats.bytes_sent)} sent, {shown_bytes(stats.bytes_received)} received"


def _wrapped(name: str, text: str) -> Iterator[str]:
    for line in wrap(text, _WIDTH - _INDENT):
        yield f"{name:<{_INDENT}}{line}"
        name = ""


def _listed(numbers: Mapping[str, int]) -> str:
    """Write what there is most of first."""
    parts = [f"{number:,} {name}" for name, number in sorted(numbers.items(), key=lambda item: -item[1])]
    return ", ".join(parts if len(parts) <= _SHOWN_KINDS else [*parts[:_SHOWN_KINDS], "..."])


def _shares(protocols: Mapping[str, Traffic]) -> str:
    return ", ".join(f"{name or 'others'}: {row.requests:,} on {row.created:,}" for name, row in protocols.items())


def _rows(stats: SessionStats) -> Iterable[str]:
    timed = {name: row for name, row in stats.origins.items() if row.latency.count}
    for name, row in list(timed.items())[:_SHOWN_ORIGINS]:
        yield name if len(name) <= _WIDTH else f"{name[: _WIDTH - 3]}..."
        yield str(row.latency)
    if len(timed) > _SHOWN_ORIGINS:
        yield f"... and {len(timed) - _SHOWN_ORIGINS:,} more origins"
    if len(timed) > 1:
        yield "in all"
        yield str(stats.total.latency)
