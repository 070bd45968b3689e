"""What a Network sets on sockets, and what it refuses."""

from __future__ import annotations

import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import anyio
import pytest
from anyio.abc import ByteStream

import netio
from netio.errors import ConnectError
from netio.testing import FakeClock
from netio.transport import Dial, Dialer, KeepAlive, Network, Runtime
from netio.transport._socket_link import SocketLink
from netio.url import Origin
from tests.peers import Http1Peer
from tests.transport.far_ends import client_context, listen, port_of
from tests.transport.kit_tools import eventually, open_sockets

TCP = socket.IPPROTO_TCP
LINUX = pytest.mark.skipif(not hasattr(socket, "TCP_USER_TIMEOUT"), reason="the option is Linux's")


@asynccontextmanager
async def connected(runtime: Runtime, network: Network) -> AsyncIterator[socket.socket]:
    """Yield the socket of a link that was dialed through a network."""
    by = Dialer(runtime, verify=client_context(), alpn=(), network=network)
    async with await listen() as listener:
        link = await by.dial(Dial(Origin("http", "127.0.0.1", port_of(listener))))
        peer = await listener.accept()
        assert isinstance(link, SocketLink)
        yield link._socket
        link.abort()
        await peer.aclose()


@pytest.mark.anyio
async def test_probes_and_no_delay_are_on_by_default(runtime: Runtime) -> None:
    async with connected(runtime, Network()) as sock:
        assert sock.getsockopt(TCP, socket.TCP_NODELAY) != 0
        assert sock.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE) != 0
        assert sock.getsockopt(TCP, socket.TCP_KEEPINTVL) == 15
        assert sock.getsockopt(TCP, socket.TCP_KEEPCNT) == 4
        assert sock.getsockopt(TCP, getattr(socket, "TCP_KEEPIDLE", 0) or socket.TCP_KEEPALIVE) == 60  # type: ignore[attr-defined, unused-ignore]


@pytest.mark.anyio
async def test_probes_and_no_delay_may_be_turned_off(runtime: Runtime) -> None:
    async with connected(runtime, Network(no_delay=False, keep_alive=None)) as sock:
        assert sock.getsockopt(TCP, socket.TCP_NODELAY) == 0
        assert sock.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE) == 0


@LINUX
@pytest.mark.anyio
async def test_buffers_times_and_options_of_ones_own_are_set(runtime: Runtime) -> None:
    network = Network(
        keep_alive=KeepAlive(idle=7, interval=3, probes=2),
        receive_buffer=20_000,
        send_buffer=30_000,
        user_timeout=2.5,
        socket_options=((socket.IPPROTO_IP, socket.IP_TOS, 16), (TCP, socket.TCP_KEEPINTVL, 5)),
    )
    async with connected(runtime, network) as sock:
        assert sock.getsockopt(TCP, socket.TCP_KEEPIDLE) == 7
        assert sock.getsockopt(TCP, socket.TCP_KEEPINTVL) == 5  # one's own come last
        assert sock.getsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF) == 2 * 20_000  # Linux doubles it
        assert sock.getsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF) == 2 * 30_000
        assert sock.getsockopt(TCP, socket.TCP_USER_TIMEOUT) == 2500
        assert sock.getsockopt(socket.IPPROTO_IP, socket.IP_TOS) == 16


@LINUX
@pytest.mark.anyio
async def test_the_receive_buffer_is_set_before_the_connection_begins(
    runtime: Runtime, monkeypatch: pytest.MonkeyPatch
) -> None:
    sizes: list[int] = []

    class Watched(socket.socket):
        def connect_ex(self, address: Any, /) -> int:
            sizes.append(self.getsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF))
            return super().connect_ex(address)

    monkeypatch.setattr("netio.transport._dial_attempt.socket.socket", Watched)
    async with connected(runtime, Network(receive_buffer=20_000)):
        assert sizes == [2 * 20_000]


@pytest.mark.anyio
async def test_an_option_that_the_system_refuses_is_named_in_the_error(runtime: Runtime) -> None:
    by = Dialer(runtime, verify=client_context(), alpn=(), network=Network(socket_options=((TCP, 9999, 1),)))
    with pytest.raises(ConnectError, match=r"protocol not available") as caught:
        await by.dial(Dial(Origin("http", "127.0.0.1", 9)))
    assert isinstance(caught.value.__cause__, OSError)
    assert "(6, 9999, 1)" in str(caught.value.__cause__)


@LINUX
@pytest.mark.anyio
async def test_connections_come_from_the_local_address(runtime: Runtime) -> None:
    async with connected(runtime, Network(local_address="127.0.0.9")) as sock:
        assert sock.getsockname()[0] == "127.0.0.9"


@pytest.mark.anyio
async def test_a_local_address_of_the_other_family_says_so(runtime: Runtime) -> None:
    network = Network(local_address="::1", hosts={"four.test": "127.0.0.1"})
    by = Dialer(runtime, verify=client_context(), alpn=(), network=network)
    with pytest.raises(ConnectError, match=r"no IPv6 address, as Network\.local_address is"):
        await by.dial(Dial(Origin("http", "four.test", 80)))


