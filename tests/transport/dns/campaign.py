"""Many names of a short time to live under steady load, in real time, by c-ares against the name server of the tests.

Half of the names have an open connection, the others are only looked up. The questions are: does anybody wait once all
names are known, and how often is the name server asked? `make soak` runs it for 30 seconds on each event loop:

    python -m tests.transport.dns.campaign --seconds 30
"""

from __future__ import annotations

import argparse
import random
import sys
import time
from dataclasses import dataclass

import anyio

from netio.deadline import SystemClock
from netio.transport import Answer, CaresResolver, Names, NameStats, current_runtime
from tests.transport.dns.kit import at_once
from tests.transport.dns.server import NameServer, Script

TTL = 1
NAMES = 100
RATE = 200


@dataclass(frozen=True)
class Outcome:
    """`waited`: look-ups that had to wait though the name was known. `queries`: most for one name, type and TTL."""

    look_ups: int
    waited: int
    queries: float
    longest: float
    stats: NameStats

    def __str__(self) -> str:
        return (
            f"{self.look_ups} look-ups, {self.waited} waited, longest {self.longest * 1e6:.0f} µs; at most"
            f" {self.queries:.3f} queries a name, type and TTL; {self.stats}"
        )


async def campaign(seconds: float, *, names: int = NAMES, rate: int = RATE) -> Outcome:
    """Run the campaign on the running event loop."""
    hosts = [f"{number}.test" for number in range(names)]
    runtime = current_runtime()
    with NameServer(
        {"*": Script(a=["192.0.2.1"], aaaa=["2001:db8::1"], https=["1 . alpn=h2"], ttl=TTL)}
    ).running() as server:
        resolver = CaresResolver(servers=[server.place])
        looked_up = Names(resolver, runtime=runtime, clock=SystemClock())
        try:
            await _warm_up(looked_up, hosts)
            before = looked_up.stats
            begin = time.monotonic()
            look_ups, longest = await _load(looked_up, hosts, seconds, rate)
            spent = time.monotonic() - begin
            stats = looked_up.stats
        finally:
            await looked_up.aclose()
            await resolver.aclose()
            await runtime.aclose()
        most = max(server.asked.values())
    return Outcome(look_ups, stats.misses - before.misses, (most - 1) / (spent / TTL), longest, stats)


async def _warm_up(names: Names, hosts: list[str]) -> None:
    async with anyio.create_task_group() as group:
        for number, host in enumerate(hosts):
            group.start_soon(names.look_up, host)
            if number % 2:
                names.use(host)


async def _load(names: Names, hosts: list[str], seconds: float, rate: int) -> tuple[int, float]:
    chance, begin, longest, count = random.Random(7), time.monotonic(), 0.0, 0
    while (now := time.monotonic()) < begin + seconds:
        while count < (now - begin) * rate:
            before = time.perf_counter()
            answer: Answer = at_once(names.look_up(chance.choice(hosts)))  # fails if it waits
            longest = max(longest, time.perf_counter() - before)
            assert set(answer.addresses) == {"192.0.2.1", "2001:db8::1"}
            count += 1
        await anyio.sleep(1 / rate)
    return count, longest


def main() -> None:
    parser = argparse.ArgumentParser(description="names of TTL 1 s under steady load")
    parser.add_argument("--seconds", type=float, default=30.0)
    seconds: float = parser.parse_args().seconds
    is_good = True
    for name, backend, options in (
        ("asyncio", "asyncio", {}),
        ("uvloop", "asyncio", {"use_uvloop": True}),
        ("trio", "trio", {}),
    ):
        outcome = anyio.run(campaign, seconds, backend=backend, backend_options=options)
        print(f"{name:<8} {outcome}", flush=True)
        is_good = is_good and outcome.waited == 0 and outcome.queries <= 1.1
    sys.exit(not is_good)


if __name__ == "__main__":
    main()
