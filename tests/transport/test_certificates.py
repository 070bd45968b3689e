"""Whom TLS trusts: certificates that fit and that do not, and the contexts that decide."""

from __future__ import annotations

import ssl
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import trustme

from netio.errors import CertificateError, TLSError
from netio.transport import TLSChannel, tls_context
from tests.transport.far_ends import HOST, authority, client_context
from tests.transport.tls_server import Server, connected, shake_hands


def certificate(*names: str, ca: trustme.CA | None = None, **options: Any) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    (ca or authority()).issue_cert(*names, **options).configure_cert(context)
    return context


def without_intermediate(path: Path) -> ssl.SSLContext:
    leaf = authority().create_child_ca().issue_cert(HOST)
    file = path / "leaf.pem"
    file.write_bytes(leaf.private_key_pem.bytes() + leaf.cert_chain_pems[0].bytes())
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(file)
    return context


def self_signed(path: Path) -> ssl.SSLContext:
    ca = trustme.CA()
    file = path / "self.pem"
    file.write_bytes(ca.private_key_pem.bytes() + ca.cert_pem.bytes())
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(file)
    return context


NOW = datetime.now(UTC)
DAY = timedelta(days=1)

BAD_CERTIFICATES: dict[str, tuple[Callable[[Path], ssl.SSLContext], str, str]] = {
    "expired": (lambda _: certificate(HOST, not_before=NOW - 2 * DAY, not_after=NOW - DAY), HOST, "has expired"),
    "not yet valid": (
        lambda _: certificate(HOST, not_before=NOW + DAY, not_after=NOW + 2 * DAY),
        HOST,
        "not yet valid",
    ),
    "wrong name": (lambda _: certificate("other.test"), HOST, "not valid for 'example.test'"),
    "wildcard for one label only": (
        lambda _: certificate("*.test"),
        "a.example.test",
        "not valid for 'a.example.test'",
    ),
    "name in the common name only": (
        lambda _: certificate("other.test", common_name=HOST),
        HOST,
        "not valid for 'example.test'",
    ),
    "wrong address": (lambda _: certificate("127.0.0.2"), "127.0.0.1", "not valid for '127.0.0.1'"),
    "name for an address": (lambda _: certificate(HOST), "127.0.0.1", "not valid for '127.0.0.1'"),
    "unknown authority": (lambda _: certificate(HOST, ca=trustme.CA()), HOST, "unable to get local issuer certificate"),
    "missing intermediate": (without_intermediate, HOST, "unable to get local issuer certificate"),
    "self-signed": (self_signed, HOST, "self-signed certificate"),
}


@pytest.mark.parametrize("fault", BAD_CERTIFICATES)
def test_tls_03_a_certificate_that_does_not_fit_is_refused_in_words(fault: str, tmp_path: Path) -> None:
    make, host, reason = BAD_CERTIFICATES[fault]
    channel, server = TLSChannel(client_context(), host), Server(make(tmp_path))
    with pytest.raises(CertificateError) as caught:
        shake_hands(channel, server)
    assert reason in str(caught.value)
    assert caught.value.sent is False
    assert caught.value.phase == "tls"
    assert isinstance(caught.value.__cause__, ssl.SSLCertVerificationError)
    assert channel.has_output is True  # the alert that tells the server why
    with pytest.raises(ssl.SSLError, match="(?i)alert"):
        server.receive(channel.take())


@pytest.mark.parametrize("host", [HOST, "127.0.0.1", "sub.wild.test"])
def test_tls_02_names_addresses_and_wildcards_fit(host: str) -> None:
    channel, server = connected(certificate(HOST, "127.0.0.1", "*.wild.test"), host)
    assert server.is_done is True
    assert channel.decrypt(server.send(b"ok")) == b"ok"


def test_tls_04_without_verification_any_certificate_is_good(tmp_path: Path) -> None:
    for make, host, _ in BAD_CERTIFICATES.values():
        channel, server = TLSChannel(tls_context(False, ()), host), Server(make(tmp_path))
        shake_hands(channel, server)
        assert server.is_done is True
    strict, server = TLSChannel(tls_context(True, ()), HOST), Server()
    with pytest.raises(CertificateError):
        shake_hands(strict, server)


@pytest.mark.parametrize("host", ["", ".example.test", "a\0b", "x" * 64 + ".test", "a..b"])
def test_a_host_name_that_no_certificate_can_have_is_a_tls_error(host: str) -> None:
    with pytest.raises(TLSError, match="cannot be used with the host name"):
        TLSChannel(client_context(), host)


def test_a_context_is_made_once_per_setting(tmp_path: Path) -> None:
    authority().cert_pem.write_to_path(str(tmp_path / "ca.pem"))
    path = str(tmp_path / "ca.pem")
    settings: list[tuple[bool | str, tuple[str, ...]]] = [
        (True, ("h2", "http/1.1")),
        (True, ("http/1.1",)),
        (False, ("http/1.1",)),
        (path, ("http/1.1",)),
    ]
    contexts = [tls_context(*setting) for setting in settings]
    assert [tls_context(*setting) for setting in settings] == contexts
    assert len(set(map(id, contexts))) == len(settings)
    for context in contexts:
        assert context.minimum_version == ssl.TLSVersion.TLSv1_2
        assert context.options & ssl.OP_NO_RENEGOTIATION
    assert [context.verify_mode for context in contexts] == [ssl.CERT_REQUIRED] * 2 + [ssl.CERT_NONE, ssl.CERT_REQUIRED]


def test_a_file_says_whom_to_trust(tmp_path: Path) -> None:
    authority().cert_pem.write_to_path(str(tmp_path / "ca.pem"))
    channel, server = TLSChannel(tls_context(str(tmp_path / "ca.pem"), ()), HOST), Server()
    shake_hands(channel, server)
    assert server.is_done is True


def test_a_folder_without_certificates_says_to_trust_nobody(tmp_path: Path) -> None:
    with pytest.raises(CertificateError):
        shake_hands(TLSChannel(tls_context(str(tmp_path), ()), HOST), Server())
