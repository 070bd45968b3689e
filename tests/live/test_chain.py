"""A chain of real services, of which the middle one stops and goes on: what bench/chain.py saw, by its invariants."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.bench.programs import run

pytestmark = [pytest.mark.live, pytest.mark.timeout(90)]

DEADLINE_MS = 2_000.0
LATE_MS = 1_500.0
"""A slow machine notices a deadline late; without one a request would wait for as long as the service stands still."""


def test_rt_02_chain_survives_a_service_that_stops(tmp_path: Path) -> None:
    content = run("chain", folder=tmp_path).content
    seconds, steps = (table["records"] for table in content["tables"])
    assert [step["B is"] for step in steps] == ["usual", "stopped", "continued", "all"]
    usual, stopped, continued, whole = steps
    assert whole["longest"] <= DEADLINE_MS + LATE_MS
    assert usual["ok"] > usual["requests"] / 2  # the last ones of it meet the stop
    assert stopped["refused"] > 0  # what a circuit keeps away costs nobody any time
    assert "open" in {second["caller"] for second in seconds} | {second["A"] for second in seconds}
    assert continued["ok"] > 0
    assert (seconds[-1]["caller"], seconds[-1]["A"]) == ("closed", "closed")
    assert seconds[-1]["ok"] > seconds[-1]["requests"] / 2
