"""From an origin to a Link: resolve the name, race the addresses, shake hands.

The addresses are tried in the order in which the system returns them (getaddrinfo sorts by RFC 6724), the next one
250 ms after the one before or as soon as that failed, and the first that connects wins (RFC 8305 section 5). Name
resolution runs in threads of its own limiter: the event loop's default executor is shared with the user's code, and
a busy one looks like a DNS timeout (cpython#112169).

A dial has no time limit of its own: the pool that owns it cancels it, and asks `Dial.phase` how far it had come.
"""

from __future__ import annotations

import ipaddress
import socket
import ssl
from collections.abc import Awaitable, Callable, Sequence

import anyio
import anyio.to_thread
from anyio.abc import ByteStream

from netio.deadline import Clock, SystemClock
from netio.errors import ConnectError, Phase, RequestError, ResolveError, TLSError
from netio.transport._broken import BROKEN, close_stream, words
from netio.transport._contract import Link
from netio.transport._receive_now import READ_SIZE
from netio.transport._runtime import Runtime
from netio.transport._socket_link import SocketLink
from netio.transport._socket_stream import Duplex, SocketStream, connect_socket
from netio.transport._stream_link import StreamLink
from netio.transport._tls import TLSChannel, tls_context
from netio.url import Origin

Connect = Callable[[str, int], Awaitable[ByteStream]]
"""Opens a byte stream to a host and port: a hook for other networks, tunnels and tests."""

ATTEMPT_DELAY = 0.25  # RFC 8305 section 5 recommends 250 ms; Chrome and Firefox use 300 and 250
RESOLVER_THREADS = 20


class Dial:
    """One attempt to open a connection to an origin: how far it has come, and how many seconds each phase took."""

    __slots__ = ("_clock", "_since", "alpn", "origin", "phase", "took")

    def __init__(self, origin: Origin, clock: Clock | None = None, alpn: tuple[str, ...] | None = None) -> None:
        self.alpn = alpn
        """The protocols to be offered instead of the dialer's."""
        self._clock = clock or SystemClock()
        self._since = self._clock.now()
        self.origin = origin
        self.phase: Phase = "resolve"
        self.took: dict[Phase, float] = {}

    def enter(self, phase: Phase) -> None:
        """Begin another phase."""
        self.end()
        self.phase = phase

    def end(self) -> None:
        """Count what the phase has taken until now."""
        now = self._clock.now()
        self.took[self.phase] = self.took.get(self.phase, 0.0) + now - self._since
        self._since = now


