"""A real server, hypercorn, on loopback in a thread of this process."""

from __future__ import annotations

import asyncio
import contextlib
import os
import socket
import ssl
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, cast

import pytest
import trustme

import netio
from netio.cli.origin_app import OriginApp
from tests.real.httpbin_origin import httpbin as httpbin
from tests.real.httpbin_origin import httpbin_process as httpbin_process

Way = Literal["http1", "http1-tls", "http2-tls", "http2-clear"]
WAYS: tuple[Way, ...] = ("http1", "http1-tls", "http2-tls", "http2-clear")


@dataclass(frozen=True)
class RealServer:
    """A running hypercorn with the demo's application."""

    http: str
    https: str
    authority: str

    def session(self, way: Way, **options: Any) -> netio.Session:
        """Return a session that speaks to the server in one of four ways."""
        http2: Any = {"http1": False, "http1-tls": False, "http2-tls": True, "http2-clear": "prior-knowledge"}[way]
        base_url = self.https if way.endswith("tls") else self.http
        return netio.Session(base_url=base_url, verify=self.authority, http2=http2, **options)


def http_version(way: Way) -> str:
    return "HTTP/2" if way.startswith("http2") else "HTTP/1.1"


@pytest.fixture(scope="session")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RealServer]:
    folder = tmp_path_factory.mktemp("hypercorn")
    authority = trustme.CA()
    authority.cert_pem.write_to_path(str(folder / "authority.pem"))
    plain, secure = _listen(), _listen()
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.set_alpn_protocols(["h2", "http/1.1"])
    authority.issue_cert("localhost", "127.0.0.1").configure_cert(context)
    running = RealServer(
        http=f"http://127.0.0.1:{plain.getsockname()[1]}",
        https=f"https://localhost:{secure.getsockname()[1]}",
        authority=str(folder / "authority.pem"),
    )
    stop = _serve_in_thread(plain, secure, context)
    yield running
    stop()


def _listen() -> socket.socket:
    listener = socket.socket()
    listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    listener.bind(("127.0.0.1", 0))
    listener.listen(512)
    return listener


def _serve_in_thread(plain: socket.socket, secure: socket.socket, context: ssl.SSLContext) -> Callable[[], None]:
    from hypercorn.asyncio import serve
    from hypercorn.config import Config

    class InMemoryConfig(Config):
        ssl_enabled = True

        def create_ssl_context(self) -> ssl.SSLContext:
            return context

    config = InMemoryConfig()
    config.bind = [f"fd://{secure.detach()}"]
    config.insecure_bind = [f"fd://{plain.detach()}"]
    config.keep_alive_max_requests = 1_000_000_000
    config.graceful_timeout = 0.1
    loop = asyncio.new_event_loop()
    stopped = asyncio.Event()

    async def main() -> None:
        await serve(cast("Any", OriginApp()), config, shutdown_trigger=stopped.wait)

    def run() -> None:
        asyncio.set_event_loop(loop)
        loop.run_until_complete(main())
        loop.close()

    thread = threading.Thread(target=run, name="hypercorn")
    thread.start()

    def stop() -> None:
        loop.call_soon_threadsafe(stopped.set)
        thread.join(10)
        assert not thread.is_alive()

    return stop


def sockets_to(*urls: str) -> int:
    """How many sockets of this process are connected to the ports of these URLs: the client's ends (Linux)."""
    ports = {int(url.rpartition(":")[2]) for url in urls}
    return sum(_peer_port(int(entry.name)) in ports for entry in Path("/proc/self/fd").iterdir())


def _peer_port(descriptor: int) -> int | None:
    try:
        duplicate = os.dup(descriptor)
    except OSError:
        return None  # the descriptor was for reading the folder itself
    try:
        with socket.socket(fileno=duplicate) as end:
            return int(end.getpeername()[1])
    except (OSError, IndexError):
        return None
    finally:
        with contextlib.suppress(OSError):
            os.close(duplicate)
