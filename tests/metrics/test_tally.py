"""The tally: each origin's counts, totals that stay true, and a bound on how many origins there are."""

from __future__ import annotations

import json
from collections import Counter
from http import HTTPStatus
from typing import Any

import anyio
import pytest
from hypothesis import given
from hypothesis import strategies as st

from netio import errors
from netio.tally import OTHERS, Counts, Tally
from netio.url import Origin


def origin(number: int) -> Origin:
    return Origin("https", f"host{number}.example", 443)


class Gone(BaseException):
    """Ends a task from outside, as the cancellations of asyncio and trio do."""


def test_counts_of_an_origin_add_up() -> None:
    tally = Tally()
    for outcome in (200, 204, 301, 404, 503, HTTPStatus.CREATED, 42, 600, -1):
        tally.record(origin(1), 0.25, outcome)
    for error in (errors.ReadTimeout(), errors.ReadTimeout(), errors.ConnectError(), Gone()):
        tally.record(origin(1), 5.0, error)
    (row,) = tally.rows().values()
    assert (row.requests, row.succeeded, row.failed, row.cancelled) == (13, 9, 3, 1)
    assert row.failures == {"ReadTimeout": 2, "ConnectError": 1}
    assert row.statuses == [3, 0, 3, 1, 1, 1]
    assert (row.latency.count, row.latency.minimum, row.latency.maximum) == (9, 0.25, 0.25)
    summary = row.summary()
    assert (summary.count, summary.success_rate, summary.maximum) == (12, 0.75, 0.25)


def test_row_that_record_returns_takes_the_other_counters() -> None:
    tally = Tally()
    row = tally.record(origin(1), 0.1, 200)
    row.bytes_received += 1_000
    row.bytes_sent += 50
    row.reused += 1
    tally.row(origin(1)).retries += 2
    tally.row(origin(2)).opened += 1
    total = tally.in_all()
    assert (total.bytes_received, total.bytes_sent, total.retries, total.opened) == (1_000, 50, 2, 1)
    assert (row.reuse_ratio, total.reuse_ratio, Counts().reuse_ratio) == (1.0, 0.5, None)


@pytest.mark.anyio
async def test_cancellation_of_the_event_loop_is_no_failure() -> None:
    tally = Tally()
    tally.record(origin(1), 0.1, anyio.get_cancelled_exc_class().__new__(anyio.get_cancelled_exc_class()))
    total = tally.in_all()
    assert (total.requests, total.failed, total.cancelled, total.summary().count) == (1, 0, 1, 0)


def test_kinds_of_failures_are_bounded_and_none_is_lost() -> None:
    tally = Tally()
    for number in range(100):
        for _ in range(2):
            tally.record(origin(1), 0.1, type(f"Error{number}", (Exception,), {})())
    (row,) = tally.rows().values()
    assert len(row.failures) == 65
    assert (row.failures["Error0"], row.failures[OTHERS], row.failed) == (2, 72, 200)
    merged = Counts()
    merged.failures = {f"Mine{number}": 1 for number in range(64)}
    merged.merge(row)
    assert (len(merged.failures), merged.failures[OTHERS], merged.failed) == (65, 200, 264)


def test_every_error_of_netio_has_a_kind_of_its_own() -> None:
    tally = Tally()
    kinds = [name for name in errors.__all__ if isinstance(getattr(errors, name), type)]
    for name in kinds:
        kind = getattr(errors, name)
        tally.record(origin(1), 0.1, kind.__new__(kind))
    assert tally.in_all().failures == dict.fromkeys(kinds, 1)


# ---------------------------------------------------------------------- the bound


def test_a_thousand_origins_have_a_row_and_one_more_makes_room() -> None:
    tally = Tally()
    for number in range(1_000):
        tally.record(origin(number), 0.1, 200)
    assert (len(tally.rows()), tally.merged) == (1_000, 0)
    tally.record(origin(1_000), 0.1, 200)
    rows = tally.rows()
    assert (len(rows), tally.merged, OTHERS in rows) == (1_001, 1, True)
    assert str(origin(0)) not in rows
    assert (rows[OTHERS].requests, tally.in_all().requests) == (1, 1_001)


