"""Where the time of a request went: one line a phase, each bar where its phase lies in the whole."""

from __future__ import annotations

from netio.cli._words import bar
from netio.histogram import shown_time
from netio.timings import Timings

_MEANINGS = {
    "before": "redirects, policies",
    "queue": "for a connection",
    "resolve": "name to addresses",
    "connect": "TCP",
    "proxy": "tunnel",
    "tls": "handshake",
    "send": "request out",
    "wait": "until the head",
    "body": "rest of the answer",
}
_BAR = 40


def waterfall(timings: Timings) -> list[str]:
    """Draw the phases that took place, in lines of at most 80 characters."""
    total = timings.total or 1e-9
    lines: list[str] = []
    begun = 0.0
    for name, seconds in timings.phases.items():
        indent = round(begun / total * _BAR)
        drawn = bar(seconds / total, _BAR) or "▏"
        lines.append(
            f"{name:<8}{(' ' * indent + drawn)[: _BAR + 1]:<{_BAR + 1}} {shown_time(seconds):>7}  {_MEANINGS[name]}"
        )
        begun += seconds
    return [*lines, f"{'total':<8}{'':<{_BAR + 1}} {shown_time(total):>7}"]
