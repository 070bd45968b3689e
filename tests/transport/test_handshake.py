"""A dial behind the address: connect hooks, TLS handshakes, and whom to trust."""

from __future__ import annotations

import socket
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import anyio
import pytest
from anyio.abc import ByteStream

from netio.errors import CertificateError, ConnectError, TLSError
from netio.testing import MemoryStream
from netio.transport import Dial, Dialer, Runtime
from netio.url import Origin
from tests.transport.far_ends import HOST, TLSPeer, authority, client_context, server_context
from tests.transport.far_ends import OTHER_HOST as NAME
from tests.transport.kit_tools import eventually

pytestmark = pytest.mark.anyio


def dialer(runtime: Runtime, connect: Callable[[str, int], Awaitable[ByteStream]]) -> Dialer:
    return Dialer(runtime, verify=client_context(), alpn=("http/1.1",), connect=connect)


# ------------------------------------------------------------------ hooks


class Hook:
    """A connect hook whose far end the test holds."""

    def __init__(self) -> None:
        self.places: list[tuple[str, int]] = []
        self.ours, self.theirs = MemoryStream.pair()

    async def __call__(self, host: str, port: int) -> ByteStream:
        self.places.append((host, port))
        return self.ours


async def test_a_hook_is_asked_instead_of_the_network(runtime: Runtime, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("netio.transport._dns_system.getaddrinfo", None)
    hook = Hook()
    link = await dialer(runtime, hook).dial(Dial(Origin("http", NAME, 8080)))
    assert hook.places == [(NAME, 8080)]
    link.abort()
    await runtime.finish()
    assert hook.ours.is_closed is True


@pytest.mark.parametrize(
    ("error", "words"),
    [
        (ConnectionRefusedError(111, "whatever the loop calls it"), "connection refused"),
        (OSError("no errno"), "no errno"),
        (ssl.SSLError(1, "[SSL] a library's own code"), "[ssl] a library's own code"),
        (socket.gaierror(-2, "Name or service not known"), "name or service not known"),
        (anyio.EndOfStream(), "endofstream"),
        (anyio.BrokenResourceError(), "closed"),
    ],
)
async def test_a_hook_that_fails_to_connect_is_a_connect_error(runtime: Runtime, error: Exception, words: str) -> None:
    async def connect(host: str, port: int) -> ByteStream:
        raise error

    dial = Dial(Origin("http", NAME, 8080))
    with pytest.raises(ConnectError) as caught:
        await dialer(runtime, connect).dial(dial)
    assert str(caught.value) == f"cannot connect to http://two.test:8080: {words}"
    assert (caught.value.phase, caught.value.sent, dial.phase) == ("connect", False, "connect")
    assert caught.value.__cause__ is error


async def test_pool_10_what_else_a_hook_raises_passes_unchanged(runtime: Runtime) -> None:
    error = ValueError("the user's own")

    async def connect(host: str, port: int) -> ByteStream:
        raise error

    with pytest.raises(ValueError) as caught:
        await dialer(runtime, connect).dial(Dial(Origin("https", NAME, 443)))
    assert caught.value is error


class Broken(MemoryStream):
    """A user's stream with a bug in it."""

    async def receive(self, max_bytes: int = 65_536) -> bytes:
        raise ValueError("the user's own")

    async def aclose(self) -> None:
        await super().aclose()
        raise anyio.BrokenResourceError


async def test_pool_10_what_a_hooks_stream_raises_in_the_handshake_passes_and_the_stream_is_closed(
    runtime: Runtime,
) -> None:
    stream, _ = Broken.pair()

    async def connect(host: str, port: int) -> ByteStream:
        return stream

    with pytest.raises(ValueError, match="the user's own"):
        await dialer(runtime, connect).dial(Dial(Origin("https", NAME, 443)))
    assert stream.is_closed is True


# ------------------------------------------------------------------ handshakes


@asynccontextmanager
async def handshake_against(
    hook: Hook, serve: Callable[[MemoryStream], Coroutine[Any, Any, None]]
) -> AsyncIterator[None]:
    with anyio.fail_after(5):
        async with anyio.create_task_group() as group:
            group.start_soon(serve, hook.theirs)
            yield
            group.cancel_scope.cancel()


@pytest.mark.parametrize("host", [HOST, HOST + "."])
async def test_tls_02_the_name_is_checked_without_the_dot_of_the_root(runtime: Runtime, host: str) -> None:
    hook = Hook()
    peer = TLSPeer(hook.theirs, server_context("http/1.1"), cut_to=1)
    async with handshake_against(hook, lambda _: peer.handshake()):
        link = await dialer(runtime, hook).dial(Dial(Origin("https", host, 443)))
    assert (link.alpn, peer.alpn) == ("http/1.1", "http/1.1")
    link.abort()


async def test_tls_03_a_wrong_certificate_is_told_to_the_server_and_closes_the_connection(runtime: Runtime) -> None:
    hook, alerts = Hook(), []

    async def serve(stream: MemoryStream) -> None:
        try:
            await TLSPeer(stream).handshake()
        except ssl.SSLError as error:
            alerts.append(error.reason)

    async with handshake_against(hook, serve):
        dial = Dial(Origin("https", "other.test", 443))
        with pytest.raises(CertificateError, match=r"not valid for 'other\.test'"):
            await dialer(runtime, hook).dial(dial)
        assert dial.phase == "tls"
        await eventually(lambda: alerts != [])
    assert hook.ours.is_closed is True


async def send_plain_text(stream: MemoryStream) -> None:
    await stream.receive()
    await stream.send(b"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n")


async def send_garbage(stream: MemoryStream) -> None:
    await stream.receive()
    await stream.send(b"\x16\x03\x03\x00\x05garbage")


async def end(stream: MemoryStream) -> None:
    await stream.receive()
    await stream.aclose()


async def reset(stream: MemoryStream) -> None:
    await stream.receive()
    stream.reset()


async def close_at_once(stream: MemoryStream) -> None:
    stream.close()


@pytest.mark.parametrize(
    ("serve", "words"),
    [
        (send_plain_text, "does not speak TLS on this port"),
        (send_garbage, "the TLS handshake failed"),
        (end, "the server closed the connection during the TLS handshake"),
        (reset, "the connection broke during the TLS handshake: connection ?reset"),
        (close_at_once, "(broke|closed the connection) during the TLS handshake"),
    ],
)
async def test_tls_06_a_handshake_that_fails_is_a_tls_error(
    runtime: Runtime, serve: Callable[[MemoryStream], Coroutine[Any, Any, None]], words: str
) -> None:
    hook = Hook()
    async with handshake_against(hook, serve):
        with pytest.raises(TLSError, match=words) as caught:
            await dialer(runtime, hook).dial(Dial(Origin("https", HOST, 443)))
    assert not isinstance(caught.value, CertificateError)
    assert (caught.value.phase, caught.value.sent) == ("tls", False)
    assert hook.ours.is_closed is True


async def test_a_host_that_tls_cannot_name_is_a_tls_error_and_closes_the_connection(runtime: Runtime) -> None:
    hook = Hook()
    with pytest.raises(TLSError, match="cannot be used with the host name"):
        await dialer(runtime, hook).dial(Dial(Origin("https", ".", 443)))
    assert hook.ours.is_closed is True


async def test_certificates_to_trust_are_read_from_a_file(runtime: Runtime, tmp_path: Path) -> None:
    authority().cert_pem.write_to_path(str(tmp_path / "ca.pem"))
    hook = Hook()
    peer = TLSPeer(hook.theirs)
    dialer = Dialer(runtime, verify=str(tmp_path / "ca.pem"), alpn=("h2",), connect=hook)
    async with handshake_against(hook, lambda _: peer.handshake()):
        link = await dialer.dial(Dial(Origin("https", HOST, 443)))
    assert not link.is_stale()
    link.abort()


@pytest.mark.parametrize("content", [None, b"no certificate"])
async def test_certificates_that_cannot_be_read_are_a_tls_error(
    runtime: Runtime, tmp_path: Path, content: bytes | None
) -> None:
    if content is not None:
        (tmp_path / "ca.pem").write_bytes(content)
    hook = Hook()
    dialer = Dialer(runtime, verify=str(tmp_path / "ca.pem"), alpn=("h2",), connect=hook)
    with pytest.raises(TLSError, match=r"certificates to trust cannot be read from .*ca\.pem"):
        await dialer.dial(Dial(Origin("https", HOST, 443)))
    assert hook.ours.is_closed is True
