from __future__ import annotations

from pathlib import Path

import pytest
import trustme

from netio.cli import main
from netio.cli._arguments import BenchOptions, DemoOptions, SendOptions, Wire
from netio.cli._parser import parse


def complaint(capsys: pytest.CaptureFixture[str], *arguments: str) -> str:
    """Return the last line on stderr about a command line that is refused with exit code 2."""
    assert main(arguments) == 2
    captured = capsys.readouterr()
    assert captured.out == ""
    return captured.err.splitlines()[-1]


def sent(*words: str) -> SendOptions:
    options = parse(words)
    assert isinstance(options, SendOptions)
    return options


def test_a_url_alone_means_get_negotiated_protocol_and_checked_certificates() -> None:
    options = sent("https://example.com")
    assert (options.message.method, options.message.url) == ("GET", "https://example.com")
    assert options.wire == Wire(http2=True, verify=True, timeout=None, proxy=None)
    assert options.output is None


@pytest.mark.parametrize(
    ("words", "method", "url"),
    [
        (["get", "http://h/"], "GET", "http://h/"),
        (["PROPFIND", "http://h/", "-v"], "PROPFIND", "http://h/"),
        (["http://h/", "a=1"], "POST", "http://h/"),
        (["http://h/", "q==1", "X:y"], "GET", "http://h/"),
        (["put", "h.test/x", "a=1"], "PUT", "https://h.test/x"),
        (["localhost", "a:=1"], "POST", "https://localhost"),
        ([":3000/x"], "GET", "http://localhost:3000/x"),
        ([":/x"], "GET", "http://localhost/x"),
        (["-f", "--raw", "text", "http://h/"], "POST", "http://h/"),
    ],
)
def test_method_and_url_are_found_and_completed(words: list[str], method: str, url: str) -> None:
    options = sent(*words)
    assert (options.message.method, options.message.url) == (method, url)


@pytest.mark.parametrize(("option", "http2"), [("--http1", False), ("--http2", "prior-knowledge")])
def test_a_protocol_can_be_chosen(option: str, http2: object) -> None:
    assert sent("get", option, "http://h/").wire.http2 == http2


def test_the_two_protocols_exclude_each_other(capsys: pytest.CaptureFixture[str]) -> None:
    assert "not allowed with argument" in complaint(capsys, "get", "--http1", "--http2", "http://h/")


def test_no_verification_and_other_authorities_exclude_each_other(capsys: pytest.CaptureFixture[str], pem: str) -> None:
    assert "not allowed with argument" in complaint(capsys, "get", "--insecure", "--cacert", pem, "http://h/")


def test_header_fields_keep_their_order_and_lose_the_blanks_around() -> None:
    options = sent("get", "-H", "A: 1", "--header", "b:2:3 ", "-H", "A:", "http://h/", "C:4")
    assert options.message.items.headers == [("A", "1"), ("b", "2:3"), ("A", ""), ("C", "4")]


def test_a_malformed_header_field_is_refused_without_being_repeated(capsys: pytest.CaptureFixture[str]) -> None:
    line = complaint(capsys, "get", "-H", "Authorization Bearer hunter2", "http://h/")
    assert "a header field is given as 'Name: value'" in line
    assert "hunter2" not in line


@pytest.mark.parametrize("url", ["ftp://example.com/", "/path", ""])
def test_what_cannot_be_a_url_is_refused(capsys: pytest.CaptureFixture[str], url: str) -> None:
    assert "argument URL: a URL begins with http://" in complaint(capsys, "get", url)


@pytest.mark.parametrize("text", ["0", "-1", "nan", "inf", "soon", ""])
def test_a_timeout_is_a_positive_number(capsys: pytest.CaptureFixture[str], text: str) -> None:
    assert "is not a positive number of seconds" in complaint(capsys, "get", f"--timeout={text}", "http://h/")


def test_a_timeout_may_be_a_fraction() -> None:
    assert sent("get", "--timeout", "0.25", "http://h/").wire.timeout == 0.25


def test_a_time_may_have_a_unit() -> None:
    options = parse(["bench", "-d", "2m", "http://h/"])
    assert isinstance(options, BenchOptions)
    assert (options.seconds, options.requests) == (120.0, None)


def test_bench_alone_means_10000_requests_50_at_a_time() -> None:
    options = parse(["bench", "http://h/"])
    assert isinstance(options, BenchOptions)
    assert (options.requests, options.concurrency, options.rate) == (10_000, 50, None)


def test_a_body_is_given_in_one_way(capsys: pytest.CaptureFixture[str]) -> None:
    assert "--raw is the whole body" in complaint(capsys, "http://h/", "a=1", "--raw", "x")


def test_authorities_that_cannot_be_read_are_refused(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    line = complaint(capsys, "get", "--cacert", str(tmp_path / "none.pem"), "https://h/")
    assert line.endswith("cannot be read: No such file or directory")


def test_authorities_that_are_no_certificates_are_refused(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    (tmp_path / "empty.pem").write_text("")
    line = complaint(capsys, "get", "--cacert", str(tmp_path / "empty.pem"), "https://h/")
    assert line.endswith("has no certificate in PEM form")


@pytest.mark.parametrize("text", ["0", "-5", "1e3", "many", "²", "10000000"])
def test_the_number_of_requests_is_bounded(capsys: pytest.CaptureFixture[str], text: str) -> None:
    assert "is not a number from 1 to 9999999" in complaint(capsys, "demo", f"--requests={text}")


def test_demo_alone_means_2000_requests_on_asyncio() -> None:
    assert parse(["demo"]) == DemoOptions(requests=2_000, loop="asyncio")


def test_an_unknown_loop_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    assert "invalid choice: 'curio'" in complaint(capsys, "demo", "--loop", "curio")


def test_without_a_command_the_usage_is_shown(capsys: pytest.CaptureFixture[str]) -> None:
    assert "the following arguments are required: [METHOD] URL [ITEM ...]" in complaint(capsys)


def test_an_abbreviated_option_is_refused_since_it_would_change_its_meaning_one_day(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert "unrecognized arguments: --insec" in complaint(capsys, "get", "--insec", "http://h/")


@pytest.mark.parametrize(
    "arguments", [["--help"], *([name, "--help"] for name in ("bench", "compare", "resolve", "demo"))]
)
def test_help_fits_80_columns_and_lists_the_exit_codes(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, arguments: list[str]
) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    assert main(arguments) == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line for line in lines if len(line) > 80] == []
    assert lines[lines.index("exit codes:") + 5] == "  3    no connection: the name, the network or the certificate"


def test_the_version_is_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--version"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[0] for line in lines] == ["netio"]


@pytest.fixture
def pem(tmp_path: Path) -> str:
    path = tmp_path / "authority.pem"
    trustme.CA().cert_pem.write_to_path(path)
    return str(path)


@pytest.mark.parametrize(
    "words",
    [
        ["--ahut=ann:hunter2", "http://h/"],
        ["--ahut=x", "http://h/", "-zhunter2"],
        ["-a", "ann:hunter2\n", "http://h/"],
        ["-a", "hunter2", "http://h/"],
        ["-H", "hunter2", "http://h/"],
        ["http://h/", "a:=hunter2"],
        ["resolve", "h", "hunter2"],
    ],
)
def test_log_01_what_may_be_a_secret_is_not_repeated_in_a_complaint(
    words: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(words) == 2
    assert "hunter2" not in capsys.readouterr().err


def test_a_picture_has_a_known_ending(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["bench", "http://127.0.0.1:1/", "--plot", "a.doc"]) == 2
    assert "neither .png nor .svg nor .pdf" in capsys.readouterr().err
