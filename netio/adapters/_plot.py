"""A latency profile as a picture, by matplotlib (extra `plot`).

It is a function beside the profile and no method of it, because the profile is vocabulary, which knows no adapter. The
figure is made without pyplot: no global state, no window, and nothing that has to be closed.
"""

from __future__ import annotations

import math
import os
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from netio.metrics import Histogram, LatencyProfile

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_PERCENTS = (0, 25, 50, 75, 90, 95, 99, 99.5, 99.9, 99.95, 99.99, 99.995, 99.999)
_BARS = 8  # of a power of two: 64 buckets would be a comb
_SHORTEST = 2.0**-20  # seconds; what is shorter is drawn there
_GOOD, _BAD = "#2a6f97", "#c1121f"


def plot_profile(profile: LatencyProfile, path: str | os.PathLike[str]) -> None:
    """Write a picture of a profile: histogram, percentile curve, and time line with failures.

    The ending of `path` is the format: .png, .svg, .pdf. It takes about a second and writes a file: from an event loop
    call it in a thread. Raises `ImportError` if matplotlib is not installed.
    """
    draw_profile(profile).savefig(path, dpi=150)


def draw_profile(profile: LatencyProfile) -> Figure:
    """Return the same picture as a figure of matplotlib, to be changed or put into something larger."""
    try:
        from matplotlib.figure import Figure
    except ImportError as error:
        raise ImportError("plots need matplotlib: pip install 'netio-http[plot]'") from error
    figure = Figure(figsize=(10, 8), layout="constrained")
    axes: Any = figure.subplot_mosaic([["histogram", "percentiles"], ["timeline", "timeline"]])
    _draw_histogram(axes["histogram"], profile.latency)
    _draw_percentiles(axes["percentiles"], profile.latency)
    _draw_timeline(axes["timeline"], profile)
    return figure


def _draw_histogram(axes: Axes, latency: Histogram) -> None:
    bars = _bars(latency.buckets())
    axes.set_title("How many took how long")
    axes.set_ylabel("successes")
    _in_milliseconds(axes, "x")
    if not bars:
        return
    axes.set_xscale("log")
    axes.xaxis.set_major_formatter("{x:g}")
    axes.bar(
        [lower * 1000 for lower, _, _ in bars],
        [number for _, _, number in bars],
        width=[(upper - lower) * 1000 for lower, upper, _ in bars],
        align="edge",
        color=_GOOD,
    )


def _bars(buckets: Iterable[tuple[float, float, int]]) -> list[tuple[float, float, float]]:
    """Cut a logarithmic axis into bars of the same width; a bucket that lies in two of them is shared out."""
    bars: dict[int, float] = {}
    for lower, upper, number in buckets:
        place = math.floor(math.log2(max(lower, _SHORTEST)) * _BARS)
        edge = 2 ** ((place + 1) / _BARS)
        share = min((edge - lower) / (upper - lower), 1.0)
        bars[place] = bars.get(place, 0.0) + number * share
        if share < 1.0:
            bars[place + 1] = bars.get(place + 1, 0.0) + number * (1.0 - share)
    return [(2 ** (place / _BARS), 2 ** ((place + 1) / _BARS), number) for place, number in sorted(bars.items())]


def _draw_percentiles(axes: Axes, latency: Histogram) -> None:
    """Draw time over percentile, each nine as wide as the one before, as far as the number of times carries."""
    count = latency.count
    percents = [percent for percent in _PERCENTS if round((100 - percent) * count, 6) >= 100]
    times = [time for time in latency.percentiles(percents) if time is not None]
    axes.set_title("Which share was done in which time")
    axes.set_xlabel("percentile")
    _in_milliseconds(axes, "y")
    if not times:
        return
    axes.set_xscale("log")
    places = [100 / (100 - percent) for percent in percents]
    shown = [percent for percent in (0, 50, 90, 99, 99.9, 99.99, 99.999) if percent in percents]
    axes.set_xticks([100 / (100 - percent) for percent in shown], [f"{percent:g}" for percent in shown], minor=False)
    axes.set_xticks([], minor=True)
    axes.plot(places, [time * 1000 for time in times], color=_GOOD, marker=".")


def _draw_timeline(axes: Axes, profile: LatencyProfile) -> None:
    axes.set_title("When what took how long", loc="left")
    axes.set_xlabel("start, seconds")
    _in_milliseconds(axes, "y")
    samples = profile.samples()
    if samples:
        axes.set_yscale("log")
        axes.yaxis.set_major_formatter("{x:g}")
    for is_ok, color, marker, name, number in (
        (True, _GOOD, ".", "success", profile.succeeded),
        (False, _BAD, "x", "failure", profile.failed),
    ):
        part = [sample for sample in samples if sample.is_ok is is_ok]
        label = (
            f"{name}: {number:,}" if len(part) == number else f"{name}: {number:,}, of which {len(part):,} are shown"
        )
        starts, times = [one.start for one in part], [max(one.seconds, _SHORTEST) * 1000 for one in part]
        axes.scatter(starts, times, s=16, color=color, marker=marker, label=label)
    axes.legend(loc="lower right", bbox_to_anchor=(1.0, 1.0), ncols=2, frameon=False)


def _in_milliseconds(axes: Axes, which: str) -> None:
    axes.grid(alpha=0.3)
    (axes.set_xlabel if which == "x" else axes.set_ylabel)("milliseconds")
