"""What does a compressed bomb cost? The peak memory above an idle client, in MiB, until a limit ends it.

    python bench/bombs.py [--size 10240] [--bomb gzip,br,zstd,deflate,gzip-gzip] [--way buffered] [--loop asyncio,trio]

A bomb is so many MiB of zeros in one content coding or in a stack of them, served by another process. It is read as a
whole and as a stream, by a reader that keeps nothing: with the limits as they are; without the ratio, where an absolute
limit has to end it, of `Decode` or of the request; and, but for stacks, streamed without any limit, where all of it has
to come through. Every end has to name its limit. Memory is looked at from inside (VmHWM), in a fresh interpreter for
each bomb and way (with --quick for each bomb: the allocator keeps what it has had); idle is the client after a small
body in each coding.
"""

from __future__ import annotations

import argparse
import gzip
import importlib
import sys
import time
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import _machine
import _output
import _servers
from _child import Control
from _children import Child, ChildFailed, Word, end_on_sigterm
from _output import Column, Record, Table
from _peers import Wrong

MEBIBYTE = 1_048_576
BLOCK = 64
"""MiB of one member, frame or metablock; a bomb repeats it."""
ALLOWED = 16
"""MiB above idle; more is a failure."""
ENDLESS = "streamed, no limit"
BUFFERED = 2
"""MiB that the absolute limits allow to what is held in memory; the body as it was sent stands beside it, up to 10 MiB
here, and the window of the decoder."""
PATIENCE_SECONDS = 600.0
LOOPS = "asyncio,uvloop,trio"
BOMBS = "gzip,deflate,br,zstd,gzip-gzip,gzip-br,br-br,zstd-zstd,zstd-gzip,gzip-gzip-gzip-gzip-gzip"

COLUMNS = [
    Column("bomb", "bomb"),
    Column("way", "way"),
    Column("memory", "peak above idle, MiB", ".1f"),
    Column("seen", "MiB seen", ".0f"),
    Column("wall", "seconds", ".2f"),
    Column("state", "ended by"),
]


# ---------------------------------------------------------------------- the bombs


def gzip_of(data: bytes, times: int) -> bytes:
    return gzip.compress(data, 9) * times


def zstd_of(data: bytes, times: int) -> bytes:
    zstd = importlib.import_module("compression.zstd" if sys.version_info >= (3, 14) else "backports.zstd")
    compressed: bytes = zstd.compress(data)
    return compressed * times


def deflate_of(data: bytes, times: int) -> bytes:
    """Repeat what lies between two full flushes: it refers to nothing before it."""
    compressor = zlib.compressobj(9)
    first = compressor.compress(data) + compressor.flush(zlib.Z_FULL_FLUSH)
    again = compressor.compress(data) + compressor.flush(zlib.Z_FULL_FLUSH)
    checksum = 1
    for _ in range(times):
        checksum = zlib.adler32(data, checksum)
    return first + again * (times - 1) + b"\x03\x00" + checksum.to_bytes(4)


def brotli_of(data: bytes, times: int) -> bytes:
    """Repeat what lies between two flushes: behind the first one it is always the same."""
    compressor = importlib.import_module("brotli").Compressor(quality=5)
    first, again = (bytes(compressor.process(data) + compressor.flush()) for _ in range(2))
    return first + again * (times - 1) + bytes(compressor.finish())


REPEATED: dict[str, Callable[[bytes, int], bytes]] = {
    "gzip": gzip_of,
    "deflate": deflate_of,
    "br": brotli_of,
    "zstd": zstd_of,
}


