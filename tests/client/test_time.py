"""Time that passes: every limit, on a clock that the test moves."""

from __future__ import annotations

from collections.abc import AsyncIterator

import anyio
import anyio.lowlevel
import pytest

import netio
from netio.testing import FakeClock, MemoryStream
from tests.client.conftest import Version, make_house
from tests.peers import Http2Peer

pytestmark = pytest.mark.anyio

OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"


async def fails_with(
    error: type[netio.NetioError], session: netio.Session, path: str, caught: list[netio.RequestError]
) -> None:
    with pytest.raises(error) as info:
        await session.get(path)
    assert isinstance(info.value, netio.RequestError)
    assert isinstance(info.value, TimeoutError)
    caught.append(info.value)


@pytest.mark.parametrize(
    ("path", "timeouts", "error", "phase"),
    [
        ("/hang", netio.Timeouts(read=20), netio.ReadTimeout, "head"),
        ("/drip", netio.Timeouts(read=20), netio.ReadTimeout, "body"),
        ("/hang", netio.Timeouts(read=None, total=20), netio.TotalTimeout, "head"),
        ("/drip", netio.Timeouts(read=None, total=20), netio.TotalTimeout, "body"),
    ],
)
async def test_a_silent_server_is_given_up_in_time(
    version: Version, path: str, timeouts: netio.Timeouts, error: type[netio.NetioError], phase: str
) -> None:
    clock = FakeClock()
    async with make_house(version, clock=clock, timeout=timeouts) as house:
        caught: list[netio.RequestError] = []
        async with anyio.create_task_group() as group:
            group.start_soon(fails_with, error, house.session, path, caught)
            await clock.advance(19.8)
            assert caught == []
            await clock.advance(0.4)
        assert (caught[0].phase, caught[0].sent) == (phase, True)
        await house.settle()
        assert house.session.stats().active == 0


async def test_a_slow_server_is_not_silent() -> None:
    """A byte every 15 s: the read timeout of 20 s begins anew with each."""
    clock = FakeClock()

    async def serve(stream: MemoryStream) -> None:
        await stream.receive()
        for number in range(len(OK)):
            await clock.sleep(15)
            await stream.send(OK[number : number + 1])

    async with make_house("HTTP/1.1", clock=clock, timeout=netio.Timeouts(total=None)) as house:
        house.network.listen("slow.test", 80, serve)
        contents = []

        async def get() -> None:
            contents.append((await house.session.get("http://slow.test/")).content)

        async with anyio.create_task_group() as group:
            group.start_soon(get)
            for _ in range(len(OK) * 15):
                await clock.advance(1)
        assert contents == [b"ok"]


async def test_slow_03_a_server_that_takes_no_byte_is_given_up(version: Version) -> None:
    clock = FakeClock()

    async def serve(stream: MemoryStream) -> None:
        await anyio.sleep_forever()

    async def endless() -> AsyncIterator[bytes]:
        while True:
            yield b"x" * 50_000

    limits = netio.Limits(ping_timeout=60)  # or an HTTP/2 server that answers nothing is given up before
    timeout = netio.Timeouts(write=20, read=None, total=None)
    async with make_house(version, clock=clock, timeout=timeout, limits=limits) as house:
        house.network.listen("deaf.test", 80, serve)
        caught: list[netio.WriteTimeout] = []

        async def post() -> None:
            with pytest.raises(netio.WriteTimeout) as info:
                await house.session.post("http://deaf.test/", content=endless())
            caught.append(info.value)

        async with anyio.create_task_group() as group:
            group.start_soon(post)
            await clock.advance(19.8)
            assert caught == []
            await clock.advance(0.4)
        assert (caught[0].phase, caught[0].sent) == ("send", True)


