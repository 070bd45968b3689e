"""`Session.connect`: connections that are there before they are needed."""

from __future__ import annotations

import dataclasses
from typing import Any

import anyio
import pytest

import netio
from netio.testing import FakeClock, MemoryStream, cancel_everywhere
from tests.client.conftest import House, Version, make_house
from tests.http1.sites import open_site, until
from tests.peers import Http1Peer

pytestmark = pytest.mark.anyio


def counts(house: House) -> tuple[int, int, int]:
    stats = house.session.stats()
    return stats.created, stats.idle, stats.active


@pytest.mark.parametrize("count", [1, 2, 7])
async def test_as_many_connections_are_idle_as_were_asked_for(version: Version, count: int) -> None:
    async with make_house(version) as house:
        ready = 1 if version == "HTTP/2" else count
        assert await house.session.connect("/", count) == ready
        assert counts(house) == (ready, ready, 0)
        assert house.session.stats().requests == 0
        assert house.peer.requests == []
        await house.settle()
        await house.assert_clean(connections=ready)


async def test_the_next_requests_use_them(version: Version) -> None:
    async with make_house(version) as house:
        await house.session.connect("/", 5)
        async with anyio.create_task_group() as group:
            for _ in range(5):
                group.start_soon(house.session.get, "/")
        await house.settle()
        await house.assert_clean(connections=1 if version == "HTTP/2" else 5)


async def test_idle_connections_count_and_those_in_use_do_not(version: Version) -> None:
    async with make_house(version) as house:
        assert await house.session.connect("/", 2) == (1 if version == "HTTP/2" else 2)
        async with house.session.stream("GET", "/drip"):
            ready = await house.session.connect("/", 3)
            assert ready == (1 if version == "HTTP/2" else 3)
            assert house.session.stats().created == (1 if version == "HTTP/2" else 4)
        assert await house.session.connect("/", 2) == (1 if version == "HTTP/2" else 2)
        assert house.session.stats().created == (1 if version == "HTTP/2" else 4)


async def test_one_http2_connection_is_enough_however_many_are_asked_for() -> None:
    """More than the streams of one connection, and no second one is allowed: nobody waits for it."""
    async with make_house("HTTP/2", max_streams=2, limits=netio.Limits(connections=1)) as house:
        for _ in range(2):
            assert await house.session.connect("/", 50) == 1
            await house.settle()
            await house.assert_clean(connections=1)
        assert (await house.session.get("/")).content == b"hello"


async def test_another_origin_gets_its_own() -> None:
    async with make_house("HTTP/1.1") as house:
        house.network.listen("other.test", 80, house.peer.serve)
        await house.session.connect("/", 2)
        assert await house.session.connect("http://other.test/a?b", 2) == 2
        await house.session.get("http://other.test/")
        assert counts(house) == (4, 4, 0)


@pytest.mark.parametrize("limits", [netio.Limits(connections=3), netio.Limits(connections_per_origin=3)], ids=str)
async def test_limits_are_kept_and_what_is_missing_is_a_pool_timeout(limits: netio.Limits) -> None:
    clock = FakeClock()
    async with make_house("HTTP/1.1", clock=clock, limits=limits, timeout=netio.Timeouts(pool=10)) as house:
        caught: list[netio.PoolTimeout] = []

        async def connect() -> None:
            with pytest.raises(netio.PoolTimeout) as info:
                await house.session.connect("/", 4)
            caught.append(info.value)

        async with anyio.create_task_group() as group:
            group.start_soon(connect)
            await clock.advance(9.9)
            assert (caught, house.session.stats().created) == ([], 3)
            await clock.advance(0.2)
        (error,) = caught
        assert (error.phase, error.sent) == ("queue", False)
        assert dict(error.took) == pytest.approx({"queue": 10}, abs=0.006)
        await house.settle()
        await house.assert_clean(connections=3)
        assert await house.session.connect("/", 3) == 3
        assert counts(house) == (3, 3, 0)


async def test_a_failure_is_the_error_of_the_dial_once_and_leaves_nothing(version: Version) -> None:
    async with make_house(version) as house:
        with pytest.raises(netio.ConnectError) as caught:
            await house.session.connect("http://nobody.test/", 4)
        error = caught.value
        assert (type(error), error.phase, error.sent) == (netio.ConnectError, "connect", False)
        assert isinstance(error.__cause__, ConnectionRefusedError)
        await house.settle()
        await house.assert_clean(connections=0)
        assert (await house.session.get("/")).content == b"hello"


