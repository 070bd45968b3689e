"""Histograms: percentiles within 1 %, merging in any order, round trips, and 10 KiB whatever was recorded."""

from __future__ import annotations

import json
import math
import pickle
import random
import statistics
import sys
from collections.abc import Callable, Iterable
from fractions import Fraction
from functools import partial
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from netio.histogram import Histogram, Summary, _bucket, shown_time

ERROR = 1 / 128
PERCENTS = [0, 0.1, 1, 10, 25, 50, 75, 90, 95, 99, 99.9, 99.99, 100]

times = st.floats(1e-6, 32_000.0)
any_times = st.one_of(times, st.floats(0.0, 1e-6), st.floats(32_000.0, 999_999_999.0))


def recorded(values: Iterable[float]) -> Histogram:
    histogram = Histogram()
    for value in values:
        histogram.record(value)
    return histogram


def nearest_rank(ordered: list[float], percent: float) -> float:
    rank = math.ceil(Fraction(str(percent)) * len(ordered) / 100)
    return ordered[max(rank, 1) - 1]


def same(first: Histogram, second: Histogram) -> bool:
    """Compare all but the last bits of the sums, which depend on the order of adding."""
    mine, theirs = first.to_dict(), second.to_dict()
    sums = [(mine.pop(name), theirs.pop(name)) for name in ("total", "squares")]
    return mine == theirs and all(math.isclose(one, other, rel_tol=1e-9) for one, other in sums)


def deep_size(thing: Any) -> int:
    """Return the bytes of an object and of all that it holds."""
    seen: dict[int, Any] = {}
    waiting = [thing]
    while waiting:
        one = waiting.pop()
        if id(one) in seen:
            continue
        seen[id(one)] = one
        if isinstance(one, dict):
            waiting += [*one.keys(), *one.values()]
        waiting += [getattr(one, name) for name in getattr(type(one), "__slots__", ())]
    return sum(map(sys.getsizeof, seen.values()))


# ---------------------------------------------------------------------- percentiles


@given(st.lists(times, min_size=1), st.sampled_from(PERCENTS))
def test_percentile_is_near_that_of_the_sorted_list(values: list[float], percent: float) -> None:
    exact = nearest_rank(sorted(values), percent)
    assert recorded(values).percentile(percent) == pytest.approx(exact, rel=ERROR)


@given(st.lists(st.floats(0.0, 1e-6), min_size=1), st.sampled_from(PERCENTS))
def test_below_a_microsecond_percentile_is_within_eight_nanoseconds(values: list[float], percent: float) -> None:
    exact = nearest_rank(sorted(values), percent)
    assert recorded(values).percentile(percent) == pytest.approx(exact, abs=8e-9)


@given(st.lists(any_times, min_size=1))
def test_percentiles_rise_and_stay_between_minimum_and_maximum(values: list[float]) -> None:
    found = [time for time in recorded(values).percentiles(PERCENTS) if time is not None]
    assert found == sorted(found)
    assert (found[0], found[-1]) == (min(values), max(values))


DISTRIBUTIONS: dict[str, Callable[[random.Random], float]] = {
    "uniform": lambda source: source.uniform(0.001, 0.1),
    "lognormal": lambda source: source.lognormvariate(-5, 1),
    "exponential": lambda source: source.expovariate(50),
    "pareto": lambda source: 0.0005 * source.paretovariate(1.1),
    "two humps": lambda source: source.gauss(0.002, 0.0002) if source.random() < 0.95 else source.gauss(1.0, 0.1),
}


@pytest.mark.parametrize("name", DISTRIBUTIONS)
def test_percentiles_of_a_distribution_are_near_also_after_merging_ten(name: str) -> None:
    source = random.Random(name)
    values = [max(DISTRIBUTIONS[name](source), 0.0) for _ in range(50_000)]
    merged = Histogram()
    for start in range(10):
        merged.merge(recorded(values[start::10]))
    ordered = sorted(values)
    exact = [nearest_rank(ordered, percent) for percent in PERCENTS]
    assert recorded(values).percentiles(PERCENTS) == pytest.approx(exact, rel=ERROR, abs=8e-9)
    assert merged.percentiles(PERCENTS) == recorded(values).percentiles(PERCENTS)


