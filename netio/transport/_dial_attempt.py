"""Sockets on their way to an address, and the race between them.

No attempt is a task: the kernel connects, and the loop calls back when it is done. So the one task that dials is never
cancelled by netio itself, and a cancellation from outside cannot get lost among netio's own (on asyncio a Task.cancel()
may, where a task group ends in the same moment: anyio#1214). What ends on its own time is ended by an alarm, which is a
background task that does nothing but wake.
"""

from __future__ import annotations

import errno
import os
import socket
from collections.abc import Callable
from inspect import isawaitable

from netio.deadline import NEVER, Clock
from netio.errors import AddressRefused
from netio.transport._address_policy import Address, AddressPolicy
from netio.transport._broken import words
from netio.transport._eyeballs import Race, shown
from netio.transport._network import Network
from netio.transport._runtime import Runtime, Waiter, wake
from netio.transport._socket_options import AF_UNIX, bind_to, options_of, set_options

_UNDER_WAY = frozenset((errno.EINPROGRESS, errno.EWOULDBLOCK, errno.EINTR))
_HINTS = {
    errno.EMFILE: "fewer connections (Limits.connections) or a higher `ulimit -n` would help",
    errno.ENFILE: "the whole machine has too many files open",
    errno.EADDRNOTAVAIL: "no local port is free, or Network.local_address is not of this machine",
}
UNIX_NAP = 0.01  # a full queue of a unix socket is told by an error, and no event says when it has room again


class Attempt:
    """A socket that connects to one address, and calls `settled` when the kernel has decided.

    Raises `OSError` where that is known at once. `is_connected` says that it is there already.
    """

    __slots__ = ("_runtime", "_settled", "_socket", "is_connected", "is_settled")

    def __init__(self, address: Address, network: Network, runtime: Runtime, settled: Callable[[], None]) -> None:
        family = socket.AF_INET6 if address.family == 6 else socket.AF_INET
        self._runtime = runtime
        self._settled = settled
        self._socket = open_socket(family, network)
        self.is_settled = False
        try:
            code = self._socket.connect_ex(_place(address))
            if code not in _UNDER_WAY:
                _raise_if(code)
            self.is_connected = not code or _is_connected(self._socket)
            if not self.is_connected:
                runtime.add_writer(self._socket.fileno(), self._on_settled)
        except BaseException:
            self._socket.close()
            raise

    def _on_settled(self) -> None:
        self.is_settled = True
        self._runtime.remove_writer(self._socket.fileno())
        self._settled()

    def take(self) -> socket.socket:
        """Return the connected socket, which is the caller's from here on; raise `OSError` if it did not connect."""
        try:
            _raise_if(self._socket.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR))
            if self._socket.getsockname() == self._socket.getpeername():
                # A port of this machine that nobody listens on, and that was drawn for our own end (trio, Go: the same)
                raise ConnectionRefusedError(errno.ECONNREFUSED, os.strerror(errno.ECONNREFUSED))
        except BaseException:
            self._socket.close()
            raise
        return self._socket

    def close(self) -> None:
        if self._socket.fileno() >= 0:
            if not (self.is_settled or self.is_connected):
                self._runtime.remove_writer(self._socket.fileno())
            self._socket.close()


def open_socket(family: int, network: Network) -> socket.socket:
    """Make a socket that does not block, with the options of a network."""
    sock = socket.socket(family, socket.SOCK_STREAM)
    try:
        sock.setblocking(False)
        set_options(sock, options_of(network, family))
        if network.local_address is not None and family != AF_UNIX:
            bind_to(sock, network.local_address)
    except BaseException:
        sock.close()
        raise
    return sock


def _is_connected(sock: socket.socket) -> bool:
    """Whether the kernel was done at once, as with a server on the same machine: that saves a turn of the loop."""
    try:
        sock.getpeername()
    except OSError:
        return False
    return True


def _raise_if(code: int) -> None:
    if code:
        raise OSError(code, os.strerror(code))


def _place(address: Address) -> tuple[object, ...]:
    if address.family == 4:
        return (str(address.ip), address.port)
    bare, _, zone = str(address.ip).partition("%")
    if not zone:
        return (bare, address.port)
    return (bare, address.port, 0, int(zone) if zone.isdigit() else socket.if_nametoindex(zone))


