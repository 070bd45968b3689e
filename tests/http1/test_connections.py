"""What becomes of a connection between two requests, over sockets as over streams."""

from __future__ import annotations

import os
import resource
import socket
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager, suppress
from itertools import product

import anyio
import anyio.lowlevel
import pytest
from anyio.abc import ByteStream, SocketAttribute, TaskGroup

import netio
from netio.testing import FakeClock, MemoryNetwork, MemoryStream
from netio.transport import current_runtime
from netio.url import URL
from tests.http1.sites import GUARD, Scripted, Way, open_site, scripted, until, until_quiet
from tests.peers import Http1Peer
from tests.transport.kit_tools import reset

pytestmark = pytest.mark.anyio

GONE = (anyio.BrokenResourceError, anyio.ClosedResourceError)
POISON = b"HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\npoison"


class Kept(Scripted):
    """Leaves the test its end of every connection."""

    def __init__(self, step: int = 0) -> None:
        super().__init__({}, step)
        self.streams: list[ByteStream] = []

    async def serve(self, stream: ByteStream) -> None:
        self.streams.append(stream)
        await super().serve(stream)

    def speak_at_once(self, data: bytes) -> None:
        """Send without a turn of the client's loop."""
        raw = self.streams[-1].extra(SocketAttribute.raw_socket)
        descriptor = os.dup(raw.fileno())
        with socket.socket(fileno=descriptor) as sock:
            sock.send(data)


async def test_h1_13_what_comes_while_a_connection_is_idle_is_never_an_answer(way: Way) -> None:
    peer = Kept(way.step)
    async with scripted(way, peer=peer) as (session, _):
        for unasked in (POISON, b"x", b"HTTP/1.1 408 Request Timeout\r\nConnection: close\r\n\r\n"):
            await session.get("/")
            connections = peer.connections
            with suppress(*GONE):  # the client has closed before the last single byte
                await peer.say(peer.streams[-1], unasked)
            if way.place == "socket":  # told by the loop, before anybody wants to use it
                await until(lambda: session.stats().idle == 0)
            assert (await session.get("/")).content == b"hello"
            assert peer.connections == connections + 1


@pytest.mark.parametrize("method", ["GET", "POST"])
async def test_h1_13_what_the_loop_has_not_delivered_yet_is_no_answer_either(method: str) -> None:
    """The loop was blocked while the server said something; a request is sent before it can come round to it."""
    clock, peer = FakeClock(), Kept()
    async with open_site("socket", peer.serve) as site, site.session(clock=clock) as session:
        await session.get("/")
        clock._now += 2
        peer.speak_at_once(POISON)
        assert (await session.request(method, "/")).content == b"hello"
        assert peer.connections == 2


@pytest.mark.parametrize("end", ["fin", "reset"])
async def test_pool_03_what_was_closed_while_idle_is_not_used_for_what_cannot_be_repeated(end: str) -> None:
    peer = Kept()
    async with open_site("socket", peer.serve) as site, site.session() as session:
        for _ in range(3):
            await session.get("/")
            stream = peer.streams[-1]
            await (stream.aclose() if end == "fin" else reset(stream))
            # No turn of the loop in between but those of closing.
            assert (await session.post("/", content=b"x")).content == b"hello"
            assert session.stats().created == peer.connections == len(peer.streams)


@pytest.mark.parametrize("end", ["fin", "reset"])
async def test_pool_03_a_socket_that_closes_as_the_request_comes_is_replaced_if_that_can_do_no_harm(end: str) -> None:
    class OnceOnly(Http1Peer):
        async def respond(self, stream: ByteStream, path: str, body: bytes) -> None:
            if path == "/again":
                path = "/"
                if self.connections == 1:
                    await (stream.aclose() if end == "fin" else reset(stream))
                    return
            await super().respond(stream, path, body)

    peer = OnceOnly()
    async with open_site("socket", peer.serve) as site:
        for method in ("GET", "PUT", "DELETE"):
            peer.connections = 0
            async with site.session() as session:
                await session.get("/")
                assert (await session.request(method, "/again")).content == b"hello"
                assert peer.connections == 2
        peer.connections = 0
        async with site.session() as session:
            await session.get("/")
            with pytest.raises(netio.ConnectionLost) as caught:
                await session.post("/again", content=b"x")
            assert (caught.value.sent, caught.value.unanswered) == (True, True)
            assert peer.connections == 1


