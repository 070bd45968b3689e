"""The benchmarks that need nginx, and that nothing is left of it."""

from __future__ import annotations

import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.bench.programs import BENCH, check_costs, environment, run

pytestmark = pytest.mark.live


def test_live_measures_every_protocol(tmp_path: Path) -> None:
    done = run("live", "--concurrency", "4", "--client", "raw,netio", folder=tmp_path)
    check_costs(done.records())
    assert len(done.tables) == 4
    for table in done.tables:
        rows = [(record["client"], record["loop"]) for record in table["records"]]
        assert rows == [(client, loop) for client in ("raw", "netio") for loop in ("asyncio", "uvloop", "trio")]
        for record in table["records"]:
            assert record["rate"] > 0
            assert ("ratio_uvloop" in record) is ((record["client"], record["loop"]) != ("netio", "uvloop"))


def test_fairness_counts_every_request_of_every_worker(tmp_path: Path) -> None:
    arguments = ("--workers", "20", "--connections", "4", "--requests", "200", "--client", "netio")
    for record in run("fairness", *arguments, folder=tmp_path).records():
        assert record["state"] == "measured", record
        assert record["requests"] == 200
        assert record["fewest"] <= record["mean"] == 10 <= record["most"]
        assert record["median"] <= record["worst"]


def test_origins_compares_many_with_one(tmp_path: Path) -> None:
    done = run("origins", "--origins", "12", "--concurrency", "4", "--client", "netio:asyncio", folder=tmp_path)
    (record,) = done.records()
    assert record["state"] == "measured", record
    assert record["ratio"] == pytest.approx(record["many"] / record["one"])


def test_bodies_of_every_kind_arrive_over_every_protocol(tmp_path: Path) -> None:
    done = run("bodies", "--size", "8", "--client", "netio:asyncio", folder=tmp_path)
    check_costs(done.records())
    assert len(done.tables) == 16
    assert all(record["rate"] > 0 for record in done.records())


def test_a_file_is_sent_and_saved_in_less_memory_than_it_has(tmp_path: Path) -> None:
    done = run("files", "--size", "48", folder=tmp_path)
    assert len(done.tables) == 6
    for record in done.records():
        assert record["state"] == "measured", record
        assert record["memory"] < 32


def test_a_slow_link_carries_no_more_than_its_bandwidth(tmp_path: Path) -> None:
    arguments = ("--protocol", "h1", "--kind", "streamed", "--size", "1", "--delay", "20", "--bandwidth", "10")
    (record,) = run("bodies", *arguments, "--client", "netio:asyncio", folder=tmp_path).records()
    assert 0 < record["share"] <= 1


@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGTERM])
def test_no_process_is_left_when_a_benchmark_is_stopped(tmp_path: Path, how: signal.Signals) -> None:
    bench = subprocess.Popen(
        [sys.executable, str(BENCH / "live.py"), "--quick", "--rounds", "1000", "--client", "netio:asyncio"],
        env=environment(TMPDIR=str(tmp_path)),
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    try:
        _until(lambda: len(_mentioning(str(tmp_path))) >= 2)  # nginx, and the client, which is told whom to trust
        bench.send_signal(how)
        bench.wait(20)
    finally:
        bench.kill()
        bench.wait()
    _until(lambda: _mentioning(str(tmp_path)) == [])
    assert list(tmp_path.iterdir()) == []


def _mentioning(text: str) -> list[str]:
    """Return the command lines of all processes that mention a text."""
    found = []
    for file in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            command = file.read_bytes().replace(b"\0", b" ").decode(errors="replace")
        except OSError:  # it has ended meanwhile
            continue
        if text in command:
            found.append(command)
    return found


def _until(condition: object) -> None:
    assert callable(condition)
    limit = time.monotonic() + 20
    while not condition():
        assert time.monotonic() < limit, "it has not come true"
        time.sleep(0.01)
