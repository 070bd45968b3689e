"""Where the time of a request went, and on which connection: what a connection is, stamps, and `Timings`.

A connection puts raw stamps on each response, which costs 0.2 µs. They become a `Timings` when somebody asks for
`response.timings`. All times are of the session's clock, in seconds.

The phases of a request follow each other without a gap, so their sum is the total:

    before    earlier attempts, back-off, redirects, whatever policies did before this attempt
    queue     waiting for a connection, apart from the phases of a dial
    resolve, connect, proxy, tls      the part of a dial that this attempt has waited for
    send      until the last byte of the request was handed to the connection
    wait      until the first byte of the response's head was here
    body      until the last byte of its body was here
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from itertools import count
from types import MappingProxyType
from typing import Any, NamedTuple

from netio.errors import Phase
from netio.url import Origin

__all__ = ["PHASES", "Address", "ConnectionInfo", "TLSInfo", "Timings"]

Address = tuple[str, int] | str
"""Host and port of one end of a connection, or the path of a Unix socket."""

numbers = count(1).__next__
"""Gives each connection and each observed attempt of this process a number of its own."""

_DIALING: tuple[Phase, ...] = ("tls", "proxy", "connect", "resolve")  # the last one first


@dataclass(frozen=True, kw_only=True, slots=True)
class TLSInfo:
    """What a handshake has agreed on, such as "TLSv1.3"; `is_resumed` says that it was shortened (RFC 8446 2.2)."""

    version: str
    cipher: str = ""
    alpn: str | None = None
    is_resumed: bool = False


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class ConnectionInfo:
    """What one connection is, from its opening to its end.

    `number` is unique in this process. `protocol` is "HTTP/1.1" or "HTTP/2". `peer` and `local` are the addresses of
    its two ends, None where the network has none to tell; through a proxy, `peer` is the proxy's. `took` are the
    seconds of each phase of opening it, `opened_at` is when that was done, on the session's clock.
    """

    number: int
    origin: Origin
    protocol: str
    peer: Address | None = None
    local: Address | None = None
    tls: TLSInfo | None = None
    opened_at: float = 0.0
    took: Mapping[Phase, float] = field(default_factory=lambda: MappingProxyType({}))

    def __str__(self) -> str:
        peer = "" if self.peer is None else f" at {shown_address(self.peer)}"
        return f"connection {self.number} to {self.origin}{peer}, {self.protocol}"

    def __repr__(self) -> str:
        return f"<ConnectionInfo {self.number} to {self.origin}, {self.protocol}>"

    def to_dict(self) -> dict[str, Any]:
        """Return the fields, for JSON."""
        shown = {"origin": str(self.origin), "took": dict(self.took), "tls": self.tls and asdict(self.tls)}
        names = ("number", "protocol", "peer", "local", "opened_at")
        return {name: getattr(self, name) for name in names} | shown


def shown_address(address: Address) -> str:
    """Write an address as text: "127.0.0.1:80", "[::1]:80", "/run/web.sock"."""
    if isinstance(address, str):
        return address
    host, port = address
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


class Stamps(NamedTuple):
    """What a connection notes about one exchange; None where the moment has not come, or was not apart from the next.

    `uses` counts the exchanges of the connection, this one included. `queued_at` is when the attempt began to wait for
    a connection, None if it had one at once.
    """

    connection: ConnectionInfo
    uses: int
    queued_at: float | None
    opened_at: float
    sent_at: float | None
    head_at: float | None
    ended_at: float | None


RawStamps = tuple[ConnectionInfo, int, float | None, float, float | None, float | None, float | None]
"""The same as a plain tuple, which is made for every response in a third of the time."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Timings:
    """Where the time went, in seconds: the phases of the attempt that was answered, and `before` it.

    A phase that did not happen is 0.0, and is not among `phases`. As long as a streamed body is not read to its end (or
    given up), `body` is 0.0, `total` is the time until its head, and `is_complete` is False. `attempts` counts how
    often the request was sent, and `uses` the requests on this connection, both including this one; `age` is how old
    the connection was when it got the request. A response that comes from no connection (a test, a fallback) has
    `connection` None.
    """

    before: float = 0.0
    queue: float = 0.0
    resolve: float = 0.0
    connect: float = 0.0
    proxy: float = 0.0
    tls: float = 0.0
    send: float = 0.0
    wait: float = 0.0
    body: float = 0.0
    total: float = 0.0
    is_complete: bool = True
    attempts: int = 1
    connection: ConnectionInfo | None = None
    age: float = 0.0
    uses: int = 0

    @property
    def protocol(self) -> str | None:
        return None if self.connection is None else self.connection.protocol

    @property
    def peer(self) -> Address | None:
        return None if self.connection is None else self.connection.peer

    @property
    def local(self) -> Address | None:
        return None if self.connection is None else self.connection.local

    @property
    def is_reused(self) -> bool:
        """Whether the connection had served before."""
        return self.uses > 1

    @property
    def phases(self) -> dict[str, float]:
        """The phases that took any time, in the order in which they happened."""
        return {name: seconds for name in PHASES if (seconds := getattr(self, name))}

    def to_dict(self) -> dict[str, Any]:
        """Return the fields, for JSON."""
        values = {name: getattr(self, name) for name in self.__slots__}
        return values | {"connection": self.connection and self.connection.to_dict()}

    def __str__(self) -> str:
        phases = ", ".join(f"{name} {seconds * 1000:.3g} ms" for name, seconds in self.phases.items())
        end = "" if self.is_complete else " so far"
        return f"{self.total * 1000:.3g} ms{end}: {phases or 'no phases'}"

    @classmethod
    def of(cls, started: float, raw: RawStamps, attempts: int = 1) -> Timings:
        """Work out the timings of a request that was made at `started`."""
        stamps = Stamps(*raw)
        connection, opened_at = stamps.connection, stamps.opened_at
        began = opened_at if stamps.queued_at is None else stamps.queued_at
        dialed = _share_of_dial(connection, opened_at - began) if connection.opened_at >= began else {}
        ended_at = stamps.ended_at
        # A head that was not seen before the end came together with it; a body that was sent with the head at once.
        head_at = stamps.head_at if stamps.head_at is not None else ended_at
        assert head_at is not None
        sent_at = opened_at if stamps.sent_at is None else min(stamps.sent_at, head_at)
        last = head_at if ended_at is None else ended_at
        return cls(
            before=began - started,
            queue=max(0.0, opened_at - began - sum(dialed.values())),
            **dialed,
            send=sent_at - opened_at,
            wait=head_at - sent_at,
            body=last - head_at,
            total=last - started,
            is_complete=ended_at is not None,
            attempts=attempts,
            connection=connection,
            age=max(0.0, opened_at - connection.opened_at),
            uses=stamps.uses,
        )


PHASES = ("before", "queue", "resolve", "connect", "proxy", "tls", "send", "wait", "body")


def _share_of_dial(connection: ConnectionInfo, waited: float) -> dict[str, Any]:
    """Return what of a dial fell into the time waited, which may have begun in the middle of it."""
    shares: dict[str, Any] = {}
    for phase in _DIALING:
        share = min(connection.took.get(phase, 0.0), waited)
        if share > 0.0:
            shares[phase] = share
            waited -= share
    return shares
