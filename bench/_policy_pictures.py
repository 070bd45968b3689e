"""The pictures of docs/policies.md: what each policy is for, and what the same is without it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from random import Random

import matplotlib as mpl
from _simulation import CAPACITY, OUTAGE, Outcome, World, percentile, simulate
from PIL import Image

from netio import policy
from netio.message import Policy, Request, Response

mpl.use("agg")
import matplotlib.pyplot as plt

SECONDS = 45
WEAK = (10.0, 30.0)
CROWD = (10.0, 14.0)
COLOURS = {"asked": "0.55", "offered": "tab:orange", "succeeded": "tab:green", "wasted": "tab:red"}

Make = Callable[[], Sequence[Policy]]


def timeout(seconds: float = 1.0) -> policy.AttemptTimeout:
    return policy.AttemptTimeout(seconds)


def retry() -> policy.Retry:
    return policy.Retry(random=Random(3).random)


def breaker() -> policy.CircuitBreaker:
    return policy.CircuitBreaker(random=Random(3).random)


def crowded(now: float) -> float:
    """Come three times as many for a few seconds, as after a push message."""
    return 2.4 if CROWD[0] <= now < CROWD[1] else 0.5


async def last_known(request: Request, outcome: object) -> Response:
    return Response(200, request=request, content="the last known answer")


@dataclass(frozen=True)
class Picture:
    """Some runs in the same world, one below the other; `grey` is when something is wrong, and what."""

    name: str
    world: World
    grey: tuple[float, float]
    what: str
    runs: dict[str, Make]


PICTURES = (
    Picture(
        "retry",
        World({"outage": OUTAGE}),
        OUTAGE,
        "the service stands still",
        {
            "attempt timeout alone": lambda: [timeout()],
            "Retry without a budget": lambda: [
                policy.Retry(budget=policy.RetryBudget.unlimited(), random=Random(3).random),
                timeout(),
            ],
            "Retry with its budget": lambda: [retry(), timeout()],
        },
    ),
    Picture(
        "breaker",
        World({"outage": OUTAGE}),
        OUTAGE,
        "the service stands still",
        {
            "Retry with its budget": lambda: [retry(), timeout()],
            "Retry with its budget, and CircuitBreaker": lambda: [retry(), breaker(), timeout()],
        },
    ),
    Picture(
        "adaptive",
        World({"weak": WEAK}),
        WEAK,
        "the service takes three times as long",
        {
            "attempt timeout alone": lambda: [timeout()],
            "AdaptiveLimit": lambda: [policy.AdaptiveLimit(), timeout()],
        },
    ),
    Picture(
        "bulkhead",
        World({"weak": WEAK}),
        WEAK,
        "the service takes three times as long",
        {
            "attempt timeout alone": lambda: [timeout()],
            "Bulkhead(20, longest_wait=0.5)": lambda: [policy.Bulkhead(20, longest_wait=0.5), timeout()],
        },
    ),
    Picture(
        "rate",
        World({}, crowded),
        CROWD,
        "a crowd comes",
        {
            "attempt timeout alone": lambda: [timeout()],
            "RateLimit(180, burst=20)": lambda: [policy.RateLimit(180, burst=20), timeout()],
        },
    ),
    Picture(
        "fallback",
        World({"outage": OUTAGE}),
        OUTAGE,
        "the service stands still",
        {
            "CircuitBreaker": lambda: [breaker(), timeout()],
            "CircuitBreaker inside of Fallback": lambda: [policy.Fallback(last_known), breaker(), timeout()],
        },
    ),
    Picture(
        "single-flight",
        World({}, crowded),
        CROWD,
        "a crowd comes, and all ask the same",
        {
            "attempt timeout alone": lambda: [timeout()],
            "SingleFlight": lambda: [policy.SingleFlight(), timeout()],
        },
    ),
)


def draw_all(outage: Sequence[Outcome], tail: Sequence[Outcome], folder: Path) -> None:
    """Draw the two parts of the report, and a picture for each policy."""
    draw(outage, folder / "policies-outage.png", OUTAGE, "the service stands still")
    draw_latencies(tail, folder / "policies-hedge.png")
    for picture in PICTURES:
        runs = [simulate(name, make, SECONDS, picture.world) for name, make in picture.runs.items()]
        draw(runs, folder / f"policies-{picture.name}.png", picture.grey, picture.what)
    plain = simulate("attempt timeout alone", lambda: [timeout()], SECONDS, World({"outage": OUTAGE}))
    told = simulate(
        "attempt timeout, and a service that is told by its header",
        lambda: [timeout()],
        SECONDS,
        World({"outage": OUTAGE, "attentive": True}),
    )
    draw([plain, told], folder / "policies-deadline.png", OUTAGE, "the service stands still")


def draw(outcomes: Sequence[Outcome], path: Path, grey: tuple[float, float], what: str) -> None:
    """Draw what was asked for, offered, succeeded and was worked for nothing, second by second."""
    figure, axes = plt.subplots(len(outcomes), sharex=True, sharey=True, figsize=(7, 0.6 + 1.5 * len(outcomes)))
    for each, axis in zip(outcomes, axes, strict=True):
        axis.axvspan(*grey, color="0.92")
        for name, colour in COLOURS.items():
            style = {"linestyle": ":"} if name == "asked" else {}
            axis.plot(getattr(each.seconds, name)[:-1], label=name, color=colour, linewidth=1.3, **style)
        axis.axhline(CAPACITY, color="0.5", linewidth=0.5, linestyle="--")
        axis.set_title(each.name, loc="left", fontsize=9)
        axis.set_ylabel("a second", fontsize=8)
        axis.tick_params(labelsize=8)
    axes[-1].set_xlabel(f"seconds; grey: {what}; dashed: what the service can do", fontsize=8)
    figure.legend(*axes[0].get_legend_handles_labels(), loc="upper right", fontsize=8, ncols=4, frameon=False)
    save(figure, path)


def draw_latencies(outcomes: Sequence[Outcome], path: Path) -> None:
    """Draw how long the slowest of so many take."""
    shares = [0.5, 0.75, 0.9, 0.95, 0.98, 0.99, 0.995, 0.998, 0.999, 0.9995]
    figure, axis = plt.subplots(figsize=(7, 2.8))
    for each, colour in zip(outcomes, ("tab:orange", "tab:green"), strict=True):
        label = f"{each.name}: {each.load:.2f} requests sent for each"
        values = [percentile(each.latencies, share) * 1e3 for share in shares]
        axis.plot([1 / (1 - share) for share in shares], values, label=label, color=colour, marker=".")
    axis.set_xscale("log")
    axis.set_yscale("log")
    axis.set_xticks([2, 10, 20, 100, 1_000], ["p50", "p90", "p95", "p99", "p99.9"])
    axis.minorticks_off()
    axis.set_yticks([50, 100, 200, 500, 1_000], ["50", "100", "200", "500", "1,000"])
    axis.set_ylabel("ms until the answer", fontsize=8)
    axis.tick_params(labelsize=8)
    axis.legend(fontsize=8, frameon=False)
    save(figure, path)


def save(figure: plt.Figure, path: Path) -> None:
    """Write a picture with few colours: a third of the bytes."""
    figure.tight_layout()
    drawn = BytesIO()
    figure.savefig(drawn, dpi=90)
    plt.close(figure)
    Image.open(drawn).convert("RGB").quantize(48).save(path, optimize=True)
