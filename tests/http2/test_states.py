"""Every row of the tables of states, walked by a real session; and the diagrams that are drawn from them."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

import anyio
import pytest
from anyio.abc import TaskGroup

import netio
from netio.protocol._states import CONNECTION_ROWS, EXCHANGE_ROWS, Row, state_of_connection, state_of_exchange
from netio.testing import FakeClock
from netio.wire import EngineName
from tests.client.conftest import House
from tests.http2.diagrams import PAGE, drawn_into
from tests.http2.raw import (
    ACK,
    LAST_ID,
    MAX_CONCURRENT_STREAMS,
    MAX_FRAME_SIZE,
    SETTINGS,
    Outcome,
    RawPeer,
    RawSide,
    answer,
    data,
    frame,
    goaway,
    head,
    only_connection,
    raw_house,
    reset,
    settings,
)

anyio_test = pytest.mark.anyio

LIMITS = netio.Limits(ping_after=10, ping_timeout=5, idle_seconds=60)


class Taciturn(RawPeer):
    """Says nothing by itself, not even SETTINGS, until the test has it say them."""

    def __init__(self) -> None:
        super().__init__()
        self.acknowledges = self.credits = False

    async def begin(self, side: RawSide) -> None:
        return

    async def respond(self, side: RawSide, stream_id: int, request: str, body: bytes) -> None:
        return


@dataclass
class Walk:
    """One request on one connection, and everything to push them from one state to another."""

    house: House
    clock: FakeClock
    group: TaskGroup
    engine: EngineName
    connection: Any = None
    exchange: Any = None
    scope: anyio.CancelScope | None = None

    @property
    def side(self) -> RawSide:
        side: RawSide = self.house.peer.sides[0]
        return side

    async def say(self, *frames: bytes) -> None:
        await self.side.say(*frames)
        await self.house.settle()

    async def end(self) -> None:
        await self.side.stream.aclose()
        await self.house.settle()

    async def use_last_id(self) -> None:
        await self.say(answer(1))
        inside = self.connection._engine
        if self.engine == "fast":
            inside._next_id = LAST_ID
        else:
            inside._h2.highest_outbound_stream_id = LAST_ID - 2
        self.group.start_soon(partial(Outcome().of, self.house.session, "/"))
        await self.house.settle()

    async def retire(self) -> None:
        self.connection.retire()  # which is what the pool does when it is told 421 or HTTP_1_1_REQUIRED

    async def go_silent(self) -> None:
        self.house.peer.acknowledges = False
        await self.clock.advance(16)

    async def rest(self) -> None:
        await self.say(answer(1))
        await self.clock.advance(62)

    async def settings(self, streams: int) -> None:
        self.house.peer.acknowledges = True
        await self.say(settings({MAX_CONCURRENT_STREAMS: streams}), frame(SETTINGS, flags=ACK))


Step = Callable[[Walk], Awaitable[None]]


def step(*frames: bytes) -> Step:
    return lambda walk: walk.say(*frames)


async def nothing(walk: Walk) -> None:
    """Leave it as it is."""


TO_CONNECTION_STATE: dict[str, Step] = {
    "provisional": nothing,
    "open": lambda walk: walk.settings(100),
    "paused": lambda walk: walk.settings(0),
    "leaving": step(settings(), frame(SETTINGS, flags=ACK), goaway(LAST_ID)),
}
CONNECTION_EVENTS: dict[str, Step] = {
    "SETTINGS": lambda walk: walk.settings(100),
    "no SETTINGS in time": Walk.go_silent,
    "not HTTP/2": step(b"HTTP/1.1 400 Bad Request\r\n\r\n"),
    "limit of zero": lambda walk: walk.settings(0),
    "limit above zero": lambda walk: walk.settings(1),
    "GOAWAY": step(goaway(1)),
    "last stream id": Walk.use_last_id,
    "421, or HTTP_1_1_REQUIRED": Walk.retire,
    "last exchange over": step(answer(1)),
    "lost": Walk.end,
    "no answer to PING": Walk.go_silent,
    "broken frame or flood": step(settings({MAX_FRAME_SIZE: 0})),
    "idle or used for too long": Walk.rest,
}


@anyio_test
@pytest.mark.parametrize("row", CONNECTION_ROWS, ids=lambda row: f"{row.before}, {row.event}")
async def test_a_row_of_the_life_of_a_connection_is_true(engine: EngineName, row: Row) -> None:
    clock = FakeClock()
    async with raw_house(engine, Taciturn(), clock=clock, limits=LIMITS) as house:
        async with anyio.create_task_group() as group:
            # A POST, which is not sent again when its connection is lost.
            group.start_soon(partial(Outcome().of, house.session, "/", "POST"))
            await house.settle()
            walk = Walk(house, clock, group, engine, only_connection(house))
            await TO_CONNECTION_STATE[row.before](walk)
            assert state_of_connection(walk.connection) == row.before
            await CONNECTION_EVENTS[row.event](walk)
            await house.settle()
            assert state_of_connection(walk.connection) == row.after
            group.cancel_scope.cancel()


async def end_request(walk: Walk) -> None:
    walk.house.peer.gate.set()
    await walk.house.settle()


async def cancel(walk: Walk) -> None:
    assert walk.scope is not None
    walk.scope.cancel()
    await walk.house.settle()


TO_EXCHANGE_STATE: dict[str, Step] = {
    "sending": nothing,
    "waiting": end_request,
    "both": step(head(1)),
    "receiving": step(head(1), data(1, b"x")),
}
EXCHANGE_EVENTS: dict[str, Step] = {
    "end of the request": end_request,
    "head": step(head(1)),
    "end of the response": step(data(1, ends=True)),
    "reset": step(reset(1, 8)),
    "cancelled or timed out": cancel,
    "closed unread": cancel,
}


@anyio_test
@pytest.mark.parametrize("row", EXCHANGE_ROWS, ids=lambda row: f"{row.before}, {row.event}")
async def test_a_row_of_the_life_of_an_exchange_is_true(engine: EngineName, row: Row) -> None:
    clock = FakeClock()
    async with raw_house(engine, Taciturn(), clock=clock) as house:
        gate = house.peer.gate = anyio.Event()
        scope = anyio.CancelScope()

        async def body() -> AsyncIterator[bytes]:
            yield b"some"
            await gate.wait()

        async def post() -> None:
            with scope:
                try:
                    async with house.session.stream("POST", "/", content=body(), timeout=None) as response:
                        await anyio.sleep_forever()
                        await response.aclose()
                except netio.RequestError:
                    pass  # the row says whether that was right

        async with anyio.create_task_group() as group:
            group.start_soon(post)
            await house.settle()
            walk = Walk(house, clock, group, engine, only_connection(house), scope=scope)
            await walk.settings(100)
            (walk.exchange,) = walk.connection._exchanges.values()
            if row.before == "receiving":
                await end_request(walk)
            await TO_EXCHANGE_STATE[row.before](walk)
            assert state_of_exchange(walk.exchange) == row.before
            await EXCHANGE_EVENTS[row.event](walk)
            assert state_of_exchange(walk.exchange) == row.after
            assert (walk.exchange in walk.connection._exchanges.values()) is (row.after != "over")
            group.cancel_scope.cancel()


def test_the_diagrams_of_the_page_are_those_of_the_tables() -> None:
    page = PAGE.read_text()
    assert drawn_into(page) == page, "python -m tests.http2.diagrams"


def test_no_state_is_a_dead_end_but_the_last_one() -> None:
    for rows, last in ((CONNECTION_ROWS, "closed"), (EXCHANGE_ROWS, "over")):
        begun = {row.before for row in rows}
        assert {row.after for row in rows} - begun == {last}
        assert len({(row.before, row.event) for row in rows}) == len(rows)
