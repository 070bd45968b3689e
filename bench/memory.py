"""How much memory does a connection take? KiB of resident memory for each of 1,000, in flight and idle.

    python bench/memory.py [--connections 1000] [--protocol h1,h1s] [--client netio,aiohttp]

The server holds its answers back until all requests are in flight; then none may be done yet, and the first look is
taken. Then it answers; all are done, all connections are still open, and the second look is taken. Both are above a
client that has had one request. In flight includes the caller's own task, 3 to 4 KiB. Idle is taken after the peak, and
what the interpreter keeps for later use is still resident, so it is an upper bound. What the kernel needs is not in it.
"""

from __future__ import annotations

import argparse
import ctypes
import ctypes.util
import gc
import time
from typing import Any

import _machine
import _output
import _servers
import anyio
from _child import Control
from _children import Child, ChildFailed, Word, end_on_sigterm
from _output import Column, Record, Table
from _peers import VERSIONS, Wish, Wrong, load
from _rounds import Contestant, Race, add_client_option

CLIENTS = "netio,pyreqwest,aiohttp,pyqwest,httpx2"
SETTLE_SECONDS = 0.2
PATIENCE_SECONDS = 60.0


def resident() -> int:
    """Return the resident memory, after giving back what can be given back."""
    gc.collect()
    libc = ctypes.CDLL(ctypes.util.find_library("c"))
    if hasattr(libc, "malloc_trim"):  # glibc
        libc.malloc_trim(0)
    return _machine.status_of_memory("VmRSS")


async def in_child(case: dict[str, Any], control: Control) -> None:
    """Warm up, then look three times: empty, in flight, idle. The parent says when."""
    wish = Wish(case["protocol"], case["connections"], case["trusted"])
    async with load(case["client"])(wish) as peer:
        version = await peer.version(case["url"])
        if version != VERSIONS[wish.protocol]:
            raise Wrong(f"it spoke {version}")
        await peer.get(case["url"])
        control.say(version=version)
        if control.hear() is None:
            return
        await _look(peer.get, case, control)


async def _look(get: Any, case: dict[str, Any], control: Control) -> None:
    done = 0
    is_answered = anyio.Event()

    async def one() -> None:
        nonlocal done
        if await get(case["hold"]) != _servers.SMALL:
            raise Wrong("an answer of another length")
        done += 1
        if done == case["connections"]:
            is_answered.set()

    empty = await anyio.to_thread.run_sync(resident)  # with the thread that is needed below
    async with anyio.create_task_group() as group:
        for _ in range(case["connections"]):
            group.start_soon(one)
        await _hear_in_thread(control)  # the loop runs meanwhile; the parent asks the server until it holds all
        await anyio.sleep(SETTLE_SECONDS)
        in_flight = resident()
        control.say(empty=empty, in_flight=in_flight, done=done)
        await is_answered.wait()
    await anyio.sleep(SETTLE_SECONDS)
    control.say(idle=resident(), done=done)
    control.hear()


async def _hear_in_thread(control: Control) -> None:
    await anyio.to_thread.run_sync(control.hear)


def watch(one: Contestant, server: Child, connections: int) -> Record:
    """Lead one client and the server through the two looks."""
    record = one.record()
    if one.child is None:
        return record
    try:
        before = server.ask({"hold": True})["open"]
        one.child.tell({})
        _wait_until_held(server, connections, one)
        first = one.child.ask({})
        if first["done"]:
            raise ChildFailed(f"{first['done']} requests were done while the server held them")
        server.tell({"release": True})
        server.hear()
        last = one.child.hear()
        still_open = server.ask({})["open"] - before + 1
        if last["done"] != connections:
            raise ChildFailed(f"only {last['done']} requests were answered")
    except ChildFailed as error:
        one.fail(error)
        return one.record()
    return record | {
        "in_flight": (first["in_flight"] - first["empty"]) / connections / 1024,
        "idle": (last["idle"] - first["empty"]) / connections / 1024,
        "kept": still_open,
        "empty": first["empty"] / 1024 / 1024,
    }


def _wait_until_held(server: Child, connections: int, one: Contestant) -> None:
    limit = time.monotonic() + PATIENCE_SECONDS
    while (held := server.ask({})["held"]) < connections:
        if time.monotonic() > limit:
            raise ChildFailed(f"only {held} requests reached the server at once")
        if one.child is not None and not one.child.is_running():
            raise ChildFailed("it ended")
        time.sleep(0.02)


COLUMNS = [
    Column("client", "client"),
    Column("loop", "loop"),
    Column("in_flight", "in flight, KiB", ".1f"),
    Column("idle", "idle, KiB", ".1f"),
    Column("kept", "connections kept"),
    Column("empty", "client alone, MiB", ".1f"),
    Column("state", "state"),
]


def measure(protocol: str, place: _servers.Certificate, arguments: argparse.Namespace) -> Table:
    """Measure every client, one after the other: memory has no noise that rounds would even out."""
    case: Word = {"tls": protocol == "h1s", "chain": str(place.chain), "key": str(place.key)}
    scheme = "https" if protocol == "h1s" else "http"
    with Child("_hold_server", case, side="server") as server, Race(arguments.client, protocol) as race:
        base = f"{scheme}://{_servers.HOST}:{server.hear()['port']}"
        records: list[Record] = []
        for one in race.contestants:
            asked = {"protocol": protocol, "connections": arguments.connections, "trusted": str(place.trusted)}
            one.start("memory", {**asked, "url": f"{base}/", "hold": f"{base}/hold"})
            records.append(watch(one, server, arguments.connections))
            one.stop()
        title = f"{_servers.PROTOCOLS[protocol]}, {arguments.connections} connections: resident memory of each"
        return Table(title, COLUMNS, records, race.notes())


def main() -> None:
    parser = _output.parser(__doc__)
    parser.add_argument("--connections", type=int, default=1_000)
    parser.add_argument("--protocol", default="h1,h1s", help="h1, h1s, with commas (default: both)")
    add_client_option(parser, CLIENTS)
    arguments = parser.parse_args()
    if arguments.quick:
        arguments.connections = min(arguments.connections, 50)
    end_on_sigterm()
    tables: list[Table] = []
    with _servers.folder() as folder:
        place = _servers.make_certificate(folder)
        for protocol in _output.names(arguments.protocol):
            if protocol not in ("h1", "h1s"):
                parser.error(f"there is no protocol {protocol} here; there are h1, h1s")
            tables.append(measure(protocol, place, arguments))
            tables[-1].show()
    _output.finish("memory", arguments, tables)


if __name__ == "__main__":
    main()
