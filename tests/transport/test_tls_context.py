"""Settings made into contexts: whom to trust, who to be, what to speak, where the secrets go."""

from __future__ import annotations

import ssl
import subprocess
import sys
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from netio.errors import CertificateError, TLSError
from netio.transport import TLS, TLSChannel, tls_context
from netio.transport import _tls_context as module
from netio.transport._tls_context import asks_the_system
from tests.transport.far_ends import HOST
from tests.transport.tls_certificates import Issued, authority, elliptic_key, issue
from tests.transport.tls_server import Server, shake_hands

CA = authority()
LEAF = issue(HOST, by=CA)


def talk(settings: TLS, context: ssl.SSLContext | None = None) -> Server:
    """Shake hands, and let a word go each way."""
    channel, server = TLSChannel(tls_context(settings, ()), HOST), Server(context or LEAF.server())
    rest = shake_hands(channel, server)
    channel.decrypt(rest)
    assert server.receive(channel.encrypt(b"hello")) == b"hello"
    assert channel.decrypt(server.send(b"hello yourself")) == b"hello yourself"
    return server


# ------------------------------------------------------------------ whom to trust


@pytest.mark.parametrize("form", ["text", "bytes", "path", "Path", "bundle", "folder"])
def test_authorities_come_as_pem_file_or_folder(form: str, tmp_path: Path) -> None:
    file = tmp_path / "ca.pem"
    file.write_bytes(CA.pem)
    bundle = tmp_path / "bundle.pem"
    bundle.write_bytes(b"# comment\n" + authority().pem + b"\n" + CA.pem)
    folder = tmp_path / "folder"
    folder.mkdir()
    (folder / "ca.pem").write_bytes(CA.pem)
    subprocess.run(["openssl", "rehash", str(folder)], check=True, capture_output=True)
    ca: dict[str, Any] = {
        "text": CA.pem.decode(),
        "bytes": CA.pem,
        "path": str(file),
        "Path": file,
        "bundle": bundle,
        "folder": folder,
    }
    assert talk(TLS(ca=ca[form])).is_done is True
    with pytest.raises(CertificateError):
        talk(TLS(ca=ca[form]), issue(HOST, by=authority()).server())


def test_a_folder_without_certificates_says_to_trust_nobody(tmp_path: Path) -> None:
    with pytest.raises(CertificateError):
        talk(TLS(ca=tmp_path))


@pytest.mark.parametrize("content", [None, b"no certificate", b"-----BEGIN CERTIFICATE-----\nAAAA\n"])
def test_authorities_that_cannot_be_read_are_a_tls_error(tmp_path: Path, content: bytes | None) -> None:
    if content is not None:
        (tmp_path / "ca.pem").write_bytes(content)
    with pytest.raises(TLSError, match=r"certificates to trust cannot be read from .*ca\.pem"):
        tls_context(TLS(ca=tmp_path / "ca.pem"), ())


@pytest.mark.parametrize(
    "ca", ["-----BEGIN CERTIFICATE-----\nAAAA\n", b"-----BEGIN CERTIFICATE-----\n\xff", b"\xff" + CA.pem]
)
def test_pem_that_is_none_is_a_tls_error_that_does_not_repeat_it(ca: str | bytes) -> None:
    with pytest.raises(TLSError, match="certificates to trust cannot be read from PEM"):
        tls_context(TLS(ca=ca), ())


def test_the_authorities_of_the_system_do_not_count_beside_ones_own() -> None:
    assert tls_context(TLS(ca=CA.pem), ()).cert_store_stats()["x509_ca"] == 1
    assert tls_context(TLS(verify=False), ()).cert_store_stats()["x509_ca"] == 0


def test_a_file_that_was_replaced_is_read_again(tmp_path: Path) -> None:
    file = tmp_path / "ca.pem"
    file.write_bytes(authority().pem)
    with pytest.raises(CertificateError):
        talk(TLS(ca=file))
    file.write_bytes(CA.pem)
    assert talk(TLS(ca=file)).is_done is True


