"""TLS as a thin layer over ssl.MemoryBIO: bytes in, bytes out, the same on every loop and inside another TLS.

asyncio's own TLS keeps a buffer of 256 KiB per connection and anyio's decrypts one record per receive; this one needs
50 KiB, and decrypts everything that has come in one go. It does no I/O: whoever moves the bytes asks `take()` what is
to be sent after every call.
"""

from __future__ import annotations

import ssl
import threading
from collections.abc import Callable
from typing import Any, cast

from netio.errors import ProtocolError, RequestError, TLSError
from netio.transport._tls_errors import handshake_error, stream_error

RECORD = 16_384  # of plaintext at most; OpenSSL gives no more at a time (RFC 8446 section 5.1)
BUFFER = 16 * RECORD


class _Scratch(threading.local):
    """Where plaintext is put before it is cut to size: new memory for each record costs more than decrypting it."""

    def __init__(self) -> None:
        self.view = memoryview(bytearray(BUFFER))


_scratch = _Scratch()

MOST_WITHOUT_PLAINTEXT = 65_536
"""Bytes that may come in a row without any plaintext in them. A record has 16 KiB, and tickets are smaller; but key
updates, of which each costs 10 to 20 µs and 27 bytes, could come for ever (HAZARDS TLS-05; Go allows 16 in a row)."""

MOST_ANSWERS = 65_536
"""Bytes that TLS may say by itself in the life of a connection: a peer that does not read would have us keep them."""

_LOOKS = 3
"""Reads after which a session is looked for: an HTTP/2 server may send its settings before it sends a ticket."""

_CONTENT_TYPES = range(20, 25)  # what a record may begin with (RFC 8446 section 5.1)


