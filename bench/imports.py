"""What does `import netio` cost? Fresh interpreters in turn: an empty one, and ones that import something.

    python bench/imports.py [--rounds 20]

Milliseconds until the interpreter has ended. The budget (DESIGN section 9) is 60 ms above the empty interpreter.
"""

from __future__ import annotations

import importlib.util
import os
import subprocess
import sys
import time
from pathlib import Path

import _machine
import _output
from _output import Column, Record, Table

CASES = {
    "an empty interpreter": "",
    "anyio": "anyio",
    "h11 and h2": "h11, h2.connection",
    "netio": "netio",
    "aiohttp": "aiohttp",
    "httpx2": "httpx2",
    "pyreqwest": "pyreqwest.client",
}
EMPTY = "an empty interpreter"


def measure(modules: str, environment: dict[str, str]) -> float:
    """Return how many milliseconds an interpreter takes to import something and to end."""
    start = time.perf_counter()
    subprocess.run([sys.executable, "-c", f"import {modules}" if modules else "pass"], check=True, env=environment)
    return (time.perf_counter() - start) * 1e3


def is_here(modules: str) -> bool:
    return not modules or importlib.util.find_spec(modules.split(",")[0].split(".")[0]) is not None


def main() -> None:
    parser = _output.parser(__doc__, rounds=20)
    arguments = parser.parse_args()
    root = str(Path(__file__).parent.parent)
    paths = [*filter(None, [os.environ.get("PYTHONPATH")]), root]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(paths)}
    sys.path.append(root)
    _machine.pin(_machine.core_of("client"))
    cases = {name: modules for name, modules in CASES.items() if is_here(modules)}
    for modules in cases.values():
        measure(modules, environment)  # compiles what is not compiled yet
    seen: dict[str, list[float]] = {name: [] for name in cases}
    for _ in range(_output.rounds_of(arguments)):
        for name, modules in cases.items():
            seen[name].append(measure(modules, environment))
    records: list[Record] = []
    for name, times in seen.items():
        low, median = _output.minimum_and_median(times)
        records.append({"case": name, "min": low, "median": median, "above": low - min(seen[EMPTY])})
    records += [{"case": name, "state": "absent"} for name in CASES if name not in cases]
    columns = [
        Column("case", "import"),
        Column("min", "min", ".1f"),
        Column("median", "median", ".1f"),
        Column("above", "above empty", ".1f"),
    ]
    table = Table("A fresh interpreter: ms", columns, records)
    table.show()
    _output.finish("imports", arguments, [table])


if __name__ == "__main__":
    main()
