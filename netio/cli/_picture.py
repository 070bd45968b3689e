"""Latencies as a picture."""

from __future__ import annotations

from netio.cli._exits import NotWritten
from netio.metrics import LatencyProfile


def draw(profile: LatencyProfile, path: str) -> None:
    """Draw a profile into a file. Raises `NotWritten`."""
    from netio.adapters import plot_profile

    try:
        plot_profile(profile, path)
    except OSError as error:
        raise NotWritten(f"{path} cannot be written: {error.strerror}") from error
