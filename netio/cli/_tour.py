"""The second half of `netio demo`: what a table of rates cannot show, one paragraph each.

Every figure is measured here and now. Trouble is made by `netio.testing.Chaos`, always the same by its seed; the last
session of the tour keeps the statistics that are shown at the end.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import anyio

from netio.cli._origin import Origin
from netio.client import Session
from netio.errors import CircuitOpen, NetioError
from netio.histogram import Histogram, shown_time
from netio.message import Request, Response, Send
from netio.metrics import LatencyProfile
from netio.policy import CircuitBreaker, Hedge, RetryBudget
from netio.testing import Chaos, Latency
from netio.transport import Answer, Network

_LOOKUP_SECONDS = 0.05
_SLOW_SECONDS = 0.25
_OUTAGE_SECONDS = 0.6
_STEP_SECONDS = 0.1
_HEDGED = 400


@dataclass
class Tour:
    """What the tour has to say: its chapters, and what it measured with hedging."""

    chapters: list[tuple[str, list[str]]] = field(default_factory=list[tuple[str, list[str]]])
    stats: str = ""
    profile: LatencyProfile = field(default_factory=LatencyProfile)


async def take_tour(origin: Origin) -> Tour:
    """Go through the chapters, one after the other."""
    tour = Tour()
    for title, chapter in (("Names", _names), ("Circuit breaker", _breaker), ("Hedging", _hedging)):
        tour.chapters.append((title, await chapter(origin, tour)))
    return tour


class _SlowNames:
    """A resolver that knows one address, and takes its time."""

    def __init__(self) -> None:
        self.questions = 0

    async def resolve(self, host: str) -> Answer:
        self.questions += 1
        await anyio.sleep(_LOOKUP_SECONDS)
        return Answer(("127.0.0.1",), ttl=60.0)

    async def aclose(self) -> None: ...


async def _names(origin: Origin, tour: Tour) -> list[str]:
    """Look one name up for many connections."""
    names = _SlowNames()
    url = origin.http.replace("127.0.0.1", "demo.test")
    async with Session(policies=(), http2=False, network=Network(resolver=names)) as session:
        async with session.batch([url] * 200, concurrency=20) as outcomes:
            waits = [outcome.unwrap().timings.resolve async for outcome in outcomes]
        created = session.stats().created
    waited = sum(wait > _LOOKUP_SECONDS / 10 for wait in waits)
    return [
        f"A name server that takes {shown_time(_LOOKUP_SECONDS)} was asked {_times(names.questions)} for 200 requests "
        f"on {created} connections; {waited} requests waited for its answer, the others found it in the cache."
    ]


class _Outage:
    """Answers 503 while it is on, in place of the server."""

    is_on = False

    async def __call__(self, request: Request, send: Send) -> Response:
        return Response(503, request=request) if self.is_on else await send(request)


async def _breaker(origin: Origin, tour: Tour) -> list[str]:
    """Let a server fail for a while, and write down what its clients see."""
    outage = _Outage()
    breaker = CircuitBreaker.simple(failure_threshold=5, recovery_timeout=3 * _STEP_SECONDS)
    timeline: list[str] = []
    asked = refused = 0
    async with Session(policies=(breaker, outage)) as session:
        for step in range(12):
            outage.is_on = 2 <= step < 2 + _OUTAGE_SECONDS / _STEP_SECONDS
            counts = {"ok": 0, "failed": 0, "refused": 0}
            for _ in range(10):
                counts[await _outcome(session, f"{origin.http}/")] += 1
            asked += counts["failed"]
            refused += counts["refused"]
            seen = ", ".join(f"{number:>2} {what}" for what, number in counts.items() if number)
            state = breaker.state(Request("GET", origin.http).url.origin)
            health = "down" if outage.is_on else "up"
            timeline.append(f"  {step * _STEP_SECONDS:.1f} s  server {health:<4}  circuit {state:<9}  {seen}")
            await anyio.sleep(_STEP_SECONDS)
    return [
        f"While the server failed it was asked {asked} times; {refused} requests were refused at once, and it had time "
        "to recover. One probe at a time found out when it was back.",
        *timeline,
    ]


async def _outcome(session: Session, url: str) -> str:
    try:
        response = await session.get(url)
    except CircuitOpen:
        return "refused"
    except NetioError:
        return "failed"
    return "ok" if response.is_success else "failed"


async def _hedging(origin: Origin, tour: Tour) -> list[str]:
    """Ask a server of which one answer in fifty is slow, without and with a second try."""
    shown: list[Histogram] = []
    extra = 0
    for hedge in (None, Hedge(percentile=0.95, budget=RetryBudget(ratio=0.1, floor=1.0))):
        chaos = Chaos(Latency(_SLOW_SECONDS, probability=0.02), seed=4)
        profile = LatencyProfile()
        policies = (profile, chaos) if hedge is None else (profile, hedge, chaos)
        async with Session(policies=policies, verify=origin.authority_file) as session:
            async with session.batch([f"{origin.https}/"] * _HEDGED, concurrency=8) as outcomes:
                async for outcome in outcomes:
                    outcome.unwrap()
            tour.stats, tour.profile = str(session.stats()), profile
        shown.append(profile.latency)
        extra = chaos.requests - _HEDGED
    before, after = (shown_time(latency.percentile(99)) for latency in shown)
    return [
        f"One answer in fifty took {shown_time(_SLOW_SECONDS)} more. What had no answer after the usual time was sent "
        f"a second time: the 99th percentile went from {before} to {after}, for {extra / _HEDGED:.1%} more requests."
    ]


def _times(number: int) -> str:
    return "once" if number == 1 else f"{number} times"
