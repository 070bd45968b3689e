"""Which addresses may be connected to: the hook, and a ready-made one against server-side request forgery.

A service that fetches URLs of its users must not be led to its own network. To check the URL is not enough, nor is to
resolve its name and check that: the name may have another address a moment later, when it is resolved to connect
(rebinding). So the hook is called by the dialer, for each address, right before the very same address is connected
to: of every candidate of a name, every redirect, every repetition, and of a proxy.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable, Iterator
from functools import lru_cache
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network
from typing import NamedTuple

IPAddress = IPv4Address | IPv6Address
IPNetwork = IPv4Network | IPv6Network


class Address(NamedTuple):
    """Where a connection goes: `ip` and `port` are what is connected to, `host` the name that was asked for."""

    host: str
    ip: IPAddress
    port: int

    @property
    def family(self) -> int:
        """4 or 6."""
        return self.ip.version

    def __str__(self) -> str:
        return str(self.ip)


@lru_cache(maxsize=4_096)
def parse_address(text: str) -> IPAddress:
    """Read an address; raise ValueError. Remembers the last ones."""
    return ip_address(text)


AddressPolicy = Callable[[Address], str | Awaitable[str | None] | None]
"""Returns None if the address may be connected to, or why not. May be async; what it raises fails the request."""

# The IANA registries of special-purpose addresses (RFC 6890), the classes of multicast and of reserved addresses, and
# what clouds answer under public ones. The first network that an address is in gives the reason.
_SPECIAL_4 = [
    (IPv4Network(network), reason)
    for network, reason in (
        ("169.254.169.254/32", "the metadata service of many clouds"),
        ("169.254.170.2/32", "the metadata service of many clouds"),
        ("168.63.129.16/32", "the platform service of Azure"),
        ("100.100.100.200/32", "the metadata service of Alibaba Cloud"),
        ("192.0.0.192/32", "the metadata service of Oracle Cloud"),
        ("0.0.0.0/8", "unspecified: this host (RFC 1122)"),
        ("10.0.0.0/8", "private (RFC 1918)"),
        ("100.64.0.0/10", "shared with a carrier (RFC 6598)"),
        ("127.0.0.0/8", "loopback"),
        ("169.254.0.0/16", "link-local"),
        ("172.16.0.0/12", "private (RFC 1918)"),
        ("192.0.0.0/24", "reserved for protocols (RFC 6890)"),
        ("192.0.2.0/24", "for documentation"),
        ("192.88.99.0/24", "the anycast address of 6to4 (RFC 7526)"),
        ("192.168.0.0/16", "private (RFC 1918)"),
        ("198.18.0.0/15", "for benchmarks (RFC 2544)"),
        ("198.51.100.0/24", "for documentation"),
        ("203.0.113.0/24", "for documentation"),
        ("224.0.0.0/4", "multicast"),
        ("240.0.0.0/4", "reserved, or broadcast"),
    )
]
_SPECIAL_6 = [
    (IPv6Network(network), reason)
    for network, reason in (
        ("fd00:ec2::254/128", "the metadata service of AWS"),
        ("fd20:ce::254/128", "the metadata service of Google Cloud"),
        ("::/128", "unspecified: this host"),
        ("::1/128", "loopback"),
        ("64:ff9b:1::/48", "translated within a network (RFC 8215)"),
        ("100::/64", "discarded (RFC 6666)"),
        ("2001::/23", "reserved for protocols (RFC 2928)"),
        ("2001:db8::/32", "for documentation"),
        ("3fff::/20", "for documentation"),
        ("fc00::/7", "private (RFC 4193)"),
        ("fe80::/10", "link-local"),
        ("fec0::/10", "site-local (RFC 3879)"),
        ("ff00::/8", "multicast"),
    )
]
_GLOBAL_6 = IPv6Network("2000::/3")  # all that IANA has given out (RFC 4291 section 2.4)
_NAT64 = IPv6Network("64:ff9b::/96")  # RFC 6052
_MAPPED = IPv6Network("::ffff:0:0/96")
_COMPATIBLE = IPv6Network("::/96")  # RFC 4291 section 2.5.5.1
_6TO4 = IPv6Network("2002::/16")  # RFC 3056
_TEREDO = IPv6Network("2001::/32")  # RFC 4380
_TRANSLATED = (_MAPPED, _NAT64, _6TO4, _TEREDO)
"""Where the IPv4 address says all."""
_ISATAP = frozenset((0x0000_5EFE, 0x0200_5EFE))  # RFC 5214 section 6.1
_ALL_ONES = 0xFFFF_FFFF


def deny_private(*, allow: Iterable[str | IPNetwork] = ()) -> AddressPolicy:
    """Return a policy that lets connections go to the public Internet only, and to the networks of `allow`.

    Refused are private, shared, link-local, loopback, unspecified, multicast and reserved addresses, and those of
    the metadata services of clouds; and IPv6 addresses that lead to such an IPv4 address: mapped ones, 6to4, NAT64,
    Teredo, ISATAP. Raises ValueError for what is no network.
    """
    allowed = tuple(ip_network(network) for network in ([allow] if isinstance(allow, str) else allow))

    def policy(address: Address) -> str | None:
        return _why_not(address.ip, allowed)

    return policy


def _why_not(ip: IPAddress, allowed: tuple[IPNetwork, ...]) -> str | None:
    if isinstance(ip, IPv6Address):
        ip = IPv6Address(int(ip))  # without its zone
    if any(ip in network for network in allowed if network.version == ip.version):
        return None
    if isinstance(ip, IPv4Address):
        return next((reason for network, reason in _SPECIAL_4 if ip in network), None)
    inner = list(_embedded(ip))
    for each in inner:
        reason = _why_not(each, allowed)
        if reason is not None:
            return f"it leads to {each}, {reason}"
    if inner and any(ip in network for network in _TRANSLATED):
        return None
    reason = next((reason for network, reason in _SPECIAL_6 if ip in network), None)
    return reason or (None if ip in _GLOBAL_6 else "not given out for global use (RFC 4291)")


def _embedded(ip: IPv6Address) -> Iterator[IPv4Address]:
    """Yield the IPv4 addresses that packets to this address may come to."""
    number = int(ip)
    low = number & _ALL_ONES
    if ip in _NAT64 or ip in _MAPPED or (ip in _COMPATIBLE and number > 1):
        yield IPv4Address(low)
    elif ip in _6TO4:
        yield IPv4Address(number >> 80 & _ALL_ONES)
    elif ip in _TEREDO:
        yield IPv4Address(number >> 64 & _ALL_ONES)
        yield IPv4Address(low ^ _ALL_ONES)
    elif number >> 32 & _ALL_ONES in _ISATAP:
        yield IPv4Address(low)
