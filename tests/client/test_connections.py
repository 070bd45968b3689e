"""Connections that die, and which of them the next request goes to."""

from __future__ import annotations

from typing import Any

import anyio
import anyio.lowlevel
import pytest
from anyio.abc import ByteStream

import netio
from netio.testing import FakeClock, MemoryNetwork, MemoryStream
from tests.client.conftest import House, make_house
from tests.peers import Http1Peer, Http2Peer

pytestmark = pytest.mark.anyio

OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"


def only_connection(house: House) -> Any:
    assert house.session._pool is not None
    (connection,) = house.session._pool._ledger._members
    return connection


def goaway(last_id: int) -> bytes:
    return bytes.fromhex("000008 07 00 00000000") + last_id.to_bytes(4, "big") + bytes(4)


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


class RemembersStreams(Http1Peer):
    """Lets the test at its end of every connection."""

    def __init__(self) -> None:
        super().__init__()
        self.streams: list[MemoryStream] = []

    async def serve(self, stream: ByteStream) -> None:
        assert isinstance(stream, MemoryStream)
        self.streams.append(stream)
        await super().serve(stream)


async def test_a_connection_closed_while_idle_is_not_used() -> None:
    async with make_house("HTTP/1.1") as house:
        peer = RemembersStreams()
        house.network.listen("idle.test", 80, peer.serve)
        await house.session.get("http://idle.test/")
        peer.streams[0].close()
        # A POST, which would not be repeated: it must not be tried on the dead connection in the first place.
        assert (await house.session.post("http://idle.test/echo", content=b"x")).content == b"x"
        assert peer.connections == 2


async def test_h1_13_an_answer_that_nobody_asked_for_ends_the_connection() -> None:
    async with make_house("HTTP/1.1") as house:
        peer = RemembersStreams()
        house.network.listen("odd.test", 80, peer.serve)
        await house.session.get("http://odd.test/")
        await peer.streams[0].send(b"HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\npoison")
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


async def dial_for_nobody(house: House, url: str) -> tuple[netio.Session, list[MemoryStream]]:
    """Return a session with a connection that no request was sent on, since the one that wanted it was cancelled."""
    theirs: list[MemoryStream] = []
    gate = anyio.Event()

    async def serve(stream: MemoryStream) -> None:
        theirs.append(stream)
        await house.peer.serve(stream)

    async def connect(host: str, port: int) -> MemoryStream:
        await gate.wait()
        return await house.network.connect(host, port)

    house.network.listen("unused.test", 80, serve)
    session = netio.Session(connect=connect, http2=False, clock=FakeClock())
    async with anyio.create_task_group() as group:
        group.start_soon(session.get, url)
        await house.settle()
        group.cancel_scope.cancel()
    gate.set()
    await house.settle()
    assert (session.stats().idle, len(theirs)) == (1, 1)
    return session, theirs


async def test_pool_03_a_connection_that_was_never_used_and_was_closed_while_idle_is_not_used() -> None:
    async with make_house("HTTP/1.1") as house:
        session, theirs = await dial_for_nobody(house, "http://unused.test/")
        async with session:
            theirs[0].close()
            assert (await session.post("http://unused.test/echo", content=b"x")).content == b"x"


async def test_h1_13_what_a_connection_that_was_never_used_said_is_not_taken_for_an_answer() -> None:
    async with make_house("HTTP/1.1") as house:
        session, theirs = await dial_for_nobody(house, "http://unused.test/")
        async with session:
            await theirs[0].send(b"HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\npoison")
            assert (await session.get("http://unused.test/")).content == b"hello"


async def test_pool_03_a_never_used_connection_that_dies_under_the_first_request_is_a_lost_race() -> None:
    async with make_house("HTTP/1.1") as house:
        session, theirs = await dial_for_nobody(house, "http://unused.test/")

        async def serve(stream: MemoryStream) -> None:
            await house.peer.serve(stream)

        async with session, anyio.create_task_group() as group:
            contents = []

            async def get() -> None:
                contents.append((await session.get("http://unused.test/hang")).content)

            group.start_soon(get)
            house.network.listen("unused.test", 80, Once(b"second").serve)
            await house.settle()
            theirs[0].close()
            await house.settle()
            assert contents == [b"second"]


class Once:
    """Answers one request."""

    def __init__(self, content: bytes) -> None:
        self.content = content

    async def serve(self, stream: MemoryStream) -> None:
        await stream.receive()
        await stream.send(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%b" % (len(self.content), self.content))


async def test_h2_20_a_place_that_is_handed_over_as_goaway_comes_takes_nobody_else_down() -> None:
    async with make_house("HTTP/2", limits=netio.Limits(connections=1), max_streams=2) as house:
        peer: Http2Peer = house.peer
        contents: dict[str, bytes] = {}

        async def get(name: str, path: str) -> None:
            contents[name] = (await house.session.get(path, timeout=None)).content

        await house.session.get("/")
        side = peer.live[0]
        async with anyio.create_task_group() as group:
            group.start_soon(get, "long", "/hang")
            await house.settle()
            group.start_soon(get, "short", "/hang")
            await house.settle()
            group.start_soon(get, "queued", "/")
            await house.settle()
            assert (sorted(side.paths), house.session.stats().queued) == ([3, 5], 1)
            # In two reads of one loop turn: the answer that gives a place to the one in the queue, and GOAWAY.
            side.respond(5, 200, b"short")
            side.send_body(5)
            connection = only_connection(house)
            connection.feed(side.h2.data_to_send())
            connection.feed(goaway(5))
            await house.settle()
            side.respond(3, 200, b"long")
            side.send_body(3)
            await side.flush()
        assert contents == {"short": b"short", "long": b"long", "queued": b"hello"}
        assert house.session.stats().created == 2


async def test_h2_20_a_request_whose_answer_had_begun_is_not_sent_twice_for_a_goaway_that_denies_it() -> None:
    async with make_house("HTTP/2") as house:
        peer: Http2Peer = house.peer
        caught: list[netio.ConnectionLost] = []

        async def post() -> None:
            with pytest.raises(netio.ConnectionLost) as info:
                await house.session.post("/drip", content=b"x")
            caught.append(info.value)

        async with anyio.create_task_group() as group:
            group.start_soon(post)
            await house.settle()
            await peer.live[0].stream.send(goaway(0))
        assert [(error.sent, error.phase) for error in caught] == [(True, "body")]
        assert peer.requests == ["/drip"]


async def test_h1_16_a_connection_whose_peer_answered_without_taking_the_request_is_not_used_again() -> None:
    async with MemoryNetwork(capacity=10_000) as network:
        connections = 0

        async def serve(stream: MemoryStream) -> None:
            nonlocal connections
            connections += 1
            await stream.receive()
            await stream.send(b"HTTP/1.1 413 Content Too Large\r\nContent-Length: 0\r\n\r\n")
            await anyio.sleep_forever()

        network.listen("early.test", 80, serve)
        async with netio.Session(connect=network.connect, http2=False, clock=FakeClock()) as session:
            with anyio.fail_after(5):
                for _ in range(2):
                    response = await session.post("http://early.test/", content=b"x" * 40_000)
                    assert response.status_code == 413
                    await anyio.wait_all_tasks_blocked()
        assert connections == 2
