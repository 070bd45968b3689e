"""A file that appears whole or not at all.

The bytes go to a new file in the same folder, so that the rename at the end is one atomic step within one file system.
What is not a regular file (/dev/null, a named pipe) is written directly: renaming over it would replace the device.
"""

from __future__ import annotations

import os
import secrets
import stat
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from types import TracebackType
from typing import BinaryIO, Self

from netio.cli._exits import NotWritten


class WholeFile:
    """A file to write to, which takes the place of `path` if its `with` block ends well, and vanishes otherwise.

    Every method raises `NotWritten` for what the operating system refuses.
    """

    def __init__(self, path: str) -> None:
        self._path = path
        self._target = path
        self._partial: str | None = None
        self._file: BinaryIO

    def __enter__(self) -> Self:
        with self._translated():
            mode = _mode_of(self._path)
            if mode is not None and not stat.S_ISREG(mode):
                self._file = open(self._path, "wb")
                return self
            self._target = os.path.realpath(self._path)  # a symbolic link stays, what it points to is replaced
            self._partial = os.path.join(os.path.dirname(self._target), f".netio-{secrets.token_hex(8)}.part")
            self._file = open(self._partial, "xb")
            if mode is not None:
                os.chmod(self._partial, stat.S_IMODE(mode))  # what was private stays so
        return self

    def write(self, data: bytes) -> None:
        with self._translated():
            self._file.write(data)

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if kind is not None:
            self._discard()
            return
        try:
            with self._translated():
                self._file.close()
                if self._partial is not None:
                    os.replace(self._partial, self._target)
        except BaseException:
            self._discard()
            raise

    def _discard(self) -> None:
        with suppress(OSError):
            self._file.close()
        if self._partial is not None:
            with suppress(OSError):
                os.unlink(self._partial)

    @contextmanager
    def _translated(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            raise NotWritten(f"{self._path} cannot be written: {error.strerror}") from error


def _mode_of(path: str) -> int | None:
    try:
        return os.stat(path).st_mode
    except FileNotFoundError:
        return None
