"""What a dial finds out on its way, kept for the connection that comes of it and told to the observer."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from anyio.abc import ByteStream, SocketAttribute

from netio.observe import Connected, Observer, Resolved, TLSDone, tell
from netio.timings import Address, TLSInfo, numbers
from netio.transport._socket_stream import SocketStream
from netio.transport._tls import TLSChannel


class DialNews:
    """`number` is the one of the connection to be. `elapsed` gives the seconds of the phase so far.

    `is_cached` says whether the name had been looked up before, None if there was none to look up.
    """

    __slots__ = ("_elapsed", "_observer", "is_cached", "local", "number", "peer", "tls")

    def __init__(self, elapsed: Callable[[], float], observer: Observer | None) -> None:
        self._elapsed = elapsed
        self._observer = observer
        self.number = numbers()
        self.is_cached: bool | None = None
        self.peer: Address | None = None
        self.local: Address | None = None
        self.tls: TLSInfo | None = None

    def resolved(self, host: str, addresses: Sequence[str], *, is_cached: bool) -> None:
        """A name was looked up."""
        self.is_cached = is_cached
        if self._observer is not None:
            tell(self._observer, Resolved(self.number, host, tuple(addresses), self._elapsed(), is_cached))

    def connected(self, stream: ByteStream | SocketStream) -> None:
        """The stream to the server, or to its proxy, is there; TLS is not."""
        self.peer, self.local = _ends(stream)
        if self._observer is not None:
            tell(self._observer, Connected(self.number, self.peer, self.local, self._elapsed()))

    def secured(self, channel: TLSChannel) -> None:
        """The handshake with the server is done."""
        cipher = channel.object.cipher()
        self.tls = TLSInfo(
            version=channel.version or "",
            cipher=cipher[0] if cipher else "",
            alpn=channel.alpn,
            is_resumed=channel.is_resumed,
        )
        if self._observer is not None:
            tell(self._observer, TLSDone(self.number, self.tls, self._elapsed()))


def _ends(stream: ByteStream | SocketStream) -> tuple[Address | None, Address | None]:
    """Return the addresses of the other end and of this one."""
    if not isinstance(stream, SocketStream):
        try:
            peer = stream.extra(SocketAttribute.remote_address, None)
            return _address(peer), _address(stream.extra(SocketAttribute.local_address, None))
        except OSError:  # the peer has closed it already
            return None, None
    sock = stream.detach()
    try:
        return _address(sock.getpeername()), _address(sock.getsockname())
    except OSError:
        return None, None


def _address(found: Any) -> Address | None:
    """Return an address as the socket module has it without flow and scope."""
    if isinstance(found, tuple) and len(found) >= 2:
        return str(found[0]), int(found[1])
    if isinstance(found, bytes):
        found = found.decode(errors="backslashreplace")
    return found if isinstance(found, str) and found else None
