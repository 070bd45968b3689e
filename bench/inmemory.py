"""What do netio's own layers cost? GET of 200 bytes over a link in memory: no event loop, no kernel. Resolves 0.2 µs.

    python bench/inmemory.py [--rounds 60] [--slice 300] [--case NAME] [--policies | --metrics]

The cases run in short slices in a new random order each round, on one core, and the minimum and the median of the
slices are shown: a case alone in a long row would catch another state of the machine than its neighbour. The garbage
collector runs between slices, not in them: what it costs depends on what else lives in the process. The budgets
(DESIGN section 9) are 6 µs without policies, and 10 µs with retry, breaker and metrics. With `--policies` the cases are
each policy alone and the libraries that do the same around any function; a policy is to cost 0.6 µs, standard() 4.
With `--metrics` they are what counting costs, which is to be 0.8 µs, and an observer that drops all it hears, 1.5.
"""

from __future__ import annotations

import asyncio
import gc
import inspect
import itertools
import random
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from typing import Any

import _machine
import _output
from _memory_link import MemoryLink, MemoryLink2, drive, put_below
from _metrics_cases import BARE as UNCOUNTED
from _metrics_cases import metrics_cases
from _output import Column, Table
from _policy_cases import BARE, policy_cases

import netio

URL = "http://bench.test/small.json"
BODY = b"x" * 200
HEAD = (
    b"HTTP/1.1 200 OK\r\nServer: nginx/1.22.1\r\nDate: Sun, 22 Nov 2026 14:50:00 GMT\r\n"
    b"Content-Type: application/json\r\n"
    b'%sLast-Modified: Sun, 22 Nov 2026 14:45:00 GMT\r\nConnection: keep-alive\r\nETag: "6740a1b2-cc"\r\n'
    b"Accept-Ranges: bytes\r\n\r\n"
)
PLAIN = HEAD % b"Content-Length: 200\r\n" + BODY
CHUNKED = HEAD % b"Transfer-Encoding: chunked\r\n" + b"c8\r\n" + BODY + b"\r\n0\r\n\r\n"
NEW = 20_000
"""URLs and answers that are new every time are made beforehand and come round again after so many."""

# HEADERS without the dynamic table, as nginx writes them, and DATA; the stream is filled in.
_BLOCK = (
    b"\x88\x0f\x27\x0cnginx/1.22.1\x0f\x12\x1dSun, 22 Nov 2026 14:50:00 GMT\x0f\x10\x10application/json"
    b'\x0f\x0d\x03200\x0f\x1d\x1dSun, 22 Nov 2026 14:45:00 GMT\x0f\x13\x0d"6740a1b2-cc"'
)
HTTP2 = (
    len(_BLOCK).to_bytes(3, "big") + b"\x01\x04\xff\xff\xff\xff" + _BLOCK
    + len(BODY).to_bytes(3, "big") + b"\x00\x01\xff\xff\xff\xff" + BODY
)  # fmt: skip


@dataclass
class Case:
    name: str
    slice: Callable[[int], None]


