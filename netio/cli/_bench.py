"""`netio bench`: load on one URL, watched while it runs, and told at the end as a table, as JSON, as a plot."""

from __future__ import annotations

import gc
import json
import sys
from collections.abc import Mapping
from functools import partial
from importlib.util import find_spec
from typing import Any

import anyio

from netio.cli._arguments import BenchOptions
from netio.cli._call import make_session, request_options
from netio.cli._exits import FAILED, OK, require
from netio.cli._load import Load, LoadTest, Result
from netio.cli._loops import run_on
from netio.cli._picture import draw
from netio.cli._screen import print_lines
from netio.cli._words import bars, shortened, shown_url, size
from netio.client import Session
from netio.histogram import Summary, shown_time
from netio.pool import Limits
from netio.shown import escaped_line

_REFRESH = 0.5  # seconds


def bench(options: BenchOptions) -> int:
    """Run the load, print what came of it, and return the exit code: 1 if a request had no answer."""
    if options.plot is not None:
        require("matplotlib", "plot")
    arguments = request_options(options.message, options.wire)  # before the loop: a pipe can take long
    result, connections = run_on(options.loop, partial(_bench, options, arguments))
    if options.json:
        print_lines([json.dumps(_as_dict(options, result, connections), indent=2)])
    else:
        print_lines(lines(options, result, connections))
    if options.plot is not None:
        draw(result.profile, options.plot)
        print(f"latencies drawn into {escaped_line(options.plot)}", file=sys.stderr)
    return FAILED if result.profile.failed or not result.ended else OK


async def _bench(options: BenchOptions, arguments: dict[str, Any]) -> tuple[Result, int]:
    message, wire = options.message, options.wire
    limits = Limits(connections=options.concurrency, idle=options.concurrency, queued=max(10_000, options.concurrency))
    async with make_session(wire, message, limits=limits) as session:
        await _connect(session, options)
        send = partial(session.request, message.method, message.url, **arguments)
        load = Load(
            concurrency=options.concurrency, requests=options.requests, seconds=options.seconds, rate=options.rate
        )
        test = LoadTest(send, load)
        gc.collect()
        gc.freeze()  # what the command itself is made of needs no look in the middle of a measurement
        try:
            async with anyio.create_task_group() as group:
                group.start_soon(_watch, options, test)
                await test.run()
                group.cancel_scope.cancel()
        finally:
            gc.unfreeze()
        return test.result, session.stats().created


async def _connect(session: Session, options: BenchOptions) -> None:
    """Open the connections beforehand: what a handshake costs is another question, which `netio compare` answers."""
    await session.connect(options.message.url, min(options.concurrency, options.requests or options.concurrency))


async def _watch(options: BenchOptions, test: LoadTest) -> None:
    """Show how it stands twice a second to a person who watches."""
    if not sys.stderr.isatty() or find_spec("rich") is None:
        return
    from rich.console import Console
    from rich.live import Live
    from rich.text import Text

    with Live(console=Console(stderr=True, highlight=False), auto_refresh=False, transient=True) as live:
        while True:
            await anyio.sleep(_REFRESH)
            test.result.seconds = test.elapsed
            # As text: a URL may have what rich takes for markup.
            live.update(Text("\n".join(lines(options, test.result, None))), refresh=True)


def lines(options: BenchOptions, result: Result, connections: int | None) -> list[str]:
    """Say what has come of it until now, in lines of at most 80 characters."""
    message, profile = options.message, result.profile
    versions = ", ".join(sorted(result.versions)) or "no answer yet"
    pace = "as fast as answered" if options.rate is None else f"{options.rate:,g} a second asked for"
    on = "" if connections is None else f" on {connections:,} connection{'' if connections == 1 else 's'}"
    shown = [
        shortened(f"{message.method} {shown_url(message.url)}"),
        f"{versions}, {options.concurrency:,} at a time, {pace}",
        "",
        f"{result.ended:,} requests in {result.seconds:.2f} s{on}",
        f"{result.rate:,.1f} answers a second, {size(result.body_bytes)} of bodies",
        "",
        Summary.heading(),
        str(profile.summary()),
        "",
        *bars(profile.latency),
    ]
    if result.statuses:
        shown.append(f"status: {_counted(result.statuses)}")
    if profile.failed:
        shown.append(f"failed: {_counted(profile.failures)}")
    if result.unsent:
        shown.append(f"never sent, as too many waited or the time was over: {result.unsent:,}")
    if options.rate is not None:
        shown.append(f"no request was begun more than {shown_time(result.behind)} after it was due")
    return shown


def _counted(counts: Mapping[Any, int]) -> str:
    return ", ".join(f"{number:,} x {kind}" for kind, number in sorted(counts.items()))


def _as_dict(options: BenchOptions, result: Result, connections: int) -> dict[str, Any]:
    profile = result.profile
    return {
        "method": options.message.method,
        "url": shown_url(options.message.url),
        "versions": dict(result.versions),
        "concurrency": options.concurrency,
        "rate_asked": options.rate,
        "rate": result.rate,
        "seconds": result.seconds,
        "connections": connections,
        "body_bytes": result.body_bytes,
        "statuses": {str(code): number for code, number in sorted(result.statuses.items())},
        "failures": dict(sorted(profile.failures.items())),
        "unsent": result.unsent,
        "behind": result.behind,
        "summary": profile.summary().to_dict(),
        "profile": profile.to_dict(),
    }
