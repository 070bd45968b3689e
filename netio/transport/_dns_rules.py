"""What is decided about a host before any resolver is asked: addresses, localhost, overrides, and impossible names.

An IPv4 address is four decimal numbers. Other forms (`0x7f.1`, `127.1`, `2130706433`) are addresses to the C library
and to browsers (WHATWG URL, "ends in a number"), and names to DNS, whose top level has no such names. Two readers would
see two hosts in one text, so netio refuses them (HAZARDS DNS-06).
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Iterable, Mapping, Sequence

import idna

from netio.errors import ResolveError
from netio.transport._dns_contract import Answer

MAX_NAME = 253  # characters of the longest name of 255 octets (RFC 1035 section 2.3.4), without the root's dot
MAX_LABEL = 63

# The order of curl, and of RFC 6724.
LOOPBACK = Answer(("::1", "127.0.0.1"))

_ENDS_IN_NUMBER = re.compile(r"(?:.*\.)?(?:[0-9]+|0[xX][0-9A-Fa-f]*)").fullmatch
_CHARACTERS = re.compile(r"[A-Za-z0-9_.~-]*").fullmatch  # what netio.url lets through
_SHOWN = 64

HostsOption = Mapping[str, str | Sequence[str]]
"""Addresses of names that no resolver is to be asked for: by "name", or by "name:port" for one port only."""


def is_address(host: str) -> bool:
    """Return whether a host is an IPv4 or IPv6 address."""
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return False
    return True


def is_localhost(host: str) -> bool:
    """Return whether a host is `localhost` or below it, which never leaves the machine (RFC 6761 section 6.3)."""
    name = host.removesuffix(".").lower()
    return name == "localhost" or name.endswith(".localhost")


def check_name(host: str) -> None:
    """Raise `ResolveError` of the kind "invalid" for what cannot be a name: before any question is sent."""
    name = host.removesuffix(".")
    if len(name) > MAX_NAME:
        raise _invalid(host, f"it is {len(name)} characters long, more than {MAX_NAME}")
    if not _CHARACTERS(name):
        raise _invalid(host, "it has characters that host names do not have (non-ASCII names come as A-labels)")
    labels = name.split(".")
    if not all(labels):
        raise _invalid(host, "it has an empty label")
    if max(map(len, labels)) > MAX_LABEL:
        raise _invalid(host, f"it has a label of more than {MAX_LABEL} characters")
    if _ENDS_IN_NUMBER(name):
        raise _invalid(host, "it ends in a number and is no IPv4 address, which has four decimal ones")


def _invalid(host: str, reason: str) -> ResolveError:
    shown = host if len(host) <= _SHOWN else host[:_SHOWN] + "..."
    return ResolveError(f"cannot resolve {ascii(shown)[1:-1]}: {reason}", kind="invalid")


class Overrides:
    """Names with addresses that the user has set, as with curl's `--resolve`."""

    def __init__(self, hosts: HostsOption) -> None:
        self._answers: dict[str, Answer] = {}
        for place, addresses in hosts.items():
            self._answers[_key(place)] = Answer(tuple(_addresses(place, addresses)))

    def __len__(self) -> int:
        return len(self._answers)

    def find(self, host: str, port: int | None) -> Answer | None:
        """Return what was set for the host and port, or else for the host."""
        name = host.removesuffix(".").lower()
        found = self._answers.get(f"{name}:{port}")
        return self._answers.get(name) if found is None else found


def _key(place: str) -> str:
    name, colon, port = place.partition(":")
    if is_address(place) or is_address(name):
        raise ValueError(f"hosts: {place!r} is an address; only names are looked up")
    if colon and not (port.isascii() and port.isdigit() and 0 < int(port) < 65_536):
        raise ValueError(f"hosts: {place!r} is neither a name nor name:port")
    name = name.removesuffix(".").lower()
    try:
        if not name.isascii():
            name = idna.encode(name, uts46=True).decode()
        check_name(name)
    except (idna.IDNAError, ResolveError) as error:
        raise ValueError(f"hosts: {place!r} is not a host name: {error}") from error
    return f"{name}:{int(port)}" if colon else name


def _addresses(place: str, addresses: str | Iterable[str]) -> list[str]:
    listed = [addresses] if isinstance(addresses, str) else list(addresses)
    if not listed:
        raise ValueError(f"hosts: {place!r} has no address")
    for address in listed:
        if not isinstance(address, str) or not is_address(address):
            raise ValueError(f"hosts: {address!r}, for {place!r}, is not an IP address")
    return listed
