"""The real thing: sockets, TLS, and a server that is not ours, over HTTP/1.1 and HTTP/2."""

from __future__ import annotations

import hashlib
import random
from collections.abc import AsyncIterator

import anyio
import anyio.lowlevel
import pytest

import netio
from netio.cli.origin_app import content
from netio.policy import Retry
from tests.real.conftest import WAYS, RealServer, Way, http_version, sockets_to

pytestmark = [pytest.mark.anyio, pytest.mark.parametrize("way", WAYS)]


async def test_requests_come_back_right(server: RealServer, way: Way) -> None:
    async with server.session(way) as session:
        response = await session.get("/headers", params={"q": "ü", "n": 1}, headers={"X-Mine": "yes"})
        seen = response.raise_for_status().json()
        assert response.http_version == http_version(way)
        assert (seen["method"], seen["path"], seen["query"]) == ("GET", "/headers", "q=%C3%BC&n=1")
        assert ["x-mine", "yes"] in [list(field) for field in seen["headers"]]
        assert (await session.head("/bytes/100")).content == b""
        assert (await session.post("/echo", json={"a": [1, None]})).json() == {"a": [1, None]}
        assert (await session.put("/echo", data={"a": "b c"})).text == "a=b+c"
        assert (await session.delete("/status/204")).status_code == 204
        assert session.stats().created == 1


@pytest.mark.parametrize("size", [0, 200, 65_536, 5_000_000])
async def test_bodies_come_through_byte_for_byte_both_ways(server: RealServer, way: Way, size: int) -> None:
    body = content(size)

    async def pieces() -> AsyncIterator[bytes]:
        for start in range(0, size, 70_000):
            yield body[start : start + 70_000]

    async with server.session(way) as session:
        assert (await session.get(f"/bytes/{size}")).content == body
        assert (await session.get(f"/bytes/{size}?length=no")).content == body
        async with session.stream("GET", f"/bytes/{size}") as response:
            assert b"".join([piece async for piece in response.aiter_bytes()]) == body
        for sent in (body, pieces()):
            counted = (await session.post("/upload", content=sent)).json()
            assert (counted["bytes"], counted["sha256"]) == (size, hashlib.sha256(body).hexdigest())
        assert (await session.post("/echo", content=body)).content == body
        assert session.stats().created == 1


async def test_many_at_once(server: RealServer, way: Way) -> None:
    async with server.session(way, limits=netio.Limits(connections=20)) as session:
        contents: list[bytes] = []

        async def one(size: int) -> None:
            contents.append((await session.get(f"/bytes/{size}")).content)

        async with anyio.create_task_group() as group:
            for size in range(0, 20_000, 200):
                group.start_soon(one, size)
        assert sorted(map(len, contents)) == list(range(0, 20_000, 200))
        assert session.stats().created == (1 if way.startswith("http2") else 20)


async def test_retry_gets_through_a_flaky_service(server: RealServer, way: Way) -> None:
    async with server.session(way, policies=[Retry(attempts=4, base=0.001, cap=0.002)]) as session:
        draw = random.Random(way)
        ids = [5 * draw.randrange(10**9) for _ in range(5)]
        answers = [(await session.get("/flaky", params={"id": number})).json() for number in ids]
        assert [answer["tries"] for answer in answers] == [3] * 5


async def test_pool_01_a_storm_of_cancellations_leaves_no_socket_behind(server: RealServer, way: Way) -> None:
    draw = random.Random(7)
    served, cancelled = 0, 0
    async with server.session(way, limits=netio.Limits(connections=8)) as session:

        async def one(turns: int | None) -> None:
            nonlocal served, cancelled
            with anyio.CancelScope() as scope:
                async with anyio.create_task_group() as group:
                    if turns is not None:
                        group.start_soon(cancel_after, scope, turns)
                    path = draw.choice(["/", "/bytes/300000", "/echo"])
                    if path == "/echo":
                        response = await session.post(path, content=content(50_000))
                    else:
                        response = await session.get(path)
                    assert response.status_code == 200
                    served += 1
                    group.cancel_scope.cancel()
            cancelled += scope.cancelled_caught

        async def cancel_after(scope: anyio.CancelScope, turns: int) -> None:
            for _ in range(turns):
                await anyio.lowlevel.checkpoint()
            scope.cancel()

        with anyio.fail_after(40):
            async with anyio.create_task_group() as group:
                for _ in range(150):
                    group.start_soon(one, draw.randrange(60) if draw.random() < 1 / 3 else None)
        assert served >= 100
        assert (await session.get("/")).status_code == 200
        for _ in range(50):
            if session.stats().active == 0:
                break
            await anyio.lowlevel.checkpoint()
        assert session.stats().active == 0
        assert session.stats().queued == 0
    await _until(lambda: sockets_to(server.http, server.https) == 0)


async def _until(condition: object, turns: int = 400) -> None:
    assert callable(condition)
    for _ in range(turns):
        if condition():
            return
        await anyio.sleep(0.005)
    assert condition()


async def test_uploads_in_turn_use_one_connection(server: RealServer, way: Way) -> None:
    """The answer is often here before the task that sent the last bytes has noticed that they left."""
    body = content(65_536)
    async with server.session(way) as session:
        for _ in range(60):
            assert (await session.put("/upload", content=body)).json()["bytes"] == 65_536
        assert session.stats().created == 1
