"""StreamLink passes the contract kit: pulled and pumped, in memory and over TCP, with and without TLS."""

from __future__ import annotations

import os
from collections.abc import Awaitable, Callable
from functools import partial

import anyio
import pytest

from netio.transport import Link, Runtime, StreamLink, current_runtime
from tests.transport.far_ends import PAIRS, make_plain, make_tls
from tests.transport.kit_tools import ByteStream
from tests.transport.link_kit import CHECKS, NAMES, Check

pytestmark = pytest.mark.anyio

MAKERS: dict[str, Callable[[Runtime], Awaitable[tuple[Link, ByteStream]]]] = {
    **{name: partial(make_plain, pair=pair) for name, pair in PAIRS.items()},
    **{f"tls-{name}": partial(make_tls, pair=pair) for name, pair in PAIRS.items()},
}


def open_sockets() -> int:
    links = (f"/proc/self/fd/{name}" for name in os.listdir("/proc/self/fd"))
    return sum(os.path.lexists(link) and os.readlink(link).startswith("socket:") for link in links)


@pytest.fixture(autouse=True)
def short_farewell(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """A link that gives up on its peer takes all the time it may."""
    if "gives_up" in request.node.name:
        monkeypatch.setattr("netio.transport._stream_link.CLOSE_SECONDS", 0.05)


@pytest.mark.parametrize("kind", MAKERS)
@pytest.mark.parametrize("is_pumped", [False, True], ids=["pulled", "pumped"])
@pytest.mark.parametrize("check", CHECKS, ids=NAMES)
async def test_stream_link_passes(check: Check, is_pumped: bool, kind: str) -> None:
    runtime = current_runtime()

    async def make() -> tuple[Link, ByteStream]:
        link, peer = await MAKERS[kind](runtime)
        assert isinstance(link, StreamLink)
        return link, peer

    before = open_sockets()
    await check(make, is_pumped=is_pumped)
    with anyio.fail_after(5):
        await runtime.finish()
        while open_sockets() > before:
            await anyio.sleep(0.001)
