from __future__ import annotations

import json
import os
import re
import signal
import socket
import subprocess
import sys
import tty
from pathlib import Path

import pytest

from netio.cli import main
from netio.cli._origin import Origin
from netio.cli.origin_app import content
from tests.cli.conftest import SECONDS, Scripting, command, environment, read_to_the_end, run_netio

Capture = pytest.CaptureFixture[bytes]


def get(capture: Capture, *arguments: str) -> tuple[int, bytes, str]:
    """Run the command in this process, into a pipe; return exit code, stdout and stderr."""
    code = main(["get", *arguments])
    captured = capture.readouterr()
    return code, captured.out, captured.err.decode()


def head_and_body(output: bytes) -> tuple[list[str], bytes]:
    head, _, body = output.partition(b"\n\n")
    return head.decode("latin-1").split("\n"), body


def one_line(errors: str) -> str:
    """Return what stderr says, which is one line and no traceback."""
    assert errors.count("\n") == 1
    assert errors.startswith("netio: ")
    return errors.strip()


def test_status_line_fields_and_body_go_to_stdout(origin: Origin, capfdbinary: Capture) -> None:
    code, output, errors = get(capfdbinary, f"{origin.http}/bytes/300")
    lines, body = head_and_body(output)
    assert (code, lines[0], body, errors) == (0, "HTTP/1.1 200 OK", content(300), "")
    assert "content-length: 300" in lines


@pytest.mark.parametrize(
    ("options", "scheme", "line"),
    [
        ((), "http", "HTTP/1.1 200 OK"),
        (("--http2",), "http", "HTTP/2 200 OK"),
        ((), "https", "HTTP/2 200 OK"),
        (("--http1",), "https", "HTTP/1.1 200 OK"),
        (("--http2",), "https", "HTTP/2 200 OK"),
    ],
)
def test_the_protocol_is_as_asked(
    origin: Origin, capfdbinary: Capture, options: tuple[str, ...], scheme: str, line: str
) -> None:
    url = getattr(origin, scheme)
    code, output, _ = get(capfdbinary, *options, "--cacert", origin.authority_file, f"{url}/")
    assert (code, head_and_body(output)[0][0]) == (0, line)


def test_verbose_tells_about_url_protocol_connections_and_time(origin: Origin, capfdbinary: Capture) -> None:
    url = origin.http.replace("http://", "http://ann:secret@")
    code, output, errors = get(capfdbinary, "-v", f"{url}/bytes/5?q=ü#part")
    assert (code, head_and_body(output)[1]) == (0, content(5))
    shown = re.sub(r"[\d.]+ ms", "N ms", errors).splitlines()
    assert shown == [
        f"* URL: {origin.http}/bytes/5?q=%C3%BC",
        "* protocol: HTTP/1.1",
        "* connections opened: 1",
        "* head after N ms, 5 bytes of body after N ms",
    ]


def test_header_fields_of_the_command_line_are_sent(origin: Origin, capfdbinary: Capture) -> None:
    _, output, _ = get(capfdbinary, "-H", "X-One: 1", "-H", "x-one: 2", f"{origin.http}/headers")
    seen = json.loads(head_and_body(output)[1])["headers"]
    assert [value for name, value in seen if name.lower() == "x-one"] == ["1", "2"]


def test_a_dash_as_output_is_the_body_alone(origin: Origin, capfdbinary: Capture) -> None:
    assert get(capfdbinary, "-o", "-", f"{origin.http}/bytes/100000") == (0, content(100_000), "")


def test_a_dash_as_output_with_verbose_has_the_head_on_stderr(origin: Origin, capfdbinary: Capture) -> None:
    code, output, errors = get(capfdbinary, "-v", "-o", "-", f"{origin.http}/bytes/3")
    assert (code, output, errors.splitlines()[0]) == (0, content(3), "HTTP/1.1 200 OK")


def test_output_saves_the_body_and_prints_the_head(origin: Origin, capfdbinary: Capture, tmp_path: Path) -> None:
    path = tmp_path / "body"
    code, output, errors = get(capfdbinary, "-o", str(path), f"{origin.http}/bytes/3000000")
    assert (code, head_and_body(output)[1], errors) == (0, b"", "")
    assert path.read_bytes() == content(3_000_000)
    assert os.listdir(tmp_path) == ["body"]


