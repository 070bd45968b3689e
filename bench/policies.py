"""What do policies do to a service that has a bad moment? A simulation, the same each time, in virtual time.

    python bench/policies.py [--seconds 60] [--json FILE] [--plot FOLDER]

Clients come at random (Poisson) at 80 % of what the service can do. The service has a number of workers and a bounded
queue, knows nothing of its clients' deadlines, and so works on what nobody waits for any more. In the outage it stands
still for ten seconds, as a process does in a long collection or a failover; meanwhile its queue fills. Recovered is it
when 99 % of the requests of three seconds in a row succeed.

The policies are the real ones. They run on an asyncio loop whose time jumps to the next timer instead of waiting for
it. The second part has no outage, but one answer in a hundred takes twenty times as long: what a hedge is for.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import math
import selectors
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from random import Random

from netio import policy
from netio.errors import ConnectError, RequestError, TotalTimeout
from netio.message import Policy, Request, Response
from netio.policy import compose

WORKERS = 10
SERVICE_SECONDS = 0.05
CAPACITY = WORKERS / SERVICE_SECONDS
LOAD = 0.8
QUEUE = 400  # two seconds of work, twice what a client waits
ATTEMPT_SECONDS = 1.0
TOTAL_SECONDS = 10.0
OUTAGE = (10.0, 20.0)
URL = "http://service.example/"


# ---------------------------------------------------------------------- virtual time


class VirtualSelector(selectors.SelectSelector):
    """Never waits: where the loop would, the time moves on."""

    def __init__(self) -> None:
        super().__init__()
        self.now = 0.0

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        if timeout is not None and timeout > 0:
            self.now += timeout
        return super().select(0)


class VirtualLoop(asyncio.SelectorEventLoop):
    """An event loop on which an hour takes as long as what happens in it."""

    def __init__(self) -> None:
        self._virtual = VirtualSelector()
        super().__init__(self._virtual)

    def time(self) -> float:
        return self._virtual.now


class LoopClock:
    def now(self) -> float:
        return asyncio.get_running_loop().time()

    async def sleep(self, seconds: float) -> None:
        await asyncio.sleep(seconds)


# ---------------------------------------------------------------------- the service


@dataclass
class Seconds:
    """What happened in each second."""

    offered: list[int]
    succeeded: list[int]
    wasted: list[int]
    asked: list[int]

    @classmethod
    def of(cls, seconds: int) -> Seconds:
        return cls(*([0] * (seconds + 1) for _ in range(4)))


@dataclass
class Service:
    """Workers, a queue, an outage. A job takes exponential time; with a `tail`, even time but for one in a hundred."""

    seconds: Seconds
    random: Random
    outage: tuple[float, float] | None = OUTAGE
    tail: bool = False
    idle: int = WORKERS
    jobs: deque[tuple[asyncio.Future[None], float]] = field(default_factory=deque)

    def start(self) -> None:
        if self.outage is not None:
            asyncio.get_running_loop().call_at(self.outage[1], self.work)

    @property
    def now(self) -> float:
        return asyncio.get_running_loop().time()

    def count(self, column: list[int]) -> None:
        column[min(int(self.now), len(column) - 1)] += 1

    async def __call__(self, request: Request) -> Response:
        self.count(self.seconds.offered)
        if len(self.jobs) >= QUEUE:
            raise ConnectError("the queue of the service is full", request=request)
        answered: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self.jobs.append((answered, self.draw()))
        self.work()
        try:
            async with asyncio.timeout_at(request.deadline):
                await answered
        except TimeoutError:
            raise TotalTimeout("late", request=request, phase="head", sent=True) from None
        return Response(200, request=request)

    def draw(self) -> float:
        if self.tail and self.random.random() < 0.01:
            return 20 * SERVICE_SECONDS
        return self.random.expovariate(1 / SERVICE_SECONDS) if not self.tail else self.random.uniform(0.03, 0.06)

    def work(self) -> None:
        now = self.now
        while self.jobs and self.idle and not self.is_standing(now):
            self.idle -= 1
            job, seconds = self.jobs.popleft()
            end = now + seconds
            if self.outage is not None and now < self.outage[0] < end:
                end += self.outage[1] - self.outage[0]
            asyncio.get_running_loop().call_at(end, self.finish, job)

    def is_standing(self, now: float) -> bool:
        return self.outage is not None and self.outage[0] <= now < self.outage[1]

    def finish(self, job: asyncio.Future[None]) -> None:
        self.idle += 1
        if job.done():
            self.count(self.seconds.wasted)
        else:
            job.set_result(None)
        self.work()


# ---------------------------------------------------------------------- a run


@dataclass
class Outcome:
    name: str
    requests: int
    succeeded: int
    refused: int
    load: float
    wasted: int
    recovery: float
    p50: float
    p99: float
    p999: float
    seconds: Seconds


async def run(name: str, policies: Sequence[Policy], service: Service, seconds: int, load: float) -> Outcome:
    service.start()
    loop, arrivals = asyncio.get_running_loop(), Random(1)
    send = compose(policies, service)
    latencies: list[float] = []
    refused = 0

    async def client() -> None:
        nonlocal refused
        begun = loop.time()
        column = int(begun)
        service.seconds.asked[column] += 1
        request = Request("GET", URL, deadline=begun + TOTAL_SECONDS, clock=LoopClock())
        try:
            await send(request)
        except RequestError as error:
            refused += not error.sent
        else:
            service.seconds.succeeded[column] += 1
            latencies.append(loop.time() - begun)

    tasks = []
    while loop.time() < seconds:
        tasks.append(asyncio.ensure_future(client()))
        await asyncio.sleep(arrivals.expovariate(load * CAPACITY))
    await asyncio.gather(*tasks)
    latencies.sort()
    return Outcome(
        name=name,
        requests=len(tasks),
        succeeded=len(latencies),
        refused=refused,
        load=sum(service.seconds.offered) / len(tasks),
        wasted=sum(service.seconds.wasted),
        recovery=recovery(service.seconds, seconds) if service.outage else 0.0,
        p50=percentile(latencies, 0.5),
        p99=percentile(latencies, 0.99),
        p999=percentile(latencies, 0.999),
        seconds=service.seconds,
    )


def percentile(ordered: list[float], share: float) -> float:
    return ordered[math.ceil(share * len(ordered)) - 1] if ordered else math.nan


def recovery(seconds: Seconds, length: int) -> float:
    """Return how many seconds after the outage 99 % of three seconds succeed; infinity if they never do."""
    end = int(OUTAGE[1])
    for second in range(end, length - 3):
        if sum(seconds.succeeded[second : second + 3]) >= 0.99 * sum(seconds.asked[second : second + 3]):
            return float(second - end)
    return math.inf


def simulate(name: str, make: Callable[[], Sequence[Policy]], seconds: int, *, tail: bool = False) -> Outcome:
    service = Service(Seconds.of(seconds), Random(2), outage=None if tail else OUTAGE, tail=tail)
    with asyncio.Runner(loop_factory=VirtualLoop) as runner:
        return runner.run(run(name, make(), service, seconds, 0.5 if tail else LOAD))


# ---------------------------------------------------------------------- what is compared


def timeout() -> policy.AttemptTimeout:
    return policy.AttemptTimeout(ATTEMPT_SECONDS)


def seeded() -> Callable[[], float]:
    return Random(3).random


OUTAGE_LISTS: dict[str, Callable[[], Sequence[Policy]]] = {
    "no policy": lambda: [timeout()],
    "retry alone": lambda: [policy.Retry(budget=policy.RetryBudget.unlimited(), random=seeded()), timeout()],
    "retry, budget": lambda: [policy.Retry(random=seeded()), timeout()],
    "standard()": lambda: policy.standard(
        retry=policy.Retry(random=seeded()),
        breaker=policy.CircuitBreaker(random=seeded()),
        attempt_timeout=ATTEMPT_SECONDS,
    ),
    "standard(), adaptive": lambda: policy.standard(
        bulkhead=policy.AdaptiveLimit(),
        retry=policy.Retry(random=seeded()),
        breaker=policy.CircuitBreaker(random=seeded()),
        attempt_timeout=ATTEMPT_SECONDS,
    ),
}
TAIL_LISTS: dict[str, Callable[[], Sequence[Policy]]] = {
    "no policy": list,
    "hedge at p95": lambda: [policy.Hedge()],
}


def report(outcomes: Sequence[Outcome]) -> None:
    latencies = f"{'p50 ms':>8}{'p99 ms':>8}{'p99.9':>8}"
    print(f"{'':22}{'requests':>9}{'ok':>8}{'load':>7}{'wasted':>8}{'recovery s':>12}{latencies}")
    for each in outcomes:
        print(
            f"{each.name:22}{each.requests:9}{each.succeeded:8}{each.load:7.2f}{each.wasted:8}{each.recovery:12.0f}"
            f"{each.p50 * 1e3:8.0f}{each.p99 * 1e3:8.0f}{each.p999 * 1e3:8.0f}"
        )


def plot(outcomes: Sequence[Outcome], path: Path) -> None:
    """Draw what was offered, what succeeded and what was worked for nothing, second by second."""
    import matplotlib.pyplot as plt

    figure, axes = plt.subplots(len(outcomes), sharex=True, sharey=True, figsize=(8, 1.6 * len(outcomes)))
    for each, axis in zip(outcomes, axes, strict=True):
        axis.axvspan(*OUTAGE, color="0.9")
        axis.plot(each.seconds.offered[:-1], label="offered", color="tab:orange")
        axis.plot(each.seconds.succeeded[:-1], label="succeeded", color="tab:green")
        axis.plot(each.seconds.wasted[:-1], label="wasted", color="tab:red", linewidth=1)
        axis.axhline(CAPACITY, color="0.5", linewidth=0.5, linestyle="--")
        axis.set_title(each.name, loc="left", fontsize=9)
        axis.set_ylabel("a second", fontsize=8)
    axes[0].legend(loc="upper right", fontsize=8, ncols=3)
    axes[-1].set_xlabel("seconds; grey: the outage; dashed: what the service can do")
    figure.tight_layout()
    figure.savefig(path, dpi=100)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=int, default=60)
    parser.add_argument("--json", metavar="FILE")
    parser.add_argument("--plot", metavar="FOLDER")
    arguments = parser.parse_args()
    outage = [simulate(name, make, arguments.seconds) for name, make in OUTAGE_LISTS.items()]
    print(f"An outage of {OUTAGE[1] - OUTAGE[0]:.0f} s at {LOAD:.0%} load")
    report(outage)
    tail = [simulate(name, make, arguments.seconds, tail=True) for name, make in TAIL_LISTS.items()]
    print("\nOne answer in a hundred takes twenty times as long, at 50 % load")
    report(tail)
    if arguments.json:
        Path(arguments.json).write_text(json.dumps([asdict(each) for each in (*outage, *tail)], indent=1))
    if arguments.plot:
        plot(outage, Path(arguments.plot) / "policies-outage.png")


if __name__ == "__main__":
    main()
