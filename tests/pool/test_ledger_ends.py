"""The ledger by example: requests that die, connections that end, and the end of the pool."""

from __future__ import annotations

from netio.errors import SessionClosed
from netio.pool import Limits, PoolStats
from netio.pool._ledger import SURPLUS_SECONDS
from tests.pool.ledgers import A, B, C, World, http1, http2, served

# ---------------------------------------------------------------------- requests that die


def test_pool_04_waiter_that_dies_after_it_was_served_passes_it_on() -> None:
    world = http1(connections=1)
    running, dying, next_one = world.ask(A), world.ask(A), world.ask(A)
    connection = world.answer()
    world.finish(running)
    assert dying.connection is connection
    world.leave(dying)
    assert served(dying, next_one) == [None, connection]
    world.check()


def test_pool_04_what_a_dead_waiter_got_falls_idle_if_nobody_waits() -> None:
    world = World()
    ticket = world.ask(A)
    connection = world.answer()
    world.leave(ticket)
    assert world.ledger.stats().idle == 1
    assert world.ask(A).connection is connection


def test_pool_04_stream_of_a_dead_waiter_is_passed_on() -> None:
    world = http2(connections=1)
    dying, second = world.ask(A), world.ask(A)
    connection = world.answer(http2=True, capacity=1)
    world.leave(dying)
    assert second.connection is connection


def test_pool_01_waiter_that_leaves_keeps_nobody_from_being_served_in_order() -> None:
    world = http1(connections=1)
    tickets = [world.ask(A) for _ in range(5)]
    world.answer()
    world.leave(tickets[1])
    world.leave(tickets[3])
    world.finish(tickets[0])
    world.finish(tickets[2])
    assert tickets[4].connection is not None
    assert served(tickets[1], tickets[3]) == [None, None]
    world.check()


def test_leaving_twice_gives_back_once() -> None:
    world = http2()
    first, second = world.ask(A), world.ask(A)
    connection = world.answer(http2=True)
    world.leave(first)
    world.leave(first)
    assert connection.held == 1
    world.leave(second)
    world.check()


def test_starved_origin_whose_waiter_leaves_takes_no_slot() -> None:
    world = http1(connections=1)
    first, second = world.ask(A), world.ask(A)
    connection = world.answer()
    world.leave(world.ask(B))
    world.finish(first)
    assert second.connection is connection
    assert world.dials == []
    world.check()


def test_is_being_dialed_says_for_whom_a_dial_is_under_way() -> None:
    world = http1(connections=2)
    tickets = [world.ask(A) for _ in range(3)]
    assert [world.ledger.is_being_dialed(ticket) for ticket in tickets] == [True, True, False]
    world.answer()
    assert [world.ledger.is_being_dialed(ticket) for ticket in tickets] == [False, True, False]
    unknown = World(Limits(connections=1))
    tickets = [unknown.ask(A), unknown.ask(A), unknown.ask(B)]
    assert [unknown.ledger.is_being_dialed(ticket) for ticket in tickets] == [True, True, False]


# ---------------------------------------------------------------------- time


def test_idle_connection_is_closed_after_its_time_and_not_before() -> None:
    world = World(Limits(idle_seconds=30))
    ticket = world.ask(A)
    connection = world.answer()
    world.finish(ticket)
    world.pass_time(1)
    world.pass_time(29.9)
    assert not connection.is_closed
    world.pass_time(0.1)
    assert connection.is_closed
    assert (len(world.ledger), world.ledger._shelves) == (0, {})


def test_use_begins_the_idle_time_anew() -> None:
    world = World(Limits(idle_seconds=30))
    ticket = world.ask(A)
    connection = world.answer()
    world.finish(ticket)
    world.pass_time(1)
    world.pass_time(20)
    world.finish(world.ask(A))
    world.pass_time(1)
    world.pass_time(20)
    assert not connection.is_closed


def test_connection_in_use_does_not_expire() -> None:
    world = World(Limits(idle_seconds=30, connection_age=None))
    world.ask(A)
    connection = world.answer()
    for _ in range(10):
        world.pass_time(1_000)
    assert not connection.is_closed


def test_surplus_of_idle_connections_is_closed_the_longest_idle_first() -> None:
    world = http1(idle=2)
    tickets = [world.ask(A) for _ in range(5)]
    connections = [world.answer() for _ in range(5)]
    for ticket in tickets:
        world.finish(ticket)
    world.pass_time(0.1)
    world.pass_time(SURPLUS_SECONDS - 0.1)
    assert world.closed == []
    world.pass_time(0.1)
    assert world.closed == connections[:3]
    world.pass_time(SURPLUS_SECONDS)
    assert world.open == connections[3:]


