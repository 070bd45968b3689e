"""`session.stats()`: what is counted, and how it is shown."""

from __future__ import annotations

import json
from dataclasses import replace

import anyio
import pytest

import netio
from netio.client import OriginStats, SessionStats
from netio.histogram import Histogram, Summary
from netio.observe import Event, Resolved
from netio.pool import Traffic
from netio.testing import FakeClock, MemoryNetwork, MemoryStream
from tests.client.conftest import Version, make_house
from tests.peers import Http1Peer

pytestmark = pytest.mark.anyio


async def test_new_session_has_counted_nothing() -> None:
    async with netio.Session() as session:
        stats = session.stats()
    assert stats == SessionStats()
    assert (stats.utilisation, stats.reuse_ratio, stats.total.latency) == (None, None, Summary())
    assert str(stats).splitlines()[0] == "requests     0 answered, 0 failed, 0 cancelled, 0 under way, 0 retries"


async def test_requests_and_connections_are_counted(version: Version) -> None:
    async with make_house(version) as house:
        for path in ("/", "/", "/status/404", "/bytes/1000"):
            await house.session.get(path)
        with pytest.raises(netio.ConnectError):
            await house.session.get("http://nobody.test/")
        stats = house.session.stats()
        assert (stats.requests, stats.succeeded, stats.failed, stats.cancelled, stats.in_flight) == (5, 4, 1, 0, 0)
        assert (stats.active, stats.idle, stats.created, stats.dial_failures) == (0, 1, 1, 1)
        assert dict(stats.total.failures) == {"ConnectError": 1}
        assert dict(stats.total.statuses) == {"2xx": 3, "4xx": 1}
        assert stats.total.latency.count == 5
        assert stats.total.latency.success_rate == 0.8
        assert stats.reuse_ratio == 0.75
        assert stats.bytes_received > 1_000
        assert stats.bytes_sent > 100
        assert set(stats.origins) == {"http://peer.test", "http://nobody.test"}
        peer = stats.origins["http://peer.test"]
        assert (peer.succeeded, peer.failed, peer.traffic.requests) == (4, 0, 4)
        assert {name: row.requests for name, row in stats.protocols.items()} == {version: 4}
    assert house.session.stats().closed == {"session closed": 1}
    assert house.session.stats().bytes_received >= stats.bytes_received


async def test_bytes_are_those_that_went_over_the_stream(version: Version) -> None:
    sent: list[int] = []
    received: list[int] = []

    class Counting(MemoryStream):
        async def send(self, item: bytes) -> None:
            sent.append(len(item))
            await super().send(item)

        def receive_nowait(self, max_bytes: int = 65_536) -> bytes | None:
            data = super().receive_nowait(max_bytes)
            received.append(len(data or b""))
            return data

    async with make_house(version) as house:

        async def connect(host: str, port: int) -> MemoryStream:
            stream = await house.network.connect(host, port)
            stream.__class__ = Counting
            return stream

        house.session._connect = connect
        await house.session.get("/bytes/100000")
        await house.session.post("/count", content=b"x" * 10)
        await house.session.post("/count", content=b"x" * 300_000)
        async with house.session.stream("GET", "/bytes/200000") as response:
            await response.aread()
        await house.settle()
        stats = house.session.stats()
        assert stats.bytes_sent == sum(sent)
        assert stats.bytes_received == sum(received)


async def test_what_is_under_way_shows(version: Version) -> None:
    limits = netio.Limits(connections=1)
    async with make_house(version, limits=limits, max_streams=1) as house:
        async with anyio.create_task_group() as group:
            group.start_soon(house.session.get, "/hang")
            await house.settle()
            group.start_soon(house.session.get, "/")
            await house.settle()
            stats = house.session.stats()
            assert (stats.requests, stats.in_flight, stats.queued, stats.active) == (2, 2, 1, 1)
            assert (stats.limit, stats.utilisation, stats.exhausted) == (1, 1.0, 1)
            group.cancel_scope.cancel()
        stats = house.session.stats()
        assert (stats.in_flight, stats.cancelled, stats.failed) == (0, 2, 0)
        assert stats.total.latency.success_rate is None


async def test_time_in_the_queue_is_measured(version: Version) -> None:
    clock = FakeClock()
    limits = netio.Limits(connections=1)
    async with make_house(version, clock=clock, limits=limits, max_streams=1) as house:
        async with anyio.create_task_group() as group:
            async with house.session.stream("GET", "/drip"):
                group.start_soon(house.session.get, "/")
                await clock.advance(3.0)
        queue = house.session.stats().queue
        assert (queue.count, queue.minimum) == (2, 0.0)
        assert queue.maximum == pytest.approx(3.0)


async def test_without_metrics_connections_are_counted_all_the_same(version: Version) -> None:
    async with make_house(version, metrics=False) as house:
        await house.session.get("/")
        with pytest.raises(netio.InvalidRequest):
            await house.session.get("/", headers={"transfer-encoding": "chunked"})
        stats = house.session.stats()
        assert (stats.requests, stats.succeeded, stats.failed, stats.created) == (2, 1, 1, 1)
        assert stats.total.latency == Summary()
        assert stats.origins["http://peer.test"] == OriginStats(traffic=stats.total.traffic)
        assert "p99.9" not in str(stats)


