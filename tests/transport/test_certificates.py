"""Whom TLS trusts: certificates that fit and that do not, of every kind, between two ends without I/O."""

from __future__ import annotations

import re
import ssl
from collections.abc import Callable

import pytest
from cryptography import x509
from hypothesis import given
from hypothesis import strategies as st

from netio.errors import CertificateError, TLSError
from netio.transport import TLS, TLSChannel, tls_context
from tests.transport.far_ends import HOST, client_context
from tests.transport.tls_certificates import FAULTS, Fault, Issued, authority, issue
from tests.transport.tls_server import Server, connected, shake_hands


def trusting(ca: Issued) -> ssl.SSLContext:
    """Return the context that a session with verify=TLS(ca=...) has."""
    return tls_context(TLS(ca=ca.pem), ())


def refused(ca: Issued, leaf: Issued, host: str) -> CertificateError:
    with pytest.raises(CertificateError) as caught:
        shake_hands(TLSChannel(trusting(ca), host), Server(leaf.server()))
    return caught.value


@pytest.mark.parametrize("make", FAULTS)
def test_tls_03_a_certificate_that_does_not_fit_is_refused_with_a_reason(make: Callable[[], Fault]) -> None:
    fault = make()
    channel, server = TLSChannel(trusting(fault.trusted), fault.host), Server(fault.server)
    with pytest.raises(CertificateError) as caught:
        shake_hands(channel, server)
    error = caught.value
    assert error.reason == fault.reason
    assert re.search(fault.words, str(error)) is not None
    assert (error.sent, error.phase) == (False, "tls")
    assert isinstance(error.__cause__, ssl.SSLCertVerificationError)
    assert channel.has_output is True  # the alert that tells the server why
    with pytest.raises(ssl.SSLError, match="(?i)alert"):
        server.receive(channel.take())


@pytest.mark.parametrize("make", FAULTS)
def test_tls_04_without_verification_any_certificate_is_good(make: Callable[[], Fault]) -> None:
    fault = make()
    context = tls_context(TLS(verify=False, ciphers="DEFAULT@SECLEVEL=0"), ())
    channel, server = TLSChannel(context, fault.host), Server(fault.server)
    shake_hands(channel, server)
    assert server.is_done is True


def test_tls_03_the_error_says_what_the_certificate_is_valid_for() -> None:
    ca = authority()
    error = refused(ca, issue("a.test", "*.b.test", "10.0.0.1", by=ca), HOST)
    assert error.names == ("a.test", "*.b.test", "10.0.0.1")
    assert "it is for 'a.test', '*.b.test', '10.0.0.1';" in str(error)


@pytest.mark.parametrize(
    ("names", "host"),
    [
        (["*.test"], "a.example.test"),  # a wildcard stands for one label
        (["*.example.test"], "example.test"),
        (["ex*.test"], HOST),  # and for a whole one (RFC 9525 section 6.3)
        (["*ample.test"], HOST),
        (["xn--*.test"], "xn--bcher-kva.test"),
        (["*.*.test"], "a.b.test"),
        (["*"], "test"),
        ([f"{HOST}\0.evil.test"], HOST),
        ([f"evil.test\0{HOST}"], HOST),
        ([HOST], "127.0.0.1"),
        (["*.0.0.1"], "127.0.0.1"),
        ([x509.DNSName("127.0.0.1")], "127.0.0.1"),  # an address is an iPAddress (RFC 9525 section 6.5)
        ([x509.DNSName("::1")], "::1"),
        (["127.0.0.1"], "::ffff:127.0.0.1"),
        ([x509.UniformResourceIdentifier(f"https://{HOST}/")], HOST),
        ([x509.RFC822Name(f"root@{HOST}")], HOST),
    ],
)
def test_tls_02_names_that_only_look_alike_do_not_fit(names: list[str | x509.GeneralName], host: str) -> None:
    ca = authority()
    error = refused(ca, issue(*names, by=ca), host)
    assert error.reason == "wrong name"


def test_tls_02_a_common_name_is_not_a_host_name() -> None:
    ca = authority()
    error = refused(ca, issue(by=ca, common_name=HOST), HOST)
    assert (error.reason, error.names) == ("wrong name", ())
    assert "it is for no host name at all" in str(error)


@pytest.mark.parametrize(
    ("names", "host"),
    [
        ([HOST], HOST),
        ([HOST.upper()], HOST),
        (["*.wild.test"], "sub.wild.test"),
        (["*.wild.test"], "xn--bcher-kva.wild.test"),
        (["127.0.0.1"], "127.0.0.1"),
        (["::1"], "::1"),
        (["::1"], "0:0:0:0:0:0:0:1"),
        (["xn--bcher-kva.test"], "xn--bcher-kva.test"),
    ],
)
def test_tls_02_names_addresses_and_wildcards_fit(names: list[str], host: str) -> None:
    ca = authority()
    channel, server = TLSChannel(trusting(ca), host), Server(issue(*names, by=ca).server())
    rest = shake_hands(channel, server)
    assert channel.decrypt(rest) == b""
    assert channel.decrypt(server.send(b"ok")) == b"ok"


@pytest.mark.parametrize("host", ["", ".example.test", "a\0b", "x" * 64 + ".test", "a..b"])
def test_a_host_name_that_no_certificate_can_have_is_a_tls_error(host: str) -> None:
    with pytest.raises(TLSError, match="cannot be used with the host name"):
        TLSChannel(client_context(), host)


def test_what_the_server_sends_is_not_trusted_because_it_sends_it() -> None:
    """Neither the root that it appends nor the certificate of somebody whom the client does trust."""
    trusted, other = authority(), authority()
    leaf = issue(HOST, by=other)
    channel, server = TLSChannel(trusting(trusted), HOST), Server(leaf.server(trusted, other))
    with pytest.raises(CertificateError) as caught:
        shake_hands(channel, server)
    assert caught.value.reason == "unknown issuer"


@given(st.binary(min_size=1, max_size=40))
def test_tls_02_the_names_of_a_refused_certificate_are_text_whatever_is_in_them(name: bytes) -> None:
    ca = authority()
    text = "".join(chr(32 + byte % 95) for byte in name)
    leaf = issue(x509.DNSName(text), x509.OtherName(x509.ObjectIdentifier("1.2.3.4"), b"\x0c\x01x"), by=ca)
    assert refused(ca, leaf, "never.test").names == (text,)


def test_a_certificate_that_fits_is_accepted() -> None:
    channel, server = connected()
    assert server.is_done is True
    assert channel.is_resumed is False
    assert channel.version == "TLSv1.3"