def test_who_was_used_of_late_is_spared() -> None:
    tally = Tally(origins=3)
    for number in (1, 2, 3, 1):
        tally.record(origin(number), 0.1, 200)
    for number in (4, 5):
        tally.row(origin(number)).retries += 1
    assert tally.rows().keys() == {str(origin(1)), str(origin(4)), str(origin(5)), OTHERS}


def test_busy_origin_survives_a_crawl_of_many() -> None:
    tally = Tally(origins=10)
    for number in range(1_000):
        tally.record(origin(-1), 0.1, 200)
        tally.record(origin(number), 0.1, 200)
    assert tally.rows()[str(origin(-1))].requests == 1_000


outcomes = st.one_of(st.integers(100, 599), st.sampled_from([errors.ReadTimeout(), ValueError(), Gone()]))


@given(st.lists(st.tuples(st.integers(0, 9), st.floats(0, 100), outcomes)), st.integers(1, 5))
def test_totals_stay_true_whatever_was_merged(history: list[tuple[int, float, Any]], origins: int) -> None:
    tally = Tally(origins=origins)
    for number, seconds, outcome in history:
        row = tally.record(origin(number), seconds, outcome)
        row.bytes_sent += number
        row.opened += 1
    total = tally.in_all()
    classes = Counter(outcome // 100 for _, _, outcome in history if isinstance(outcome, int))
    kinds = Counter(type(outcome).__name__ for _, _, outcome in history if isinstance(outcome, Exception))
    assert len(tally.rows()) <= origins + 1
    assert (total.requests, total.opened) == (len(history), len(history))
    assert (total.statuses, total.failures) == ([classes[digit] for digit in range(6)], dict(kinds))
    assert total.cancelled == sum(isinstance(outcome, Gone) for _, _, outcome in history)
    assert total.bytes_sent == sum(number for number, _, _ in history)
    assert total.latency.count == total.succeeded == classes.total()
    assert sum(row.requests for row in tally.rows().values()) == len(history)


@pytest.mark.parametrize("origins", [0, -1])
def test_tally_without_room_is_refused(origins: int) -> None:
    with pytest.raises(ValueError, match="room for one origin or more"):
        Tally(origins=origins)
    assert Tally(origins=1).in_all().requests == 0


# ---------------------------------------------------------------------- shown


def test_tally_prints_as_a_table_with_the_busiest_first() -> None:
    tally = Tally(origins=2)
    tally.record(origin(3), 0.5, 200)
    tally.record(origin(1), 0.0123, 200)
    tally.record(origin(2), 0.25, 200)
    tally.record(origin(2), 0.25, errors.ReadTimeout())
    assert [line.split() for line in str(tally).splitlines()] == [
        ["requests", "failed", "mean", "p50", "p99", "max", "origin"],
        ["2", "1", *["250ms"] * 4, "https://host2.example"],
        ["1", "0", *["12.3ms"] * 4, "https://host1.example"],
        ["1", "0", *["500ms"] * 4, OTHERS],
        ["4", "1", "254ms", "252ms", "500ms", "500ms", "in", "all"],
    ]


def test_tally_as_a_dict_is_json() -> None:
    tally = Tally()
    tally.record(origin(1), 0.25, 200).reused += 1
    tally.record(origin(1), 0.25, errors.ReadTimeout())
    written = json.loads(json.dumps(tally.to_dict(), allow_nan=False))
    assert written["in_all"] == written["origins"]["https://host1.example"]
    latency = written["in_all"].pop("latency")
    assert (latency["count"], latency["p99"], latency["success_rate"]) == (2, 0.25, 0.5)
    assert written["in_all"] == {
        "requests": 2,
        "succeeded": 1,
        "failed": 1,
        "cancelled": 0,
        "failures": {"ReadTimeout": 1},
        "statuses": {"2xx": 1},
        "bytes_sent": 0,
        "bytes_received": 0,
        "retries": 0,
        "opened": 0,
        "reused": 1,
    }