def changing() -> Iterator[bytes]:
    """Give answers in which Date and ETag differ from those of the one before."""
    made = []
    for n in range(NEW):
        date = b"%02d:%02d:%02d" % (n // 3600, n // 60 % 60, n % 60)
        made.append(PLAIN.replace(b"14:50:00", date).replace(b"6740a1b2", b"%08x" % n))
    return itertools.cycle(made)


def standard() -> tuple[str, dict[str, Any]]:
    """Return the policies that there are of metrics, Retry and CircuitBreaker, by name and as options of a session.

    Metrics are an option of the session.
    """
    names: list[str] = ["metrics"]
    policies: list[Any] = []
    options: dict[str, Any] = {"metrics": True}
    names.append("Retry")
    policies.append(netio.policy.Retry())
    if (breaker := getattr(netio.policy, "CircuitBreaker", None)) is not None:
        names.append("CircuitBreaker")
        policies.append(breaker())
    return " + ".join(names), {"policies": policies, **options}


async def session_over(answers: Iterator[bytes], **options: Any) -> netio.Session:
    """Make a session over a link in memory, warm and checked. Nothing is counted unless that is asked for."""
    session = netio.Session(**{"metrics": False, **options})
    put_below(session, (MemoryLink2 if options.get("http2") else MemoryLink)(answers))
    for _ in range(50):
        response = await session.get(URL)
        assert response.status_code == 200
        assert response.content == BODY
    return session


def gets(session: netio.Session, **options: Any) -> Callable[[int], None]:
    def run(count: int) -> None:
        get = session.get
        for _ in range(count):
            drive(get(URL, **options))

    return run


def gets_and_reads_a_header(session: netio.Session) -> Callable[[int], None]:
    def run(count: int) -> None:
        get = session.get
        for _ in range(count):
            drive(get(URL)).headers["content-type"]

    return run


def gets_new_urls(session: netio.Session) -> Callable[[int], None]:
    urls = itertools.cycle([f"http://bench.test/items/{n}?q={n}" for n in range(NEW)])

    def run(count: int) -> None:
        get = session.get
        for _ in range(count):
            drive(get(next(urls)))

    return run


def floor(link: MemoryLink) -> Callable[[int], None]:
    """Drive nothing but the link and its coroutine: what the harness itself costs."""

    class Deaf:
        def feed(self, data: bytes) -> None:
            pass

        def lost(self, error: object) -> None:
            pass

    async def exchange() -> None:
        link.write(b"")
        await link.wait(None)  # type: ignore[arg-type]

    link.start(Deaf(), is_pumped=False)

    def run(count: int) -> None:
        for _ in range(count):
            drive(exchange())

    return run


async def make_cases() -> list[Case]:
    same = itertools.repeat
    name, policies = standard()
    bare = await session_over(same(PLAIN))
    full = await session_over(same(PLAIN), **policies)
    extra = {"x-request-id": "abc123", "authorization": "Bearer abcdef"}
    retrying = await session_over(same(PLAIN), policies=[netio.policy.Retry()])
    cases = [
        Case("the harness itself", floor(MemoryLink(same(PLAIN)))),
        Case("GET, no policies", gets(bare)),
        Case("GET, Retry alone", gets(retrying)),
        Case(f"GET, {name}", gets(full)),
        Case("... 2 request headers of its own", gets(full, headers=extra)),
        Case("... the caller reads a header", gets_and_reads_a_header(full)),
        Case("... every URL new", gets_new_urls(full)),
        Case("... chunked answer", gets(await session_over(same(CHUNKED), **policies))),
        Case("... 2 lines of the answer new", gets(await session_over(changing(), **policies))),
        Case("HTTP/2 GET, no policies", gets(await session_over(same(HTTP2), http2="prior-knowledge"))),
    ]
    if "engine" in inspect.signature(netio.Session).parameters:
        cases.append(Case("GET, engine='reference'", gets(await session_over(same(PLAIN), engine="reference"))))
    if (standard_policies := getattr(netio.policy, "standard", None)) is not None:
        cases.append(
            Case("GET, policy.standard()", gets(await session_over(same(PLAIN), policies=standard_policies())))
        )
    return cases


async def measure(cases: list[Case], rounds: int, count: int) -> list[_output.Record]:
    """Return what each case took in every slice, in microseconds a request."""
    taken: dict[str, list[float]] = {case.name: [] for case in cases}
    order = list(cases)
    gc.disable()
    for _ in range(rounds):
        random.shuffle(order)
        for case in order:
            start = time.process_time()
            case.slice(count)
            taken[case.name].append((time.process_time() - start) / count * 1e6)
            gc.collect()
            await asyncio.sleep(0)  # whatever the pool has in the background
    gc.enable()
    records = []
    for name, values in taken.items():
        low, median = _output.minimum_and_median(values)
        records.append({"case": name, "min": low, "median": median, "slices": len(values)})
    return records


async def measure_layers(rounds: int, count: int, wanted: str) -> list[_output.Record]:
    return await measure([case for case in await make_cases() if wanted in case.name], rounds, count)


async def measure_policies(rounds: int, count: int, wanted: str) -> tuple[list[_output.Record], list[str]]:
    """Measure the policies, each with what it costs on top of the bare client, and the libraries beside them."""
    slices, absent = await policy_cases(partial(session_over, itertools.repeat(PLAIN)), URL)
    cases = [Case(name, run) for name, run in slices.items() if wanted in name or name == BARE]
    return on_top(await measure(cases, rounds, count)), absent


async def measure_metrics(rounds: int, count: int, wanted: str) -> list[_output.Record]:
    """Measure what counting and telling cost on top of the bare client."""
    slices = await metrics_cases(partial(session_over, itertools.repeat(PLAIN)), URL)
    cases = [Case(name, run) for name, run in slices.items() if wanted in name or name == UNCOUNTED]
    return on_top(await measure(cases, rounds, count))


def on_top(records: list[_output.Record]) -> list[_output.Record]:
    """Add what each case costs more than the first one."""
    bare = records[0]
    for record in records[1:]:
        record["on top"] = record["min"] - bare["min"]
        record["median on top"] = record["median"] - bare["median"]
    return records


def table_on_top(title: str, records: list[_output.Record], absent: list[str]) -> Table:
    columns = [
        Column("case", "case"),
        Column("min", "min", ".2f"),
        Column("median", "median", ".2f"),
        Column("on top", "on top", ".2f"),
        Column("median on top", "by median", ".2f"),
    ]
    notes = [f"not installed: {', '.join(absent)}"] if absent else []
    return Table(title, columns, records, notes)


def main() -> None:
    parser = _output.parser(__doc__, rounds=60)
    parser.add_argument("--policies", action="store_true", help="each policy alone, and the libraries beside them")
    parser.add_argument("--metrics", action="store_true", help="what counting costs, and an observer")
    parser.add_argument("--slice", type=int, default=300, help="requests at a stretch (default 300)")
    parser.add_argument("--case", default="", help="only those whose name contains this")
    arguments = parser.parse_args()
    if arguments.quick:
        arguments.slice = min(arguments.slice, 20)
    _machine.pin(_machine.core_of("client"))
    rounds, wanted = _output.rounds_of(arguments), arguments.case
    if arguments.policies:
        title = "A policy around a request in memory: CPU, µs"
        table = table_on_top(title, *asyncio.run(measure_policies(rounds, arguments.slice, wanted)))
    elif arguments.metrics:
        records = asyncio.run(measure_metrics(rounds, arguments.slice, wanted))
        table = table_on_top("Metrics of a request in memory: CPU, µs", records, [])
    else:
        records = asyncio.run(measure_layers(rounds, arguments.slice, wanted))
        columns = [Column("case", "case"), Column("min", "min", ".2f"), Column("median", "median", ".2f")]
        table = Table("A request in memory: CPU, µs", columns, records)
    table.show()
    _output.finish("inmemory", arguments, [table])


if __name__ == "__main__":
    main()
