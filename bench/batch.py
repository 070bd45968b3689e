"""What does a request cost when exactly K answers arrive at once? The server answers K requests with one send.

    python bench/batch.py [-k 1,32] [--protocol h1,h2c] [--client netio,pyreqwest]

HTTP/1.1 over K connections, and HTTP/2 in clear text with K streams on one connection. CPU per request of the client's
process, in microseconds. No batch may be short within a measurement; a row where one was says so. The budget for
HTTP/2 (DESIGN section 9) is 12 µs at K = 32 on asyncio.
"""

from __future__ import annotations

import argparse
from typing import Any

import _output
from _batch_server import BODY
from _child import Control
from _children import Child, Word, end_on_sigterm
from _load import run_load
from _output import Column, Table
from _peers import VERSIONS, Wish, Wrong, load
from _rounds import Contestant, Race, add_client_option, columns, cpu_per_request, wrong_length

CLIENTS = "raw,netio,pyreqwest,aiohttp,pyqwest,httpx2"
TITLES = {"h1": "HTTP/1.1, {k} connections", "h2c": "HTTP/2 in clear text, one connection"}


async def in_child(case: dict[str, Any], control: Control) -> None:
    """Measure one client, one run for each word."""
    url, batch = case["url"], case["batch"]
    wish = Wish(case["protocol"], batch, "")  # for HTTP/2 too: pyreqwest limits requests by this, not connections
    async with load(case["client"])(wish) as peer:
        version = await peer.version(url)
        if version != VERSIONS[wish.protocol]:
            raise Wrong(f"it spoke {version}")
        await run_load(peer.get, url, size=len(BODY), concurrency=batch, requests=batch * max(2, 100 // batch))
        control.say(version=version)
        while (word := control.hear()) is not None:
            done = await run_load(peer.get, url, size=len(BODY), concurrency=batch, requests=word["requests"])
            control.say(requests=done.requests, wrong=done.wrong, cpu=done.cpu, wall=done.wall)


def measure(protocol: str, batch: int, arguments: argparse.Namespace) -> Table:
    """Measure every client in one case: one protocol, one K."""
    requests = max(1, arguments.requests // batch) * batch
    with Child("_batch_server", {"batch": batch}, side="server", loop="none") as server:
        url = f"http://127.0.0.1:{server.hear()['port']}/"

        def word(one: Contestant) -> Word:
            counts.append(server.ask({}))
            return {"requests": requests}

        def objection(result: Word) -> str | None:
            short = server.ask({})["short"] - counts[-1]["short"]
            return (
                f"{short} batches were short: the client kept fewer than {batch} requests in flight"
                if short
                else (wrong_length(result))
            )

        counts: list[Word] = []
        with Race(arguments.client, protocol) as race:
            opened: list[int] = []
            for one in race.contestants:
                before = server.ask({})["connections"]
                one.start("batch", {"protocol": protocol, "batch": batch, "url": url})
                opened.append(server.ask({})["connections"] - before)
            race.run(_output.rounds_of(arguments), word, objection)
            records = race.records(cpu_per_request)
            for record, connections in zip(records, opened, strict=True):
                record["connections"] = connections
            title = f"{TITLES[protocol].format(k=batch)}, {batch} answers at once: CPU per request, µs"
            return Table(title, columns(Column("connections", "connections")), records, race.notes())


def main() -> None:
    parser = _output.parser(__doc__, rounds=5)
    parser.add_argument("-k", "--batch", default="1,32", help="answers at once, with commas (default 1,32)")
    parser.add_argument("--protocol", default="h1,h2c", help="h1, h2c, with commas (default: both)")
    parser.add_argument("--requests", type=int, default=3_200, help="of a run (default 3200)")
    add_client_option(parser, CLIENTS)
    arguments = parser.parse_args()
    if arguments.quick:
        arguments.requests = min(arguments.requests, 320)
    end_on_sigterm()
    _output.begin()
    tables: list[Table] = []
    for protocol in _output.names(arguments.protocol):
        if protocol not in TITLES:
            parser.error(f"there is no protocol {protocol}; there are {', '.join(TITLES)}")
        for batch in _output.numbers(arguments.batch):
            tables.append(measure(protocol, batch, arguments))
            tables[-1].show()
    _output.finish("batch", arguments, tables)


if __name__ == "__main__":
    main()
