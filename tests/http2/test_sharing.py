"""Large and small ones on one connection: what stands in front of a small request, counted in bytes and turns."""

from __future__ import annotations

from collections.abc import AsyncIterator

import anyio
import pytest
from anyio.lowlevel import checkpoint

from netio.protocol import Http2Connection
from netio.testing._network import CAPACITY
from netio.transport._contract import HIGH_WATER
from netio.wire import EngineName
from tests.client.conftest import House
from tests.http2.raw import Outcome, RawPeer, RawSide, answer, data, head, raw_house, settings

pytestmark = pytest.mark.anyio

MIB = 1_048_576
SMALL_ONES = 50
PIECE = Http2Connection.piece
QUEUED = HIGH_WATER + PIECE + 2 * CAPACITY
"""Bytes of an upload that may be ahead of a small request: on the link, the piece that made it full, on the way."""


class Patient(RawPeer):
    """Allows uploads of any size from the beginning, and has a download that it sends as far as the window goes."""

    def __init__(self) -> None:
        super().__init__({4: 2**31 - 1})

    async def begin(self, side: RawSide) -> None:
        self.credits = False
        await super().begin(side)
        await side.say((4 << 8 | 8).to_bytes(4, "big") + bytes(5) + (2**31 - 1 - 65_535).to_bytes(4, "big"))

    async def respond(self, side: RawSide, stream_id: int, request: str, body: bytes) -> None:
        if request.endswith("/slow"):
            await side.say(head(stream_id), *[data(stream_id, bytes(16_384))] * 16)
        else:
            await super().respond(side, stream_id, request, body)


async def endless(gate: anyio.Event) -> AsyncIterator[bytes]:
    piece = bytes(PIECE)
    while not gate.is_set():
        yield piece


async def test_h2_19_an_upload_puts_no_more_than_a_few_pieces_before_a_small_request(engine: EngineName) -> None:
    async with raw_house(engine, Patient()) as house:
        await house.session.get("/")
        side: RawSide = house.peer.sides[0]
        ahead: list[int] = []
        gate, upload = anyio.Event(), Outcome()

        async def post() -> None:
            await upload.of(house.session, "/", "POST", content=endless(gate))

        async with house.session.stream("GET", "/slow", timeout=None), anyio.create_task_group() as group:
            group.start_soon(post)
            await until_uploaded(side, MIB)
            for _ in range(SMALL_ONES):
                before = side.received
                assert (await house.session.get("/")).content == b"hello"
                ahead.append(side.received - before)
            gate.set()
        assert upload.content is not None
        assert int(upload.content) > MIB
        assert max(ahead) <= QUEUED
        await house.settle()
        await house.assert_clean(connections=1)


async def until_uploaded(side: RawSide, size: int) -> None:
    while side.received < size:
        await checkpoint()


async def turns_of(house: House, path: str) -> int:
    """Return how many turns of the loop a request takes."""
    outcome, turns = Outcome(), 0
    async with anyio.create_task_group() as group:
        group.start_soon(outcome.of, house.session, path)
        while not outcome.is_here:
            await checkpoint()
            turns += 1
    assert outcome.content == b"hello"
    return turns


async def test_h2_19_a_slow_reader_costs_a_small_request_no_turn(engine: EngineName) -> None:
    async with raw_house(engine, Patient()) as house:
        await house.session.get("/")
        alone = sorted([await turns_of(house, "/") for _ in range(SMALL_ONES)])
        async with house.session.stream("GET", "/slow", timeout=None):
            await house.settle()
            shared = sorted([await turns_of(house, "/") for _ in range(SMALL_ONES)])
        assert shared[-2] <= 2 * alone[-2]  # the 98th of a hundred
        await house.settle()
        await house.assert_clean(connections=1)


class AnswersLate(RawPeer):
    """Answers once it has so many requests, the last one first."""

    async def respond(self, side: RawSide, stream_id: int, request: str, body: bytes) -> None:
        if len(side.open) == SMALL_ONES:
            await side.say(*[answer(number) for number in sorted(side.open, reverse=True)])


async def test_h2_11_answers_may_come_in_any_order(engine: EngineName) -> None:
    async with raw_house(engine, AnswersLate({3: 100})) as house:
        outcomes = [Outcome() for _ in range(SMALL_ONES)]
        async with anyio.create_task_group() as group:
            for outcome in outcomes:
                group.start_soon(outcome.of, house.session, "/")
            await house.settle()
            await house.peer.sides[0].say(settings())
        assert {outcome.content for outcome in outcomes} == {b"hello"}
        await house.assert_clean(connections=1)
