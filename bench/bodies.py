"""What do large bodies cost? 100 MiB down (streamed, whole) and up (bytes, generator): CPU, speed and peak memory.

    python bench/bodies.py [--protocol h1,h1s,h2,h2c] [--kind streamed,whole,bytes,generator] [--size 100]
    python bench/bodies.py --protocol h2 --delay 50 [--bandwidth 25]

Downloads come from nginx; uploads go to a sink that answers after the last byte. Each client first moves one body
with its checksum compared; the measured runs only count bytes. CPU is milliseconds per MB (10^6 bytes) of the client's
process; memory is the highest resident memory of a run above that of the client before its first large body. With
--delay there is a proxy in between with that round trip, in milliseconds, and a bandwidth in MB/s; then the question is
what part of it is used.
"""

from __future__ import annotations

import argparse
import statistics
import sys
import time
import zlib
from collections.abc import AsyncIterator, Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

import _machine
import _output
import _servers
from _child import Control
from _children import Child, Word, end_on_sigterm
from _output import Column, Record, Table
from _peers import VERSIONS, Peer, Wish, Wrong, load
from _rounds import Contestant, Race, add_client_option, columns

CLIENTS = "netio,pyreqwest,aiohttp,pyqwest,httpx2"
KINDS = {
    "streamed": "download, streamed",
    "whole": "download, whole",
    "bytes": "upload of bytes",
    "generator": "upload from a generator",
}
UPLOADS = ("bytes", "generator")
PIECE = bytes(range(256)) * 256
MEBIBYTE = 1_048_576
SMALL_BODY = 8
"""MiB of the body that is checked before the measurement."""


