"""The ledger as a state machine: whatever requests, dials, connections and time do, in any order, the books balance.

Each run ends in peace: all is given back and all dials end well. Then nobody may be left waiting (HAZARDS POOL-04), and
once everything has expired the books are empty.
"""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from netio.errors import QueueFull
from netio.pool._ledger import SURPLUS_SECONDS
from netio.pool._limits import Limits
from netio.url import Origin
from tests.pool.ledgers import A, B, C, D, FakeTicket, World

ORIGINS = st.sampled_from([A, B, C, D])
NUMBERS = st.integers(0, 1_000)
"""Which one of those that there are."""


class LedgerMachine(RuleBasedStateMachine):
    def __init__(self) -> None:
        super().__init__()
        self.world = World()
        self.served: list[FakeTicket] = []
        self.tickets: list[FakeTicket] = []
        """Of requests that wait, or were woken and have not noticed yet."""

    @initialize(
        limits=st.builds(
            Limits,
            connections=st.integers(1, 5),
            connections_per_origin=st.none() | st.integers(1, 3),
            idle=st.integers(0, 3),
            idle_seconds=st.just(30.0),
            connection_age=st.none() | st.just(100.0),
            queued=st.integers(1, 6) | st.just(1_000),
        ),
        known=st.fixed_dictionaries({origin: st.sampled_from([None, None, True, False]) for origin in (A, B, C, D)}),
    )
    def begin(self, limits: Limits, known: dict[Origin, bool | None]) -> None:
        self.world = World(limits, multiplexes=known.__getitem__)

    # ------------------------------------------------------------------ requests

    @rule(origin=ORIGINS, count=st.integers(1, 4))
    def ask(self, origin: Origin, count: int) -> None:
        for _ in range(count):
            is_full = self.world.waiting >= self.world.limits.queued
            try:
                ticket = self.world.ask(origin)
            except QueueFull:
                assert is_full
                continue
            assert ticket.connection is not None or not is_full
            (self.served if ticket.connection is not None else self.tickets).append(ticket)

    @precondition(lambda self: self.tickets)
    @rule(number=NUMBERS)
    def notice(self, number: int) -> None:
        ticket = _one(self.tickets, number)
        if ticket.connection is not None:
            self.served.append(ticket)
        if ticket.connection is not None or ticket.error is not None:
            self.tickets.remove(ticket)

    @precondition(lambda self: self.tickets)
    @rule(number=NUMBERS, is_twice=st.booleans())
    def leave(self, number: int, is_twice: bool) -> None:
        ticket = _one(self.tickets, number)
        self.tickets.remove(ticket)
        self.world.leave(ticket)
        if is_twice:
            self.world.leave(ticket)

    @precondition(lambda self: self.served)
    @rule(number=NUMBERS, is_clean=st.booleans())
    def finish(self, number: int, is_clean: bool) -> None:
        ticket = _one(self.served, number)
        self.served.remove(ticket)
        connection = ticket.connection
        assert connection is not None
        if not is_clean and not connection.multiplexes:
            connection.capacity = 0
        self.world.finish(ticket)

    # ------------------------------------------------------------------ connections

    @precondition(lambda self: self.world.open)
    @rule(number=NUMBERS, capacity=st.integers(0, 5), is_late=st.booleans())
    def change(self, number: int, capacity: int, is_late: bool) -> None:
        connection = _one(self.world.open, number)
        connection.capacity = capacity if connection.multiplexes else 0
        connection.is_provisional = False
        if is_late:  # requests end by the same bytes that change the capacity, and before the ledger is told
            for ticket in [ticket for ticket in self.served if ticket.connection is connection]:
                self.served.remove(ticket)
                self.world.finish(ticket)
        self.world.ledger.changed(connection)

    @precondition(lambda self: self.world.connections)
    @rule(number=NUMBERS)
    def drop(self, number: int) -> None:
        self.world.drop(_one(self.world.connections, number))

    @precondition(lambda self: self.world.open)
    @rule(number=NUMBERS)
    def move(self, number: int) -> None:
        connection = _one(self.world.open, number)
        self.world.ledger.moved(connection)
        member = self.world.ledger._members.get(connection)
        assert member is None or (member.used and not member.places)

    @rule(origin=ORIGINS)
    def drop_idle(self, origin: Origin) -> None:
        self.world.ledger.drop_idle(origin)
        assert all(connection.held for connection in self.world.open if connection.origin == origin)

    # ------------------------------------------------------------------ dials and time

    @precondition(lambda self: self.world.dials)
    @rule(number=NUMBERS, http2=st.booleans(), capacity=st.integers(0, 4), is_guess=st.booleans())
    def answer(self, number: int, http2: bool, capacity: int, is_guess: bool) -> None:
        """The number of streams may be a guess, until the first SETTINGS (`change`)."""
        capacity = capacity if http2 else min(capacity, 1)
        dial = _one(self.world.dials, number)
        self.world.answer(dial=dial, http2=http2, capacity=capacity, is_provisional=http2 and is_guess)

    @precondition(lambda self: self.world.dials)
    @rule(number=NUMBERS)
    def refuse(self, number: int) -> None:
        self.world.refuse(_one(self.world.dials, number))

    @rule(seconds=st.sampled_from([0.1, 1.0, 10.0, 40.0, 200.0]))
    def pass_time(self, seconds: float) -> None:
        world, limits = self.world, self.world.limits
        world.pass_time(seconds)
        for member in world.ledger._members.values():
            assert member.is_retiring or world.now < member.expires
            if not member.used:
                assert member.idle_since is not None
                assert world.now - member.idle_since < limits.idle_seconds
        lulled = [m for m in world.ledger._idle if world.now - (m.idle_since or 0) >= SURPLUS_SECONDS]
        assert len(lulled) <= limits.idle

    # ------------------------------------------------------------------ what must hold

    @invariant()
    def books_balance(self) -> None:
        self.world.check()

    def teardown(self) -> None:
        world = self.world
        rounds = 10 + 3 * (world.waiting + len(self.tickets) + len(self.served))
        while world.dials or self.tickets or self.served:
            rounds -= 1
            assert rounds > 0, f"{world.waiting} wait and {len(world.dials)} dials go round in circles"
            for ticket in list(self.tickets):
                self.notice(self.tickets.index(ticket))
            for ticket in list(self.served):
                self.served.remove(ticket)
                world.finish(ticket)
            for dial in list(world.dials):
                world.answer(dial=dial, http2=dial.origin in (A, B), capacity=2 if dial.origin in (A, B) else 1)
            for connection in [connection for connection in world.open if connection.is_provisional]:
                connection.is_provisional = False
                world.ledger.changed(connection)
            world.check()
        assert world.waiting == 0
        world.pass_time(1_000.0)
        world.pass_time(1_000.0)
        world.check()
        assert (len(world.ledger), world.open, world.ledger._shelves) == (0, [], {})


def _one(things: list[Any], number: int) -> Any:
    return things[number % len(things)]


TestLedgerMachine = pytest.mark.timeout(600)(LedgerMachine.TestCase)  # the search for a small example takes its time
TestLedgerMachine.settings = settings(stateful_step_count=60)
