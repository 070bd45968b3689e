"""An origin, servers that misbehave, and the command as a child process."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import threading
import tty
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

from netio.cli._origin import Origin, running_origin

SECONDS = 30
"""What a child process may take before it counts as hanging."""

_ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="session")
def origin() -> Iterator[Origin]:
    with running_origin() as running:
        yield running


def environment() -> dict[str, str]:
    """Return the environment for a child that is to find this netio whether it is installed or not."""
    path = os.pathsep.join(filter(None, [str(_ROOT), os.environ.get("PYTHONPATH", "")]))
    return {**os.environ, "PYTHONPATH": path, "COLUMNS": "100", "NO_COLOR": "1"}


def command(*arguments: str) -> list[str]:
    return [sys.executable, "-m", "netio", *arguments]


def run_netio(*arguments: str) -> subprocess.CompletedProcess[bytes]:
    return subprocess.run(
        command(*arguments), env=environment(), capture_output=True, stdin=subprocess.DEVNULL, timeout=SECONDS
    )


def read_to_the_end(screen: int) -> bytes:
    """Return what comes until every process that has the terminal open has ended or closed it."""
    seen = b""
    while True:
        try:
            piece = os.read(screen, 65_536)
        except OSError:  # how Linux tells that the other end was closed by all
            return seen
        if not piece:
            return seen
        seen += piece


def on_a_terminal(*arguments: str) -> tuple[int, bytes]:
    """Run the command with a pseudo-terminal as stdout and stderr; return its exit code and what the terminal got."""
    screen, terminal = os.openpty()
    try:
        tty.setraw(terminal)  # as the bytes are, without LF turned into CRLF
        with subprocess.Popen(
            command(*arguments), env=environment(), stdin=subprocess.DEVNULL, stdout=terminal, stderr=terminal
        ) as process:
            os.close(terminal)
            seen = read_to_the_end(screen)
            return process.wait(SECONDS), seen
    finally:
        os.close(screen)


@dataclass(frozen=True)
class Scripted:
    """A server that sends the same bytes to whoever comes, and then closes or keeps silent."""

    url: str
    is_answered: threading.Event


Scripting = Callable[..., Scripted]


@pytest.fixture
def scripted() -> Iterator[Scripting]:
    """Give a function from an answer to a server that sends it."""
    with _stack_of_servers() as start:
        yield start


@contextmanager
def _stack_of_servers() -> Iterator[Scripting]:
    is_over = threading.Event()
    listeners: list[socket.socket] = []
    threads: list[threading.Thread] = []

    def start(answer: bytes, *, is_silent_then: bool = False) -> Scripted:
        listener = socket.create_server(("127.0.0.1", 0))
        is_answered = threading.Event()
        hold = is_over if is_silent_then else None
        thread = threading.Thread(target=_answer_one, args=(listener, answer, is_answered, hold))
        thread.start()
        listeners.append(listener)
        threads.append(thread)
        return Scripted(f"http://127.0.0.1:{listener.getsockname()[1]}/", is_answered)

    try:
        yield start
    finally:
        is_over.set()
        for listener in listeners:
            _wake(listener)
        for thread in threads:
            thread.join()
        for listener in listeners:
            listener.close()


def _answer_one(
    listener: socket.socket, answer: bytes, is_answered: threading.Event, hold: threading.Event | None
) -> None:
    connection, _ = listener.accept()
    with connection:
        received = b""
        while b"\r\n\r\n" not in received:
            piece = connection.recv(65_536)
            if not piece:
                return
            received += piece
        connection.sendall(answer)
        is_answered.set()
        if hold is not None:
            hold.wait(SECONDS)


def _wake(listener: socket.socket) -> None:
    """End an `accept` that nobody came to."""
    with socket.create_connection(listener.getsockname()):
        pass
