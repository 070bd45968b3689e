"""From an origin to a link: addresses, handshakes, hooks, and what is left when it fails."""

from __future__ import annotations

import os
import resource
import socket
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager
from typing import Any

import anyio
import pytest
from anyio.abc import ByteStream, SocketListener

from netio.errors import ConnectError, ResolveError
from netio.testing import cancel_everywhere, ways_to_cancel
from netio.transport import Dial, Dialer, Link, Runtime
from netio.url import Origin
from tests.transport.far_ends import OTHER_HOST as NAME
from tests.transport.far_ends import TLSPeer, client_context, listen, port_of
from tests.transport.kit_tools import eventually, open_sockets, read_to_end

pytestmark = pytest.mark.anyio


Resolve = Callable[..., None]


@pytest.fixture
def resolve(monkeypatch: pytest.MonkeyPatch) -> Resolve:
    """Let a name have some addresses, or its lookup fail."""
    look_up = socket.getaddrinfo

    def set_answer(*answer: str | Exception) -> None:
        def getaddrinfo(host: Any, port: Any, *arguments: Any, **options: Any) -> list[Any]:
            if host != NAME:
                return look_up(host, port, *arguments, **options)
            for failure in answer:
                if isinstance(failure, Exception):
                    raise failure
            return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (address, port)) for address in answer]

        monkeypatch.setattr("netio.transport._dial.socket.getaddrinfo", getaddrinfo)

    return set_answer


