"""Time and slowness, seen through a session: HAZARDS SLOW-01, -02, -04 to -07, and POOL-09."""

from __future__ import annotations

import os
import socket
import time
from itertools import chain, count, repeat

import anyio
import anyio.lowlevel
import pytest
from anyio.abc import ByteStream, SocketAttribute

import netio
from netio.testing import FakeClock, MemoryNetwork, MemoryStream
from tests.client.conftest import Version, make_house
from tests.http1.sites import open_site, until
from tests.peers import Http1Peer, Http2Peer, pattern
from tests.transport.far_ends import client_context

pytestmark = pytest.mark.anyio

OK = b"HTTP/1.1 200 OK\r\n"
CHUNKED = OK + b"Transfer-Encoding: chunked\r\n\r\n"

# What comes at once, and what is then repeated byte by byte without end.
DRIPS = {
    "head": (OK + b"X: ", b"x", "head"),
    "informational": (b"", b"HTTP/1.1 102 Processing\r\nA: " + b"x" * 50 + b"\r\n\r\n", "head"),
    "body": (OK + b"Content-Length: 100000\r\n\r\n", b"x", "body"),
    "body to the end": (OK + b"\r\n", b"x", "body"),
    "chunk size": (CHUNKED + b"5;", b"x", "body"),
    "chunks": (CHUNKED, b"1\r\nx\r\n", "body"),
    "trailers": (CHUNKED + b"0\r\nX: ", b"x", "body"),
}


@pytest.mark.parametrize("name", DRIPS)
async def test_slow_02_a_server_that_drips_is_ended_by_the_total(name: str) -> None:
    """A byte every 5 s: never silent for as long as `Timeouts.read`, and never done."""
    clock = FakeClock()
    begin, again, phase = DRIPS[name]

    async def serve(stream: MemoryStream) -> None:
        await stream.receive()
        if begin:
            await stream.send(begin)
        for byte in chain.from_iterable(repeat(again)):
            await stream.send(bytes([byte]))
            await clock.sleep(5)

    async with make_house("HTTP/1.1", clock=clock, timeout=netio.Timeouts(total=60, read=20)) as house:
        house.network.listen("drip.test", 80, serve)
        caught: list[netio.TotalTimeout] = []

        async def get() -> None:
            with pytest.raises(netio.TotalTimeout) as info:
                await house.session.get("http://drip.test/")
            caught.append(info.value)

        async with anyio.create_task_group() as group:
            group.start_soon(get)
            await clock.advance(59.8)
            assert caught == []
            await clock.advance(0.4)
        assert [(error.phase, error.sent) for error in caught] == [(phase, True)]
        await house.assert_clean()


async def test_slow_02_a_streamed_body_that_drips_is_ended_by_the_total_that_was_given_for_it() -> None:
    clock = FakeClock()

    async def serve(stream: MemoryStream) -> None:
        await stream.receive()
        await stream.send(CHUNKED)
        while True:
            await stream.send(b"1\r\nx\r\n")
            await clock.sleep(5)

    async with make_house("HTTP/1.1", clock=clock) as house:
        house.network.listen("drip.test", 80, serve)
        taken: list[bytes] = []

        async def read() -> None:
            with pytest.raises(netio.TotalTimeout) as info:
                async with house.session.stream("GET", "http://drip.test/", timeout=30) as response:
                    async for piece in response.aiter_bytes():
                        taken.append(piece)  # noqa: PERF401
            assert info.value.phase == "body"
            taken.append(b"end")

        async with anyio.create_task_group() as group:
            group.start_soon(read)
            await clock.advance(30.2)
        assert taken[-1] == b"end"
        assert b"".join(taken) == b"xxxxxxend" or b"".join(taken) == b"xxxxxxxend"


