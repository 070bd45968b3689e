"""What does a small request cost? CPU of the client for GETs of 200 bytes from nginx, netio beside its peers.

    python bench/live.py [--protocol h1,h1s,h2,h2c] [--concurrency 1,32,256] [--client netio,aiohttp,httpx2:trio]

A client is a name with a loop, such as netio:uvloop; a name alone means asyncio, for netio and raw every loop, and
with :* every loop that it runs on. Figures are microseconds of CPU per request, user and system, all threads of the
client's process; the server is on another core. `raw` is the floor: the bare loop, a fixed request, counted bytes.

The ratio columns are netio on that loop against the client of the row, pair by pair within each round: their median.
"""

from __future__ import annotations

import argparse
import statistics
import sys
from typing import Any

import _output
import _servers
from _child import Control
from _children import end_on_sigterm
from _load import run_load
from _output import Column, Table
from _peers import VERSIONS, Wish, Wrong, load
from _rounds import Contestant, Race, add_client_option, columns, cpu_per_request, wrong_length

CLIENTS = "raw,netio,pyreqwest:*,aiohttp:*,pyqwest,pyqwest:trio,httpx2,httpx2:trio,httpx,niquests"
CONCURRENCY = {"h1": [1, 32, 256], "h1s": [1, 32, 256], "h2": [1, 32, 100], "h2c": [1, 32, 100]}
RUN_SECONDS = 1.5
"""A slow client does fewer requests, so that a round stays short."""


async def in_child(case: dict[str, Any], control: Control) -> None:
    """Measure one client, one run for each word."""
    wish = Wish(case["protocol"], max(case["concurrency"], 2), case["trusted"])
    url, size, concurrency = case["url"], case["size"], case["concurrency"]
    async with load(case["client"])(wish) as peer:
        version = await peer.version(url)
        if version != VERSIONS[wish.protocol]:
            raise Wrong(f"it spoke {version}")
        warm = await run_load(peer.get, url, size=size, concurrency=concurrency, requests=max(200, 2 * concurrency))
        control.say(version=version, rate=warm.requests / warm.wall)
        while (word := control.hear()) is not None:
            done = await run_load(peer.get, url, size=size, concurrency=concurrency, requests=word["requests"])
            control.say(requests=done.requests, wrong=done.wrong, cpu=done.cpu, wall=done.wall)


def measure(protocol: str, concurrency: int, site: _servers.Site, arguments: argparse.Namespace) -> Table:
    """Measure every client in one case: one protocol, one concurrency."""
    case = {
        "protocol": protocol,
        "concurrency": concurrency,
        "trusted": site.trusted,
        "url": site.url(protocol),
        "size": _servers.SMALL,
    }

    def word(one: Contestant) -> dict[str, Any]:
        return {"requests": max(100, min(arguments.requests, int(one.ready.get("rate", 0) * RUN_SECONDS)))}

    with Race(arguments.client, protocol) as race:
        race.start("live", case)
        race.run(_output.rounds_of(arguments), word, wrong_length)
        records = race.records(cpu_per_request)
        for record, one in zip(records, race.contestants, strict=True):
            if one.results:
                record["rate"] = statistics.median(done["requests"] / done["wall"] for done in one.results)
        title = f"{_servers.PROTOCOLS[protocol]}, concurrency {concurrency}: CPU per request, µs"
        return Table(title, columns(Column("rate", "requests/s", ".0f")), records, race.notes())


def main() -> None:
    parser = _output.parser(__doc__, rounds=5)
    parser.add_argument("--protocol", default="h1,h1s,h2,h2c", help="h1, h1s, h2, h2c, with commas (default: all)")
    parser.add_argument("--concurrency", help="with commas (default 1,32,256; for HTTP/2 1,32,100)")
    parser.add_argument("--requests", type=int, default=5_000, help="of a run; less for a slow client (default 5000)")
    add_client_option(parser, CLIENTS)
    arguments = parser.parse_args()
    if arguments.quick:
        arguments.requests = min(arguments.requests, 200)
        arguments.concurrency = arguments.concurrency or "8"
    end_on_sigterm()
    _output.begin()
    tables: list[Table] = []
    try:
        with _servers.nginx() as site:
            for protocol in _output.names(arguments.protocol):
                if protocol not in CONCURRENCY:
                    sys.exit(f"there is no protocol {protocol}; there are {', '.join(CONCURRENCY)}")
                wished = _output.numbers(arguments.concurrency) if arguments.concurrency else CONCURRENCY[protocol]
                for concurrency in wished:
                    tables.append(measure(protocol, concurrency, site, arguments))
                    tables[-1].show()
    except _servers.ServerAbsent as error:
        sys.exit(str(error))
    _output.finish("live", arguments, tables)


if __name__ == "__main__":
    main()
