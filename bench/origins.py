"""Does a request cost more when there are 1,000 origins? CPU per request, round robin over 1,000 addresses and on one.

    python bench/origins.py [--origins 1000] [--concurrency 32] [--client netio,aiohttp]

The origins are addresses of 127.0.0.0/8 on one port of nginx; every one has its warm, idle connection. A second client
in the same process, which knows one origin only, is measured in turn. The budget (DESIGN section 9) is a ratio of 1.3.
What every client pays here is the kernel's: 1,000 sockets are not in the cache of the processor as 32 are.
"""

from __future__ import annotations

import itertools
import statistics
import sys
from typing import Any

import _output
import _servers
from _child import Control
from _children import end_on_sigterm
from _load import Load, run_load
from _output import Column, Record, Table
from _peers import Peer, Wish, load
from _rounds import Contestant, Race, add_client_option

CLIENTS = "netio,pyreqwest,aiohttp,pyqwest,httpx2"
RUN_SECONDS = 2.0


def addresses(count: int) -> list[str]:
    return [f"127.0.{1 + n // 250}.{1 + n % 250}" for n in range(count)]


async def in_child(case: dict[str, Any], control: Control) -> None:
    """Measure one client, one run over all origins and one over the first for each word."""
    urls, concurrency = case["urls"], case["concurrency"]
    wish = Wish("h1", len(urls) + concurrency, case["trusted"])
    peer = load(case["client"])
    async with peer(wish) as wide, peer(wish) as narrow:
        await over(narrow, urls[:1], concurrency, len(urls))
        warm = await over(wide, urls, concurrency, len(urls))
        control.say(rate=warm.requests / warm.wall)
        while (word := control.hear()) is not None:
            many = await over(wide, urls, concurrency, word["requests"])
            one = await over(narrow, urls[:1], concurrency, word["requests"])
            control.say(many=cost(many), one=cost(one), wrong=many.wrong + one.wrong)


async def over(peer: Peer, urls: list[str], concurrency: int, requests: int) -> Load:
    around = itertools.cycle(urls)

    async def get(url: str) -> int:
        return await peer.get(next(around))

    return await run_load(get, "", size=_servers.SMALL, concurrency=concurrency, requests=requests)


def cost(load: Load) -> float:
    return load.cpu / load.requests * 1e6


def record_of(one: Contestant) -> Record:
    record = one.record()
    if not one.results:
        return record
    ratios = [result["many"] / result["one"] for result in one.results]
    return record | {
        "many": min(result["many"] for result in one.results),
        "many_median": statistics.median(result["many"] for result in one.results),
        "one": min(result["one"] for result in one.results),
        "one_median": statistics.median(result["one"] for result in one.results),
        "ratio": statistics.median(ratios),
        "ratio_min": min(ratios),
        "ratio_max": max(ratios),
    }


COLUMNS = [
    Column("client", "client"),
    Column("loop", "loop"),
    Column("many", "all, min", ".1f"),
    Column("many_median", "median", ".1f"),
    Column("one", "one, min", ".1f"),
    Column("one_median", "median", ".1f"),
    Column("ratio", "all / one", ".2f"),
    Column("ratio_min", "lowest", ".2f"),
    Column("ratio_max", "highest", ".2f"),
    Column("state", "state"),
]


def main() -> None:
    parser = _output.parser(__doc__, rounds=5)
    parser.add_argument("--origins", type=int, default=1_000)
    parser.add_argument("--concurrency", type=int, default=32)
    parser.add_argument("--requests", type=int, default=4_000, help="of a run; less for a slow client (default 4000)")
    add_client_option(parser, CLIENTS)
    arguments = parser.parse_args()
    if arguments.quick:
        arguments.origins = min(arguments.origins, 40)
        arguments.concurrency = min(arguments.concurrency, 8)
        arguments.requests = min(arguments.requests, 200)
    end_on_sigterm()
    _output.begin()
    hosts = addresses(arguments.origins)
    try:
        with _servers.nginx(origins=hosts) as site, Race(arguments.client, "h1") as race:
            urls = [f"http://{host}:{site.ports['h1']}/{_servers.SMALL}" for host in hosts]
            race.start("origins", {"urls": urls, "concurrency": arguments.concurrency, "trusted": site.trusted})

            def word(one: Contestant) -> dict[str, int]:
                return {"requests": max(100, min(arguments.requests, int(one.ready.get("rate", 0) * RUN_SECONDS)))}

            race.run(_output.rounds_of(arguments), word, lambda result: "wrong answers" if result["wrong"] else None)
            records = [record_of(one) for one in race.contestants]
            case = f"{arguments.origins} origins and one, HTTP/1.1, concurrency {arguments.concurrency}"
            table = Table(f"{case}: CPU per request, µs", COLUMNS, records, race.notes())
    except _servers.ServerAbsent as error:
        sys.exit(str(error))
    table.show()
    _output.finish("origins", arguments, [table])


if __name__ == "__main__":
    main()
