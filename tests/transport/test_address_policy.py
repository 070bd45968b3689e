"""Which addresses `deny_private` refuses, and for what it may be relied on (HAZARDS DNS-04)."""

from __future__ import annotations

from ipaddress import IPv4Address, IPv4Network, IPv6Address, ip_address, ip_network

import pytest
from hypothesis import given
from hypothesis import strategies as st

from netio.transport import Address, deny_private


def verdict(text: str, *allow: str) -> str | None:
    reason = deny_private(allow=allow)(Address("host.test", ip_address(text), 80))
    assert reason is None or isinstance(reason, str)
    return reason


@pytest.mark.parametrize(
    ("address", "reason"),
    [
        ("0.0.0.0", "unspecified"),
        ("10.1.2.3", "private"),
        ("100.64.0.1", "shared"),
        ("100.100.100.200", "metadata"),
        ("127.0.0.1", "loopback"),
        ("127.255.255.254", "loopback"),
        ("168.63.129.16", "platform"),
        ("169.254.1.1", "link-local"),
        ("169.254.169.254", "metadata"),
        ("169.254.170.2", "metadata"),
        ("172.16.0.1", "private"),
        ("172.31.255.255", "private"),
        ("192.0.0.8", "reserved"),
        ("192.0.0.192", "metadata"),
        ("192.0.2.1", "documentation"),
        ("192.88.99.1", "6to4"),
        ("192.168.255.1", "private"),
        ("198.18.0.1", "benchmarks"),
        ("198.19.255.255", "benchmarks"),
        ("198.51.100.7", "documentation"),
        ("203.0.113.7", "documentation"),
        ("224.0.0.1", "multicast"),
        ("239.255.255.255", "multicast"),
        ("240.0.0.1", "reserved"),
        ("255.255.255.255", "broadcast"),
        ("::", "unspecified"),
        ("::1", "loopback"),
        ("64:ff9b:1::1", "translated"),
        ("100::1", "discarded"),
        ("2001:1::1", "reserved"),
        ("2001:db8::1", "documentation"),
        ("3fff::1", "documentation"),
        ("4000::1", "global use"),
        ("5f00::1", "global use"),
        ("fc00::1", "private"),
        ("fd00:ec2::254", "metadata"),
        ("fd20:ce::254", "metadata"),
        ("fdff::1", "private"),
        ("fe80::1", "link-local"),
        ("fe80::1%2", "link-local"),
        ("fec0::1", "site-local"),
        ("ff02::1", "multicast"),
    ],
)
def test_dns_04_what_is_not_the_public_internet_is_refused(address: str, reason: str) -> None:
    assert reason in (verdict(address) or "")


@pytest.mark.parametrize(
    "address",
    [
        "::ffff:169.254.169.254",  # mapped
        "::ffff:10.0.0.1%3",
        "64:ff9b::169.254.169.254",  # NAT64
        "2002:a9fe:a9fe::1",  # 6to4 of 169.254.169.254
        "2002:7f00:1::",  # of 127.0.0.1
        "2001:0:a9fe:a9fe::1",  # Teredo, the server is 169.254.169.254
        "2001:0:808:808:0:0:5601:5601",  # Teredo, the client is
        "2606:4700::5efe:10.0.0.1",  # ISATAP
        "2606:4700::200:5efe:10.0.0.1",
        "::10.0.0.1",  # compatible
        "::7f00:1",
        "fe80::5efe:8.8.8.8",  # ISATAP, but link-local
    ],
)
def test_dns_04_an_ipv6_address_that_leads_to_such_an_ipv4_address_is_refused(address: str) -> None:
    assert verdict(address) is not None


@pytest.mark.parametrize(
    "address",
    [
        "8.8.8.8",
        "1.1.1.1",
        "11.0.0.1",
        "100.63.255.255",
        "100.128.0.1",
        "172.15.255.255",
        "172.32.0.1",
        "192.167.255.255",
        "169.253.255.255",
        "223.255.255.255",
        "2606:4700::1111",
        "2001:4860:4860::8888",
        "2001:4860:4860::8888%1",
        "::ffff:8.8.8.8",
        "64:ff9b::8.8.8.8",
        "2002:808:808::1",
        "2606:4700::5efe:8.8.8.8",
    ],
)
def test_the_public_internet_is_not_refused(address: str) -> None:
    assert verdict(address) is None


def test_what_is_allowed_is_allowed_in_each_of_its_forms() -> None:
    for address in ("10.1.2.3", "::ffff:10.1.2.3", "64:ff9b::10.1.2.3"):
        assert verdict(address, "10.1.0.0/16") is None
    assert verdict("10.2.0.1", "10.1.0.0/16") is not None
    assert verdict("fd00::1%4", "fd00::/64") is None
    assert verdict("fd00:1::1", "fd00::/64") is not None
    assert deny_private(allow="127.0.0.1")(Address("h", ip_address("127.0.0.1"), 80)) is None
    assert deny_private(allow=[IPv4Network("127.0.0.0/8")])(Address("h", ip_address("127.0.0.1"), 80)) is None


def test_a_network_that_is_none_is_refused() -> None:
    with pytest.raises(ValueError, match=r"10\.1\.2\.3/16 has host bits set"):
        deny_private(allow=["10.1.2.3/16"])


def _is_private(ip: IPv4Address) -> bool:
    return any(
        ip in ip_network(network) for network in ("10.0.0.0/8", "127.0.0.0/8", "169.254.0.0/16", "192.168.0.0/16")
    )


@given(st.integers(0, 2**32 - 1))
def test_dns_04_mapped_and_translated_addresses_get_the_verdict_of_the_ipv4_one(number: int) -> None:
    ipv4 = IPv4Address(number)
    plain = verdict(str(ipv4))
    for prefix in (0xFFFF << 32, 0x64_FF9B << 96):
        assert (verdict(str(IPv6Address(prefix | number))) is None) is (plain is None)
    assert (verdict(str(IPv6Address(0x2002 << 112 | number << 80))) is None) is (plain is None)
    assert not (_is_private(ipv4) and plain is None)


@given(st.integers(0, 2**32 - 1))
def test_an_ipv4_address_that_python_calls_private_is_refused(number: int) -> None:
    ip = IPv4Address(number)
    if ip.is_private or ip.is_multicast or ip.is_reserved or ip.is_loopback or ip.is_link_local:
        assert verdict(str(ip)) is not None


@given(st.integers(0, 2**128 - 1))
def test_an_ipv6_address_that_python_calls_private_is_refused(number: int) -> None:
    ip = IPv6Address(number)
    if ip.ipv4_mapped is None and (ip.is_private or ip.is_multicast or ip.is_reserved or ip.is_site_local):
        assert verdict(str(ip)) is not None or ip in ip_network("64:ff9b::/96")
