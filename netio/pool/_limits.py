"""The limits of a pool."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True, slots=True)
class Limits:
    """How many connections and waiting requests a session may have; None means no limit of its own.

    * `connections`: open or being opened, in total; `connections_per_origin`: the same for one origin.
    * `idle`: how many unused connections are kept; `idle_seconds`: for how long.
    * `connection_age`: seconds after which a connection is not used again, less up to a tenth.
    * `queued`: requests that may wait for a connection.
    """

    connections: int = 100  # aiohttp and httpx
    connections_per_origin: int | None = None
    idle: int = 20  # httpx
    idle_seconds: float = 60.0  # nginx closes after 75, Node after 5, AWS load balancers after 60
    connection_age: float | None = 600.0  # so that traffic follows DNS (aiohttp#4948, reqwest#3033)
    queued: int = 10_000

    def __post_init__(self) -> None:
        for name in ("connections", "connections_per_origin", "queued"):
            value = getattr(self, name)
            if value is not None and (not isinstance(value, int) or value < 1):
                raise ValueError(f"Limits.{name} must be a positive whole number, not {value!r}")
        if not isinstance(self.idle, int) or self.idle < 0:
            raise ValueError(f"Limits.idle must be a whole number of at least 0, not {self.idle!r}")
        if not self.idle_seconds > 0 or not (self.connection_age is None or self.connection_age > 0):
            raise ValueError("Limits.idle_seconds and Limits.connection_age must be positive numbers of seconds")
