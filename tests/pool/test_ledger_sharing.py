"""The ledger at its limits: who gets a slot, and whose connection is closed for it."""

from __future__ import annotations

import pytest

from netio.errors import QueueFull
from netio.pool import Limits
from netio.pool._ledger import LULL_SECONDS
from tests.pool.ledgers import A, B, C, D, FakeTicket, World, http1, http2


def test_total_limit_is_kept_and_the_next_free_connection_serves() -> None:
    world = http1(connections=2)
    tickets = [world.ask(A) for _ in range(3)]
    assert len(world.dials) == 2
    first = world.answer()
    world.answer()
    world.finish(tickets[0])
    assert tickets[2].connection is first
    assert len(world.ledger) == 2


def test_limit_per_origin_is_kept_and_leaves_the_others_alone() -> None:
    world = http1(connections_per_origin=2)
    for origin in (A, A, A, A, B, B, B):
        world.ask(origin)
    assert [dial.origin for dial in world.dials] == [A, A, B, B]
    world.check()


def test_limit_per_origin_counts_http2_connections() -> None:
    world = http2(connections_per_origin=1)
    running = world.ask(A)
    connection = world.answer(http2=True, capacity=1)
    waiting = world.ask(A)
    assert world.dials == []
    world.finish(running)
    assert waiting.connection is connection


def test_total_limit_evicts_the_connection_of_another_origin_that_was_idle_for_longest() -> None:
    world = World(Limits(connections=3))
    tickets = {origin: world.ask(origin) for origin in (A, B, C)}
    connections = {origin: world.answer() for origin in (A, B, C)}
    for origin in (B, A, C):
        world.finish(tickets[origin])
    ticket = world.ask(D)
    assert world.closed == [connections[B]]
    assert world.answer() is ticket.connection
    world.check()


def test_connection_in_use_is_never_evicted() -> None:
    world = http2(connections=1)
    world.ask(A)
    world.answer(http2=True)
    world.ask(B)
    assert (world.closed, world.dials) == ([], [])


def test_pool_04_starved_origin_gets_the_next_slot_though_others_wait_for_longer() -> None:
    world = http1(connections=2)
    tickets = [world.ask(A) for _ in range(6)]
    first, _ = world.answer(), world.answer()
    starved = world.ask(B)
    world.finish(tickets[0])
    assert first.is_closed
    assert world.answer() is starved.connection
    world.check()


def test_pool_04_starved_origins_are_served_in_the_order_of_their_arrival() -> None:
    world = http1(connections=1)
    running = world.ask(A)
    world.answer()
    waiting = [world.ask(B), world.ask(C), world.ask(D)]
    for ticket in waiting:
        world.finish(running)
        assert world.answer() is ticket.connection
        running = ticket


@pytest.mark.parametrize("speaks_http2", [False, True])
def test_pool_04_origins_that_share_too_few_slots_are_all_served(speaks_http2: bool) -> None:
    world = World(Limits(connections=1))
    tickets = [world.ask(origin) for origin in (A, B, C) for _ in range(3)]
    for _ in tickets:
        for ticket in tickets:
            if ticket.connection is not None:
                world.finish(ticket)
        if world.dials:
            world.answer(http2=speaks_http2)
    assert world.waiting == 0
    assert world.dials_so_far <= len(tickets)
    world.check()


def test_new_connection_serves_before_its_slot_is_passed_on() -> None:
    world = http1(connections=1)
    first = world.ask(A)
    world.ask(B)
    connection = world.answer()
    assert first.connection is connection
    world.finish(first)
    assert connection.is_closed
    assert [dial.origin for dial in world.dials] == [B]


def test_slots_are_shared_evenly_between_busy_origins() -> None:
    world = http1(connections=9)
    running = [world.ask(A) for _ in range(20)]
    for origin in (B, C):
        running += [world.ask(origin) for _ in range(20)]
    _work(world, running, cycles=300)
    assert [sum(connection.origin == origin for connection in world.open) for origin in (A, B, C)] == [3, 3, 3]


@pytest.mark.parametrize("connections", [2, 7, 8])
@pytest.mark.parametrize(("workers_of_a", "workers_of_b"), [(8, 8), (20, 3), (1, 20), (4, 4)])
def test_busy_origins_at_the_limit_do_not_take_each_others_connections(
    workers_of_a: int, workers_of_b: int, connections: int
) -> None:
    world = http1(connections=connections)
    running = [world.ask(A) for _ in range(workers_of_a)] + [world.ask(B) for _ in range(workers_of_b)]
    _work(world, running, cycles=1_000)
    assert len(world.closed) <= 8
    assert world.dials_so_far <= 16
    world.check()


def _work(world: World, running: list[FakeTicket], cycles: int) -> None:
    """Let a request end and its worker send the next one, again and again; dials end in between."""
    for _ in range(cycles):
        for _ in range(len(world.dials)):
            world.answer()
        ticket = next(ticket for ticket in running if ticket.connection is not None)
        running.remove(ticket)
        world.finish(ticket)
        running.append(world.ask(ticket.origin))


def test_idle_connection_goes_to_an_origin_that_has_others_after_a_lull() -> None:
    world = http1(connections=2)
    first = world.ask(A)
    kept = world.answer()
    world.ask(B)
    world.answer()
    waiting = world.ask(B)
    world.finish(first)
    world.pass_time(LULL_SECONDS)
    assert not kept.is_closed
    world.pass_time(LULL_SECONDS)
    assert kept.is_closed
    assert world.answer() is waiting.connection
    world.check()


def test_idle_connections_above_an_even_share_change_hands_at_once() -> None:
    world = http1(connections=4)
    tickets = [world.ask(A) for _ in range(4)]
    for ticket in tickets:
        world.answer()
        world.finish(ticket)
    for _ in range(4):
        world.ask(B)
    assert (len(world.closed), len(world.dials)) == (2, 2)
    world.check()


def test_http2_connection_that_never_falls_idle_runs_dry_for_a_starved_origin() -> None:
    world = http2(connections=1)
    running = [world.ask(A) for _ in range(3)]
    connection = world.answer(http2=True)
    starved = world.ask(B)
    world.finish(running.pop())
    late = world.ask(A)
    assert late.connection is None
    for ticket in running:
        world.finish(ticket)
    assert connection.is_closed
    assert world.answer(http2=True) is starved.connection
    world.check()


def test_only_one_http2_connection_runs_dry_at_a_time() -> None:
    world = http2(connections=2)
    first, second = [world.ask(A), world.ask(A)], [world.ask(B), world.ask(B)]
    dry, kept = world.answer(http2=True), world.answer(http2=True)
    world.ask(C)
    world.finish(first.pop())
    world.finish(second.pop())
    assert world.ask(A).connection is None
    assert world.ask(B).connection is kept
    world.finish(first.pop())
    assert dry.is_closed
    world.check()


def test_queue_is_full_at_its_limit_and_not_one_before() -> None:
    world = World(Limits(queued=3))
    tickets = [world.ask(A), world.ask(A), world.ask(B)]
    with pytest.raises(QueueFull, match=r"3 requests wait .*Limits\.queued"):
        world.ask(C)
    assert C not in world.ledger._shelves
    assert world.ledger.stats().queued == 3
    world.leave(tickets[0])
    world.ask(C)
    world.check()
