"""What a session says about real sockets: timings, events and statistics over names, TCP and TLS."""

from __future__ import annotations

from urllib.parse import urlsplit

import anyio
import pytest

import netio
from netio.observe import BodyDone, Connected, ConnectionOpened, Event, HeadSent, Resolved, TLSDone
from tests.real.conftest import WAYS, RealServer, Way, http_version

pytestmark = [pytest.mark.anyio, pytest.mark.parametrize("way", WAYS)]


async def test_connection_says_where_it_leads_and_what_it_speaks(server: RealServer, way: Way) -> None:
    events: list[Event] = []
    async with server.session(way, observer=events.append) as session:
        timings = (await session.get("/bytes/100")).timings
        stats = session.stats()
    is_tls = way.endswith("tls")
    place = urlsplit(server.https if is_tls else server.http)
    connection = timings.connection
    assert connection is not None
    assert connection.origin == netio.Origin(place.scheme, str(place.hostname), place.port or 0)
    assert timings.protocol == http_version(way)
    assert timings.peer == ("127.0.0.1", place.port)
    assert timings.local is not None
    assert timings.local[0] == "127.0.0.1"
    assert (connection.tls is not None) == is_tls
    assert bool(timings.tls) == is_tls
    if connection.tls is not None:
        assert connection.tls.version.startswith("TLSv1.")
        assert connection.tls.alpn == ("h2" if way == "http2-tls" else "http/1.1")
    assert sum(timings.phases.values()) == pytest.approx(timings.total)
    assert timings.connect > 0
    assert (stats.handshakes, stats.lookups) == (int(is_tls), int(is_tls))  # 127.0.0.1 needs none
    opened = [event for event in events if isinstance(event, ConnectionOpened)]
    assert [event.connection for event in opened] == [connection]
    kinds = {type(event) for event in events if getattr(event, "number", None) == connection.number}
    assert (Resolved in kinds, Connected in kinds, TLSDone in kinds) == (is_tls, True, is_tls)


async def test_every_attempt_of_many_requests_begins_and_ends_once(server: RealServer, way: Way) -> None:
    events: list[Event] = []
    async with server.session(way, observer=events.append, limits=netio.Limits(connections=5)) as session:
        async with anyio.create_task_group() as group:
            for size in range(0, 200_000, 5_000):
                group.start_soon(session.get, f"/bytes/{size}")
        stats = session.stats()
    begun = [event.attempt for event in events if isinstance(event, HeadSent)]
    done = [event for event in events if isinstance(event, BodyDone)]
    assert sorted(begun) == sorted(event.attempt for event in done) == sorted(set(begun))
    assert len(begun) == stats.requests == stats.succeeded == stats.total.traffic.requests == 40
    assert sorted(event.received for event in done) == list(range(0, 200_000, 5_000))
    assert stats.bytes_received > sum(event.received for event in done)


async def test_a_second_connection_resumes_the_session_of_the_first(server: RealServer, way: Way) -> None:
    async with server.session(way) as session:
        await session.get("/bytes/100")
        origin = session.build_request("GET", "/").url.origin
        session._pool._ledger.drop_idle(origin)  # type: ignore[union-attr]
        response = await session.get("/bytes/100")
        stats = session.stats()
    is_tls = way.endswith("tls")
    assert (stats.created, stats.handshakes, stats.resumed) == (2, 2 * is_tls, int(is_tls))
    assert stats.closed == {"suspect": 1}
    connection = response.timings.connection
    assert connection is not None
    assert (connection.tls is not None and connection.tls.is_resumed) == is_tls