async def test_h1_18_a_keep_alive_that_is_a_lie_is_a_lost_race(way: Way) -> None:
    class Liar(Scripted):
        async def respond(self, stream: ByteStream, path: str, body: bytes) -> None:
            await self.say(stream, b"HTTP/1.1 200 OK\r\nKeep-Alive: max=1, timeout=9\r\nContent-Length: 2\r\n\r\nok")
            await stream.receive()  # the next request, or its beginning
            await stream.aclose()

    peer = Liar({}, way.step)
    async with scripted(way, peer=peer) as (session, _):
        for number in range(1, 5):
            assert (await session.get("/")).content == b"ok"
            assert peer.connections == number


@pytest.mark.parametrize(
    "head",
    [
        b"HTTP/1.1 200 OK\r\nConnection: close\r\n",
        b"HTTP/1.1 200 OK\r\nConnection: Keep-Alive, Close\r\n",
        b"HTTP/1.0 200 OK\r\n",
        b"HTTP/1.0 200 OK\r\nConnection: keep-alive, close\r\n",
    ],
)
async def test_h1_18_a_connection_that_the_server_will_close_is_not_used_again(way: Way, head: bytes) -> None:
    async with scripted(way, {"/": head + b"Content-Length: 2\r\n\r\nok"}) as (session, peer):
        for _ in range(2):
            assert (await session.get("/")).content == b"ok"
            assert session.stats().idle == 0
        assert peer.connections == 2


async def test_h1_18_http_1_0_keeps_what_it_says_it_keeps(way: Way) -> None:
    kept = b"HTTP/1.0 200 OK\r\nConnection: keep-alive\r\nContent-Length: 2\r\n\r\nok"
    async with scripted(way, {"/": kept}) as (session, peer):
        for _ in range(2):
            assert (await session.get("/")).content == b"ok"
        assert peer.connections == 1


async def endless() -> AsyncIterator[bytes]:
    while True:
        yield b"x" * 50_000


LARGE = bytes(12_000_000)
EARLY = b"HTTP/1.1 413 Content Too Large\r\nContent-Length: 4\r\n\r\nmuch"


@pytest.mark.parametrize("end", ["wait", "reset", "fin"])
async def test_h1_16_an_answer_that_comes_before_the_request_was_read_is_delivered(way: Way, end: str) -> None:
    """Whether the server keeps silent then, resets, or closes with the request unread, which resets too."""

    async def serve(stream: ByteStream) -> None:
        await stream.receive(1_000)
        await peer.say(stream, EARLY)
        if end == "wait":
            await anyio.sleep_forever()
        await until(lambda: end == "fin" or is_taken(stream))
        await (stream.aclose() if end == "fin" else reset(stream))

    peer = Scripted({}, way.step)
    async with open_site(way.place, serve) as site, site.session(engine=way.engine) as session:
        # More than the kernel takes on loopback, or the request would have been sent to its end.
        for content in (endless(), LARGE, iter([LARGE] * 5)):
            response = await session.post("/", content=content)
            assert (response.status_code, response.content) == (413, b"much")
        await until_quiet(session)
        assert (session.stats().idle, session.stats().created) == (0, 3)


def is_taken(stream: ByteStream) -> bool:
    """Whether the client has read what was sent to it; a reset in memory takes back what it has not."""
    return not isinstance(stream, MemoryStream) or not stream._outgoing.size


