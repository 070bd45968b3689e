"""The TLS sessions that servers have given away, until they are resumed: bookkeeping that is told the time.

A session of TLS 1.3 that is offered twice tells whoever listens that both connections come from the same client (RFC
8446 appendix C.4). So after a minute it is offered once; before, the address of the client says as much, and many
connections that are opened together can resume the one session there is. It also saves looking for another: that costs
150 µs, a third of a resumed handshake, as the ssl module copies the session and parses the certificate in it. A session
of TLS 1.2 may be resumed until it expires. A server that breaks a handshake in which a session was offered is left
alone with them for a while.

The sessions belong to one identity, that of the `TLSClient` which has them: its certificate, whom it trusts, its pins.
"""

from __future__ import annotations

import ssl
from collections import OrderedDict, deque
from dataclasses import dataclass, field
from typing import NamedTuple

SERVERS = 256
"""Servers remembered at a time, the last used; Go has 64, curl 25. A session is a few KiB."""

SESSIONS = 4
"""Sessions kept for a server at a time, so that several connections can be opened after a pause and each resume one."""

REUSE_SECONDS = 60.0
"""How long a session of TLS 1.3 may be offered more than once."""

REFUSAL_SECONDS = 600.0


class Server(NamedTuple):
    """Who a session may be resumed with, and how."""

    host: str
    port: int
    name: str
    alpn: tuple[str, ...]
    verify_mode: int
    checks_hostname: bool
    """These two because a context of the user's may change, and sessions made without a check are not for later."""


@dataclass(frozen=True, slots=True)
class KeptSession:
    """A session, and what was found out about the server's certificate when it was made."""

    session: ssl.SSLSession
    reusable_until: float
    """Afterwards it is offered once. All times are in seconds since 1970."""
    expires: float
    """When session or certificate do."""
    pins: tuple[str, ...] = ()
    """Of the keys in the chain that was verified; the ssl module does not show it for a resumed session."""


@dataclass(slots=True)
class _Shelf:
    sessions: deque[KeptSession] = field(default_factory=lambda: deque(maxlen=SESSIONS))
    refused_until: float = 0.0


class Sessions:
    """See the module's docstring."""

    def __init__(self, servers: int = SERVERS) -> None:
        self._size = servers
        self._shelves: OrderedDict[Server, _Shelf] = OrderedDict()

    def __len__(self) -> int:
        return sum(len(shelf.sessions) for shelf in self._shelves.values())

    def take(self, server: Server, now: float) -> KeptSession | None:
        """Return the newest session that can be resumed with a server."""
        shelf = self._shelves.get(server)
        if shelf is None:
            return None
        self._shelves.move_to_end(server)
        sessions = shelf.sessions
        while sessions:
            if sessions[-1].expires <= now:
                sessions.pop()
            elif sessions[-1].reusable_until <= now:
                return sessions.pop()
            else:
                return sessions[-1]
        return None

    def wants(self, server: Server, now: float) -> bool:
        """Whether another session of a server is of use: it costs to look for one."""
        shelf = self._shelves.get(server)
        if shelf is None:
            return True
        newest = shelf.sessions[-1] if shelf.sessions else None
        return now >= shelf.refused_until and (newest is None or min(newest.reusable_until, newest.expires) <= now)

    def give(self, server: Server, kept: KeptSession) -> None:
        """Keep a session; the one that nobody has asked for the longest goes, if there are too many."""
        shelf = self._shelves.setdefault(server, _Shelf())
        shelf.sessions.append(kept)
        self._shelves.move_to_end(server)
        self._shrink()

    def drop(self, server: Server, kept: KeptSession) -> None:
        """Forget a session that the server did not resume."""
        shelf = self._shelves.get(server)
        if shelf is not None and kept in shelf.sessions:
            shelf.sessions.remove(kept)

    def refuse(self, server: Server, now: float) -> None:
        """Neither offer nor keep sessions of a server for a while: it has broken the handshake of one."""
        shelf = self._shelves.setdefault(server, _Shelf())
        shelf.sessions.clear()
        shelf.refused_until = now + REFUSAL_SECONDS
        self._shrink()

    def _shrink(self) -> None:
        while len(self._shelves) > self._size:
            self._shelves.popitem(last=False)
