"""Hosts that end in a number (HAZARDS DNS-06): one address, or an error; never a name that others read otherwise."""

from __future__ import annotations

import socket
from ipaddress import IPv4Address

import pytest
from hypothesis import given
from hypothesis import strategies as st

from netio.errors import InvalidURL
from netio.url import URL


@pytest.mark.parametrize(
    ("host", "address"),
    [
        ("127.0.0.1", "127.0.0.1"),
        ("0x7f.1", "127.0.0.1"),
        ("0X7F.0.0.0x1", "127.0.0.1"),
        ("2130706433", "127.0.0.1"),
        ("017700000001", "127.0.0.1"),
        ("0x7f000001.", "127.0.0.1"),
        ("127.1", "127.0.0.1"),
        ("10.1.65535", "10.1.255.255"),
        ("10.16777215", "10.255.255.255"),
        ("0xa9.0xfe.0xa9.0xfe", "169.254.169.254"),
        ("4294967295", "255.255.255.255"),
        ("0", "0.0.0.0"),
        ("0x", "0.0.0.0"),
        ("1.2.3.4.", "1.2.3.4"),
        ("\uff11\uff12\uff17.\uff10.\uff10.\uff11", "127.0.0.1"),
        ("00000000000177.0.0.1", "127.0.0.1"),
    ],
)
def test_dns_06_a_host_that_ends_in_a_number_is_an_address(host: str, address: str) -> None:
    url = URL(f"http://user:pw@{host}:81/path?q#f")
    assert (url.host, url.origin.authority) == (address, f"{address}:81")
    assert str(url) == f"http://user:pw@{address}:81/path?q#f"
    assert URL("http://other.test/").join(f"//{host}/").host == address


@pytest.mark.parametrize(
    "host",
    [
        *("256.0.0.1", "1.2.3.256", "1.2.3.4.5", "4294967296", "0x100000000", "1.16777216", "1.2.65536", "09.1.1.1"),
        *("name.1", "a.0x7f", "1..2", ".1", "0x1g.1", "1.2.3.08", "a.b.c.d.5", "9" * 250, "-1.1", "1_0.1"),
    ],
)
def test_dns_06_a_host_that_ends_in_a_number_and_is_no_address_is_refused(host: str) -> None:
    with pytest.raises(InvalidURL):
        URL(f"http://{host}/")


@pytest.mark.parametrize("host", ["1.example", "0x7f.example", "1a", "0xg", "127.0.0.1.example", "a1", "x.1a"])
def test_dns_06_numbers_in_other_places_are_parts_of_names(host: str) -> None:
    assert URL(f"http://{host}/").host == host


@given(st.lists(st.tuples(st.integers(0, 2**33), st.sampled_from(["{}", "0{:o}", "{:#x}"])), min_size=1, max_size=5))
def test_dns_06_the_address_is_the_one_that_the_system_would_connect_to(parts: list[tuple[int, str]]) -> None:
    host = ".".join(form.format(number) for number, form in parts)
    try:
        expected = str(IPv4Address(socket.inet_aton(host)))
    except OSError:
        with pytest.raises(InvalidURL):
            URL(f"http://{host}/")
        return
    assert URL(f"http://{host}/").host == expected