class Dialer:
    """Opens links. One for each pool, and so for one event loop, trust setting and list of protocols."""

    def __init__(
        self,
        runtime: Runtime,
        *,
        verify: bool | str | ssl.SSLContext,
        alpn: tuple[str, ...],
        connect: Connect | None = None,
    ) -> None:
        self._runtime = runtime
        self._verify = verify
        self._alpn = alpn
        self._connect = connect
        self._contexts: dict[tuple[str, ...], ssl.SSLContext] = {}
        self._making_context = anyio.Lock()
        self._threads = anyio.CapacityLimiter(RESOLVER_THREADS)

    async def dial(self, dial: Dial) -> Link:
        """Open a link. Raises `ConnectError` and its kin; whatever else happens, no socket is left open."""
        origin = dial.origin
        stream = await self._open(dial)
        channel: TLSChannel | None = None
        try:
            if origin.is_tls:
                dial.enter("tls")
                context = await self._tls_context(dial.alpn or self._alpn)
                channel = TLSChannel(context, origin.host.rstrip("."))
                await shake_hands(stream, channel)
            if isinstance(stream, SocketStream):
                return SocketLink(stream.detach(), self._runtime, channel)
            return StreamLink(stream, self._runtime, channel)
        except BaseException:
            await close_stream(stream)
            raise

    async def _tls_context(self, alpn: tuple[str, ...]) -> ssl.SSLContext:
        """Return a context that offers these protocols, to be used before anything else is awaited."""
        if isinstance(self._verify, ssl.SSLContext):
            self._verify.set_alpn_protocols(list(alpn))
            return self._verify
        async with self._making_context:
            if alpn not in self._contexts:  # in a thread, as it reads files for 30 ms
                made = await anyio.to_thread.run_sync(self._make_context, alpn, limiter=self._threads)
                self._contexts[alpn] = made
        return self._contexts[alpn]

    def _make_context(self, alpn: tuple[str, ...]) -> ssl.SSLContext:
        assert not isinstance(self._verify, ssl.SSLContext)
        try:
            return tls_context(self._verify, alpn)
        except OSError as error:
            raise TLSError(f"the certificates to trust cannot be read from {self._verify!r}: {error}") from error

    async def _open(self, dial: Dial) -> ByteStream | SocketStream:
        origin = dial.origin
        if self._connect is not None:
            dial.enter("connect")
            try:
                return await self._connect(origin.host, origin.port)
            except (*BROKEN, anyio.EndOfStream) as error:
                raise ConnectError(f"cannot connect to {origin}: {words(error)}") from error
        addresses = await self._resolve(origin)
        dial.enter("connect")
        return await _race(addresses, origin, self._runtime)

    async def _resolve(self, origin: Origin) -> Sequence[str]:
        if _is_address(origin.host):
            return [origin.host]
        try:
            found = await anyio.to_thread.run_sync(
                _getaddrinfo, origin.host, origin.port, limiter=self._threads, abandon_on_cancel=True
            )
        except (OSError, UnicodeError) as error:
            raise ResolveError(f"cannot resolve {origin.host}: {words(error)}") from error
        if not found:
            raise ResolveError(f"cannot resolve {origin.host}: it has no address")
        return list(dict.fromkeys(str(place[4][0]) for place in found))


def _getaddrinfo(host: str, port: int) -> list[tuple[int, int, int, str, tuple[str, int] | tuple[str, int, int, int]]]:
    return socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)  # type: ignore[return-value]


def _is_address(host: str) -> bool:
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return False
    return True


async def _race(addresses: Sequence[str], origin: Origin, runtime: Runtime) -> SocketStream:
    """Connect to the first address that answers; the others are given up."""
    if len(addresses) == 1:
        try:
            return SocketStream(await connect_socket(addresses[0], origin.port, runtime), runtime)
        except OSError as error:
            raise ConnectError(f"cannot connect to {origin}: {addresses[0]}: {words(error)}") from error
    failures: list[tuple[str, OSError]] = []
    winner: socket.socket | None = None

    async def attempt(address: str, failed: anyio.Event) -> None:
        nonlocal winner
        try:
            sock = await connect_socket(address, origin.port, runtime)
        except OSError as error:
            failures.append((address, error))
            failed.set()
            return
        if winner is None:
            winner = sock
            attempts.cancel_scope.cancel()
        else:
            sock.close()

    try:
        async with anyio.create_task_group() as attempts:
            for address in addresses:
                failed = anyio.Event()
                attempts.start_soon(attempt, address, failed)
                with anyio.move_on_after(ATTEMPT_DELAY):
                    await failed.wait()
    except BaseException:
        if winner is not None:
            winner.close()
        raise
    if winner is not None:
        return SocketStream(winner, runtime)
    if len(failures) < len(addresses):
        # On asyncio a Task.cancel() can get lost among the cancellations of anyio's own task groups (anyio#1214).
        raise anyio.get_cancelled_exc_class()
    tried = "; ".join(f"{address}: {words(error)}" for address, error in failures)
    raise ConnectError(f"cannot connect to {origin}: {tried}") from failures[-1][1]


async def shake_hands(stream: Duplex, channel: TLSChannel) -> None:
    received = b""
    while True:
        try:
            is_done = channel.handshake(received)
        except RequestError:
            if channel.has_output:  # the alert that tells the server why; whether it hears it does not matter
                with anyio.move_on_after(1):
                    await _try_send(stream, channel.take())
            raise
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
