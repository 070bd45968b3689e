"""OpenTelemetry: a client span for each attempt, and the duration metric, under the stable HTTP conventions (1.23.0).

It is a policy, since it adds header fields: the last one of the list sees each attempt of a retry, each side of a hedge
and each hop of a redirect, and its span is the parent of what the server does with it. `url.full` has no userinfo, and
no query but "?...", which may hold secrets.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from netio.message import USUAL_METHODS, Request, Response, Send

if TYPE_CHECKING:
    from opentelemetry.metrics import MeterProvider
    from opentelemetry.trace import Span, TracerProvider

_METHODS = USUAL_METHODS | {"CONNECT", "TRACE", "QUERY"}
_BUCKETS = (0.005, 0.01, 0.025, 0.05, 0.075, 0.1, 0.25, 0.5, 0.75, 1.0, 2.5, 5.0, 7.5, 10.0)  # of the conventions

CANCELLED = "cancelled"
"""The `error.type` of what was given up from outside, as the slower side of a hedge is; no error is its status."""


class OpenTelemetry:
    """Report to OpenTelemetry; give it last: `policies=[*netio.policy.standard(), OpenTelemetry()]`.

    * `tracer_provider`, `meter_provider`: the global ones by default.
    * `propagates`: whether requests carry the context (traceparent and its kin) by the global propagator.

    The span of a streamed response ends when its body does; the duration ends with the head. Raises `ImportError` if
    opentelemetry-api is not installed (extra `otel`).
    """

    def __init__(
        self,
        *,
        tracer_provider: TracerProvider | None = None,
        meter_provider: MeterProvider | None = None,
        propagates: bool = True,
    ) -> None:
        try:
            from opentelemetry import context, metrics, propagate, trace
        except ImportError as error:
            raise ImportError("OpenTelemetry is not installed: pip install 'netio-http[otel]'") from error
        self._trace: Any = trace
        self._context: Any = context
        self._inject: Any = propagate.inject if propagates else None
        self._tracer = trace.get_tracer("netio", tracer_provider=tracer_provider)
        self._duration = metrics.get_meter("netio", meter_provider=meter_provider).create_histogram(
            "http.client.request.duration",
            unit="s",
            description="Duration of HTTP client requests.",
            explicit_bucket_boundaries_advisory=_BUCKETS,
        )

    async def __call__(self, request: Request, send: Send) -> Response:
        labels = _labels(request)
        name = request.method if request.method in _METHODS else "HTTP"
        span = self._tracer.start_span(name, kind=self._trace.SpanKind.CLIENT, attributes=labels | _details(request))
        context = self._trace.set_span_in_context(span)
        started = request.clock.now()
        token = self._context.attach(context)
        try:
            response = await send(request if self._inject is None else self._carrying(request, context))
        except BaseException as error:
            self._end(span, labels, request.clock.now() - started, {"error.type": _kind_of(error)})
            raise
        finally:
            self._context.detach(token)
        self._answered(span, labels, response, request.clock.now() - started)
        return response

    def _carrying(self, request: Request, context: Any) -> Request:
        """Return the request with the fields that propagate the context."""
        fields: dict[str, str] = {}
        self._inject(fields, context)
        for field, value in fields.items():
            request = request.with_field(field, value)
        return request

    def _answered(self, span: Span, labels: dict[str, Any], response: Response, seconds: float) -> None:
        outcome: dict[str, Any] = {"http.response.status_code": response.status_code}
        if response.status_code >= 400:
            outcome["error.type"] = str(response.status_code)
        outcome["network.protocol.version"] = response.http_version.removeprefix("HTTP/")
        connection = response.timings.connection
        if connection is not None and isinstance(connection.peer, tuple):
            address, port = connection.peer
            span.set_attributes({"network.peer.address": address, "network.peer.port": port})
        self._duration.record(seconds, labels | outcome)
        self._set(span, outcome)
        response.on_close(span.end)

    def _end(self, span: Span, labels: dict[str, Any], seconds: float, outcome: dict[str, Any]) -> None:
        self._duration.record(seconds, labels | outcome)
        self._set(span, outcome)
        span.end()

    def _set(self, span: Span, outcome: dict[str, Any]) -> None:
        span.set_attributes(outcome)
        if outcome.get("error.type") not in (None, CANCELLED):
            span.set_status(self._trace.StatusCode.ERROR)


def _kind_of(error: BaseException) -> str:
    """Return the name of an error; cancellations have one of their own on each event loop, and are no verdict."""
    if not isinstance(error, Exception):
        return CANCELLED
    return f"{type(error).__module__}.{type(error).__qualname__}".removeprefix("builtins.")


def _labels(request: Request) -> dict[str, Any]:
    """Return what spans and metrics are told apart by; few values, whatever the server does."""
    origin = request.url.origin
    return {
        "http.request.method": request.method if request.method in _METHODS else "_OTHER",
        "server.address": origin.host,
        "server.port": origin.port,
        "url.scheme": request.url.scheme,
    }


def _details(request: Request) -> dict[str, Any]:
    details: dict[str, Any] = {"url.full": request.url.redacted}
    if request.method not in _METHODS:
        details["http.request.method_original"] = request.method
    if request.repeats:
        details["http.request.resend_count"] = request.repeats
    return details
