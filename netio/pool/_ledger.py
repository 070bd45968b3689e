"""Who may use which connection: pure bookkeeping, synchronous, told the time.

Nothing here awaits, and nothing here opens or closes anything: `dial` and `close` are given at construction and only
note what is to be done. So every operation leaves the books balanced, and a task that is cancelled anywhere finds them
so. In the words of the books:

    member    a live connection; it has `places` (1 for HTTP/1.1, the peer's stream limit for HTTP/2), some of them used
    shelf     all of one origin: members, dials under way, waiters in the order of their arrival
    ticket    a request that waits: it is served a connection or an error, or leaves
    slot      a connection or a dial; slots are limited in total and per origin

Invariants (tests/pool/test_ledger_machine.py checks them after every step):
 1. a slot is counted from the moment a dial is asked for until its connection is dropped or the dial has failed;
 2. a member with a free place means no waiter on its shelf; an idle member means that no shelf without a slot needs
    one, and that one which has some is given its slot as soon as it was idle for LULL_SECONDS;
 3. a free slot means that no shelf below its own limit needs a dial;
 4. while it is unknown whether an origin multiplexes, or known that it does, one dial serves all who wait; for the
    others a dial is under way for each waiter, as far as there are slots; a connection whose places are not known yet
    (HTTP/2 before SETTINGS) counts like a dial;
 5. what was served to a waiter that has died is passed on.

Waiters of one origin are served in the order of their arrival. Between origins the slots are shared: whoever has none
comes first, then the others in turn, and a connection in use changes hands (it is closed, for an origin that needs a
slot) only if that makes the shares more equal. By strict order of arrival two busy origins at the limit would close
each other's connections at every request. A new connection serves first and is judged then, or two origins without one
would take turns at dialing and never send anything. Every operation costs O(1), amortised; only `expire`, at a tick of
the timer, looks at all members.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable
from random import random
from typing import Generic

from netio.deadline import NEVER
from netio.errors import QueueFull
from netio.pool._books import C, Member, Memory, PoolStats, Shelf, Ticket
from netio.pool._limits import Limits
from netio.url import Origin

REMEMBERED_ORIGINS = 10_000  # of so many it is known whether they multiplex

SURPLUS_SECONDS = 1.0  # idle connections above `Limits.idle` are kept so long, or every lull would close some
LULL_SECONDS = 0.1  # so long an idle connection counts as in use: who sends requests one by one is to find it again


class Ledger(Generic[C]):
    """See the module's docstring.

    `dial(origin, ticket)` is to end in `dialed` or `dial_failed`; `close(connection, why)` closes one that nobody uses.
    `multiplexes(origin)` says what is known in advance: True, False, or None.
    """

    def __init__(
        self,
        limits: Limits,
        *,
        dial: Callable[[Origin, Ticket[C]], None],
        close: Callable[[C, str], None],
        multiplexes: Callable[[Origin], bool | None] = lambda origin: None,
        random: Callable[[], float] = random,
    ) -> None:
        self._limits, self._random = limits, random
        self._dial, self._close, self._multiplexes = dial, close, multiplexes
        self._shelves: dict[Origin, Shelf[C]] = {}
        self._members: dict[C, Member[C]] = {}
        self._idle: OrderedDict[Member[C], None] = OrderedDict()  # the longest idle first
        self._starved: OrderedDict[Shelf[C], None] = OrderedDict()  # need a slot and have none
        self._hungry: OrderedDict[Shelf[C], None] = OrderedDict()  # need one more
        self._remembered = Memory(REMEMBERED_ORIGINS)
        self._running_dry: Member[C] | None = None  # takes no new streams, so that its slot becomes free
        self._now = 0.0  # at the last `expire`
        self._slots = 0
        self._dialing = 0
        self._waiting = 0
        self._created = 0
        self._dial_failures = 0

    def __len__(self) -> int:
        return self._slots

    def stats(self) -> PoolStats:
        now = {"idle": len(self._idle), "dialing": self._dialing, "queued": self._waiting, "created": self._created}
        return PoolStats(active=len(self._members) - len(self._idle), dial_failures=self._dial_failures, **now)

    def living(self) -> list[tuple[C, bool]]:
        """Return all connections, and whether each is idle."""
        return [(connection, member in self._idle) for connection, member in list(self._members.items())]

    # ------------------------------------------------------------------ what requests do

    def take(self, origin: Origin) -> C | None:
        """Take a place on the connection that was used last, None if there is none: then `enqueue`."""
        shelf = self._shelves.get(origin)
        if shelf is None or not shelf.free:
            return None
        member = next(reversed(shelf.free))
        connection = member.connection
        if not member.used:
            del self._idle[member]
            member.idle_since = None
        member.used += 1
        if member.used >= connection.capacity:
            del shelf.free[member]
        return connection

    def enqueue(self, ticket: Ticket[C]) -> bool:
        """Queue a request; return whether that needs one more connection than the limits allow. Raises `QueueFull`."""
        if self._waiting >= self._limits.queued:
            raise QueueFull(f"{self._waiting} requests wait for a connection already (Limits.queued)")
        shelf = self._shelf(ticket.origin)
        shelf.waiters[ticket] = None
        self._waiting += 1
        self._settle(shelf)
        return shelf.wants_dial

    def leave(self, ticket: Ticket[C]) -> None:
        """The request gave up waiting, maybe after it was served: then somebody else gets what it got."""
        connection, ticket.connection = ticket.connection, None
        if connection is not None:
            self.give(connection)
            return
        shelf = self._shelves.get(ticket.origin)
        if shelf is not None and ticket in shelf.waiters:
            del shelf.waiters[ticket]
            self._waiting -= 1
            self._settle(shelf)

    def is_being_dialed(self, ticket: Ticket[C]) -> bool:
        """Whether a dial is under way that is meant for this ticket. Costs as much as there are such dials."""
        shelf = self._shelves.get(ticket.origin)
        if shelf is None or not (shelf.dialing or shelf.provisional):
            return False
        if shelf.multiplexes is not False:
            return True
        return any(waiter is ticket for waiter, _ in zip(shelf.waiters, range(shelf.dialing), strict=False))

    # ------------------------------------------------------------------ what connections do

    def give(self, connection: C) -> None:
        """A place on a connection is free again; its capacity says whether it can be used again."""
        member = self._members.get(connection)
        if member is None:
            return
        used = member.used = member.used - 1
        shelf = member.shelf
        if used >= connection.capacity or member.is_retiring or shelf.waiters or self._starved or self._hungry:
            self._place(member)
        else:  # what `_place` comes to where nobody waits anywhere: the way of nearly every request
            shelf.free[member] = None
            shelf.free.move_to_end(member)
            if not used:
                self._idle[member] = None

    def changed(self, connection: C) -> None:
        """The capacity of a connection has changed."""
        member = self._members.get(connection)
        if member is not None:
            shelf = member.shelf
            if member in shelf.provisional and not connection.is_provisional:
                shelf.provisional.discard(member)
            self._place(member)
            self._settle(shelf)

    def drop(self, connection: C, why: str = "retired") -> None:
        """Close a connection and free its slot. Does nothing if that has happened before."""
        member = self._members.get(connection)
        if member is not None:
            self._remove(member, why)
            self._share_slots()
            self._settle(member.shelf)

    def moved(self, connection: C) -> None:
        """The address of a connection is not its host's any more: it takes no new requests, and is closed when idle."""
        member = self._members.get(connection)
        if member is not None and not member.is_retiring:
            member.retire("moved")
            self._place(member)
            self._settle(member.shelf)

    def drop_idle(self, origin: Origin) -> None:
        """Close the idle connections of an origin: one of them was found dead, the others are of its age."""
        shelf = self._shelves.get(origin)
        if shelf is not None:
            for member in [member for member in shelf.free if not member.used]:
                self.drop(member.connection, "suspect")

    # ------------------------------------------------------------------ what dials do

    def dialed(self, origin: Origin, connection: C, *, multiplexes: bool, now: float) -> None:
        """A dial has become a connection, whether or not anybody still waits for it."""
        shelf = self._end_dial(origin)
        shelf.multiplexes = multiplexes
        self._remembered.put(origin, multiplexes)
        self._created += 1
        age = self._limits.connection_age  # those opened together must not end together: a tenth of it is drawn
        expires = NEVER if age is None else now + age * (1 - 0.1 * self._random())
        member = self._members[connection] = Member(connection, shelf, expires)
        if connection.is_provisional:
            shelf.provisional.add(member)
        self._serve(member)
        self._place(member)
        self._settle(shelf)

    def multiplexes_not(self, origin: Origin) -> None:
        """From now on connections to this origin carry one request at a time."""
        self._remembered.put(origin, False)
        shelf = self._shelves.get(origin)
        if shelf is not None:
            shelf.multiplexes = False
            self._settle(shelf)

    def dial_failed(self, origin: Origin, error: Exception) -> None:
        """A dial has failed, and with it those that it was for, unless another dial is under way for them."""
        shelf = self._end_dial(origin)
        self._dial_failures += 1
        shelf.slots -= 1
        self._slots -= 1
        is_for_all = shelf.multiplexes is not False and not shelf.slots
        if shelf.wants_dial:
            for _ in range(len(shelf.waiters) if is_for_all else 1):
                self._next_waiter(shelf, error=error)
        self._share_slots()
        self._settle(shelf)

    # ------------------------------------------------------------------ time and end

    def expire(self, now: float) -> None:
        """Close what was idle for too long or is more than allowed, and retire what is too old."""
        self._now = now
        limits = self._limits
        surplus = len(self._idle) - limits.idle
        for member in list(self._idle):
            if member.idle_since is None:
                member.idle_since = now
            idle = now - member.idle_since
            is_surplus = surplus > 0 and idle >= SURPLUS_SECONDS
            if idle >= limits.idle_seconds or is_surplus or (self._hungry and self._is_spare(member)):
                surplus -= 1
                is_spare = idle < limits.idle_seconds and not is_surplus
                self.drop(member.connection, "needed elsewhere" if is_spare else "idle")
        for member in list(self._members.values()):
            if now >= member.expires and not member.is_retiring:
                member.retire("too old")
                self._place(member)

    def shut(self, error: Exception) -> list[C]:
        """Fail all waiters and return all connections, which are the caller's to close; the books are empty then.

        Dials under way are the caller's as well: they are not to be reported any more.
        """
        for shelf in self._shelves.values():
            while shelf.waiters:
                self._next_waiter(shelf, error=error)
        connections = list(self._members)
        for book in (self._shelves, self._members, self._idle, self._starved, self._hungry):
            book.clear()
        self._running_dry = None
        self._slots = self._dialing = 0
        return connections

    # ------------------------------------------------------------------ inside

    def _shelf(self, origin: Origin) -> Shelf[C]:
        shelf = self._shelves.get(origin)
        if shelf is None:
            known = self._remembered.get(origin)
            shelf = Shelf(origin, self._multiplexes(origin) if known is None else known)
            self._shelves[origin] = shelf
        return shelf

    def _use(self, member: Member[C]) -> None:
        if not member.used:
            self._idle.pop(member, None)
            member.idle_since = None
        member.used += 1
        if member.used >= member.places:
            member.shelf.free.pop(member, None)

    def _next_waiter(self, shelf: Shelf[C], *, connection: C | None = None, error: Exception | None = None) -> None:
        """Serve the oldest waiter of a shelf."""
        ticket, _ = shelf.waiters.popitem(last=False)
        self._waiting -= 1
        ticket.connection = connection
        ticket.error = error
        ticket.wake()

    def _place(self, member: Member[C]) -> None:
        """Put a member where it belongs, after anything about it has changed."""
        shelf = member.shelf
        places = member.places
        if not member.used and (not places or self._is_needed_elsewhere(shelf)):
            self.drop(member.connection, "needed elsewhere" if places else member.why)
            return
        if places > 1 and self._starved and self._running_dry is None:
            # Others have no connection at all, and this one might never fall idle.
            self._running_dry = member
            member.retire("needed elsewhere")
            places = 0
        self._serve(member)
        if member.used < places:
            shelf.free[member] = None
            shelf.free.move_to_end(member)
            if not member.used:
                self._idle[member] = None
        else:
            shelf.free.pop(member, None)

    def _serve(self, member: Member[C]) -> None:
        """Give the free places of a member to those who wait."""
        shelf = member.shelf
        if not shelf.waiters:
            return
        while shelf.waiters and member.used < member.places:
            self._use(member)
            self._next_waiter(shelf, connection=member.connection)
        if not shelf.wants_dial:
            self._hungry.pop(shelf, None)

    def _is_needed_elsewhere(self, shelf: Shelf[C]) -> bool:
        """Whether the slot of an idle connection of this shelf should go to another origin."""
        if self._slots < self._limits.connections:
            return False
        if self._starved:
            return True
        if not self._hungry:
            return False
        first = next(iter(self._hungry))
        if first.slots + 1 < shelf.slots:
            return True
        self._hungry.move_to_end(first)  # the next time another one is compared
        return False

    def _settle(self, shelf: Shelf[C]) -> None:
        """Begin the dials a shelf wants, or note that it wants them; forget a shelf with nothing on it."""
        while shelf.wants_dial and self._is_below_own_limit(shelf):
            if self._slots >= self._limits.connections and not self._evict(shelf):
                (self._hungry if shelf.slots else self._starved).setdefault(shelf)
                (self._starved if shelf.slots else self._hungry).pop(shelf, None)
                return
            self._begin_dial(shelf)
        self._hungry.pop(shelf, None)
        self._starved.pop(shelf, None)
        if not shelf.slots and not shelf.waiters:
            self._shelves.pop(shelf.origin, None)

    def _is_below_own_limit(self, shelf: Shelf[C]) -> bool:
        limit = self._limits.connections_per_origin
        return limit is None or shelf.slots < limit

    def _share_slots(self) -> None:
        """Give free slots to the shelves that want them, in turn."""
        while self._slots < self._limits.connections and (waiting := self._starved or self._hungry):
            shelf, _ = waiting.popitem(last=False)
            if shelf.wants_dial and self._is_below_own_limit(shelf):
                self._begin_dial(shelf)
                if shelf.wants_dial and self._is_below_own_limit(shelf):
                    self._hungry[shelf] = None

    def _begin_dial(self, shelf: Shelf[C]) -> None:
        shelf.slots += 1
        shelf.dialing += 1
        self._slots += 1
        self._dialing += 1
        self._dial(shelf.origin, next(iter(shelf.waiters)))

    def _end_dial(self, origin: Origin) -> Shelf[C]:
        shelf = self._shelves[origin]
        shelf.dialing -= 1
        self._dialing -= 1
        return shelf

    def _is_spare(self, member: Member[C]) -> bool:
        """Whether an idle member was idle for long enough to be closed for a shelf that has other slots."""
        return member.idle_since is not None and self._now - member.idle_since >= LULL_SECONDS

    def _evict(self, shelf: Shelf[C]) -> bool:
        """Free a slot for a shelf by closing the connection that was idle for longest, if there is one to be had."""
        if not self._idle:
            return False
        member = next(iter(self._idle))
        if shelf.slots and member.shelf.slots <= shelf.slots + 1 and not self._is_spare(member):
            return False
        self._remove(member, "needed elsewhere")
        if not member.shelf.slots and not member.shelf.waiters:
            self._shelves.pop(member.shelf.origin, None)
        return True

    def _remove(self, member: Member[C], why: str) -> None:
        del self._members[member.connection]
        if self._running_dry is member:
            self._running_dry = None
        self._idle.pop(member, None)
        member.shelf.free.pop(member, None)
        member.shelf.provisional.discard(member)
        member.shelf.slots -= 1
        self._slots -= 1
        self._close(member.connection, why)
