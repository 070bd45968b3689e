"""`netio resolve`."""

from __future__ import annotations

import json

import pytest

from netio.cli import main
from netio.cli._resolve import Found, lines
from netio.transport import Answer, ServiceBinding

Capture = pytest.CaptureFixture[str]


@pytest.mark.parametrize("name", ["127.0.0.1", "http://127.0.0.1:8080/x"])
def test_a_name_or_a_url_may_be_given(capfd: Capture, name: str) -> None:
    assert main(["resolve", name]) == 0
    assert "   1  127.0.0.1                                 IPv4" in capfd.readouterr().out.splitlines()


def test_the_answer_as_json(capfd: Capture) -> None:
    assert main(["resolve", "localhost", "--json"]) == 0
    found = json.loads(capfd.readouterr().out)
    assert found["host"] == "localhost"
    assert set(found["order"]) <= {"127.0.0.1", "::1"}


@pytest.mark.parametrize(("name", "code"), [("http://", 2), ("a..b", 2), ("x" * 300 + ".test", 2)])
def test_what_is_no_name_is_refused(capfd: Capture, name: str, code: int) -> None:
    assert main(["resolve", name]) == code
    assert capfd.readouterr().err.startswith("netio: ")


def test_all_that_is_known_is_shown_in_80_columns() -> None:
    binding = ServiceBinding(
        priority=1, target="\x1b[31msvc.test", alpn=("h2", "http/1.1"), port=8443, ipv4_hints=("192.0.2.1",)
    )
    answer = Answer(("2001:db8::1", "192.0.2.1"), 300.0, (binding,), is_complete=False)
    shown = lines(Found("h.test", "c-ares", answer, ("2001:db8::1", "192.0.2.1"), 0.012))
    assert max(map(len, shown)) <= 80
    assert shown[0] == "h.test: 2 addresses, to be kept for 300 s"
    assert "HTTPS record 1: \\x1b[31msvc.test, h2, http/1.1, port 8443" in shown
    assert "  hints: 192.0.2.1" in shown
    assert shown[-1].endswith("there may be more")


@pytest.mark.parametrize("name", ["::1", "[::1]"])
def test_an_ipv6_address_may_be_given_as_it_is(capfd: Capture, name: str) -> None:
    assert main(["resolve", name]) == 0
    assert "   1  ::1                                       IPv6" in capfd.readouterr().out.splitlines()


def test_log_02_no_control_character_of_a_zone_reaches_the_terminal() -> None:
    address = "fe80::1%\x1b[2J"
    shown = "\n".join(lines(Found("h.test", "c-ares", Answer((address,)), (address,), 0.012)))
    assert "fe80::1%\\x1b[2J" in shown
    assert "\x1b" not in shown