async def test_request_with_a_wrong_option_has_failed_and_is_not_under_way(version: Version) -> None:
    async with make_house(version) as house:
        with pytest.raises(TypeError):
            await house.session.get("/", auth=object())  # type: ignore[arg-type]
        stats = house.session.stats()
        assert stats.requests == stats.failed
        assert stats.in_flight == 0


async def test_retries_of_a_request_that_fails_are_counted() -> None:
    clock = FakeClock()

    async def refuse(request: netio.Request) -> netio.Response:
        raise netio.ConnectError("refused", request=request, sent=False)

    async with netio.Session(send=refuse, clock=clock, policies=[netio.policy.Retry(attempts=3)]) as session:
        async with anyio.create_task_group() as group:
            group.start_soon(clock.advance, 60.0)
            with pytest.raises(netio.ConnectError) as caught:
                await session.get("http://a.test/")
        stats = session.stats()
    assert len(caught.value.attempts) == stats.total.retries == 2
    assert (stats.requests, stats.failed) == (1, 1)


async def test_many_origins_are_bounded_and_the_totals_stay_true() -> None:
    peer = Http1Peer()
    number = 1_100
    async with MemoryNetwork() as network:
        for n in range(number):
            network.listen(f"h{n}.test", 80, peer.serve)
        limits = netio.Limits(connections=5)
        async with netio.Session(connect=network.connect, http2=False, limits=limits) as session:
            for n in range(number):
                await session.get(f"http://h{n}.test/")
            stats = session.stats()
    assert stats.total.succeeded == stats.total.traffic.requests == stats.total.traffic.created == number
    assert len(stats.origins) <= 1_000 + 1_000 // 10 + 6
    assert sum(row.succeeded for row in stats.origins.values()) == number
    assert sum(row.traffic.requests for row in stats.origins.values()) == number
    assert len(str(stats).splitlines()) < 50


async def test_names_that_a_cache_knew_are_counted() -> None:
    heard: list[Event] = []
    peer = Http1Peer()
    async with MemoryNetwork() as network:
        network.listen("a.test", 80, peer.serve)
        async with netio.Session(connect=network.connect, observer=heard.append) as session:
            await session.get("http://a.test/")
            stats = session.stats()
    assert (stats.lookups, stats.lookups_cached) == (0, 0)  # a `connect` hook looks up names by itself
    assert not [event for event in heard if isinstance(event, Resolved)]


def busy() -> SessionStats:
    latency = Histogram()
    for milliseconds in range(1, 1_000):
        latency.record(milliseconds / 1_000)
    summary = latency.summary(failed=12_345)
    traffic = Traffic(created=1_234_567, requests=123_456_789, reused=122_222_222, bytes_sent=10**10)
    row = OriginStats(
        succeeded=999, failures={f"SomeLongKindOfError{n}": 10**n for n in range(7)}, latency=summary, traffic=traffic
    )
    return SessionStats(
        requests=123_456_789,
        in_flight=9_999,
        succeeded=123_400_000,
        failed=46_789,
        cancelled=10_000,
        active=100,
        idle=100,
        dialing=10,
        queued=10_000,
        limit=200,
        created=1_234_567,
        dial_failures=1_234_567,
        exhausted=1_234_567,
        queue=summary,
        closed={"idle": 1_000_000, "too old": 123, "needed elsewhere": 12, "session closed": 1},
        lookups=1_234_567,
        lookups_cached=1_234_567,
        total=row,
        origins={f"https://a-rather-long-name-{n}.{'x' * 60}.example": row for n in range(14)},
        protocols={"HTTP/1.1": traffic, "HTTP/2": traffic},
    )


def test_table_is_80_columns_wide_whatever_is_in_it() -> None:
    lines = str(busy()).splitlines()
    assert [line for line in lines if len(line) > 79] == []
    assert "... and 4 more origins" in lines
    assert lines[-2] == "in all"


def test_dict_is_json_and_has_what_the_table_has() -> None:
    written = json.loads(json.dumps(busy().as_dict()))
    assert written["requests"] == 123_456_789
    assert written["utilisation"] == 0.5
    assert written["reuse_ratio"] == pytest.approx(0.99, abs=0.001)
    assert written["queue"]["count"] == 999 + 12_345
    assert written["total"]["latency"]["p99"] == pytest.approx(0.99, rel=0.01)
    assert len(written["origins"]) == 14
    assert written["protocols"]["HTTP/2"]["bytes_sent"] == 10**10
    assert set(written) >= {"active", "idle", "queued", "closed", "exhausted", "lookups", "lookups_cached", "resumed"}


@pytest.mark.parametrize(
    ("number", "text"),
    [
        (0, "0 B"),
        (999, "999 B"),
        (1_000, "1 kB"),
        (999_499, "999 kB"),
        (999_500, "1 MB"),
        (123_456_789, "123 MB"),
        (10**15, "1,000 TB"),
    ],
)
def test_bytes_are_shown_with_three_digits(number: int, text: str) -> None:
    stats = SessionStats(total=OriginStats(traffic=replace(Traffic(), bytes_sent=number)))
    assert str(stats).splitlines()[-1] == f"bytes        {text} sent, 0 B received"
