"""What the demo counts for each of its rows."""

from __future__ import annotations

import math
from dataclasses import dataclass, field

from netio.message import Response


@dataclass
class Measurement:
    """One way of sending requests, and what came of it."""

    name: str
    latencies: list[float] = field(default_factory=list[float])
    """Seconds from the call to the whole response, one for each request that succeeded."""
    failures: list[str] = field(default_factory=list[str])
    """One line for each request that did not."""
    connections: int = 0
    attempts: int = 0
    """Requests that reached the pool: with a retry more than were asked for."""
    seconds: float = 0.0

    def add(self, response: Response) -> None:
        """Count an answer. Raises `StatusError`, without counting, if its status says that it is none."""
        self.latencies.append(response.raise_for_status().elapsed.total_seconds())

    @property
    def requests(self) -> int:
        return len(self.latencies) + len(self.failures)

    @property
    def rate(self) -> float:
        """Requests per second, failed ones included."""
        return self.requests / self.seconds if self.seconds else 0.0

    def milliseconds(self, share: float) -> float:
        """Return the latency that this share of the successful requests did not exceed, by nearest rank."""
        if not self.latencies:
            return math.nan
        ordered = sorted(self.latencies)
        return ordered[max(0, math.ceil(share * len(ordered)) - 1)] * 1000
