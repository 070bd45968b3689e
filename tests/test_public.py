"""The public face: a name or an argument that comes, goes or changes is a change of this page too."""

from __future__ import annotations

import builtins
import inspect
import re
import subprocess
import sys
import tomllib
import typing
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

import netio
import netio.testing
from netio import errors
from netio.client import RequestOptions

PROJECT = Path(__file__).parent.parent

NAMES = [
    "Address",
    "AddressPolicy",
    "AddressRefused",
    "AiodnsResolver",
    "Answer",
    "Attempt",
    "AttemptTimedOut",
    "Batch",
    "BodySource",
    "BodyTooLarge",
    "BodyUnavailable",
    "BulkheadFull",
    "CaresResolver",
    "CertificateError",
    "CircuitOpen",
    "Clock",
    "ConnectError",
    "ConnectTimeout",
    "ConnectionLost",
    "CredentialsError",
    "DecodeError",
    "EventStream",
    "EventStreamError",
    "Headers",
    "IncompleteBody",
    "InsecureWarning",
    "InvalidRequest",
    "InvalidURL",
    "KeepAlive",
    "Limits",
    "NetioError",
    "Network",
    "Origin",
    "Outcome",
    "Policy",
    "PoolTimeout",
    "ProtocolError",
    "Proxy",
    "ProxyError",
    "QueueFull",
    "RateLimited",
    "ReadTimeout",
    "RedirectError",
    "Rejected",
    "Request",
    "RequestBody",
    "RequestBodyError",
    "RequestError",
    "ResolveError",
    "Resolver",
    "Response",
    "Send",
    "ServerSentEvent",
    "ServiceBinding",
    "Session",
    "SessionClosed",
    "SessionStats",
    "StaticResolver",
    "StatusError",
    "StreamReset",
    "SystemClock",
    "SystemResolver",
    "TLS",
    "TLSError",
    "TimeoutError",
    "Timeouts",
    "TooManyRedirects",
    "TotalTimeout",
    "TriedAddress",
    "URL",
    "WriteTimeout",
    "WrongEventLoop",
    "deny_private",
    "policy",
]

