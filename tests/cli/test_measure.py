from __future__ import annotations

import math

import pytest

from netio.cli._measure import Measurement
from netio.cli._report import explanation, print_report


def row(
    name: str, *, requests: int = 100, connections: int = 1, seconds: float = 1.0, attempts: int = 0
) -> Measurement:
    latencies = [number / 1000 for number in range(1, requests + 1)]
    return Measurement(
        name, latencies=latencies, connections=connections, seconds=seconds, attempts=attempts or requests
    )


def five_rows() -> list[Measurement]:
    return [
        row("anew", connections=100, seconds=5.0),
        row("pooled"),
        row("HTTP/1.1", connections=50),
        row("HTTP/2"),
        row("flaky", attempts=140),
    ]


@pytest.mark.parametrize(("share", "milliseconds"), [(0.5, 50.0), (0.99, 99.0), (1.0, 100.0), (0.0, 1.0)])
def test_a_percentile_is_a_measured_latency(share: float, milliseconds: float) -> None:
    assert row("any").milliseconds(share) == pytest.approx(milliseconds)


def test_without_a_success_there_is_no_percentile() -> None:
    assert math.isnan(Measurement("none", failures=["refused"]).milliseconds(0.5))


def test_the_rate_counts_failures_too() -> None:
    measurement = row("half", requests=50, seconds=2.0)
    measurement.failures = ["refused"] * 50
    assert measurement.requests == 100
    assert measurement.rate == pytest.approx(50.0)


def test_the_explanation_is_made_of_the_numbers() -> None:
    assert explanation(five_rows()) == [
        "The pool: 5.0 times as many requests a second on 1 connection as with a new connection for each.",
        "Multiplexing: many requests at a time took 50 connections over HTTP/1.1 and 1 connection over HTTP/2.",
        "Retry: the flaky route cost 140 attempts for 100 requests, 100 of which succeeded.",
        "Client and server share this machine: compare the rows with one another only.",
    ]


def test_a_failure_is_told_with_its_first_message() -> None:
    rows = five_rows()
    rows[2].failures = ["connection \x1b lost", "another"]
    assert explanation(rows)[-1] == "Failed in 'HTTP/1.1': 2, the first one with: connection \\x1b lost"


def test_the_table_fits_80_columns_of_plain_text(capsys: pytest.CaptureFixture[str]) -> None:
    rows = five_rows()
    rows[1].name = "HTTP/1.1, no pool, 1 task"
    rows[1].latencies *= 12_345
    rows[1].failures = ["[bold]refused[/bold]"]
    print_report(rows)
    lines = capsys.readouterr().out.splitlines()
    assert [line for line in lines if len(line) > 80 or "\x1b" in line] == []
    assert any(line.split()[-6:-4] == ["1,234,501", "1,234,500/1"] for line in lines)
    assert "[bold]refused[/bold]" in "\n".join(lines)
