"""Say which rows of the hazard catalogue have a test: `make hazards`.

A test belongs to a row if its name contains the row's id in lower case with underscores (`test_pool_03_...`). The rows
are those of tests/hazards.txt. Where the catalogue itself lies beside the project, rows that the list lacks are added.
"""

from __future__ import annotations

import ast
import re
import sys
from collections.abc import Iterable, Mapping
from pathlib import Path

TESTS = Path(__file__).parent
LIST = TESTS / "hazards.txt"
CATALOGUE = TESTS.parent.parent / "shared" / "HAZARDS.md"

REQUIRED = frozenset(("H2-28", "POOL-01", "POOL-02", "POOL-03", "POOL-04", "POOL-06", "REQ-01", "REQ-03", "REQ-04"))

_LISTED = re.compile(r"^([A-Z0-9]+-\d\d) ([^|\n]+?)(?: \| .+)?$", re.MULTILINE)
_LEFT_OUT = re.compile(r"^([A-Z0-9]+-\d\d) [^|\n]+ \| (.+)$", re.MULTILINE)
_TABLE_ROW = re.compile(r"^\| ([A-Z0-9]+-\d\d) \| ([^|]+) \|", re.MULTILINE)
_IN_PROSE = re.compile(r"(?:^|· )([A-Z]+-\d\d) ([^·\n]+)", re.MULTILINE)
_IN_NAME = re.compile(r"(?<![a-z0-9])([a-z][a-z0-9]*_\d\d)(?![a-z0-9])")

OUT_OF_SCOPE: dict[str, str] = dict(_LEFT_OUT.findall(LIST.read_text()))
"""Why a row of the list has no test and needs none."""


def read_rows(listed: str, catalogue: str = "") -> dict[str, str]:
    """Return the title of each row by its id, the listed ones first."""
    rows = dict(_LISTED.findall(listed))
    for pattern in (_TABLE_ROW, _IN_PROSE):
        for row, fault in pattern.findall(catalogue):
            rows.setdefault(row, fault.replace("*", "").strip()[:50])
    return rows


def ids_in(name: str) -> list[str]:
    """Return the ids that the name of a test contains: test_req_03_host_is_ours -> REQ-03."""
    return [found.upper().replace("_", "-") for found in _IN_NAME.findall(name)]


def names_of_tests(source: str) -> list[str]:
    """Return the names of the test functions and methods of a module."""
    nodes = ast.walk(ast.parse(source))
    names = (node.name for node in nodes if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef))
    return [name for name in names if name.startswith("test_")]


def group_by_row(sources: Iterable[str]) -> dict[str, list[str]]:
    """Return the names of the tests in some modules by the id of the row that they belong to."""
    tests: dict[str, list[str]] = {}
    for source in sources:
        for name in names_of_tests(source):
            for row in ids_in(name):
                tests.setdefault(row, []).append(name)
    return tests


def report(rows: Mapping[str, str], tests: Mapping[str, list[str]]) -> str:
    """Draw the table: id, title, how many tests and the first of them; below it what is out of scope, and why."""
    titles = max(map(len, rows.values()))
    lines: list[str] = []
    for row, title in rows.items():
        if row in OUT_OF_SCOPE:
            continue
        names = tests.get(row, [])
        found = f"{len(names):3}  {names[0]}" if names else "  -  no test" + (", required" if row in REQUIRED else "")
        lines.append(f"{row:<9}  {title:<{titles}}  {found}")
    in_scope = [row for row in rows if row not in OUT_OF_SCOPE]
    covered = sum(1 for row in in_scope if row in tests)
    lines += ["", f"{covered} of {len(in_scope)} rows have a test. Out of scope:"]
    lines += [f"{row:<9}  {rows[row]:<{titles}}  {reason}" for row, reason in OUT_OF_SCOPE.items()]
    return "\n".join(lines)


def project_rows() -> dict[str, str]:
    return read_rows(LIST.read_text(), CATALOGUE.read_text() if CATALOGUE.exists() else "")


def project_tests() -> dict[str, list[str]]:
    return group_by_row(path.read_text() for path in sorted(TESTS.rglob("test_*.py")))


def main() -> int:
    tests = project_tests()
    print(report(project_rows(), tests))
    missing = sorted(REQUIRED - tests.keys())
    if missing:
        print(f"\nRequired, and without a test: {', '.join(missing)}", file=sys.stderr)
    return 1 if missing else 0


if __name__ == "__main__":
    sys.exit(main())
