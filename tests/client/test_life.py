"""Connections that die, sessions that close, time that passes."""

from __future__ import annotations

import gc
import threading
import warnings
from collections.abc import AsyncIterator
from typing import Literal

import anyio
import anyio.lowlevel
import pytest

import netio
from netio.testing import FakeClock, MemoryStream
from tests.client.conftest import Version, make_house
from tests.peers import Http1Peer, Http2Peer

pytestmark = pytest.mark.anyio

OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"


class ClosesAfterOne(Http1Peer):
    """Answers one request a connection, then closes it as soon as a second one has come, unanswered."""

    async def respond(self, stream: object, path: str, body: bytes) -> None:
        assert isinstance(stream, MemoryStream)
        if getattr(stream, "has_served", False):
            stream.reset() if path == "/reset" else stream.close()
            return
        stream.has_served = True  # type: ignore[attr-defined]
        await stream.send(OK)


@pytest.mark.parametrize("path", ["/fin", "/reset"])
@pytest.mark.parametrize("method", ["GET", "PUT", "POST"])
async def test_pool_03_the_keep_alive_race_is_retried_if_that_can_do_no_harm(method: str, path: str) -> None:
    async with make_house("HTTP/1.1") as house:
        peer = ClosesAfterOne()
        house.network.listen("race.test", 80, peer.serve)
        assert (await house.session.get("http://race.test/")).content == b"ok"
        url = f"http://race.test{path}"
        if method == "POST":
            with pytest.raises(netio.ConnectionLost) as caught:
                await house.session.request(method, url, content=b"x")
            assert (caught.value.sent, caught.value.unanswered) == (True, True)
        else:
            assert (await house.session.request(method, url)).content == b"ok"
        assert peer.connections == (1 if method == "POST" else 2)


async def test_pool_03_a_body_that_cannot_be_sent_again_is_not() -> None:
    async with make_house("HTTP/1.1") as house:
        peer = ClosesAfterOne()
        house.network.listen("race.test", 80, peer.serve)
        await house.session.get("http://race.test/")
        with pytest.raises(netio.ConnectionLost):
            await house.session.put("http://race.test/", content=iter([b"once"]))
        assert [body for body in peer.bodies if body] == [b"once"]


async def test_pool_03_a_new_connection_that_dies_is_not_retried() -> None:
    connections = 0

    async def serve(stream: MemoryStream) -> None:
        nonlocal connections
        connections += 1
        await stream.receive()

    async with make_house("HTTP/1.1") as house:
        house.network.listen("dead.test", 80, serve)
        with pytest.raises(netio.ConnectionLost):
            await house.session.get("http://dead.test/")
        assert connections == 1


async def test_pool_03_of_many_stale_connections_one_resend_is_enough() -> None:
    """The server is restarted: all its connections are dead, and only the first request notices."""
    async with make_house("HTTP/1.1") as house:
        peer = ClosesAfterOne()
        house.network.listen("race.test", 80, peer.serve)
        async with anyio.create_task_group() as group:
            for _ in range(8):
                group.start_soon(house.session.get, "http://race.test/")
        assert house.session.stats().idle == 8
        assert (await house.session.get("http://race.test/fin")).content == b"ok"
        assert house.session.stats().idle == 1


async def test_a_connection_closed_while_idle_is_not_used() -> None:
    async with make_house("HTTP/1.1") as house:
        peer = Http1Peer()
        theirs: list[MemoryStream] = []

        async def serve(stream: MemoryStream) -> None:
            theirs.append(stream)
            await peer.serve(stream)

        house.network.listen("idle.test", 80, serve)
        await house.session.get("http://idle.test/")
        theirs[0].close()
        # A POST, which would not be repeated: it must not be tried on the dead connection in the first place.
        assert (await house.session.post("http://idle.test/echo", content=b"x")).content == b"x"
        assert peer.connections == 2


async def test_h1_13_an_answer_that_nobody_asked_for_ends_the_connection() -> None:
    async with make_house("HTTP/1.1") as house:
        peer = Http1Peer()
        theirs: list[MemoryStream] = []

        async def serve(stream: MemoryStream) -> None:
            theirs.append(stream)
            await peer.serve(stream)

        house.network.listen("odd.test", 80, serve)
        await house.session.get("http://odd.test/")
        await theirs[0].send(b"HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\npoison")
        assert (await house.session.get("http://odd.test/")).content == b"hello"
        assert peer.connections == 2


async def test_connection_close_is_obeyed_in_both_directions() -> None:
    async with make_house("HTTP/1.1") as house:

        async def serve(stream: MemoryStream) -> None:
            while b"\r\n\r\n" not in await stream.receive():
                pass
            await stream.send(b"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 2\r\n\r\nok")
            await anyio.sleep_forever()

        house.network.listen("close.test", 80, serve)
        for _ in range(2):
            assert (await house.session.get("http://close.test/")).content == b"ok"
        assert (house.session.stats().created, house.session.stats().idle) == (2, 0)
        await house.session.get("/", headers={"Connection": "close"})
        assert house.session.stats().idle == 0


# ---------------------------------------------------------------------- responses that nobody finishes


async def test_pool_02_a_response_that_is_dropped_unread_gives_its_place_back(version: Version) -> None:
    async with make_house(version, limits=netio.Limits(connections=1), max_streams=1) as house:
        request = house.session.build_request("GET", "/bytes/3000000")
        response = await house.session.send(request, stream=True)
        assert response.status_code == 200
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            del response
            gc.collect()
        assert [str(warning.message) for warning in caught if warning.category is ResourceWarning] == [
            "unclosed response to <Request GET http://peer.test/bytes/3000000>"
        ]
        assert (await house.session.get("/", timeout=5)).content == b"hello"
        await house.settle()
        await house.assert_clean()