OPTIONS = [
    "params",
    "headers",
    "content",
    "data",
    "json",
    "timeout",
    "policies",
    "files",
    "progress",
    "trailers",
    "max_body",
    "on_informational",
    "cookies",
    "follow_redirects",
    "auth",
]
SIGNATURES = {
    netio.Session: "*, base_url=, params=, headers=, policies=, "
    "follow_redirects=, cookies=, auth=, decode=, json_encoder=, json_decoder=, max_body=, timeout=, "
    "limits=, verify=, http2=, proxy=, trust_env=, network=, connect=, send=, clock=, engine=, observer=, metrics=",
    netio.Session.build_request: "self, method, url, **options",
    netio.Session.request: "self, method, url, **options",
    netio.Session.stream: "self, method, url, **options",
    netio.Session.send: "self, request, *, stream=, **options",
    netio.Session.sse: "self, url, *, method=, last_event_id=, reconnect=, idle=, max_event=, **options",
    netio.Session.get: "self, url, **options",
    netio.Session.head: "self, url, **options",
    netio.Session.options: "self, url, **options",
    netio.Session.post: "self, url, **options",
    netio.Session.put: "self, url, **options",
    netio.Session.patch: "self, url, **options",
    netio.Session.delete: "self, url, **options",
    netio.Session.download: "self, url, path, *, progress=, durable=, attempts=, **options",
    netio.Session.batch: "self, requests, *, concurrency=",
    netio.Session.connect: "self, url, count=",
    netio.Session.stats: "self",
    netio.Session.aclose: "self",
    netio.Request: "method, url, *, headers=, body=, timeouts=, deadline=, body_deadline=, is_streamed=, "
    "clock=, observer=, started=, redirected_by=, repeats=, reading=",
    netio.Response: "status_code, *, request, headers=, content=, json=, source=, reason_phrase=, http_version=",
    netio.Timeouts: "*, total=, pool=, connect=, read=, write=",
    netio.Limits: "*, connections=, connections_per_origin=, idle=, idle_seconds=, connection_age=, queued=, "
    "ping_after=, ping_timeout=, ping_when_idle=",
    netio.Answer: "addresses, ttl=, bindings=, is_complete=",
    netio.ServiceBinding: "*, priority, target, alpn=, no_default_alpn=, port=, ipv4_hints=, ipv6_hints=",
    netio.CaresResolver: "*, servers=, timeout=, tries=, search=, https_records=",
    netio.SystemResolver: "",
    netio.StaticResolver: "hosts",
    netio.AiodnsResolver: "resolver",
    netio.TLS: "*, verify=, ca=, certificate=, server_hostname=, minimum_version=, ciphers=, key_log=, pins=, "
    "sessions=",
    netio.Network: "*, resolver=, hosts=, address_policy=, local_address=, unix_socket=, no_delay=, keep_alive=, "
    "receive_buffer=, send_buffer=, user_timeout=, socket_options=, attempt_delay=, attempt_timeout=, max_attempts=",
    netio.KeepAlive: "*, idle=, interval=, probes=",
    netio.deny_private: "*, allow=",
    netio.Headers: "fields=",
    netio.URL: "text",
    netio.Origin: "scheme, host, port",
    netio.RequestError: "message=, *, request=, phase=, sent=",
    netio.StatusError: "message, *, response",
    netio.policy.Retry: "*, attempts=, statuses=, errors=, when=, methods=, base=, cap=, jitter=, "
    "retry_after_cap=, connect=, read=, status=, budget=, clock=, random=",
    netio.policy.RetryBudget: "*, ratio=, floor=, capacity=, limit=",
    netio.policy.CircuitBreaker: "*, failure_rate=, slow_rate=, slow_seconds=, minimum_calls=, window_calls=, "
    "window_seconds=, probes=, open_seconds=, longest_open_seconds=, jitter=, failed=, key=, limit=, clock=, random=",
    netio.policy.CircuitBreaker.simple: "*, failure_threshold=, recovery_timeout=, clock=",
    netio.policy.Deadline: "seconds, *, header=",
    netio.policy.AttemptTimeout: "seconds, *, header=",
    netio.policy.RateLimit: "rate, *, burst=, longest_wait=, follow=, longest_pause=, key=, limit=, clock=",
    netio.policy.Bulkhead: "concurrency=, *, queue=, longest_wait=, key=, limit=, clock=",
    netio.policy.AdaptiveLimit: "*, initial=, floor=, ceiling=, tolerance=, window_seconds=, window_samples=, "
    "queue=, longest_wait=, key=, limit=, clock=",
    netio.policy.Hedge: "delay=, *, percentile=, least_delay=, budget=, key=, limit=, clock=",
    netio.policy.Fallback: "handler, *, when=",
    netio.policy.SingleFlight: "*, key=, limit=, clock=",
    netio.policy.Auth: "*, origins=",
    netio.policy.BasicAuth: "username, password, *, origins=",
    netio.policy.BearerAuth: "token, *, origins=",
    netio.policy.DigestAuth: "username, password, *, origins=",
    netio.policy.NetrcAuth: "path=",
    netio.policy.Cookies: "jar=",
    netio.policy.CookieJar: "*, is_public_suffix=, now=",
    netio.policy.Decode: "*, max_body=, max_stream=, max_ratio=",
    netio.policy.Redirects: "limit=, *, secrets=, allow_http=",
    netio.policy.standard: "*, rate_limit=, bulkhead=, retry=, breaker=, attempt_timeout=",
    netio.policy.compose: "policies, send",
    netio.testing.FakeClock: "start=",
    netio.testing.MemoryNetwork: "capacity=",
}

COROUTINES = [
    "aclose",
    "connect",
    "delete",
    "download",
    "get",
    "head",
    "options",
    "patch",
    "post",
    "put",
    "request",
    "send",
]
RESPONSE = [
    "aclose",
    "aiter_bytes",
    "aiter_json_lines",
    "aiter_lines",
    "aiter_raw",
    "aiter_text",
    "aread",
    "attempts",
    "charset",
    "content",
    "content_length",
    "decode_by",
    "elapsed",
    "elapsed_seconds",
    "headers",
    "history",
    "http_version",
    "is_closed",
    "is_success",
    "json",
    "may_be_coded",
    "on_close",
    "raise_for_status",
    "reason_phrase",
    "received",
    "request",
    "save",
    "status_code",
    "text",
    "timings",
    "trailers",
    "url",
]