@pytest.mark.parametrize(("connect", "total", "kind"), [(7, 60, netio.ConnectTimeout), (60, 7, netio.TotalTimeout)])
async def test_slow_01_a_handshake_that_hangs_ends_by_the_shorter_limit(
    connect: float, total: float, kind: type[netio.TimeoutError]
) -> None:
    clock = FakeClock()
    asked = anyio.Event()

    async def accepts_and_is_silent(stream: MemoryStream) -> None:
        await stream.receive()
        asked.set()
        await anyio.sleep_forever()

    async with MemoryNetwork() as network:
        network.listen("silent.test", 443, accepts_and_is_silent)
        timeout = netio.Timeouts(connect=connect, total=total)
        trust = client_context()
        async with netio.Session(connect=network.connect, verify=trust, clock=clock, timeout=timeout) as session:
            caught: list[netio.TimeoutError] = []

            async def get() -> None:
                with pytest.raises(kind) as info:
                    await session.get("https://silent.test/")
                caught.append(info.value)

            with anyio.fail_after(10):
                async with anyio.create_task_group() as group:
                    group.start_soon(get)
                    await asked.wait()  # the context for TLS is made in a thread
                    await clock.advance(6.8)
                    assert caught == []
                    await clock.advance(0.4)
            assert [(type(error), error.phase, error.sent) for error in caught] == [(kind, "tls", False)]


async def test_slow_04_closing_does_not_wait_for_a_server_that_does_not_close(version: Version) -> None:
    """The server of this house never says goodbye and never closes its end; nor does it have to."""

    async def serve(stream: MemoryStream) -> None:
        try:
            await house.peer.serve(stream)
        finally:
            with anyio.CancelScope(shield=True):
                await released.wait()

    released = anyio.Event()
    async with make_house(version) as house:
        house.network.listen("peer.test", 80, serve)
        for _ in range(2):
            assert (await house.session.get("/")).content == b"hello"
        await house.session.aclose()
        assert house.network.open_connections == 0
        released.set()


