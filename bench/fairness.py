"""Who waits when there are not enough connections? 1,000 workers, each sending one request after the other, on 10.

    python bench/fairness.py [--workers 1000] [--connections 10] [--requests 20000] [--client netio,aiohttp]

A fair queue serves every worker as often as the others, and lets no request wait much longer than the rest. A client in
which whoever comes first takes the free connection serves some a hundred times and others never. The target (DESIGN
section 9) is: every worker within one of the mean on asyncio, and no request longer than three times the median.
"""

from __future__ import annotations

import statistics
import sys
import time
from typing import Any

import _output
import _servers
import anyio
from _child import Control
from _children import end_on_sigterm
from _output import Column, Record, Table
from _peers import Peer, Wish, Wrong, load
from _rounds import Contestant, Race, add_client_option

CLIENTS = "netio,pyreqwest,aiohttp,pyqwest,httpx2"


async def in_child(case: dict[str, Any], control: Control) -> None:
    """Measure one client, one run for each word."""
    async with load(case["client"])(Wish("h1", case["connections"], case["trusted"])) as peer:
        await run(peer, case["url"], workers=case["connections"], requests=100)
        control.say(ready=True)
        while (word := control.hear()) is not None:
            control.say(**await run(peer, case["url"], workers=case["workers"], requests=word["requests"]))


async def run(peer: Peer, url: str, *, workers: int, requests: int) -> dict[str, Any]:
    """Let the workers share the requests, first come, first served; return who got how many, and how long they took."""
    left = requests
    served = [0] * workers
    waited: list[float] = []

    async def work(number: int) -> None:
        nonlocal left
        while left > 0:
            left -= 1
            start = time.perf_counter()
            if await peer.get(url) != _servers.SMALL:
                raise Wrong("an answer of another length")
            waited.append(time.perf_counter() - start)
            served[number] += 1

    cpu = time.process_time()
    async with anyio.create_task_group() as group:
        for number in range(workers):
            group.start_soon(work, number)
    cpu = time.process_time() - cpu
    return {
        "requests": len(waited),
        "cpu": cpu / len(waited) * 1e6,
        "fewest": min(served),
        "most": max(served),
        "median": statistics.median(waited) * 1e3,
        "worst": max(waited) * 1e3,
    }


def record_of(one: Contestant, workers: int) -> Record:
    """Return the worst of all rounds where fairness is concerned, and the median of the costs."""
    record = one.record()
    if not one.results:
        return record
    rounds = one.results
    requests = rounds[0]["requests"]
    return record | {
        "requests": requests,
        "mean": requests / workers,
        "fewest": min(result["fewest"] for result in rounds),
        "most": max(result["most"] for result in rounds),
        "median": statistics.median(result["median"] for result in rounds),
        "worst": max(result["worst"] for result in rounds),
        "worst_to_median": max(result["worst"] / result["median"] for result in rounds),
        "cpu": statistics.median(result["cpu"] for result in rounds),
    }


COLUMNS = [
    Column("client", "client"),
    Column("loop", "loop"),
    Column("mean", "requests a worker", ".1f"),
    Column("fewest", "fewest"),
    Column("most", "most"),
    Column("median", "median ms", ".1f"),
    Column("worst", "worst ms", ".1f"),
    Column("worst_to_median", "worst / median", ".2f"),
    Column("cpu", "CPU µs a request", ".1f"),
    Column("state", "state"),
]


def main() -> None:
    parser = _output.parser(__doc__, rounds=3)
    parser.add_argument("--workers", type=int, default=1_000)
    parser.add_argument("--connections", type=int, default=10)
    parser.add_argument("--requests", type=int, default=20_000, help="of a run (default 20000)")
    add_client_option(parser, CLIENTS)
    arguments = parser.parse_args()
    if arguments.quick:
        arguments.workers = min(arguments.workers, 50)
        arguments.requests = min(arguments.requests, 500)
    end_on_sigterm()
    _output.begin()
    try:
        with _servers.nginx() as site, Race(arguments.client, "h1") as race:
            case = {
                "connections": arguments.connections,
                "workers": arguments.workers,
                "trusted": site.trusted,
                "url": site.url("h1"),
            }
            race.start("fairness", case)
            race.run(_output.rounds_of(arguments), lambda one: {"requests": arguments.requests})
            records = [record_of(one, arguments.workers) for one in race.contestants]
            title = f"{arguments.workers} workers on {arguments.connections} connections, HTTP/1.1"
            table = Table(title, COLUMNS, records, race.notes())
    except _servers.ServerAbsent as error:
        sys.exit(str(error))
    table.show()
    _output.finish("fairness", arguments, [table])


if __name__ == "__main__":
    main()
