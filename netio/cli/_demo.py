"""`netio demo`: the same requests sent in five ways to a server of its own, what each way costs, and a tour."""

from __future__ import annotations

import os
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass
from functools import partial
from importlib.util import find_spec
from typing import Any

from netio.cli._arguments import DemoOptions
from netio.cli._exits import FAILED, OK, require
from netio.cli._loops import run_on
from netio.cli._measure import Measurement
from netio.cli._origin import Origin, running_origin
from netio.cli._picture import draw
from netio.cli._report import print_report, print_tour
from netio.cli._tour import Tour, take_tour
from netio.client import Session
from netio.errors import NetioError
from netio.message import Request, Response, Send
from netio.policy import Retry, RetryBudget

_CONCURRENCY = 50


def demo(options: DemoOptions) -> int:
    """Run the five rows, print them, and return the exit code."""
    require("rich", "demo")
    if options.plot is not None:
        require("matplotlib", "plot")
    with running_origin() as origin:
        measurements = run_on(options.loop, partial(_measure_all, origin, options.requests))
        print_report(measurements)
        tour = run_on(options.loop, partial(take_tour, origin))
    print_tour(tour)
    _draw(tour, options.plot)
    return FAILED if any(measurement.failures for measurement in measurements) else OK


def _draw(tour: Tour, path: str | None) -> None:
    """Draw the latencies with hedging: into the file that was asked for, else into a temporary one, if it can be."""
    if path is None:
        if find_spec("matplotlib") is None:
            return
        # In a folder of its own: under a known name in /tmp somebody else might have put a link to a file of ours.
        path = os.path.join(tempfile.mkdtemp(prefix="netio-demo-"), "latencies.png")
    draw(tour.profile, path)
    print(f"The latencies with hedging are drawn in {path}")


@dataclass(frozen=True)
class _Row:
    name: str
    run: Callable[[Measurement], Awaitable[None]]


async def _measure_all(origin: Origin, requests: int) -> list[Measurement]:
    measurements: list[Measurement] = []
    for row in _rows(origin, requests):
        if sys.stderr.isatty():
            print(f"measuring: {row.name} ...", file=sys.stderr)
        measurement = Measurement(row.name)
        begun = time.perf_counter()
        await row.run(measurement)
        measurement.seconds = time.perf_counter() - begun
        measurements.append(measurement)
    return measurements


def _rows(origin: Origin, requests: int) -> list[_Row]:
    """Return the rows; those that connect anew or wait between their tries send fewer requests."""
    few = max(1, requests * 15 // 100)
    some = max(1, requests // 4)
    urls = [f"{origin.https}/"] * requests
    flaky_urls = [f"{origin.https}/flaky?id={number}" for number in range(some)]
    http1: dict[str, Any] = {"http2": False, "verify": origin.authority_file}
    http2: dict[str, Any] = {"http2": True, "verify": origin.authority_file}
    return [
        _Row("HTTP/1.1, no pool, 1 task", partial(_without_pool, urls[:few], http1)),
        _Row("HTTP/1.1, pool, 1 task", partial(_with_pool, urls, 1, http1)),
        _Row(f"HTTP/1.1, pool, {_CONCURRENCY} tasks", partial(_with_pool, urls, _CONCURRENCY, http1)),
        _Row(f"HTTP/2, pool, {_CONCURRENCY} tasks", partial(_with_pool, urls, _CONCURRENCY, http2)),
        _Row(f"HTTP/2, Retry, {_CONCURRENCY} tasks", partial(_with_retry, flaky_urls, http2)),
    ]


async def _without_pool(urls: list[str], settings: dict[str, Any], measurement: Measurement) -> None:
    """Send each request on a session of its own, so on a connection of its own."""
    for url in urls:
        async with Session(policies=(), **settings) as session:
            await _send_in_turn(session, [url], measurement)
            measurement.connections += session.stats().created
    measurement.attempts = measurement.requests


async def _with_pool(urls: list[str], concurrency: int, settings: dict[str, Any], measurement: Measurement) -> None:
    async with Session(policies=(), **settings) as session:
        if concurrency == 1:
            await _send_in_turn(session, urls, measurement)
        else:
            await _send_at_once(session, urls, concurrency, measurement)
        measurement.connections = session.stats().created
    measurement.attempts = measurement.requests


async def _with_retry(urls: list[str], settings: dict[str, Any], measurement: Measurement) -> None:
    """Send requests of which some are refused twice; the policy inside of the retry counts what really is sent."""

    async def count(request: Request, send: Send) -> Response:
        measurement.attempts += 1
        return await send(request)

    # The route fails more often than the usual budget of repeats allows for.
    retry = Retry(attempts=3, statuses={503}, base=0.02, cap=0.2, budget=RetryBudget(ratio=1.0))
    async with Session(policies=(retry, count), **settings) as session:
        await _send_at_once(session, urls, _CONCURRENCY, measurement)
        measurement.connections = session.stats().created


async def _send_in_turn(session: Session, urls: Iterable[str], measurement: Measurement) -> None:
    for url in urls:
        try:
            measurement.add(await session.get(url))
        except NetioError as error:
            measurement.failures.append(str(error))


async def _send_at_once(session: Session, urls: Iterable[str], concurrency: int, measurement: Measurement) -> None:
    async with session.batch(urls, concurrency=concurrency) as outcomes:
        async for outcome in outcomes:
            try:
                measurement.add(outcome.unwrap())
            except NetioError as error:
                measurement.failures.append(str(error))
