"""TLS as a thin layer over ssl.MemoryBIO: bytes in, bytes out, the same on every loop and inside another TLS.

asyncio's own TLS keeps a buffer of 256 KiB per connection and anyio's decrypts one record per receive; this one needs
50 KiB, and decrypts everything that has come in one go. It does no I/O: whoever moves the bytes asks `take()` what is
to be sent after every call.
"""

from __future__ import annotations

import ssl
import threading
from functools import lru_cache

from netio.errors import CertificateError, ConnectionLost, ProtocolError, RequestError, TLSError

RECORD = 16_384  # of plaintext at most; OpenSSL gives no more at a time (RFC 8446 section 5.1)
BUFFER = 16 * RECORD


class _Scratch(threading.local):
    """Where plaintext is put before it is cut to size: new memory for each record costs more than decrypting it."""

    def __init__(self) -> None:
        self.view = memoryview(bytearray(BUFFER))


_scratch = _Scratch()

_CONTENT_TYPES = range(20, 25)  # what a record may begin with (RFC 8446 section 5.1)


class TLSChannel:
    """The client end of one TLS connection. Raises `TLSError` for a host name that cannot be in a certificate."""

    __slots__ = ("_has_answered", "_incoming", "_object", "_outgoing", "failure", "is_ended")

    def __init__(self, context: ssl.SSLContext, server_hostname: str) -> None:
        self._incoming = ssl.MemoryBIO()
        self._outgoing = ssl.MemoryBIO()
        try:
            self._object = context.wrap_bio(self._incoming, self._outgoing, server_hostname=server_hostname)
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
    def has_output(self) -> bool:
        return self._outgoing.pending > 0

    def take(self) -> bytes:
        """Return the ciphertext that is to be sent."""
        return self._outgoing.read()

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
            raise _handshake_error(error) from error
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
            self.failure = _stream_error(error)
            self.failure.__cause__ = error
        pieces.append(bytes(view[:size]))
        return pieces[0] if len(pieces) == 1 else b"".join(pieces)

    def encrypt(self, data: bytes | memoryview) -> bytes:
        """Return the ciphertext of some plaintext, behind whatever else is to be sent."""
        try:
            self._object.write(data)
        except ssl.SSLError as error:
            raise _stream_error(error) from error
        return self._outgoing.read()

    def close(self) -> bytes:
        """Return the close_notify alert; afterwards nothing can be encrypted."""
        try:
            self._object.unwrap()
        except ssl.SSLError:
            pass  # SSLWantReadError: the peer's close_notify is not waited for (RFC 8446 section 6.1)
        return self._outgoing.read()


def _reason(error: ssl.SSLError) -> str:
    return (error.reason or str(error) or type(error).__name__).replace("_", " ").lower()


def _handshake_error(error: ssl.SSLError) -> RequestError:
    """Translate what a handshake raises into words for people."""
    if isinstance(error, ssl.SSLCertVerificationError):
        return CertificateError(f"the certificate was not accepted: {error.verify_message or _reason(error)}")
    return TLSError(f"the TLS handshake failed: {_reason(error)}")


def _stream_error(error: ssl.SSLError) -> RequestError:
    if error.reason == "PROTOCOL_IS_SHUTDOWN":
        return ConnectionLost("the TLS connection is closed")
    if isinstance(error, ssl.SSLEOFError):
        return ConnectionLost("the server closed the TLS connection without saying so")
    if error.reason and ("ALERT" in error.reason):
        return ConnectionLost(f"the server ended the TLS connection: {_reason(error)}")
    return ProtocolError(f"the server broke the TLS protocol: {_reason(error)}")


@lru_cache(maxsize=64)
def tls_context(verify: bool | str, alpn: tuple[str, ...]) -> ssl.SSLContext:
    """Return a client context, made once per setting: making one takes 30 ms and 500 KiB.

    `verify` is True for the trust store of the system, False for no verification, or the path of a CA file or folder.
    """
    import os.path

    if isinstance(verify, str):
        is_folder = os.path.isdir(verify)
        context = ssl.create_default_context(cafile=None if is_folder else verify, capath=verify if is_folder else None)
    else:
        context = ssl.create_default_context()
        if not verify:
            context.check_hostname = False
            context.verify_mode = ssl.CERT_NONE
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.options |= ssl.OP_NO_RENEGOTIATION  # HTTP has no use for it, HTTP/2 forbids it (RFC 9113 section 9.2.1)
    context.set_alpn_protocols(list(alpn))
    return context
