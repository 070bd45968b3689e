from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from netio.cli import main
from tests.cli.conftest import SECONDS, command, environment, read_to_the_end, run_netio
from tests.conftest import chosen_loops

_ROW = re.compile(r"(.+?)\s{2,}(\d+)\s+(\d+)/(\d+)\s+(\d+)\s+[\d,]+\s+[\d.]+\s+[\d.]+\s*")


@pytest.mark.parametrize("loop", chosen_loops(os.environ.get("NETIO_TEST_LOOPS", "")))
def test_the_demo_prints_five_rows_of_successes_and_a_tour(loop: str, tmp_path: Path) -> None:
    picture = tmp_path / "latency.png"
    done = run_netio("demo", "--requests", "100", "--loop", loop, "--plot", str(picture))
    assert (done.returncode, done.stderr) == (0, b"")
    *lines, drawn = done.stdout.decode().splitlines()
    assert drawn == f"The latencies with hedging are drawn in {picture}"
    assert [line for line in lines if len(line) > 80 or "\x1b" in line] == []
    rows = [found.groups() for line in lines if (found := _ROW.fullmatch(line))]
    assert [row[:4] for row in rows] == [
        ("HTTP/1.1, no pool, 1 task", "15", "15", "0"),
        ("HTTP/1.1, pool, 1 task", "100", "100", "0"),
        ("HTTP/1.1, pool, 50 tasks", "100", "100", "0"),
        ("HTTP/2, pool, 50 tasks", "100", "100", "0"),
        ("HTTP/2, Retry, 50 tasks", "25", "25", "0"),
    ]
    connections = [int(row[4]) for row in rows]
    assert [connections[0], connections[1], connections[3], connections[4]] == [15, 1, 1, 1]
    assert 2 <= connections[2] <= 50
    said = " ".join(" ".join(lines).split())
    assert "cost 35 attempts for 25 requests, 25 of which" in said
    assert "was asked once for 200 requests on 20 connections" in said
    circuit = [line.split()[5] for line in lines if " s  server " in line]
    assert (circuit[0], circuit[2], circuit[-1]) == ("closed", "open", "closed")
    assert re.search(r"the 99th percentile went from \S+ to \S+, for \d+\.\d% more requests", said)
    assert "400 answered, 0 failed" in said
    assert picture.read_bytes().startswith(b"\x89PNG")


@pytest.mark.parametrize("loop", chosen_loops(os.environ.get("NETIO_TEST_LOOPS", "")))
def test_ctrl_c_leaves_nothing_running(loop: str) -> None:
    screen, terminal = os.openpty()
    try:
        with subprocess.Popen(
            command("demo", "--requests", "1000000", "--loop", loop),
            env=environment(),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=terminal,
        ) as process:
            os.close(terminal)
            said = os.read(screen, 1)
            process.send_signal(signal.SIGINT)
            # The origin has the same stderr, so this ends when both have ended.
            said += read_to_the_end(screen)
            assert said.decode().splitlines() == ["measuring: HTTP/1.1, no pool, 1 task ..."]
            assert process.stdout is not None
            assert process.stdout.read() == b""
            assert process.wait(SECONDS) == 130
    finally:
        os.close(screen)


@pytest.mark.parametrize(
    ("package", "arguments", "extra"),
    [
        ("rich", [], "demo"),
        ("hypercorn", [], "demo"),
        ("uvloop", ["--loop", "uvloop"], "fast"),
        ("trio", ["--loop", "trio"], "trio"),
    ],
)
def test_a_missing_package_is_named_with_its_extra(
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    package: str,
    arguments: list[str],
    extra: str,
) -> None:
    monkeypatch.setitem(sys.modules, package, None)
    assert main(["demo", "--requests", "1", *arguments]) == 2
    captured = capsys.readouterr()
    assert (captured.out, captured.err) == (
        "",
        f"netio: {package} is not installed: pip install 'netio-http[{extra}]'\n",
    )
