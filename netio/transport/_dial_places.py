"""Where a host is served: the addresses of its name, and what its HTTPS records (RFC 9460) say about ports.

The records are hints: whatever they say, certificate and Host field are those of the origin, and the addresses of the
name itself are tried after those of the records. A record none of whose protocols netio is to speak is left out.
"""

from __future__ import annotations

from collections.abc import Iterable

from netio.transport._address_policy import Address, parse_address
from netio.transport._dns_contract import Answer, ServiceBinding
from netio.transport._eyeballs import in_turn
from netio.url import Origin

Places = dict[Address, tuple[str, ...]]
"""Addresses in order, and which protocols are offered there; none means the usual ones."""

MAX_BINDINGS = 4
HTTPS_PORT = 443


def fitting(bindings: Iterable[ServiceBinding], origin: Origin, alpn: tuple[str, ...]) -> list[ServiceBinding]:
    """Return the records that count for an origin, the best first."""
    if not origin.is_tls or origin.port != HTTPS_PORT:
        return []
    return [binding for binding in bindings if _spoken(binding, alpn)][:MAX_BINDINGS]


def places_of(
    origin: Origin, answer: Answer, alpn: tuple[str, ...] = (), *, binding: ServiceBinding | None = None
) -> Places:
    """Return the addresses of an answer as places where an origin is served, as the record has it."""
    host, port, spoken = origin.host, origin.port, alpn
    if binding is not None:
        spoken = _spoken(binding, alpn)
        port = binding.port or port
        if binding.target.lower() != host.rstrip(".").lower():
            host = binding.target
    return {Address(host, parse_address(address), port): spoken for address in answer.addresses}


def _spoken(binding: ServiceBinding, alpn: tuple[str, ...]) -> tuple[str, ...]:
    """Return which of our protocols a record offers; "http/1.1" it does unless it says otherwise (section 7.1.2)."""
    offered = {*binding.alpn, *(() if binding.no_default_alpn else ("http/1.1",))}
    return tuple(protocol for protocol in alpn if protocol in offered)


def in_order(origin: Origin, answer: Answer) -> list[str]:
    """Return the addresses of an answer in the order in which they would be tried the first time."""
    return [str(address.ip) for address in in_turn(places_of(origin, answer), first=None, limit=len(answer.addresses))]
