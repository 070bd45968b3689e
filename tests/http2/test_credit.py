"""Windows both ways: credit that comes back, uploads that wait for room, streams that nobody reads."""

from __future__ import annotations

from collections.abc import AsyncIterator
from functools import partial

import anyio
import pytest

import netio
from netio.testing import FakeClock
from netio.wire import EngineName
from tests.client.conftest import make_house
from tests.http2.raw import (
    DATA,
    END_STREAM,
    INITIAL_WINDOW_SIZE,
    MAX_CONCURRENT_STREAMS,
    PADDED,
    PING,
    WINDOW_UPDATE,
    Outcome,
    RawPeer,
    RawSide,
    answer,
    credit,
    data,
    frame,
    head,
    only_connection,
    raw_house,
    settings,
)
from tests.peers import pattern

pytestmark = pytest.mark.anyio

MIB = 1_048_576


def uploaded(side: RawSide) -> int:
    return sum(len(heard.payload) for heard in side.of(DATA))


async def test_h2_05_a_server_that_asks_for_a_giant_header_table_gets_none(engine: EngineName) -> None:
    async with raw_house(engine, RawPeer({1: 2**31 - 1})) as house:
        for number in range(20):
            response = await house.session.get("/", headers={"X-Large": str(number) * 1_000})
            assert response.content == b"hello"
        inside = only_connection(house)._engine
        encoder = inside._h2.encoder if engine == "reference" else inside._encoder
        table = encoder.header_table if engine == "reference" else encoder
        assert (table.maxsize if engine == "reference" else 4_096) == 4_096
        side = house.peer.sides[0]
        assert side._decoder.header_table._current_size <= 4_096
        await house.assert_clean(connections=1)


async def test_h2_10_a_window_that_shrinks_below_what_was_sent_is_made_up_for(engine: EngineName) -> None:
    peer = RawPeer({INITIAL_WINDOW_SIZE: 50_000})
    peer.credits = False
    async with raw_house(engine, peer) as house:
        await house.session.get("/")
        side = peer.sides[0]
        outcome = Outcome()
        async with anyio.create_task_group() as group:
            group.start_soon(partial(outcome.of, house.session, "/", "POST", content=b"x" * 120_000))
            await house.settle()
            assert uploaded(side) == 50_000
            await side.say(credit(0, 100_000), settings({INITIAL_WINDOW_SIZE: 10_000}))  # 40,000 below nothing
            await side.say(credit(3, 40_000))
            await house.settle()
            assert uploaded(side) == 50_000
            await side.say(credit(3, 1))
            await house.settle()
            assert uploaded(side) == 50_001
            await side.say(settings({INITIAL_WINDOW_SIZE: 10_100}))
            await house.settle()
            assert uploaded(side) == 50_101
            await side.say(credit(3, 100_000))
        assert outcome.content == b"120000"
        await house.assert_clean(connections=1)


async def test_h2_10_a_window_of_zero_for_ever_ends_by_the_write_timeout(engine: EngineName) -> None:
    clock = FakeClock()
    async with raw_house(engine, RawPeer({INITIAL_WINDOW_SIZE: 0}), clock=clock) as house:
        await house.session.get("/")
        upload = Outcome()
        timeout = netio.Timeouts(write=20, read=None, total=None)
        async with anyio.create_task_group() as group:
            group.start_soon(partial(upload.of, house.session, "/", "POST", content=b"x" * 9, timeout=timeout))
            await clock.advance(19.8)
            assert not upload.is_here
            assert (await house.session.get("/")).content == b"hello"
            await clock.advance(0.4)
        upload.check_error(netio.WriteTimeout)
        await house.settle()
        assert list(house.peer.sides[0].resets) == [3]
        await house.assert_clean(connections=1)


