"""Child processes: clients that are measured, and servers written in Python.

Each client is a process of its own, so that event loops and libraries do not disturb each other, and lives for all
rounds of a case: it connects and warms up once, then waits for a word on a pipe. The rounds alternate between such
children, so that noise of the machine meets all of them. (The road not taken, a new process for each measurement, is
spared the luck of one memory layout, but takes twice as long, most of it imports and handshakes.)

One line of JSON goes each way for every word. A child that gets no more words ends; should it not, it is killed by its
id. What it says on stderr is kept for the error message.
"""

from __future__ import annotations

import json
import os
import select
import signal
import subprocess
import sys
import tempfile
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import _machine

FOLDER = Path(__file__).parent
STOP_SECONDS = 10.0
PATIENCE_SECONDS = 120.0
"""A child that says nothing for so long hangs, or is too slow for the question: httpx2 with an upload over HTTP/2."""

Word = dict[str, Any]


class ChildFailed(Exception):
    """A child said so, or ended without a word."""


class PeerAbsent(ChildFailed):
    """The library that the child should measure is not installed."""


class Child:
    """A Python process that runs `in_child(case, control)` of one of the modules here."""

    def __init__(
        self,
        module: str,
        case: Word,
        *,
        side: _machine.Side,
        loop: str = "asyncio",
        patience: float = PATIENCE_SECONDS,
    ) -> None:
        self._patience = patience
        self._errors = tempfile.TemporaryFile()  # noqa: SIM115  # closed by `stop`
        self._process = subprocess.Popen(
            [sys.executable, str(FOLDER / "_child.py"), module, loop, json.dumps(case)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._errors,
            start_new_session=True,
            env=_environment(side),
        )

    @property
    def pid(self) -> int:
        return self._process.pid

    def is_running(self) -> bool:
        return self._process.poll() is None

    def tell(self, word: Word) -> None:
        """Send a word. Raises `ChildFailed`."""
        assert self._process.stdin is not None
        try:
            self._process.stdin.write(json.dumps(word).encode() + b"\n")
            self._process.stdin.flush()
        except BrokenPipeError:
            raise ChildFailed(self._last_words()) from None

    def hear(self) -> Word:
        """Return its next word. Raises `ChildFailed`."""
        assert self._process.stdout is not None
        if not select.select([self._process.stdout], [], [], self._patience)[0]:
            self._process.kill()
            raise ChildFailed(f"said nothing for {self._patience:g} s")
        line = self._process.stdout.readline()
        if not line:
            raise ChildFailed(self._last_words())
        word: Word = json.loads(line)
        if "absent" in word:
            raise PeerAbsent(word["absent"])
        if "error" in word:
            raise ChildFailed(word["error"])
        return word

    def ask(self, word: Word) -> Word:
        self.tell(word)
        return self.hear()

    def stop(self) -> None:
        """End it. Does nothing twice."""
        process = self._process
        assert process.stdin is not None
        assert process.stdout is not None
        try:
            process.stdin.close()
        except BrokenPipeError:
            pass
        try:
            process.wait(STOP_SECONDS)
        except (subprocess.TimeoutExpired, KeyboardInterrupt):
            process.kill()
            process.wait()
        process.stdout.close()
        self._errors.close()

    def _last_words(self) -> str:
        self._process.wait(STOP_SECONDS)
        self._errors.seek(0)
        lines = self._errors.read().decode(errors="replace").strip().splitlines()
        return f"ended with {self._process.returncode}: {lines[-1] if lines else 'no word'}"

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.stop()


def _environment(side: _machine.Side) -> dict[str, str]:
    """Return ours without what some libraries obey and others do not: proxies, other authorities to trust."""
    environment = {
        name: value for name, value in os.environ.items() if not name.lower().endswith(("_proxy", "_ca_bundle"))
    }
    # First what the user put there: to measure another version of netio.
    paths = [*filter(None, [os.environ.get("PYTHONPATH")]), str(FOLDER.parent)]
    return {**environment, "PYTHONPATH": os.pathsep.join(paths), "NETIO_BENCH_CORE": str(_machine.core_of(side))}


def end_on_sigterm() -> None:
    """Let SIGTERM unwind like Ctrl-C, so that no child is left."""

    def end(number: int, frame: object) -> None:
        raise SystemExit(128 + number)

    signal.signal(signal.SIGTERM, end)