def body(mebibytes: int) -> bytes:
    return PIECE * (mebibytes * MEBIBYTE // len(PIECE))


async def pieces(mebibytes: int) -> AsyncIterator[bytes]:
    for _ in range(mebibytes * MEBIBYTE // len(PIECE)):
        yield PIECE


async def in_child(case: dict[str, Any], control: Control) -> None:
    """Check one body, then measure one for each word."""
    wish = Wish(case["protocol"], 4, case["trusted"])
    kind, size = case["kind"], case["size"]
    async with load(case["client"])(wish) as peer:
        version = await peer.version(case["small"])
        if version != VERSIONS[wish.protocol]:
            raise Wrong(f"it spoke {version}")
        content = body(size) if kind == "bytes" else b""
        checked = body(SMALL_BODY) if kind == "bytes" else b""
        idle = _machine.status_of_memory("VmRSS")
        control.say(version=version)
        while (word := control.hear()) is not None:
            if word.get("check"):
                await verify(peer, kind, case["url"], checked)
                control.say(checked=True)
                continue
            _machine.forget_highest_memory()
            wall, cpu = time.perf_counter(), time.process_time()
            moved = await move(peer, kind, case["url"], content, size)
            cpu, wall = time.process_time() - cpu, time.perf_counter() - wall
            memory = _machine.status_of_memory("VmHWM") - idle
            control.say(moved=moved, cpu=cpu, wall=wall, memory=memory)


async def move(peer: Peer, kind: str, url: str, content: bytes, size: int) -> int:
    """Move one body and return how many bytes arrived."""
    if kind == "streamed":
        return sum([len(chunk) async for chunk in peer.stream(url)])
    if kind == "whole":
        return await peer.get(url)
    answer = await peer.upload(url, content if kind == "bytes" else lambda: pieces(size))
    return int(answer.split()[0])


async def verify(peer: Peer, kind: str, url: str, content: bytes) -> None:
    """Move one body with its checksum."""
    if kind in UPLOADS:
        found = (await peer.upload(url, content or (lambda: pieces(SMALL_BODY)))).decode()
    elif kind == "whole":
        whole = await peer.download(url.replace("/large", "/checked"))
        found = f"{len(whole)} {zlib.crc32(whole):08x}"
    else:
        length = checksum = 0
        async for chunk in peer.stream(url.replace("/large", "/checked")):
            length, checksum = length + len(chunk), zlib.crc32(chunk, checksum)
        found = f"{length} {checksum:08x}"
    expected = 0
    async for piece in pieces(SMALL_BODY):
        expected = zlib.crc32(piece, expected)
    if found != f"{SMALL_BODY * MEBIBYTE} {expected:08x}":
        raise Wrong(f"length and checksum are {found}, not {SMALL_BODY * MEBIBYTE} {expected:08x}")


@contextmanager
def place_for(
    kind: str, protocol: str, nginx: _servers.Site, certificate: _servers.Certificate, arguments: argparse.Namespace
) -> Iterator[tuple[Child | None, str, str]]:
    """Give the sink if there is one, the URL of the body and of a small answer, through the slow link if asked."""
    with ExitStack() as stack:
        sink: Child | None = None
        port = nginx.ports[protocol]
        if kind in UPLOADS:
            is_tls = protocol in ("h1s", "h2")
            case = {
                "http2": protocol in ("h2", "h2c"),
                "chain": str(certificate.chain) if is_tls else "",
                "key": str(certificate.key),
            }
            sink = stack.enter_context(Child("_sink_server", case, side="server", loop="none"))
            port = sink.hear()["port"]
        if arguments.delay:
            link = {"port": port, "round_trip": arguments.delay / 1e3, "bandwidth": arguments.bandwidth * 1e6}
            port = stack.enter_context(Child("_slow_link", link, side="server")).hear()["port"]
        scheme = "https" if protocol in ("h1s", "h2") else "http"
        base = f"{scheme}://{_servers.HOST}:{port}"
        yield sink, f"{base}/large", f"{base}/{_servers.SMALL}"


def measure(
    kind: str,
    protocol: str,
    nginx: _servers.Site,
    certificate: _servers.Certificate,
    arguments: argparse.Namespace,
) -> Table:
    """Measure every client with one kind of body over one protocol."""
    trusted = str(certificate.trusted) if kind in UPLOADS else nginx.trusted
    size = arguments.size * MEBIBYTE
    with (
        place_for(kind, protocol, nginx, certificate, arguments) as (sink, url, small),
        Race(arguments.client, protocol) as race,
    ):
        case = {"kind": kind, "protocol": protocol, "size": arguments.size, "url": url, "small": small}
        race.start("bodies", case | {"trusted": trusted})
        for one in race.contestants:
            if sink is not None:
                sink.ask({"checked": 1})
            one.ask({"check": True})
            if sink is not None:
                sink.ask({"checked": 0})

        def objection(result: Word) -> str | None:
            return None if result["moved"] == size else f"{result['moved']} bytes arrived, not {size}"

        race.run(_output.rounds_of(arguments), lambda one: {"check": False}, objection)
        records = race.records(lambda result: result["cpu"] * 1e3 / (size / 1e6))
        for record, one in zip(records, race.contestants, strict=True):
            record.update(_more(one, size, arguments))
        through = f", {arguments.delay:g} ms round trip, {arguments.bandwidth:g} MB/s" if arguments.delay else ""
        title = f"{_servers.PROTOCOLS[protocol]}, {KINDS[kind]}, {arguments.size} MiB{through}: CPU, ms per MB"
        return Table(title, _columns(arguments), records, race.notes())


def _more(one: Contestant, size: int, arguments: argparse.Namespace) -> Record:
    if not one.results:
        return {}
    rate = max(size / 1e6 / result["wall"] for result in one.results)
    more: Record = {"rate": rate, "memory": statistics.median(r["memory"] for r in one.results) / MEBIBYTE}
    if arguments.delay:
        more["share"] = rate / arguments.bandwidth
    return more


def _columns(arguments: argparse.Namespace) -> list[Column]:
    more = [Column("rate", "best MB/s", ".0f"), Column("memory", "memory, MiB", ".1f")]
    if arguments.delay:
        more.append(Column("share", "of the link", ".0%"))
    return [Column(c.key, c.heading, ".3f") if c.key in ("min", "median") else c for c in columns(*more)]


def main() -> None:
    parser = _output.parser(__doc__, rounds=5)
    parser.add_argument("--protocol", default="h1,h1s,h2,h2c", help="h1, h1s, h2, h2c, with commas (default: all)")
    parser.add_argument("--kind", default=",".join(KINDS), help=f"{', '.join(KINDS)}, with commas (default: all)")
    parser.add_argument("--size", type=int, default=100, help="MiB of a body (default 100)")
    parser.add_argument("--delay", type=float, default=0.0, help="milliseconds of round trip (default: no proxy)")
    parser.add_argument("--bandwidth", type=float, default=25.0, help="of the link with a delay, in MB/s (default 25)")
    add_client_option(parser, CLIENTS)
    arguments = parser.parse_args()
    if arguments.quick:
        arguments.size = min(arguments.size, SMALL_BODY)
    end_on_sigterm()
    _output.begin()
    tables: list[Table] = []
    files: dict[str, bytes | int] = {"large": body(arguments.size), "checked": body(SMALL_BODY)}
    try:
        with _servers.nginx(files=files) as nginx, _servers.folder() as folder:
            files.clear()
            certificate = _servers.make_certificate(folder)
            for protocol in _output.names(arguments.protocol):
                for kind in _output.names(arguments.kind):
                    if protocol not in _servers.PROTOCOLS or kind not in KINDS:
                        parser.error(f"there is no {kind} over {protocol}")
                    tables.append(measure(kind, protocol, nginx, certificate, arguments))
                    tables[-1].show()
    except _servers.ServerAbsent as error:
        sys.exit(str(error))
    _output.finish("bodies", arguments, tables)


if __name__ == "__main__":
    main()
