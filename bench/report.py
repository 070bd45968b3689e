"""Put the figures of --json files into docs/performance.md, between its two marks.

    python bench/report.py build/bench/*.json [--page docs/performance.md]

Says of which machine and versions they are, and refuses to mix two of them, and figures of a quick run.
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path
from typing import Any

from _output import Column, Table

BEGIN = "<!-- figures: written by bench/report.py -->"
END = "<!-- end of figures -->"
PAGE = Path(__file__).parent.parent / "docs" / "performance.md"
ORDER = ("inmemory", "live", "batch", "fairness", "origins", "memory", "bodies", "connect", "cancel_storm", "imports")

Report = dict[str, Any]


def read(path: Path) -> Report:
    report: Report = json.loads(path.read_text(encoding="utf-8"))
    if report["options"].get("quick"):
        raise SystemExit(f"{path} is of a quick run, which is not to be quoted")
    return report


def as_table(content: dict[str, Any]) -> Table:
    columns = [Column(**column) for column in content["columns"]]
    return Table(content["title"], columns, content["records"], content["notes"])


def markdown(table: Table) -> list[str]:
    """Return a table of the page. Columns in which nobody has a value are left out."""
    headings, *rows = table.lines()
    used = [i for i in range(len(headings)) if any(row[i] != "-" for row in rows)]
    used = [i for i in used if headings[i] != "state" or any(row[i] != "measured" for row in rows)]
    text = [f"**{table.title}**", "", "| " + " | ".join(headings[i] for i in used) + " |"]
    text.append("|" + "|".join("---" if position == 0 else "---:" for position in range(len(used))) + "|")
    text += ["| " + " | ".join(row[i] for i in used) + " |" for row in rows]
    if table.notes:
        text += ["", *(f"* {note}" for note in table.notes)]
    return [*text, ""]


def machine(facts: dict[str, Any]) -> str:
    pinned = "client and server pinned to one each" if facts["pinned"] else "nothing pinned"
    libraries = ", ".join(f"{name} {version}" for name, version in facts["libraries"].items())
    return (
        f"{facts['implementation']} {facts['python']}, {facts['openssl']}, {facts['system']} on {facts['machine']}, "
        f"{facts['cores']} cores of {facts['processor']}, {pinned}; {libraries}."
    )


def section(reports: list[Report]) -> str:
    """Return what stands between the marks."""
    machines = {machine(report["machine"]) for report in reports}
    if len(machines) != 1:
        raise SystemExit("the figures are of different machines or versions:\n" + "\n".join(sorted(machines)))
    lines = [machines.pop(), ""]
    for program in ORDER:
        tables = [table for report in reports if report["program"] == program for table in report["tables"]]
        if tables:
            lines += [f"### bench/{program}.py", ""]
        for table in tables:
            lines += markdown(as_table(table))
    return "\n".join(lines).rstrip() + "\n"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("files", nargs="+", type=Path)
    parser.add_argument("--page", type=Path, default=PAGE)
    arguments = parser.parse_args()
    page = arguments.page.read_text(encoding="utf-8")
    before, begin, rest = page.partition(BEGIN)
    _, end, after = rest.partition(END)
    if not begin or not end:
        sys.exit(f"{arguments.page} lacks the marks {BEGIN} and {END}")
    text = section([read(path) for path in arguments.files])
    arguments.page.write_text(f"{before}{BEGIN}\n\n{text}\n{END}{after}", encoding="utf-8")


if __name__ == "__main__":
    main()
