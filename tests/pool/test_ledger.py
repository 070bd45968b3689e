"""The ledger by example: who gets which connection, and when one is dialed or closed."""

from __future__ import annotations

from typing import Any

import pytest

from netio.errors import QueueFull, SessionClosed
from netio.pool import Limits, PoolStats
from netio.pool._ledger import LULL_SECONDS, REMEMBERED_ORIGINS, SURPLUS_SECONDS
from netio.url import Origin
from tests.pool.ledgers import A, B, C, D, FakeConnection, FakeTicket, World


def http1(**limits: Any) -> World:
    """A world where everybody is known to speak HTTP/1.1."""
    return World(Limits(**limits), multiplexes=lambda _: False)


def http2(**limits: Any) -> World:
    """A world where everybody is known to speak HTTP/2."""
    return World(Limits(**limits), multiplexes=lambda _: True)


def served(*tickets: FakeTicket) -> list[FakeConnection | None]:
    return [ticket.connection for ticket in tickets]


# ---------------------------------------------------------------------- dials


def test_first_request_is_served_by_the_dial_that_it_caused() -> None:
    world = World()
    ticket = world.ask(A)
    assert [(dial.origin, dial.ticket) for dial in world.dials] == [(A, ticket)]
    connection = world.answer()
    assert ticket.connection is connection
    world.check()


def test_connection_that_was_used_last_is_taken_first() -> None:
    world = http1()
    first, second = world.ask(A), world.ask(A)
    older, newer = world.answer(), world.answer()
    world.finish(second)
    world.finish(first)
    assert served(world.ask(A), world.ask(A)) == [older, newer]
    assert world.dials == []


def test_idle_connection_of_another_origin_is_not_taken() -> None:
    world = World()
    ticket = world.ask(A)
    world.answer()
    world.finish(ticket)
    assert world.ask(B).connection is None
    assert [dial.origin for dial in world.dials] == [B]


def test_h2_29_one_dial_is_enough_for_many_waiters_while_the_protocol_is_unknown() -> None:
    world = World()
    tickets = [world.ask(A) for _ in range(1_000)]
    assert len(world.dials) == 1
    connection = world.answer(http2=True, capacity=1_000)
    assert served(*tickets) == [connection] * 1_000
    assert world.dials == []
    world.check()


def test_h2_29_when_it_turns_out_to_be_http1_the_others_get_their_dials() -> None:
    world = World()
    tickets = [world.ask(A) for _ in range(5)]
    first = world.answer()
    assert served(*tickets) == [first, None, None, None, None]
    assert len(world.dials) == 4
    connections = [world.answer() for _ in range(4)]
    assert served(*tickets) == [first, *connections]
    world.check()


def test_origin_known_for_http1_gets_a_dial_for_each_waiter_at_once() -> None:
    world = http1()
    for _ in range(3):
        world.ask(A)
    assert len(world.dials) == 3


def test_protocol_of_an_origin_is_remembered_beyond_its_last_connection() -> None:
    world = World()
    for origin, speaks_http2 in ((A, False), (B, True)):
        world.ask(origin)
        world.drop(world.answer(http2=speaks_http2))
    assert len(world.ledger) == 0
    for origin in (A, A, A, B, B, B):
        world.ask(origin)
    assert [dial.origin for dial in world.dials] == [A, A, A, B]


def test_protocol_of_the_last_connection_counts() -> None:
    world = http1()
    tickets = [world.ask(A) for _ in range(4)]
    connection = world.answer(http2=True)
    assert served(*tickets) == [connection] * 4
    for _ in range(3):
        world.answer(http2=True)
    for ticket in tickets:
        world.finish(ticket)
    world.check()
    assert world.ledger.stats().idle == 4


def test_only_so_many_protocols_are_remembered() -> None:
    world = World()
    for number in range(REMEMBERED_ORIGINS + 5):
        world.ask(Origin("https", f"{number}.example", 443))
        world.drop(world.answer())
    assert len(world.ledger._remembered) == REMEMBERED_ORIGINS
    assert world.ledger._shelves == {}


