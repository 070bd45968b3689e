"""The embedded origin, asked by http.client so that nothing of netio stands between."""

from __future__ import annotations

import hashlib
import http.client
import json
import signal
import socket
import ssl
import subprocess
import sys
import threading
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from netio.cli import _origin
from netio.cli._exits import CommandError, Usage
from netio.cli._origin import Origin, running_origin
from netio.cli.origin_app import content
from tests.cli.conftest import SECONDS, environment


def ask(
    origin: Origin, path: str, *, method: str = "GET", body: bytes | None = None, fields: dict[str, str] | None = None
) -> tuple[int, bytes, http.client.HTTPMessage]:
    connection = http.client.HTTPConnection(urlsplit(origin.http).netloc, timeout=SECONDS)
    try:
        connection.request(method, path, body, fields or {})
        response = connection.getresponse()
        return response.status, response.read(), response.headers
    finally:
        connection.close()


def test_the_root_is_200_bytes_of_json(origin: Origin) -> None:
    status, body, headers = ask(origin, "/")
    assert (status, len(body), headers["content-type"]) == (200, 200, "application/json")
    assert json.loads(body)["hello"] == "from netio's embedded origin"


@pytest.mark.parametrize("size", [0, 1, 32_768, 65_521, 200_000])
def test_bytes_are_the_same_each_time_and_declared(origin: Origin, size: int) -> None:
    status, body, headers = ask(origin, f"/bytes/{size}")
    assert (status, headers["content-length"], body) == (200, str(size), content(size))


def test_bytes_without_a_length_are_chunked(origin: Origin) -> None:
    _, body, headers = ask(origin, "/bytes/70000?length=no")
    assert (headers["content-length"], headers["transfer-encoding"], body) == (None, "chunked", content(70_000))


def test_exchanged_blocks_would_be_seen_in_the_content() -> None:
    whole = content(1 << 20)
    blocks = {whole[start : start + 4_096] for start in range(0, 1 << 20, 4_096)}
    assert len(blocks) == 256


def test_echo_gives_back_what_came(origin: Origin) -> None:
    status, body, headers = ask(origin, "/echo", method="POST", body=b"abc" * 9, fields={"Content-Type": "text/x-abc"})
    assert (status, body, headers["content-type"], headers["content-length"]) == (200, b"abc" * 9, "text/x-abc", "27")


def test_an_upload_is_counted_and_digested(origin: Origin) -> None:
    _, body, _ = ask(origin, "/upload", method="PUT", body=content(300_000))
    assert json.loads(body) == {"bytes": 300_000, "sha256": hashlib.sha256(content(300_000)).hexdigest()}


def test_headers_shows_the_request(origin: Origin) -> None:
    _, body, _ = ask(origin, "/headers?a=1&b", method="OPTIONS", fields={"X-Letter": "\xe9"})
    seen = json.loads(body)
    assert (seen["method"], seen["http_version"], seen["path"], seen["query"]) == (
        "OPTIONS",
        "1.1",
        "/headers",
        "a=1&b",
    )
    assert ["x-letter", "\xe9"] in [[name.lower(), value] for name, value in seen["headers"]]


@pytest.mark.parametrize("status", [200, 204, 304, 404, 503, 599])
def test_any_final_status_can_be_asked_for(origin: Origin, status: int) -> None:
    assert ask(origin, f"/status/{status}")[:2] == (status, b"")


def test_every_fifth_id_is_refused_twice_and_then_again(origin: Origin) -> None:
    assert [ask(origin, "/flaky?id=25")[0] for _ in range(6)] == [503, 503, 200, 503, 503, 200]
    assert [ask(origin, "/flaky?id=26")[0] for _ in range(3)] == [200, 200, 200]


def test_a_drip_comes_in_pieces(origin: Origin) -> None:
    assert ask(origin, "/drip?count=7&size=11&delay=0.001")[1] == content(77)


def test_slow_answers_in_the_end(origin: Origin) -> None:
    assert ask(origin, "/slow?seconds=0.001")[:2] == (200, b"slept\n")


@pytest.mark.parametrize(
    "path",
    ["/status/99", "/status/600", "/bytes/-1", "/bytes/9999999999999", "/slow?seconds=nan", "/drip?size=99999999"],
)
def test_a_bad_number_is_the_caller_s_fault(origin: Origin, path: str) -> None:
    assert ask(origin, path)[0] == 400


@pytest.mark.parametrize("path", ["/none", "/echo/1", "/status"])
def test_other_paths_are_not_there(origin: Origin, path: str) -> None:
    assert ask(origin, path)[0] == (400 if path == "/status" else 404)


def test_tls_offers_both_protocols_with_a_certificate_of_its_authority(origin: Origin) -> None:
    address = urlsplit(origin.https)
    for offered, chosen in ([["h2", "http/1.1"], "h2"], [["http/1.1"], "http/1.1"]):
        context = ssl.create_default_context(cafile=origin.authority_file)
        context.set_alpn_protocols(list(offered))
        with (
            socket.create_connection((address.hostname, address.port), SECONDS) as plain,
            context.wrap_socket(plain, server_hostname="127.0.0.1") as secure,
        ):
            assert secure.selected_alpn_protocol() == chosen


def test_the_end_of_the_block_ends_the_process_and_removes_the_files() -> None:
    with running_origin() as origin:
        assert ask(origin, "/")[0] == 200
    assert not Path(origin.authority_file).parent.exists()
    with pytest.raises(ConnectionRefusedError):
        ask(origin, "/")


def test_neither_the_origin_nor_its_files_outlive_a_parent_that_is_killed() -> None:
    script = (
        "from netio.cli._origin import running_origin\n"
        "import signal\n"
        "with running_origin() as origin:\n"
        "    print(origin.http, origin.authority_file, flush=True)\n"
        "    signal.pause()\n"
    )
    parent = subprocess.Popen(
        [sys.executable, "-c", script], env=environment(), stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )
    assert parent.stdout is not None
    try:
        address, authority_file = parent.stdout.readline().decode().split()
    finally:
        parent.send_signal(signal.SIGKILL)
    # The origin has inherited stderr: its end comes when parent and origin are both gone.
    _, complaints = parent.communicate(timeout=SECONDS)
    assert complaints == b""
    assert not Path(authority_file).parent.exists()
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection((urlsplit(address).hostname, urlsplit(address).port), SECONDS)


def test_a_child_that_does_not_come_up_is_an_error_in_words(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_origin, "_START_SECONDS", 0.0)
    before = threading.active_count()
    with pytest.raises(CommandError, match="the embedded origin did not start"):
        with running_origin():
            pass
    assert threading.active_count() == before


def test_a_missing_package_is_named_with_its_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "trustme", None)
    with pytest.raises(Usage, match=r"trustme is not installed: pip install 'netio-http\[demo\]'"):
        with running_origin():
            pass
