"""What OpenTelemetry reports, collected by the SDK's exporters in memory."""

from __future__ import annotations

import re
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import anyio
import pytest
from opentelemetry import trace
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import HistogramDataPoint, InMemoryMetricReader
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.sdk.trace.sampling import ALWAYS_OFF
from opentelemetry.semconv.attributes import (
    error_attributes,
    http_attributes,
    network_attributes,
    server_attributes,
    url_attributes,
)
from opentelemetry.semconv.metrics.http_metrics import HTTP_CLIENT_REQUEST_DURATION

import netio
from netio.adapters import OpenTelemetry, _opentelemetry
from netio.message import Policy
from netio.policy import Hedge, Retry
from netio.testing import Answer, Chaos, MemoryNetwork
from tests.adapters.conftest import BASE, Server
from tests.canary import Canary

pytestmark = pytest.mark.anyio


class Collected:
    """The adapter on providers of its own, and what they have collected."""

    def __init__(self) -> None:
        self._exporter = InMemorySpanExporter()
        self.tracers = TracerProvider()
        self.tracers.add_span_processor(SimpleSpanProcessor(self._exporter))
        self._reader = InMemoryMetricReader()
        meters = MeterProvider(metric_readers=[self._reader])
        self.policy = OpenTelemetry(tracer_provider=self.tracers, meter_provider=meters)

    @property
    def spans(self) -> list[ReadableSpan]:
        return list(self._exporter.get_finished_spans())

    def attributes(self, number: int = -1) -> Mapping[str, Any]:
        return self.spans[number].attributes or {}

    def points(self) -> list[HistogramDataPoint]:
        data = self._reader.get_metrics_data()
        assert data is not None
        (metric,) = data.resource_metrics[0].scope_metrics[0].metrics
        assert (metric.name, metric.unit) == ("http.client.request.duration", "s")
        return list(metric.data.data_points)  # type: ignore[arg-type]


@pytest.fixture
def collected() -> Collected:
    return Collected()


async def test_a_request_is_a_client_span_under_the_stable_names(network: MemoryNetwork, collected: Collected) -> None:
    async with netio.Session(connect=network.connect, policies=[collected.policy]) as session:
        await session.get(f"{BASE}/200")
    (span,) = collected.spans
    assert (span.name, span.kind) == ("GET", trace.SpanKind.CLIENT)
    assert dict(collected.attributes()) == {
        "http.request.method": "GET",
        "server.address": "peer.test",
        "server.port": 80,
        "url.scheme": "http",
        "url.full": "http://peer.test/200",
        "http.response.status_code": 200,
        "network.protocol.version": "1.1",
    }
    (point,) = collected.points()
    assert (point.count, point.attributes) == (
        1,
        {
            "http.request.method": "GET",
            "server.address": "peer.test",
            "server.port": 80,
            "url.scheme": "http",
            "http.response.status_code": 200,
            "network.protocol.version": "1.1",
        },
    )


async def test_the_context_travels_and_the_span_is_a_child(
    network: MemoryNetwork, server: Server, collected: Collected
) -> None:
    async with netio.Session(connect=network.connect, policies=[collected.policy]) as session:
        with trace.get_tracer("test", tracer_provider=collected.tracers).start_as_current_span("outer") as outer:
            await session.get(f"{BASE}/200")
    span = collected.spans[0]
    assert span.parent is not None
    assert span.parent.span_id == outer.get_span_context().span_id
    context = span.get_span_context()
    assert context is not None
    assert server.fields()["traceparent"].startswith(f"00-{context.trace_id:032x}-{context.span_id:016x}-")


async def test_each_attempt_is_a_span_and_says_which(collected: Collected) -> None:
    retry = Retry(attempts=3, base=0.001, cap=0.001)
    chaos = Chaos(script=[Answer(503), None])

    async def answer(request: netio.Request) -> netio.Response:
        return netio.Response(200, request=request)

    async with netio.Session(send=answer, policies=[retry, collected.policy, chaos]) as session:
        assert (await session.get(f"{BASE}/200")).status_code == 200
    first, second = collected.spans
    assert first.attributes is not None
    assert second.attributes is not None
    assert (first.attributes["http.response.status_code"], first.attributes["error.type"]) == (503, "503")
    assert first.status.status_code is trace.StatusCode.ERROR
    assert "http.request.resend_count" not in first.attributes
    assert second.attributes["http.request.resend_count"] == 1
    assert second.status.status_code is trace.StatusCode.UNSET


async def test_an_error_ends_its_span_with_its_type(network: MemoryNetwork, collected: Collected) -> None:
    async with netio.Session(connect=network.connect, policies=[collected.policy]) as session:
        with pytest.raises(netio.ConnectionLost):
            await session.post(f"{BASE}/cut")
    assert collected.attributes()["error.type"].startswith("netio.errors.")
    assert collected.spans[0].status.status_code is trace.StatusCode.ERROR
    assert collected.points()[0].count == 1


