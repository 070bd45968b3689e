"""The file of -o: a `FileWriter` whose errors are those of the command."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Self

from netio.cli._exits import NotWritten
from netio.saving import FileWriter


class OutputFile(FileWriter):
    """A file that appears when it is complete. Raises `NotWritten` for what the operating system refuses."""

    def __init__(self, path: str) -> None:
        super().__init__(path)
        self._name = path

    async def __aenter__(self) -> Self:
        with self._translated():
            return await super().__aenter__()

    async def flush(self) -> None:
        with self._translated():
            await super().flush()

    async def begin_again(self) -> None:
        with self._translated():
            await super().begin_again()

    async def commit(self, *, durable: bool = False) -> None:
        with self._translated():
            await super().commit(durable=durable)

    @contextmanager
    def _translated(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            raise NotWritten(f"{self._name} cannot be written: {error.strerror}") from error
