"""A server that says to each path what the test has laid down for it, in memory or on loopback, and a session to it."""

from __future__ import annotations

import socket
import ssl
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from functools import cache
from typing import Any, Literal

import anyio
import anyio.lowlevel
from anyio.abc import ByteStream, SocketAttribute, SocketListener

import netio
from netio.testing import FakeClock, MemoryNetwork
from netio.wire import EngineName
from tests.peers import Handler, Http1Peer
from tests.transport.far_ends import TLSPeer, authority, client_context
from tests.transport.kit_tools import reset

GUARD = 20.0
"""Seconds after which a test that hangs fails."""

HELLO = b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello"


@dataclass(frozen=True)
class Way:
    """How bytes come to the client: by which engine and which link, and how many in one send (0: all)."""

    engine: EngineName
    place: Literal["memory", "socket"]
    step: int = 0

    def __str__(self) -> str:
        return f"{self.engine}-{self.place}-{'bytes' if self.step else 'whole'}"


WAYS = (
    Way("fast", "memory", 1),
    Way("reference", "memory", 1),
    Way("fast", "socket"),
    Way("fast", "socket", 1),
)


@dataclass(frozen=True)
class Answer:
    """What a server says, and what it does then; the first `lead` bytes leave in one piece whatever the way."""

    data: bytes
    end: Literal["wait", "fin", "reset"] = "wait"
    lead: int = 0


class Scripted(Http1Peer):
    """Answers each path as laid down, any other with "hello"; afterwards it takes the next request."""

    def __init__(self, answers: Mapping[str, Answer | bytes], step: int = 0) -> None:
        super().__init__()
        self.answers = {
            path: answer if isinstance(answer, Answer) else Answer(answer) for path, answer in answers.items()
        }
        self.step = step
        self.sent = 0

    async def respond(self, stream: ByteStream, path: str, body: bytes) -> None:
        answer = self.answers.get(path, Answer(HELLO))
        await self.say(stream, answer.data, answer.lead)
        if answer.end == "fin":
            await stream.aclose()
        elif answer.end == "reset":
            await reset(stream)

    async def say(self, stream: ByteStream, data: bytes, lead: int = 0) -> None:
        lead = lead if self.step else len(data)
        pieces = [data[:lead]] if lead else []
        pieces += [data[start : start + self.step] for start in range(lead, len(data), self.step or 1)]
        for piece in pieces:
            await stream.send(piece)
            self.sent += len(piece)
            await anyio.lowlevel.checkpoint()


@dataclass
class Site:
    """A running server and how to come there."""

    url: str
    options: dict[str, Any]
    network: MemoryNetwork | None = None

    def session(self, **options: Any) -> netio.Session:
        """Return a session that has no connection yet. Its time stands still unless it is given a clock."""
        return netio.Session(**{"base_url": self.url, "http2": False, "clock": FakeClock(), **self.options, **options})


@cache
def server_context() -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority().issue_cert("peer.test", "127.0.0.1").configure_cert(context)
    return context


def secured(handler: Handler) -> Handler:
    context = server_context()  # made here, since making it reads files, and netio may not be on the stack then

    async def serve(stream: ByteStream) -> None:
        peer = TLSPeer(stream, context)
        await peer.handshake()
        await handler(peer)

    return serve


@asynccontextmanager
async def open_site(
    place: str, handler: Handler, *, is_secure: bool = False, is_wrapped: bool = True
) -> AsyncIterator[Site]:
    """Serve a host in memory, or a free port of loopback; under TLS, which is the handler's unless `is_wrapped`."""
    scheme, port = ("https", 443) if is_secure else ("http", 80)
    options = {"verify": client_context()} if is_secure else {}
    if is_secure and is_wrapped:
        handler = secured(handler)
    with anyio.fail_after(GUARD):
        if place == "memory":
            async with MemoryNetwork() as network:
                network.listen("peer.test", port, handler)
                yield Site(f"{scheme}://peer.test", {"connect": network.connect, **options}, network)
        else:
            async with listening(handler) as port:
                yield Site(f"{scheme}://127.0.0.1:{port}", options)


@asynccontextmanager
async def listening(handler: Handler) -> AsyncIterator[int]:
    """Serve a free port of loopback, and return it."""

    async def serve(stream: ByteStream) -> None:
        try:
            await handler(stream)
        except (anyio.EndOfStream, anyio.BrokenResourceError, anyio.ClosedResourceError, OSError):
            return  # the client went away, as clients do
        finally:
            await anyio.aclose_forcefully(stream)

    multi = await anyio.create_tcp_listener(local_host="127.0.0.1", backlog=1024)
    listener = multi.listeners[0]
    assert isinstance(listener, SocketListener)
    # So that a server which does not read is felt soon, however generous the kernel is with buffers on loopback.
    listener.extra(SocketAttribute.raw_socket).setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 32_768)
    async with listener, anyio.create_task_group() as group:
        group.start_soon(listener.serve, serve)
        yield listener.extra(SocketAttribute.local_port)
        group.cancel_scope.cancel()


@asynccontextmanager
async def scripted(
    way: Way, answers: Mapping[str, Answer | bytes] | None = None, *, peer: Scripted | None = None, **options: Any
) -> AsyncIterator[tuple[netio.Session, Scripted]]:
    """A session to a scripted server by one of the ways; afterwards nothing of it may be left."""
    peer = peer or Scripted(answers or {}, way.step)
    async with open_site(way.place, peer.serve) as site:
        async with site.session(engine=way.engine, **options) as session:
            yield session, peer
        assert session._pool is None or session._pool.runtime.tasks == 0
        assert site.network is None or site.network.open_connections == 0


async def until(condition: Callable[[], bool]) -> None:
    """Let the loop turn until a condition has come true; what does not is the hang guard's."""
    while not condition():  # noqa: ASYNC110
        await anyio.sleep(0.0002)


async def until_quiet(session: netio.Session) -> None:
    """Return when nothing is under way any more."""

    def is_quiet() -> bool:
        stats = session.stats()
        return not (stats.active or stats.dialing or stats.queued)

    await until(is_quiet)
