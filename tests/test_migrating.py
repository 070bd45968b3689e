"""docs/migrating.md names every argument of the libraries that people come from; httpx has those of httpx2."""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable
from typing import Any

import pytest

import netio
from tests.docs.pages import PROJECT

PAGE = (PROJECT / "docs" / "migrating.md").read_text()

SIGNATURES = [
    (
        "httpx2.AsyncClient",
        "httpx2:AsyncClient.__init__",
        "auth params headers cookies verify cert http1 http2 proxy mounts timeout follow_redirects limits "
        "max_redirects event_hooks base_url transport trust_env default_encoding",
    ),
    (
        "httpx2 request",
        "httpx2:AsyncClient.request",
        "content data files json params headers cookies auth follow_redirects timeout extensions",
    ),
    (
        "httpx2.Limits",
        "httpx2:Limits.__init__",
        "max_connections max_keepalive_connections keepalive_expiry",
    ),
    (
        "httpx2.Limits",
        "httpx2:Timeout.__init__",
        "timeout connect read write pool",
    ),
    (
        "aiohttp.ClientSession",
        "aiohttp:ClientSession.__init__",
        "base_url connector loop cookies headers proxy proxy_auth skip_auto_headers auth json_serialize "
        "json_serialize_bytes request_class response_class ws_response_class version cookie_jar "
        "connector_owner raise_for_status read_timeout conn_timeout timeout auto_decompress trust_env "
        "requote_redirect_url trace_configs read_bufsize max_line_size max_field_size max_headers "
        "fallback_charset_resolver middlewares ssl_shutdown_timeout",
    ),
    (
        "aiohttp request",
        "aiohttp:ClientSession._request",
        "params data json cookies headers skip_auto_headers auth allow_redirects max_redirects compress "
        "chunked expect100 raise_for_status read_until_eof proxy proxy_auth timeout verify_ssl "
        "fingerprint ssl_context ssl server_hostname proxy_headers trace_request_ctx read_bufsize "
        "auto_decompress max_line_size max_field_size max_headers middlewares upload_tracker",
    ),
    (
        "aiohttp.TCPConnector",
        "aiohttp:TCPConnector.__init__",
        "verify_ssl fingerprint use_dns_cache ttl_dns_cache dns_cache_max_size family ssl_context ssl "
        "local_addr resolver keepalive_timeout force_close limit limit_per_host enable_cleanup_closed "
        "loop timeout_ceil_threshold happy_eyeballs_delay interleave socket_factory ssl_shutdown_timeout",
    ),
    (
        "aiohttp.ClientTimeout",
        "aiohttp:ClientTimeout.__init__",
        "total connect sock_read sock_connect ceil_threshold",
    ),
    (
        "requests.request",
        "requests:Session.request",
        "params data headers cookies files auth timeout allow_redirects proxies hooks stream verify cert json",
    ),
    (
        "requests.adapters.HTTPAdapter",
        "requests:adapters.HTTPAdapter.__init__",
        "pool_connections pool_maxsize max_retries pool_block",
    ),
]
"""The table, the function, and its arguments when the page was written."""

ATTRIBUTES = "headers cookies auth proxies hooks params verify cert adapters stream trust_env max_redirects"
_SAME = {"self", "method", "url", "str_or_url"}


def named_in(table: str) -> set[str]:
    """Return what stands in backticks in the rows of a table, found by the head of its first column."""
    head = f"| {table} |"
    rows = PAGE[PAGE.index(head) :].partition("\n\n")[0].splitlines()[2:]
    return {name for row in rows for name in re.findall(r"`([A-Za-z_]\w*)", row)}


@pytest.mark.parametrize(("table", "function", "arguments"), SIGNATURES)
def test_every_argument_is_in_the_table(table: str, function: str, arguments: str) -> None:
    assert set(arguments.split()) - named_in(table) == set()


@pytest.mark.parametrize(("table", "function", "arguments"), SIGNATURES)
def test_the_libraries_have_no_other_arguments_where_they_are_installed(
    table: str, function: str, arguments: str
) -> None:
    library, _, path = function.partition(":")
    found: Any = pytest.importorskip(library)
    for part in path.split("."):
        found = getattr(found, part)
    parameters = {each for each in inspect.signature(found).parameters if each not in _SAME and each[0] != "_"}
    assert parameters - set(arguments.split()) == set()


def test_every_attribute_of_a_session_of_requests_is_in_the_table() -> None:
    assert set(ATTRIBUTES.split()) - named_in("requests.Session") == set()


@pytest.mark.parametrize("wanted", ["Session", "Limits", "Timeouts", "Network", "TLS", "Proxy"])
def test_every_argument_that_is_recommended_exists(wanted: str) -> None:
    function: Callable[..., Any] = getattr(netio, wanted)
    parameters = inspect.signature(function).parameters
    calls = re.findall(rf"\b{wanted}\(([^)]*)\)", PAGE)
    recommended = {name for call in calls for name in re.findall(r"(\w+)=", call)}
    assert calls
    assert recommended - parameters.keys() == set()