async def test_what_was_opened_before_one_dial_failed_is_kept() -> None:
    async with make_house("HTTP/1.1") as house:
        left = 3

        async def connect(host: str, port: int) -> MemoryStream:
            nonlocal left
            left -= 1
            if left < 0:
                raise ConnectionRefusedError
            return await house.network.connect(host, port)

        house.session._connect = connect
        with pytest.raises(netio.ConnectError):
            await house.session.connect("/", 4)
        await house.settle()
        await house.assert_clean(connections=3)
        assert house.session.stats().idle == 3


class Mine(Exception):
    pass


async def test_pool_10_what_a_connect_hook_raises_comes_out_as_it_is() -> None:
    async def connect(host: str, port: int) -> MemoryStream:
        raise Mine

    async with netio.Session(connect=connect, http2=False, clock=FakeClock()) as session:
        with pytest.raises(Mine):
            await session.connect("http://any.test/", 3)
        assert (session.stats().dialing, session.stats().queued) == (0, 0)


async def test_what_died_while_it_was_idle_does_not_count() -> None:
    async with make_house("HTTP/1.1") as house:
        theirs: list[MemoryStream] = []

        async def serve(stream: MemoryStream) -> None:
            theirs.append(stream)
            await house.peer.serve(stream)

        house.network.listen("peer.test", 80, serve)
        await house.session.connect("/", 3)
        theirs[0].close()
        assert await house.session.connect("/", 3) == 3
        assert counts(house) == (4, 3, 0)
        async with anyio.create_task_group() as group:
            for _ in range(3):
                group.start_soon(house.session.post, "/")
        assert counts(house) == (4, 3, 0)


@pytest.mark.parametrize("idle", [0, 2])
async def test_pool_01_cancelled_at_every_checkpoint_it_leaks_nothing(version: Version, idle: int) -> None:
    async with make_house(version) as house:

        async def fresh() -> None:
            async with house.new_session() as session:
                for _ in range(idle):
                    await session.get("/")
                await session.connect("/", 3)

        async def after_fresh() -> None:
            await house.settle()
            assert (house.network.open_connections, house.peer.live_connections) == (0, 0)

        assert await cancel_everywhere(fresh, after_fresh) > 0

        async def shared() -> None:
            await dataclasses.replace(house).session.connect("/", 3)

        async def after() -> None:
            await house.settle()
            await house.assert_clean()
            assert (await house.session.get("/")).content == b"hello"
            await house.session.aclose()
            house.session = house.new_session()

        assert await cancel_everywhere(shared, after) > 0
        await house.session.aclose()


async def test_pool_06_closing_the_session_ends_the_wait() -> None:
    async def never(host: str, port: int) -> MemoryStream:
        await anyio.sleep_forever()
        raise AssertionError

    session = netio.Session(connect=never, http2=False, clock=FakeClock())
    caught: list[netio.SessionClosed] = []

    async def connect() -> None:
        with pytest.raises(netio.SessionClosed) as info:
            await session.connect("http://never.test/", 3)
        caught.append(info.value)

    with anyio.fail_after(5):
        async with anyio.create_task_group() as group:
            group.start_soon(connect)
            await anyio.wait_all_tasks_blocked()
            await session.aclose()
        assert [error.sent for error in caught] == [False]
        with pytest.raises(netio.SessionClosed):
            await session.connect("http://never.test/")


@pytest.mark.parametrize("count", [0, -1, 1.0, "2"])
async def test_a_count_that_is_none_is_refused(count: Any) -> None:
    async with netio.Session() as session:
        with pytest.raises(ValueError, match="count"):
            await session.connect("http://any.test/", count)


@pytest.mark.parametrize("url", ["", "/", "ftp://any.test/", "http://"])
async def test_what_is_no_url_is_refused(url: str) -> None:
    async with netio.Session() as session:
        with pytest.raises(netio.InvalidURL):
            await session.connect(url)


async def test_sockets_that_were_opened_before_are_used_by_requests() -> None:
    peer = Http1Peer()
    async with open_site("socket", peer.serve) as site, site.session() as session:
        assert await session.connect("/", 4) == 4
        await until(lambda: peer.connections == 4)
        async with anyio.create_task_group() as group:
            for _ in range(4):
                group.start_soon(session.get, "/")
        assert (session.stats().created, session.stats().idle, peer.connections) == (4, 4, 4)
