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
    * `ping_after`: seconds of silence after which an HTTP/2 server is asked whether it is still there (PING), while
      requests are in flight, and with `ping_when_idle` also while none are; None: never.
    * `ping_timeout`: seconds that the answer may take, to SETTINGS too; then the connection is given up.
    """

    connections: int = 100  # aiohttp and httpx
    connections_per_origin: int | None = None
    idle: int = 20  # httpx
    idle_seconds: float = 60.0  # nginx closes after 75, Node after 5, AWS load balancers after 60
    connection_age: float | None = 600.0  # so that traffic follows DNS (aiohttp#4948, reqwest#3033)
    queued: int = 10_000
    ping_after: float | None = 15.0  # Go and hyper never ask unless told to; gRPC allows servers to mind below 10
    ping_timeout: float = 15.0  # Go's PingTimeout; gRPC's is 20
    ping_when_idle: bool = False

    def __post_init__(self) -> None:
        for name, least in (("connections", 1), ("connections_per_origin", 1), ("idle", 0), ("queued", 1)):
            count = getattr(self, name)
            if name == "connections_per_origin" and count is None:
                continue
            if not isinstance(count, int) or isinstance(count, bool) or count < least:
                raise ValueError(f"Limits.{name} must be a whole number of at least {least}, not {count!r}")
        for name in ("idle_seconds", "connection_age", "ping_after", "ping_timeout"):
            seconds = getattr(self, name)
            if name in ("connection_age", "ping_after") and seconds is None:
                continue
            if isinstance(seconds, bool) or not isinstance(seconds, int | float) or not seconds > 0:
                raise ValueError(f"Limits.{name} must be a positive number of seconds, not {seconds!r}")
