"""A session, and a server in memory, over HTTP/1.1 or HTTP/2."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any, Literal

import anyio
import anyio.lowlevel
import pytest

import netio
from netio.testing import FakeClock, MemoryNetwork
from netio.testing._clock import all_tasks_at_rest
from tests.peers import Http1Peer, Http2Peer

Version = Literal["HTTP/1.1", "HTTP/2"]
URL = "http://peer.test"
GUARD = 20.0
"""Seconds after which a test that hangs fails."""


@dataclass
class House:
    """A session connected to a peer in memory."""

    version: Version
    session: netio.Session
    network: MemoryNetwork
    peer: Any

    def new_session(self, **options: Any) -> netio.Session:
        """Another session, with no connection yet."""
        options.setdefault("http2", "prior-knowledge" if self.version == "HTTP/2" else False)
        return netio.Session(base_url=URL, connect=self.network.connect, **options)

    async def settle(self) -> None:
        """Let all tasks come to rest."""
        await all_tasks_at_rest()

    async def assert_clean(self, *, connections: int | None = None) -> None:
        """Nothing is under way, and nothing is left of what was; a task may take a few turns to end."""
        for _ in range(50):
            if self._background() <= 1:
                break
            await anyio.lowlevel.checkpoint()
        assert self._background() <= 1  # the timer, while there is a connection
        stats = self.session.stats()
        assert (stats.active, stats.dialing, stats.queued) == (0, 0, 0)
        assert self.network.open_connections == stats.idle
        assert self.peer.open_streams == 0 if self.version == "HTTP/2" else True
        if connections is not None:
            assert stats.created == connections

    def _background(self) -> int:
        """How many background tasks there are beside the reader and writer of each HTTP/2 connection."""
        pool = self.session._pool
        links = 2 * self.session.stats().idle if self.version == "HTTP/2" else 0
        return 0 if pool is None else pool.runtime.tasks - links


@asynccontextmanager
async def make_house(version: Version, **options: Any) -> AsyncIterator[House]:
    # Time stands still unless a test wants it: a timer that ticks is a task that never comes to rest.
    options.setdefault("clock", FakeClock())
    max_streams = options.pop("max_streams", 100)
    peer = Http1Peer() if version == "HTTP/1.1" else Http2Peer(max_streams)
    with anyio.fail_after(GUARD):
        async with MemoryNetwork() as network:
            network.listen("peer.test", 80, peer.serve)
            house = House(version, None, network, peer)  # type: ignore[arg-type]
            async with house.new_session(**options) as session:
                house.session = session
                yield house
            await all_tasks_at_rest()
            assert network.open_connections == 0
            assert session._pool is None or session._pool.runtime.tasks == 0


@pytest.fixture(params=["HTTP/1.1", "HTTP/2"])
def version(request: pytest.FixtureRequest) -> Version:
    return request.param
