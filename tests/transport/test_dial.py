"""From an origin to a link: addresses, handshakes, hooks, and what is left when it fails."""

from __future__ import annotations

import os
import resource
import socket
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import anyio
import anyio.lowlevel
import pytest
from anyio.abc import ByteStream, SocketListener

from netio.deadline import SystemClock
from netio.errors import ConnectError, ResolveError
from netio.testing import cancel_everywhere, ways_to_cancel
from netio.transport import Address, Dial, Dialer, Link, Network, Runtime, SystemResolver
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

        monkeypatch.setattr("netio.transport._dns_system.socket.getaddrinfo", getaddrinfo)

    return set_answer


def dialer(runtime: Runtime, connect: Callable[[str, int], Awaitable[ByteStream]] | None = None) -> Dialer:
    network = None if connect is not None else Network(resolver=SystemResolver(), attempt_delay=0.02)
    return Dialer(runtime, verify=client_context(), alpn=("http/1.1",), connect=connect, network=network)


async def free_port() -> int:
    async with await listen() as listener:
        return port_of(listener)


@asynccontextmanager
async def dialed(runtime: Runtime, origin: Origin, network: Network | None = None) -> AsyncIterator[Link]:
    by = dialer(runtime)
    if network is not None:
        by = Dialer(runtime, verify=client_context(), alpn=("http/1.1",), network=network)
    with anyio.fail_after(5):
        link = await by.dial(Dial(origin))
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
    monkeypatch.setattr("netio.transport._dns_system.getaddrinfo", None)
    async with await listen() as listener, dialed(runtime, Origin("http", "127.0.0.1", port_of(listener))):
        peer = await listener.accept()
        await peer.aclose()


async def test_if_the_first_address_refuses_the_second_is_taken_at_once(runtime: Runtime) -> None:
    network = Network(hosts={NAME: ["127.0.0.1", "127.0.0.1", "127.0.0.2"]}, attempt_delay=60)
    async with await listen("127.0.0.2") as listener:
        async with dialed(runtime, Origin("http", NAME, port_of(listener)), network):
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
    assert str(caught.value).endswith("127.0.0.1, 127.0.0.2: connection refused")


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


class Hasty:
    """A clock by which a second passes at every look: whatever is due later is due now."""

    def __init__(self) -> None:
        self._now = 0.0

    def now(self) -> float:
        self._now += 1.0
        return self._now

    async def sleep(self, seconds: float) -> None:
        await anyio.sleep_forever()


async def test_of_two_addresses_that_answer_the_loser_is_closed(
    runtime: Runtime, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("netio.transport._dial_attempt._is_connected", lambda sock: False)  # as on a real network
    network = Network(hosts={NAME: ["127.0.0.1", "127.0.0.2"]})
    by = Dialer(runtime, verify=client_context(), alpn=(), network=network)
    before = open_sockets()
    async with await listen() as first, await listen("127.0.0.2", port_of(first)) as second:
        dial = Dial(Origin("http", NAME, port_of(first)), Hasty())
        link = await by.dial(dial)
        peers = [await accept_all(listener) for listener in (first, second)]
        flat = [peer for some in peers for peer in some]
        assert len(flat) == 2
        assert [await goes_to_its_end(peer) for peer in flat].count(False) == 1
        await eventually(lambda: open_sockets() == before + 2 + 1 + len(flat))
        link.abort()
        for peer in flat:
            await peer.aclose()


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
    by = dialer(runtime)
    with anyio.move_on_after(0.05) as scope:
        await by.dial(dial)
    await by.aclose()
    assert scope.cancelled_caught is True
    return dial.phase


async def test_slow_01_a_dial_says_how_far_it_had_come(
    black_hole: tuple[str, int], runtime: Runtime, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patch:
        release = anyio.Event()
        patch.setattr("netio.transport._dns_system.anyio.to_thread.run_sync", lambda *_, **__: release.wait())
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
    assert runs >= (1 if scheme == "http" else 3) * len(ways_to_cancel())


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
            assert await cancel_everywhere(scenario, nothing_is_left, seconds=5) >= 2 * len(ways_to_cancel())
        group.cancel_scope.cancel()


async def close_at_its_end(stream: ByteStream) -> None:
    async with stream:
        try:
            await read_to_end(stream)
        except anyio.BrokenResourceError:
            return


async def test_pool_01_a_policy_that_waits_may_be_cancelled_anywhere(runtime: Runtime) -> None:
    async def policy(address: Address) -> str | None:
        await anyio.lowlevel.checkpoint()
        return "not that one" if str(address.ip) == "127.0.0.1" else None

    network = Network(hosts={NAME: ["127.0.0.1", "127.0.0.2"]}, address_policy=policy)
    async with await listen("127.0.0.2") as listener, anyio.create_task_group() as group:
        group.start_soon(listener.serve, close_at_its_end)
        before = open_sockets()

        async def scenario() -> None:
            by = Dialer(runtime, verify=client_context(), alpn=(), network=network)
            link = await by.dial(Dial(Origin("http", NAME, port_of(listener))))
            link.abort()

        async def nothing_is_left() -> None:
            await runtime.finish()
            await eventually(lambda: open_sockets() <= before)

        with anyio.fail_after(20):
            assert await cancel_everywhere(scenario, nothing_is_left, seconds=5) >= 2 * len(ways_to_cancel())
        group.cancel_scope.cancel()


@pytest.mark.skipif(not hasattr(socket, "AF_UNIX"), reason="the system has no unix sockets")
async def test_pool_01_a_unix_socket_that_is_waited_for_may_be_cancelled_anywhere(
    runtime: Runtime, tmp_path: Path
) -> None:
    path = str(tmp_path / "full.sock")
    with socket.socket(socket.AF_UNIX) as server, socket.socket(socket.AF_UNIX) as filler:
        server.bind(path)
        server.listen(0)
        filler.connect(path)
        by = Dialer(runtime, verify=client_context(), alpn=(), network=Network(unix_socket=path))
        before, naps = open_sockets(), 0

        class Clock(SystemClock):
            async def sleep(self, seconds: float) -> None:
                nonlocal naps
                naps += 1
                if naps % 3 == 0:  # so that the scenario has an end
                    raise ConnectError("enough")
                await anyio.lowlevel.checkpoint()

        async def scenario() -> None:
            with pytest.raises(ConnectError, match="enough"):
                await by.dial(Dial(Origin("http", NAME, 80), Clock()))

        async def nothing_is_left() -> None:
            nonlocal naps
            naps = 0
            assert open_sockets() == before

        with anyio.fail_after(20):
            assert await cancel_everywhere(scenario, nothing_is_left, seconds=5) >= 2 * len(ways_to_cancel())
