"""How large the windows become: the tuner alone, and a session whose server is far away."""

from __future__ import annotations

from dataclasses import dataclass

import anyio
import pytest
from anyio.abc import ByteStream, TaskGroup

from netio.deadline import NEVER
from netio.protocol._window import CONNECTION_TO_STREAM, WindowTuner
from netio.testing import FakeClock, MemoryStream
from netio.wire import MAX_STREAM_WINDOW, EngineName, FastHttp2
from tests.client.conftest import make_house
from tests.http2.raw import only_connection
from tests.peers import Http2Peer

KIB = 1_024
MIB = 1_024 * KIB
WINDOW = 256 * KIB


@dataclass
class Line:
    """A server so many seconds away that always has something to send, and a link of so many bytes a second.

    `run` lets the tuner see one round trip after the other, as the windows of its engine allow.
    """

    round_trip: float
    bandwidth: float

    def __post_init__(self) -> None:
        self.engine = FastHttp2()
        self.tuner = WindowTuner(self.engine)
        self.now = 100.0

    @property
    def share(self) -> float:
        """How much of what the link carries in a round trip the window of a stream allows."""
        return self.engine.stream_window / (self.bandwidth * self.round_trip)

    def run(self, round_trips: int) -> None:
        engine, tuner = self.engine, self.tuner
        for _ in range(round_trips):
            asked = engine.data_received >= tuner.next_at
            if asked:
                tuner.probe(self.now, engine.data_received)
            self.now += self.round_trip
            engine.data_received += int(min(engine.stream_window, self.bandwidth * self.round_trip))
            if asked:
                engine.pings_answered = engine.pings_sent
                assert tuner.is_answered
                tuner.take_answer(self.now, engine.data_received)


def test_a_window_that_is_too_small_for_the_line_grows_until_it_is_not() -> None:
    line = Line(round_trip=0.1, bandwidth=50e6)
    assert line.share < 0.06
    line.run(40)
    assert line.share >= 1
    assert line.engine.stream_window <= 4 * 50e6 * 0.1
    assert line.engine.connection_window >= CONNECTION_TO_STREAM * line.engine.stream_window


def test_it_grows_quickly() -> None:
    line = Line(round_trip=0.1, bandwidth=50e6)
    line.run(12)
    assert line.share >= 1


def test_a_window_never_exceeds_its_limit() -> None:
    line = Line(round_trip=1.0, bandwidth=100e6)
    line.run(100)
    assert line.engine.stream_window == MAX_STREAM_WINDOW
    assert line.engine.connection_window == CONNECTION_TO_STREAM * MAX_STREAM_WINDOW
    assert line.engine.pings_sent < 10  # and then nothing is asked any more


@pytest.mark.parametrize(("round_trip", "bandwidth"), [(0.0002, 1e9), (0.0001, 10e9), (0.01, 5e6), (0.1, 1e6)])
def test_a_window_that_is_large_enough_stays(round_trip: float, bandwidth: float) -> None:
    line = Line(round_trip, bandwidth)
    line.run(2_000)
    assert line.engine.stream_window == WINDOW


def test_questions_are_few_where_nothing_is_to_be_gained() -> None:
    line = Line(round_trip=0.01, bandwidth=5e6)
    line.run(2_000)
    assert line.engine.pings_sent <= line.engine.data_received // (4 * WINDOW) + 1


def test_one_question_is_under_way_at_a_time() -> None:
    engine = FastHttp2()
    tuner = WindowTuner(engine)
    engine.data_received = int(tuner.next_at)
    tuner.probe(1.0, 0)
    assert tuner.next_at == NEVER
    assert not tuner.is_answered
    engine.ping()
    engine.pings_answered = 1
    assert tuner.is_answered


