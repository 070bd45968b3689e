"""Many streams on one HTTP/2 connection: the slow, the cancelled and the surplus ones harm nobody else."""

from __future__ import annotations

import contextlib

import anyio
import pytest
from anyio.lowlevel import checkpoint

import netio
from tests.live.bodies import LARGE, MIB, SIZES, SMALL, Fingerprint, body_of, fingerprint, fingerprint_of
from tests.live.conftest import HTTP1_ONLY, HTTP2_ONLY
from tests.live.sites import Site
from tests.live.traces import NOTHING, PeakMemory, Traces

pytestmark = [pytest.mark.anyio, pytest.mark.live, pytest.mark.timeout(180)]

PATIENT = netio.Timeouts(total=None, read=60, write=60)
MEDIUM = SIZES["64KiB"]


async def _rest_of(response: netio.Response) -> tuple[int, str]:
    found = Fingerprint()
    async for chunk in response.aiter_bytes():
        found.add(chunk)
    return found.value


async def _get_many(session: netio.Session, size: int, *, times: int, concurrency: int) -> set[tuple[int, str]]:
    """Get a file many times; return the fingerprints of what came."""
    found: set[tuple[int, str]] = set()
    jobs = iter(range(times))

    async def work() -> None:
        for _ in jobs:
            response = await session.get(f"/{size}")
            found.add(fingerprint([response.content]))

    async with anyio.create_task_group() as workers:
        for _ in range(concurrency):
            workers.start_soon(work)
    return found


@HTTP2_ONLY
async def test_h2_19_slow_readers_do_not_hold_up_the_other_streams(site: Site) -> None:
    traces, memory = Traces(), PeakMemory()
    async with site.session(timeout=PATIENT) as session, contextlib.AsyncExitStack() as stack:
        slow = [await stack.enter_async_context(session.stream("GET", f"/{LARGE}")) for _ in range(4)]
        assert await _get_many(session, MEDIUM, times=500, concurrency=20) == {fingerprint_of(MEDIUM)}
        async with session.stream("GET", f"/{LARGE}") as fast:
            assert await _rest_of(fast) == fingerprint_of(LARGE)
        growth = memory.growth()
        assert await _rest_of(slow[0]) == fingerprint_of(LARGE)
        assert session.stats().created == 1
    assert growth < 64 * MIB
    assert await traces.left() == NOTHING


@HTTP2_ONLY
async def test_h2_28_200_downloads_cancelled_in_the_middle_leave_the_connection_usable(site: Site) -> None:
    traces = Traces()
    async with site.session(timeout=PATIENT) as session:
        for number in range(200):
            if number % 3 == 0:
                await _cancel_streamed(session, after=1 + number % 7)
            elif number % 3 == 1:
                await _cancel_unread(session)
            else:
                await _cancel_buffered(session, after=number % 41)
            response = await session.get(f"/{SMALL}")
            assert (response.status_code, response.content) == (200, body_of(SMALL))
        # As much as ever fits through: no window credit was lost.
        async with session.stream("GET", f"/{LARGE}") as response:
            assert await _rest_of(response) == fingerprint_of(LARGE)
        assert session.stats().created == 1
    assert await traces.left() == NOTHING


@HTTP1_ONLY
async def test_pool_01_downloads_cancelled_in_the_middle_take_their_connections_with_them(site: Site) -> None:
    traces = Traces()
    async with site.session(timeout=PATIENT) as session:
        for number in range(20):
            await _cancel_streamed(session, after=1 + number % 7)
            await _cancel_buffered(session, after=3 * number)
            response = await session.get(f"/{SMALL}")
            assert (response.status_code, response.content) == (200, body_of(SMALL))
            assert session.stats().active == 0
            assert session.stats().idle == 1
    assert await traces.left() == NOTHING


async def _cancel_streamed(session: netio.Session, *, after: int) -> None:
    """Cancel a download while it waits for more, after that many pieces."""
    with anyio.CancelScope() as scope:
        async with session.stream("GET", f"/{LARGE}") as response:
            pieces = 0
            async for _ in response.aiter_bytes():
                pieces += 1
                if pieces == after:
                    scope.cancel()
    assert scope.cancelled_caught
    assert pieces == after


async def _cancel_unread(session: netio.Session) -> None:
    """Cancel a download of which much has arrived and nothing was read."""
    with anyio.CancelScope() as scope:
        async with session.stream("GET", f"/{LARGE}"):
            for _ in range(4):
                assert fingerprint([(await session.get(f"/{MEDIUM}")).content]) == fingerprint_of(MEDIUM)
            scope.cancel()
            await anyio.sleep_forever()
    assert scope.cancelled_caught


async def _cancel_buffered(session: netio.Session, *, after: int) -> None:
    """Cancel a download into memory after that many turns of the loop: before its head, or in the middle."""
    with anyio.CancelScope() as scope:
        async with anyio.create_task_group() as group:
            group.start_soon(session.get, f"/{LARGE}")
            for _ in range(after):
                await checkpoint()
            scope.cancel()
    assert scope.cancelled_caught


async def test_when_the_streams_of_a_connection_run_out_a_second_one_is_opened(nghttpd: Site) -> None:
    traces = Traces()
    async with nghttpd.session(timeout=PATIENT) as session, contextlib.AsyncExitStack() as stack:
        for _ in range(100):
            await stack.enter_async_context(session.stream("GET", f"/{LARGE}"))
        assert session.stats().created == 1
        response = await session.get(f"/{SMALL}")
        assert (response.status_code, response.content) == (200, body_of(SMALL))
        assert session.stats().created == 2
    assert await traces.left() == NOTHING