def test_every_bucket_is_narrow_and_they_leave_no_gap() -> None:
    tops = [2.0**power for power in range(-20, 15)]
    edges = [top * (1 + step / 64) for top in tops for step in range(64)]
    bounds = [(lower, upper) for lower, upper, _ in recorded(edges).buckets()]
    assert [lower for lower, _ in bounds] == edges
    assert [upper for _, upper in bounds[:-1]] == edges[1:]
    assert all((upper - lower) / 2 <= lower * ERROR for lower, upper in bounds)
    assert [number for _, _, number in recorded(math.nextafter(edge, 0) for edge in edges).buckets()] == [1] * len(
        edges
    )


def test_rank_is_not_rounded_up_by_a_float() -> None:
    histogram = recorded([0.001] * 999 + [1.0])
    assert 99.9 / 100 * 1000 > 999
    assert histogram.percentile(99.9) == 0.001
    assert histogram.percentile(99.901) == 1.0


def test_first_and_last_rank_are_exact() -> None:
    histogram = recorded([0.010_3] + [0.010_4] * 8 + [0.010_5])
    assert histogram.percentiles([10, 10.1, 90, 90.1]) == [
        0.010_3,
        histogram.percentile(50),
        histogram.percentile(50),
        0.010_5,
    ]
    assert histogram.percentile(50) != 0.010_4


def test_percentiles_of_nothing_and_of_one() -> None:
    assert Histogram().percentiles([0, 50, 100]) == [None, None, None]
    assert recorded([0.0123]).percentiles([0, 1e-9, 50, 100]) == [0.0123] * 4


@pytest.mark.parametrize("percent", [-0.1, 100.1, math.nan, math.inf])
def test_percentile_refuses_what_is_none(percent: float) -> None:
    for histogram in (Histogram(), recorded([1.0])):
        with pytest.raises(ValueError, match="a percentile is from 0 to 100"):
            histogram.percentile(percent)


# ---------------------------------------------------------------------- the other figures


@given(st.lists(any_times, min_size=1))
def test_count_total_minimum_and_maximum_are_exact(values: list[float]) -> None:
    histogram = recorded(values)
    assert (histogram.count, histogram.minimum, histogram.maximum) == (len(values), min(values), max(values))
    assert histogram.total == pytest.approx(math.fsum(values), rel=1e-12)
    assert histogram.mean == pytest.approx(statistics.fmean(values), rel=1e-12)
    assert sum(number for _, _, number in histogram.buckets()) == len(values)


@given(st.lists(st.floats(1e-3, 1e3), min_size=1))
def test_deviation_is_wrong_by_a_millionth_of_the_mean_at_most(values: list[float]) -> None:
    error = 1e-6 * statistics.fmean(values) + 1e-9 * max(values)
    assert recorded(values).deviation == pytest.approx(statistics.pstdev(values), abs=error, rel=1e-9)


def test_deviation_much_smaller_than_the_mean_is_found() -> None:
    source = random.Random(1)
    histogram = recorded(source.gauss(1.0, 1e-4) for _ in range(100_000))
    assert histogram.deviation == pytest.approx(1e-4, rel=0.02)


def test_nothing_has_no_figures() -> None:
    histogram = Histogram()
    assert (histogram.count, histogram.total) == (0, 0.0)
    assert [histogram.mean, histogram.minimum, histogram.maximum, histogram.deviation] == [None] * 4
    assert list(histogram.buckets()) == []


@pytest.mark.parametrize("seconds", [-1e-9, -1.0, math.nan, math.inf, -math.inf, 1e9])
def test_record_refuses_what_is_no_duration_and_counts_nothing(seconds: float) -> None:
    histogram = recorded([0.5, 2.0])
    before = histogram.to_dict()
    with pytest.raises(ValueError, match="a duration is from 0 to"):
        histogram.record(seconds)
    assert histogram.to_dict() == before


def test_whole_numbers_zero_and_ages_are_durations() -> None:
    histogram = recorded([0, 1, 100_000, 999_999_999])
    assert (histogram.count, histogram.minimum, histogram.maximum) == (4, 0, 999_999_999)
    assert histogram.percentile(75) == pytest.approx(2**15, rel=0.01)  # the end of the range


# ---------------------------------------------------------------------- size


def test_size_is_bounded_whatever_was_recorded() -> None:
    histogram = recorded(
        [0.0, 1e9 - 1, *(2.0**power * (1 + step / 64) for power in range(-21, 16) for step in range(64))]
    )
    for power in range(8):
        histogram.merge(full(2.0**-power))
    assert 9_216 < deep_size(histogram) <= 10 * 1024


