"""TLS over a stream that is there already: one identity, whom it trusts, and the sessions it may resume.

1. The context, made once per list of protocols and in a thread, since making one takes 30 ms.
2. A session of an earlier connection to the same server is offered, if there is one.
3. The handshake. The certificate is checked by OpenSSL, unless the session is resumed: then it was, and by the same
   identity.
4. The pins, on every connection, before the last flight leaves: whoever has a good certificate but the wrong key does
   not learn who the client is.
5. The session of this connection is kept when it has come (`TLSChannel.keep_session`).

There is no early data: it could be replayed (RFC 8446 section 8).
"""

from __future__ import annotations

import math
import ssl
import time
from collections.abc import Callable
from functools import partial

import anyio
import anyio.to_thread

from netio.errors import CertificateError, RequestError, TLSError
from netio.transport._broken import BROKEN, words
from netio.transport._receive_now import READ_SIZE
from netio.transport._socket_stream import Duplex
from netio.transport._tls import TLSChannel
from netio.transport._tls_certificate import public_key_pin, verified_chain
from netio.transport._tls_context import asks_the_system, tls_context
from netio.transport._tls_sessions import REUSE_SECONDS, KeptSession, Server, Sessions
from netio.transport._tls_settings import TLS, Verify, read_verify, server_name

ALERT_SECONDS = 1.0
"""What telling the server why its handshake was refused may take."""


class TLSClient:
    """One TLS identity; see the module's docstring. `threads` limits the threads that read certificates."""

    def __init__(self, verify: Verify, threads: anyio.CapacityLimiter) -> None:
        found = read_verify(verify)
        self._own_context = found if isinstance(found, ssl.SSLContext) else None
        self._settings = TLS() if isinstance(found, ssl.SSLContext) else found
        self._pins = frozenset(self._settings.pins)
        self._threads = threads
        self._contexts: dict[tuple[str, ...], ssl.SSLContext] = {}
        self._making_context = anyio.Lock()
        self._sessions = Sessions() if self._settings.sessions else None
        self.full = 0
        """Handshakes that were done in full."""
        self.resumed = 0
        """Handshakes that resumed a session."""

    async def secure(self, stream: Duplex, host: str, port: int, *, alpn: tuple[str, ...]) -> TLSChannel:
        """Shake hands over a stream with whoever is to be `host`; offer these protocols.

        Raises `TLSError` and `CertificateError`; the stream is left open.
        """
        name = self._settings.server_hostname or _server_name(host)
        context = await self._context(alpn)  # and not another await until the channel is made
        server = Server(host, port, name, alpn, int(context.verify_mode), context.check_hostname)
        sessions = None if asks_the_system(context) else self._sessions
        offered = None if sessions is None else sessions.take(server, time.time())
        channel = TLSChannel(context, name, None if offered is None else offered.session)
        keys: list[str] = []
        try:
            await shake_hands(stream, channel, lambda: keys.extend(self._check_pins(channel, offered)))
        except TLSError:
            if sessions is not None and offered is not None:
                sessions.refuse(server, time.time())
            raise
        if channel.is_resumed:
            self.resumed += 1
        else:
            self.full += 1
            if sessions is not None and offered is not None:
                sessions.drop(server, offered)
        if sessions is not None and sessions.wants(server, time.time()):
            expires = offered.expires if offered is not None and channel.is_resumed else _expiry(channel)
            channel.keep_session(partial(_keep, sessions, server, channel.version, expires, tuple(keys)))
        return channel

    def _check_pins(self, channel: TLSChannel, offered: KeptSession | None) -> list[str]:
        """Return the pins of the server's keys. Raises `CertificateError` if none of them is among the wanted."""
        if not self._pins:
            return []
        context = channel.object.context
        if channel.is_resumed and offered is not None:
            keys = list(offered.pins)
        elif context.verify_mode == ssl.CERT_NONE or asks_the_system(context):
            # A chain that OpenSSL has not verified: anybody can append the certificate of somebody else.
            keys = [public_key_pin(channel.object.getpeercert(binary_form=True) or b"")]
        else:
            keys = [public_key_pin(one) for one in verified_chain(channel.object)]
        if self._pins.isdisjoint(keys):
            raise _pin_mismatch(keys)
        return keys

    async def _context(self, alpn: tuple[str, ...]) -> ssl.SSLContext:
        """Return a context that offers these protocols, to be used before anything else is awaited."""
        if self._own_context is not None:
            self._own_context.set_alpn_protocols(list(alpn))
            return self._own_context
        if alpn not in self._contexts:
            async with self._making_context:
                if alpn not in self._contexts:
                    made = await anyio.to_thread.run_sync(tls_context, self._settings, alpn, limiter=self._threads)
                    self._contexts[alpn] = made
        return self._contexts[alpn]


def _server_name(host: str) -> str:
    try:
        return server_name(host)
    except ValueError as error:
        raise TLSError(f"TLS cannot be used with the host name {host!r}: {error}") from error


def _expiry(channel: TLSChannel) -> float:
    """Return when the server's certificate expires: a session made with it is not resumed later."""
    certificate = channel.object.getpeercert()  # empty if nobody has looked at it
    return ssl.cert_time_to_seconds(str(certificate["notAfter"])) if certificate else math.inf


def _keep(
    sessions: Sessions,
    server: Server,
    version: str | None,
    expires: float,
    pins: tuple[str, ...],
    session: ssl.SSLSession,
) -> None:
    lifetime = min(session.timeout, session.ticket_lifetime_hint or session.timeout)
    reusable_until = time.time() + REUSE_SECONDS if version == "TLSv1.3" else math.inf
    sessions.give(server, KeptSession(session, reusable_until, min(expires, session.time + lifetime), pins))


def _pin_mismatch(keys: list[str]) -> CertificateError:
    error = CertificateError(
        f"the certificate was not accepted: no key in its chain is pinned; they are {', '.join(keys)}. "
        "If the server has a new key, add its pin to verify=TLS(pins=...)"
    )
    error.reason = "pin mismatch"
    return error


async def shake_hands(stream: Duplex, channel: TLSChannel, accept: Callable[[], object] | None = None) -> None:
    """Do the handshake of a channel over a stream. Raises `TLSError` and `CertificateError`, or what `accept` raises.

    `accept` is called when the server is known, before it is told that the client is content.
    """
    received = b""
    while True:
        try:
            is_done = channel.handshake(received)
        except RequestError:
            if channel.has_output:  # the alert that tells the server why; whether it hears it does not matter
                with anyio.move_on_after(ALERT_SECONDS):
                    await _try_send(stream, channel.take())
            raise
        if is_done and accept is not None:
            accept()
        try:
            if channel.has_output:
                await stream.send(channel.take())
            if is_done:
                return
            received = await stream.receive(READ_SIZE)
        except anyio.EndOfStream as error:
            raise TLSError("the server closed the connection during the TLS handshake") from error
        except BROKEN as error:
            raise TLSError(f"the connection broke during the TLS handshake: {words(error)}") from error


async def _try_send(stream: Duplex, data: bytes) -> None:
    try:
        await stream.send(data)
    except BROKEN:
        return
