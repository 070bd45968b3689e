"""What a benchmark says: tables for people, the same records as JSON for bench/report.py, and the common options."""

from __future__ import annotations

import argparse
import json
import statistics
import sys
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

import _machine

Record = dict[str, Any]


@dataclass(frozen=True)
class Column:
    """One column: the key of the record, the heading, and how a number is formatted."""

    key: str
    heading: str
    format: str = ""

    def text(self, record: Record) -> str:
        value = record.get(self.key)
        if value is None:
            return "-"
        return format(value, self.format) if isinstance(value, int | float) else str(value)


@dataclass
class Table:
    """Records under a title; what does not fit into a record is a note below it."""

    title: str
    columns: Sequence[Column]
    records: list[Record]
    notes: list[str] = field(default_factory=list)

    def lines(self) -> list[list[str]]:
        """Return the headings and the rows, as text."""
        return [[column.heading for column in self.columns], *([c.text(r) for c in self.columns] for r in self.records)]

    def show(self) -> None:
        lines = self.lines()
        widths = [max(len(line[i]) for line in lines) for i in range(len(self.columns))]
        print(f"\n{self.title}")
        for line in lines:
            first, *rest = zip(line, widths, strict=True)
            print("  ".join([first[0].ljust(first[1]), *(cell.rjust(width) for cell, width in rest)]).rstrip())
        for note in self.notes:
            print(f"  {note}")
        sys.stdout.flush()


def parser(document: str | None, *, rounds: int | None = None) -> argparse.ArgumentParser:
    """Return a parser with the options that all benchmarks share."""
    made = argparse.ArgumentParser(description=document, formatter_class=argparse.RawDescriptionHelpFormatter)
    made.add_argument("--json", metavar="FILE", help="write the figures and what is known of the machine")
    made.add_argument(
        "--quick", action="store_true", help="a run of seconds, to see that it works; no figures to quote"
    )
    if rounds is not None:
        made.add_argument("--rounds", type=int, help=f"interleaved rounds (default {rounds})")
        made.set_defaults(default_rounds=rounds)
    return made


def rounds_of(arguments: argparse.Namespace) -> int:
    """Return how many rounds there are: as asked for, else one of a quick run, else the default."""
    return int(arguments.rounds or (1 if arguments.quick else arguments.default_rounds))


def names(text: str) -> list[str]:
    """Read an option that takes several names with commas between them."""
    return [name.strip() for name in text.split(",") if name.strip()]


def numbers(text: str) -> list[int]:
    """Read an option that takes several numbers with commas between them."""
    return [int(name) for name in names(text)]


def begin() -> None:
    """Say what would make the figures worthless."""
    if (warning := _machine.warning()) is not None:
        print(f"note: {warning}")


def finish(program: str, arguments: argparse.Namespace, tables: Sequence[Table]) -> None:
    """Write the tables as JSON if that was asked for."""
    if not arguments.json:
        return
    options = {name: value for name, value in vars(arguments).items() if name not in ("json", "default_rounds")}
    content = {
        "program": program,
        "options": options,
        "machine": _machine.facts(),
        "tables": [asdict(table) for table in tables],
    }
    with open(arguments.json, "w", encoding="utf-8") as file:
        json.dump(content, file, indent=1)
        file.write("\n")


def minimum_and_median(values: Sequence[float]) -> tuple[float, float]:
    return min(values), statistics.median(values)


def ratio_in_rounds(ours: Sequence[float], theirs: Sequence[float]) -> tuple[float, float, float]:
    """Return the lowest, median and highest ratio of two things that were measured in the same rounds."""
    ratios = [mine / other for mine, other in zip(ours, theirs, strict=True)]
    return min(ratios), statistics.median(ratios), max(ratios)
