"""Writing a body to a file so that the file is there whole, or not at all.

What comes is collected into pieces of a mebibyte, and written in worker threads to a file beside the target; at the end
that one takes the target's place (os.replace, which is atomic). So whoever looks at the path sees what was there before
or all that is there now, also if the power fails in between, provided that the file was synced first (`durable`). The
permissions of a file that is replaced stay, and a symbolic link does: what it points to is replaced.

What is there and is no regular file (/dev/null, a named pipe) is written to as the bytes come: something in its place
would be another thing under the name of a device. A pipe may have no reader yet, or a slow one, for which no thread can
be made to wait: it could not be cancelled. So it is opened without blocking, and the task waits.

A thread that was left behind by a cancelled task still runs. So everything that touches the file holds a lock, and
after `discard` nothing is written or put into place.
"""

from __future__ import annotations

import errno
import io
import os
import secrets
import stat
from collections.abc import Sequence
from pathlib import Path
from threading import Lock
from typing import Self

import anyio
from anyio import CancelScope
from anyio.to_thread import run_sync

PIECE = 1_048_576

_BINARY = getattr(os, "O_BINARY", 0)  # Windows would write CRLF
_NEW = os.O_WRONLY | os.O_CREAT | os.O_EXCL | _BINARY
_AS_IT_IS = os.O_WRONLY | getattr(os, "O_NONBLOCK", 0) | _BINARY

_LOOK = 0.05
"""Seconds between two looks whether a pipe has a reader."""


class FileWriter:
    """A file that appears when it is complete: `async with`, at whose end it is gone unless `commit` was called.

    Errors of the file system come through as they are.
    """

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self._path = Path(path)
        self._part: Path | None = None
        self._lock = Lock()
        self._file: io.FileIO | None = None
        self._is_over = False
        self._pending: list[bytes] = []
        self._pending_size = 0
        self._written = 0
        self.size = 0
        """Bytes that were given, those not written yet included."""

    async def __aenter__(self) -> Self:
        try:
            while not await run_sync(self._open):  # noqa: ASYNC110 - nothing tells that a pipe has a reader
                await anyio.sleep(_LOOK)
        except BaseException:
            await self.__aexit__()  # the thread may still open it
            raise
        return self

    async def __aexit__(self, *_: object) -> None:
        with CancelScope(shield=True):
            await run_sync(self._discard)

    @property
    def can_begin_again(self) -> bool:
        """Whether what was given can be taken back: nothing that has gone into a pipe can."""
        return self._part is not None or not self._written

    async def write(self, chunk: bytes) -> None:
        self._pending.append(chunk)
        self._pending_size += len(chunk)
        self.size += len(chunk)
        if self._pending_size >= PIECE or self._part is None:
            await self.flush()

    async def flush(self) -> None:
        """Write what was given."""
        if self._pending:
            pending, self._pending, self._pending_size = self._pending, [], 0
            rest = await run_sync(self._write, pending)
            while rest and self._file is not None:
                await anyio.wait_writable(self._file)
                rest = await run_sync(self._write, rest)

    async def begin_again(self) -> None:
        """Forget what was given. Raises `OSError` if that cannot be done, see `can_begin_again`."""
        if not self.can_begin_again:
            raise OSError(errno.ESPIPE, "what was written cannot be taken back", str(self._path))
        self._pending, self._pending_size, self.size = [], 0, 0
        await run_sync(self._empty)

    async def commit(self, *, durable: bool = False) -> None:
        """Write the rest and put the file into its place; with `durable` not before the disk has it."""
        await self.flush()
        await run_sync(self._commit, durable)

    def _open(self) -> bool:
        """Open the file, or return False if there is nobody at the other end of the pipe yet."""
        with self._lock:
            if self._is_over:
                return True
            mode = _mode_of(self._path)
            if mode is not None and not stat.S_ISREG(mode):
                self._file = _opened_as_it_is(self._path)
                return self._file is not None
            self._path = Path(os.path.realpath(self._path))
            part = self._path.with_name(f".netio-{secrets.token_hex(8)}.part")
            self._file = io.FileIO(os.open(part, _NEW, 0o666 if mode is None else 0o600), "wb")
            self._part = part
            if mode is not None:
                # What was private stays so. Not the bits that lend rights: what runs with them is another file now.
                os.chmod(part, stat.S_IMODE(mode) & 0o777)
        return True

    def _write(self, pieces: Sequence[bytes]) -> list[bytes]:
        """Write, and return what a pipe has no room for."""
        with self._lock:
            file = self._file
            if file is None:
                return []
            for number, piece in enumerate(pieces):
                written = 0
                while written < len(piece):
                    size = file.write(memoryview(piece)[written:])
                    if size is None:  # it would have blocked
                        return [piece[written:], *pieces[number + 1 :]]
                    written += size
                    self._written += size
        return []

    def _empty(self) -> None:
        with self._lock:
            if self._file is not None and self._part is not None:
                self._file.seek(0)
                self._file.truncate()

    def _commit(self, durable: bool) -> None:
        with self._lock:
            file = self._file
            if file is None:
                return
            if self._part is None:
                self._file = None
                file.close()
                return
            if durable:
                os.fsync(file.fileno())
            file.close()
            os.replace(self._part, self._path)
            self._file = None
            if durable:
                _sync_folder(self._path.parent)

    def _discard(self) -> None:
        with self._lock:
            self._is_over = True
            file, self._file = self._file, None
            if file is not None:
                file.close()
                if self._part is not None:
                    self._part.unlink(missing_ok=True)


def _mode_of(path: Path) -> int | None:
    """Return what is at a path, a symbolic link followed, None for nothing."""
    try:
        return os.stat(path).st_mode
    except FileNotFoundError:
        return None


def _opened_as_it_is(path: Path) -> io.FileIO | None:
    try:
        return io.FileIO(os.open(path, _AS_IT_IS), "wb")
    except OSError as error:
        if error.errno == errno.ENXIO and stat.S_ISFIFO(_mode_of(path) or 0):
            return None
        raise


def _sync_folder(folder: Path) -> None:
    """Have the disk know the new name too; Windows neither can nor has to."""
    if os.name == "nt":
        return
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
