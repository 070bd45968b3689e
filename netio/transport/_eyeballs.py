"""Happy Eyeballs, version 2 (RFC 8305): which address of a name is tried when. Told the time and what has happened.

1. The resolver has sorted the addresses by RFC 6724, or c-ares and the system have; their order is kept within each
   family (section 4 of RFC 8305).
2. The address that won the last time comes first: it works, and its server may know our TLS session.
3. The families take turns, beginning with that of the first address: if one of them leads nowhere, the second attempt
   already goes by the other one.
4. Each attempt has a head start of `delay` seconds before the next, which begins at once if one fails. Attempts go on
   side by side; the first one to connect ends the others (section 5).
5. The delay is shorter where the time that there is would not be enough for all addresses.

An address is not to blame for what this machine lacks (descriptors, memory, ports): then no other one is tried either.
"""

from __future__ import annotations

import errno
from collections import OrderedDict, deque
from collections.abc import Iterable, Sequence
from typing import NamedTuple

from netio.deadline import NEVER
from netio.errors import TriedAddress
from netio.transport._address_policy import Address
from netio.transport._network import LEAST_DELAY

REMEMBERED_WINNERS = 1_024

OUR_LACK = frozenset((errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM))
"""What fails for want of something here, and would fail with any other address too (HAZARDS POOL-08)."""


class Failure(NamedTuple):
    address: Address
    error: Exception
    words: str
    seconds: float


def in_turn(addresses: Iterable[Address], *, first: Address | None, limit: int) -> list[Address]:
    """Return the addresses in the order in which they are to be tried, each once and at most `limit` of them."""
    families: dict[int, deque[Address]] = {}
    distinct = dict.fromkeys(addresses)
    if first is not None and first in distinct:
        del distinct[first]
        families[first.family] = deque([first])
    for address in distinct:
        families.setdefault(address.family, deque()).append(address)
    ordered: list[Address] = []
    while families and len(ordered) < limit:
        for family in list(families):
            ordered.append(families[family].popleft())
            if not families[family]:
                del families[family]
    return ordered[:limit]


class Race:
    """The attempts to reach one of several addresses before `deadline`, which whoever asked for it sees to."""

    def __init__(
        self,
        addresses: Sequence[Address],
        now: float,
        *,
        deadline: float = NEVER,
        delay: float,
        attempt_timeout: float | None = None,
    ) -> None:
        self._pending = deque(addresses)
        self._running: dict[Address, float] = {}
        self._timeout = NEVER if attempt_timeout is None else attempt_timeout
        self._deadline = deadline
        self._delay = max(LEAST_DELAY, min(delay, (deadline - now) / (len(addresses) + 1)))
        self._next_at = now
        self._has_ports = len({address.port for address in addresses}) > 1
        self.failures: list[Failure] = []

    @property
    def is_lost(self) -> bool:
        """Whether nothing is left to be tried or waited for."""
        return not self._pending and not self._running

    @property
    def due(self) -> float:
        """When the next attempt begins, or one has taken too long, if nothing happens before."""
        begins = self._next_at if self._pending else NEVER
        ends = min(self._running.values(), default=NEVER) + self._timeout
        return min(begins, NEVER if ends >= self._deadline else ends)

    def begin(self, now: float) -> Address | None:
        """Return the address that an attempt has to begin with now, None if none has to yet."""
        if not self._pending or now < self._next_at:
            return None
        address = self._pending.popleft()
        self._running[address] = now
        self._next_at = now + self._delay
        return address

    def failed(self, address: Address, error: Exception, words: str, now: float) -> None:
        """Note that an attempt has come to nothing: the next one need not wait."""
        began = self._running.pop(address)
        self.failures.append(Failure(address, error, words, now - began))
        if isinstance(error, OSError) and error.errno in OUR_LACK:
            self._pending.clear()
        self._next_at = now

    def overdue(self, now: float) -> list[Address]:
        """Return the addresses that have not answered in time."""
        return [address for address, began in self._running.items() if now >= began + self._timeout]

    def tried(self, now: float) -> tuple[TriedAddress, ...]:
        """Return what has come of each attempt until now."""
        fates = [(address, words, seconds) for address, _, words, seconds in self.failures]
        fates += [(address, "no answer", now - began) for address, began in self._running.items()]
        return tuple(TriedAddress(self._name(address), words, seconds) for address, words, seconds in fates)

    def _name(self, address: Address) -> str:
        return f"{shown(address)}:{address.port}" if self._has_ports else shown(address)


class Winners:
    """Which address of a host was connected to last, of the last `size` hosts."""

    def __init__(self, size: int = REMEMBERED_WINNERS) -> None:
        self._size = size
        self._known: OrderedDict[tuple[str, int], Address] = OrderedDict()

    def __len__(self) -> int:
        return len(self._known)

    def get(self, host: str, port: int) -> Address | None:
        return self._known.get((host, port))

    def won(self, host: str, port: int, address: Address) -> None:
        self._known[host, port] = address
        self._known.move_to_end((host, port))
        if len(self._known) > self._size:
            self._known.popitem(last=False)

    def failed(self, host: str, port: int, address: Address) -> None:
        """Forget the address if it is the one that is remembered."""
        if self._known.get((host, port)) == address:
            del self._known[host, port]


def shown(address: Address) -> str:
    """Write an address as in a URL."""
    return f"[{address.ip}]" if address.family == 6 else str(address.ip)


def sentence(tried: Sequence[TriedAddress], untried: int = 0) -> str:
    """Say in one line what has come of each address, those with the same fate together."""
    fates: dict[str, list[str]] = {}
    for each in tried:
        fates.setdefault(each.error, []).append(each.address)
    parts = [f"{', '.join(addresses)}: {error}" for error, addresses in fates.items()]
    if untried:
        parts.append(f"{untried} more were not tried (Network.max_attempts)")
    return "; ".join(parts)
