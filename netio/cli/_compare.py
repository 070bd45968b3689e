"""`netio compare`: several URLs asked in turn, and where the time of each goes.

In each round every URL is asked twice, on a new connection and on the kept one, so what disturbs the network for a
while disturbs all of them. Medians are shown: one slow answer says nothing about a server.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import partial
from statistics import median
from typing import Any

import anyio

from netio.cli._arguments import CompareOptions, Wire
from netio.cli._call import make_session, timeout_options
from netio.cli._exits import FAILED, OK
from netio.cli._screen import print_lines
from netio.cli._words import shortened, shown_url
from netio.errors import NetioError
from netio.histogram import shown_time
from netio.timings import Timings


@dataclass
class Site:
    """One URL, and what came of asking it; `first` are on new connections, `kept` on kept ones."""

    url: str
    shown: str
    """The URL without secrets."""
    protocol: str = "-"
    first: list[Timings] = field(default_factory=list[Timings])
    kept: list[Timings] = field(default_factory=list[Timings])
    failures: list[str] = field(default_factory=list[str])

    def typical(self, phase: str) -> float | None:
        """Return what a phase of the first request takes in the median, None if it never took place."""
        found = [getattr(timings, phase) for timings in self.first]
        return (median(found) or None) if found else None

    @property
    def typical_kept(self) -> float | None:
        return median(timings.total for timings in self.kept) if self.kept else None


def compare(options: CompareOptions) -> int:
    """Ask, print what was found, and return the exit code: 1 if a request had no answer."""
    sites = [Site(url, shown_url(url)) for url in options.urls]
    anyio.run(partial(_ask_all, options, sites))
    print_lines([json.dumps(as_dict(sites), indent=2)] if options.json else lines(sites))
    return FAILED if any(site.failures for site in sites) else OK


async def _ask_all(options: CompareOptions, sites: Sequence[Site]) -> None:
    is_watched = sys.stderr.isatty()
    try:
        for number in range(options.requests):
            if is_watched:
                print(f"\r\x1b[Kround {number + 1} of {options.requests}", end="", file=sys.stderr, flush=True)
            for site in sites:
                await _ask(options.wire, site)
    finally:
        if is_watched:
            print("\r\x1b[K", end="", file=sys.stderr, flush=True)


async def _ask(wire: Wire, site: Site) -> None:
    async with make_session(wire) as session:
        try:
            for timings in (site.first, site.kept):
                response = await session.get(site.url, **timeout_options(wire))
                timings.append(response.timings)
                site.protocol = f"{response.http_version} {response.status_code}"
        except NetioError as error:
            site.failures.append(str(error))


_COLUMNS = ("resolve", "connect", "tls", "wait", "body", "total")


def lines(sites: Sequence[Site]) -> list[str]:
    """Show the medians, in lines of at most 80 characters, and say what they mean."""
    heading = "".join(f"{name:>8}" for name in (*_COLUMNS, "kept"))
    shown = [f"{'':>3}{'protocol':<14}{heading}   ({len(sites[0].first)}x)"]
    for number, site in enumerate(sites, 1):
        times = [*(site.typical(phase) for phase in _COLUMNS), site.typical_kept]
        shown.append(f"{number:>2} {site.protocol:<14}" + "".join(f"{shown_time(time):>8}" for time in times))
    shown.append("")
    shown += [shortened(f"{number:>2} {site.shown}") for number, site in enumerate(sites, 1)]
    shown += ["", "resolve to total: a request on a new connection; kept: the next one on the same."]
    shown += _verdict(sites)
    shown += [
        shortened(f"{len(site.failures)} requests to {number} failed, the first: {site.failures[0]}")
        for number, site in enumerate(sites, 1)
        if site.failures
    ]
    return shown


def _verdict(sites: Sequence[Site]) -> list[str]:
    said: list[str] = []
    for what, times in (
        ("On a new connection", [site.typical("total") for site in sites]),
        ("On a kept one", [site.typical_kept for site in sites]),
    ):
        known = sorted((time, number) for number, time in enumerate(times, 1) if time)
        if len(known) > 1:
            (best, first), (second_best, second) = known[:2]
            said.append(f"{what} {first} answers soonest; {second} takes {second_best / best:.2f} times as long.")
    return said


def as_dict(sites: Sequence[Site]) -> list[dict[str, Any]]:
    """Return the medians in seconds, for JSON."""
    return [
        {
            "url": site.shown,
            "protocol": site.protocol,
            "first": {phase: site.typical(phase) for phase in _COLUMNS},
            "kept": site.typical_kept,
            "failures": site.failures,
        }
        for site in sites
    ]