def test_a_body_cut_short_leaves_no_file_and_code_5(scripted: Scripting, capfdbinary: Capture, tmp_path: Path) -> None:
    server = scripted(b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nonly this")
    code, _, errors = get(capfdbinary, "-o", str(tmp_path / "body"), server.url)
    assert (code, os.listdir(tmp_path)) == (5, [])
    assert "phase body" in one_line(errors)


def test_a_file_that_cannot_be_written_is_code_6_before_anything_is_sent(
    scripted: Scripting, capfdbinary: Capture, tmp_path: Path
) -> None:
    server = scripted(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")
    code, output, errors = get(capfdbinary, "-o", str(tmp_path / "none" / "body"), server.url)
    assert (code, output, server.is_answered.is_set()) == (6, b"", False)
    assert one_line(errors).endswith("cannot be written: No such file or directory")


def test_an_error_status_is_an_answer(origin: Origin, capfdbinary: Capture) -> None:
    code, output, errors = get(capfdbinary, f"{origin.http}/none")
    assert (code, head_and_body(output)) == (0, (head_and_body(output)[0], b"no such path\n"))
    assert errors == ""


def test_with_fail_an_error_status_is_code_1_without_body_or_file(
    origin: Origin, capfdbinary: Capture, tmp_path: Path
) -> None:
    code, output, errors = get(capfdbinary, "--fail", "-o", str(tmp_path / "body"), f"{origin.http}/none")
    lines, body = head_and_body(output)
    assert (code, lines[0], body, os.listdir(tmp_path)) == (1, "HTTP/1.1 404 Not Found", b"", [])
    assert one_line(errors) == "netio: the server answered 404 Not Found"


def test_with_fail_a_good_status_is_code_0(origin: Origin, capfdbinary: Capture) -> None:
    assert get(capfdbinary, "--fail", "-o", "-", f"{origin.http}/bytes/9") == (0, content(9), "")


@pytest.mark.parametrize("url", ["http://", "http://a b/", "http://h:99999/", "http://h/\n"])
def test_a_bad_url_is_code_2(capfdbinary: Capture, url: str) -> None:
    code, output, errors = get(capfdbinary, url)
    assert (code, output) == (2, b"")
    one_line(errors)


def test_a_bad_header_field_is_code_2_and_its_value_not_shown(origin: Origin, capfdbinary: Capture) -> None:
    code, _, errors = get(capfdbinary, "-H", "X-Token: se\rcret", f"{origin.http}/")
    assert code == 2
    assert "cret" not in one_line(errors)


def test_a_refused_connection_is_code_3(capfdbinary: Capture) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
    code, _, errors = get(capfdbinary, f"http://127.0.0.1:{port}/")
    assert code == 3
    assert "phase connect; not processed by the server" in one_line(errors)


def test_a_certificate_of_an_unknown_authority_is_code_3(origin: Origin, capfdbinary: Capture) -> None:
    code, _, errors = get(capfdbinary, f"{origin.https}/")
    assert code == 3
    assert "the certificate was not accepted" in one_line(errors)


def test_insecure_accepts_any_certificate(origin: Origin, capfdbinary: Capture) -> None:
    assert get(capfdbinary, "--insecure", "-o", "-", f"{origin.https}/bytes/4") == (0, content(4), "")


def test_a_timeout_is_code_4(scripted: Scripting, capfdbinary: Capture) -> None:
    code, _, errors = get(capfdbinary, "--timeout", "0.1", scripted(b"", is_silent_then=True).url)
    assert code == 4
    assert "phase head" in one_line(errors)


def test_a_timeout_covers_the_body_too(scripted: Scripting, capfdbinary: Capture, tmp_path: Path) -> None:
    server = scripted(b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nhalf", is_silent_then=True)
    code, _, errors = get(capfdbinary, "--timeout", "0.1", "-o", str(tmp_path / "body"), server.url)
    assert (code, os.listdir(tmp_path)) == (4, [])
    assert "phase body" in one_line(errors)


@pytest.mark.parametrize("answer", [b"220 mail.example ESMTP\r\n\r\n", b"HTTP/1.1 200 OK\r\nContent-Length: x\r\n\r\n"])
def test_what_is_not_http_is_code_5(scripted: Scripting, capfdbinary: Capture, answer: bytes) -> None:
    code, output, errors = get(capfdbinary, scripted(answer).url)
    assert (code, output) == (5, b"")
    one_line(errors)


def test_a_reader_that_has_had_enough_ends_the_command_in_silence(origin: Origin) -> None:
    with subprocess.Popen(
        command("get", f"{origin.http}/bytes/50000000"),
        env=environment(),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    ) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        assert process.stdout.readline() == b"HTTP/1.1 200 OK\n"
        process.stdout.close()
        assert process.stderr.read() == b""
        assert process.wait(SECONDS) == 6


def test_ctrl_c_ends_the_command_in_silence_and_leaves_no_file(scripted: Scripting, tmp_path: Path) -> None:
    server = scripted(b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nhalf", is_silent_then=True)
    with subprocess.Popen(
        command("get", "-o", str(tmp_path / "body"), server.url),
        env=environment(),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    ) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        assert process.stdout.readline() == b"HTTP/1.1 200 OK\n"
        process.send_signal(signal.SIGINT)
        assert process.stderr.read() == b""
        assert process.wait(SECONDS) == 130
    assert os.listdir(tmp_path) == []


def on_a_terminal(*arguments: str) -> tuple[int, bytes]:
    """Run the command with a pseudo-terminal as stdout and stderr; return its exit code and what the terminal got."""
    screen, terminal = os.openpty()
    try:
        tty.setraw(terminal)  # as the bytes are, without LF turned into CRLF
        with subprocess.Popen(
            command(*arguments), env=environment(), stdin=subprocess.DEVNULL, stdout=terminal, stderr=terminal
        ) as process:
            os.close(terminal)
            seen = read_to_the_end(screen)
            return process.wait(SECONDS), seen
    finally:
        os.close(screen)


def test_log_02_a_server_cannot_reach_the_terminal(scripted: Scripting) -> None:
    head = b"HTTP/1.1 200 \x9d0;title\r\nContent-Type: text/plain\r\nX-Evil: \x9b2J\r\nConnection: close\r\n\r\n"
    evil = head + b"a\x1b[2Jb\r\n"
    code, seen = on_a_terminal("get", scripted(evil).url)
    assert code == 0
    assert b"\\x9d0;title" in seen
    assert b": \\x9b2J" in seen
    assert seen.endswith(b"\n\na\\x1b[2Jb\n")
    assert [byte for byte in seen if byte == 0x1B or 0x80 <= byte < 0xA0] == []


def test_a_binary_body_is_not_shown_on_a_terminal(origin: Origin) -> None:
    code, seen = on_a_terminal("get", f"{origin.http}/bytes/5000")
    assert code == 0
    assert seen.decode().splitlines()[-1] == "netio: the body is not text and is not shown; -o FILE saves it"


def test_a_terminal_sees_a_progress_bar_while_a_file_is_saved(origin: Origin, tmp_path: Path) -> None:
    code, seen = on_a_terminal("get", "-o", str(tmp_path / "body"), f"{origin.http}/bytes/2000000")
    assert (code, (tmp_path / "body").read_bytes()) == (0, content(2_000_000))
    assert b"2.0/2.0 MB" in seen


def test_without_rich_everything_but_the_progress_bar_works(
    origin: Origin, capfdbinary: Capture, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "rich", None)
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True)
    code, _, errors = get(capfdbinary, "-o", str(tmp_path / "body"), f"{origin.http}/bytes/20")
    assert (code, errors, (tmp_path / "body").read_bytes()) == (0, "", content(20))


def test_python_dash_m_netio_is_the_command(origin: Origin) -> None:
    done = run_netio("get", "-o", "-", f"{origin.http}/bytes/7")
    assert (done.returncode, done.stdout, done.stderr) == (0, content(7), b"")
