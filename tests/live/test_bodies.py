"""Bodies from nothing to 100 MiB come through byte for byte, both ways."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator, Callable
from uuid import uuid4

import anyio
import pytest

import netio
from tests.live.bodies import (
    LARGE,
    MIB,
    SIZES,
    Fingerprint,
    async_pieces,
    body_of,
    fingerprint,
    fingerprint_of,
    fingerprint_of_file,
)
from tests.live.servers import Nginx
from tests.live.sites import Site
from tests.live.traces import NOTHING, PeakMemory, Traces

pytestmark = [pytest.mark.anyio, pytest.mark.live, pytest.mark.timeout(180)]

GENEROUS = netio.Timeouts(total=None, read=60, write=60)
MEMORY = 64 * MIB
"""What a transfer in pieces may need, whatever its size: windows of 16 MiB, and buffers."""

every_size = pytest.mark.parametrize("size", SIZES.values(), ids=SIZES.keys())
Note = Callable[[str], None]


@every_size
async def test_body_is_downloaded_as_a_whole(site: Site, size: int) -> None:
    async with site.session(timeout=GENEROUS) as session:
        response = await session.get(f"/{size}")
    assert (response.status_code, response.http_version) == (200, site.http_version)
    assert fingerprint([response.content]) == fingerprint_of(size)


@every_size
async def test_body_is_downloaded_in_pieces(site: Site, size: int, note: Note) -> None:
    expected = fingerprint_of(size)
    found = Fingerprint()
    traces, memory, started = Traces(), PeakMemory(), time.perf_counter()
    async with site.session(timeout=GENEROUS) as session:
        async with session.stream("GET", f"/{size}") as response:
            async for chunk in response.aiter_bytes():
                found.add(chunk)
    _note_speed(note, site, "download", size, started)
    assert (response.status_code, response.http_version) == (200, site.http_version)
    assert found.value == expected
    assert memory.growth() < MEMORY
    assert await traces.left() == NOTHING


@every_size
async def test_body_of_bytes_is_uploaded(nginx: Nginx, site: Site, size: int, note: Note) -> None:
    body = body_of(size)
    expected = fingerprint_of(size)
    memory, started = PeakMemory(), time.perf_counter()
    await _upload(nginx, site, body, expected)
    _note_speed(note, site, "upload of bytes", size, started)
    assert memory.growth() < MEMORY


@every_size
async def test_body_of_unknown_length_is_uploaded(nginx: Nginx, site: Site, size: int, note: Note) -> None:
    expected = fingerprint_of(size)
    traces, memory, started = Traces(), PeakMemory(), time.perf_counter()
    await _upload(nginx, site, async_pieces(size), expected)
    _note_speed(note, site, "upload in pieces", size, started)
    assert memory.growth() < MEMORY
    assert await traces.left() == NOTHING


async def _upload(nginx: Nginx, site: Site, content: bytes | AsyncIterator[bytes], expected: tuple[int, str]) -> None:
    name = uuid4().hex
    async with site.session(timeout=GENEROUS) as session:
        response = await session.put(f"/put/{name}", content=content)
        again = await session.get("/200")
        stats = session.stats()
    assert (response.status_code, response.http_version) == (201, site.http_version)
    stored = nginx.uploads / name
    assert fingerprint_of_file(stored) == expected
    stored.unlink()
    # The connection that was uploaded on is as good as before. (Over HTTP/1.1 it may not have been free again at once.)
    assert (again.status_code, stats.active, stats.idle) == (200, 0, stats.created)


def _note_speed(note: Note, site: Site, what: str, size: int, started: float) -> None:
    if size == LARGE:
        elapsed = time.perf_counter() - started
        note(f"{site.name:<20} {what:<17} of 100 MiB: {elapsed:5.1f} s, {size / MIB / elapsed:4.0f} MiB/s")


@pytest.mark.parametrize("size", [64 * 1_024, 8 * MIB], ids=["64KiB", "8MiB"])
@pytest.mark.parametrize("is_whole", [True, False], ids=["bytes", "pieces"])
async def test_nghttpd_sends_back_what_it_was_sent(nghttpd: Site, size: int, is_whole: bool) -> None:
    found: list[tuple[int, str, tuple[int, str]]] = []

    async def echo() -> None:
        content = body_of(size) if is_whole else async_pieces(size)
        response = await session.post("/echo", content=content)
        found.append((response.status_code, response.http_version, fingerprint([response.content])))

    traces = Traces()
    async with nghttpd.session(timeout=GENEROUS) as session:
        async with anyio.create_task_group() as group:
            for _ in range(3):
                group.start_soon(echo)
        created = session.stats().created
    assert found == [(200, "HTTP/2", fingerprint_of(size))] * 3
    assert created == 1
    assert await traces.left() == NOTHING
