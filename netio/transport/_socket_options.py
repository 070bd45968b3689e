"""What is set on a socket before it connects.

Buffers have to be set before: the window scale of a connection is settled in its first packet (RFC 7323). The names of
the options are those of Linux, macOS and Windows; one that a system does not have is left out there.
"""

from __future__ import annotations

import socket
import sys
from collections.abc import Iterator

from netio.transport._network import Network, SocketOption

_KEEP_IDLE = ("TCP_KEEPIDLE", "TCP_KEEPALIVE")  # the second one is what macOS calls it
_KEEP_INTERVAL = ("TCP_KEEPINTVL",)
_KEEP_COUNT = ("TCP_KEEPCNT",)
_USER_TIMEOUT = ("TCP_USER_TIMEOUT",)

AF_UNIX: int | None = getattr(socket, "AF_UNIX", None)  # not on Windows

# Not in the socket module before Python 3.13. With it a local address does not take up one of its ports for each
# connection, but only for each that goes to the same place.
_BIND_ADDRESS_NO_PORT: int | None = getattr(socket, "IP_BIND_ADDRESS_NO_PORT", 24 if sys.platform == "linux" else None)


def options_of(network: Network, family: int) -> tuple[SocketOption, ...]:
    """Return the options for a socket of a family, in the order in which they are to be set."""
    return (*_common(network), *(() if family == AF_UNIX else _of_tcp(network)), *network.socket_options)


def _common(network: Network) -> Iterator[SocketOption]:
    if network.receive_buffer is not None:
        yield socket.SOL_SOCKET, socket.SO_RCVBUF, network.receive_buffer
    if network.send_buffer is not None:
        yield socket.SOL_SOCKET, socket.SO_SNDBUF, network.send_buffer


def _of_tcp(network: Network) -> Iterator[SocketOption]:
    if network.no_delay:
        yield socket.IPPROTO_TCP, socket.TCP_NODELAY, 1
    if network.keep_alive is not None:
        yield socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1
        yield from _named(_KEEP_IDLE, network.keep_alive.idle)
        yield from _named(_KEEP_INTERVAL, network.keep_alive.interval)
        yield from _named(_KEEP_COUNT, network.keep_alive.probes)
    if network.user_timeout is not None:
        yield from _named(_USER_TIMEOUT, round(network.user_timeout * 1000))


def _named(names: tuple[str, ...], value: int) -> Iterator[SocketOption]:
    for name in names:
        number = getattr(socket, name, None)
        if number is not None:
            yield socket.IPPROTO_TCP, number, value
            return


def set_options(sock: socket.socket, options: tuple[SocketOption, ...]) -> None:
    """Set them all. Raises `OSError` that says which one the system refused."""
    for option in options:
        try:
            sock.setsockopt(*option)
        except OSError as error:
            raise OSError(error.errno, f"the socket option {option} was refused: {error.strerror}") from error


def bind_to(sock: socket.socket, local_address: str) -> None:
    """Let the socket connect from an address of this machine, whatever port is free by then."""
    if _BIND_ADDRESS_NO_PORT is not None:
        try:
            sock.setsockopt(socket.IPPROTO_IP, _BIND_ADDRESS_NO_PORT, 1)
        except OSError:  # an old kernel, or a sandbox: it only saves ports
            pass
    sock.bind((local_address, 0))
