"""What does `import netio` cost? Fresh interpreters in turn: an empty one, and one that imports netio.

    python bench/imports.py [--rounds 20] [--json FILE]

The budget (DESIGN section 9) is 60 ms above the empty interpreter.
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
import time

CASES = {"empty": "pass", "anyio": "import anyio", "h11 and h2": "import h11, h2.connection", "netio": "import netio"}


def measure(code: str) -> float:
    """Return how many milliseconds an interpreter takes to run a line of code."""
    start = time.perf_counter()
    subprocess.run([sys.executable, "-c", code], check=True)
    return (time.perf_counter() - start) * 1e3


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=20)
    parser.add_argument("--json", metavar="FILE")
    arguments = parser.parse_args()
    for code in CASES.values():
        measure(code)  # compiles what is not compiled yet
    seen: dict[str, list[float]] = {name: [] for name in CASES}
    for _ in range(arguments.rounds):
        for name, code in CASES.items():
            seen[name].append(measure(code))
    figures = {name: {"min": min(times), "median": statistics.median(times)} for name, times in seen.items()}
    empty = figures["empty"]["min"]
    print(f"{'milliseconds':14}{'min':>8}{'median':>8}{'above empty':>13}")
    for name, figure in figures.items():
        print(f"{name:14}{figure['min']:8.1f}{figure['median']:8.1f}{figure['min'] - empty:13.1f}")
    if arguments.json:
        with open(arguments.json, "w", encoding="utf-8") as file:
            json.dump(figures, file, indent=1)


if __name__ == "__main__":
    main()