def test_dial_that_nobody_waits_for_any_more_becomes_an_idle_connection() -> None:
    world = World()
    world.leave(world.ask(A))
    connection = world.answer()
    assert world.ledger.stats().idle == 1
    assert world.ask(A).connection is connection


def test_dial_of_a_request_that_left_serves_the_next_one() -> None:
    world = http1()
    world.leave(world.ask(A))
    ticket = world.ask(A)
    assert len(world.dials) == 1
    assert world.answer() is ticket.connection


def test_connection_that_becomes_free_during_a_dial_serves_the_waiter() -> None:
    world = http1()
    first = world.ask(A)
    connection = world.answer()
    second = world.ask(A)
    world.finish(first)
    assert second.connection is connection
    spare = world.answer()
    assert (spare.held, world.ledger.stats().idle) == (0, 1)
    world.check()


def test_connection_that_is_of_no_use_from_its_beginning_is_closed_and_dialed_again() -> None:
    world = World()
    ticket = world.ask(A)
    connection = world.answer(http2=True, capacity=0)
    assert connection.is_closed
    assert len(world.dials) == 1
    assert world.answer(http2=True) is ticket.connection


# ---------------------------------------------------------------------- streams


def test_second_http2_connection_is_dialed_when_the_streams_run_out() -> None:
    world = World()
    tickets = [world.ask(A) for _ in range(2)]
    first = world.answer(http2=True, capacity=2)
    assert world.dials == []
    more = [world.ask(A) for _ in range(3)]
    assert len(world.dials) == 1
    second = world.answer(http2=True, capacity=2)
    assert served(*tickets, *more) == [first, first, second, second, None]
    assert len(world.dials) == 1
    world.check()


def test_stream_that_ends_serves_the_first_in_the_queue() -> None:
    world = World()
    running = [world.ask(A) for _ in range(2)]
    connection = world.answer(http2=True, capacity=2)
    waiting = [world.ask(A) for _ in range(2)]
    world.finish(running[1])
    assert served(*waiting) == [connection, None]


def test_h2_11_raised_capacity_wakes_as_many_waiters_in_their_order() -> None:
    world = http2(connections=1)
    tickets = [world.ask(A) for _ in range(5)]
    connection = world.answer(http2=True, capacity=1)
    world.set_capacity(connection, 3)
    assert served(*tickets) == [connection, connection, connection, None, None]
    world.set_capacity(connection, 100)
    assert served(*tickets) == [connection] * 5
    world.check()


def test_h2_11_capacity_below_what_runs_is_respected_until_enough_has_ended() -> None:
    world = http2(connections=1)
    running = [world.ask(A) for _ in range(4)]
    connection = world.answer(http2=True, capacity=4)
    waiting = world.ask(A)
    world.set_capacity(connection, 2)
    for ticket in running[:2]:
        world.finish(ticket)
    assert waiting.connection is None
    world.finish(running[2])
    assert waiting.connection is connection
    world.check()


def test_h2_20_connection_that_is_leaving_ends_its_streams_and_is_closed() -> None:
    world = http2()
    first, second = world.ask(A), world.ask(A)
    leaving = world.answer(http2=True)
    world.set_capacity(leaving, 0)
    third = world.ask(A)
    fresh = world.answer(http2=True)
    assert third.connection is fresh
    world.finish(first)
    assert not leaving.is_closed
    world.finish(second)
    assert leaving.is_closed
    world.check()


def test_h2_11_idle_connection_whose_capacity_falls_to_zero_is_closed() -> None:
    world = http2()
    ticket = world.ask(A)
    connection = world.answer(http2=True)
    world.finish(ticket)
    world.set_capacity(connection, 0)
    assert connection.is_closed
    assert len(world.ledger) == 0


def test_http1_connection_that_does_not_survive_its_exchange_is_closed_and_replaced() -> None:
    world = http1(connections=1)
    first, second = world.ask(A), world.ask(A)
    broken = world.answer()
    broken.capacity = 0
    world.finish(first)
    assert broken.is_closed
    assert world.answer() is second.connection


# ---------------------------------------------------------------------- dials that fail


