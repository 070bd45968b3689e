"""What a session does with a socket of its own: no copies of an upload, back-pressure, early answers, its own loop."""

from __future__ import annotations

import threading
import tracemalloc
from collections.abc import Awaitable, Callable
from typing import Any

import anyio
import anyio.lowlevel
import anyio.to_thread
import pytest
from anyio.abc import ByteStream

import netio
from netio.protocol._http1 import PAUSE_ABOVE
from netio.transport._socket_link import BULK_READ_SIZE, SocketLink
from tests.http1.sites import open_site, until, until_quiet
from tests.peers import Http1Peer, pattern

pytestmark = pytest.mark.anyio

SIZE = 8_000_000


async def swallow(stream: ByteStream) -> None:
    """Read a request with a body of SIZE bytes, keep nothing of it, and answer."""
    left = SIZE
    head = b""
    while b"\r\n\r\n" not in head:
        head += await stream.receive()
    left -= len(head.partition(b"\r\n\r\n")[2])
    while left:
        left -= len(await stream.receive(65_536))
    await stream.send(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")


async def test_an_upload_of_bytes_reaches_the_socket_as_views_of_them(monkeypatch: pytest.MonkeyPatch) -> None:
    body, written = bytes(SIZE), list[object]()
    write = SocketLink.write

    def spy(link: SocketLink, data: bytes | memoryview) -> None:
        if len(data) > 10_000:
            written.append(data.obj if isinstance(data, memoryview) else data)
        write(link, data)

    monkeypatch.setattr(SocketLink, "write", spy)
    async with open_site("socket", swallow) as site, site.session() as session:
        assert (await session.post("/", content=body)).content == b"ok"
    assert len(written) > 5
    assert all(piece is body for piece in written)


@pytest.mark.parametrize("is_secure", [False, True], ids=["plain", "tls"])
async def test_an_upload_of_bytes_takes_no_memory_for_them(is_secure: bool) -> None:
    body = bytes(SIZE)
    async with open_site("socket", swallow, is_secure=is_secure) as site, site.session() as session:
        await session.connect("/")
        tracemalloc.start()
        try:
            assert (await session.post("/", content=body)).content == b"ok"
            assert tracemalloc.get_traced_memory()[1] < SIZE / 4
        finally:
            tracemalloc.stop()


@pytest.mark.parametrize("is_secure", [False, True], ids=["plain", "tls"])
@pytest.mark.parametrize("is_chunked", [False, True], ids=["length", "chunked"])
async def test_slow_03_a_reader_who_takes_his_time_makes_the_server_wait(is_secure: bool, is_chunked: bool) -> None:
    """Of a streamed download so much is read ahead and no more; taken up again, nothing of it is missing."""
    body, sent = pattern(16_000_000), 0

    async def serve(stream: ByteStream) -> None:
        nonlocal sent
        await stream.receive()
        framing = b"Transfer-Encoding: chunked" if is_chunked else b"Content-Length: %d" % len(body)
        await stream.send(b"HTTP/1.1 200 OK\r\n%b\r\n\r\n" % framing)
        for start in range(0, len(body), 40_000):
            piece = body[start : start + 40_000]
            await stream.send(b"%x\r\n%b\r\n" % (len(piece), piece) if is_chunked else piece)
            sent += len(piece)
        await stream.send(b"0\r\n\r\n" if is_chunked else b"")
        await stream.receive()

    async with open_site("socket", serve, is_secure=is_secure) as site, site.session() as session:
        async with session.stream("GET", "/") as response:
            pieces = response.aiter_bytes()
            taken = [await anext(pieces)]
            for _ in range(2):
                connection = only_connection(session)
                await until(lambda: connection._is_paused)  # noqa: B023
                before = connection.bytes_received
                await turns(30)
                assert connection.bytes_received == before
                assert before - sum(map(len, taken)) <= PAUSE_ABOVE + BULK_READ_SIZE + 65_536
                assert sent < len(body)
                taken.append(await anext(pieces))
            taken += [piece async for piece in pieces]
        assert b"".join(taken) == body
        await until_quiet(session)
        assert session.stats().idle == 1


async def turns(count: int) -> None:
    for _ in range(count):
        await anyio.lowlevel.checkpoint()


def only_connection(session: netio.Session) -> Any:
    assert session._pool is not None
    (connection,) = session._pool._ledger._members
    return connection


@pytest.mark.parametrize(
    "use",
    [
        lambda session: session.get("/"),
        lambda session: session.post("/", content=iter([b"x"])),
        lambda session: session.connect("/", 2),
        lambda session: session.send(netio.Request("GET", session.base_url), stream=True),
        lambda session: anext(session.batch(["/"])),
    ],
    ids=["get", "post", "connect", "stream", "batch"],
)
async def test_pool_07_use_on_another_loop_is_refused_before_anything_is_written(
    use: Callable[[netio.Session], Awaitable[object]],
) -> None:
    peer = Http1Peer()
    async with open_site("socket", peer.serve) as site, site.session() as session:
        await session.connect("/", 2)
        await until(lambda: peer.connections == 2)
        caught: list[BaseException] = []

        async def elsewhere() -> None:
            try:
                await use(session)
            except netio.NetioError as error:
                caught.append(error)

        thread = threading.Thread(target=lambda: anyio.run(elsewhere))
        thread.start()
        await anyio.to_thread.run_sync(thread.join)
        await turns(20)
        assert [type(error) for error in caught] == [netio.WrongEventLoop]
        assert (peer.requests, peer.connections, session.stats().idle) == ([], 2, 2)
        assert (await session.get("/")).content == b"hello"