@pytest.mark.parametrize(("taken", "again"), [(WINDOW // 3, 1.2), (WINDOW // 5, 4.2), (0, 4.2)])
def test_a_sample_that_brought_little_is_repeated_out_of_step(taken: int, again: float) -> None:
    """The body came to its end in the middle of it, or its reader is slow, or the credit came a little late."""
    engine = FastHttp2()
    tuner = WindowTuner(engine)
    engine.data_received = WINDOW
    tuner.probe(1.0, WINDOW)
    engine.data_received += WINDOW  # of which not all was read
    engine.pings_answered = 1
    tuner.take_answer(1.1, WINDOW + taken)
    assert engine.stream_window == WINDOW
    assert tuner.next_at == engine.data_received + int(again * WINDOW)


def test_a_window_grows_only_as_long_as_that_makes_it_faster() -> None:
    """A router that queues whatever is sent makes the round trip longer, not the download faster."""
    engine = FastHttp2()
    tuner = WindowTuner(engine)
    now = 1.0
    for _ in range(50):
        if engine.data_received >= tuner.next_at:
            tuner.probe(now, engine.data_received)
        now += engine.stream_window / 2e6  # the queue holds a window, and drains with 2 MB/s
        engine.data_received += engine.stream_window
        engine.pings_answered = engine.pings_sent
        if tuner.is_answered:
            tuner.take_answer(now, engine.data_received)
    assert engine.stream_window <= 4 * WINDOW


# -------------------------------------------------------------------- through a session


class FarAway:
    """A link with a round trip and a bandwidth before a server; time is the test's."""

    def __init__(self, peer: Http2Peer, clock: FakeClock, round_trip: float, bandwidth: float) -> None:
        self.peer = peer
        self.clock = clock
        self.delay = round_trip / 2
        self.bandwidth = bandwidth

    async def serve(self, stream: ByteStream) -> None:
        near, far = MemoryStream.pair()
        async with anyio.create_task_group() as group:
            group.start_soon(self.peer.serve, far)
            group.start_soon(self.carry, stream, near, group)
            group.start_soon(self.carry, near, stream, group)

    async def carry(self, source: ByteStream, target: ByteStream, group: TaskGroup) -> None:
        """Read as fast as it comes, and hand on what is due."""
        under_way, arriving = anyio.create_memory_object_stream[tuple[float, bytes]](NEVER)

        async def read() -> None:
            free_at = 0.0
            while True:
                try:
                    piece = await source.receive(16_384)
                except (anyio.EndOfStream, anyio.ClosedResourceError):
                    group.cancel_scope.cancel()
                    return
                free_at = max(free_at, self.clock.now()) + len(piece) / self.bandwidth
                under_way.send_nowait((free_at + self.delay, piece))

        with under_way, arriving:
            async with anyio.create_task_group() as reading:
                reading.start_soon(read)
                async for due, piece in arriving:
                    if due > self.clock.now():
                        await self.clock.sleep(due - self.clock.now())
                    await target.send(piece)


async def download(
    engine: EngineName,
    round_trip: float,
    bandwidth: float,
    size: int = 3 * MIB,
    *,
    is_read: bool = True,
    is_streamed: bool = True,
) -> tuple[int, float]:
    """Download so much over such a link; return the window of a stream in the end, and the seconds that it took."""
    clock = FakeClock()
    async with make_house("HTTP/2", engine=engine, clock=clock, timeout=None) as house:
        house.network.listen("peer.test", 80, FarAway(house.peer, clock, round_trip, bandwidth).serve)
        received = [0]

        async def get() -> None:
            if not is_streamed:
                received[0] = len((await house.session.get(f"/bytes/{size}")).content)
                return
            async with house.session.stream("GET", f"/bytes/{size}") as response:
                if not is_read:
                    await anyio.sleep_forever()
                async for piece in response.aiter_bytes():
                    received[0] += len(piece)

        began = clock.now()
        async with anyio.create_task_group() as group:
            group.start_soon(get)
            while received[0] < size and (is_read or clock.now() < began + 3):
                await clock.advance(max(round_trip, 0.01))
            window = only_connection(house)._engine.stream_window
            group.cancel_scope.cancel()
        took = clock.now() - began
        await house.session.aclose()
        await house.settle()
    return window, took


@pytest.mark.anyio
@pytest.mark.parametrize("is_streamed", [True, False], ids=["streamed", "whole"])
async def test_the_window_grows_to_what_a_far_server_needs(engine: EngineName, is_streamed: bool) -> None:
    window, took = await download(engine, 0.1, 20e6, 8 * MIB, is_streamed=is_streamed)
    assert 2_000_000 <= window <= MAX_STREAM_WINDOW
    assert took < 1.8  # 0.5 s is what the link needs; with windows that stay as they are it would be 3.3 s


@pytest.mark.anyio
async def test_the_window_stays_where_the_server_is_near(engine: EngineName) -> None:
    window, _ = await download(engine, 0.0, 1e12)
    assert window == WINDOW


@pytest.mark.anyio
async def test_a_narrow_link_that_queues_what_it_gets_is_not_filled(engine: EngineName) -> None:
    window, _ = await download(engine, 0.02, 5e6)
    assert window <= 2 * WINDOW


@pytest.mark.anyio
async def test_h2_19_the_window_of_a_body_that_nobody_reads_does_not_grow(engine: EngineName) -> None:
    window, _ = await download(engine, 0.1, 40e6, is_read=False)
    assert window == WINDOW
