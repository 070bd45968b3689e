"""How much memory does it take to send a file in a form, and to save a download? The peak above an idle client, in MiB.

    python bench/files.py [--size 1024] [--protocol h1,h1s,h2] [--loop asyncio,uvloop,trio]

The form is one file of so many MiB, given as a path, and goes to a server that counts and forgets it. The download is a
file of nginx, taken by `session.download`. Both are looked at from inside (VmHWM), in a process of their own.
"""

from __future__ import annotations

import argparse
import os
import sys
import time
from pathlib import Path
from typing import Any

import _machine
import _output
import _servers
from _child import Control
from _children import Child, ChildFailed, Word, end_on_sigterm
from _output import Column, Record, Table
from _peers import Absent, Wrong

MEBIBYTE = 1_048_576
PATIENCE_SECONDS = 600.0
ALLOWED = 16
"""MiB above idle; more is a failure."""
KINDS = {"upload": "a form with one file", "download": "a download"}
LOOPS = "asyncio,uvloop,trio"
COLUMNS = [
    Column("loop", "loop"),
    Column("memory", "peak above idle, MiB", ".1f"),
    Column("rate", "MB/s", ".0f"),
    Column("cpu", "CPU, ms per MB", ".2f"),
    Column("state", "state"),
]


async def in_child(case: dict[str, Any], control: Control) -> None:
    """Move one file, after a small request, and say what it took."""
    import netio

    size, path = case["size"], Path(case["path"])
    async with netio.Session(verify=case["trusted"], timeout=None) as session:
        version = (await session.get(case["small"])).http_version
        if version != case["version"]:
            raise Wrong(f"it spoke {version}")
        if case["kind"] == "upload":
            await session.post(case["url"], files={"file": ("small", b"x" * 1000)})
        idle = _machine.status_of_memory("VmRSS")
        _machine.forget_highest_memory()
        wall, cpu = time.perf_counter(), time.process_time()
        if case["kind"] == "upload":
            response = await session.post(case["url"], files={"file": path})
            if int(response.content.split()[0]) != response.request.body.length:
                raise Wrong(f"{response.text} bytes arrived, not {response.request.body.length}")
        else:
            await session.download(case["url"], path)
            if os.stat(path).st_size != size:
                raise Wrong(f"{os.stat(path).st_size} bytes arrived, not {size}")
        cpu, wall = time.process_time() - cpu, time.perf_counter() - wall
        control.say(memory=_machine.status_of_memory("VmHWM") - idle, wall=wall, cpu=cpu)


def measure(kind: str, protocol: str, nginx: _servers.Site, place: Path, arguments: argparse.Namespace) -> Table:
    certificate = _servers.make_certificate(place)
    size, is_tls = arguments.size * MEBIBYTE, protocol in ("h1s", "h2")
    case: Word = {"kind": kind, "size": size, "version": "HTTP/2" if protocol == "h2" else "HTTP/1.1"}
    records: list[Record] = []
    with Child("_sink_server", _sink(protocol, certificate, is_tls=is_tls), side="server", loop="none") as sink:
        port = sink.hear()["port"]
        base = f"{'https' if is_tls else 'http'}://{_servers.HOST}:{port}"
        for loop in _output.names(arguments.loop):
            if kind == "upload":
                path = place / "sent"
                path.touch()
                os.truncate(path, size)
                case |= {"url": f"{base}/", "small": f"{base}/", "path": str(path), "trusted": str(certificate.trusted)}
            else:
                case |= {"url": nginx.url(protocol, "/huge"), "small": nginx.url(protocol), "trusted": nginx.trusted}
                case["path"] = str(place / "saved")
            records.append(_record(loop, case))
            Path(case["path"]).unlink(missing_ok=True)
    return Table(f"{_servers.PROTOCOLS[protocol]}, {KINDS[kind]} of {arguments.size} MiB", COLUMNS, records, [])


def _sink(protocol: str, certificate: _servers.Certificate, *, is_tls: bool) -> Word:
    chain = str(certificate.chain) if is_tls else ""
    return {"http2": protocol == "h2", "chain": chain, "key": str(certificate.key)}


def _record(loop: str, case: Word) -> Record:
    record: Record = {"loop": loop, "kind": case["kind"]}
    try:
        with Child("files", case, side="client", loop=loop, patience=PATIENCE_SECONDS) as child:
            result = child.hear()
    except (ChildFailed, Absent) as error:
        return record | {"state": str(error)}
    megabytes = case["size"] / 1e6
    return record | {
        "memory": result["memory"] / MEBIBYTE,
        "rate": megabytes / result["wall"],
        "cpu": result["cpu"] * 1e3 / megabytes,
        "state": "measured",
    }


def main() -> None:
    parser = _output.parser(__doc__)
    parser.add_argument("--size", type=int, default=1_024, help="MiB of a file (default 1024)")
    parser.add_argument("--protocol", default="h1,h1s,h2", help="h1, h1s, h2, with commas (default: all)")
    parser.add_argument("--kind", default=",".join(KINDS), help=f"{', '.join(KINDS)}, with commas (default: both)")
    parser.add_argument("--loop", default=LOOPS, help=f"with commas (default {LOOPS})")
    arguments = parser.parse_args()
    if arguments.quick:
        arguments.size = min(arguments.size, 32)
    end_on_sigterm()
    _output.begin()
    tables: list[Table] = []
    try:
        with _servers.nginx(files={"huge": arguments.size * MEBIBYTE}) as nginx, _servers.folder() as place:
            for protocol in _output.names(arguments.protocol):
                for kind in _output.names(arguments.kind):
                    if protocol not in ("h1", "h1s", "h2") or kind not in KINDS:
                        parser.error(f"there is no {kind} over {protocol} here")
                    tables.append(measure(kind, protocol, nginx, place, arguments))
                    tables[-1].show()
    except _servers.ServerAbsent as error:
        sys.exit(str(error))
    _output.finish("files", arguments, tables)
    highest = max((record.get("memory", 0.0) for table in tables for record in table.records), default=0.0)
    if highest > ALLOWED:
        sys.exit(f"{highest:.1f} MiB is more than the {ALLOWED} that are allowed")


if __name__ == "__main__":
    main()
