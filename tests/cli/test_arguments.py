from __future__ import annotations

from pathlib import Path

import pytest
import trustme

from netio.cli import main
from netio.cli._arguments import DemoOptions, GetOptions, parse


def complaint(capsys: pytest.CaptureFixture[str], *arguments: str) -> str:
    """Return the last line on stderr about a command line that is refused with exit code 2."""
    assert main(arguments) == 2
    captured = capsys.readouterr()
    assert captured.out == ""
    return captured.err.splitlines()[-1]


def test_get_alone_means_negotiated_protocol_and_checked_certificates() -> None:
    expected = GetOptions(url="https://example.com", http2=True, verify=True, output=None, timeout=None)
    assert parse(["get", "https://example.com"]) == expected


@pytest.mark.parametrize(("option", "http2"), [("--http1", False), ("--http2", "prior-knowledge")])
def test_a_protocol_can_be_chosen(option: str, http2: object) -> None:
    assert parse(["get", option, "http://h/"]) == GetOptions(url="http://h/", http2=http2)  # type: ignore[arg-type]


def test_the_two_protocols_exclude_each_other(capsys: pytest.CaptureFixture[str]) -> None:
    assert "not allowed with argument" in complaint(capsys, "get", "--http1", "--http2", "http://h/")


def test_no_verification_and_other_authorities_exclude_each_other(capsys: pytest.CaptureFixture[str], pem: str) -> None:
    assert "not allowed with argument" in complaint(capsys, "get", "--insecure", "--cacert", pem, "http://h/")


def test_header_fields_keep_their_order_and_lose_the_blanks_around() -> None:
    options = parse(["get", "-H", "A: 1", "--header", "b:2:3 ", "-H", "A:", "http://h/"])
    assert isinstance(options, GetOptions)
    assert options.headers == (("A", "1"), ("b", "2:3"), ("A", ""))


def test_a_malformed_header_field_is_refused_without_being_repeated(capsys: pytest.CaptureFixture[str]) -> None:
    line = complaint(capsys, "get", "-H", "Authorization Bearer hunter2", "http://h/")
    assert "a header field is given as 'Name: value'" in line
    assert "hunter2" not in line


@pytest.mark.parametrize("url", ["example.com", "ftp://example.com/", "/path", "", "https:example.com"])
def test_a_url_says_its_scheme(capsys: pytest.CaptureFixture[str], url: str) -> None:
    assert complaint(capsys, "get", url).endswith("argument URL: a URL begins with http:// or https://")


@pytest.mark.parametrize("text", ["0", "-1", "nan", "inf", "soon", ""])
def test_a_timeout_is_a_positive_number(capsys: pytest.CaptureFixture[str], text: str) -> None:
    assert "is not a positive number of seconds" in complaint(capsys, "get", f"--timeout={text}", "http://h/")


def test_a_timeout_may_be_a_fraction() -> None:
    assert parse(["get", "--timeout", "0.25", "http://h/"]) == GetOptions(url="http://h/", timeout=0.25)


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
    assert "the following arguments are required: COMMAND" in complaint(capsys)


def test_an_abbreviated_option_is_refused_since_it_would_change_its_meaning_one_day(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert "unrecognized arguments: --insec" in complaint(capsys, "get", "--insec", "http://h/")


@pytest.mark.parametrize("arguments", [["--help"], ["get", "--help"], ["demo", "--help"]])
def test_help_fits_80_columns_and_lists_the_exit_codes(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, arguments: list[str]
) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    assert main(arguments) == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line for line in lines if len(line) > 80] == []
    assert lines[lines.index("exit codes:") + 4] == "  3    no connection: the name, the network or the certificate"


def test_the_version_is_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--version"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[0] for line in lines] == ["netio"]


@pytest.fixture
def pem(tmp_path: Path) -> str:
    path = tmp_path / "authority.pem"
    trustme.CA().cert_pem.write_to_path(path)
    return str(path)
