"""What a resolver is asked, and what it answers."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol, runtime_checkable


@dataclass(frozen=True, slots=True, kw_only=True)
class ServiceBinding:
    """One HTTPS record in service mode (RFC 9460): where, and by which protocols, an https origin is served.

    It is about port 443 of the name that was asked for: records for other ports stand under other names
    (RFC 9460 section 9.1), which netio does not ask for. `target` is a name; "." was replaced by the owner's. Hints
    are addresses of the target that may be tried before its own records are there; `port` None means 443.
    """

    priority: int
    target: str
    alpn: tuple[str, ...] = ()
    no_default_alpn: bool = False
    port: int | None = None
    ipv4_hints: tuple[str, ...] = ()
    ipv6_hints: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Answer:
    """The addresses of a name, IPv6 and IPv4 in the order of the resolver.

    * `ttl`: for how many seconds they hold, the shortest of all records; None if the resolver does not say.
    * `bindings`: HTTPS records, the best (of the lowest priority) first. Aliases are left out: the addresses of the
      name itself serve those who do not follow them (RFC 9460 section 2.4.2).
    * `is_complete`: False if one address family or the HTTPS records could not be had, so that what is missing here
      may exist all the same.
    """

    addresses: tuple[str, ...]
    ttl: float | None = None
    bindings: tuple[ServiceBinding, ...] = ()
    is_complete: bool = True


class Resolver(Protocol):
    """Looks names up. May serve several sessions, also on several event loops unless it says otherwise."""

    async def resolve(self, host: str) -> Answer:
        """Look a name up, a trailing dot means that it is absolute.

        Raises `ResolveError`. Its `kind` is "missing" if the name is known not to exist or to have no address; that
        is remembered for some seconds. All else is not, and what was known before stays in use for a while.
        """
        ...

    async def aclose(self) -> None:
        """End what is under way, and free what the resolver holds."""
        ...


@runtime_checkable
class EarlyResolver(Resolver, Protocol):
    """A resolver that can tell what it knows before it knows all (RFC 8305 section 3)."""

    async def resolve_early(self, host: str, early: Callable[[Answer], None]) -> Answer:
        """Like `resolve`; calls `early` with what is there when the rest keeps everybody waiting, once at most."""
        ...
