"""What the ledger writes about: tickets, members, shelves. Plain records; the rules are in _ledger.py."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from typing import Generic, Protocol, TypeVar

from netio.url import Origin


class Placed(Protocol):
    """A connection, as the ledger sees it."""

    capacity: int
    is_provisional: bool


C = TypeVar("C", bound=Placed)


class Ticket(Generic[C]):
    """A request in the queue. Served once: with a connection, a place on which is then its own, or with an error."""

    __slots__ = ("connect_seconds", "connection", "error", "origin", "wake")

    def __init__(self, origin: Origin, wake: Callable[[], None], connect_seconds: float | None = None) -> None:
        self.origin = origin
        self.wake = wake
        self.connect_seconds = connect_seconds
        self.connection: C | None = None
        self.error: Exception | None = None


class Member(Generic[C]):
    __slots__ = ("connection", "expires", "idle_since", "is_retiring", "shelf", "used", "why")

    def __init__(self, connection: C, shelf: Shelf[C], expires: float) -> None:
        self.connection = connection
        self.shelf = shelf
        self.expires = expires
        self.used = 0
        self.is_retiring = False
        self.why = "retired"
        self.idle_since: float | None = None

    def retire(self, why: str) -> None:
        """Take no new requests from now on."""
        self.is_retiring = True
        self.why = why

    @property
    def places(self) -> int:
        return 0 if self.is_retiring else self.connection.capacity


class Shelf(Generic[C]):
    __slots__ = ("dialing", "free", "multiplexes", "origin", "provisional", "slots", "waiters")

    def __init__(self, origin: Origin, multiplexes: bool | None) -> None:
        self.origin = origin
        self.multiplexes = multiplexes
        self.slots = 0  # members and dials
        self.dialing = 0
        self.provisional: set[Member[C]] = set()  # how many places they will have is not known yet
        self.free: OrderedDict[Member[C], None] = OrderedDict()  # members with a free place; the last used is last
        self.waiters: OrderedDict[Ticket[C], None] = OrderedDict()

    @property
    def wants_dial(self) -> bool:
        if self.multiplexes is False:
            return len(self.waiters) > self.dialing
        return bool(self.waiters) and not self.dialing and not self.provisional


class Memory:
    """What was learnt of each origin, of the last ones; so many are kept."""

    __slots__ = ("_known", "_size")

    def __init__(self, size: int) -> None:
        self._size = size
        self._known: OrderedDict[Origin, bool] = OrderedDict()

    def __len__(self) -> int:
        return len(self._known)

    def get(self, origin: Origin) -> bool | None:
        return self._known.get(origin)

    def put(self, origin: Origin, value: bool) -> None:
        self._known[origin] = value
        self._known.move_to_end(origin)
        if len(self._known) > self._size:
            self._known.popitem(last=False)


@dataclass(frozen=True, kw_only=True, slots=True)
class PoolStats:
    """How a pool stands: connections open now by what they do, and totals since it was made."""

    active: int
    idle: int
    dialing: int
    queued: int
    created: int
    dial_failures: int

    def __str__(self) -> str:
        return (
            f"connections: {self.active} active, {self.idle} idle, {self.dialing} being opened; "
            f"{self.created} created, {self.dial_failures} failed to open; {self.queued} requests queued"
        )
