"""A server that leaves every 50 requests and refuses some: no request that may be repeated fails.

Over real sockets 20,000 requests go through it under `make fuzz`, and a few otherwise.
"""

from __future__ import annotations

from functools import partial

import anyio
import pytest
from anyio.abc import SocketStream

import netio
from netio.wire import EngineName
from tests.http2.raw import raw_house
from tests.http2.storm import StormPeer, storm
from tests.wire.engines import is_long

pytestmark = pytest.mark.anyio

CONCURRENCY, EVERY = 64, 50
REQUESTS: dict[EngineName, int] = {"fast": 1_000, "reference": 300}  # which costs ten times as much


@pytest.mark.parametrize("is_graceful", [False, True], ids=["at once", "graceful"])
async def test_h2_20_a_storm_of_goaways_fails_no_request(engine: EngineName, is_graceful: bool) -> None:
    peer = StormPeer(EVERY, is_graceful=is_graceful)
    async with raw_house(engine, peer) as house:
        requests = REQUESTS[engine]
        assert await storm(house.session, requests, CONCURRENCY) == {"good": requests}
        # Nothing is processed twice, and each connection serves at least what it should.
        assert len(peer.answered) == peer.answered.total() == requests
        assert house.session.stats().created <= requests // EVERY + 1
        await house.settle()
        await house.assert_clean()


async def test_h2_21_refusals_in_a_storm_fail_no_request(engine: EngineName) -> None:
    peer = StormPeer(EVERY, refuses=0.05)
    async with raw_house(engine, peer, clock=None) as house:
        outcomes = await storm(house.session, REQUESTS[engine], CONCURRENCY)
        refused = {name: count for name, count in outcomes.items() if name != "good"}
        assert sum(refused.values()) <= 2  # one in 160,000 is refused four times in a row
        assert len(peer.answered) == peer.answered.total() == outcomes["good"]


async def serve_and_close(peer: StormPeer, stream: SocketStream) -> None:
    async with stream:
        await peer.serve(stream)


@pytest.mark.fuzz
@pytest.mark.timeout(600)
@pytest.mark.parametrize("refuses", [0.0, 0.05])
async def test_h2_20_a_storm_over_real_sockets_fails_no_request(refuses: float, engine: EngineName) -> None:
    requests = 20_000 if is_long() else 200
    peer = StormPeer(EVERY, refuses=refuses)
    listener = await anyio.create_tcp_listener(local_host="127.0.0.1")
    port = listener.extra(anyio.abc.SocketAttribute.local_port)
    async with anyio.create_task_group() as group:
        group.start_soon(listener.serve, partial(serve_and_close, peer))
        url = f"http://127.0.0.1:{port}"
        async with netio.Session(base_url=url, http2="prior-knowledge", engine=engine) as session:
            outcomes = await storm(session, requests, CONCURRENCY)
            assert session.stats().created <= 2 * requests // EVERY
        group.cancel_scope.cancel()
    await listener.aclose()
    assert outcomes["good"] >= requests - (2 if refuses else 0)
    assert outcomes.total() == requests
    assert len(peer.answered) == peer.answered.total() == outcomes["good"]
