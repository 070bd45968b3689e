"""Responses that nobody finishes, and sessions that close."""

from __future__ import annotations

import gc
import threading
import warnings
from typing import Literal

import anyio
import anyio.lowlevel
import pytest

import netio
from netio.testing import FakeClock, MemoryStream
from tests.client.conftest import Version, make_house

pytestmark = pytest.mark.anyio

OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"


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


async def test_pool_06_a_request_that_got_a_connection_just_before_the_session_was_closed_fails(
    version: Version,
) -> None:
    async with make_house(version, limits=netio.Limits(connections=1), max_streams=1) as house:
        gate = anyio.Event()
        errors: list[netio.SessionClosed] = []

        async def serve(stream: MemoryStream) -> None:
            await stream.receive()
            await gate.wait()
            await stream.send(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")
            await stream.receive()

        async def last() -> None:
            await house.session.get("/hang")
            await house.session.aclose()

        async def queued() -> None:
            with pytest.raises(netio.SessionClosed) as caught:
                await house.session.get("/", timeout=None)
            errors.append(caught.value)

        if version == "HTTP/1.1":
            house.network.listen("peer.test", 80, serve)
        else:
            await house.session.get("/")
        async with anyio.create_task_group() as group:
            group.start_soon(last)
            await house.settle()
            group.start_soon(queued)
            await house.settle()
            assert house.session.stats().queued == 1
            gate.set()
            if version == "HTTP/2":
                house.peer.live[0].respond(3, 200, b"ok")
                house.peer.live[0].send_body(3)
                await house.peer.live[0].flush()
        # By HTTP/2 both are woken by the same frame, and on trio either may come first.
        assert [error.sent for error in errors] in ([[False]] if version == "HTTP/1.1" else [[False], [True]])


async def test_pool_06_a_policy_that_goes_on_after_the_session_was_closed_opens_no_connection(version: Version) -> None:
    async with make_house(version) as house:
        gate = anyio.Event()

        async def patient(request: netio.Request, send: netio.Send) -> netio.Response:
            await gate.wait()
            return await send(request)

        session = house.new_session(policies=[patient])
        caught: list[netio.SessionClosed] = []

        async def get() -> None:
            try:
                await session.get("/")
            except netio.SessionClosed as error:
                caught.append(error)

        async with anyio.create_task_group() as group:
            group.start_soon(get)
            await house.settle()
            await session.aclose()
            gate.set()
        assert [(error.sent, error.request is not None) for error in caught] == [(False, True)]
        assert house.network.streams == []


async def test_pool_07_a_session_is_closed_and_batched_on_its_own_loop_only(version: Version) -> None:
    async with make_house(version) as house:
        await house.session.get("/")
        caught: list[BaseException] = []

        async def elsewhere() -> None:
            for use in (anext(house.session.batch(["/"])), house.session.aclose()):
                try:
                    await use
                except netio.WrongEventLoop as error:
                    caught.append(error)

        thread = threading.Thread(target=lambda: anyio.run(elsewhere))
        thread.start()
        await anyio.to_thread.run_sync(thread.join)
        assert len(caught) == 2
        assert (await house.session.get("/")).content == b"hello"
