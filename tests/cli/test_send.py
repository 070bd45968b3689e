from __future__ import annotations

import fcntl
import json
import os
import re
import shlex
import signal
import socket
import subprocess
import sys
import termios
import time
from pathlib import Path

import pytest

from netio.cli import main
from netio.cli._origin import Origin
from netio.cli.origin_app import content
from tests.cli.conftest import SECONDS, Scripting, command, environment, on_a_terminal, run_netio

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
    shown = re.sub(r"connection \d+", "connection N", re.sub(r"[\d.]+[mµ]?s\b", "T", errors)).splitlines()
    assert shown == [
        f"* URL: {origin.http}/bytes/5?q=%C3%BC",
        "* protocol: HTTP/1.1",
        f"* connection N to {origin.http} at {origin.http.removeprefix('http://')}, HTTP/1.1",
        "* connections opened: 1",
        "* 5 bytes of body, all in T",
    ]


def test_items_make_the_request(origin: Origin, capfdbinary: Capture, tmp_path: Path) -> None:
    assert main(["put", f"{origin.http}/echo", "name=Ada", "age:=36", "-b"]) == 0
    assert json.loads(capfdbinary.readouterr().out) == {"name": "Ada", "age": 36}
    assert main([f"{origin.http}/echo", "-f", "name=Ada", "ok:=true", "-b"]) == 0
    assert capfdbinary.readouterr().out == b"name=Ada&ok=true"
    (tmp_path / "a.txt").write_text("content")
    assert main([f"{origin.http}/echo", "name=Ada", f"file@{tmp_path}/a.txt", "-b"]) == 0
    sent = capfdbinary.readouterr().out
    assert b'name="file"; filename="a.txt"' in sent
    assert b"\r\n\r\nAda\r\n" in sent
    assert main([f"{origin.http}/echo", "--raw", f"@{tmp_path}/a.txt", "-b"]) == 0
    assert capfdbinary.readouterr().out == b"content"


def test_fields_parameters_and_credentials_are_sent(origin: Origin, capfdbinary: Capture) -> None:
    assert main([f"{origin.http}/headers", "X-One:1", "Accept:", "q==a b", "-a", "ann:secret", "-b"]) == 0
    seen = json.loads(capfdbinary.readouterr().out)
    fields = dict(seen["headers"]) if isinstance(seen["headers"], list) else seen["headers"]
    assert (seen["query"], fields["x-one"], fields["authorization"]) == ("q=a+b", "1", "Basic YW5uOnNlY3JldA==")
    assert "accept" not in fields


def test_timings_are_drawn_on_stderr(origin: Origin, capfdbinary: Capture) -> None:
    code, _, errors = get(capfdbinary, "--timings", f"{origin.http}/")
    drawn = errors.splitlines()
    assert code == 0
    assert [line.split()[0] for line in drawn if line.startswith(("connect", "wait", "total"))] == [
        "connect",
        "wait",
        "total",
    ]
    assert max(map(len, drawn)) <= 80


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


@pytest.mark.parametrize("words", [("--raw", "@-"), ("--raw", "@-", "-o", "/dev/null"), ("a=@/dev/stdin",)])
def test_ctrl_c_ends_the_wait_for_a_body_from_a_pipe(origin: Origin, words: tuple[str, ...]) -> None:
    reader, writer = os.pipe()
    try:
        with subprocess.Popen(
            command("POST", f"{origin.http}/echo", *words), env=environment(), stdin=reader, stderr=subprocess.PIPE
        ) as process:
            assert process.stderr is not None
            os.write(writer, b"part of it")
            while is_unread(reader):
                time.sleep(0.01)
            process.send_signal(signal.SIGINT)
            assert process.stderr.read() == b""
            assert process.wait(SECONDS) == 130
    finally:
        os.close(reader)
        os.close(writer)


def is_unread(pipe: int) -> bool:
    return int.from_bytes(fcntl.ioctl(pipe, termios.FIONREAD, bytes(4)), sys.byteorder) > 0


def test_a_file_that_breaks_while_it_is_sent_is_code_2(origin: Origin, capfdbinary: Capture) -> None:
    assert main(["POST", f"{origin.http}/echo", "f@/proc/self/mem"]) == 2
    assert one_line(capfdbinary.readouterr().err.decode()).endswith("cannot be read: Input/output error")


@pytest.mark.parametrize("closed", [">&-", "2>&-"])
def test_closed_outputs_are_as_good_as_dev_null(origin: Origin, closed: str, tmp_path: Path) -> None:
    line = f"{shlex.join(command(f'{origin.http}/bytes/9', '-v', '-o', str(tmp_path / 'body')))} {closed}"
    assert subprocess.run(line, shell=True, env=environment(), timeout=SECONDS).returncode == 0
    assert (tmp_path / "body").read_bytes() == content(9)


def test_help_for_a_reader_that_has_had_enough_is_silent() -> None:
    with subprocess.Popen(
        command("--help"), env=environment(), stdout=subprocess.PIPE, stderr=subprocess.PIPE
    ) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        process.stdout.close()
        assert process.stderr.read() == b""
        assert process.wait(SECONDS) == 0


def test_a_raw_body_is_the_bytes_that_were_given(origin: Origin) -> None:
    done = run_netio(f"{origin.http}/echo", "--raw", os.fsdecode(b"\xff\x00"[:1]), "-o", "-")
    assert (done.returncode, done.stdout, done.stderr) == (0, b"\xff", b"")


def test_a_form_has_a_name_several_times(origin: Origin, capfdbinary: Capture) -> None:
    assert main([f"{origin.http}/echo", "-f", "a=1", "b=2", "a=3", "-b"]) == 0
    assert sorted(capfdbinary.readouterr().out.split(b"&")) == [b"a=1", b"a=3", b"b=2"]
    assert main([f"{origin.http}/echo", "a=1", "a=2", "-b"]) == 0
    assert json.loads(capfdbinary.readouterr().out) == {"a": "2"}