# ---------------------------------------------------------------------- names


def test_public_names() -> None:
    assert sorted(netio.__all__) == sorted(NAMES)
    assert netio.policy.__all__ == [
        "RETRIED_ERRORS",
        "RETRIED_STATUSES",
        "AdaptiveLimit",
        "AttemptTimeout",
        "Auth",
        "BasicAuth",
        "BearerAuth",
        "Bulkhead",
        "CircuitBreaker",
        "CircuitStats",
        "Cookie",
        "CookieJar",
        "Cookies",
        "Credentials",
        "Deadline",
        "Decode",
        "DigestAuth",
        "Fallback",
        "Hedge",
        "NetrcAuth",
        "RateLimit",
        "Redirects",
        "Retry",
        "RetryBudget",
        "SingleFlight",
        "State",
        "Token",
        "UserinfoAuth",
        "compose",
        "cookie_field",
        "load_cookies",
        "peer_failed",
        "save_cookies",
        "standard",
    ]
    assert netio.testing.__all__ == [
        "Answer",
        "Chaos",
        "Cut",
        "Failure",
        "FakeClock",
        "Fault",
        "Handler",
        "Latency",
        "MemoryNetwork",
        "MemoryStream",
        "Step",
        "Way",
        "cancel_at",
        "cancel_everywhere",
        "ways_to_cancel",
    ]


@pytest.mark.parametrize("module", [netio, netio.policy, netio.testing, errors])
def test_every_public_name_is_there(module: Any) -> None:
    assert len(set(module.__all__)) == len(module.__all__)
    assert [name for name in module.__all__ if not hasattr(module, name)] == []


@pytest.mark.parametrize("module", [netio, netio.policy, netio.testing])
def test_nothing_else_is_public(module: Any) -> None:
    found = {name for name, value in vars(module).items() if name[0] != "_" and not isinstance(value, ModuleType)}
    assert found - set(module.__all__) == set()


def test_every_error_is_a_public_name() -> None:
    assert set(errors.__all__) - set(netio.__all__) == {"Phase"}


def test_version_is_that_of_the_distribution() -> None:
    project = tomllib.loads((PROJECT / "pyproject.toml").read_text())["project"]
    assert netio.__version__ == project["version"]
    assert project["scripts"] == {"netio": "netio.cli:main"}
    assert (PROJECT / "netio" / "py.typed").exists()


def test_importing_netio_imports_nothing_optional() -> None:
    code = "import sys, netio; print(*sys.modules)"
    run = subprocess.run(
        [sys.executable, "-c", code], cwd=PROJECT, capture_output=True, text=True, check=True, timeout=60
    )
    loaded = {name.partition(".")[0] for name in run.stdout.split()} | set(run.stdout.split())
    optional = {
        "trio",
        "uvloop",
        "rich",
        "hypercorn",
        "trustme",
        "pytest",
        "netio.cli",
        "netio.testing",
        "netio.adapters",
    }
    assert loaded & optional == set()


# ---------------------------------------------------------------------- signatures


def written(function: Any) -> str:
    """Return a signature without types and values: a parameter with a default ends in =."""
    parts: list[str] = []
    is_keyword_only = False
    for parameter in inspect.signature(function).parameters.values():
        if parameter.kind is parameter.KEYWORD_ONLY and not is_keyword_only:
            is_keyword_only = True
            parts.append("*")
        stars = "**" if parameter.kind is parameter.VAR_KEYWORD else ""
        parts.append(f"{stars}{parameter.name}{'' if parameter.default is parameter.empty else '='}")
    return ", ".join(parts)


@pytest.mark.parametrize(
    ("function", "expected"), SIGNATURES.items(), ids=lambda value: getattr(value, "__qualname__", "")
)
def test_signature(function: Any, expected: str) -> None:
    assert written(function) == expected