async def test_slow_04_closing_is_bounded_if_the_server_takes_nothing_any_more(
    version: Version, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("netio.transport._queueing_link.CLOSE_SECONDS", 0.02)

    class Clogged(MemoryStream):
        """Takes what it is sent until it is told to stop."""

        is_clogged = False

        async def send(self, item: bytes) -> None:
            if self.is_clogged:
                await anyio.sleep_forever()
            await super().send(item)

    streams: list[Clogged] = []

    async with make_house(version) as house:

        async def connect(host: str, port: int) -> MemoryStream:
            inner = await house.network.connect(host, port)
            streams.append(Clogged(inner._incoming, inner._outgoing))
            house.network.streams.remove(inner)
            house.network.streams.append(streams[-1])
            return streams[-1]

        house.session._connect = connect
        assert (await house.session.get("/")).content == b"hello"
        streams[0].is_clogged = True
        with anyio.fail_after(5):
            await house.session.aclose()
        assert streams[0].is_closed


async def test_slow_05_the_clock_on_the_wall_may_jump(version: Version, monkeypatch: pytest.MonkeyPatch) -> None:
    jumps = count(1)
    monkeypatch.setattr(time, "time", lambda: 1_700_000_000.0 + 3_600.0 * next(jumps) * (-1) ** next(jumps))
    async with make_house(version, clock=netio.SystemClock()) as house:
        for _ in range(3):
            assert (await house.session.post("/echo", content=pattern(100_000))).content == pattern(100_000)
        with pytest.raises(netio.ReadTimeout):
            await house.session.get("/hang", timeout=netio.Timeouts(read=0.03))
        await house.settle()
        await house.assert_clean()


class OneByOne(ByteStream):
    """The server's end of a connection on which every byte travels alone, both ways."""

    def __init__(self, stream: ByteStream) -> None:
        self._stream = stream

    async def receive(self, max_bytes: int = 65_536) -> bytes:
        return await self._stream.receive(1)

    async def send(self, item: bytes) -> None:
        for byte in item:
            await self._stream.send(bytes([byte]))

    async def send_eof(self) -> None:
        await self._stream.send_eof()

    async def aclose(self) -> None:
        await self._stream.aclose()


@pytest.mark.parametrize("place", ["memory", "socket"])
async def test_slow_06_a_byte_at_a_time_both_ways_is_the_same_exchange(version: Version, place: str) -> None:
    peer = Http1Peer() if version == "HTTP/1.1" else Http2Peer()

    async def serve(stream: ByteStream) -> None:
        await peer.serve(OneByOne(stream))

    http2 = "prior-knowledge" if version == "HTTP/2" else False
    async with open_site(place, serve) as site, site.session(http2=http2) as session:
        for _ in range(2):
            assert (await session.get("/")).content == b"hello"
            assert (await session.post("/echo", content=pattern(300))).content == pattern(300)
            assert (await session.post("/echo", content=iter([b"one ", b"two"]))).content == b"one two"
        assert session.stats().created == 1


async def test_slow_06_many_answers_in_one_read_are_told_apart() -> None:
    """Interim answers, the final one and what nobody asked for, in one segment."""

    async def serve(stream: ByteStream) -> None:
        await stream.receive()
        await stream.send(b"HTTP/1.1 103 E\r\n\r\n" * 5 + CHUNKED + b"1\r\na\r\n" * 9_000 + b"0\r\n\r\n" + OK)
        await stream.receive()

    for place in ("memory", "socket"):
        async with open_site(place, serve) as site, site.session() as session:
            for number in (1, 2):
                assert (await session.get("/")).content == b"a" * 9_000
                assert session.stats().created == number


def write_at_once(stream: ByteStream, data: bytes) -> None:
    """Send without a turn of the client's loop."""
    with socket.socket(fileno=os.dup(stream.extra(SocketAttribute.raw_socket).fileno())) as sock:
        sock.send(data)


@pytest.mark.parametrize("limit", ["read", "total"])
async def test_slow_07_what_came_while_the_loop_was_blocked_is_not_late(limit: str) -> None:
    """The user's code blocks the loop for longer than the request may take; the answer has been there for long."""
    clock, theirs = FakeClock(), list[ByteStream]()

    async def serve(stream: ByteStream) -> None:
        theirs.append(stream)
        await stream.receive()
        await anyio.sleep_forever()

    timeout = netio.Timeouts(**{"read": None, "total": None, limit: 5})
    async with open_site("socket", serve) as site, site.session(clock=clock, timeout=timeout) as session:
        contents: list[bytes] = []

        async def get() -> None:
            contents.append((await session.get("/")).content)

        async with anyio.create_task_group() as group:
            group.start_soon(get)
            await until(lambda: bool(theirs))
            await clock.advance(1)
            write_at_once(theirs[0], OK + b"Content-Length: 2\r\n\r\nok")
            clock._now += 30  # without a turn of the loop
            await clock.advance(0.1)
        assert contents == [b"ok"]


async def test_pool_09_no_timer_of_the_last_request_is_armed_on_an_idle_connection(version: Version) -> None:
    clock = FakeClock()
    timeouts = netio.Timeouts(read=5, write=5, pool=5, connect=5, total=5)
    async with make_house(version, clock=clock, timeout=timeouts) as house:
        for _ in range(3):
            assert (await house.session.post("/echo", content=b"x" * 50_000)).content == b"x" * 50_000
            async with house.session.stream("GET", "/bytes/300000") as response:
                assert len(await response.aread()) == 300_000
            await clock.advance(20)
            assert house.session.stats().idle == 1
        pool = house.session._pool
        assert pool is not None
        caught: list[netio.TimeoutError] = []

        async def hang() -> None:
            with pytest.raises(netio.TimeoutError) as info:
                await house.session.get("/hang")
            caught.append(info.value)

        async with anyio.create_task_group() as group:  # the next one has all of its own time
            group.start_soon(hang)
            await clock.advance(4.9)
            assert caught == []
            await clock.advance(0.3)
        assert house.session.stats().created == 1
        assert [error.phase for error in caught] == ["head"]
