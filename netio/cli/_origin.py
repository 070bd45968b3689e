"""Start and stop the embedded origin, a web server in a child process on loopback."""

from __future__ import annotations

import json
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import IO, Any, cast

from netio.cli._exits import CommandError, require

_START_SECONDS = 30.0
_STOP_SECONDS = 10.0
_NEEDED = ("hypercorn", "trustme")


@dataclass(frozen=True, kw_only=True)
class Origin:
    """A running origin: base URLs for clear text and TLS, and the file with the certificate to trust."""

    http: str
    https: str
    authority_file: str


@contextmanager
def running_origin() -> Iterator[Origin]:
    """Start the origin, and stop it at the end. Raises `CommandError` if that cannot be done."""
    for package in _NEEDED:
        require(package, "demo")
    # In a session of its own, so that Ctrl-C in a terminal reaches the parent alone, which then stops the child.
    child = subprocess.Popen(
        [sys.executable, "-m", "netio.cli._origin_child"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        start_new_session=True,
    )
    try:
        greeting = _greeting(child)
        yield Origin(
            http=f"http://127.0.0.1:{greeting['http']}",
            https=f"https://127.0.0.1:{greeting['https']}",
            authority_file=greeting["authority_file"],
        )
    finally:
        _stop(child)


def _greeting(child: subprocess.Popen[bytes]) -> dict[str, Any]:
    """Wait for the line that says where the origin listens. A child that does not come up in time is killed."""
    watchdog = threading.Timer(_START_SECONDS, child.kill)
    watchdog.daemon = True
    watchdog.start()
    try:
        line = _pipe(child.stdout).readline()
    finally:
        watchdog.cancel()
        watchdog.join()
    if not line.endswith(b"\n"):
        raise CommandError("the embedded origin did not start; what it said, if anything, stands above")
    return cast("dict[str, Any]", json.loads(line))


def _stop(child: subprocess.Popen[bytes]) -> None:
    _pipe(child.stdin).close()
    try:
        child.wait(_STOP_SECONDS)
    except subprocess.TimeoutExpired:
        pass
    finally:
        # Also when a second Ctrl-C ends the wait.
        if child.poll() is None:
            child.kill()
            child.wait()
        _pipe(child.stdout).close()


def _pipe(stream: IO[bytes] | None) -> IO[bytes]:
    assert stream is not None  # Popen was asked for it
    return stream
