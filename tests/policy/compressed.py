"""Bodies in every content coding that is installed, honest ones and bombs; and a program that measures the bombs.

python -m tests.policy.compressed FILE... prints by how many KiB the peak memory grew while bombs were refused.
"""

from __future__ import annotations

import gzip
import sys
import zlib
from collections.abc import Iterable
from functools import cache
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest

from netio.errors import DecodeError
from netio.policy._codings import BodyDecoder, DecodeLimits, coding_makers

LIMITS = DecodeLimits(max_body=1 << 30, max_stream=None, max_ratio=1_000.0, ratio_from=1 << 20)
NO_LIMITS = DecodeLimits(max_body=None, max_stream=None, max_ratio=None, ratio_from=1 << 20)

_EXTRAS = {"br": "brotli", "zstd": "backports.zstd"}


def needs(coding: str) -> Any:
    """A test's parameter, skipped where the library of the coding is missing."""
    reason = f"{_EXTRAS.get(coding, coding)} is not installed (extra `compression`)"
    return pytest.param(coding, marks=pytest.mark.skipif(coding not in coding_makers(), reason=reason))


CODINGS = ["gzip", "deflate", needs("br"), needs("zstd")]


def raw_deflate(data: bytes) -> bytes:
    compressor = zlib.compressobj(wbits=-15)
    return compressor.compress(data) + compressor.flush()


def encode(data: bytes, *codings: str) -> bytes:
    """Apply content codings, the first one first."""
    for coding in codings:
        match coding:
            case "gzip" | "x-gzip":
                data = gzip.compress(data)
            case "deflate":
                data = zlib.compress(data)
            case "br":
                data = import_module("brotli").compress(data, quality=4)
            case "zstd":
                data = zstd().compress(data)
            case _:
                raise ValueError(coding)
    return data


def zstd() -> Any:
    return import_module("compression.zstd" if sys.version_info >= (3, 14) else "backports.zstd")


@cache
def bomb(*codings: str) -> bytes:
    """Return 10 GiB of zeros; as br 1 GiB, which takes as long to make."""
    first, *others = codings
    data = _zeros(first)
    return encode(data, *others)


def _zeros(coding: str) -> bytes:
    block = bytes(1 << 26)
    if coding in ("gzip", "zstd"):
        return encode(block, coding) * 160
    if coding == "br":
        compressor = import_module("brotli").Compressor(quality=1)
        return b"".join([compressor.process(block) for _ in range(16)]) + bytes(compressor.finish())
    compressor = zlib.compressobj()
    start = compressor.compress(block) + compressor.flush(zlib.Z_FULL_FLUSH)
    again = compressor.compress(block) + compressor.flush(zlib.Z_FULL_FLUSH)
    return start + again * 159


def pieces(decoder: BodyDecoder, chunks: Iterable[bytes]) -> list[bytes]:
    """Return what comes out of a decoder that is fed some chunks, piece by piece."""
    found: list[bytes] = []
    for chunk in chunks:
        decoder.feed(chunk)
        while (piece := decoder.take()) is not None:
            found.append(piece)
    decoder.end()
    return found


def decode(data: bytes, *codings: str, cut: int = 0, limits: DecodeLimits = NO_LIMITS, is_whole: bool = True) -> bytes:
    chunks = (data[i : i + cut] for i in range(0, len(data), cut)) if cut else [data]
    return b"".join(pieces(BodyDecoder(codings, limits, is_whole=is_whole), chunks))


def outcome(data: bytes, coding: str, cut: int = 0) -> bytes | None:
    """Return the decoded body, None if it is none."""
    try:
        return decode(data, coding, cut=cut)
    except DecodeError:
        return None


def _measure(paths: list[str]) -> None:
    """Decode files, called gzip-br or the like, as streams and as wholes; print by how much the peak memory grew."""
    import resource

    coding_makers()
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    for path in paths:
        for is_whole in (False, True):
            decoder = BodyDecoder(Path(path).name.split("-"), LIMITS, is_whole=is_whole)
            with open(path, "rb") as file:
                try:
                    b"".join(pieces(decoder, iter(lambda: file.read(65_536), b"")))
                    raise SystemExit("nothing was refused")
                except DecodeError:
                    pass
        print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before)


if __name__ == "__main__":
    _measure(sys.argv[1:])