@pytest.mark.parametrize("known", [None, True])
def test_failed_dial_fails_all_who_waited_for_it(known: bool | None) -> None:
    world = World(multiplexes=lambda _: known)
    tickets = [world.ask(A) for _ in range(3)]
    error = world.refuse()
    assert [ticket.error for ticket in tickets] == [error] * 3
    assert (len(world.ledger), world.ledger._shelves, world.dials) == (0, {}, [])


def test_failed_dial_to_an_http1_origin_fails_one_waiter() -> None:
    world = http1()
    tickets = [world.ask(A) for _ in range(3)]
    error = world.refuse()
    assert [ticket.error for ticket in tickets] == [error, None, None]
    assert served(*tickets) == [None, *served(tickets[1], tickets[2])]
    assert len(world.dials) == 2
    world.check()


def test_failed_dial_fails_nobody_whose_own_dial_is_under_way() -> None:
    world = http1()
    running = world.ask(A)
    connection = world.answer()
    first, second = world.ask(A), world.ask(A)
    world.finish(running)
    assert served(first, second) == [connection, None]
    world.refuse()
    assert second.error is None
    error = world.refuse()
    assert second.error is error


def test_failed_dial_beside_a_live_http2_connection_fails_one_waiter() -> None:
    world = http2()
    running = world.ask(A)
    connection = world.answer(http2=True, capacity=1)
    first, second = world.ask(A), world.ask(A)
    error = world.refuse()
    assert (first.error, second.error) == (error, None)
    world.finish(running)
    assert second.connection is connection


def test_failed_dial_gives_its_slot_to_another_origin() -> None:
    world = World(Limits(connections=1))
    world.ask(A)
    waiting = world.ask(B)
    assert [dial.origin for dial in world.dials] == [A]
    world.refuse()
    assert world.answer() is waiting.connection


def test_next_request_after_a_failed_dial_dials_again() -> None:
    world = World()
    world.ask(A)
    world.refuse()
    ticket = world.ask(A)
    assert world.answer() is ticket.connection


# ---------------------------------------------------------------------- limits


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


@pytest.mark.parametrize(("workers_of_a", "workers_of_b"), [(8, 8), (20, 3), (1, 20), (4, 4)])
def test_busy_origins_at_the_limit_do_not_take_each_others_connections(workers_of_a: int, workers_of_b: int) -> None:
    world = http1(connections=8)
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


# ---------------------------------------------------------------------- requests that die


def test_pool_04_waiter_that_dies_after_it_was_served_passes_it_on() -> None:
    world = http1(connections=1)
    running, dying, next_one = world.ask(A), world.ask(A), world.ask(A)
    connection = world.answer()
    world.finish(running)
    assert dying.connection is connection
    world.leave(dying)
    assert (dying.connection, next_one.connection) == (None, connection)
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


# ---------------------------------------------------------------------- limits are sensible


@pytest.mark.parametrize(
    "limits",
    [
        {"connections": 0},
        {"connections": -1},
        {"connections": None},
        {"connections": 1.0},
        {"connections": True},
        {"connections": "10"},
        {"connections_per_origin": 0},
        {"connections_per_origin": False},
        {"idle": -1},
        {"idle": None},
        {"idle": 0.5},
        {"queued": 0},
        {"queued": None},
        {"idle_seconds": 0},
        {"idle_seconds": None},
        {"idle_seconds": float("nan")},
        {"idle_seconds": "60"},
        {"idle_seconds": True},
        {"connection_age": 0},
        {"connection_age": -1},
        {"connection_age": float("nan")},
    ],
)
def test_limits_refuse_nonsense(limits: dict[str, Any]) -> None:
    (name,) = limits
    with pytest.raises(ValueError, match=f"Limits.{name} must be"):
        Limits(**limits)


def test_limits_allow_what_makes_sense() -> None:
    limits = Limits(connections=1, connections_per_origin=1, idle=0, queued=1, idle_seconds=0.1, connection_age=None)
    assert limits == Limits(
        connections=1, connections_per_origin=1, idle=0, queued=1, idle_seconds=0.1, connection_age=None
    )
    assert Limits(connections_per_origin=None, idle_seconds=float("inf")).connections == 100
