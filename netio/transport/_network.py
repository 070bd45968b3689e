"""How connections are made: the settings of a session's network."""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from ipaddress import ip_address

from netio.transport._address_policy import AddressPolicy
from netio.transport._dns_contract import Resolver
from netio.transport._dns_rules import HostsOption, Overrides

SocketOption = tuple[int, int, int | bytes]
"""Level, name and value, as `socket.setsockopt` takes them."""

LEAST_DELAY = 0.01  # RFC 8305 section 5: "MUST NOT be less than 10 milliseconds"
_MAX_NAME = 103  # bytes of a path that fit into sockaddr_un on macOS; 107 on Linux


def _check_counts(settings: object, names: tuple[str, ...], *, least: int, most: int) -> None:
    for name in names:
        value = getattr(settings, name)
        is_count = isinstance(value, int) and not isinstance(value, bool) and least <= value <= most
        if not (is_count or (value is None and name.endswith("buffer"))):
            where = f"{type(settings).__name__}.{name}"
            raise ValueError(f"{where} must be a whole number from {least} to {most}, not {value!r}")


def _check_seconds(name: str, value: float | None, *, least: float) -> None:
    if value is None and name != "Network.attempt_delay":
        return
    if isinstance(value, bool) or not isinstance(value, int | float) or not least <= value < float("inf"):
        raise ValueError(f"{name} must be a number of seconds of at least {least:g}, not {value!r}")


@dataclass(frozen=True, kw_only=True, slots=True)
class KeepAlive:
    """TCP keep-alive probes: the first after `idle` seconds, then every `interval`; dead after `probes` unanswered."""

    idle: int = 60  # NAT gateways forget after 5 minutes (AWS: 350 s); Go probes after 15 s, curl after 60
    interval: int = 15
    probes: int = 4

    def __post_init__(self) -> None:
        _check_counts(self, ("idle", "interval", "probes"), least=1, most=32_767)


@dataclass(frozen=True, kw_only=True, slots=True)
class Network:
    """How a session finds addresses and opens connections.

    * `resolver`: looks names up in place of the default one. `hosts`: addresses of names that are not looked up.
    * `address_policy`: is asked before each address is connected to, see `deny_private`.
    * `local_address`: the IP address that connections come from. `unix_socket`: the path of a socket that all of them
      go to instead, whatever the host.
    * `no_delay`: TCP_NODELAY. `keep_alive`: probes on idle connections, None for none.
    * `receive_buffer`, `send_buffer`: bytes; None leaves them to the system, which adapts them.
    * `user_timeout`: seconds that sent data may stay unacknowledged before the connection is given up (Linux).
    * `socket_options`: more of them, as (level, name, value), set last.
    * `attempt_delay`: seconds until the next address is tried beside the one before (RFC 8305), less where there are
      many and `Timeouts.connect` is short. `attempt_timeout`: seconds for one address; None: all that
      `Timeouts.connect` leaves. `max_attempts`: addresses that are tried for one connection.
    """

    resolver: Resolver | None = None
    hosts: HostsOption = field(default_factory=dict)
    address_policy: AddressPolicy | None = None
    local_address: str | None = None
    unix_socket: str | os.PathLike[str] | None = None
    no_delay: bool = True  # as everywhere: requests are written whole
    keep_alive: KeepAlive | None = KeepAlive()
    receive_buffer: int | None = None
    send_buffer: int | None = None
    user_timeout: float | None = None
    socket_options: tuple[SocketOption, ...] = ()
    attempt_delay: float = 0.25  # RFC 8305 section 5 recommends 250 ms; Chrome and Firefox use 300 and 250
    attempt_timeout: float | None = None
    max_attempts: int = 16

    def __post_init__(self) -> None:
        _check_counts(self, ("receive_buffer", "send_buffer"), least=1, most=2**30)
        _check_counts(self, ("max_attempts",), least=1, most=1_000)
        for name in ("attempt_timeout", "user_timeout"):
            _check_seconds(f"Network.{name}", getattr(self, name), least=0.001)
        _check_seconds("Network.attempt_delay", self.attempt_delay, least=LEAST_DELAY)
        if self.address_policy is not None and not callable(self.address_policy):
            raise TypeError(f"Network.address_policy must be callable, not {self.address_policy!r}")
        if not isinstance(self.keep_alive, KeepAlive | None):
            raise TypeError(f"Network.keep_alive must be a KeepAlive or None, not {self.keep_alive!r}")
        Overrides(self.hosts)  # raises ValueError
        self._check_places()
        self._check_options()

    def _check_places(self) -> None:
        if self.local_address is not None:
            try:
                ip_address(self.local_address)
            except ValueError:
                raise ValueError(f"Network.local_address must be an IP address, not {self.local_address!r}") from None
        if self.unix_socket is None:
            return
        if self.local_address is not None or self.address_policy is not None:
            raise ValueError("Network.unix_socket goes with neither local_address nor address_policy")
        path = os.fsencode(self.unix_socket)
        if not path or len(path) > _MAX_NAME:
            raise ValueError(f"Network.unix_socket must be a path of 1 to {_MAX_NAME} bytes, not {self.unix_socket!r}")

    def _check_options(self) -> None:
        object.__setattr__(self, "socket_options", tuple(self.socket_options))
        for option in self.socket_options:
            match option:
                case (int(), int(), int() | bytes()):
                    continue
            raise ValueError(f"Network.socket_options must be (level, name, value) each, not {option!r}")
