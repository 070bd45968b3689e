"""`netio bench` and `netio compare` against the embedded origin."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from netio.cli import main
from netio.cli._compare import Site, lines
from netio.cli._origin import Origin
from netio.metrics import LatencyProfile
from netio.timings import Timings
from tests.cli.conftest import Scripting, on_a_terminal

Capture = pytest.CaptureFixture[str]


def bench(capfd: Capture, *words: str) -> dict[str, Any]:
    """Run a benchmark that succeeds; return what it prints as JSON."""
    assert main(["bench", "--json", *words]) == 0
    found: dict[str, Any] = json.loads(capfd.readouterr().out)
    return found


@pytest.mark.parametrize("loop", ["asyncio", "uvloop", "trio"])
@pytest.mark.parametrize(("option", "version", "connections"), [("--http1", "HTTP/1.1", 4), ("--http2", "HTTP/2", 1)])
def test_the_closed_loop_on_each_event_loop_and_protocol(
    origin: Origin, capfd: Capture, loop: str, option: str, version: str, connections: int
) -> None:
    found = bench(
        capfd, f"{origin.https}/", "-n", "40", "-c", "4", "--loop", loop, option, "--cacert", origin.authority_file
    )
    assert found["statuses"] == {"200": 40}
    assert found["versions"] == {version: 40}
    assert found["connections"] == connections
    assert found["body_bytes"] == 8_000
    assert LatencyProfile.from_dict(found["profile"]).succeeded == found["summary"]["count"] == 40


def test_a_fixed_rate_is_kept(origin: Origin, capfd: Capture) -> None:
    found = bench(capfd, f"{origin.http}/", "-d", "0.5s", "-r", "100", "-c", "10")
    assert found["statuses"] == {"200": 50}
    assert found["seconds"] >= 0.49


def test_the_table_fits_80_columns_and_has_everything(origin: Origin, capfd: Capture) -> None:
    assert main(["bench", "POST", f"{origin.http}/upload", "a=1", "-n", "20", "-c", "2"]) == 0
    shown = capfd.readouterr().out.splitlines()
    assert max(map(len, shown)) <= 80
    assert shown[0] == f"POST {origin.http}/upload"
    assert any(line.startswith("20 requests in ") and line.endswith(" on 2 connections") for line in shown)
    assert "status: 20 x 200" in shown


def test_requests_without_an_answer_are_counted_and_make_the_code_1(origin: Origin, capfd: Capture) -> None:
    url = f"{origin.http}/slow?seconds=5"
    assert main(["bench", url, "-n", "2", "-c", "2", "--timeout", "0.05"]) == 1
    assert "failed: 2 x TotalTimeout" in capfd.readouterr().out


def test_a_server_that_is_not_there_is_code_3(capfd: Capture) -> None:
    assert main(["bench", "http://127.0.0.1:1/", "-n", "2"]) == 3
    assert "cannot connect" in capfd.readouterr().err


def test_a_server_that_stalls_ends_the_run_within_the_time_limit(scripted: Scripting, capfd: Capture) -> None:
    url = scripted(b"", is_silent_then=True).url
    assert main(["bench", url, "-d", "0.1", "-r", "100", "-c", "1", "--timeout", "0.2", "--json"]) == 1
    found = json.loads(capfd.readouterr().out)
    assert (found["failures"], found["summary"]["success_rate"]) == ({"TotalTimeout": 1}, 0.0)
    assert found["unsent"] == 9


def test_the_json_has_always_the_same_names(origin: Origin, capfd: Capture) -> None:
    names = {"method", "url", "versions", "concurrency", "rate_asked", "rate", "seconds", "connections", "body_bytes"}
    names |= {"statuses", "failures", "unsent", "behind", "summary", "profile"}
    assert bench(capfd, f"{origin.http}/", "-n", "2").keys() == names
    assert bench(capfd, f"{origin.http}/", "-n", "2", "-r", "100").keys() == names


@pytest.mark.parametrize("words", [["bench", "-n", "1"], ["bench", "-n", "1", "--json"], ["compare", "-n", "1"]])
def test_log_01_credentials_in_a_url_are_not_shown(origin: Origin, capfd: Capture, words: list[str]) -> None:
    url = origin.http.replace("http://", "http://ann:hunter2@")
    assert main([*words, f"{url}/"]) == 0
    shown = capfd.readouterr()
    assert f"{origin.http}/" in shown.out
    assert "hunter2" not in shown.out + shown.err


def test_a_url_that_is_none_is_code_2_in_compare_too(capfd: Capture) -> None:
    assert main(["compare", "http://ann:hunter2@h:99999/"]) == 2
    assert "hunter2" not in capfd.readouterr().err


def test_http2_with_more_at_a_time_than_the_server_allows_streams(origin: Origin, capfd: Capture) -> None:
    words = ["-n", "300", "-c", "250", "--http2", "--cacert", origin.authority_file]
    found = bench(capfd, f"{origin.https}/", *words)
    assert (found["statuses"], found["versions"]) == ({"200": 300}, {"HTTP/2": 300})


def test_a_plot_that_cannot_be_written_is_code_6(origin: Origin, capfd: Capture, tmp_path: Path) -> None:
    assert main(["bench", f"{origin.http}/", "-n", "2", "--plot", str(tmp_path / "none" / "a.svg")]) == 6
    assert capfd.readouterr().err.endswith("a.svg cannot be written: No such file or directory\n")


def test_the_plot_is_a_picture(origin: Origin, capfd: Capture, tmp_path: Path) -> None:
    picture = tmp_path / "latency.png"
    assert main(["bench", f"{origin.http}/", "-n", "30", "-c", "3", "--plot", str(picture)]) == 0
    assert picture.read_bytes().startswith(b"\x89PNG")
    assert f"latencies drawn into {picture}" in capfd.readouterr().err


def test_compare_shows_where_the_time_of_each_goes(origin: Origin, capfd: Capture) -> None:
    words = ["compare", f"{origin.https}/", f"{origin.http}/", "-n", "2", "--cacert", origin.authority_file]
    assert main(words) == 0
    shown = capfd.readouterr().out.splitlines()
    assert max(map(len, shown)) <= 80
    assert shown[1].split()[:3] == ["1", "HTTP/2", "200"]
    assert shown[2].split()[:3] == ["2", "HTTP/1.1", "200"]
    assert shown[2].split()[5] == "-"  # no TLS


def test_compare_as_json(origin: Origin, capfd: Capture) -> None:
    assert main(["compare", f"{origin.http}/", "--json", "-n", "1"]) == 0
    (site,) = json.loads(capfd.readouterr().out)
    assert site["first"]["total"] > 0
    assert site["failures"] == []


def test_compare_says_who_answers_soonest_and_who_not_at_all() -> None:
    quick = Site("http://a/", "http://a/", "HTTP/1.1 200", [Timings(total=0.1)], [Timings(total=0.02)])
    slow = Site("http://b/", "http://b/", "HTTP/1.1 200", [Timings(total=0.15)], [Timings(total=0.05)])
    none = Site("http://c/", "http://c/", failures=["\x1b[2Jno"])
    shown = lines([slow, quick, none])
    assert "On a new connection 2 answers soonest; 1 takes 1.50 times as long." in shown
    assert "On a kept one 2 answers soonest; 1 takes 2.50 times as long." in shown
    assert shown[-1] == "1 requests to 3 failed, the first: \\x1b[2Jno"


def test_on_a_terminal_a_url_is_no_markup(origin: Origin) -> None:
    """rich takes [/red] for the end of a colour that has not begun."""
    code, seen = on_a_terminal("bench", f"{origin.http}/bytes/1?[/red]", "-d", "1.2", "-c", "1")
    assert code == 0
    assert b"Traceback" not in seen
