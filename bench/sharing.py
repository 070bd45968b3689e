"""Do small requests suffer from large ones beside them? A slow reader, an upload, and small requests on one connection.

    python bench/sharing.py [--requests 50] [--size 100] [--client netio,pyqwest]

HTTP/2 in clear text, one connection. In each round so many small requests go out one after the other: first alone, then
while a streamed download is open that nobody reads, and bodies of 100 MiB are being uploaded. The figures are the
median and the 99th percentile of what a small request takes, over all rounds, in milliseconds.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import AsyncIterator
from typing import Any

import _output
import anyio
from _child import Control
from _children import Child, end_on_sigterm
from _output import Column, Record, Table
from _peers import VERSIONS, Peer, Wish, Wrong, load
from _rounds import Contestant, Race, add_client_option

CLIENTS = "netio,pyqwest"
MEBIBYTE = 1_048_576
SMALL = 200


class Burden:
    """What shares the connection: one open download that nobody reads, and uploads one after the other."""

    def __init__(self, peer: Peer, url: str, size: int) -> None:
        self.peer = peer
        self.url = url
        self.content = bytes(size)
        self.uploaded = 0
        self.has_uploaded = anyio.Event()

    async def carry(self, begun: anyio.Event) -> None:
        slow = self.peer.stream(f"{self.url}slow")
        await anext(slow)
        async with anyio.create_task_group() as group:
            group.start_soon(self._upload)
            begun.set()
            await _hold(slow)

    async def _upload(self) -> None:
        while True:
            answer = await self.peer.upload(f"{self.url}sink", self.content)
            if int(answer) != len(self.content):
                raise Wrong(f"{answer!r} bytes arrived")
            self.uploaded += len(self.content)
            self.has_uploaded.set()


async def _hold(stream: AsyncIterator[bytes]) -> None:
    """Keep an iterator, and read nothing."""
    try:
        await anyio.sleep_forever()
    finally:
        with anyio.move_on_after(1, shield=True):
            await stream.aclose()  # type: ignore[attr-defined]


async def small_ones(peer: Peer, url: str, requests: int) -> list[float]:
    """Send small requests one after the other; return the milliseconds that each took."""
    took: list[float] = []
    for _ in range(requests):
        start = time.perf_counter()
        if await peer.get(f"{url}small") != SMALL:
            raise Wrong("an answer had another length")
        took.append((time.perf_counter() - start) * 1e3)
    return took


async def in_child(case: dict[str, Any], control: Control) -> None:
    """Measure one client: alone and then shared, once for each word."""
    wish = Wish("h2c", 1, "")
    url = case["url"]
    async with load(case["client"])(wish) as peer:
        version = await peer.version(f"{url}small")
        if version != VERSIONS[wish.protocol]:
            raise Wrong(f"it spoke {version}")
        await small_ones(peer, url, case["requests"])
        control.say(version=version)
        while control.hear() is not None:
            await small_ones(peer, url, 5)  # what the last round has left on the way is gone then
            alone = await small_ones(peer, url, case["requests"])
            burden = Burden(peer, url, case["size"] * MEBIBYTE)
            async with anyio.create_task_group() as group:
                begun = anyio.Event()
                group.start_soon(burden.carry, begun)
                await begun.wait()
                await anyio.sleep(0.05)  # the upload is in full swing
                start = time.perf_counter()
                shared = await small_ones(peer, url, case["requests"])
                await burden.has_uploaded.wait()  # the rate is that of whole bodies
                wall = time.perf_counter() - start
                group.cancel_scope.cancel()
            control.say(alone=alone, shared=shared, rate=burden.uploaded / 1e6 / wall)


def percentile_99(values: list[float]) -> float:
    return statistics.quantiles(values, n=100)[-1]


def record_of(one: Contestant) -> Record:
    record = one.record()
    if not one.results:
        return record
    for name in ("alone", "shared"):
        values = [value for result in one.results for value in result[name]]
        record[f"{name}_median"], record[f"{name}_99"] = statistics.median(values), percentile_99(values)
    record["times"] = record["shared_99"] / record["alone_99"]
    record["rate"] = statistics.median(result["rate"] for result in one.results)
    return record


COLUMNS = [
    Column("client", "client"),
    Column("loop", "loop"),
    Column("alone_median", "alone, median", ".3f"),
    Column("alone_99", "99 %", ".3f"),
    Column("shared_median", "shared, median", ".3f"),
    Column("shared_99", "99 %", ".3f"),
    Column("times", "times", ".1f"),
    Column("rate", "upload MB/s", ".0f"),
    Column("state", "state"),
]


def main() -> None:
    parser = _output.parser(__doc__, rounds=10)
    parser.add_argument("--requests", type=int, default=50, help="small requests in a round (default 50)")
    parser.add_argument("--size", type=int, default=100, help="MiB of a body that is uploaded (default 100)")
    add_client_option(parser, CLIENTS)
    arguments = parser.parse_args()
    if arguments.quick:
        arguments.requests, arguments.size = min(arguments.requests, 20), min(arguments.size, 8)
    end_on_sigterm()
    _output.begin()
    with Child("_sharing_server", {}, side="server", loop="none") as server, Race(arguments.client, "h2c") as race:
        url = f"http://127.0.0.1:{server.hear()['port']}/"
        race.start("sharing", {"url": url, "requests": arguments.requests, "size": arguments.size})
        race.run(_output.rounds_of(arguments), lambda one: {})
        records, notes = [record_of(one) for one in race.contestants], race.notes()
    title = f"{arguments.requests} small requests beside uploads of {arguments.size} MiB and a slow reader, in ms"
    table = Table(title, COLUMNS, records, notes)
    table.show()
    _output.finish("sharing", arguments, [table])


if __name__ == "__main__":
    main()
