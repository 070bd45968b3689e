"""Request bodies out of files, opened by the caller or named by a path.

A file may lie on a slow disk, or be a pipe, so it is read in worker threads, 256 KiB at a time: a thread costs about as
much as reading that many bytes of a cached file. What is in memory (BytesIO) is read at once.

A regular file is read at positions of its own (pread), beside that of the caller. So it can be sent several times, also
at once, as a hedged request is; and a read that a cancelled request has left to its thread disturbs nobody. Any other
file has one position, which is put back to where it was before the body is sent again.
"""

from __future__ import annotations

import io
import os
import stat
from collections.abc import AsyncGenerator, Callable
from threading import Lock
from typing import IO, Any, cast

from anyio import CancelScope
from anyio.to_thread import run_sync

from netio.body import BytesBody, RequestBody, checked_chunk
from netio.errors import InvalidRequest, RequestBodyError

PIECE = 262_144


class PathBody(RequestBody):
    """The content of the file that a path names, opened when it is sent. Errors of the file system come through."""

    __slots__ = ("_path", "is_prepared", "length")

    def __init__(self, path: os.PathLike[str]) -> None:
        self._path = path
        self.is_prepared = False
        self.length = None

    @property
    def is_replayable(self) -> bool:
        return True

    async def prepare(self) -> None:
        found = await run_sync(os.stat, self._path)
        if not stat.S_ISREG(found.st_mode):
            raise RequestBodyError(f"{os.fspath(self._path)!r} is no regular file; open it, and pass it on open")
        self.length = found.st_size
        self.is_prepared = True

    async def chunks(self) -> AsyncGenerator[bytes]:
        file = _PathReader(self._path)
        try:
            while chunk := await run_sync(file.read):
                yield chunk
        finally:
            with CancelScope(shield=True):
                await run_sync(file.close)

    def __repr__(self) -> str:
        return f"<PathBody of {os.fspath(self._path)!r}>"


class _PathReader:
    """A file that the first read opens. All of it runs in threads, one of which may have been left behind.

    So `close` waits for a read, and a read that comes after it opens nothing.
    """

    def __init__(self, path: os.PathLike[str]) -> None:
        self._path = path
        self._lock = Lock()
        self._file: io.FileIO | None = None
        self._is_closed = False

    def read(self) -> bytes:
        with self._lock:
            if self._is_closed:
                return b""
            if self._file is None:
                self._file = io.FileIO(os.fspath(self._path))
            return self._file.read(PIECE) or b""

    def close(self) -> None:
        with self._lock:
            self._is_closed = True
            if self._file is not None:
                self._file.close()


class RegularFileBody(RequestBody):
    """The rest of an open regular file, from where it stood when the request was built."""

    __slots__ = ("_file", "_start", "length")

    def __init__(self, file: IO[bytes], start: int, length: int) -> None:
        self._file = file
        self._start = start
        self.length = length

    @property
    def is_replayable(self) -> bool:
        return True

    async def chunks(self) -> AsyncGenerator[bytes]:
        position = self._start
        while chunk := await run_sync(self._read, position):
            yield chunk
            position += len(chunk)

    def _read(self, position: int) -> bytes:
        if self._file.closed:
            raise RequestBodyError("the file was closed before it was sent")
        return os.pread(self._file.fileno(), PIECE, position)

    def __repr__(self) -> str:
        return f"<RegularFileBody of {self.length} bytes>"


class FileBody(RequestBody):
    """The rest of an open file of any kind: a pipe, a member of an archive, an object with `read(size)`."""

    __slots__ = ("_file", "_is_being_read", "_is_started", "_start")

    def __init__(self, file: IO[bytes]) -> None:
        self._file = file
        self._start = _position(file)
        self._is_started = False
        self._is_being_read = False

    @property
    def is_replayable(self) -> bool:
        return not self._is_started or (self._start is not None and not self._is_being_read)

    async def chunks(self) -> AsyncGenerator[bytes]:
        if not self.is_replayable:
            raise RequestBodyError("the body is a file that is being read already, or cannot be put back to its start")
        is_again, self._is_started = self._is_started, True
        self._is_being_read = True  # without an await since it was asked whether it is
        try:
            if is_again:
                await run_sync(self._file.seek, cast("int", self._start))
            # A pipe may have nothing to say for ever. Its thread is left behind then, so the body is not replayable.
            is_patient = self._start is not None
            while chunk := checked_chunk(await run_sync(self._file.read, PIECE, abandon_on_cancel=not is_patient)):
                yield chunk
        finally:
            self._is_being_read = False

    def __repr__(self) -> str:
        return f"<FileBody over {type(self._file).__name__}>"


def file_body(file: Any) -> RequestBody:
    """Return the rest of an open file, from where it stands. Raises `InvalidRequest` for one that is read as text."""
    if isinstance(file, io.TextIOBase):
        raise InvalidRequest("content is a file that is read as text: open it in binary mode")
    if type(file) is io.BytesIO:
        return BytesBody(bytes(file.getbuffer()[file.tell() :]))
    opened = _regular(file)
    if opened is None:
        return FileBody(file)
    start = opened.tell()
    return RegularFileBody(opened, start, max(0, os.fstat(opened.fileno()).st_size - start))


def _regular(file: Any) -> IO[bytes] | None:
    """Return the file itself if its bytes are those of a regular file: others have a `fileno` too, such as gzip's."""
    if not isinstance(file, io.IOBase):
        file = getattr(file, "file", None)  # as tempfile.NamedTemporaryFile has it
    if isinstance(file, io.BufferedReader | io.BufferedRandom):
        if not isinstance(file.raw, io.FileIO):
            return None
    elif not isinstance(file, io.FileIO):
        return None
    if not hasattr(os, "pread") or file.closed or not file.readable():
        return None
    return cast("IO[bytes]", file) if stat.S_ISREG(os.fstat(file.fileno()).st_mode) else None


def _position(file: Any) -> int | None:
    """Return where a file stands, None for one that cannot be put back there."""
    seekable: Callable[[], bool] | None = getattr(file, "seekable", None)
    try:
        return file.tell() if seekable is not None and seekable() else None
    except (OSError, ValueError, AttributeError):
        return None
