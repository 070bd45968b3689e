"""Other people's HTTP/2: bodies both ways, many requests and cancelled ones, through four more servers."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from uuid import uuid4

import anyio
import pytest

import netio
from tests.live.bodies import MIB, SIZES, Fingerprint, async_pieces, body_of, fingerprint_of, fingerprint_of_file
from tests.live.conftest import Certificates, required
from tests.live.fronts import FRONTS, Front
from tests.live.servers import HOST, Nginx
from tests.live.sites import Site
from tests.live.traces import NOTHING, Traces

pytestmark = [pytest.mark.anyio, pytest.mark.live, pytest.mark.timeout(120)]

GENEROUS = netio.Timeouts(total=None, read=60, write=60)
SMALL = SIZES["200B"]
UPLOADS = {"0B": 0, "64KiB": SIZES["64KiB"], "8MiB": 8 * MIB}


@pytest.fixture(scope="module", params=list(FRONTS))
def front(
    request: pytest.FixtureRequest,
    tmp_path_factory: pytest.TempPathFactory,
    nginx: Nginx,
    certificates: Certificates,
) -> Iterator[Site]:
    name: str = request.param
    folder = tmp_path_factory.mktemp(name)
    server = Front(name, required(name), folder, upstream=nginx.http1, certificate=certificates.fitting)
    server.start()
    yield Site(name, f"https://{HOST}:{server.port}", "HTTP/2", True, certificates.trusted)
    server.stop()


@pytest.mark.parametrize("size", SIZES.values(), ids=SIZES.keys())
async def test_body_is_downloaded_through_a_front(front: Site, size: int) -> None:
    found, traces = Fingerprint(), Traces()
    async with front.session(timeout=GENEROUS) as session:
        async with session.stream("GET", f"/{size}") as response:
            async for chunk in response.aiter_bytes():
                found.add(chunk)
        created = session.stats().created
    assert (response.status_code, response.http_version, created) == (200, "HTTP/2", 1)
    assert found.value == fingerprint_of(size)
    assert await traces.left() == NOTHING


@pytest.mark.parametrize("is_whole", [True, False], ids=["bytes", "pieces"])
@pytest.mark.parametrize("size", UPLOADS.values(), ids=UPLOADS.keys())
async def test_body_is_uploaded_through_a_front(front: Site, nginx: Nginx, size: int, is_whole: bool) -> None:
    name = uuid4().hex
    content: bytes | AsyncIterator[bytes] = body_of(size) if is_whole else async_pieces(size)
    async with front.session(timeout=GENEROUS) as session:
        response = await session.put(f"/put/{name}", content=content)
        assert (response.status_code, response.http_version) == (201, "HTTP/2")
        assert (await session.get("/200")).status_code == 200
        stats = session.stats()
        assert (stats.active, stats.idle) == (0, stats.created)
    stored = nginx.uploads / name
    assert fingerprint_of_file(stored) == fingerprint_of(size)
    stored.unlink()


async def test_many_requests_at_once_go_through_a_front(front: Site) -> None:
    answers: set[tuple[int, str, bytes]] = set()
    jobs = iter(range(500))

    async def work() -> None:
        for number in jobs:
            method = "POST" if number % 5 == 0 else "GET"
            response = await session.request(method, "/answer", content=b"x" * 100 if method == "POST" else None)
            answers.add((response.status_code, response.http_version, response.content))

    traces = Traces()
    async with front.session(timeout=GENEROUS) as session:
        async with anyio.create_task_group() as workers:
            for _ in range(40):
                workers.start_soon(work)
        stats = session.stats()
    assert answers == {(200, "HTTP/2", b"answer to GET\n"), (200, "HTTP/2", b"answer to POST\n")}
    assert (stats.requests, stats.failed, stats.created) == (500, 0, 1)
    assert await traces.left() == NOTHING


async def test_h2_28_downloads_given_up_in_the_middle_leave_a_front_usable(front: Site) -> None:
    traces = Traces()
    async with front.session(timeout=GENEROUS) as session:
        for _ in range(20):
            async with session.stream("GET", f"/{SIZES['100MiB']}") as response:
                assert await anext(response.aiter_bytes())
        assert (await session.get(f"/{SIZES['64KiB']}")).content == body_of(SIZES["64KiB"])
        assert session.stats().created == 1
    assert await traces.left() == NOTHING