@pytest.fixture
def short_delay(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("netio.transport._dial.ATTEMPT_DELAY", 0.02)


def dialer(runtime: Runtime, connect: Callable[[str, int], Awaitable[ByteStream]] | None = None) -> Dialer:
    return Dialer(runtime, verify=client_context(), alpn=("http/1.1",), connect=connect)


async def free_port() -> int:
    async with await listen() as listener:
        return port_of(listener)


@asynccontextmanager
async def dialed(runtime: Runtime, origin: Origin) -> AsyncIterator[Link]:
    with anyio.fail_after(5):
        link = await dialer(runtime).dial(Dial(origin))
    try:
        yield link
    finally:
        link.abort()


# ------------------------------------------------------------------ addresses


async def test_a_refused_connection_says_so_in_words(runtime: Runtime) -> None:
    origin = Origin("http", "127.0.0.1", await free_port())
    dial = Dial(origin)
    with pytest.raises(ConnectError) as caught:
        await dialer(runtime).dial(dial)
    assert str(caught.value) == f"cannot connect to {origin}: 127.0.0.1: connection refused"
    assert (caught.value.phase, caught.value.sent, dial.phase) == ("connect", False, "connect")
    assert isinstance(caught.value.__cause__, OSError)


@pytest.mark.parametrize(
    ("failure", "words"),
    [
        (socket.gaierror(socket.EAI_NONAME, "Name or service not known"), "name or service not known"),
        (UnicodeError("label empty or too long"), "label empty or too long"),
        (OSError(5, "I/O"), "input/output error"),
    ],
)
async def test_dns_03_a_name_that_does_not_resolve(
    runtime: Runtime, resolve: Resolve, failure: Exception, words: str
) -> None:
    resolve(failure)
    dial = Dial(Origin("http", NAME, 80))
    with pytest.raises(ResolveError) as caught:
        await dialer(runtime).dial(dial)
    assert str(caught.value) == f"cannot resolve two.test: {words}"
    assert (caught.value.phase, caught.value.sent, dial.phase) == ("resolve", False, "resolve")
    assert caught.value.__cause__ is failure


async def test_dns_03_a_name_without_addresses_does_not_resolve(runtime: Runtime, resolve: Resolve) -> None:
    resolve()
    with pytest.raises(ResolveError, match=r"cannot resolve two\.test: it has no address"):
        await dialer(runtime).dial(Dial(Origin("http", NAME, 80)))


async def test_dns_06_a_label_that_is_too_long_does_not_resolve(runtime: Runtime) -> None:
    with pytest.raises(ResolveError):
        await dialer(runtime).dial(Dial(Origin("http", "a" * 64 + ".invalid", 80)))


async def test_an_address_is_not_looked_up(runtime: Runtime, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("netio.transport._dial._getaddrinfo", None)
    async with await listen() as listener, dialed(runtime, Origin("http", "127.0.0.1", port_of(listener))):
        peer = await listener.accept()
        await peer.aclose()


async def test_if_the_first_address_refuses_the_second_is_taken_at_once(
    runtime: Runtime, resolve: Resolve, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("netio.transport._dial.ATTEMPT_DELAY", 60)
    resolve("127.0.0.1", "127.0.0.1", "127.0.0.2")
    async with await listen("127.0.0.2") as listener:
        async with dialed(runtime, Origin("http", NAME, port_of(listener))):
            peer = await listener.accept()
            assert await goes_to_end(peer) is False
        assert await read_to_end(peer) == b""
        await peer.aclose()


async def goes_to_end(peer: ByteStream) -> bool:
    with anyio.move_on_after(0.01):
        await peer.receive()
        return True
    return False


async def test_dns_03_if_all_addresses_refuse_each_is_named(runtime: Runtime, resolve: Resolve) -> None:
    resolve("127.0.0.1", "127.0.0.2", "127.0.0.1")
    with pytest.raises(ConnectError) as caught:
        await dialer(runtime).dial(Dial(Origin("http", NAME, await free_port())))
    assert str(caught.value).endswith("127.0.0.1: connection refused; 127.0.0.2: connection refused")


@pytest.fixture
def black_hole() -> Iterator[tuple[str, int]]:
    """A place where connecting takes for ever: the queue of connections that nobody accepts is full."""
    with socket.socket() as hole:
        hole.bind(("127.0.0.1", 0))
        hole.listen(0)
        fillers = [socket.socket() for _ in range(4)]
        for filler in fillers:
            filler.setblocking(False)
            filler.connect_ex(hole.getsockname())
        yield hole.getsockname()
        for filler in fillers:
            filler.close()


@pytest.mark.usefixtures("short_delay")
async def test_if_the_first_address_does_not_answer_the_second_is_tried_too(
    black_hole: tuple[str, int], runtime: Runtime, resolve: Resolve
) -> None:
    address, port = black_hole
    resolve(address, "127.0.0.2")
    before = open_sockets()
    async with await listen("127.0.0.2", port) as listener, dialed(runtime, Origin("http", NAME, port)):
        peer = await listener.accept()
        await eventually(lambda: open_sockets() == before + 3)  # the listener and both ends: the loser is gone
        await peer.aclose()


async def test_of_two_addresses_that_answer_the_loser_is_closed(
    runtime: Runtime, resolve: Resolve, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("netio.transport._dial.ATTEMPT_DELAY", 0)
    resolve("127.0.0.1", "127.0.0.2")
    before = open_sockets()
    async with await listen() as first, await listen("127.0.0.2", port_of(first)) as second:
        async with dialed(runtime, Origin("http", NAME, port_of(first))):
            peers = [await accept_all(listener) for listener in (first, second)]
            flat = [peer for some in peers for peer in some]
            ended = [await goes_to_its_end(peer) for peer in flat]
            assert ended.count(False) == 1
            await eventually(lambda: open_sockets() == before + 2 + 1 + len(flat))
        for peer in flat:
            await peer.aclose()


async def test_of_two_that_connect_in_the_same_moment_one_is_closed(
    runtime: Runtime, resolve: Resolve, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The winner cancels the other attempts, but one that has connected already returns all the same."""
    sockets: list[socket.socket] = []
    both = anyio.Event()

    async def connect_socket(address: str, port: int, runtime: Runtime) -> socket.socket:
        sockets.append(socket.socket())
        if len(sockets) == 2:
            both.set()
        with anyio.CancelScope(shield=True):
            await both.wait()
        return sockets[int(address[-1]) - 1]

    monkeypatch.setattr("netio.transport._dial.ATTEMPT_DELAY", 0)
    monkeypatch.setattr("netio.transport._dial.connect_socket", connect_socket)
    resolve("127.0.0.1", "127.0.0.2")
    async with dialed(runtime, Origin("http", NAME, 80)):
        assert sorted(sock.fileno() == -1 for sock in sockets) == [False, True]


async def accept_all(listener: SocketListener) -> list[ByteStream]:
    accepted: list[ByteStream] = []
    while True:
        with anyio.move_on_after(0.02) as scope:
            accepted.append(await listener.accept())
        if scope.cancelled_caught:
            return accepted


async def goes_to_its_end(peer: ByteStream) -> bool:
    with anyio.move_on_after(0.02):
        try:
            await read_to_end(peer)
        except anyio.BrokenResourceError:
            pass
        return True
    return False


async def test_pool_08_without_free_descriptors_it_fails_in_words_and_recovers(runtime: Runtime) -> None:
    before = open_sockets()
    async with await listen() as listener:
        origin = Origin("http", "127.0.0.1", port_of(listener))
        async with dialed(runtime, origin):  # so that the loop has opened what it needs
            await (await listener.accept()).aclose()
        await eventually(lambda: open_sockets() == before + 1)
        soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
        free = os.dup(0)
        os.close(free)
        resource.setrlimit(resource.RLIMIT_NOFILE, (free, hard))
        try:
            with pytest.raises(ConnectError, match="too many open files"):
                await dialer(runtime).dial(Dial(origin))
        finally:
            resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
        async with dialed(runtime, origin):
            await (await listener.accept()).aclose()


# ------------------------------------------------------------------ phases and cancellation


async def phase_when_cancelled(runtime: Runtime, origin: Origin) -> str:
    dial = Dial(origin)
    with anyio.move_on_after(0.05) as scope:
        await dialer(runtime).dial(dial)
    assert scope.cancelled_caught is True
    return dial.phase


async def test_slow_01_a_dial_says_how_far_it_had_come(
    black_hole: tuple[str, int], runtime: Runtime, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patch:
        release = anyio.Event()
        patch.setattr("netio.transport._dial.anyio.to_thread.run_sync", lambda *_, **__: release.wait())
        assert await phase_when_cancelled(runtime, Origin("http", NAME, 80)) == "resolve"
    assert await phase_when_cancelled(runtime, Origin("https", *black_hole)) == "connect"
    async with await listen() as silent:
        assert await phase_when_cancelled(runtime, Origin("https", "127.0.0.1", port_of(silent))) == "tls"
        await (await silent.accept()).aclose()


@asynccontextmanager
async def tls_server(host: str = "127.0.0.1") -> AsyncIterator[int]:
    """Serve handshakes, and then silence."""

    async def serve(stream: ByteStream) -> None:
        async with stream:
            try:
                await TLSPeer(stream).handshake()
                await read_to_end(stream)
            except (anyio.EndOfStream, anyio.BrokenResourceError, ssl.SSLError):
                return

    async with await listen(host) as listener, anyio.create_task_group() as group:
        group.start_soon(listener.serve, serve)
        yield port_of(listener)
        group.cancel_scope.cancel()


@pytest.mark.usefixtures("short_delay")
@pytest.mark.parametrize("scheme", ["http", "https"])
async def test_pool_01_a_dial_may_be_cancelled_anywhere(runtime: Runtime, resolve: Resolve, scheme: str) -> None:
    """Resolving, a refusing address, connecting, the handshake: no socket is left, and the next dial works."""
    resolve("127.0.0.1", "127.0.0.2")
    async with tls_server("127.0.0.2") as port:
        before = open_sockets()

        async def scenario() -> None:
            link = await dialer(runtime).dial(Dial(Origin(scheme, NAME, port)))
            link.abort()

        async def nothing_is_left() -> None:
            await runtime.finish()
            await eventually(lambda: open_sockets() <= before)

        with anyio.fail_after(20):
            runs = await cancel_everywhere(scenario, nothing_is_left, seconds=5)
    assert runs >= 5 * len(ways_to_cancel())


@pytest.mark.usefixtures("short_delay")
async def test_pool_01_a_race_may_be_cancelled_anywhere(
    black_hole: tuple[str, int], runtime: Runtime, resolve: Resolve
) -> None:
    address, port = black_hole
    resolve(address, "127.0.0.2")
    async with await listen("127.0.0.2", port) as listener, anyio.create_task_group() as group:
        group.start_soon(listener.serve, close_at_its_end)
        before = open_sockets()

        async def scenario() -> None:
            link = await dialer(runtime).dial(Dial(Origin("http", NAME, port)))
            link.abort()

        async def nothing_is_left() -> None:
            await runtime.finish()
            await eventually(lambda: open_sockets() <= before)

        with anyio.fail_after(20):
            assert await cancel_everywhere(scenario, nothing_is_left, seconds=5) >= 5 * len(ways_to_cancel())
        group.cancel_scope.cancel()


async def close_at_its_end(stream: ByteStream) -> None:
    async with stream:
        try:
            await read_to_end(stream)
        except anyio.BrokenResourceError:
            return