def test_old_connection_is_closed_when_it_is_idle() -> None:
    world = World(Limits(connection_age=100))
    ticket = world.ask(A)
    connection = world.answer()
    world.finish(ticket)
    world.pass_time(94.9)
    assert not connection.is_closed
    world.pass_time(0.2)  # half of the last tenth was drawn
    assert connection.is_closed


def test_old_connection_ends_its_streams_and_takes_no_new_ones() -> None:
    world = World(Limits(connection_age=100))
    ticket = world.ask(A)
    old = world.answer(http2=True)
    world.pass_time(100)
    assert not old.is_closed
    second = world.ask(A)
    assert world.answer(http2=True) is second.connection
    world.finish(ticket)
    assert old.is_closed
    world.check()


def test_connection_without_a_limit_of_age_is_kept() -> None:
    world = World(Limits(connection_age=None, idle_seconds=1e9))
    ticket = world.ask(A)
    connection = world.answer()
    world.finish(ticket)
    world.pass_time(1e8)
    assert not connection.is_closed


# ---------------------------------------------------------------------- ends


def test_dropping_a_connection_again_does_nothing() -> None:
    world = World()
    ticket = world.ask(A)
    connection = world.answer()
    world.drop(connection)
    world.drop(connection)
    assert world.closed == [connection]
    assert len(world.ledger) == 0
    world.finish(ticket)
    world.set_capacity(connection, 1)
    assert (len(world.ledger), world.ledger._shelves) == (0, {})


def test_dropped_connection_leaves_its_slot_to_those_who_wait() -> None:
    world = http1(connections=1)
    world.ask(A)
    connection = world.answer()
    waiting = world.ask(A)
    world.drop(connection)
    assert world.answer() is waiting.connection


def test_pool_03_idle_connections_of_an_origin_are_dropped_together() -> None:
    world = http1()
    tickets = [world.ask(A) for _ in range(3)] + [world.ask(B)]
    connections = [world.answer() for _ in range(4)]
    for ticket in tickets[1:]:
        world.finish(ticket)
    world.ledger.drop_idle(A)
    assert world.closed == connections[1:3]
    world.ledger.drop_idle(C)
    world.check()


def test_pool_06_shutting_fails_all_waiters_and_empties_the_books() -> None:
    world = http1(connections=3)
    running = [world.ask(A), world.ask(B)]
    connections = [world.answer(), world.answer()]
    waiting = [world.ask(A), world.ask(A), world.ask(C)]
    error = SessionClosed("closed")
    assert world.ledger.shut(error) == connections
    assert [ticket.error for ticket in waiting] == [error] * 3
    assert world.closed == []
    empty = PoolStats(active=0, idle=0, dialing=0, queued=0, created=2, dial_failures=0)
    assert (world.ledger.stats(), len(world.ledger), world.ledger._shelves) == (empty, 0, {})
    for ticket in running + waiting:
        world.leave(ticket)
    assert world.ledger.stats() == empty
    assert world.ledger.shut(error) == []


def test_pool_06_waiter_that_was_served_before_the_end_may_leave_after_it() -> None:
    world = World()
    ticket = world.ask(A)
    connection = world.answer()
    assert world.ledger.shut(SessionClosed("closed")) == [connection]
    world.leave(ticket)
    assert len(world.ledger) == 0


def test_pool_06_connection_that_was_running_dry_is_forgotten_with_the_others() -> None:
    world = http2(connections=1)
    tickets = [world.ask(A), world.ask(A)]
    connection = world.answer(http2=True)
    world.ask(B)
    world.finish(tickets[0])
    assert world.ledger._running_dry is not None
    assert world.ledger.shut(SessionClosed("closed")) == [connection]
    assert world.ledger._running_dry is None


def test_stats_say_how_the_pool_stands() -> None:
    world = http1(connections=3)
    tickets = [world.ask(A) for _ in range(5)]
    world.answer()
    world.answer()
    world.refuse()
    world.leave(tickets[4])
    world.finish(tickets[0])
    world.finish(tickets[1])
    stats = world.ledger.stats()
    assert stats == PoolStats(active=1, idle=1, dialing=1, queued=0, created=2, dial_failures=1)
    assert str(stats) == (
        "connections: 1 active, 1 idle, 1 being opened; 2 created, 1 failed to open; 0 requests queued"
    )
