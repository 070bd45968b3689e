"""Hosts that no resolver is asked for."""

from __future__ import annotations

import pytest

from netio.errors import ResolveError
from netio.transport._dns_contract import Answer
from netio.transport._dns_rules import Overrides, check_name, is_address, is_localhost
from netio.url import URL

LABEL = "a" * 63
LONGEST = ".".join([LABEL, LABEL, LABEL, "b" * 61])


@pytest.mark.parametrize(
    "name", ["a", "a.b", "a.b.", LONGEST, LONGEST + ".", "_service.a-b.example", "1.2.3.x", "3com.com"]
)
def test_dns_06_names_within_the_limits(name: str) -> None:
    check_name(name)


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        (LONGEST + "b", "it is 254 characters long, more than 253"),
        ("a." * 100_000, "it is 199999 characters long, more than 253"),
        (LABEL + "a", "it has a label of more than 63 characters"),
        ("a..b", "it has an empty label"),
        (".a", "it has an empty label"),
        ("a..", "it has an empty label"),
        (".", "it has an empty label"),
        ("", "it has an empty label"),
        ("bücher.example", "it has characters that host names do not have"),
        ("a b", "it has characters that host names do not have"),
        ("a\x00b", "it has characters that host names do not have"),
        ("fe80::1%eth0", None),
        ("0x7f.1", "it ends in a number and is no IPv4 address"),
        ("127.1", "it ends in a number and is no IPv4 address"),
        ("2130706433", "it ends in a number and is no IPv4 address"),
        ("0x7f000001", "it ends in a number and is no IPv4 address"),
        ("0177.0.0.1", "it ends in a number and is no IPv4 address"),
        ("1.2.3.4.5", "it ends in a number and is no IPv4 address"),
        ("256.1.1.1.", "it ends in a number and is no IPv4 address"),
        ("host.0X", "it ends in a number and is no IPv4 address"),
    ],
)
def test_dns_06_what_cannot_be_a_name(name: str, reason: str | None) -> None:
    if is_address(name):  # a zone is part of an address, in Python; a URL may not have one (RFC 9844)
        assert reason is None
        return
    with pytest.raises(ResolveError) as caught:
        check_name(name)
    assert (caught.value.kind, caught.value.phase, caught.value.sent) == ("invalid", "resolve", False)
    assert reason is not None
    assert reason in str(caught.value)
    assert len(str(caught.value)) < 220
    assert str(caught.value).isascii()


def test_dns_06_a_url_gives_names_as_a_labels() -> None:
    assert URL("https://BÜCHER.example./").origin.host == "xn--bcher-kva.example."
    check_name(URL("https://BÜCHER.example./").origin.host)


@pytest.mark.parametrize("host", ["localhost", "LOCALHOST.", "a.localhost", "a.b.Localhost."])
def test_dns_06_localhost_in_all_its_forms(host: str) -> None:
    assert is_localhost(host)


@pytest.mark.parametrize("host", ["localhost.example", "notlocalhost", "localhost..", ""])
def test_what_is_not_localhost(host: str) -> None:
    assert not is_localhost(host)


def test_overrides_go_by_name_and_by_name_and_port() -> None:
    hosts = {"A.test.": ["192.0.2.1", "2001:db8::1"], "a.test:8080": "192.0.2.2", "bücher.example": "192.0.2.3"}
    overrides = Overrides(hosts)
    assert len(overrides) == 3
    assert overrides.find("a.test", 443) == Answer(("192.0.2.1", "2001:db8::1"))
    assert overrides.find("a.TEST.", None) == Answer(("192.0.2.1", "2001:db8::1"))
    assert overrides.find("a.test", 8080) == Answer(("192.0.2.2",))
    assert overrides.find("xn--bcher-kva.example", 443) == Answer(("192.0.2.3",))
    assert overrides.find("b.test", 8080) is None


@pytest.mark.parametrize(
    ("place", "addresses", "reason"),
    [
        ("a.test", "b.test", "'b.test', for 'a.test', is not an IP address"),
        ("a.test", [], "'a.test' has no address"),
        ("a.test", [1], "1, for 'a.test', is not an IP address"),
        ("a.test:0", "192.0.2.1", "'a.test:0' is neither a name nor name:port"),
        ("a.test:65536", "192.0.2.1", "'a.test:65536' is neither a name nor name:port"),
        ("a.test:", "192.0.2.1", "'a.test:' is neither a name nor name:port"),
        ("192.0.2.1", "192.0.2.2", "'192.0.2.1' is an address; only names are looked up"),
        ("192.0.2.1:80", "192.0.2.2", "'192.0.2.1:80' is an address"),
        ("::1", "192.0.2.2", "'::1' is an address"),
        ("a..test", "192.0.2.1", "'a..test' is not a host name"),
        ("*.test", "192.0.2.1", "'*.test' is not a host name"),
        ("", "192.0.2.1", "'' is not a host name"),
    ],
)
def test_overrides_that_make_no_sense_are_refused(place: str, addresses: object, reason: str) -> None:
    with pytest.raises(ValueError, match="hosts: ") as caught:
        Overrides({place: addresses})  # type: ignore[dict-item]
    assert reason in str(caught.value)
