"""What c-ares says, in netio's words; for both resolvers that go by it. Needs pycares only when called."""

from __future__ import annotations

from collections.abc import Iterable
from ipaddress import ip_address

from netio.errors import ResolveError, ResolveFailure


def failure(host: str, numbers: Iterable[int]) -> ResolveError:
    """Return why there is no address, by the errors for each family: not "missing" if for one that is not known."""
    kind, reason = _reason(min(numbers, key=is_missing, default=0))
    return ResolveError(f"cannot resolve {host}: {reason}", kind=kind)


def is_missing(number: int) -> bool:
    """Return whether an error is knowledge: there is no such name, or no record of the kind."""
    return _reason(number)[0] == "missing"


def _reason(number: int) -> tuple[ResolveFailure, str]:
    from pycares import errno

    if number == errno.ARES_ENOTFOUND:
        return "missing", "there is no such name"
    if number in (0, errno.ARES_ENODATA):
        return "missing", "it has no address"
    if number == errno.ARES_ETIMEOUT:
        return "timeout", "no name server answered in time"
    if number == errno.ARES_ESERVFAIL:
        return "failed", "the name server failed (SERVFAIL)"
    if number == errno.ARES_EREFUSED:
        return "failed", "the name server refused to answer (REFUSED)"
    if number == errno.ARES_ECONNREFUSED:
        return "failed", "no name server can be reached"
    if number in (errno.ARES_ECANCELLED, errno.ARES_EDESTRUCTION):
        return "failed", "the resolver was closed"
    return "failed", str(errno.strerror(number)).lower()


def address_text(address: bytes | str) -> str:
    return str(ip_address(address.decode() if isinstance(address, bytes) else address))