async def test_slow_03_a_server_that_takes_little_at_a_time_is_not_given_up() -> None:
    """The body is handed to the link in one piece, which takes much longer to leave than the limit of a silence."""
    clock, answers = FakeClock(), []

    async def serve(stream: MemoryStream) -> None:
        left = 500_000
        while left > 0:
            left -= len(await stream.receive(65_536))
            await clock.sleep(10)
        await stream.send(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")

    timeout = netio.Timeouts(write=15, read=60, total=None)
    async with make_house("HTTP/1.1", clock=clock, timeout=timeout) as house:
        house.network.listen("slow.test", 80, serve)

        async def post() -> None:
            answers.append(await house.session.post("http://slow.test/", content=bytes(500_000)))

        async with anyio.create_task_group() as group:
            group.start_soon(post)
            while not answers:
                await clock.advance(5)
        assert answers[0].text == "ok"
        assert clock.now() > 60


@pytest.mark.parametrize(
    ("timeouts", "error"),
    [(netio.Timeouts(pool=10), netio.PoolTimeout), (netio.Timeouts(pool=None, total=10), netio.TotalTimeout)],
)
async def test_waiting_in_the_queue_is_limited(
    version: Version, timeouts: netio.Timeouts, error: type[netio.NetioError]
) -> None:
    clock = FakeClock()
    limits = netio.Limits(connections=1)
    async with make_house(version, clock=clock, limits=limits, max_streams=1) as house:
        caught: list[netio.RequestError] = []
        async with house.session.stream("GET", "/drip", timeout=None):

            async def queued() -> None:
                with pytest.raises(error) as info:
                    await house.session.get("/", timeout=timeouts)
                assert isinstance(info.value, netio.RequestError)
                caught.append(info.value)

            async with anyio.create_task_group() as group:
                group.start_soon(queued)
                await clock.advance(9.8)
                assert caught == []
                await clock.advance(0.4)
        assert (caught[0].phase, caught[0].sent) == ("queue", False)


async def test_slow_01_a_connection_that_does_not_open_is_given_up(version: Version) -> None:
    clock = FakeClock()

    async def never(host: str, port: int) -> MemoryStream:
        await anyio.sleep_forever()
        raise AssertionError

    async with make_house(version, clock=clock) as house:
        session = house.new_session(clock=clock, timeout=netio.Timeouts(connect=7))
        session._connect = never
        caught: list[netio.RequestError] = []
        async with session, anyio.create_task_group() as group:
            group.start_soon(fails_with, netio.ConnectTimeout, session, "/", caught)
            await clock.advance(6.8)
            assert caught == []
            await clock.advance(0.4)
        assert (caught[0].phase, caught[0].sent) == ("connect", False)


async def test_idle_connections_are_closed_in_time(version: Version) -> None:
    clock = FakeClock()
    async with make_house(version, clock=clock, limits=netio.Limits(idle_seconds=60)) as house:
        await house.session.get("/")
        await clock.advance(58)
        assert house.session.stats().idle == 1
        await clock.advance(4)
        assert (house.session.stats().idle, house.network.open_connections) == (0, 0)
        await clock.advance(5)
        assert house.session._pool is not None
        assert house.session._pool.runtime.tasks == 0  # the timer ends when there is nothing to look after
        assert (await house.session.get("/")).content == b"hello"


async def test_old_connections_are_not_used_again(version: Version) -> None:
    clock = FakeClock()
    limits = netio.Limits(connection_age=600, idle_seconds=10_000)
    async with make_house(version, clock=clock, limits=limits) as house:
        await house.session.get("/")
        await clock.advance(530)
        await house.session.get("/")
        assert house.session.stats().created == 1
        await clock.advance(75)
        await house.session.get("/")
        assert house.session.stats().created == 2


async def test_the_total_covers_a_streamed_body_only_if_asked(version: Version) -> None:
    clock = FakeClock()
    async with make_house(version, clock=clock, timeout=netio.Timeouts(total=10, read=None)) as house:
        async with house.session.stream("GET", "/drip") as response:
            body = response.aiter_bytes()
            assert await anext(body) == b"x"
            with anyio.CancelScope() as scope:
                async with anyio.create_task_group() as group:
                    group.start_soon(anext, body)  # type: ignore[arg-type]
                    await clock.advance(100)
                    scope.cancel()
            assert scope.cancelled_caught
        async with house.session.stream("GET", "/drip", timeout=10) as response:
            body = response.aiter_bytes()
            assert await anext(body) == b"x"
            errors = []

            async def read() -> None:
                try:
                    await anext(body)
                except netio.TotalTimeout as error:
                    errors.append(error)

            async with anyio.create_task_group() as group:
                group.start_soon(read)
                await clock.advance(10.2)
            assert [error.phase for error in errors] == ["body"]


async def test_a_goaway_moves_new_requests_to_another_connection() -> None:
    async with make_house("HTTP/2") as house:
        peer: Http2Peer = house.peer
        await house.session.get("/")
        await house.settle()  # the peer is done with our SETTINGS, and will not write in between
        peer.live[0].h2.close_connection()
        await peer.live[0].flush()
        await house.settle()
        assert (await house.session.get("/")).content == b"hello"
        assert house.session.stats().created == 2


def session_that_nobody_reads(clock: FakeClock, theirs: list[MemoryStream]) -> netio.Session:
    async def connect(host: str, port: int) -> MemoryStream:
        ours, other = MemoryStream.pair(capacity=10)
        theirs.append(other)
        return ours

    return netio.Session(connect=connect, http2=False, clock=clock)


@pytest.mark.parametrize(
    ("timeouts", "error"),
    [
        (netio.Timeouts(write=20, read=None, total=None), netio.WriteTimeout),
        (netio.Timeouts(write=20, read=100, total=None), netio.WriteTimeout),
        (netio.Timeouts(write=None, read=5, total=20), netio.TotalTimeout),
    ],
)
async def test_slow_03_the_write_limit_holds_for_a_request_without_an_upload_too(
    timeouts: netio.Timeouts, error: type[netio.RequestError]
) -> None:
    clock, caught, theirs = FakeClock(), [], []  # type: ignore[var-annotated]
    async with session_that_nobody_reads(clock, theirs) as session, anyio.create_task_group() as group:

        async def get() -> None:
            with pytest.raises(error) as info:
                await session.get("http://deaf.test/", timeout=timeouts)
            caught.append(info.value)

        group.start_soon(get)
        await clock.advance(19.8)
        assert caught == []
        await clock.advance(0.4)
        assert [error.phase for error in caught] == ["send"]


@pytest.mark.parametrize(
    ("timeouts", "error"),
    [
        (netio.Timeouts(write=20, read=None, total=None), netio.WriteTimeout),
        (netio.Timeouts(write=20, read=5, total=10), netio.WriteTimeout),
        (netio.Timeouts(write=None, read=None, total=10), None),
    ],
)
async def test_slow_03_an_upload_after_the_head_of_the_answer_has_the_limits_of_an_upload(
    timeouts: netio.Timeouts, error: type[netio.RequestError] | None
) -> None:
    clock, caught, theirs = FakeClock(), [], []
    async with make_house("HTTP/1.1", clock=clock) as house, anyio.create_task_group() as group:

        async def serve(stream: MemoryStream) -> None:
            theirs.append(stream)
            await stream.receive()
            await stream.send(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\no")
            await anyio.sleep_forever()

        async def post() -> None:
            request = house.session.build_request(
                "POST", "http://early.test/", content=iter([b"x" * 50_000] * 9), timeout=timeouts
            )
            response = await house.session.send(request, stream=True)
            async with response:
                try:
                    await response.aread()
                except netio.RequestError as raised:
                    caught.append(raised)

        house.network.listen("early.test", 80, serve)
        group.start_soon(post)
        await clock.advance(19.8)
        assert caught == []
        await clock.advance(0.4)
        assert [type(raised) for raised in caught] == ([error] if error else [])
        group.cancel_scope.cancel()


async def test_a_second_attempt_that_does_not_come_about_does_not_deny_the_first() -> None:
    """The server takes a DELETE, and dies: whoever looks at `sent` must not take it for not processed."""
    async with make_house("HTTP/1.1") as house:

        async def serve(stream: MemoryStream) -> None:
            await stream.receive()
            await stream.send(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")
            await stream.receive()
            del house.network._handlers["dies.test", 80]

        house.network.listen("dies.test", 80, serve)
        await house.session.get("http://dies.test/")
        with pytest.raises(netio.ConnectError) as caught:
            await house.session.delete("http://dies.test/")
        assert caught.value.sent is True


async def test_who_waits_for_a_dial_of_another_request_has_limits_of_its_own() -> None:
    clock = FakeClock()

    async def never(host: str, port: int) -> MemoryStream:
        await anyio.sleep_forever()
        raise AssertionError

    async with make_house("HTTP/2", clock=clock) as house:
        session = house.new_session(clock=clock)
        session._connect = never
        caught: list[netio.ConnectTimeout] = []

        async def get(timeouts: netio.Timeouts) -> None:
            with pytest.raises(netio.ConnectTimeout) as info:
                await session.get("/", timeout=timeouts)
            caught.append(info.value)

        async with session, anyio.create_task_group() as group:
            group.start_soon(get, netio.Timeouts(connect=100, total=None))
            await house.settle()
            group.start_soon(get, netio.Timeouts(pool=10, connect=5, total=None))
            await clock.advance(14.8)
            assert caught == []
            await clock.advance(0.4)
            assert [(error.phase, error.sent) for error in caught] == [("connect", False)]
            await clock.advance(85)
        assert len(caught) == 2
