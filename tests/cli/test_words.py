from __future__ import annotations

import pytest

from netio.cli._words import bar, bars, shortened, size
from netio.histogram import Histogram


@pytest.mark.parametrize(
    ("number", "text"),
    [(0, "0 bytes"), (999, "999 bytes"), (2_000, "2 kB"), (1_234_567, "1.23 MB"), (5_000_000_000, "5 GB")],
)
def test_sizes_have_three_digits_and_a_unit(number: int, text: str) -> None:
    assert size(number) == text


def test_a_bar_is_exact_to_an_eighth() -> None:
    assert [bar(share, 4) for share in (0, 0.5, 0.53, 1, 7)] == ["", "██", "██▏", "████", "████"]


def test_a_long_line_is_cut_and_what_a_terminal_obeys_is_escaped() -> None:
    assert shortened("a" * 100) == "a" * 79 + "…"
    assert shortened("\x1b[2J") == "\\x1b[2J"


def test_the_distribution_has_rows_up_to_p99_and_one_beyond_that_fit_the_screen() -> None:
    latency = Histogram()
    for number in range(1_000):
        latency.record(0.001 * (1 + number % 10))
    latency.record(5.0)
    shown = bars(latency)
    assert len(shown) == 10
    assert max(map(len, shown)) <= 80
    assert shown[0].split()[0] == "1.00ms"
    assert sum(float(line.split()[1].rstrip("%")) for line in shown if line) == pytest.approx(100, abs=0.5)


def test_too_few_answers_have_no_distribution() -> None:
    assert bars(Histogram()) == []
