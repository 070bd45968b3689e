"""The benchmarks that need no server of others: they run, and say what they should. Never how fast."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from tests.bench.programs import OTHER_LOOP, check_costs, run
from tests.conftest import chosen_loops


def test_inmemory_measures_every_case(tmp_path: Path) -> None:
    done = run("inmemory", folder=tmp_path)
    check_costs(done.records())
    cases = [record["case"] for record in done.records()]
    for start in ("the harness", "GET, no policies", "GET, Retry", "... chunked", "... every URL new", "HTTP/2 GET"):
        assert [case for case in cases if case.startswith(start)], start
    costs = {record["case"]: record["min"] for record in done.records()}
    assert costs["the harness itself"] < costs["GET, no policies"]


def test_inmemory_measures_every_policy_and_says_what_is_not_there(tmp_path: Path) -> None:
    done = run("inmemory", "--policies", folder=tmp_path)
    check_costs(done.records())
    bare, *policies = done.records()
    assert bare["case"] == "GET, no policies"
    assert {"Retry", "Hedge", "SingleFlight", "standard()"} <= {record["case"] for record in policies}
    (table,) = done.tables
    shown = {record["case"] for record in policies} | set(" ".join(table["notes"]).replace(",", " ").split())
    assert {"tenacity", "stamina", "pybreaker", "aiobreaker", "purgatory"} <= shown
    for record in policies:
        assert record["on top"] == pytest.approx(record["min"] - bare["min"])


def test_policies_keep_what_the_defaults_were_chosen_for(tmp_path: Path) -> None:
    outcomes = {record["name"]: record for record in run("policies", folder=tmp_path).records()}
    no_retries, alone, standard = (outcomes[name] for name in ("no policy", "retry alone", "standard()"))
    assert alone["recovery"] >= 2 * no_retries["recovery"] > 0
    assert standard["recovery"] <= 1.2 * no_retries["recovery"]
    assert standard["succeeded"] > no_retries["succeeded"]
    hedged, unhedged = outcomes["hedge at p95"], outcomes["no hedge"]
    assert hedged["p999"] <= unhedged["p999"] / 2
    assert hedged["load"] <= 1.06


def test_batch_keeps_a_batch_in_flight_over_as_many_connections_as_the_version_needs(tmp_path: Path) -> None:
    done = run("batch", "-k", "1,4", "--client", f"netio:asyncio,raw:{OTHER_LOOP}", folder=tmp_path)
    check_costs(done.records())
    opened = [[record["connections"] for record in table["records"]] for table in done.tables]
    assert opened == [[1, 1], [4, 4], [1, 1], [1, 1]]


def test_the_ratio_of_a_row_is_that_of_its_rounds(tmp_path: Path) -> None:
    arguments = ("-k", "2", "--protocol", "h1", "--rounds", "3", "--client", "netio:asyncio,raw:asyncio")
    netio, raw = run("batch", *arguments, folder=tmp_path).records()
    ratios = sorted(ours / theirs for ours, theirs in zip(netio["rounds"], raw["rounds"], strict=True))
    assert len(ratios) == 3
    assert [raw["ratio_asyncio_min"], raw["ratio_asyncio"], raw["ratio_asyncio_max"]] == pytest.approx(ratios)
    assert "ratio_asyncio" not in netio


def test_memory_looks_while_all_are_in_flight_and_when_all_are_idle(tmp_path: Path) -> None:
    done = run("memory", "--connections", "30", "--client", "netio:asyncio", folder=tmp_path)
    assert [table["title"].split(",")[0] for table in done.tables] == ["HTTP/1.1", "HTTP/1.1 over TLS"]
    for record in done.records():
        assert record["state"] == "measured", record
        assert record["kept"] == 30
        assert {"in_flight", "idle"} <= record.keys()


def test_dec_01_a_bomb_is_ended_by_the_limit_that_has_its_name_and_within_its_memory(tmp_path: Path) -> None:
    loops = chosen_loops(os.environ.get("NETIO_TEST_LOOPS", ""))
    done = run("bombs", "--bomb", "gzip,br,zstd,gzip-gzip", "--loop", ",".join(loops), folder=tmp_path)
    ends = {(record["loop"], record["bomb"], record["way"]): record["state"] for record in done.records()}
    for loop in loops:
        for bomb in ("gzip", "br", "zstd", "gzip-gzip"):
            assert ends[loop, bomb, "buffered"] == ends[loop, bomb, "streamed"] == "Decode.max_ratio"
            assert ends[loop, bomb, "buffered, max_body"] == ends[loop, bomb, "streamed, max_body"] == "max_body"
    for record in done.records():
        assert record["memory"] <= 16, record
        assert record["seen"] <= (256 if record["state"] == "its end" else 17), record


def test_a_storm_of_cancellations_is_accounted_for_to_the_last_stream(tmp_path: Path) -> None:
    done = run("cancel_storm", "--requests", "120", "--client", f"netio:asyncio,netio:{OTHER_LOOP}", folder=tmp_path)
    for record in done.records():
        assert record["state"] == "measured", record
        assert record["finished"] + record["cancelled"] + record["errors"] == 120
        assert record["errors"] == 0, record["kinds"]
        assert record["finished"] >= 60  # those that nobody cancels
        assert record["opened"] == record["ended"] + record["reset"]


def test_small_requests_are_timed_alone_and_beside_large_ones(tmp_path: Path) -> None:
    done = run("sharing", "--client", f"netio:asyncio,netio:{OTHER_LOOP}", folder=tmp_path)
    assert len(done.records()) == 2
    for record in done.records():
        assert record["state"] == "measured", record
        assert 0 < record["alone_median"] <= record["alone_99"]
        assert 0 < record["shared_median"] <= record["shared_99"]
        assert record["times"] == record["shared_99"] / record["alone_99"]
        assert record["rate"] > 0


def test_cold_requests_and_handshakes_are_measured(tmp_path: Path) -> None:
    done = run("connect", "--client", "netio:asyncio", "--requests", "5", "--rounds", "2", folder=tmp_path)
    *races, handshakes = done.tables
    assert len(races) == 4  # both protocols, CPU and wall
    check_costs([record for table in races for record in table["records"]])
    (record,) = handshakes["records"]
    assert record["state"] == "measured", record
    assert record["resumed"] > 0
    assert 0 < record["ratio_min"] <= record["ratio"] <= record["ratio_max"]


def test_imports_are_measured_beside_an_empty_interpreter(tmp_path: Path) -> None:
    records = run("imports", folder=tmp_path).records()
    check_costs([record for record in records if record.get("state") != "absent"])
    costs = {record["case"]: record.get("above") for record in records}
    assert costs["an empty interpreter"] == 0
    assert costs["netio"] is not None


def test_a_client_that_is_not_installed_is_in_the_table_as_absent(tmp_path: Path) -> None:
    (tmp_path / "aiohttp.py").write_text("raise ModuleNotFoundError('No module named aiohttp', name='aiohttp')\n")
    arguments = ("-k", "1", "--protocol", "h1", "--client", "aiohttp,netio:asyncio")
    done = run("batch", *arguments, folder=tmp_path, before=str(tmp_path))
    absent, netio = done.records()
    assert absent["state"] == "absent"
    assert netio["state"] == "measured"
    assert "aiohttp needs aiohttp, which is not installed" in done.printed


@pytest.mark.parametrize(
    ("answer", "reason"),
    [
        ("raise OSError('out of order')", "OSError: out of order"),
        ("return b'short'", "answers had another length"),
        ("import os; os.abort()", "ended with -6"),
    ],
    ids=["raises", "answers wrongly", "dies"],
)
def test_a_client_that_fails_is_in_the_table_with_the_reason(tmp_path: Path, answer: str, reason: str) -> None:
    (tmp_path / "aiohttp.py").write_text(FAKE_AIOHTTP.replace("ANSWER", answer))
    arguments = ("-k", "1", "--protocol", "h1", "--client", "aiohttp")
    (failed,) = run("batch", *arguments, folder=tmp_path, before=str(tmp_path)).records()
    assert failed["state"] == "FAILED"
    assert reason in failed["reason"]
    assert "min" not in failed


def test_a_client_that_speaks_another_version_than_asked_for_fails(tmp_path: Path) -> None:
    fake = FAKE_AIOHTTP.replace("ANSWER", "return b'x' * 200").replace("(1, 1)", "(2, 0)")
    (tmp_path / "aiohttp.py").write_text(fake)
    done = run("batch", "-k", "1", "--protocol", "h1", "--client", "aiohttp", folder=tmp_path, before=str(tmp_path))
    (failed,) = done.records()
    assert failed["state"] == "FAILED"
    assert "it spoke HTTP/2.0" in failed["reason"]


def test_what_a_client_cannot_do_is_said_below_the_table(tmp_path: Path) -> None:
    arguments = ("-k", "1", "--protocol", "h2c", "--client", "aiohttp,pyreqwest:trio,netio:asyncio")
    done = run("batch", *arguments, folder=tmp_path)
    assert [record["client"] for record in done.records()] == ["netio"]
    assert done.tables[0]["notes"] == ["aiohttp does not speak HTTP/2", "pyreqwest does not run on trio"]


def test_the_figures_say_what_they_were_measured_on(tmp_path: Path) -> None:
    content = run("inmemory", "--case", "harness", folder=tmp_path).content
    assert content["program"] == "inmemory"
    assert {"python", "cores", "pinned", "processor", "openssl", "libraries"} <= content["machine"].keys()
    assert "anyio" in content["machine"]["libraries"]


# Just enough for bench/_peer_aiohttp.py; no network.
FAKE_AIOHTTP = """
from types import SimpleNamespace

def TCPConnector(**options): ...
def ClientTimeout(**options): ...

class ClientSession:
    def __init__(self, **options): ...
    def get(self, url): return Response()
    async def close(self): ...

class Response:
    status = 200
    version = SimpleNamespace(major=(1, 1)[0], minor=(1, 1)[1])
    reads = 0
    async def __aenter__(self): return self
    async def __aexit__(self, *error): ...
    async def read(self):
        Response.reads += 1
        if Response.reads < 150:  # until it is warm
            return b"x" * 200
        ANSWER
"""
