"""Prometheus: a collector that reads what sessions count anyway, when it is scraped.

    prometheus_client.REGISTRY.register(SessionCollector(session))

Nothing is added to a request. Times are those of answered requests; a bucket holds what took no longer than its bound
within the 0.8 % of netio's histograms.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping
from typing import TYPE_CHECKING, Any

from netio.client import OriginStats, Session, SessionStats
from netio.histogram import Histogram

if TYPE_CHECKING:
    from prometheus_client.metrics_core import Metric

BUCKETS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0)
"""Bounds in seconds; those of Prometheus' clients, with two more at either end."""


class SessionCollector:
    """Shows the statistics of sessions to a registry of prometheus_client (extra `prometheus`).

    `sessions` is one, or several by name; the name is the label `session`. `prefix` begins each metric's name. What is
    collected in another thread than that of the event loop is a snapshot that may be a request off.
    """

    def __init__(
        self, sessions: Session | Mapping[str, Session], *, prefix: str = "netio", buckets: Iterable[float] = BUCKETS
    ) -> None:
        try:
            from prometheus_client import core
        except ImportError as error:
            raise ImportError("prometheus_client is not installed: pip install 'netio-http[prometheus]'") from error
        self._core: Any = core
        self._sessions = {"default": sessions} if isinstance(sessions, Session) else sessions
        self._prefix = prefix
        self._bounds = sorted({float(bound) for bound in buckets} - {math.inf})  # which comes by itself

    def collect(self) -> Iterator[Metric]:
        """Yield the metric families, as prometheus_client's collectors do."""
        stats = {name: session.stats() for name, session in self._sessions.items()}
        yield from self._of_sessions(stats)
        yield from self._of_origins(stats)
        yield self._durations(stats)

    def describe(self) -> list[Metric]:
        """Return nothing: the registry need not collect to learn the names."""
        return []

    def _of_sessions(self, stats: Mapping[str, SessionStats]) -> Iterator[Metric]:
        for attribute, name, text in _GAUGES:
            gauge = self._core.GaugeMetricFamily(f"{self._prefix}_{name}", text, labels=["session"])
            for session, row in stats.items():
                gauge.add_metric([session], getattr(row, attribute))
            yield gauge
        for attribute, name, text in _COUNTERS:
            counter = self._core.CounterMetricFamily(f"{self._prefix}_{name}", text, labels=["session"])
            for session, row in stats.items():
                counter.add_metric([session], getattr(row, attribute))
            yield counter
        connections = self._core.GaugeMetricFamily(
            f"{self._prefix}_connections", "Connections now.", labels=["session", "state"]
        )
        closed = self._core.CounterMetricFamily(
            f"{self._prefix}_connections_closed", "Connections closed, by reason.", labels=["session", "reason"]
        )
        for session, row in stats.items():
            for state in ("active", "idle", "dialing"):
                connections.add_metric([session, state], getattr(row, state))
            for reason, number in row.closed.items():
                closed.add_metric([session, reason], number)
        yield connections
        yield closed

    def _of_origins(self, stats: Mapping[str, SessionStats]) -> Iterator[Metric]:
        for name, text, label, values in _BY_ORIGIN:
            labels = ["session", "origin", *([label] if label else [])]
            counter = self._core.CounterMetricFamily(f"{self._prefix}_{name}", text, labels=labels)
            for session, row in stats.items():
                for origin, counts in row.origins.items():
                    for kind, number in values(counts).items():
                        counter.add_metric([session, origin, *([kind] if label else [])], number)
            yield counter

    def _durations(self, stats: Mapping[str, SessionStats]) -> Metric:
        family = self._core.HistogramMetricFamily(
            f"{self._prefix}_request_duration_seconds", "Time to the answer.", labels=["session", "origin"]
        )
        for session, row in stats.items():
            for origin, counts in row.origins.items():
                histogram = counts.histogram
                if histogram.count:
                    family.add_metric([session, origin], self._cumulative(histogram), sum_value=histogram.total)
        return family  # type: ignore[no-any-return]

    def _cumulative(self, histogram: Histogram) -> list[tuple[str, float]]:
        counts = [0] * (len(self._bounds) + 1)
        place = 0
        for lower, upper, number in histogram.buckets():
            while place < len(self._bounds) and (lower + upper) / 2 > self._bounds[place]:
                place += 1
            counts[place] += number
        total = 0
        shown: list[tuple[str, float]] = []
        for bound, number in zip((*map(repr, self._bounds), "+Inf"), counts, strict=True):
            total += number
            shown.append((bound, total))
        return shown


_GAUGES = (
    ("in_flight", "requests_in_flight", "Requests that have not ended."),
    ("queued", "requests_queued", "Requests that wait for a connection."),
    ("limit", "connections_limit", "Connections that there may be."),
)
_COUNTERS = (
    ("created", "connections_created", "Connections opened."),
    ("dial_failures", "connections_failed", "Connections that did not come about."),
    ("exhausted", "pool_exhausted", "Requests that found all connections in use."),
    ("lookups", "lookups", "Names looked up for connections."),
    ("lookups_cached", "lookups_cached", "Names that a cache knew."),
    ("handshakes", "tls_handshakes", "TLS handshakes."),
    ("resumed", "tls_resumed", "TLS handshakes that resumed a session."),
)


def _statuses(counts: OriginStats) -> Mapping[str, int]:
    return counts.statuses


def _failures(counts: OriginStats) -> Mapping[str, int]:
    return counts.failures


def _cancelled(counts: OriginStats) -> Mapping[str, int]:
    return {"": counts.cancelled}


def _retries(counts: OriginStats) -> Mapping[str, int]:
    return {"": counts.retries}


def _sent(counts: OriginStats) -> Mapping[str, int]:
    return {"": counts.traffic.bytes_sent}


def _received(counts: OriginStats) -> Mapping[str, int]:
    return {"": counts.traffic.bytes_received}


_BY_ORIGIN = (
    ("responses", "Requests answered, by class of status.", "status", _statuses),
    ("request_failures", "Requests failed, by kind of error.", "error", _failures),
    ("requests_cancelled", "Requests cancelled.", "", _cancelled),
    ("retries", "Requests sent again.", "", _retries),
    ("sent_bytes", "Bytes of HTTP sent.", "", _sent),
    ("received_bytes", "Bytes of HTTP received.", "", _received),
)