def test_the_context_of_the_system_is_made_once_for_all() -> None:
    assert tls_context(TLS(), ("h2",)) is tls_context(TLS(pins=["A" * 43 + "="], sessions=False), ("h2",))
    assert tls_context(TLS(), ("h2",)) is not tls_context(TLS(), ("http/1.1",))
    assert tls_context(TLS(), ("h2",)) is not tls_context(TLS(verify=False), ("h2",))
    assert tls_context(TLS(), ("h2",)) is not tls_context(TLS(minimum_version="TLSv1.3"), ("h2",))


@pytest.mark.parametrize("settings", [TLS(), TLS(ca=CA.pem), TLS(verify=False)])
def test_every_context_is_strict_about_versions_names_and_renegotiation(settings: TLS) -> None:
    context = tls_context(settings, ())
    assert context.minimum_version == ssl.TLSVersion.TLSv1_2
    assert context.options & ssl.OP_NO_RENEGOTIATION
    assert context.hostname_checks_common_name is False
    assert context.check_hostname is settings.verify
    assert context.verify_mode is (ssl.CERT_REQUIRED if settings.verify else ssl.CERT_NONE)


# ------------------------------------------------------------------ the system


@pytest.fixture
def _no_shared_context() -> Iterator[None]:
    module._shared_context.cache_clear()
    yield
    module._shared_context.cache_clear()


@pytest.mark.usefixtures("_no_shared_context")
def test_where_openssl_has_no_authorities_the_usual_places_are_looked_at(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "bundle.crt").write_bytes(CA.pem)
    monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "none.pem"))
    monkeypatch.setenv("SSL_CERT_DIR", str(tmp_path / "none"))
    monkeypatch.setattr(module, "_USUAL_PLACES", (str(tmp_path / "none.crt"), str(tmp_path / "bundle.crt")))
    assert talk(TLS()).is_done is True


@pytest.mark.usefixtures("_no_shared_context")
def test_the_variables_of_openssl_say_whom_the_system_trusts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "bundle.crt").write_bytes(CA.pem)
    monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "bundle.crt"))
    assert talk(TLS()).is_done is True


@pytest.mark.usefixtures("_no_shared_context")
@pytest.mark.parametrize("platform", ["darwin", "win32"])
def test_where_authorities_are_no_files_truststore_asks_the_system(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, platform: str
) -> None:
    """truststore itself is that of this system, whose authorities are in the file."""
    (tmp_path / "bundle.crt").write_bytes(CA.pem)
    monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "bundle.crt"))
    monkeypatch.setattr(sys, "platform", platform)
    context = tls_context(TLS(), ())
    assert asks_the_system(context) is True
    assert talk(TLS()).is_done is True
    with pytest.raises(CertificateError) as caught:
        talk(TLS(), issue("other.test", by=CA).server())
    assert caught.value.reason == "wrong name"
    assert asks_the_system(tls_context(TLS(ca=CA.pem), ())) is False
    assert asks_the_system(tls_context(TLS(verify=False), ())) is False


@pytest.mark.usefixtures("_no_shared_context")
def test_truststore_need_not_be_installed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "platform", "darwin")
    monkeypatch.setitem(sys.modules, "truststore", None)
    assert type(tls_context(TLS(), ())) is ssl.SSLContext


# ------------------------------------------------------------------ who to be


def asking_for_certificates() -> ssl.SSLContext:
    context = LEAF.server()
    context.verify_mode = ssl.CERT_REQUIRED
    context.load_verify_locations(cadata=CA.pem.decode())
    return context


CLIENT = issue("client.test", by=CA, purposes=())


@pytest.mark.parametrize("form", ["one file", "two files", "encrypted"])
def test_a_client_certificate_is_shown_to_the_server(form: str, tmp_path: Path) -> None:
    both, certificate, key, secret = (tmp_path / name for name in ("both", "certificate", "key", "secret"))
    CLIENT.write_to(both)
    certificate.write_bytes(CLIENT.pem)
    key.write_bytes(CLIENT.key_pem())
    secret.write_bytes(CLIENT.key_pem("hunter2"))
    forms: dict[str, Any] = {
        "one file": str(both),
        "two files": (certificate, key),
        "encrypted": (certificate, str(secret), "hunter2"),
    }
    server = talk(TLS(ca=CA.pem, certificate=forms[form]), asking_for_certificates())
    assert server.object.getpeercert(binary_form=True) == CLIENT.der


