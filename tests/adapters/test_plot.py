"""Plots: the figure shows what the profile has counted, and the file is a picture."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from netio.adapters import draw_profile, plot_profile
from netio.metrics import LatencyProfile
from netio.testing import FakeClock

TITLES = ["How many took how long", "Which share was done in which time", "When what took how long"]


def profile_of(successes: int, failures: int, *, samples: int = 5_000) -> LatencyProfile:
    profile = LatencyProfile(clock=FakeClock(start=0.0), samples=samples)
    for number in range(successes):
        profile.record(number / 10, 0.010 + 0.001 * (number % 10))
    for number in range(failures):
        profile.record(float(number), 2.0, TimeoutError())
    return profile


def axes_of(figure: Figure) -> list[Axes]:
    """Return the histogram, the percentile curve and the time line."""
    assert [axes.get_title() or axes.get_title(loc="left") for axes in figure.axes] == TITLES
    return figure.axes


def points(axes: Axes) -> list[list[list[float]]]:
    return [[list(point) for point in part.get_offsets().tolist()] for part in axes.collections]  # type: ignore[union-attr]


def legend(axes: Axes) -> list[str]:
    found: Any = axes.get_legend()
    return [text.get_text() for text in found.get_texts()]


def test_bars_count_every_success_where_it_lies() -> None:
    histogram, _, _ = axes_of(draw_profile(profile_of(1_000, 5)))
    bars: Any = histogram.patches
    assert sum(bar.get_height() for bar in bars) == pytest.approx(1_000)
    assert 8 < min(bar.get_x() for bar in bars) <= 10.0
    assert 19.0 <= max(bar.get_x() + bar.get_width() for bar in bars) < 22
    ratios = {round((bar.get_x() + bar.get_width()) / bar.get_x(), 6) for bar in bars}
    assert ratios == {round(2 ** (1 / 8), 6)}


def test_percentile_curve_goes_as_far_as_the_number_of_times_carries() -> None:
    profile = profile_of(1_000, 5)
    _, curve, _ = axes_of(draw_profile(profile))
    (line,) = curve.lines
    assert line.get_xdata() == pytest.approx([1, 4 / 3, 2, 4, 10, 20, 100, 200, 1_000])
    assert line.get_ydata() == pytest.approx(
        [1_000 * (profile.latency.percentile(percent) or 0) for percent in (0, 25, 50, 75, 90, 95, 99, 99.5, 99.9)]
    )
    assert [label.get_text() for label in curve.get_xticklabels()] == ["0", "50", "90", "99", "99.9"]


def test_time_line_shows_failures_apart() -> None:
    _, _, timeline = axes_of(draw_profile(profile_of(3, 2)))
    good, bad = points(timeline)
    assert [start for start, _ in good] == pytest.approx([0.0, 0.1, 0.2])
    assert [time for _, time in good] == pytest.approx([10.0, 11.0, 12.0])
    assert bad == [[0.0, 2_000.0], [1.0, 2_000.0]]
    assert legend(timeline) == ["success: 3", "failure: 2"]
    assert timeline.get_yscale() == "log"


def test_time_line_says_that_it_is_a_sample() -> None:
    _, _, timeline = axes_of(draw_profile(profile_of(2_000, 2, samples=100)))
    assert [len(part) for part in points(timeline)] == [100, 2]
    assert legend(timeline) == ["success: 2,000, of which 100 are shown", "failure: 2"]


@pytest.mark.parametrize(("successes", "failures"), [(0, 0), (1, 0), (0, 3)])
def test_little_can_be_drawn_too(successes: int, failures: int, tmp_path: Path) -> None:
    profile = profile_of(successes, failures)
    plot_profile(profile, tmp_path / "little.png")
    assert [len(part) for part in points(axes_of(draw_profile(profile))[2])] == [successes, failures]


def test_times_below_a_microsecond_are_drawn_at_one() -> None:
    profile = LatencyProfile(clock=FakeClock(start=0.0))
    profile.record(0.0, 0.0)
    profile.record(1.0, 0.5)
    histogram, _, timeline = axes_of(draw_profile(profile))
    assert points(timeline)[0] == [[0.0, pytest.approx(0.001, rel=0.05)], [1.0, 500.0]]
    bars: Any = histogram.patches
    assert [bar.get_height() for bar in bars] == [1, 1]


@pytest.mark.parametrize(("name", "beginning"), [("plot.png", b"\x89PNG\r\n\x1a\n"), ("plot.svg", b"<?xml")])
def test_ending_of_the_path_is_the_format(name: str, beginning: bytes, tmp_path: Path) -> None:
    path = tmp_path / name
    plot_profile(profile_of(100, 5), path)
    assert path.read_bytes().startswith(beginning)
    plot_profile(profile_of(100, 5), str(path))


def test_without_matplotlib_the_error_names_the_extra() -> None:
    source = """
import sys
sys.modules["matplotlib"] = None
sys.modules["matplotlib.figure"] = None
from netio.adapters import plot_profile
from netio.metrics import LatencyProfile
try:
    plot_profile(LatencyProfile(), "plot.png")
except ImportError as error:
    print(error)
"""
    run = subprocess.run([sys.executable, "-c", source], capture_output=True, text=True, check=True, timeout=50)
    assert run.stdout == "plots need matplotlib: pip install 'netio-http[plot]'\n"


def test_importing_the_adapters_imports_no_matplotlib() -> None:
    source = "import sys, netio.adapters; print('matplotlib' in sys.modules)"
    run = subprocess.run([sys.executable, "-c", source], capture_output=True, text=True, check=True, timeout=50)
    assert run.stdout == "False\n"
