"""The short ways through the ledger come to what the long ones do, in any state of the books."""

from __future__ import annotations

from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from netio.errors import QueueFull
from netio.pool import _ledger
from netio.pool._ledger import Ledger
from netio.pool._limits import Limits
from netio.url import Origin
from tests.pool.ledgers import A, B, C, FakeConnection, FakeTicket, World

ORIGINS = (A, B, C)


class PlainLedger(Ledger[FakeConnection]):
    """`take` and `give` by the rule that holds for every change of a member."""

    def take(self, origin: Origin) -> FakeConnection | None:
        shelf = self._shelves.get(origin)
        if shelf is None or not shelf.free:
            return None
        member = next(reversed(shelf.free))
        self._use(member)
        return member.connection

    def give(self, connection: FakeConnection) -> None:
        member = self._members.get(connection)
        if member is not None:
            member.used -= 1
            self._place(member)


class Twin:
    """A world, and what was done in it, with everything named by its number."""

    def __init__(self, limits: Limits, known: dict[Origin, bool | None], *, is_plain: bool) -> None:
        fast = _ledger.Ledger
        self.world = World(limits, multiplexes=known.__getitem__)
        if is_plain:
            world = self.world
            world.ledger = PlainLedger(
                limits, dial=world._dial, close=world._close, multiplexes=known.__getitem__, random=lambda: 0.5
            )
        assert _ledger.Ledger is fast
        self.served: list[FakeTicket] = []
        self.waiting: list[FakeTicket] = []

    def do(self, step: tuple[str, int, int]) -> None:
        name, number, extra = step
        getattr(self, name)(number, extra)
        for ticket in list(self.waiting):
            if ticket.connection is not None or ticket.error is not None:
                self.waiting.remove(ticket)
                if ticket.connection is not None:
                    self.served.append(ticket)
        self.world.check()

    def ask(self, number: int, extra: int) -> None:
        for _ in range(extra % 3 + 1):
            try:
                ticket = self.world.ask(ORIGINS[number % 3])
            except QueueFull:
                continue
            (self.waiting if ticket.connection is None else self.served).append(ticket)

    def finish(self, number: int, extra: int) -> None:
        if self.served:
            ticket = self.served.pop(number % len(self.served))
            assert ticket.connection is not None
            if extra % 4 == 0 and not ticket.connection.multiplexes:
                ticket.connection.capacity = 0
            self.world.finish(ticket)

    def leave(self, number: int, extra: int) -> None:
        if self.waiting:
            self.world.leave(self.waiting.pop(number % len(self.waiting)))

    def answer(self, number: int, extra: int) -> None:
        if self.world.dials:
            dial = self.world.dials[number % len(self.world.dials)]
            self.world.answer(dial=dial, http2=bool(extra % 2), capacity=extra % 4 if extra % 2 else 1)

    def refuse(self, number: int, extra: int) -> None:
        if self.world.dials:
            self.world.refuse(self.world.dials[number % len(self.world.dials)])

    def change(self, number: int, extra: int) -> None:
        if self.world.open:
            connection = self.world.open[number % len(self.world.open)]
            self.world.set_capacity(connection, extra % 4 if connection.multiplexes else 0)

    def pass_time(self, number: int, extra: int) -> None:
        self.world.pass_time((0.1, 1.0, 20.0, 120.0)[number % 4])

    def books(self) -> dict[str, Any]:
        """Everything that can be told of the books, in its order."""
        ledger, numbers = self.world.ledger, {each: number for number, each in enumerate(self.world.connections)}

        def names(members: Any) -> list[int]:
            return [numbers[member.connection] for member in members]

        return {
            "open": names(ledger._members.values()),
            "used": [member.used for member in ledger._members.values()],
            "idle": names(ledger._idle),
            "idle since": [member.idle_since for member in ledger._members.values()],
            "free": {str(origin): names(shelf.free) for origin, shelf in ledger._shelves.items()},
            "starved": [str(shelf.origin) for shelf in ledger._starved],
            "hungry": [str(shelf.origin) for shelf in ledger._hungry],
            "dials": [str(dial.origin) for dial in self.world.dials],
            "waiting": len(self.waiting),
            "served": [numbers[ticket.connection] for ticket in self.served if ticket.connection is not None],
            "stats": ledger.stats(),
        }


NAMES = [
    "ask",
    "ask",
    "ask",
    "finish",
    "finish",
    "finish",
    "answer",
    "answer",
    "leave",
    "refuse",
    "change",
    "pass_time",
]
STEPS = st.lists(st.tuples(st.sampled_from(NAMES), st.integers(0, 11), st.integers(0, 11)), min_size=30, max_size=80)
LIMITS = st.builds(
    Limits,
    connections=st.integers(1, 4),
    connections_per_origin=st.none() | st.integers(1, 2),
    idle=st.integers(0, 2),
    connection_age=st.none() | st.just(100.0),
    queued=st.just(20),
)


@given(LIMITS, st.tuples(*[st.sampled_from([None, True, False])] * 3), STEPS)
def test_the_short_ways_of_take_and_give_come_to_what_the_long_ones_do(
    limits: Limits, known: tuple[bool | None, ...], steps: list[tuple[str, int, int]]
) -> None:
    table = dict(zip(ORIGINS, known, strict=True))
    short, long = Twin(limits, table, is_plain=False), Twin(limits, table, is_plain=True)
    for step in steps:
        short.do(step)
        long.do(step)
        assert short.books() == long.books()


def test_the_short_ways_are_taken_where_nobody_waits(monkeypatch: Any) -> None:
    """Or the property above would compare the long ways with themselves."""
    twin = Twin(Limits(), dict.fromkeys(ORIGINS), is_plain=False)
    for step in (("ask", 0, 0), ("answer", 0, 0)):
        twin.do(step)
    calls: list[object] = []
    monkeypatch.setattr(Ledger, "_place", lambda *arguments: calls.append(arguments))
    monkeypatch.setattr(Ledger, "_use", lambda *arguments: calls.append(arguments))
    for step in (("finish", 0, 1), ("ask", 0, 0), ("finish", 0, 1)):
        twin.do(step)
    assert calls == []
    assert (twin.books()["idle"], twin.books()["open"]) == ([0], [0])