class Racing:
    """A race under way; `run` is its one task."""

    def __init__(self, race: Race, network: Network, runtime: Runtime, clock: Clock) -> None:
        self._race = race
        self._network = network
        self._runtime = runtime
        self._clock = clock
        self._attempts: dict[Address, Attempt] = {}
        self._waiter: Waiter | None = None

    async def run(self) -> tuple[Address, socket.socket] | None:
        """Return the first address that has connected, and its socket; None if none has."""
        try:
            while True:
                winner = self._winner()
                if winner is not None:
                    return winner
                address = self._race.begin(self._clock.now())
                if address is not None:
                    await self._begin(address)
                elif self._race.is_lost:
                    return None
                else:
                    await self._sleep()
        finally:
            for attempt in self._attempts.values():
                attempt.close()

    def _winner(self) -> tuple[Address, socket.socket] | None:
        now = self._clock.now()
        for address, attempt in list(self._attempts.items()):
            if attempt.is_settled or attempt.is_connected:
                del self._attempts[address]
                try:
                    return address, attempt.take()
                except OSError as error:
                    self._fail(address, error)
        for address in self._race.overdue(now):
            self._attempts.pop(address).close()
            self._race.failed(address, OSError(errno.ETIMEDOUT, os.strerror(errno.ETIMEDOUT)), "no answer", now)
        return None

    async def _begin(self, address: Address) -> None:
        """Ask the policy, and connect to the very address that it was asked about (HAZARDS DNS-04)."""
        if self._network.address_policy is not None:
            reason = await why_refused(self._network.address_policy, address)
            if reason is not None:
                self._race.failed(address, refused(address, reason), f"refused: {reason}", self._clock.now())
                return
        try:
            self._attempts[address] = Attempt(address, self._network, self._runtime, self._on_settled)
        except OSError as error:
            self._fail(address, error)

    def _fail(self, address: Address, error: OSError) -> None:
        hint = _HINTS.get(error.errno or 0)
        said = f"{words(error)} ({hint})" if hint else words(error)
        self._race.failed(address, error, said, self._clock.now())

    def _on_settled(self) -> None:
        wake(self._waiter)

    async def _sleep(self) -> None:
        """Return when an attempt is settled, or something is due."""
        waiter = self._waiter = self._runtime.waiter()
        seconds = self._race.due - self._clock.now()
        alarm = None if seconds == NEVER else self._runtime.spawn(self._alarm, waiter, seconds)
        try:
            await waiter.park()
        finally:
            self._waiter = None
            if alarm is not None:
                alarm.cancel()

    async def _alarm(self, waiter: Waiter, seconds: float) -> None:
        await self._clock.sleep(max(0.0, seconds))
        waiter.wake()


async def why_refused(policy: AddressPolicy, address: Address) -> str | None:
    """Ask the user's policy. Raises what it raises, and TypeError for an answer that could be taken either way."""
    reason = policy(address)
    if isawaitable(reason):
        reason = await reason
    if reason is not None and not isinstance(reason, str):
        raise TypeError(f"an address policy returns None, or a text that says why not; not {reason!r}")
    return reason


def refused(address: Address, reason: str) -> AddressRefused:
    """Return the error for an address that the policy is against."""
    place = shown(address)
    host = f"{address.host} has the address {place}, which" if address.host != str(address.ip) else place
    return AddressRefused(
        f"{host} is refused by the address policy: {reason}",
        host=address.host,
        address=str(address.ip),
        reason=reason,
    )


async def connect_unix(path: str | os.PathLike[str], network: Network, runtime: Runtime, clock: Clock) -> socket.socket:
    """Connect to a unix socket; raise `OSError`. While the server's queue is full it is tried again."""
    while True:
        if AF_UNIX is None:
            raise OSError(errno.EAFNOSUPPORT, os.strerror(errno.EAFNOSUPPORT))
        sock = open_socket(AF_UNIX, network)
        code = sock.connect_ex(os.fspath(path))
        if not code:
            return sock
        sock.close()
        if code != errno.EAGAIN:
            _raise_if(code)
        await clock.sleep(UNIX_NAP)