def refused_certificate(certificate: Any) -> str:
    with pytest.raises(TLSError) as caught:
        tls_context(TLS(ca=CA.pem, certificate=certificate), ())
    assert (caught.value.phase, caught.value.sent) == ("tls", False)
    return str(caught.value)


def test_client_certificates_that_cannot_be_used_are_a_tls_error(tmp_path: Path) -> None:
    certificate, key, other, secret = (tmp_path / name for name in ("certificate", "key", "other", "secret"))
    certificate.write_bytes(CLIENT.pem)
    key.write_bytes(CLIENT.key_pem())
    other.write_bytes(Issued(CLIENT.certificate, elliptic_key()).key_pem())
    secret.write_bytes(CLIENT.key_pem("hunter2"))
    assert "no such file" in refused_certificate(tmp_path / "none")
    assert "client certificate cannot be read" in refused_certificate(certificate)  # a key is missing
    assert "mismatch" in refused_certificate((certificate, other))
    assert "client certificate cannot be read" in refused_certificate((certificate, secret, "wrong"))
    assert "is encrypted, and no password was given" in refused_certificate((certificate, secret))
    assert "hunter2" not in refused_certificate((key, secret, "hunter2"))


# ------------------------------------------------------------------ what to speak


def server_of(*, least: ssl.TLSVersion | None = None, most: ssl.TLSVersion | None = None) -> ssl.SSLContext:
    context = LEAF.server()
    if least is not None:
        context.minimum_version = least
    if most is not None:
        context.maximum_version = most
    return context


def test_versions_below_the_minimum_are_not_spoken() -> None:
    with pytest.raises(TLSError, match="protocol version"):
        talk(TLS(ca=CA.pem, minimum_version="TLSv1.3"), server_of(most=ssl.TLSVersion.TLSv1_2))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        old = server_of(least=ssl.TLSVersion.TLSv1, most=ssl.TLSVersion.TLSv1_1)
    with pytest.raises(TLSError, match="protocol"):
        talk(TLS(ca=CA.pem), old)
    assert talk(TLS(ca=CA.pem), server_of(most=ssl.TLSVersion.TLSv1_2)).object.version() == "TLSv1.2"
    assert talk(TLS(ca=CA.pem, minimum_version="TLSv1.3")).object.version() == "TLSv1.3"


def test_ciphers_are_those_that_are_asked_for() -> None:
    settings = TLS(ca=CA.pem, ciphers="ECDHE-ECDSA-CHACHA20-POLY1305")
    found = talk(settings, server_of(most=ssl.TLSVersion.TLSv1_2)).object.cipher()
    assert found is not None
    assert found[0] == "ECDHE-ECDSA-CHACHA20-POLY1305"


# ------------------------------------------------------------------ the key log


def test_secrets_are_logged_to_the_file_that_is_named(tmp_path: Path) -> None:
    log = tmp_path / "keys.log"
    talk(TLS(ca=CA.pem, key_log=log))
    assert "CLIENT_TRAFFIC_SECRET_0" in log.read_text()


def test_sslkeylogfile_is_looked_at_only_if_asked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """ssl.create_default_context does it for everybody who can set the environment."""
    log = tmp_path / "keys.log"
    monkeypatch.setenv("SSLKEYLOGFILE", str(log))
    module._shared_context.cache_clear()
    talk(TLS(ca=CA.pem))
    for settings in (TLS(), TLS(verify=False)):
        assert tls_context(settings, ()).keylog_filename is None
    assert log.exists() is False
    talk(TLS(ca=CA.pem, key_log=True))
    assert "CLIENT_TRAFFIC_SECRET_0" in log.read_text()


def test_a_key_log_that_cannot_be_written_is_a_tls_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(TLSError, match=r"key log .* cannot be written: .*no such file"):
        tls_context(TLS(key_log=tmp_path / "none" / "keys.log"), ())
    monkeypatch.delenv("SSLKEYLOGFILE", raising=False)
    assert tls_context(TLS(key_log=True), ()).keylog_filename is None