def test_size_follows_the_longest_time() -> None:
    assert deep_size(recorded([0.000_001 * step for step in range(1, 1_000)])) <= 4 * 1024
    assert deep_size(Histogram()) <= 1024


def full(seconds: float) -> Histogram:
    """Return a histogram that counted this 2**32 times, once more than a counter holds."""
    histogram = recorded([seconds])
    for _ in range(32):
        histogram.merge(histogram)
    return histogram


def test_full_counter_is_carried() -> None:
    histogram = recorded([0.25, 0.5])
    for _ in range(31):
        histogram.merge(histogram)
    histogram.merge(recorded([0.25]))
    assert [number for _, _, number in histogram.buckets()] == [2**31 + 1, 2**31]
    rest = Histogram.from_dict({**histogram.to_dict(), "buckets": [[1216, 2**32 - 1], [1280, 5]]})
    rest.record(0.25)
    rest.record(0.25)
    assert [number for _, _, number in rest.buckets()] == [2**32 + 1, 5]
    assert rest.count == 2**32 + 6
    assert rest.percentile(99.99) == pytest.approx(0.25, rel=ERROR)
    assert same(Histogram.from_dict(rest.to_dict()), rest)
    assert same(rest.copy(), rest)
    rest.merge(rest)
    assert [number for _, _, number in rest.buckets()] == [2**33 + 2, 10]


# ---------------------------------------------------------------------- several of them


@given(st.lists(any_times), st.lists(any_times))
def test_merged_is_as_if_recorded_in_one_and_either_way_round(first: list[float], second: list[float]) -> None:
    one, other = recorded(first), recorded(second)
    one.merge(recorded(second))
    other.merge(recorded(first))
    assert same(one, recorded(first + second))
    assert same(one, other)


@given(st.lists(any_times), st.lists(any_times), st.lists(any_times))
def test_merging_is_associative(first: list[float], second: list[float], third: list[float]) -> None:
    left, right, inner = recorded(first), recorded(first), recorded(second)
    left.merge(recorded(second))
    left.merge(recorded(third))
    inner.merge(recorded(third))
    right.merge(inner)
    assert same(left, right)


def test_copy_is_its_own() -> None:
    histogram = recorded([0.1, 0.2])
    copied = histogram.copy()
    assert same(copied, histogram)
    copied.record(5.0)
    assert (histogram.count, histogram.maximum, copied.count) == (2, 0.2, 3)


@given(st.lists(any_times), st.lists(any_times, min_size=1))
def test_since_is_what_came_later(earlier: list[float], later: list[float]) -> None:
    histogram = recorded(earlier)
    then = histogram.copy()
    for value in later:
        histogram.record(value)
    between = histogram.since(then)
    expected = recorded(later)
    assert list(between.buckets()) == list(expected.buckets())
    assert between.total == pytest.approx(expected.total, rel=1e-9, abs=1e-9 * histogram.total)
    if min(later) < 32_000:
        assert between.minimum == pytest.approx(expected.minimum, rel=2 * ERROR, abs=16e-9)
    if max(later) < 32_000:
        assert between.maximum == pytest.approx(expected.maximum, rel=2 * ERROR, abs=16e-9)
    assert same(Histogram.from_dict(between.to_dict()), between)


def test_since_refuses_a_stranger_and_may_be_nothing() -> None:
    with pytest.raises(ValueError, match="has counted what this one has not"):
        recorded([1.0]).since(recorded([2.0]))
    assert recorded([1.0]).since(recorded([1.0])).to_dict() == Histogram().to_dict()


@given(st.lists(any_times))
def test_json_and_pickle_give_back_the_same(values: list[float]) -> None:
    histogram = recorded(values)
    written = json.dumps(histogram.to_dict(), allow_nan=False)
    again = Histogram.from_dict(json.loads(written))
    assert again.to_dict() == histogram.to_dict() == pickle.loads(pickle.dumps(histogram)).to_dict()
    again.record(0.5)
    assert again.count == histogram.count + 1


GOOD = recorded([0.25, 0.5]).to_dict()
assert GOOD["buckets"] == [[1216, 1], [1280, 1]]