async def test_h2_10_a_window_above_the_largest_ends_the_connection(engine: EngineName) -> None:
    async with raw_house(engine) as house:
        outcome = Outcome()
        async with anyio.create_task_group() as group:
            group.start_soon(outcome.of, house.session, "/hang")
            await house.settle()
            await house.peer.sides[0].say(settings({INITIAL_WINDOW_SIZE: 2**31}))
        outcome.check_error(netio.ProtocolError)
        await house.settle()
        assert house.peer.sides[0].goodbyes == [3]
        await house.assert_clean(connections=1)


class Lavish(RawPeer):
    """Sends bodies without end or sense: padded ones, and on streams that were reset long ago."""

    async def respond(self, side: RawSide, stream_id: int, request: str, body: bytes) -> None:
        padded = frame(DATA, stream_id, bytes((200,)) + bytes(10_000), PADDED)
        if request.endswith("/padded"):
            await side.say(head(stream_id), *[padded] * 5, data(stream_id, ends=True))
        elif request.endswith("/large"):
            await side.say(head(stream_id), *[data(stream_id, bytes(16_000))] * 10)  # and no end
        else:
            await super().respond(side, stream_id, request, body)


async def test_h2_17_no_way_to_end_a_download_costs_credit(engine: EngineName) -> None:
    async with raw_house(engine, Lavish(), http2="prior-knowledge") as house:
        sent = 0
        for number in range(30):
            assert len((await house.session.get("/padded")).content) == 5 * 9_800
            async with house.session.stream("GET", "/large", timeout=None) as response:
                if number % 2:
                    assert await anext(response.aiter_bytes())
                await house.settle()
            side = house.peer.sides[0]
            await house.settle()
            await side.say(data(max(side.resets), bytes(16_000)))  # was under way
            sent += 5 * 10_001 + 10 * 16_000 + 16_000
        await house.settle()
        inside = only_connection(house)._engine
        window = inside.connection_window
        # What is not given back yet is less than half of the window, wherever that is.
        assert side.granted - sent > window // 2 - 65_535
        await house.assert_clean(connections=1)


async def test_h2_17_a_body_given_up_half_way_is_credited_and_its_stream_reset(engine: EngineName) -> None:
    async with raw_house(engine, Lavish()) as house:
        async with house.session.stream("GET", "/large", timeout=None) as response:
            body = response.aiter_bytes()
            assert await anext(body)
        await house.settle()
        side = house.peer.sides[0]
        assert side.resets == {1: 8}
        inside = only_connection(house)._engine
        if engine == "fast":
            assert inside._window + inside._uncredited == inside.connection_window
        await house.assert_clean(connections=1)


async def test_h2_18_an_upload_goes_on_while_the_server_floods(engine: EngineName) -> None:
    async with raw_house(engine) as house:
        outcome, download = Outcome(), Outcome()
        async with anyio.create_task_group() as group:
            group.start_soon(download.of, house.session, "/hang")
            await house.settle()
            side = house.peer.sides[0]
            group.start_soon(partial(outcome.of, house.session, "/", "POST", content=b"x" * (2 * MIB)))
            await side.say(head(1))
            pieces = 0
            while not outcome.is_here:
                await side.say(data(1, bytes(8_000)), frame(PING, payload=bytes(8)))
                pieces += 1
            await side.say(data(1, ends=True))
        assert outcome.content == b"%d" % (2 * MIB)
        assert len(download.content or b"") == pieces * 8_000
        await house.assert_clean(connections=1)


class AnswersAtOnce(RawPeer):
    """Full duplex: says the head before the request has a body."""

    async def on_head(self, side: RawSide, stream_id: int, request: str) -> None:
        await side.say(head(stream_id))

    async def respond(self, side: RawSide, stream_id: int, request: str, body: bytes) -> None:
        await side.say(data(stream_id, b"end", ends=True))


