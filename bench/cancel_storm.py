"""What is left after 10,000 cancelled downloads? 100 at a time on one HTTP/2 connection, every second one cancelled.

    python bench/cancel_storm.py [--requests 20000] [--concurrency 100] [--client netio,httpx2,pyqwest]

Each request downloads 1 MiB. Every second one is cancelled at a random moment within the time that the others take. In
the end there may be no error beyond the cancelled ones, every stream that the server had not ended must have been
reset, and the last fifth must be as fast as the first (requests that ended, whichever way, per second). A client that
loses connections, windows or streams on the way shows it there, or hangs and is FAILED. The server believes its
windows: it sends what the client allowed, in clear text.
"""

from __future__ import annotations

import random
import time
from typing import Any

import _output
import anyio
from _child import Control
from _children import Child, end_on_sigterm
from _output import Column, Record, Table
from _peers import VERSIONS, Peer, Wish, Wrong, load
from _rounds import Contestant, Race, add_client_option

CLIENTS = "netio,httpx2,pyqwest"
SIZE = 1_048_576
REQUEST_SECONDS = 60.0
"""A request that takes longer hangs: it counts as an error, and never as cancelled."""

STORM_SECONDS = 1_800.0


class Storm:
    """The workers of one client and what they have seen."""

    def __init__(self, peer: Peer, url: str, requests: int) -> None:
        self.peer = peer
        self.url = url
        self.left = self.requests = requests
        self.finished = self.cancelled = 0
        self.errors: dict[str, int] = {}
        self.ends: list[float] = []
        self.typical = 0.1
        self._random = random.Random(7)

    async def work(self) -> None:
        while self.left > 0:
            self.left -= 1
            await self.one(is_doomed=self.left % 2 == 1)

    async def one(self, *, is_doomed: bool) -> None:
        """Download once; a doomed one is cancelled, unless it was faster."""
        start = time.perf_counter()
        seconds = self._random.random() * self.typical if is_doomed else REQUEST_SECONDS
        scope = anyio.CancelScope(deadline=anyio.current_time() + seconds)
        try:
            with scope:
                await self._download()
                self.finished += 1
                if not is_doomed:
                    self.typical += (time.perf_counter() - start - self.typical) / 50
        except Exception as error:
            self._note(f"{type(error).__name__}: {error}"[:120])
        if scope.cancelled_caught:
            if is_doomed:
                self.cancelled += 1
            else:
                self._note(f"nothing for {REQUEST_SECONDS:g} s")
        self.ends.append(time.perf_counter())

    async def _download(self) -> None:
        size = 0
        async for chunk in self.peer.stream(self.url):
            size += len(chunk)
        if size != SIZE:
            raise Wrong(f"{size} bytes")

    def _note(self, error: str) -> None:
        self.errors[error] = self.errors.get(error, 0) + 1

    def rates(self) -> tuple[float, float]:
        """Return requests per second in the first and in the last fifth."""
        fifth = len(self.ends) // 5
        return fifth / (self.ends[fifth] - self.ends[0]), fifth / (self.ends[-1] - self.ends[-1 - fifth])


async def in_child(case: dict[str, Any], control: Control) -> None:
    """Measure one client, once."""
    wish = Wish("h2c", case["concurrency"], "")
    async with load(case["client"])(wish) as peer:
        version = await peer.version(case["url"])
        if version != VERSIONS[wish.protocol]:
            raise Wrong(f"it spoke {version}")
        warm = Storm(peer, case["url"], case["concurrency"])
        await _run(warm, case["concurrency"])
        control.say(version=version)
        while (word := control.hear()) is not None:
            storm = Storm(peer, case["url"], word["requests"])
            storm.typical = warm.typical
            cpu, wall = time.process_time(), time.perf_counter()
            await _run(storm, case["concurrency"])
            cpu, wall = time.process_time() - cpu, time.perf_counter() - wall
            first, last = storm.rates()
            control.say(
                finished=storm.finished,
                cancelled=storm.cancelled,
                errors=sum(storm.errors.values()),
                kinds=storm.errors,
                first=first,
                last=last,
                cpu=cpu,
                wall=wall,
            )


async def _run(storm: Storm, concurrency: int) -> None:
    async with anyio.create_task_group() as workers:
        for _ in range(concurrency):
            workers.start_soon(storm.work)


def record_of(one: Contestant, before: dict[str, Any], server: Child) -> Record:
    record = one.record()
    if not one.results:
        return record
    result = one.results[0]
    time.sleep(0.2)  # the last resets are on their way
    after = server.ask({})
    counted = {key: after[key] - before[key] for key in ("opened", "ended", "reset", "late", "connections")}
    return record | {
        **{key: result[key] for key in ("finished", "cancelled", "errors", "kinds", "first", "last")},
        **counted,
        "left": counted["opened"] - counted["ended"] - counted["reset"],
        "kept": result["last"] / result["first"],
        "wall": result["wall"],
        "cpu": result["cpu"],
    }


COLUMNS = [
    Column("client", "client"),
    Column("loop", "loop"),
    Column("finished", "finished"),
    Column("cancelled", "cancelled"),
    Column("errors", "errors"),
    Column("opened", "streams"),
    Column("reset", "reset"),
    Column("left", "never reset"),
    Column("connections", "more connections"),
    Column("first", "first fifth, 1/s", ".0f"),
    Column("last", "last fifth, 1/s", ".0f"),
    Column("kept", "last / first", ".2f"),
    Column("cpu", "CPU, s", ".1f"),
    Column("state", "state"),
]


def main() -> None:
    parser = _output.parser(__doc__)
    parser.add_argument("--requests", type=int, default=20_000)
    parser.add_argument("--concurrency", type=int, default=100)
    add_client_option(parser, CLIENTS)
    arguments = parser.parse_args()
    if arguments.quick:
        arguments.requests = min(arguments.requests, 200)
        arguments.concurrency = min(arguments.concurrency, 20)
    end_on_sigterm()
    _output.begin()
    records: list[Record] = []
    with Child("_storm_server", {"size": SIZE}, side="server", loop="none") as server:
        case = {"url": f"http://127.0.0.1:{server.hear()['port']}/", "concurrency": arguments.concurrency}
        with Race(arguments.client, "h2c") as race:
            for one in race.contestants:  # one after the other: the question is what time does to each
                one.start("cancel_storm", case, patience=STORM_SECONDS)
                before = server.ask({})
                one.measure({"requests": arguments.requests}, lambda result: None)
                records.append(record_of(one, before, server))
                one.stop()
            notes = race.notes()
    for record in records:
        notes += [f"{record['client']} on {record['loop']}: {n} x {e}" for e, n in record.get("kinds", {}).items()]
    title = f"{arguments.requests} downloads of 1 MiB, {arguments.concurrency} at once, every second one cancelled"
    table = Table(title, COLUMNS, records, notes)
    table.show()
    _output.finish("cancel_storm", arguments, [table])


if __name__ == "__main__":
    main()