@pytest.mark.parametrize(
    "changes",
    [
        {"version": 2},
        {"version": None},
        {"buckets": None},
        {"buckets": [[1216, 1]]},
        {"buckets": [[1216, 1], [1280, 0]]},
        {"buckets": [[1216, 1], [1280, -1]]},
        {"buckets": [[1216, 1.5], [1280, 1]]},
        {"buckets": [[1216, 1], [1216, 1], [1280, 1]]},
        {"buckets": [[-1, 1], [1216, 1], [1280, 1]]},
        {"buckets": [[1216, 1], [1280, 1], [99_999, 1]]},
        {"minimum": None},
        {"minimum": 0.9},
        {"maximum": math.inf},
        {"maximum": math.nan},
        {"total": math.nan},
        {"total": "much"},
        {"squares": -1.0},
    ],
)
def test_from_dict_refuses_what_no_histogram_writes(changes: dict[str, Any]) -> None:
    assert Histogram.from_dict(GOOD).to_dict() == GOOD
    with pytest.raises(ValueError):
        Histogram.from_dict(GOOD | changes)


@pytest.mark.parametrize("name", GOOD)
def test_from_dict_refuses_what_lacks_a_part(name: str) -> None:
    with pytest.raises(ValueError):
        Histogram.from_dict({key: value for key, value in GOOD.items() if key != name})


# ---------------------------------------------------------------------- the summary


def test_summary_has_all_figures() -> None:
    summary = recorded(step / 1000 for step in range(1, 1001)).summary(failed=250)
    near = partial(pytest.approx, rel=ERROR)
    assert (summary.count, summary.success_rate) == (1250, 0.8)
    assert (summary.minimum, summary.maximum) == (0.001, 1.0)
    assert summary.mean == pytest.approx(0.5005)
    assert summary.deviation == pytest.approx(statistics.pstdev(range(1, 1001)) / 1000)
    found = [summary.p50, summary.p90, summary.p95, summary.p99, summary.p999]
    assert found == [near(exact) for exact in (0.5, 0.9, 0.95, 0.99, 0.999)]


def test_summary_of_nothing_is_empty_and_of_failures_alone_a_rate_of_zero() -> None:
    assert Histogram().summary() == Summary()
    assert Histogram().summary(failed=3) == Summary(count=3, success_rate=0.0)
    assert str(Summary()).split() == ["0", *"-" * 10]


def test_summary_prints_as_a_line_below_its_heading() -> None:
    summary = recorded([0.0005, 0.0123, 2.5]).summary(failed=1)
    heading, line = Summary.heading(), str(summary)
    assert len(heading) == len(line) == 79
    assert heading.split() == ["count", "mean", "min", "max", "std", "p50", "p90", "p95", "p99", "p99.9", "ok"]
    assert line.split() == ["4", "838ms", "500µs", "2.50s", "1.18s", "12.3ms", *["2.50s"] * 4, "75%"]


def test_summary_as_a_dict_is_json() -> None:
    summary = recorded([0.5]).summary()
    assert Summary(**json.loads(json.dumps(summary.to_dict()))) == summary


@pytest.mark.parametrize(
    ("seconds", "shown"),
    [
        (None, "-"),
        (0.0, "0.00µs"),
        (5e-7, "0.50µs"),
        (1e-6, "1.00µs"),
        (0.000_999_4, "999µs"),
        (0.000_999_6, "1.00ms"),
        (0.0123, "12.3ms"),
        (0.9996, "1.00s"),
        (61.0, "61.0s"),
        (999.4, "999s"),
        (86_400.0, "86400s"),
    ],
)
def test_shown_time_has_three_digits_and_a_unit(seconds: float | None, shown: str) -> None:
    assert shown_time(seconds) == shown
    assert len(shown) <= 6


def test_a_copy_counts_the_same_and_goes_its_own_way_from_there() -> None:
    """`Session.stats` copies one for each of up to a thousand origins: it is no merge, and shares nothing."""
    histogram = Histogram()
    for time in (0.001, 0.002, 0.5):
        histogram.record(time)
    histogram._add(_bucket(0.002), 1 << 33)  # counters that were full
    copied = histogram.copy()
    assert copied.to_dict() == histogram.to_dict()
    histogram.record(0.001)
    histogram.record(3.0)
    histogram._add(_bucket(0.002), 1 << 33)
    assert (copied.count, copied.maximum) == (3 + (1 << 33), 0.5)
    assert copied.total == pytest.approx(0.503)
    copied.record(0.1)
    assert histogram.count == 5 + (1 << 34)


def test_a_merge_carries_what_fills_a_counter() -> None:
    one, other = Histogram(), Histogram()
    for histogram in (one, other):
        histogram.record(0.002)
        histogram._add(_bucket(0.002), (1 << 32) - 2)  # one below full
    one.merge(other)
    assert one.count == 2 * ((1 << 32) - 1)
