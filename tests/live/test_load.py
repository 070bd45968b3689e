"""20,000 requests, a hundred at a time."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable

import anyio
import pytest

import netio
from tests.live.bodies import SMALL, body_of
from tests.live.sites import Site
from tests.live.traces import NOTHING, Traces

pytestmark = [pytest.mark.anyio, pytest.mark.live]

REQUESTS = 20_000
CONCURRENCY = 100


@pytest.mark.timeout(180)
async def test_20000_gets_at_concurrency_100_succeed_on_few_connections(
    site: Site, note: Callable[[str], None]
) -> None:
    expected = body_of(SMALL)
    seen: Counter[tuple[int, str, bool]] = Counter()
    jobs = iter(range(REQUESTS))

    async def work() -> None:
        for _ in jobs:
            response = await session.get(f"/{SMALL}")
            seen[response.status_code, response.http_version, response.content == expected] += 1

    traces = Traces()
    started = time.perf_counter(), time.process_time()
    async with site.session(limits=netio.Limits(connections=CONCURRENCY)) as session:
        async with anyio.create_task_group() as workers:
            for _ in range(CONCURRENCY):
                workers.start_soon(work)
        stats = session.stats()
    elapsed, used = time.perf_counter() - started[0], time.process_time() - started[1]
    note(
        f"{site.name:<20} {REQUESTS} GETs: {elapsed:5.1f} s, {REQUESTS / elapsed:5.0f}/s, "
        f"{used / REQUESTS * 1e6:4.0f} µs CPU each, connections: {stats.created}"
    )
    assert seen == {(200, site.http_version, True): REQUESTS}
    assert (stats.requests, stats.failed, stats.dial_failures) == (REQUESTS, 0, 0)
    assert stats.created == 1 if site.is_http2 else stats.created <= CONCURRENCY
    assert await traces.left() == NOTHING
