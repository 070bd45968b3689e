"""Every link passes the contract kit: pulled and pumped, over streams and sockets, with and without TLS."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from functools import partial

import pytest
from anyio.abc import ByteStream

from netio.transport import Link, Runtime, StreamLink
from netio.transport._socket_link import SocketLink
from tests.transport.far_ends import PAIRS, make_plain, make_socket_plain, make_socket_tls, make_tls
from tests.transport.link_kit import CHECKS, NAMES, Check

pytestmark = pytest.mark.anyio

MAKERS: dict[str, Callable[[Runtime], Awaitable[tuple[Link, ByteStream]]]] = {
    **{name: partial(make_plain, pair=pair) for name, pair in PAIRS.items()},
    "socket": make_socket_plain,
    "tls-socket": make_socket_tls,
    **{f"tls-{name}": partial(make_tls, pair=pair) for name, pair in PAIRS.items()},
}


@pytest.fixture(autouse=True)
def short_farewell(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """A link that gives up on its peer takes all the time it may."""
    if "gives_up" in request.node.name:
        monkeypatch.setattr("netio.transport._queueing_link.CLOSE_SECONDS", 0.05)


@pytest.mark.parametrize("kind", MAKERS)
@pytest.mark.parametrize("is_pumped", [False, True], ids=["pulled", "pumped"])
@pytest.mark.parametrize("check", CHECKS, ids=NAMES)
async def test_link_passes(runtime: Runtime, check: Check, is_pumped: bool, kind: str) -> None:
    async def make() -> tuple[Link, ByteStream]:
        link, peer = await MAKERS[kind](runtime)
        assert isinstance(link, SocketLink if "socket" in kind else StreamLink)
        return link, peer

    await check(make, is_pumped=is_pumped)