def write_bomb(folder: Path, name: str, mebibytes: int) -> int:
    """Write a bomb into the folder; return its size."""
    first, *others = name.split("-")
    data = REPEATED[first](bytes(BLOCK * MEBIBYTE), mebibytes // BLOCK)
    for coding in others:
        data = REPEATED[coding](data, 1)
    return (folder / name).write_bytes(data)


def write_small(folder: Path) -> None:
    """Write a small body in each coding, to load the libraries."""
    (folder / "small").mkdir()
    for coding, repeated in REPEATED.items():
        (folder / "small" / coding).write_bytes(repeated(b"small", 1))


# ---------------------------------------------------------------------- the client


def _ways(size: int) -> dict[str, tuple[dict[str, Any], dict[str, Any], str | None]]:
    """Return for each way the options of `Decode`, those of the request, and the limit that has to end it."""
    most, stream = BUFFERED * MEBIBYTE, size // 16
    return {
        "buffered": ({}, {}, "Decode.max_ratio"),
        "streamed": ({}, {}, "Decode.max_ratio"),
        "buffered, Decode.max_body": ({"max_ratio": None, "max_body": most}, {}, "Decode.max_body"),
        "buffered, max_body": ({"max_ratio": None}, {"max_body": most}, "max_body"),
        "streamed, Decode.max_stream": ({"max_ratio": None, "max_stream": stream}, {}, "Decode.max_stream"),
        "streamed, max_body": ({"max_ratio": None}, {"max_body": stream}, "max_body"),
        ENDLESS: ({"max_ratio": None}, {}, None),
    }


WAYS = tuple(_ways(0))


async def in_child(case: dict[str, Any], control: Control) -> None:
    """Be hit by the bomb once for each word."""
    import netio

    async with netio.Session(base_url=case["base"]) as session:
        for coding in REPEATED:
            if (await session.get(f"/small/{coding}")).content != b"small":
                raise Wrong(f"a small body in {coding} came out wrong")
    idle = _machine.status_of_memory("VmRSS")
    control.say(idle=idle)
    while (word := control.hear()) is not None:
        decode, options, limit = _ways(case["size"])[word["way"]]
        _machine.forget_highest_memory()
        wall = time.perf_counter()
        async with netio.Session(base_url=case["base"], decode=netio.policy.Decode(**decode), timeout=None) as session:
            seen, ended = await _hit(session, case["bomb"], options, is_whole=word["way"].startswith("buffered"))
        wall = time.perf_counter() - wall
        expected = f"({limit})" if limit else f"nothing: {case['size']} bytes"
        if expected not in ended:
            raise Wrong(f"{case['bomb']}, {word['way']}: ended by {ended}, not by {expected}")
        memory = _machine.status_of_memory("VmHWM") - idle
        control.say(memory=memory, seen=seen, wall=wall, state=limit or "its end")


async def _hit(session: Any, bomb: str, options: Word, *, is_whole: bool) -> tuple[int, str]:
    """Return how many bytes the reader has seen, and what the error said."""
    import netio

    seen = 0
    try:
        if is_whole:
            seen = len((await session.get(f"/{bomb}", **options)).content)
        else:
            async with session.stream("GET", f"/{bomb}", **options) as response:
                async for piece in response.aiter_bytes():
                    seen += len(piece)
    except (netio.DecodeError, netio.BodyTooLarge) as error:
        return seen, f"{type(error).__name__}: {error}"
    return seen, f"nothing: {seen} bytes"


# ---------------------------------------------------------------------- the parent


def measure(loop: str, base: str, arguments: argparse.Namespace) -> Table:
    """Hit clients on one loop with all bombs in all ways."""
    records: list[Record] = []
    for bomb in _output.names(arguments.bomb):
        ways = [way for way in arguments.way if way != ENDLESS or "-" not in bomb]
        case: Word = {"base": base, "size": arguments.size * MEBIBYTE, "bomb": bomb}
        for group in [ways] if arguments.quick else [[way] for way in ways]:
            records += _hit_in_child(loop, case, group)
    return Table(f"{loop}: {arguments.size} MiB of zeros", COLUMNS, records)


def _hit_in_child(loop: str, case: Word, ways: list[str]) -> list[Record]:
    """Hit one client by one bomb in some ways."""
    records: list[Record] = []
    with Child("bombs", case, side="client", loop=loop, patience=PATIENCE_SECONDS) as child:
        try:
            child.hear()
            for way in ways:
                result = _in_mebibytes(child.ask({"way": way}))
                records.append({"loop": loop, "bomb": case["bomb"], "way": way, **result})
        except ChildFailed as error:
            records.append({"loop": loop, "bomb": case["bomb"], "state": str(error), "failed": True})
    return records


def _in_mebibytes(result: Word) -> Word:
    return {**result, "memory": result["memory"] / MEBIBYTE, "seen": result["seen"] / MEBIBYTE}


def main() -> None:
    parser = _output.parser(__doc__)
    parser.add_argument("--size", type=int, default=10_240, help=f"MiB, a multiple of {BLOCK} (default 10240)")
    parser.add_argument("--bomb", default=BOMBS, help=f"codings, stacked by hyphens, with commas (default {BOMBS})")
    parser.add_argument("--way", action="append", choices=WAYS, help="may be given several times (default: all)")
    parser.add_argument("--loop", default=LOOPS, help=f"with commas (default {LOOPS})")
    arguments = parser.parse_args()
    arguments.way = arguments.way or list(WAYS)
    if arguments.quick:
        arguments.size = min(arguments.size, 256)
    if arguments.size < BLOCK or arguments.size % BLOCK:
        parser.error(f"--size is a multiple of {BLOCK}")
    end_on_sigterm()
    _output.begin()
    tables: list[Table] = []
    with _servers.folder() as folder:
        write_small(folder)
        for bomb in _output.names(arguments.bomb):
            print(f"{bomb}: {write_bomb(folder, bomb, arguments.size)} bytes")
        with Child("_bomb_server", {"folder": str(folder)}, side="server", loop="none") as server:
            base = f"http://{_servers.HOST}:{server.hear()['port']}"
            for loop in _output.names(arguments.loop):
                tables.append(measure(loop, base, arguments))
                tables[-1].show()
    _output.finish("bombs", arguments, tables)
    records = [record for table in tables for record in table.records]
    if any(record.get("failed") for record in records):
        sys.exit("not every bomb was ended by the limit that should have done it")
    highest = max((record["memory"] for record in records), default=0.0)
    if highest > ALLOWED:
        sys.exit(f"{highest:.1f} MiB is more than the {ALLOWED} that are allowed")


if __name__ == "__main__":
    main()