async def test_pool_02_leaving_the_loop_leaves_the_connection_usable(version: Version) -> None:
    async with make_house(version, limits=netio.Limits(connections=1), max_streams=1) as house:
        for _ in range(3):
            async with house.session.stream("GET", "/bytes/3000000") as response:
                async for _piece in response.aiter_bytes():
                    break
            assert (await house.session.get("/", timeout=5)).content == b"hello"


async def test_pool_02_an_error_in_the_loop_leaves_the_connection_usable(version: Version) -> None:
    async with make_house(version, limits=netio.Limits(connections=1), max_streams=1) as house:
        with pytest.raises(KeyError):
            async with house.session.stream("GET", "/bytes/3000000") as response:
                async for _piece in response.aiter_bytes():
                    raise KeyError
        assert (await house.session.get("/", timeout=5)).content == b"hello"


async def test_pool_02_a_response_is_read_once(version: Version) -> None:
    async with make_house(version) as house:
        async with house.session.stream("GET", "/") as response:
            assert await response.aread() == b"hello"
            assert await response.aread() == b"hello"
            assert [piece async for piece in response.aiter_bytes()] == [b"hello"]
        async with house.session.stream("GET", "/") as other:
            assert [piece async for piece in other.aiter_bytes()] == [b"hello"]
            with pytest.raises(netio.BodyUnavailable):
                await other.aread()
        with pytest.raises(netio.BodyUnavailable):
            assert other.content


# ---------------------------------------------------------------------- the end of a session


@pytest.mark.parametrize("path", ["/hang", "/drip"])
async def test_pool_06_closing_fails_what_is_under_way(version: Version, path: str) -> None:
    async with make_house(version, limits=netio.Limits(connections=2)) as house:
        errors: list[netio.SessionClosed] = []

        async def one() -> None:
            with pytest.raises(netio.SessionClosed) as caught:
                await house.session.get(path)
            errors.append(caught.value)

        async with anyio.create_task_group() as group:
            for _ in range(5):
                group.start_soon(one)
            await house.settle()
            await house.session.aclose()
        # By HTTP/1.1 two were sent, and three waited in the queue.
        assert sum(error.sent for error in errors) == (2 if version == "HTTP/1.1" else 5)
        assert {error.phase for error in errors if not error.sent} <= {"queue"}
        assert all(error.request is not None for error in errors)
        assert house.network.open_connections == 0


async def test_pool_06_a_closed_session_refuses_and_closes_twice(version: Version) -> None:
    async with make_house(version) as house:
        await house.session.get("/")
        async with anyio.create_task_group() as group:
            group.start_soon(house.session.aclose)
            group.start_soon(house.session.aclose)
        await house.session.aclose()
        with pytest.raises(netio.SessionClosed) as caught:
            await house.session.get("/")
        assert caught.value.sent is False
        assert house.session.is_closed


async def test_pool_06_a_streamed_response_ends_with_its_session(version: Version) -> None:
    async with make_house(version) as house:
        async with house.session.stream("GET", "/bytes/5000000") as response:
            body = response.aiter_bytes()
            await anext(body)
            await house.session.aclose()
            with pytest.raises(netio.SessionClosed):
                async for _ in body:
                    pass
        assert house.network.open_connections == 0


async def test_pool_06_closing_while_a_dial_is_under_way(version: Version) -> None:
    async def never(host: str, port: int) -> MemoryStream:
        await anyio.sleep_forever()
        raise AssertionError

    http2: Literal["prior-knowledge", False] = "prior-knowledge" if version == "HTTP/2" else False
    session = netio.Session(connect=never, http2=http2, clock=FakeClock())
    with anyio.fail_after(5):
        async with anyio.create_task_group() as group:

            async def one() -> None:
                with pytest.raises(netio.SessionClosed):
                    await session.get("http://never.test/")

            group.start_soon(one)
            await anyio.wait_all_tasks_blocked()
            assert session.stats().dialing == 1
            await session.aclose()
    assert session._pool is not None
    assert session._pool.runtime.tasks == 0


async def test_pool_06_a_cancelled_close_still_closes(version: Version) -> None:
    async with make_house(version) as house:
        await house.session.get("/")
        with anyio.CancelScope() as scope:
            scope.cancel()
            await house.session.aclose()
        await house.settle()
        assert house.network.open_connections == 0


async def test_a_session_is_opened_in_one_task_and_closed_in_another(version: Version) -> None:
    async with make_house(version) as house:
        session = house.new_session()

        async def use() -> None:
            await session.__aenter__()
            assert (await session.get("/")).content == b"hello"

        async with anyio.create_task_group() as group:
            group.start_soon(use)
        async with anyio.create_task_group() as group:
            group.start_soon(session.aclose)
        assert session.is_closed


async def test_pool_07_another_event_loop_is_refused(version: Version) -> None:
    async with make_house(version) as house:
        await house.session.get("/")
        caught: list[BaseException] = []

        async def elsewhere() -> None:
            try:
                await house.session.get("/")
            except netio.WrongEventLoop as error:
                caught.append(error)

        thread = threading.Thread(target=lambda: anyio.run(elsewhere))
        thread.start()
        await anyio.to_thread.run_sync(thread.join)
        assert len(caught) == 1
        assert (await house.session.get("/")).content == b"hello"


# ---------------------------------------------------------------------- time


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

    async with make_house(version, clock=clock, timeout=netio.Timeouts(write=20, read=None, total=None)) as house:
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
