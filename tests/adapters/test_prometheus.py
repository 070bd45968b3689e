"""What SessionCollector shows, read by prometheus_client's own parser."""

from __future__ import annotations

import anyio
import anyio.to_thread
import pytest
from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.parser import text_string_to_metric_families

import netio
from netio.adapters import SessionCollector
from netio.histogram import Histogram
from netio.pool import Traffic
from netio.testing import MemoryNetwork
from tests.adapters.conftest import BASE
from tests.canary import Canary

pytestmark = pytest.mark.anyio

Samples = dict[str, dict[tuple[tuple[str, str], ...], float]]


def scraped(collector: SessionCollector) -> tuple[str, Samples]:
    """Return the text of a scrape, and its samples by name and by labels without the session."""
    registry = CollectorRegistry(auto_describe=False)
    registry.register(collector)
    text = generate_latest(registry).decode()
    samples: Samples = {}
    for family in text_string_to_metric_families(text):
        for sample in family.samples:
            labels = tuple(sorted((name, value) for name, value in sample.labels.items() if name != "session"))
            samples.setdefault(sample.name, {})[labels] = sample.value
    return text, samples


async def test_requests_connections_and_durations_are_shown(network: MemoryNetwork) -> None:
    async with netio.Session(connect=network.connect, base_url=BASE) as session:
        for path in ("/200", "/201", "/404"):
            await session.get(path)
        with pytest.raises(netio.ConnectionLost):
            await session.post("/cut")
        _, samples = scraped(SessionCollector(session))
    origin = ("origin", "http://peer.test")
    assert samples["netio_responses_total"] == {
        (origin, ("status", "2xx")): 2.0,
        (origin, ("status", "4xx")): 1.0,
    }
    assert sum(samples["netio_request_failures_total"].values()) == 1.0
    assert samples["netio_connections_created_total"] == {(): 1.0}
    assert samples["netio_requests_in_flight"] == {(): 0.0}
    assert samples["netio_connections"][(("state", "active"),)] == 0.0
    assert sum(samples["netio_connections_closed_total"].values()) == 1.0
    assert samples["netio_request_duration_seconds_count"] == {(origin,): 3.0}
    assert samples["netio_request_duration_seconds_bucket"][(("le", "+Inf"), origin)] == 3.0
    assert samples["netio_sent_bytes_total"][(origin,)] > 100


async def test_buckets_are_cumulative_and_at_their_bounds(network: MemoryNetwork) -> None:
    times = [0.0005, 0.004, 0.04, 0.4, 4.0, 40.0, 400.0]
    histogram = Histogram()
    for time in times:
        histogram.record(time)
    async with netio.Session(connect=network.connect) as session:
        collector = SessionCollector(session, buckets=[10, 0.1, 0.001, float("inf")])
    assert collector._cumulative(histogram) == [("0.001", 1), ("0.1", 3), ("10.0", 5), ("+Inf", 7)]


async def test_several_sessions_are_told_apart_by_name(network: MemoryNetwork) -> None:
    async with netio.Session(connect=network.connect) as one, netio.Session(connect=network.connect) as other:
        await one.get(f"{BASE}/200")
        text, _ = scraped(SessionCollector({"one": one, "other": other}, prefix="shop"))
    assert 'shop_connections_created_total{session="one"} 1.0' in text
    assert 'shop_connections_created_total{session="other"} 0.0' in text


async def test_a_scrape_in_another_thread_while_requests_run(network: MemoryNetwork) -> None:
    async with netio.Session(connect=network.connect) as session:
        collector = SessionCollector(session)

        async def ask() -> None:
            for _ in range(50):
                await session.get(f"{BASE}/200")

        async with anyio.create_task_group() as group:
            group.start_soon(ask)
            for _ in range(5):
                text, _ = await anyio.to_thread.run_sync(scraped, collector)
                assert "netio_requests_in_flight" in text
        _, samples = scraped(collector)
    assert sum(samples["netio_responses_total"].values()) == 50.0


async def test_a_connection_that_is_closed_in_the_middle_of_a_scrape_does_not_break_it(
    network: MemoryNetwork, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The loop may run on between any two steps of a scrape in another thread, and change what is read."""
    merge = Traffic.merge
    async with netio.Session(connect=network.connect) as session:
        await session.get(f"{BASE}/200")
        pool = session._pool
        assert pool is not None
        for number in range(3):
            pool._books._row(f"http://before{number}.test", "HTTP/1.1")
        closed: list[str] = []

        def merge_and_close(total: Traffic, row: Traffic) -> None:
            if len(closed) < 100:
                closed.append(f"http://h{len(closed)}.test")
                pool._books._row(closed[-1], "HTTP/1.1")
            merge(total, row)

        monkeypatch.setattr(Traffic, "merge", merge_and_close)
        text, _ = scraped(SessionCollector(session))
    assert closed
    assert 'netio_sent_bytes_total{origin="http://peer.test"' in text


async def test_log_01_no_secret_is_in_a_scrape(network: MemoryNetwork) -> None:
    canary = Canary()
    async with netio.Session(connect=network.connect) as session:
        await session.post(
            canary.url(f"{BASE}/200"), headers=canary.headers, cookies=canary.cookies, content=canary.body
        )
        text, _ = scraped(SessionCollector(session))
    assert "peer.test" in text
    assert canary.leaks(text) == []


def test_without_prometheus_client_the_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "prometheus_client", None)
    with pytest.raises(ImportError, match=r"netio-http\[prometheus\]"):
        SessionCollector({})
