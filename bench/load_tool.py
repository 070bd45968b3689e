"""Does `netio bench` measure what h2load measures? Both ask nginx at the same fixed rates, in turn.

    python bench/load_tool.py [--rounds 5] [--seconds 4] [--rates 200,1000] [--loops asyncio,uvloop]

h2load (nghttp2-client) counts from when it sends, netio from when a request was due. One connection each: with more of
them h2load sends one request on all of them at the same moment, which is another load. The target (issue 8): rates
within 5 %, median and 99th percentile within 20 % or 0.2 ms. The clients share a core, nginx has the other one.
"""

from __future__ import annotations

import json
import re
import shutil
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

import _machine
import _output
import _servers
from _output import Column, Record, Table

COLUMNS = (
    Column("tool", "tool"),
    Column("protocol", "protocol"),
    Column("asked", "asked/s", ",.0f"),
    Column("rate", "sent/s", ",.1f"),
    Column("p50", "p50 ms", ".3f"),
    Column("p99", "p99 ms", ".3f"),
    Column("p50_median", "median of p50", ".3f"),
    Column("p99_median", "of p99", ".3f"),
)
_FINISHED = re.compile(r"finished in [\d.]+\w+, ([\d.]+) req/s")


def by_h2load(url: str, protocol: str, rate: int, seconds: int) -> tuple[float, float, float]:
    """Return rate, median and 99th percentile, the latter two in milliseconds."""
    with tempfile.TemporaryDirectory(prefix="netio-bench-") as folder:
        log = Path(folder) / "log"
        limits = ["--h1"] if protocol == "h1" else ["-m", "50"]
        command = ["h2load", *limits, "-c", "1", "--rps", f"{rate}", "-D", str(seconds), f"--log-file={log}", url]
        said = subprocess.run(command, capture_output=True, text=True, check=True, timeout=seconds + 30).stdout
        micros = sorted(int(line.split("\t")[2]) for line in log.read_text().splitlines())
    found = _FINISHED.search(said)
    if found is None:
        raise RuntimeError(f"h2load did not finish: {said}")
    return float(found.group(1)), micros[len(micros) // 2] / 1e3, micros[len(micros) * 99 // 100] / 1e3


def by_netio(url: str, protocol: str, rate: int, seconds: int, loop: str) -> tuple[float, float, float]:
    """Return the same from `netio bench`."""
    limits = ["--http1", "-c", "1"] if protocol == "h1" else ["--http2", "-c", "50"]
    command = [sys.executable, "-m", "netio", "bench", url, "--json", "--loop", loop, *limits]
    command += ["-r", f"{rate}", "-d", str(seconds)]
    done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=seconds + 30)
    result = json.loads(done.stdout)
    return result["rate"], result["summary"]["p50"] * 1e3, result["summary"]["p99"] * 1e3


def main() -> None:
    parser = _output.parser(__doc__, rounds=5)
    parser.add_argument("--seconds", type=int, default=4)
    parser.add_argument("--rates", default="200,1000")
    parser.add_argument("--loops", default="asyncio,uvloop")
    arguments = parser.parse_args()
    rounds, seconds = _output.rounds_of(arguments), 2 if arguments.quick else arguments.seconds
    if shutil.which("h2load") is None:
        sys.exit("h2load is not installed (Debian: nghttp2-client)")
    _output.begin()
    _machine.pin(_machine.core_of("client"))
    tools = ["h2load", *(f"netio {loop}" for loop in _output.names(arguments.loops))]
    seen: dict[tuple[str, str, int], list[tuple[float, float, float]]] = {}
    try:
        with _servers.nginx() as site:
            for _ in range(rounds):
                for protocol in ("h1", "h2c"):
                    for rate in _output.numbers(arguments.rates):
                        for tool in tools:
                            case = (site.url(protocol), protocol, rate, seconds)
                            found = by_h2load(*case) if tool == "h2load" else by_netio(*case, tool.split()[1])
                            seen.setdefault((tool, protocol, rate), []).append(found)
    except _servers.ServerAbsent as error:
        sys.exit(str(error))
    table = Table("netio bench beside h2load", COLUMNS, [_record(entry) for entry in seen.items()])
    table.show()
    _output.finish("load_tool", arguments, [table])


def _record(entry: tuple[tuple[str, str, int], list[tuple[float, float, float]]]) -> Record:
    (tool, protocol, asked), rounds = entry
    rates, medians, tails = zip(*rounds, strict=True)
    return {
        "tool": tool,
        "protocol": _servers.PROTOCOLS[protocol],
        "asked": asked,
        "rate": statistics.median(rates),
        "p50": min(medians),
        "p99": min(tails),
        "p50_median": statistics.median(medians),
        "p99_median": statistics.median(tails),
    }


if __name__ == "__main__":
    main()
