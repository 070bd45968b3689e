from __future__ import annotations

from typing import Any

from netio.cli._waterfall import waterfall
from netio.timings import Timings


def test_each_phase_has_a_bar_where_it_lies_in_the_whole() -> None:
    shown = waterfall(Timings(connect=0.25, tls=0.25, wait=0.5, total=1.0))
    assert shown == [
        f"{'connect':<8}{'█' * 10:<41}   250ms  TCP",
        f"{'tls':<8}{' ' * 10 + '█' * 10:<41}   250ms  handshake",
        f"{'wait':<8}{' ' * 20 + '█' * 20:<41}   500ms  until the head",
        f"{'total':<8}{'':<41}   1.00s",
    ]


def test_every_line_fits_80_columns() -> None:
    phases: dict[str, Any] = dict.fromkeys(
        ("before", "queue", "resolve", "connect", "proxy", "tls", "send", "wait", "body"), 0.1
    )
    shown = waterfall(Timings(**phases, total=0.9))
    assert len(shown) == 10
    assert max(map(len, shown)) <= 80


def test_a_response_that_took_no_time_has_a_total_alone() -> None:
    assert [line.split() for line in waterfall(Timings())] == [["total", "0.00µs"]]