async def test_the_span_of_a_stream_ends_with_its_body(network: MemoryNetwork, collected: Collected) -> None:
    async with netio.Session(connect=network.connect, policies=[collected.policy]) as session:
        async with session.stream("GET", f"{BASE}/200") as response:
            before = len(collected.spans)
            await response.aread()
    assert (before, len(collected.spans)) == (0, 1)


async def test_a_method_of_ones_own_does_not_widen_the_labels(network: MemoryNetwork, collected: Collected) -> None:
    async with netio.Session(connect=network.connect, policies=[collected.policy]) as session:
        await session.request("BREW", f"{BASE}/200")
    assert collected.spans[0].name == "HTTP"
    assert collected.attributes()["http.request.method"] == "_OTHER"
    assert collected.attributes()["http.request.method_original"] == "BREW"


@pytest.mark.parametrize("path", ["/200", "/cut"])
async def test_log_01_no_secret_is_in_a_span_or_a_label(
    network: MemoryNetwork, collected: Collected, path: str
) -> None:
    canary = Canary()
    async with netio.Session(connect=network.connect, policies=[collected.policy]) as session:
        try:
            await session.post(
                canary.url(f"{BASE}{path}"), headers=canary.headers, cookies=canary.cookies, content=canary.body
            )
        except netio.NetioError:
            assert path == "/cut"
    text = "".join(span.to_json() for span in collected.spans) + repr(collected.points())
    assert "http://peer.test" in text
    assert canary.leaks(text) == []


async def test_what_was_cancelled_is_no_error_and_leaves_no_context_behind(collected: Collected) -> None:
    async def answer(request: netio.Request) -> netio.Response:
        await anyio.sleep_forever()
        raise AssertionError

    async with netio.Session(send=answer, policies=[collected.policy]) as session:
        with anyio.move_on_after(0.01):
            await session.get(f"{BASE}/200")
        assert not trace.get_current_span().get_span_context().is_valid
    assert collected.attributes()["error.type"] == "cancelled"
    assert collected.spans[0].status.status_code is trace.StatusCode.UNSET
    assert collected.points()[0].count == 1


async def test_the_slower_side_of_a_hedge_is_a_span_that_was_cancelled(collected: Collected) -> None:
    sent = 0

    async def answer(request: netio.Request) -> netio.Response:
        nonlocal sent
        sent += 1
        if sent == 1:
            await anyio.sleep_forever()
        return netio.Response(200, request=request)

    policies: list[Policy] = [Hedge(delay=0.01), collected.policy]
    async with netio.Session(send=answer, policies=policies) as session:
        assert (await session.get(f"{BASE}/200")).status_code == 200
    assert sorted(str((span.attributes or {}).get("error.type", "")) for span in collected.spans) == ["", "cancelled"]


async def test_a_propagator_that_fails_ends_the_span(collected: Collected) -> None:
    def inject(fields: dict[str, str], context: object) -> None:
        fields["tracestate"] = "two\nlines"

    collected.policy._inject = inject
    async with netio.Session(send=netio_answer, policies=[collected.policy]) as session:
        with pytest.raises(netio.InvalidRequest):
            await session.get(f"{BASE}/200")
    assert collected.attributes()["error.type"] == "netio.errors.InvalidRequest"
    assert not trace.get_current_span().get_span_context().is_valid


async def test_a_response_that_is_closed_in_another_task_ends_its_span(
    network: MemoryNetwork, collected: Collected
) -> None:
    async with netio.Session(connect=network.connect, policies=[collected.policy]) as session:
        async with anyio.create_task_group() as group, session.stream("GET", f"{BASE}/200") as response:
            group.start_soon(response.aclose)
            await anyio.wait_all_tasks_blocked()
            assert len(collected.spans) == 1
            assert not trace.get_current_span().get_span_context().is_valid


async def test_what_is_not_sampled_still_carries_the_context(collected: Collected) -> None:
    seen: list[str] = []

    async def answer(request: netio.Request) -> netio.Response:
        seen.append(request.headers["traceparent"])
        return netio.Response(200, request=request)

    policy = OpenTelemetry(tracer_provider=TracerProvider(sampler=ALWAYS_OFF), meter_provider=MeterProvider())
    async with netio.Session(send=answer, policies=[policy]) as session:
        await session.get(f"{BASE}/200")
    assert seen[0].endswith("-00") or seen[0].endswith("-02")  # the second bit says that the id is random


def test_the_names_are_those_of_the_conventions() -> None:
    known = {
        value
        for module in (error_attributes, http_attributes, network_attributes, server_attributes, url_attributes)
        for name, value in vars(module).items()
        if name.isupper() and isinstance(value, str)
    }
    source = Path(_opentelemetry.__file__).read_text()
    used = set(re.findall(r'"((?:error|http|network|server|url)\.[a-z_.]+)"', source)) - {HTTP_CLIENT_REQUEST_DURATION}
    assert len(used) == 12
    assert used <= known


async def netio_answer(request: netio.Request) -> netio.Response:
    return netio.Response(200, request=request)


def test_without_opentelemetry_the_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "opentelemetry", None)
    with pytest.raises(ImportError, match=r"netio-http\[otel\]"):
        OpenTelemetry()
