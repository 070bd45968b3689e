"""Limits refuse nonsense."""

from __future__ import annotations

from typing import Any

import pytest

from netio.pool import Limits


@pytest.mark.parametrize(
    "limits",
    [
        {"connections": 0},
        {"connections": -1},
        {"connections": None},
        {"connections": 1.0},
        {"connections": True},
        {"connections": "10"},
        {"connections_per_origin": 0},
        {"connections_per_origin": False},
        {"idle": -1},
        {"idle": None},
        {"idle": 0.5},
        {"queued": 0},
        {"queued": None},
        {"idle_seconds": 0},
        {"idle_seconds": None},
        {"idle_seconds": float("nan")},
        {"idle_seconds": "60"},
        {"idle_seconds": True},
        {"connection_age": 0},
        {"connection_age": -1},
        {"connection_age": float("nan")},
    ],
)
def test_limits_refuse_nonsense(limits: dict[str, Any]) -> None:
    (name,) = limits
    with pytest.raises(ValueError, match=f"Limits.{name} must be"):
        Limits(**limits)


def test_limits_allow_what_makes_sense() -> None:
    limits = Limits(connections=1, connections_per_origin=1, idle=0, queued=1, idle_seconds=0.1, connection_age=None)
    assert limits == Limits(
        connections=1, connections_per_origin=1, idle=0, queued=1, idle_seconds=0.1, connection_age=None
    )
    assert Limits(connections_per_origin=None, idle_seconds=float("inf")).connections == 100