class TLSChannel:
    """The client end of one TLS connection. Raises `TLSError` for a host name that cannot be in a certificate.

    `session` is one to be resumed, of the same context.
    """

    __slots__ = (
        "_answers",
        "_has_answered",
        "_incoming",
        "_keep",
        "_looks",
        "_object",
        "_outgoing",
        "_without_plaintext",
        "failure",
        "is_ended",
    )

    def __init__(self, context: ssl.SSLContext, server_hostname: str, session: ssl.SSLSession | None = None) -> None:
        self._incoming = ssl.MemoryBIO()
        self._outgoing = ssl.MemoryBIO()
        self._keep: Callable[[ssl.SSLSession], None] | None = None
        self._looks = 0
        self._answers = 0
        self._without_plaintext = 0
        try:
            self._object = context.wrap_bio(
                self._incoming, self._outgoing, server_hostname=server_hostname, session=session
            )
        except (ValueError, TypeError) as error:  # TypeError for a NUL
            raise TLSError(f"TLS cannot be used with the host name {server_hostname!r}: {error}") from error
        self._has_answered = False
        self.is_ended = False
        """The peer has sent close_notify: what it had to say is complete."""
        self.failure: RequestError | None = None
        """Why nothing more can be decrypted: `ConnectionLost` for an alert, `ProtocolError` for what is not TLS."""

    @property
    def is_over(self) -> bool:
        return self.is_ended or self.failure is not None

    @property
    def alpn(self) -> str | None:
        return self._object.selected_alpn_protocol()

    @property
    def is_resumed(self) -> bool:
        """Whether the session of an earlier connection was resumed; known when the handshake is done."""
        return bool(self._object.session_reused)

    @property
    def version(self) -> str | None:
        """As in "TLSv1.3"; None before the handshake."""
        return self._object.version()

    @property
    def object(self) -> ssl.SSLObject:
        """What the ssl module knows of the connection."""
        return self._object

    @property
    def has_output(self) -> bool:
        return self._outgoing.pending > 0

    def take(self) -> bytes:
        """Return the ciphertext that is to be sent."""
        return self._outgoing.read()

    def answer(self) -> bytes:
        """Return what TLS has to say by itself after a read: an alert, or the answer to a key update."""
        data = self._outgoing.read()
        self._answers += len(data)
        if self._answers > MOST_ANSWERS and self.failure is None:
            self.failure = ProtocolError("the server makes TLS answer without end")
        return data

    def handshake(self, received: bytes = b"") -> bool:
        """Go on with the handshake; return whether it is done. Raises `TLSError` or `CertificateError`."""
        if received:
            if not self._has_answered and received[0] not in _CONTENT_TYPES:
                raise TLSError(
                    f"the server does not speak TLS on this port, it says {received[:24]!r}; was http:// meant?"
                )
            self._has_answered = True
            self._incoming.write(received)
        try:
            self._object.do_handshake()
        except ssl.SSLWantReadError:
            return False
        except ssl.SSLError as error:
            raise handshake_error(error, self._object) from error
        return True

    def decrypt(self, received: bytes | memoryview) -> bytes:
        """Return the plaintext of everything that has come so far; empty if no record is complete.

        What came whole before an alert or a broken record is returned, however the bytes were cut; `is_over` says then
        that it was the last.
        """
        incoming, view = self._incoming, _scratch.view
        incoming.write(received)
        pieces: list[bytes] = []
        size = 0
        try:
            while not self.is_over:
                if size > BUFFER - RECORD:
                    pieces.append(bytes(view[:size]))
                    size = 0
                count = self._object.read(RECORD, view[size:])
                if not count:  # close_notify
                    self.is_ended = True
                size += count  # type: ignore[operator]
                if not incoming.pending and not self._object.pending():
                    break
        except ssl.SSLWantReadError:
            pass
        except ssl.SSLError as error:
            self.failure = stream_error(error)
            self.failure.__cause__ = error
        if size or pieces:
            if self._without_plaintext:
                self._without_plaintext = 0
        else:
            self._count_without_plaintext(len(received))
        pieces.append(bytes(view[:size]))
        return pieces[0] if len(pieces) == 1 else b"".join(pieces)

    def _count_without_plaintext(self, size: int) -> None:
        self._without_plaintext += size
        if self._without_plaintext > MOST_WITHOUT_PLAINTEXT and not self.is_over:
            self.failure = ProtocolError("the server sends TLS records without content, and no end of them")

    def encrypt(self, data: bytes | memoryview) -> bytes:
        """Return the ciphertext of some plaintext, behind whatever else is to be sent."""
        try:
            self._object.write(data)
        except ssl.SSLError as error:
            raise stream_error(error) from error
        return self._outgoing.read()

    def close(self) -> bytes:
        """Return the close_notify alert; afterwards nothing can be encrypted."""
        if self._keep is not None and self.failure is None:
            self._hand_over_session()
        try:
            self._object.unwrap()
        except ssl.SSLError:
            pass  # SSLWantReadError: the peer's close_notify is not waited for (RFC 8446 section 6.1)
        return self._outgoing.read()

    def keep_session(self, keep: Callable[[ssl.SSLSession], None]) -> None:
        """Give the session away, once, when the server has sent it: the channel changes its class until then."""
        self._keep = keep
        self.__class__ = cast("Any", _UnkeptChannel)

    def _hand_over_session(self) -> None:
        keep, session = self._keep, self._object.session
        assert keep is not None
        if session is not None and (session.has_ticket or (session.id and self.version != "TLSv1.3")):
            self._keep = None
            self.__class__ = cast("Any", TLSChannel)  # after `close` there may be more to decrypt
            keep(session)


class _UnkeptChannel(TLSChannel):
    """A channel whose session is still to be kept.

    Servers send the tickets of TLS 1.3 behind the handshake, mostly before the first answer; nothing tells when one has
    come, and to look costs 150 µs. So the first reads that yield plaintext are followed by a look, and so is close. A
    class of its own, since `decrypt` is the hottest function of a download and is not to ask each time.
    """

    __slots__ = ()

    def decrypt(self, received: bytes | memoryview) -> bytes:
        data = super().decrypt(received)
        if data and self.failure is None:
            self._looks += 1
            self._hand_over_session()
            if self._looks == _LOOKS:
                self.__class__ = cast("Any", TLSChannel)
        return data
