"""What do the standard policies do for a chain of real services when one of them has a bad day?

    python bench/chain.py [--rate 100] [--json FILE]

Three services (hypercorn, processes of their own) call each other with netio: A asks B, B asks C. A caller asks A so
many times a second, at random moments, whether the answers before have come or not. Meanwhile B is slowed by a second,
then stopped (SIGSTOP) and continued, then killed (SIGKILL) and started anew on its port. Everybody has the standard
policies; the caller waits two seconds at most for an answer, and its time left is told along the chain.

The table says second by second what became of the requests that began in it: refused is what netio did not send, since
a circuit was open; failed are errors and answers of 5xx. How the circuit of A stands is in its answers, if any came.
"""

from __future__ import annotations

import asyncio
import math
import os
import signal
import socket
import time
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from random import Random
from typing import Any

import _machine
import _output
from _chain_service import BREAKERS, policies
from _children import Child, end_on_sigterm
from _output import Column, Table

import netio
from netio import policy

DEADLINE = 2.0
ATTEMPT_SECONDS = 1.2
WORK_SECONDS = 0.005
SLOWER_BY = 1.0
NAMES = ("A", "B", "C")

Script = Sequence[tuple[str, float]]
SCRIPT: Script = (
    ("usual", 4),
    ("slow", 5),
    ("usual", 7),
    ("stopped", 5),
    ("continued", 8),
    ("killed", 4),
    ("started anew", 8),
)
QUICK: Script = (("usual", 2), ("stopped", 2.5), ("continued", 9))


@dataclass
class Result:
    """What became of one request: when it began, what came of it, and after how many seconds."""

    second: int
    outcome: str
    seconds: float


@dataclass
class Seen:
    """All that the caller has seen."""

    results: list[Result] = field(default_factory=list)
    callers: dict[int, str] = field(default_factory=dict)
    services: dict[int, str] = field(default_factory=dict)
    steps: dict[int, str] = field(default_factory=dict)


class Chain:
    """The services; `do` lets something happen to B."""

    def __init__(self, children: ExitStack) -> None:
        self._children = children
        self._ports = {name: _free_port() for name in NAMES}
        for name in reversed(NAMES):
            self._start(name)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._ports['A']}/"

    def _start(self, name: str) -> None:
        behind = {"A": "B", "B": "C"}.get(name)
        case = {
            "name": name,
            "port": self._ports[name],
            "next": None if behind is None else f"http://127.0.0.1:{self._ports[behind]}/",
            "work": WORK_SECONDS,
        }
        child = self._children.enter_context(Child("_chain_service", case, side="server"))
        child.hear()
        if name == "B":
            self._b = child

    def do(self, step: str) -> None:
        if step == "slow":
            self._b.ask({"delay": SLOWER_BY})
        elif step == "usual":
            self._b.ask({"delay": 0.0})
        elif step == "started anew":
            self._start("B")
        else:
            signals = {"stopped": signal.SIGSTOP, "continued": signal.SIGCONT, "killed": signal.SIGKILL}
            os.kill(self._b.pid, signals[step])


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


# ---------------------------------------------------------------------- the caller


async def call(chain: Chain, script: Script, rate: float) -> Seen:
    """Ask A until the script is through."""
    seen, random, breaker = Seen(), Random(1), policy.CircuitBreaker()
    origin = netio.URL(chain.url).origin
    async with netio.Session(policies=policies(breaker, ATTEMPT_SECONDS), timeout=DEADLINE) as session:
        await _wait_until_up(chain.url)
        begun = time.monotonic()

        async def ask() -> None:
            start = time.monotonic()
            second = int(start - begun)
            try:
                response = await session.get(chain.url)
            except netio.RequestError as error:
                outcome = "failed" if error.sent else "refused"
            else:
                outcome = "ok" if response.is_success else "failed"
                seen.services[int(time.monotonic() - begun)] = response.headers.get(BREAKERS, "")
            seen.results.append(Result(second, outcome, time.monotonic() - start))
            seen.callers[int(time.monotonic() - begun)] = str(breaker.state(origin))

        async with asyncio.TaskGroup() as group:
            end = 0.0
            for step, seconds in script:
                seen.steps[int(time.monotonic() - begun)] = step
                await asyncio.to_thread(chain.do, step)
                end += seconds
                while (now := time.monotonic() - begun) < end:
                    group.create_task(ask())
                    await asyncio.sleep(min(random.expovariate(rate), end - now))
    return seen


async def _wait_until_up(url: str) -> None:
    """Wait until the whole chain answers, and has imported and connected what it needs."""
    async with netio.Session() as probe, asyncio.timeout(20):
        good = 0
        while good < 20:
            try:
                good += (await probe.get(url)).is_success
            except netio.RequestError:
                await asyncio.sleep(0.05)


# ---------------------------------------------------------------------- what is said


def by_second(seen: Seen) -> list[_output.Record]:
    records: list[_output.Record] = []
    caller, step = "closed", ""
    for second in range(max(result.second for result in seen.results) + 1):
        caller = seen.callers.get(second, caller)
        service = seen.services.get(second, "-")
        step = seen.steps.get(second, step)
        results = [result for result in seen.results if result.second == second]
        first = service.partition(";")[0].removeprefix("A ")
        records.append({"second": second, "B is": step, **summary(results), "caller": caller, "A": first})
    return records


def by_step(seen: Seen) -> list[_output.Record]:
    starts = sorted(seen.steps.items())
    ends = [second for second, _ in starts[1:]] + [math.inf]
    records: list[_output.Record] = []
    for (start, step), end in zip(starts, ends, strict=True):
        results = [result for result in seen.results if start <= result.second < end]
        records.append({"second": start, "B is": step, **summary(results)})
    return records


def summary(results: Sequence[Result]) -> dict[str, Any]:
    ordered = sorted(result.seconds for result in results)
    counts = {name: sum(result.outcome == name for result in results) for name in ("ok", "refused", "failed")}
    return {
        "requests": len(results),
        **counts,
        "p50": percentile(ordered, 0.5) * 1e3,
        "p99": percentile(ordered, 0.99) * 1e3,
        "longest": percentile(ordered, 1.0) * 1e3,
    }


def percentile(ordered: Sequence[float], share: float) -> float:
    return ordered[math.ceil(share * len(ordered)) - 1] if ordered else 0.0


COLUMNS = [
    Column("second", "second"),
    Column("B is", "B is"),
    Column("requests", "requests"),
    Column("ok", "ok"),
    Column("refused", "refused"),
    Column("failed", "failed"),
    Column("p50", "p50 ms", ".0f"),
    Column("p99", "p99 ms", ".0f"),
    Column("longest", "longest", ".0f"),
]


def main() -> None:
    parser = _output.parser(__doc__)
    parser.add_argument("--rate", type=float, default=100.0, help="requests a second (default 100)")
    arguments = parser.parse_args()
    end_on_sigterm()
    _output.begin()
    _machine.pin(_machine.core_of("client"))
    with ExitStack() as children:
        seen = asyncio.run(call(Chain(children), QUICK if arguments.quick else SCRIPT, arguments.rate))
    circuits = [Column("caller", "caller's circuit"), Column("A", "A's circuit")]
    seconds = Table("The chain, second by second", [*COLUMNS, *circuits], by_second(seen))
    total = Table(
        "In all",
        COLUMNS,
        [*by_step(seen), {"B is": "all", **summary(seen.results)}],
        [f"the deadline is {DEADLINE * 1e3:.0f} ms"],
    )
    for table in (seconds, total):
        table.show()
    _output.finish("chain", arguments, [seconds, total])


if __name__ == "__main__":
    main()
