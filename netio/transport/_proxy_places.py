"""Which origins a rule about proxies means: the keys of a mapping, and the entries of NO_PROXY.

Both become `Place`s, so there is one way to match. Where curl, Go and Python disagree about NO_PROXY, it is Go's rules
(golang.org/x/net/http/httpproxy), which are written down: "example.com" is the host and all its subdomains,
".example.com" and "*.example.com" only the subdomains. A host that is an address is never matched as a name: an IPv6
zone may look like the end of one (CVE-2025-22870).
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network

import idna

from netio.errors import InvalidURL
from netio.url import URL, Origin

Address = IPv4Address | IPv6Address
Network = IPv4Network | IPv6Network

_KEY = re.compile(r"(all|http|https)://(\*\.?)?([^/?#@]*)/?").fullmatch
_PORT = re.compile(r"(.*?|\[.*\]):([0-9]{1,5})").fullmatch
_SEPARATOR = re.compile(r"[,\s]+")


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """A set of origins; what is left out may be anything."""

    scheme: str = ""
    port: int = 0
    network: Network | None = None
    name: str = ""
    has_itself: bool = True
    has_subdomains: bool = False

    def has(self, origin: Origin, host: str, address: Address | None) -> bool:
        """Whether an origin is one of them; `host` and `address` are those of `host_of`."""
        if (self.scheme and self.scheme != origin.scheme) or (self.port and self.port != origin.port):
            return False
        if self.network is not None:
            return address is not None and address in self.network
        if not self.name:
            return True
        if address is not None or ":" in host:
            return False
        return (self.has_itself and host == self.name) or (self.has_subdomains and host.endswith("." + self.name))

    @property
    def rank(self) -> tuple[bool, int, int, bool]:
        """Whose place is the more special one: it has the higher rank."""
        if self.network is not None:
            how_exact = 2
        else:
            how_exact = 0 if not self.name else 1 if self.has_subdomains else 2
        return bool(self.port), how_exact, len(self.name), bool(self.scheme)


def host_of(origin: Origin) -> tuple[str, Address | None]:
    """Return the host as it is compared, and the address that it is, if it is one."""
    host = origin.host.lower().rstrip(".")
    return host, _address(host)


def _address(text: str) -> Address | None:
    try:
        address = ip_address(text)
    except ValueError:
        return None
    if isinstance(address, IPv6Address):
        return address.ipv4_mapped or address
    return address


def place_of_key(key: str) -> Place:
    """Read a key of a mapping of proxies: "all://", "http://", "https://host", "all://*.internal.test:8080".

    "*.host" are the subdomains, "*host" the host as well. Raises `ValueError`.
    """
    found = _KEY(key) if isinstance(key, str) else None
    if not found or (found[2] and not found[3]):
        raise ValueError(
            f"{key!r} does not say what a proxy is for: it takes http://, https:// or all://, and after that a host, "
            "*.host for its subdomains, and a port"
        )
    scheme = "" if found[1] == "all" else found[1]
    star, rest = found[2] or "", found[3]
    host, port = _split(rest)
    if not host:
        return Place(scheme=scheme, port=port)
    if star and _address(host.strip("[]")):
        raise ValueError(f"{key!r}: an address has no subdomains")
    try:
        name = URL(f"http://{host}").host
    except InvalidURL as error:
        raise ValueError(f"{key!r} has no possible host: {error}") from error
    address = _address(name)
    if address is not None:
        return Place(scheme=scheme, port=port, network=ip_network(address))
    name = name.rstrip(".")
    return Place(scheme=scheme, port=port, name=name, has_itself=star != "*.", has_subdomains=bool(star))


def _split(place: str) -> tuple[str, int]:
    """Split host and port; an IPv6 address is in brackets then."""
    found = _PORT(place)
    if not found or (":" in found[1] and not found[1].startswith("[")):
        return place, 0
    return found[1], int(found[2])


def places_of_no_proxy(text: str) -> Iterator[Place]:
    """Read the entries of NO_PROXY, which are set apart by commas or blanks. What cannot be read means nothing."""
    for entry in _SEPARATOR.split(text.strip().lower()):
        if entry == "*":
            yield Place()
        elif entry:
            yield from _places_of(entry)


def _places_of(entry: str) -> Iterator[Place]:
    if "/" in entry:
        try:
            yield Place(network=_unmapped(ip_network(entry.replace("[", "").replace("]", ""), strict=False)))
        except ValueError:
            return
        return
    host, port = _split(entry)
    address = _address(host.strip("[]"))
    if address is not None:
        yield Place(network=ip_network(address), port=port)
        return
    name = host.removeprefix("*").removeprefix(".").rstrip(".")
    if not name.isascii():
        try:
            name = idna.encode(name, uts46=True).decode()
        except idna.IDNAError:
            return
    if name and not set(name) & set("*:[]"):
        yield Place(name=name, port=port, has_itself=not host.startswith((".", "*.")), has_subdomains=True)


def _unmapped(network: Network) -> Network:
    """Addresses are compared without the mapping of IPv4 into IPv6: so a network of mapped ones is taken apart too."""
    if isinstance(network, IPv6Network) and network.prefixlen >= 96 and network.network_address.ipv4_mapped:
        return IPv4Network((network.network_address.ipv4_mapped, network.prefixlen - 96))
    return network
