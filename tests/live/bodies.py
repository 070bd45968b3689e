"""Bodies of any size, random and yet always the same, made piece by piece: none has to be in memory as a whole."""

from __future__ import annotations

import random
from collections.abc import AsyncIterator, Iterable, Iterator
from functools import lru_cache
from hashlib import sha256
from pathlib import Path

KIB, MIB = 1_024, 1_048_576

SIZES = {"0B": 0, "200B": 200, "64KiB": 64 * KIB, "100MiB": 100 * MIB}
SMALL = SIZES["200B"]
LARGE = SIZES["100MiB"]


def pieces(size: int) -> Iterator[bytes]:
    source = random.Random(size)
    for start in range(0, size, MIB):
        yield source.randbytes(min(MIB, size - start))


async def async_pieces(size: int) -> AsyncIterator[bytes]:
    for piece in pieces(size):
        yield piece


def body_of(size: int) -> bytes:
    return b"".join(pieces(size))


def fingerprint(chunks: Iterable[bytes]) -> tuple[int, str]:
    """Return the length and hash of a body."""
    found = Fingerprint()
    for chunk in chunks:
        found.add(chunk)
    return found.value


@lru_cache
def fingerprint_of(size: int) -> tuple[int, str]:
    """Return what the fingerprint of the body of that size should be."""
    return fingerprint(pieces(size))


class Fingerprint:
    """The fingerprint of a body that comes in pieces."""

    def __init__(self) -> None:
        self._length = 0
        self._hash = sha256()

    def add(self, chunk: bytes) -> None:
        self._length += len(chunk)
        self._hash.update(chunk)

    @property
    def value(self) -> tuple[int, str]:
        return self._length, self._hash.hexdigest()


def fingerprint_of_file(path: Path) -> tuple[int, str]:
    with path.open("rb") as file:
        return fingerprint(iter(lambda: file.read(MIB), b""))


def write_bodies(folder: Path) -> None:
    """Write one file for each of `SIZES`, named after its size in bytes."""
    for size in SIZES.values():
        with (folder / str(size)).open("wb") as file:
            file.writelines(pieces(size))
