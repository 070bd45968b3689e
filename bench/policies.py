"""What do policies do to a service that has a bad moment? A simulation, the same each time, in virtual time.

    python bench/policies.py [--seconds 60] [--json FILE] [--plot FOLDER]

Clients come at random (Poisson) at 80 % of what the service can do. The service has a number of workers and a bounded
queue, knows nothing of its clients' deadlines, and so works on what nobody waits for any more. In the outage it stands
still for ten seconds, as a process does in a long collection or a failover; meanwhile its queue fills. Recovered is it
when 99 % of the requests of three seconds in a row succeed.

The policies are the real ones. They run on an asyncio loop whose time jumps to the next timer instead of waiting for
it. The second part has no outage, but one answer in a hundred takes twenty times as long: what a hedge is for. With
`--plot` there is a picture for each policy, of what it is for and what the same is without it.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable, Sequence
from dataclasses import asdict
from pathlib import Path
from random import Random

from _simulation import LOAD, OUTAGE, Outcome, World, simulate

from netio import policy
from netio.message import Policy

ATTEMPT_SECONDS = 1.0

IN_OUTAGE = World({"outage": OUTAGE})
WITH_TAIL = World({"tail": True}, lambda _: 0.5)


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
    "no hedge": list,
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


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=int, default=60)
    parser.add_argument("--quick", action="store_true", help="40 seconds of the lists that the defaults are judged by")
    parser.add_argument("--json", metavar="FILE")
    parser.add_argument("--plot", metavar="FOLDER")
    arguments = parser.parse_args()
    lists = dict(OUTAGE_LISTS)
    if arguments.quick:
        arguments.seconds = 40
        lists = {name: lists[name] for name in ("no policy", "retry alone", "standard()")}
    outage = [simulate(name, make, arguments.seconds, IN_OUTAGE) for name, make in lists.items()]
    print(f"An outage of {OUTAGE[1] - OUTAGE[0]:.0f} s at {LOAD:.0%} load")
    report(outage)
    tail = [simulate(name, make, arguments.seconds, WITH_TAIL) for name, make in TAIL_LISTS.items()]
    print("\nOne answer in a hundred takes twenty times as long, at 50 % load")
    report(tail)
    if arguments.json:
        records = [{**asdict(each), "latencies": None} for each in (*outage, *tail)]
        content = {"program": "policies", "tables": [{"records": records}]}
        Path(arguments.json).write_text(json.dumps(content, indent=1))
    if arguments.plot:
        from _policy_pictures import draw_all  # matplotlib is not needed for the figures

        draw_all(outage, tail, Path(arguments.plot))


if __name__ == "__main__":
    main()
