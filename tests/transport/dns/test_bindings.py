"""HTTPS records (RFC 9460)."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from netio.transport._dns_bindings import read_binding
from netio.transport._dns_contract import ServiceBinding

ALPN, ONLY, PORT, V4, V6 = 1, 2, 3, 4, 6


def test_a_record_with_everything() -> None:
    parameters = [
        (0, b"\x00\x01\x00\x03"),
        (ALPN, b"\x02h2\x08http/1.1"),
        (ONLY, b""),
        (PORT, b"\x20\xfb"),
        (V4, bytes([192, 0, 2, 1, 192, 0, 2, 2])),
        (V6, bytes.fromhex("20010db8000000000000000000000001")),
    ]
    assert read_binding("a.test", 1, "b.test.", parameters) == ServiceBinding(
        priority=1,
        target="b.test",
        alpn=("h2", "http/1.1"),
        no_default_alpn=True,
        port=8443,
        ipv4_hints=("192.0.2.1", "192.0.2.2"),
        ipv6_hints=("2001:db8::1",),
    )


@pytest.mark.parametrize("target", ["", "."])
def test_a_record_without_target_is_about_its_owner(target: str) -> None:
    assert read_binding("a.test.", 3, target, []) == ServiceBinding(priority=3, target="a.test")


def test_an_alias_is_ignored() -> None:
    assert read_binding("a.test", 0, "b.test", []) is None


@pytest.mark.parametrize("key", [5, 7, 65_444])
def test_a_record_that_demands_what_is_not_understood_is_ignored(key: int) -> None:
    assert read_binding("a.test", 1, "", [(0, b"\x00\x01" + key.to_bytes(2, "big")), (key, b"x")]) is None
    assert read_binding("a.test", 1, "", [(key, b"x")]) == ServiceBinding(priority=1, target="a.test")


@pytest.mark.parametrize(
    "parameter",
    [
        (0, b"\x00"),
        (ALPN, b"\x03h2"),
        (ALPN, b"\x00"),
        (PORT, b"\x01"),
        (PORT, b""),
        (PORT, b"\x00\x00"),
        (V4, b"abc"),
        (V6, b"abcd"),
    ],
)
def test_a_broken_record_is_ignored(parameter: tuple[int, bytes]) -> None:
    assert read_binding("a.test", 1, "", [parameter]) is None


@given(st.lists(st.tuples(st.integers(0, 8), st.binary(max_size=40)), max_size=6))
def test_whatever_is_in_a_record_it_is_read_or_ignored(parameters: list[tuple[int, bytes]]) -> None:
    binding = read_binding("a.test", 1, "", parameters)
    assert binding is None or binding.target == "a.test"
