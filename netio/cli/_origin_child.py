"""The process of the embedded origin: `python -m netio.cli._origin_child`, started by `_origin.py`.

It binds two free ports of 127.0.0.1 itself, and writes one line of JSON to stdout when both are listening: their
numbers and the file with the certificate of its authority. So there is no moment at which somebody else could take a
port that was chosen, and nothing to poll. The private keys never leave the process.

It ends, and removes its file, when its stdin ends. A parent that dies, whatever of, closes that pipe, so neither the
origin nor the file can outlive it.
"""

from __future__ import annotations

import json
import os
import shutil
import socket
import ssl
import sys
import tempfile
import threading
from typing import TYPE_CHECKING, cast

import anyio

from netio.cli.origin_app import app

if TYPE_CHECKING:
    from hypercorn.config import Config
    from hypercorn.typing import Framework

_BACKLOG = 1024


def main() -> None:
    with tempfile.TemporaryDirectory(prefix="netio-origin-") as folder:
        threading.Thread(target=_end_with_stdin, args=(folder,), daemon=True).start()
        authority_file = os.path.join(folder, "authority.pem")
        context = _tls_context(authority_file)
        plain, secure = _listening_socket(), _listening_socket()
        greeting = {"http": plain.getsockname()[1], "https": secure.getsockname()[1], "authority_file": authority_file}
        print(json.dumps(greeting), flush=True)
        anyio.run(_serve, _config(plain, secure, context), backend="asyncio")


def _end_with_stdin(folder: str) -> None:
    # Read from the descriptor: a buffered reader that is blocked here would hold a lock that the interpreter's exit
    # wants. And leave without good-byes to the clients: a graceful end waits for idle connections.
    while os.read(sys.stdin.fileno(), 4096):
        pass
    shutil.rmtree(folder, ignore_errors=True)
    os._exit(0)


def _tls_context(authority_file: str) -> ssl.SSLContext:
    """Make an authority and a certificate, and write down whom to trust."""
    import trustme

    authority = trustme.CA()
    authority.cert_pem.write_to_path(authority_file)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.set_alpn_protocols(["h2", "http/1.1"])
    authority.issue_cert("localhost", "127.0.0.1").configure_cert(context)
    return context


def _listening_socket() -> socket.socket:
    listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    listener.bind(("127.0.0.1", 0))
    listener.listen(_BACKLOG)
    return listener


def _config(plain: socket.socket, secure: socket.socket, context: ssl.SSLContext) -> Config:
    from hypercorn.config import Config

    class OriginConfig(Config):
        """Takes the TLS context as it is, so that no key has to be written to a file."""

        @property
        def ssl_enabled(self) -> bool:
            return True

        def create_ssl_context(self) -> ssl.SSLContext:
            return context

    config = OriginConfig()
    # hypercorn takes over the descriptors and closes them itself.
    config.bind = [f"fd://{secure.detach()}"]
    config.insecure_bind = [f"fd://{plain.detach()}"]
    config.backlog = _BACKLOG
    config.loglevel = "ERROR"
    config.keep_alive_timeout = 60
    config.keep_alive_max_requests = 1_000_000_000  # by default a connection ends after 1,000 requests
    return config


async def _serve(config: Config) -> None:
    from hypercorn.asyncio import serve

    # The process ends with its stdin. Without a trigger of ours hypercorn would wait for signals.
    await serve(cast("Framework", app), config, shutdown_trigger=anyio.sleep_forever)


if __name__ == "__main__":
    main()