@pytest.mark.anyio
async def test_pool_08_a_local_address_that_is_not_here_says_what_would_help(runtime: Runtime) -> None:
    by = Dialer(runtime, verify=client_context(), alpn=(), network=Network(local_address="192.0.2.1"))
    with pytest.raises(ConnectError, match=r"cannot assign requested address \(no local port is free, or Network\."):
        await by.dial(Dial(Origin("http", "127.0.0.1", 9)))


# ------------------------------------------------------------------ unix sockets


@pytest.mark.anyio
async def test_all_connections_go_to_the_unix_socket_whatever_the_host(tmp_path: Path) -> None:
    path, peer, before = tmp_path / "web.sock", Http1Peer(), open_sockets()

    async def serve(stream: ByteStream) -> None:
        async with stream:
            await peer.serve(stream)

    async with await anyio.create_unix_listener(path) as listener, anyio.create_task_group() as group:
        group.start_soon(listener.serve, serve)
        async with netio.Session(network=Network(unix_socket=path)) as session:
            for host in ("one.test", "two.test"):
                assert (await session.get(f"http://{host}/")).text == "hello"
        assert [b"Host: one.test" in head or b"Host: two.test" in head for head in peer.requests] == [True, True]
        await eventually(lambda: peer.live_connections == 0)
        group.cancel_scope.cancel()
    await eventually(lambda: open_sockets() <= before)


@pytest.mark.anyio
async def test_a_unix_socket_that_is_not_there_is_named(runtime: Runtime, tmp_path: Path) -> None:
    path = tmp_path / "none.sock"
    by = Dialer(runtime, verify=client_context(), alpn=(), network=Network(unix_socket=path))
    with pytest.raises(ConnectError, match=f"cannot connect to the unix socket {path}: no such file or directory"):
        await by.dial(Dial(Origin("http", "any.test", 80)))


@LINUX
@pytest.mark.anyio
async def test_while_the_queue_of_a_unix_socket_is_full_it_is_tried_again(runtime: Runtime, tmp_path: Path) -> None:
    path, clock = str(tmp_path / "full.sock"), FakeClock()
    with socket.socket(socket.AF_UNIX) as server, socket.socket(socket.AF_UNIX) as filler:
        server.bind(path)
        server.listen(0)
        filler.connect(path)
        by = Dialer(runtime, verify=client_context(), alpn=(), network=Network(unix_socket=path))
        async with anyio.create_task_group() as group:

            async def dial() -> None:
                link = await by.dial(Dial(Origin("http", "any.test", 80), clock))
                link.abort()
                is_there.set()

            is_there = anyio.Event()
            group.start_soon(dial)
            await clock.advance(1.0)
            assert is_there.is_set() is False
            server.accept()[0].close()
            await clock.advance(0.1)
            await is_there.wait()


# ------------------------------------------------------------------ nonsense


@pytest.mark.parametrize(
    "options",
    [
        {"attempt_delay": 0},
        {"attempt_delay": 0.001},
        {"attempt_delay": None},
        {"attempt_delay": float("inf")},
        {"attempt_timeout": 0},
        {"attempt_timeout": True},
        {"attempt_timeout": "3"},
        {"max_attempts": 0},
        {"max_attempts": 1.5},
        {"max_attempts": None},
        {"receive_buffer": 0},
        {"send_buffer": -1},
        {"send_buffer": True},
        {"user_timeout": float("nan")},
        {"local_address": "localhost"},
        {"local_address": "127.0.0.1:80"},
        {"unix_socket": ""},
        {"unix_socket": "/" + "x" * 200},
        {"unix_socket": "/x", "local_address": "127.0.0.1"},
        {"unix_socket": "/x", "address_policy": lambda address: None},
        {"socket_options": ((1, 2),)},
        {"socket_options": ((1, 2, "3"),)},
        {"hosts": {"a.test": "not an address"}},
        {"hosts": {"10.0.0.1": "10.0.0.2"}},
    ],
)
def test_a_network_refuses_nonsense(options: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="Network|hosts"):
        Network(**options)


@pytest.mark.parametrize("options", [{"address_policy": "public"}, {"keep_alive": 60}, {"keep_alive": True}])
def test_a_network_refuses_what_has_the_wrong_type(options: dict[str, Any]) -> None:
    with pytest.raises(TypeError, match="Network"):
        Network(**options)


@pytest.mark.parametrize("options", [{"idle": 0}, {"interval": -1}, {"probes": 1.5}, {"idle": 40_000}])
def test_keep_alive_refuses_nonsense(options: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="KeepAlive"):
        KeepAlive(**options)


def test_a_session_takes_a_network_or_a_connect_function() -> None:
    async def connect(host: str, port: int) -> Any:
        raise AssertionError

    with pytest.raises(ValueError, match="not both"):
        netio.Session(network=Network(), connect=connect)
