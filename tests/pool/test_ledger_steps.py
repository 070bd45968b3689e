"""What the ledger's operations cost: lines of its code that run, which no noise of the machine changes."""

from __future__ import annotations

import sys
from collections.abc import Callable
from types import FrameType
from typing import Any

import pytest

from netio.errors import SessionClosed
from netio.pool import _ledger
from netio.url import Origin
from tests.pool.ledgers import FakeTicket, World, http1, http2


def steps(action: Callable[[], object]) -> int:
    """Return how many lines of the ledger an action runs."""
    count = 0

    def on_line(frame: FrameType, event: str, argument: Any) -> Any:
        nonlocal count
        count += event == "line"
        return on_line

    def on_call(frame: FrameType, event: str, argument: Any) -> Any:
        return on_line if frame.f_code.co_filename == _ledger.__file__ else None

    before = sys.gettrace()
    sys.settrace(on_call)
    try:
        action()
    finally:
        sys.settrace(before)
    return count


def origins(count: int) -> list[Origin]:
    return [Origin("https", f"{number}.example", 443) for number in range(count)]


class Crowd:
    """Ten busy connections to the first ten of many origins, with many waiters in all their queues."""

    def __init__(self, *, waiters: int, shelves: int) -> None:
        self.world: World = http1(connections=10, queued=100_000)
        self.origins = origins(shelves)
        self.running = [self.world.ask(origin) for origin in self.origins[:10]]
        for _ in range(10):
            self.world.answer()
        self.waiting: list[FakeTicket] = [self.world.ask(self.origins[n % shelves]) for n in range(waiters)]

    def ask(self) -> None:
        self.world.ask(self.origins[0])

    def ask_for_a_new_origin(self) -> None:
        self.world.ask(Origin("https", "new.example", 443))

    def leave(self) -> None:
        self.world.leave(self.waiting[len(self.waiting) // 2])

    def finish(self) -> None:
        self.world.finish(self.running[3])

    def drop(self) -> None:
        self.world.drop(self.world.connections[3])

    def change(self) -> None:
        self.world.set_capacity(self.world.connections[3], 1)

    def answer(self) -> None:
        self.world.answer()

    def refuse(self) -> None:
        self.world.refuse()


@pytest.mark.parametrize("operation", ["ask", "ask_for_a_new_origin", "leave", "finish", "drop", "change"])
def test_operation_costs_the_same_however_many_wait(operation: str) -> None:
    small, large = Crowd(waiters=60, shelves=20), Crowd(waiters=20_000, shelves=1_000)
    assert steps(getattr(large, operation)) == steps(getattr(small, operation))
    large.world.check()


@pytest.mark.parametrize("operation", ["answer", "refuse"])
def test_end_of_a_dial_costs_the_same_however_many_wait(operation: str) -> None:
    small, large = Crowd(waiters=60, shelves=20), Crowd(waiters=20_000, shelves=1_000)
    small.drop()
    large.drop()
    assert steps(getattr(large, operation)) == steps(getattr(small, operation))
    large.world.check()


@pytest.mark.parametrize("operation", ["take", "give", "evict"])
def test_operation_costs_the_same_however_many_connections_there_are(operation: str) -> None:
    counts = []
    for size in (10, 1_000):
        world = http1(connections=size)
        tickets = [world.ask(origin) for origin in origins(size // 5) for _ in range(5)]
        for _ in range(size):
            world.answer()
        for ticket in tickets[:-1]:
            world.finish(ticket)
        actions: dict[str, Callable[[], object]] = {
            "take": lambda: world.take(tickets[0].origin),  # noqa: B023
            "give": lambda: world.finish(tickets[-1]),  # noqa: B023
            "evict": lambda: world.ask(Origin("https", "new.example", 443)),  # noqa: B023
        }
        counts.append(steps(actions[operation]))
        world.check()
    assert counts[0] == counts[1]


def test_pool_04_serving_all_of_a_crowd_costs_the_same_for_each() -> None:
    costs = []
    for waiters, shelves in ((1_000, 50), (20_000, 1_000)):
        crowd = Crowd(waiters=waiters, shelves=shelves)
        costs.append(steps(lambda: _serve_all(crowd)) / waiters)  # noqa: B023
        assert crowd.world.waiting == 0
        assert all(ticket.connection is None and ticket.error is None for ticket in crowd.waiting)
        crowd.world.check()
    assert costs[1] <= 1.05 * costs[0]


def _serve_all(crowd: Crowd) -> None:
    world = crowd.world
    world.woken = crowd.running
    while world.woken or world.dials:
        running, world.woken = world.woken, []
        for ticket in running:
            world.finish(ticket)
        for _ in range(len(world.dials)):
            world.answer()


def test_failing_and_shutting_cost_the_same_for_each_waiter() -> None:
    counts: list[list[float]] = []
    for size in (100, 10_000):
        refused, shut = http2(queued=size), http2(queued=size)
        for _ in range(size):
            refused.ask(origins(1)[0])
            shut.ask(origins(1)[0])
        counts.append(
            [
                steps(refused.refuse) / size,
                steps(lambda: shut.ledger.shut(SessionClosed("closed"))) / size,  # noqa: B023
            ]
        )
    assert counts[1] <= counts[0]
