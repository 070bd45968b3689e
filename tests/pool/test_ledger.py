"""The ledger by example: who gets which connection, and when one is dialed."""

from __future__ import annotations

import pytest

from netio.pool import Limits
from netio.pool._ledger import REMEMBERED_ORIGINS
from netio.url import Origin
from tests.pool.ledgers import A, B, World, http1, http2, served

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


def test_h2_11_while_the_number_of_streams_is_unknown_others_wait_instead_of_dialing() -> None:
    world = World()
    tickets = [world.ask(A) for _ in range(5)]
    connection = world.answer(http2=True, capacity=1, is_provisional=True)
    assert served(*tickets) == [connection, None, None, None, None]
    assert (world.dials, world.ledger.is_being_dialed(tickets[1])) == ([], True)
    connection.is_provisional = False
    connection.capacity = 3
    world.ledger.changed(connection)
    assert served(*tickets) == [connection] * 3 + [None, None]
    assert len(world.dials) == 1
    world.check()


def test_h2_11_a_number_of_streams_that_is_as_guessed_ends_the_wait_too() -> None:
    world = World()
    tickets = [world.ask(A) for _ in range(2)]
    connection = world.answer(http2=True, capacity=1, is_provisional=True)
    connection.is_provisional = False
    world.ledger.changed(connection)
    assert served(*tickets) == [connection, None]
    assert len(world.dials) == 1


def test_h2_11_a_connection_that_dies_before_it_has_said_how_many_streams_is_replaced() -> None:
    world = World()
    tickets = [world.ask(A) for _ in range(2)]
    connection = world.answer(http2=True, capacity=1, is_provisional=True)
    connection.capacity = 0
    world.ledger.changed(connection)
    world.give(connection)
    assert connection.is_closed
    assert len(world.dials) == 1
    assert served(*tickets) == [connection, None]


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
