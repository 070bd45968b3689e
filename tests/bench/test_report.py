"""bench/report.py puts the figures into the page, and only such as belong together."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.bench.programs import BENCH, environment

PAGE = "# Before\n\n<!-- figures: written by bench/report.py -->\nold\n<!-- end of figures -->\n\nAfter.\n"
MACHINE = {
    "python": "3.11.7",
    "implementation": "CPython",
    "system": "Linux 6",
    "machine": "x86_64",
    "processor": "a processor",
    "cores": 2,
    "pinned": True,
    "openssl": "OpenSSL 3",
    "libraries": {"trio": "0.32"},
}


def written(folder: Path, name: str, **changes: Any) -> Path:
    columns = [
        {"key": "client", "heading": "client", "format": ""},
        {"key": "min", "heading": "min", "format": ".1f"},
        {"key": "ratio", "heading": "ratio", "format": ".2f"},
        {"key": "state", "heading": "state", "format": ""},
    ]
    records = [{"client": "netio", "min": 12.345, "state": "measured"}]
    table = {"title": f"A table of {name}", "columns": columns, "records": records, "notes": []}
    report = {"program": name, "options": {"quick": False}, "machine": MACHINE, "tables": [table]}
    file = folder / f"{name}.json"
    file.write_text(json.dumps({**report, **changes}))
    return file


def report(page: Path, *files: Path) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, str(BENCH / "report.py"), *map(str, files), "--page", str(page)]
    return subprocess.run(command, env=environment(), capture_output=True, text=True, timeout=30)


@pytest.fixture
def page(tmp_path: Path) -> Path:
    file = tmp_path / "page.md"
    file.write_text(PAGE)
    return file


def test_the_figures_replace_what_was_between_the_marks(tmp_path: Path, page: Path) -> None:
    ended = report(page, written(tmp_path, "live"), written(tmp_path, "inmemory"))
    assert ended.returncode == 0, ended.stderr
    text = page.read_text()
    assert text.startswith("# Before\n")
    assert text.endswith("<!-- end of figures -->\n\nAfter.\n")
    assert "old" not in text
    assert text.index("### bench/inmemory.py") < text.index("### bench/live.py")
    assert "CPython 3.11.7" in text
    assert "trio 0.32" in text


def test_columns_that_say_nothing_are_left_out(tmp_path: Path, page: Path) -> None:
    report(page, written(tmp_path, "live"))
    assert "| client | min |\n|---|---:|\n| netio | 12.3 |\n" in page.read_text()


def test_a_second_report_gives_the_same_page(tmp_path: Path, page: Path) -> None:
    file = written(tmp_path, "live")
    report(page, file)
    once = page.read_text()
    report(page, file)
    assert page.read_text() == once


def test_figures_of_a_quick_run_are_refused(tmp_path: Path, page: Path) -> None:
    ended = report(page, written(tmp_path, "live", options={"quick": True}))
    assert ended.returncode != 0
    assert "not to be quoted" in ended.stderr
    assert page.read_text() == PAGE


def test_figures_of_two_machines_are_refused(tmp_path: Path, page: Path) -> None:
    other = written(tmp_path, "batch", machine={**MACHINE, "cores": 64})
    ended = report(page, written(tmp_path, "live"), other)
    assert ended.returncode != 0
    assert "different machines" in ended.stderr
    assert page.read_text() == PAGE


def test_a_page_without_marks_is_left_alone(tmp_path: Path, page: Path) -> None:
    page.write_text("# Nothing here\n")
    ended = report(page, written(tmp_path, "live"))
    assert ended.returncode != 0
    assert page.read_text() == "# Nothing here\n"
