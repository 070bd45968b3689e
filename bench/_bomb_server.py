"""A server of compressed files over HTTP/1.1: the name of a file says its content codings, as in `br-gzip`.

Blocking sockets and `sendfile`, a thread for each connection. Where the client has had enough it closes the connection,
and the thread ends.
"""

from __future__ import annotations

import socket
import threading
from pathlib import Path
from typing import Any

from _child import Control


def _serve(sock: socket.socket, folder: Path) -> None:
    try:
        with sock, sock.makefile("rb") as reader:
            while line := reader.readline():
                name = line.split()[1].decode().strip("/")
                while reader.readline().strip():
                    pass
                _answer(sock, folder / name)
    except OSError:
        pass  # the client has had enough


def _answer(sock: socket.socket, path: Path) -> None:
    codings = ", ".join(path.name.split("-"))
    head = f"HTTP/1.1 200 OK\r\nContent-Encoding: {codings}\r\nContent-Length: {path.stat().st_size}\r\n\r\n"
    sock.sendall(head.encode())
    with path.open("rb") as file:
        sock.sendfile(file)


def in_child(case: dict[str, Any], control: Control) -> None:
    """Serve on a free port, which is said first, until the parent hangs up."""
    listener = socket.create_server(("127.0.0.1", 0), backlog=64)

    def accept() -> None:
        while True:
            sock, _ = listener.accept()
            threading.Thread(target=_serve, args=(sock, Path(case["folder"])), daemon=True).start()

    threading.Thread(target=accept, daemon=True).start()
    control.say(port=listener.getsockname()[1])
    control.hear()
