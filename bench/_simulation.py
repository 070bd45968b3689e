"""The service, its clients and the virtual time of bench/policies.py."""

from __future__ import annotations

import asyncio
import math
import selectors
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from random import Random
from typing import Any

from netio.errors import ConnectError, RequestError, TotalTimeout
from netio.message import Policy, Request, Response
from netio.policy import compose

WORKERS = 10
SERVICE_SECONDS = 0.05
CAPACITY = WORKERS / SERVICE_SECONDS
LOAD = 0.8
QUEUE = 400  # two seconds of work, twice what a client waits
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
    """What happened in each second: `asked` for by the clients, `offered` to the service, `wasted` by it."""

    offered: list[int]
    succeeded: list[int]
    wasted: list[int]
    asked: list[int]

    @classmethod
    def of(cls, seconds: int) -> Seconds:
        return cls(*([0] * (seconds + 1) for _ in range(4)))


@dataclass
class Service:
    """Workers, a queue, an outage. A job takes exponential time; with a `tail`, even time but for one in a hundred.

    While it is `weak` jobs take three times as long. One that is `attentive` knows when its clients leave, as the
    field of `AttemptTimeout` would tell it, and does not begin what nobody waits for any more.
    """

    seconds: Seconds
    random: Random
    outage: tuple[float, float] | None = None
    weak: tuple[float, float] | None = None
    tail: bool = False
    attentive: bool = False
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
            job, seconds = self.jobs.popleft()
            if self.attentive and job.done():
                continue
            self.idle -= 1
            end = now + (seconds * 3 if self.weak is not None and self.weak[0] <= now < self.weak[1] else seconds)
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
    latencies: list[float] = field(repr=False)


Load = Callable[[float], float]
"""How much of what the service can do is asked for, by the time."""


async def run(name: str, policies: Sequence[Policy], service: Service, seconds: int, load: Load) -> Outcome:
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
        await asyncio.sleep(arrivals.expovariate(load(loop.time()) * CAPACITY))
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
        latencies=latencies,
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


@dataclass(frozen=True)
class World:
    """What a run meets: a service, and how many ask."""

    service: dict[str, Any] = field(default_factory=dict)
    load: Load = lambda _: LOAD


def simulate(name: str, make: Callable[[], Sequence[Policy]], seconds: int, world: World) -> Outcome:
    """Run a list of policies for so many seconds of virtual time."""
    service = Service(Seconds.of(seconds), Random(2), **world.service)
    with asyncio.Runner(loop_factory=VirtualLoop) as runner:
        return runner.run(run(name, make(), service, seconds, world.load))
