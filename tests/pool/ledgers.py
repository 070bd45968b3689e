"""A ledger with fakes around it, and the slow and obvious check of its books."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from netio.errors import ConnectError, QueueFull
from netio.pool._books import Member, Shelf, Ticket
from netio.pool._ledger import LULL_SECONDS, Ledger
from netio.pool._limits import Limits
from netio.url import Origin

A, B, C, D = (Origin("https", f"{name}.example", 443) for name in "abcd")


class FakeConnection:
    """A connection whose capacity the test sets, and that counts its places in the hands of requests."""

    def __init__(self, origin: Origin, capacity: int, *, multiplexes: bool) -> None:
        self.origin = origin
        self.capacity = capacity
        self.multiplexes = multiplexes
        self.held = 0
        self.is_closed = False
        self.is_provisional = False

    def __repr__(self) -> str:
        return f"<{self.origin.host} {self.held} of {self.capacity}{' closed' if self.is_closed else ''}>"


FakeTicket = Ticket[FakeConnection]


@dataclass(eq=False)
class Dial:
    """A dial that the ledger has asked for."""

    origin: Origin
    ticket: FakeTicket


class World:
    """What is around a ledger: requests, dials, connections. It fails as soon as one of them is treated wrongly."""

    def __init__(
        self, limits: Limits | None = None, *, multiplexes: Callable[[Origin], bool | None] = lambda _: None
    ) -> None:
        self.limits = limits or Limits()
        self.now = 1_000.0
        self.dials: list[Dial] = []
        self.dials_so_far = 0
        self.connections: list[FakeConnection] = []
        self.queues: dict[Origin, list[FakeTicket]] = defaultdict(list)
        """Who waits, in the order of arrival, by what the test did: not by what the ledger says."""
        self.woken: list[FakeTicket] = []
        self._being_dropped: FakeConnection | None = None
        self.ledger: Ledger[FakeConnection] = Ledger(
            self.limits, dial=self._dial, close=self._close, multiplexes=multiplexes, random=lambda: 0.5
        )

    # ------------------------------------------------------------------ what the ledger calls

    def _dial(self, origin: Origin, ticket: FakeTicket) -> None:
        assert ticket in self.queues[origin], "a dial for somebody who does not wait"
        self.dials.append(Dial(origin, ticket))
        self.dials_so_far += 1

    def _close(self, connection: FakeConnection, why: str) -> None:
        assert why
        assert not connection.is_closed, "closed twice"
        assert not connection.held or connection is self._being_dropped, "closed while in use"
        connection.is_closed = True

    def _woken(self, ticket: FakeTicket) -> None:
        queue = self.queues[ticket.origin]
        assert queue, "woken twice"
        assert queue[0] is ticket, "served before somebody who came earlier"
        del queue[0]
        self.woken.append(ticket)
        assert (ticket.connection is None) != (ticket.error is None)
        if ticket.connection is not None:
            self._hand_out(ticket.connection, ticket.origin)

    def _hand_out(self, connection: FakeConnection, origin: Origin) -> None:
        assert connection.origin == origin
        assert not connection.is_closed, "a closed connection was handed out"
        assert connection.held < connection.capacity, "handed out beyond its capacity"
        connection.held += 1

    # ------------------------------------------------------------------ what requests do

    def take(self, origin: Origin) -> FakeConnection | None:
        connection = self.ledger.take(origin)
        if connection is not None:
            self._hand_out(connection, origin)
        return connection

    def wait(self, origin: Origin) -> FakeTicket:
        ticket: FakeTicket = Ticket(origin, lambda: self._woken(ticket))
        self.queues[origin].append(ticket)
        try:
            self.ledger.enqueue(ticket)
        except QueueFull:
            self.queues[origin].remove(ticket)
            raise
        return ticket

    def ask(self, origin: Origin) -> FakeTicket:
        """Do as a request does: take a place, or wait for one. Either way the answer is a ticket."""
        connection = self.take(origin)
        if connection is None:
            return self.wait(origin)
        ticket: FakeTicket = Ticket(origin, lambda: None)
        ticket.connection = connection
        return ticket

    def leave(self, ticket: FakeTicket) -> None:
        if ticket in self.queues[ticket.origin]:
            self.queues[ticket.origin].remove(ticket)
        if ticket.connection is not None:
            ticket.connection.held -= 1
        self.ledger.leave(ticket)

    # ------------------------------------------------------------------ what connections and dials do

    def give(self, connection: FakeConnection | None) -> None:
        assert connection is not None
        connection.held -= 1
        self.ledger.give(connection)

    def finish(self, ticket: FakeTicket) -> None:
        """End the request that was served by this ticket."""
        connection, ticket.connection = ticket.connection, None
        self.give(connection)

    def set_capacity(self, connection: FakeConnection, capacity: int) -> None:
        connection.capacity = capacity
        self.ledger.changed(connection)

    def drop(self, connection: FakeConnection) -> None:
        self._being_dropped = connection
        self.ledger.drop(connection)
        self._being_dropped = None
        assert connection.is_closed

    def answer(
        self,
        *,
        http2: bool = False,
        capacity: int | None = None,
        dial: Dial | None = None,
        is_provisional: bool = False,
    ) -> FakeConnection:
        """Let a dial, the oldest one unless told, become a connection."""
        dial = dial or self.dials[0]
        self.dials.remove(dial)
        if capacity is None:
            capacity = 100 if http2 else 1
        connection = FakeConnection(dial.origin, capacity, multiplexes=http2)
        connection.is_provisional = is_provisional
        self.connections.append(connection)
        self.ledger.dialed(dial.origin, connection, multiplexes=http2, now=self.now)
        return connection

    def refuse(self, dial: Dial | None = None) -> ConnectError:
        """Let a dial, the oldest one unless told, fail."""
        dial = dial or self.dials[0]
        self.dials.remove(dial)
        error = ConnectError("refused")
        self.ledger.dial_failed(dial.origin, error)
        return error

    def pass_time(self, seconds: float) -> None:
        self.now += seconds
        self.ledger.expire(self.now)

    # ------------------------------------------------------------------ what can be seen

    @property
    def open(self) -> list[FakeConnection]:
        return [connection for connection in self.connections if not connection.is_closed]

    @property
    def closed(self) -> list[FakeConnection]:
        return [connection for connection in self.connections if connection.is_closed]

    @property
    def waiting(self) -> int:
        return sum(map(len, self.queues.values()))

    def check(self) -> None:
        """Compare the books with the world, and with themselves."""
        ledger = self.ledger
        assert set(ledger._members) == set(self.open)
        assert all(member.used == member.connection.held for member in ledger._members.values())
        for origin in {*self.queues, *ledger._shelves}:
            shelf = ledger._shelves.get(origin)
            assert (list(shelf.waiters) if shelf else []) == self.queues[origin]
            assert (shelf.dialing if shelf else 0) == sum(dial.origin == origin for dial in self.dials)
        assert len(ledger) == len(self.open) + len(self.dials)
        check_invariants(ledger)


def http1(**limits: Any) -> World:
    """A world where everybody is known to speak HTTP/1.1."""
    return World(Limits(**limits), multiplexes=lambda _: False)


def http2(**limits: Any) -> World:
    """A world where everybody is known to speak HTTP/2."""
    return World(Limits(**limits), multiplexes=lambda _: True)


def served(*tickets: FakeTicket) -> list[FakeConnection | None]:
    return [ticket.connection for ticket in tickets]


def check_invariants(ledger: Ledger[FakeConnection]) -> None:
    """Check the numbered invariants of the ledger's docstring, everything counted anew."""
    limits = ledger._limits
    shelves = list(ledger._shelves.values())
    members = list(ledger._members.values())

    # 1: slots
    for origin, shelf in ledger._shelves.items():
        assert shelf.origin == origin
        assert shelf.slots == shelf.dialing + sum(member.shelf is shelf for member in members)
        assert shelf.slots or shelf.waiters, "an empty shelf was kept"
        assert limits.connections_per_origin is None or shelf.slots <= limits.connections_per_origin
    assert all(member.shelf in shelves for member in members)
    assert ledger._slots == sum(shelf.slots for shelf in shelves) <= limits.connections
    assert ledger._dialing == sum(shelf.dialing for shelf in shelves)
    assert ledger._waiting == sum(len(shelf.waiters) for shelf in shelves) <= limits.queued

    # 2: free places and idle connections
    for member in members:
        assert member.used >= 0
        assert (member in member.shelf.free) == (member.used < member.places)
        assert not (member in member.shelf.free and member.shelf.waiters), "a free place while somebody waits for one"
        assert (member in ledger._idle) == (not member.used)
        assert member.used or member.places, "an unused connection that can never be used holds a slot"
    assert set(ledger._idle) <= set(members)
    assert all(member in members for shelf in shelves for member in shelf.free)

    # 3: free slots
    needy = [shelf for shelf in shelves if _needs_dial(shelf) and _is_below_limit(shelf, limits)]
    assert not needy or ledger._slots == limits.connections, "a free slot while somebody waits for one"
    assert not needy or not any(_is_to_be_had(member, ledger, needy) for member in ledger._idle), "an idle connection"
    assert set(ledger._starved) == {shelf for shelf in needy if not shelf.slots}
    assert set(ledger._hungry) == {shelf for shelf in needy if shelf.slots}

    # at most one connection runs dry, and it is one
    if ledger._running_dry is not None:
        assert ledger._running_dry in members
        assert ledger._running_dry.is_retiring


def _is_to_be_had(
    member: Member[FakeConnection], ledger: Ledger[FakeConnection], needy: list[Shelf[FakeConnection]]
) -> bool:
    """Whether the slot of an idle connection should have been given to one of those that need one."""
    if not all(shelf.slots for shelf in needy):
        return True
    return member.idle_since is not None and ledger._now - member.idle_since >= LULL_SECONDS


def _needs_dial(shelf: Shelf[FakeConnection]) -> bool:
    """Invariant 4: whether a dial is missing."""
    if shelf.multiplexes is False:
        return shelf.dialing < len(shelf.waiters)
    return shelf.dialing == 0 and not shelf.provisional and len(shelf.waiters) > 0


def _is_below_limit(shelf: Shelf[FakeConnection], limits: Limits) -> bool:
    return limits.connections_per_origin is None or shelf.slots < limits.connections_per_origin