async def test_pool_05_connections_are_shared_within_an_origin_and_nowhere_else() -> None:
    plain = ["http://a.test", "http://b.test", "http://A.test:81", "http://a.test:81", "http://a.test:80"]
    plain += ["http://A.TEST/other?q#f", "http://user:secret@a.test/", "http://a.test:443"]
    seen: set[object] = set()

    async def serve(stream: MemoryStream) -> None:
        await Http1Peer().serve(_NoTLS(stream))

    async with MemoryNetwork() as network:
        for host, port in product(("a.test", "b.test"), (80, 81, 443)):
            network.listen(host, port, serve)
        async with netio.Session(connect=network.connect, http2=False, clock=FakeClock()) as session:
            for url in plain + plain:
                await session.get(url)
                seen.add(URL(url).origin)
                assert session.stats().created == len(seen) == len(network.streams), url
            assert len(seen) == 4  # a.test, b.test, a.test:81, a.test:443
            for url in ("https://a.test", "https://a.test:80", "https://a.test:81"):  # never over one of those
                with pytest.raises(netio.TLSError):
                    await session.get(url)
            assert session.stats().idle == 4


class _NoTLS(ByteStream):
    """A plain server, that hangs up when it is spoken to in TLS."""

    def __init__(self, stream: ByteStream) -> None:
        self._stream = stream

    async def receive(self, max_bytes: int = 65_536) -> bytes:
        data = await self._stream.receive(max_bytes)
        if data.startswith(b"\x16"):
            raise anyio.EndOfStream
        return data

    async def send(self, item: bytes) -> None:
        await self._stream.send(item)

    async def send_eof(self) -> None:
        await self._stream.send_eof()

    async def aclose(self) -> None:
        await self._stream.aclose()


async def test_pool_05_a_session_of_another_identity_has_connections_of_its_own() -> None:
    """What a connection was verified for, and as whom it speaks, is a matter of the session that owns it."""
    peer = Http1Peer()
    async with open_site("socket", peer.serve, is_secure=True) as site:
        with pytest.warns(netio.InsecureWarning):
            lax = site.session(verify=False)
        async with site.session() as strict, lax:
            await lax.get("/")
            await strict.get("/")
            assert (lax.stats().created, strict.stats().created, peer.connections) == (1, 1, 2)
        async with site.session(verify=True) as stranger:
            with pytest.raises(netio.CertificateError):
                await stranger.get("/")


@contextmanager
def spare_descriptors(count: int) -> Iterator[None]:
    """Let this process open so many descriptors and no more."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    opened = [os.dup(0) for _ in range(count + 1)]
    for descriptor in opened:
        os.close(descriptor)
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(opened), hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


@pytest.mark.parametrize("spare", [0, 1])
async def test_pool_08_without_free_descriptors_a_request_fails_in_words_and_the_next_one_succeeds(spare: int) -> None:
    """With one to spare the socket is had, but maybe not what the loop needs to watch it."""
    current_runtime()  # whose modules are imported when they are first needed, and files are what there is none of
    with anyio.fail_after(GUARD), socket.create_server(("127.0.0.1", 0)) as listener:
        async with netio.Session(base_url=f"http://127.0.0.1:{listener.getsockname()[1]}", http2=False) as session:
            with spare_descriptors(spare), anyio.move_on_after(0.1) as scope:
                with pytest.raises(netio.ConnectError, match="too many open files") as caught:
                    await session.get("/", timeout=None)
                assert (caught.value.phase, caught.value.sent) == ("connect", False)
            assert not (scope.cancelled_caught and spare == 0)
            await until_quiet(session)
            listener.setblocking(False)
            async with anyio.create_task_group() as group:
                group.start_soon(serve_accepted, listener, group)
                assert (await session.get("/")).content == b"hello"
                group.cancel_scope.cancel()


async def serve_accepted(listener: socket.socket, group: TaskGroup) -> None:
    while True:
        await anyio.wait_readable(listener)
        stream = await anyio.abc.SocketStream.from_socket(listener.accept()[0])
        group.start_soon(serve_quietly, stream)


async def serve_quietly(stream: ByteStream) -> None:
    try:
        with suppress(anyio.EndOfStream, *GONE):
            await Http1Peer().serve(stream)
    finally:
        await anyio.aclose_forcefully(stream)
