"""`netio URL -o FILE`: a file that is there whole or not at all, from servers that break off."""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from netio.cli import main

Capture = pytest.CaptureFixture[bytes]
DATA = bytes(range(256)) * 1_000


class Breaking(ThreadingHTTPServer):
    """Serves `DATA`; of the first `cuts` answers only 10,000 bytes. With `has_mark` it knows ranges."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.cuts = 0
        self.has_mark = True
        self.asked: list[tuple[str, str | None, str | None]] = []
        self.url = f"http://127.0.0.1:{self.server_port}/"


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        server, asked = self.server, self.headers.get("Range")
        assert isinstance(server, Breaking)
        server.asked.append((self.command, asked, self.headers.get("Accept-Encoding")))
        start = int(asked.removeprefix("bytes=").partition("-")[0]) if asked and server.has_mark else 0
        self.send_response(404 if "none" in self.path else 206 if start else 200)
        if server.has_mark:
            self.send_header("ETag", '"one"')
        if start:
            self.send_header("Content-Range", f"bytes {start}-{len(DATA) - 1}/{len(DATA)}")
        self.send_header("Content-Length", str(len(DATA) - start))
        self.end_headers()
        is_cut, server.cuts = server.cuts > 0, server.cuts - 1
        self.wfile.write(DATA[start : start + 10_000] if is_cut else DATA[start:])
        self.close_connection = is_cut

    do_POST = do_GET  # noqa: N815

    def log_message(self, format: str, *args: object) -> None:
        pass


@pytest.fixture
def server() -> Iterator[Breaking]:
    with Breaking() as made:
        thread = threading.Thread(target=made.serve_forever, args=(0.01,))
        thread.start()
        yield made
        made.shutdown()
        thread.join()


def test_a_download_goes_on_where_it_broke_off(server: Breaking, capfdbinary: Capture, tmp_path: Path) -> None:
    server.cuts = 2
    assert main([server.url, "-o", str(tmp_path / "body"), "-v"]) == 0
    seen = capfdbinary.readouterr()
    assert (tmp_path / "body").read_bytes() == DATA
    assert [asked for _, asked, _ in server.asked] == [None, "bytes=10000-", "bytes=20000-"]
    assert {coding for _, _, coding in server.asked} == {"identity"}
    assert seen.out.startswith(b"HTTP/1.1 200 OK\n")  # the first answer is shown, once
    assert seen.out.count(b"HTTP/1.1") == 1
    assert b"* the connection broke after 10000 bytes of body: another request\n" in seen.err
    assert b"* 256000 bytes of body" in seen.err


def test_a_server_that_breaks_off_each_time_is_code_5_and_no_file(
    server: Breaking, capfdbinary: Capture, tmp_path: Path
) -> None:
    server.cuts = 100
    server.has_mark = False
    assert main([server.url, "-o", str(tmp_path / "body")]) == 5
    assert os.listdir(tmp_path) == []
    assert len(server.asked) == 5
    errors = capfdbinary.readouterr().err.decode()
    assert errors.count("\n") == 1
    assert "phase body" in errors


def test_what_changes_something_is_asked_for_once(server: Breaking, capfdbinary: Capture, tmp_path: Path) -> None:
    server.cuts = 1
    assert main(["POST", server.url, "-o", str(tmp_path / "body")]) == 5
    assert (len(server.asked), os.listdir(tmp_path)) == (1, [])


def test_a_part_that_was_asked_for_is_saved_as_it_comes(server: Breaking, capfdbinary: Capture, tmp_path: Path) -> None:
    assert main([server.url, "Range:bytes=255990-", "-o", str(tmp_path / "body")]) == 0
    assert (tmp_path / "body").read_bytes() == DATA[-10:]


def test_the_body_of_an_error_is_saved_too(server: Breaking, capfdbinary: Capture, tmp_path: Path) -> None:
    assert main([f"{server.url}none", "-o", str(tmp_path / "body")]) == 0
    assert (tmp_path / "body").read_bytes() == DATA
    assert capfdbinary.readouterr().out.startswith(b"HTTP/1.1 404 Not Found\n")


def test_a_device_gets_the_body_and_stays(server: Breaking, capfdbinary: Capture) -> None:
    server.cuts = 1
    before = os.stat("/dev/null")
    assert main([server.url, "-o", "/dev/null"]) == 0
    assert [asked for _, asked, _ in server.asked] == [None, "bytes=10000-"]
    assert (os.stat("/dev/null").st_ino, os.stat("/dev/null").st_mode) == (before.st_ino, before.st_mode)


def test_into_a_pipe_a_file_is_not_begun_again(server: Breaking, capfdbinary: Capture, tmp_path: Path) -> None:
    """What has gone through it is gone: the error is that of the connection."""
    server.cuts, server.has_mark = 1, False
    assert main([server.url, "-o", "/dev/null"]) == 5
    assert len(server.asked) == 1
