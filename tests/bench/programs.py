"""Running a benchmark the way its user does, and reading what it wrote."""

from __future__ import annotations

import importlib.util
import json
import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

PROJECT = Path(__file__).parent.parent.parent
BENCH = PROJECT / "bench"
OTHER_LOOP = "trio" if importlib.util.find_spec("trio") else "uvloop"  # tox runs the tests without trio too


@dataclass(frozen=True)
class Run:
    """What a benchmark printed, and the content of its --json file."""

    printed: str
    content: dict[str, Any]

    @property
    def tables(self) -> list[dict[str, Any]]:
        tables: list[dict[str, Any]] = self.content["tables"]
        return tables

    def records(self) -> list[dict[str, Any]]:
        return [record for table in self.tables for record in table["records"]]


def environment(**more: str) -> dict[str, str]:
    paths = [more.pop("before", ""), str(PROJECT), os.environ.get("PYTHONPATH", "")]
    return {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, paths)), **more}


def run(name: str, *arguments: str, folder: Path, before: str = "") -> Run:
    """Run a benchmark with --quick; `before` is a folder in which Python looks for modules first."""
    file = folder / f"{name}.json"
    ended = subprocess.run(
        [sys.executable, str(BENCH / f"{name}.py"), "--quick", "--json", str(file), *arguments],
        env=environment(before=before),
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=50,
    )
    assert ended.returncode == 0, ended.stdout + ended.stderr
    return Run(ended.stdout, json.loads(file.read_text()))


def check_costs(records: list[dict[str, Any]]) -> None:
    """Check that every row was measured, with figures that can be."""
    assert records
    for record in records:
        assert record.get("state", "measured") == "measured", record
        assert 0 < record["min"] <= record["median"], record
