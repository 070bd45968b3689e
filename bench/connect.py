"""What does a new connection cost? One request after the other, each on a connection of its own.

    python bench/connect.py [--protocol h1,h1s] [--host localhost] [--client netio,aiohttp] [--rounds 7]

A request is cold: the name is resolved as far as the client does not remember it, TCP connects, TLS shakes hands, one
request is answered, and the server closes. The client itself is not new: it has made one request, its TLS context is
there, and if it remembers TLS sessions it may. CPU is that of the client's process. The wall time is a whole round
trip, and the server's part of the handshake is in it, which is larger than the client's.

The last table is about netio alone: what the handshake itself costs the client, in full and resumed (RFC 8446 section
2.2), with a server in memory. The certificate is of the shortest kind that the web has: P-256, and one authority
between it and the root.
"""

from __future__ import annotations

import argparse
import time
from pathlib import Path
from typing import Any

import _output
import _servers
from _child import Control
from _children import Child, Word, end_on_sigterm
from _output import Column, Record, Table
from _peers import VERSIONS, Wish, Wrong, load
from _rounds import Contestant, Race, add_client_option, columns, cpu_per_request, wrong_length

CLIENTS = "netio,aiohttp,httpx2,pyreqwest"
WAYS = ("full", "resumed")


async def in_child(case: dict[str, Any], control: Control) -> None:
    """Make a request, then as many as each word asks for."""
    async with load(case["client"])(Wish(case["protocol"], 10, case["trusted"])) as peer:
        version = await peer.version(case["url"])
        if version != VERSIONS[case["protocol"]]:
            raise Wrong(f"it spoke {version}")
        control.say(version=version)
        while (word := control.hear()) is not None:
            wrong = 0
            cpu, wall = time.process_time(), time.perf_counter()
            for _ in range(word["requests"]):
                wrong += await peer.get(case["url"]) != _servers.SMALL
            cpu, wall = time.process_time() - cpu, time.perf_counter() - wall
            control.say(requests=word["requests"], wrong=wrong, cpu=cpu, wall=wall)


def wall_per_request(result: Word) -> float:
    """Return microseconds."""
    return float(result["wall"]) / int(result["requests"]) * 1e6


def make_chain(folder: Path, *names: str) -> _servers.Certificate:
    """Write a certificate as the web has them: issued by an authority in between, whose own is sent along."""
    import trustme

    made = _servers.Certificate(folder / "chain.pem", folder / "key.pem", folder / "trusted.pem")
    root = trustme.CA()
    issued = root.create_child_ca().issue_cert(*names)
    root.cert_pem.write_to_path(made.trusted)
    for position, link in enumerate(issued.cert_chain_pems):
        link.write_to_path(made.chain, append=position > 0)
    issued.private_key_pem.write_to_path(made.key)
    return made


class Site:
    """A server for each protocol, and what a client has to know of it."""

    def __init__(self, protocol: str, place: _servers.Certificate, host: str) -> None:
        case: Word = {"tls": protocol == "h1s", "chain": str(place.chain), "key": str(place.key)}
        self.server = Child("_closing_server", case, side="server")
        scheme = "https" if protocol == "h1s" else "http"
        url = f"{scheme}://{host}:{self.server.hear()['port']}/"
        self.case: Word = {"protocol": protocol, "trusted": str(place.trusted), "url": url}


def race(protocol: str, site: Site, arguments: argparse.Namespace) -> list[Table]:
    """Measure all clients on one protocol."""
    with Race(arguments.client, protocol) as contest:
        contest.start("connect", site.case)
        contest.run(_output.rounds_of(arguments), lambda one: {"requests": arguments.requests}, wrong_length)
        title = f"cold requests to {arguments.host}, {_servers.PROTOCOLS[protocol]}"
        notes = contest.notes()
        return [
            Table(f"{title}: CPU per request, µs", columns(), contest.records(cpu_per_request), notes),
            Table(f"{title}: wall time per request, µs", columns(), contest.records(wall_per_request), notes),
        ]


COLUMNS = [
    Column("client", "client"),
    Column("loop", "loop"),
    *(Column(way, f"{way}, min", ".1f") for way in WAYS),
    Column("ratio", "resumed / full", ".2f"),
    Column("ratio_min", "lowest", ".2f"),
    Column("ratio_max", "highest", ".2f"),
    Column("state", "state"),
]


def handshakes(place: _servers.Certificate, arguments: argparse.Namespace) -> Table:
    """Measure what a handshake costs netio, in full and resumed."""
    ways = {way: Contestant("netio", "asyncio") for way in WAYS}
    files = {"chain": str(place.chain), "key": str(place.key), "trusted": str(place.trusted)}
    try:
        for way, one in ways.items():
            one.start("_handshake", {**files, "way": way})
        for number in range(_output.rounds_of(arguments)):
            for way in WAYS if number % 2 == 0 else WAYS[::-1]:
                ways[way].measure({"requests": arguments.requests}, _other_way)
    finally:
        for one in ways.values():
            one.stop()
    return Table("a TLS handshake of netio: CPU of the client, µs", COLUMNS, [_handshake_record(ways)], [])


def _other_way(result: Word) -> str | None:
    return f"{result['wrong']} of {result['requests']} handshakes went the other way" if result["wrong"] else None


def _handshake_record(ways: dict[str, Contestant]) -> Record:
    failed = next((one for one in ways.values() if not one.results), None)
    if failed is not None:
        return failed.record()
    costs = {way: [cpu_per_request(result) for result in one.results] for way, one in ways.items()}
    low, middle, high = _output.ratio_in_rounds(costs["resumed"], costs["full"])
    figures = {way: min(cost) for way, cost in costs.items()}
    return ways["full"].record() | figures | {"ratio": middle, "ratio_min": low, "ratio_max": high}


def main() -> None:
    parser = _output.parser(__doc__, rounds=7)
    parser.add_argument("--protocol", default="h1,h1s", help="h1, h1s, with commas (default: both)")
    parser.add_argument("--host", default="localhost", help="what this machine is called (default localhost)")
    parser.add_argument("--requests", type=int, default=200, help="of a round (default 200)")
    add_client_option(parser, CLIENTS)
    arguments = parser.parse_args()
    if arguments.quick:
        arguments.requests = min(arguments.requests, 20)
    wanted = _output.names(arguments.protocol)
    if not {"h1", "h1s"}.issuperset(wanted):
        parser.error(f"there is no protocol {arguments.protocol} here; there are h1, h1s")
    end_on_sigterm()
    _output.begin()
    tables: list[Table] = []
    with _servers.folder() as folder:
        place = make_chain(folder, _servers.HOST, "::1", arguments.host)
        sites: dict[str, Site] = {}
        try:
            for protocol in wanted:
                sites[protocol] = Site(protocol, place, arguments.host)
                tables += race(protocol, sites[protocol], arguments)
            if "h1s" in wanted:
                tables.append(handshakes(place, arguments))
        finally:
            for site in sites.values():
                site.server.stop()
    for table in tables:
        table.show()
    _output.finish("connect", arguments, tables)


if __name__ == "__main__":
    main()
