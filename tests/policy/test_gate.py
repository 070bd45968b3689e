"""The gate behind bulkhead and adaptive limit: random histories against a list."""

from __future__ import annotations

from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from netio.policy._gate import Gate, Ticket


class GateMachine(RuleBasedStateMachine):
    """The model has the holders and the queue as lists of names, and serves after each step."""

    QUEUE = 4

    def __init__(self) -> None:
        super().__init__()
        self.gate = Gate(2, self.QUEUE)
        self.limit = 2
        self.names = 0
        self.held: list[int] = []  # no ticket of theirs is open
        self.served: list[int] = []  # woken, but not yet aware of it
        self.queue: list[int] = []
        self.tickets: dict[int, Ticket] = {}
        self.woken: list[int] = []

    def serve(self) -> list[int]:
        served = []
        while self.queue and len(self.held) + len(self.served) < self.limit:
            served.append(self.queue.pop(0))
            self.served.append(served[-1])
        return served

    def check_woken(self) -> None:
        assert self.woken == self.serve()
        self.woken.clear()

    @rule()
    def take(self) -> None:
        is_free = len(self.held) + len(self.served) < self.limit
        assert self.gate.take() == is_free
        self.names += 1
        if is_free:
            self.held.append(self.names)
            return
        name = self.names
        ticket = Ticket(lambda: self.woken.append(name))
        assert self.gate.enqueue(ticket) == (len(self.queue) < self.QUEUE)
        if len(self.queue) < self.QUEUE:
            self.tickets[name] = ticket
            self.queue.append(name)

    @precondition(lambda self: self.held)
    @rule(data=st.data())
    def give(self, data: st.DataObject) -> None:
        self.held.remove(data.draw(st.sampled_from(self.held)))
        self.gate.give()
        self.check_woken()

    @precondition(lambda self: self.served)
    @rule(data=st.data())
    def notice(self, data: st.DataObject) -> None:
        name = data.draw(st.sampled_from(self.served))
        assert self.tickets[name].is_served
        self.served.remove(name)
        self.held.append(name)

    @precondition(lambda self: self.served or self.queue)
    @rule(data=st.data())
    def leave(self, data: st.DataObject) -> None:
        name = data.draw(st.sampled_from(self.served + self.queue))
        (self.served if name in self.served else self.queue).remove(name)
        self.gate.leave(self.tickets[name])
        self.check_woken()

    @rule(limit=st.integers(1, 4))
    def resize(self, limit: int) -> None:
        self.limit = limit
        self.gate.resize(limit)
        self.check_woken()

    @invariant()
    def counts_agree(self) -> None:
        assert (self.gate.active, self.gate.waiting) == (len(self.held) + len(self.served), len(self.queue))
        assert self.gate.is_busy == bool(self.held or self.served or self.queue)


TestGateMachine = GateMachine.TestCase


def test_ticket_may_leave_twice() -> None:
    gate = Gate(1, 5)
    assert gate.take()
    tickets = [Ticket(lambda: None) for _ in range(2)]
    assert all(gate.enqueue(ticket) for ticket in tickets)
    gate.give()
    assert tickets[0].is_served
    gate.leave(tickets[0])
    gate.leave(tickets[0])
    assert (gate.active, tickets[1].is_served) == (1, True)