async def test_h2_18_a_response_is_read_while_the_request_body_still_goes_out(engine: EngineName) -> None:
    async with raw_house(engine, AnswersAtOnce()) as house:
        gates = [anyio.Event() for _ in range(4)]

        async def body() -> AsyncIterator[bytes]:
            for gate in gates[:3]:
                await gate.wait()
                yield b"piece"
            await gates[3].wait()

        async with house.session.stream("POST", "/", content=body(), timeout=None) as response:
            chunks = response.aiter_bytes()
            side = house.peer.sides[0]
            for number, gate in enumerate(gates[:3], 1):
                gate.set()
                await house.settle()
                assert uploaded(side) == 5 * number
                await side.say(data(1, b"%d" % number))
                assert await anext(chunks) == b"%d" % number
            gates[3].set()
            assert [chunk async for chunk in chunks] == [b"end"]
        await house.assert_clean(connections=1)


async def test_h2_19_unread_streams_hold_their_own_window_and_no_more(engine: EngineName) -> None:
    async with make_house("HTTP/2", engine=engine) as house:
        await house.session.get("/")
        unread = [
            await house.session.send(house.session.build_request("GET", f"/bytes/{2 * MIB}", timeout=None), stream=True)
            for _ in range(8)
        ]
        await house.settle()
        connection = only_connection(house)
        held = [sum(map(len, stream.chunks)) for stream in connection._exchanges]
        assert len(held) == 8
        assert 0 < max(held) <= connection._engine.stream_window
        assert sum(held) <= connection._engine.connection_window
        assert (await house.session.get("/bytes/300000")).content == pattern(300_000)
        for response in unread[:4]:
            assert await response.aread() == pattern(2 * MIB)
        for response in unread[4:]:
            await response.aclose()
        await house.settle()
        assert (await house.session.get("/bytes/3000000")).content == pattern(3_000_000)
        await house.assert_clean(connections=1)


async def test_h2_19_streams_that_nobody_reads_never_hold_more_than_the_connection_window(engine: EngineName) -> None:
    class Floods(RawPeer):
        async def respond(self, side: RawSide, stream_id: int, request: str, body: bytes) -> None:
            await side.say(head(stream_id), *[data(stream_id, bytes(16_384))] * 15)

    async with raw_house(engine, Floods({MAX_CONCURRENT_STREAMS: 200})) as house:
        open_ones = []
        for _ in range(136):  # times 240 KiB is 32 MiB
            request = house.session.build_request("GET", "/", timeout=None)
            open_ones.append(await house.session.send(request, stream=True))
        await house.settle()
        side = house.peer.sides[0]
        assert [heard for heard in side.of(WINDOW_UPDATE) if heard.stream_id == 0][1:] == []
        assert side.granted == 32 * MIB
        for response in open_ones:
            await response.aclose()
        await house.settle()
        assert side.granted > 32 * MIB
        await house.assert_clean(connections=1)


async def test_h2_10_a_request_that_ends_with_its_last_byte_says_so_in_that_frame(engine: EngineName) -> None:
    async with raw_house(engine) as house:
        await house.session.post("/", content=b"x" * 100_000)
        frames = house.peer.sides[0].of(DATA)
        assert [bool(heard.flags & END_STREAM) for heard in frames] == [False] * (len(frames) - 1) + [True]
        assert frames[-1].payload


async def test_h2_18_the_answer_to_a_body_that_is_not_wanted_ends_the_upload(engine: EngineName) -> None:
    class Enough(RawPeer):
        async def on_head(self, side: RawSide, stream_id: int, request: str) -> None:
            if request.startswith("POST"):
                await side.say(answer(stream_id, b"enough", 413))

    async with raw_house(engine, Enough()) as house:
        house.peer.credits = False
        response = await house.session.post("/", content=b"x" * 500_000)
        assert (response.status_code, response.content) == (413, b"enough")
        await house.settle()
        side = house.peer.sides[0]
        assert side.resets == {1: 8}
        assert uploaded(side) <= 65_535
        await house.assert_clean(connections=1)
