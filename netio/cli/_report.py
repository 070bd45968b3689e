"""The demo's table, and what it shows in words."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from textwrap import fill

from netio.cli._measure import Measurement
from netio.cli._tour import Tour
from netio.shown import escaped_line

_WIDTH = 80


def print_report(measurements: Sequence[Measurement]) -> None:
    """Print the table and the explanation, in at most 80 columns and in colour only on a terminal."""
    from rich import box
    from rich.console import Console
    from rich.table import Table

    console = Console(file=sys.stdout, highlight=False)
    console.width = min(_WIDTH, console.width) if console.is_terminal else _WIDTH
    table = Table(box=box.SIMPLE_HEAD, show_edge=False, pad_edge=False, collapse_padding=True, header_style="bold")
    table.add_column("over TLS, on loopback")  # the one column that may be wrapped
    for heading in ("requests", "ok/failed", "conns", "req/s", "p50 ms", "p99 ms"):
        table.add_column(heading, justify="right", no_wrap=True)
    for measurement in measurements:
        table.add_row(*_cells(measurement))
    console.print(table)
    console.print()
    for line in explanation(measurements):
        console.print(line, markup=False)


def _cells(measurement: Measurement) -> tuple[str, ...]:
    return (
        measurement.name,
        f"{measurement.requests:,}",
        f"{len(measurement.latencies):,}/{len(measurement.failures):,}",
        f"{measurement.connections:,}",
        f"{measurement.rate:,.0f}",
        f"{measurement.milliseconds(0.50):.1f}",
        f"{measurement.milliseconds(0.99):.1f}",
    )


def print_tour(tour: Tour) -> None:
    """Print the chapters, in at most 80 columns, and the statistics of the last session."""
    for title, paragraphs in tour.chapters:
        print(f"\n{title}")
        for paragraph in paragraphs:
            # Lines of a time line are indented, and short enough.
            print(paragraph if paragraph.startswith(" ") else fill(paragraph, _WIDTH))
    print("\nThe last session in figures: print(session.stats())")
    print(tour.stats)


def explanation(measurements: Sequence[Measurement]) -> list[str]:
    """Say what the five rows show, from their numbers alone."""
    anew, pooled, http1, http2, flaky = measurements
    lines: list[str] = []
    if anew.rate:
        lines.append(
            f"The pool: {pooled.rate / anew.rate:.1f} times as many requests a second on {_connections(pooled)} "
            f"as with a new connection for each."
        )
    lines.append(
        f"Multiplexing: many requests at a time took {_connections(http1)} over HTTP/1.1 "
        f"and {_connections(http2)} over HTTP/2."
    )
    lines.append(
        f"Retry: the flaky route cost {flaky.attempts:,} attempts for {flaky.requests:,} requests, "
        f"{len(flaky.latencies):,} of which succeeded."
    )
    lines.append("Client and server share this machine: compare the rows with one another only.")
    lines.extend(
        f"Failed in {measurement.name!r}: {len(measurement.failures):,}, the first one with: "
        f"{escaped_line(measurement.failures[0])}"
        for measurement in measurements
        if measurement.failures
    )
    return lines


def _connections(measurement: Measurement) -> str:
    return f"{measurement.connections:,} connection{'' if measurement.connections == 1 else 's'}"
