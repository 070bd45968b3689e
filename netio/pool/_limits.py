"""The limits of a pool."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True, slots=True)
class Limits:
    """How many connections and waiting requests a session may have; None means no limit, where it is allowed.

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
        for name, least in (("connections", 1), ("connections_per_origin", 1), ("idle", 0), ("queued", 1)):
            count = getattr(self, name)
            if name == "connections_per_origin" and count is None:
                continue
            if not isinstance(count, int) or isinstance(count, bool) or count < least:
                raise ValueError(f"Limits.{name} must be a whole number of at least {least}, not {count!r}")
        for name in ("idle_seconds", "connection_age"):
            seconds = getattr(self, name)
            if name == "connection_age" and seconds is None:
                continue
            if isinstance(seconds, bool) or not isinstance(seconds, int | float) or not seconds > 0:
                raise ValueError(f"Limits.{name} must be a positive number of seconds, not {seconds!r}")
