"""Draw the diagrams of docs/http2.md from the tables in netio/protocol/_states.py: `python -m tests.http2.diagrams`.

Each stands in the page after a comment with its name. tests/http2/test_states.py compares them.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from netio.protocol._states import CONNECTION_ROWS, EXCHANGE_ROWS, Row

PAGE = Path(__file__).parents[2] / "docs" / "http2.md"
TABLES: dict[str, tuple[Row, ...]] = {"connection": CONNECTION_ROWS, "exchange": EXCHANGE_ROWS}


def draw(rows: Iterable[Row]) -> str:
    """Return each state, and below it what leads where."""
    ordered = list(rows)
    width = max(len(row.event) for row in ordered)
    lines: list[str] = []
    for before in dict.fromkeys(row.before for row in ordered):
        out = [row for row in ordered if row.before == before]
        lines.append(before)
        lines += [f"    ├── {row.event} ".ljust(width + 9, "─") + f"─▶ {row.after}" for row in out]
        lines[-1] = lines[-1].replace("├", "└")
    return "\n".join(lines)


def drawn_into(page: str) -> str:
    """Return the page with its diagrams as they should be."""
    for name, rows in TABLES.items():
        begin = f"<!-- drawn: {name} -->\n```text\n"
        before, found, after = page.partition(begin)
        assert found, f"the page has no place for the diagram of the {name}"
        page = before + begin + draw(rows) + "\n" + after[after.index("```") :]
    return page


if __name__ == "__main__":
    PAGE.write_text(drawn_into(PAGE.read_text()))
