"""`netio.TLS`: what it takes and refuses, and what `Session(verify=...)` makes of it."""

from __future__ import annotations

import base64
import hashlib
import ssl
import warnings
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives import serialization
from hypothesis import given
from hypothesis import strategies as st

import netio
from netio import TLS, InsecureWarning
from netio.transport import check_verify
from netio.transport._tls_certificate import public_key_pin
from netio.transport._tls_settings import server_name
from tests.transport.tls_certificates import authority, elliptic_key, issue, rsa_key

PIN = base64.b64encode(bytes(range(32))).decode()
PEM = authority().pem


@pytest.mark.parametrize(
    ("settings", "error"),
    [
        ({"verify": "ca.pem"}, TypeError),
        ({"verify": None}, TypeError),
        ({"sessions": 1}, TypeError),
        ({"minimum_version": "TLSv1.1"}, ValueError),
        ({"minimum_version": ssl.TLSVersion.TLSv1_3}, ValueError),
        ({"ca": PEM, "verify": False}, ValueError),
        ({"ca": ""}, ValueError),
        ({"ca": 3}, TypeError),
        ({"ca": b"ca.pem"}, ValueError),
        ({"ca": "-----BEGIN PRIVATE KEY-----"}, ValueError),
        ({"certificate": ""}, ValueError),
        ({"certificate": 3}, TypeError),
        ({"certificate": ("a",)}, ValueError),
        ({"certificate": ("a", None)}, TypeError),
        ({"certificate": ("a", "b", b"secret")}, TypeError),
        ({"certificate": ("a", "b", "c", "d")}, ValueError),
        ({"server_hostname": ""}, ValueError),
        ({"server_hostname": "."}, ValueError),
        ({"server_hostname": "a\0b"}, ValueError),
        ({"server_hostname": b"a.test"}, TypeError),
        ({"server_hostname": "\u2603\u200d.test"}, ValueError),
        ({"ciphers": "NONE-OF-THESE"}, ValueError),
        ({"key_log": ""}, ValueError),
        ({"key_log": 3}, TypeError),
        ({"pins": PIN}, TypeError),
        ({"pins": [""]}, ValueError),
        ({"pins": [PIN[:-4]]}, ValueError),
        ({"pins": ["sha1/" + PIN]}, ValueError),
        ({"pins": [PIN + "\n"]}, ValueError),
    ],
)
def test_nonsense_is_refused_at_once(settings: dict[str, Any], error: type[Exception]) -> None:
    with pytest.raises(error):
        TLS(**settings)


def test_settings_never_change_and_may_be_compared_and_hashed() -> None:
    one, same = TLS(ca=PEM, pins=[PIN]), TLS(ca=PEM, pins=(f"sha256/{PIN}",))
    assert (one, hash(one)) == (same, hash(same))
    with pytest.raises(AttributeError):
        one.verify = False  # type: ignore[misc]


def test_auth_02_the_password_of_a_key_is_not_shown() -> None:
    assert "hunter2" not in repr(TLS(certificate=("a.pem", "a.key", "hunter2")))


@pytest.mark.parametrize("form", ["{}", "sha256/{}", "sha256//{}"])
@pytest.mark.parametrize("digest", [bytes(range(32)), b"\xff" * 32])
def test_pins_are_taken_as_okhttp_and_curl_write_them(form: str, digest: bytes) -> None:
    """A digest in base64 may begin with a slash of its own."""
    pin = base64.b64encode(digest).decode()
    assert TLS(pins=[form.format(pin)]).pins == (pin,)


@pytest.mark.parametrize("make", [elliptic_key, lambda: rsa_key(2048)])
@pytest.mark.parametrize("host", ["a.test", "x" * 60 + ".test"])
def test_a_pin_is_the_hash_of_the_public_key(make: Any, host: str) -> None:
    leaf = issue(host, key=make())
    key = leaf.public_key.public_bytes(serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo)
    assert public_key_pin(leaf.der) == base64.b64encode(hashlib.sha256(key).digest()).decode()


@pytest.mark.parametrize(
    ("given", "name"),
    [
        ("Example.TEST", "example.test"),
        ("example.test.", "example.test"),
        ("b\u00fccher.test", "xn--bcher-kva.test"),
        ("BU\u0308CHER.test", "xn--bcher-kva.test"),
        ("fa\u00df.test", "xn--fa-hia.test"),  # IDNA 2003 would make it fass.test
        ("a\u3002test", "a.test"),
        ("127.0.0.1", "127.0.0.1"),
        ("::1", "::1"),
    ],
)
def test_tls_01_a_name_is_made_an_a_label_by_idna_2008(given: str, name: str) -> None:
    assert TLS(server_hostname=given).server_hostname == name
    if ":" not in given:
        assert netio.URL(f"https://{given}/").host.removesuffix(".") == name


@given(st.text(max_size=30))
def test_tls_01_a_name_is_ascii_or_refused(text: str) -> None:
    try:
        name = server_name(text)
    except ValueError:
        return
    assert name.isascii()
    assert name == name.lower()


# ------------------------------------------------------------------ Session(verify=...)


@pytest.mark.parametrize("verify", [True, "ca.pem", Path("ca.pem"), TLS(), ssl.create_default_context()])
def test_a_session_takes_many_forms_of_trust(verify: Any) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        netio.Session(verify=verify)


@pytest.mark.parametrize("verify", [None, 1, b"ca.pem", ["ca.pem"]])
def test_a_session_refuses_what_is_no_trust(verify: Any) -> None:
    with pytest.raises(TypeError, match="verify is True, False, a path"):
        netio.Session(verify=verify)


@pytest.mark.parametrize("verify", [False, TLS(verify=False)])
def test_tls_04_a_session_that_checks_nobody_says_so_where_it_is_made(verify: Any) -> None:
    with pytest.warns(InsecureWarning, match="certificates are not checked") as caught:
        netio.Session(verify=verify)
    assert [warning.filename for warning in caught] == [__file__]


def test_a_pinned_key_needs_no_authority_and_no_warning() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert check_verify(TLS(verify=False, pins=[PIN])) == TLS(verify=False, pins=[PIN])
