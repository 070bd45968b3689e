"""`netio demo`: the same requests sent in five ways to a server of its own, and what each way costs."""

from __future__ import annotations

import sys
import time
from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass
from functools import partial
from typing import Any

import anyio

from netio.cli._arguments import DemoOptions
from netio.cli._exits import FAILED, OK, require
from netio.cli._measure import Measurement
from netio.cli._origin import Origin, running_origin
from netio.cli._report import print_report
from netio.client import Session
from netio.errors import NetioError
from netio.message import Request, Response, Send
from netio.policy import Retry, RetryBudget

_CONCURRENCY = 50
_EXTRA_OF_LOOP = {"uvloop": "fast", "trio": "trio"}


def demo(options: DemoOptions) -> int:
    """Run the five rows, print them, and return the exit code."""
    require("rich", "demo")
    if options.loop in _EXTRA_OF_LOOP:
        require(options.loop, _EXTRA_OF_LOOP[options.loop])
    with running_origin() as origin:
        measurements = anyio.run(
            partial(_measure_all, origin, options.requests),
            backend="trio" if options.loop == "trio" else "asyncio",
            backend_options={} if options.loop == "trio" else {"use_uvloop": options.loop == "uvloop"},
        )
    print_report(measurements)
    return FAILED if any(measurement.failures for measurement in measurements) else OK


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
