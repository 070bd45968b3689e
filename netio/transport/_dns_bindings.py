"""HTTPS records: from the parameters of a record to a `ServiceBinding` (RFC 9460)."""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable

from netio.transport._dns_contract import ServiceBinding

# RFC 9460 section 14.3.2
_MANDATORY, _ALPN, _NO_DEFAULT_ALPN, _PORT, _IPV4_HINT, _IPV6_HINT = 0, 1, 2, 3, 4, 6
_UNDERSTOOD = {_MANDATORY, _ALPN, _NO_DEFAULT_ALPN, _PORT, _IPV4_HINT, _IPV6_HINT}


def read_binding(
    owner: str, priority: int, target: str, parameters: Iterable[tuple[int, bytes]]
) -> ServiceBinding | None:
    """Return what a record says; None if it is to be ignored.

    That is an alias (priority 0), a record that is broken, and one that demands what netio does not know, such as
    Encrypted Client Hello (sections 2.4.2, 2.2 and 8).
    """
    if priority == 0:
        return None
    values = dict(parameters)
    try:
        if not _UNDERSTOOD.issuperset(_numbers(values.get(_MANDATORY, b""))):
            return None
        return ServiceBinding(
            priority=priority,
            target=target.rstrip(".") or owner.rstrip("."),
            alpn=tuple(_words(values.get(_ALPN, b""))),
            no_default_alpn=_NO_DEFAULT_ALPN in values,
            port=_port(values[_PORT]) if _PORT in values else None,
            ipv4_hints=tuple(_addresses(values.get(_IPV4_HINT, b""), 4)),
            ipv6_hints=tuple(_addresses(values.get(_IPV6_HINT, b""), 16)),
        )
    except ValueError:
        return None


def _numbers(value: bytes) -> list[int]:
    if len(value) % 2:
        raise ValueError("half a number")
    return [int.from_bytes(value[at : at + 2], "big") for at in range(0, len(value), 2)]


def _port(value: bytes) -> int:
    (port,) = _numbers(value)
    if port == 0:
        raise ValueError("port 0 cannot be connected to")
    return port


def _words(value: bytes) -> list[str]:
    """Read protocol names, each after its length. Names are bytes; those of protocols in use are ASCII."""
    found: list[str] = []
    while value:
        size = value[0]
        if not 0 < size < len(value):
            raise ValueError("a protocol name that is empty or cut off")
        found.append(value[1 : 1 + size].decode("latin-1"))
        value = value[1 + size :]
    return found


def _addresses(value: bytes, size: int) -> list[str]:
    if len(value) % size:
        raise ValueError("part of an address")
    return [str(ipaddress.ip_address(value[at : at + size])) for at in range(0, len(value), size)]