def test_options_of_a_request() -> None:
    assert list(RequestOptions.__annotations__) == OPTIONS
    for name in ("build_request", "request", "stream", "get", "head", "options", "post", "put", "patch", "delete"):
        hints = typing.get_type_hints(getattr(netio.Session, name))
        assert hints["options"] == typing.Unpack[RequestOptions]


def test_every_public_method_of_a_session_is_pinned() -> None:
    methods = {name: value for name, value in vars(netio.Session).items() if name[0] != "_"}
    functions = {name for name, value in methods.items() if inspect.isfunction(value)}
    assert functions == {function.__name__ for function in SIGNATURES if inspect.isfunction(function)} - {
        "compose",
        "deny_private",
        "standard",
    }
    assert set(methods) - functions == {"base_url", "cookies", "headers", "timeouts", "is_closed"}
    assert sorted(name for name in functions if inspect.iscoroutinefunction(methods[name])) == COROUTINES


def test_every_public_attribute_of_a_response_is_pinned() -> None:
    assert sorted(name for name in dir(netio.Response) if name[0] != "_") == RESPONSE


@pytest.mark.parametrize("function", SIGNATURES, ids=lambda value: getattr(value, "__qualname__", ""))
def test_every_annotation_can_be_resolved(function: Any) -> None:
    function = function.__init__ if inspect.isclass(function) else function
    # errors.py cannot import message.py, which imports it.
    names = {"Request": netio.Request, "Response": netio.Response}
    hints = typing.get_type_hints(function, localns=names)
    assert set(inspect.get_annotations(function)) == set(hints)


# ---------------------------------------------------------------------- the tree of errors


def drawn_tree() -> Iterator[tuple[str, str, str]]:
    """Read the drawing in errors.py: each name, the name that it hangs on, and what is said about it."""
    path: list[str] = []
    for line in (errors.__doc__ or "").splitlines():
        found = re.fullmatch(r"    ((?:│   |    )*)([├└]── )?(\w+)(?: +(.*))?", line)
        if found is None:
            continue
        indent, branch, name, words = found.groups()
        depth = len(indent) // 4 + bool(branch)
        path[depth:] = [name]
        yield name, path[depth - 1] if depth else "", words or ""


def test_tree_of_errors_is_drawn_as_it_is() -> None:
    drawn = {name: parent for name, parent, _ in drawn_tree()}
    classes = {name: cls for name in errors.__all__ if isinstance(cls := getattr(errors, name), type)}
    real = {
        name: ""
        if cls is errors.NetioError
        else next(base.__name__ for base in cls.__bases__ if base in classes.values())
        for name, cls in classes.items()
    }
    assert drawn == real
    assert len(drawn) == 37


def test_tree_of_errors_has_no_diamonds() -> None:
    for name, _, words in drawn_tree():
        cls = getattr(errors, name)
        own = [base for base in cls.__bases__ if issubclass(base, errors.NetioError)]
        foreign = [base for base in cls.__bases__ if not issubclass(base, errors.NetioError)]
        assert len(own) == (cls is not errors.NetioError)
        expected = {"(also the builtin TimeoutError)": [builtins.TimeoutError], "(a ValueError)": [ValueError]}
        said = [bases for text, bases in expected.items() if text in words]
        assert foreign == (said[0] if said else [Exception] if cls is errors.NetioError else [])


def test_drawing_says_what_an_error_carries() -> None:
    words = {name: text for name, _, text in drawn_tree()}
    request_error, reset = netio.RequestError("x"), netio.StreamReset("x", code=7)
    assert words["RequestError"] == "has .request, .phase and .sent"
    assert (request_error.request, request_error.phase, request_error.sent) == (None, "build", False)
    assert words["StreamReset"].endswith(".code says why")
    assert reset.code == 7
    assert words["Rejected"].endswith("sent is always False")
    assert all(
        not getattr(errors, name).sent
        for name in ("Rejected", "QueueFull", "CircuitOpen", "RateLimited", "BulkheadFull")
    )
