"""What netio reads out of a certificate itself, where the ssl module gives it away as DER only."""

from __future__ import annotations

import base64
import hashlib
import ssl
from collections.abc import Mapping
from typing import Any

_VERSION = 0xA0  # the tag of the one optional field that stands before the key (RFC 5280 section 4.1)
_ENCODING_DER = 2  # of the module _ssl
_FIELDS_BEFORE_KEY = 5  # serial number, signature algorithm, issuer, validity, subject


def public_key_pin(certificate: bytes) -> str:
    """Return SHA-256 of the SubjectPublicKeyInfo in base64 (RFC 7469 section 2.4).

    The certificate is DER that OpenSSL has parsed already.
    """
    at, _ = _content(certificate, 0)  # Certificate
    at, _ = _content(certificate, at)  # TBSCertificate
    skipped = _FIELDS_BEFORE_KEY + (certificate[at] == _VERSION)
    for _ in range(skipped):
        at = _content(certificate, at)[1]
    key = certificate[at : _content(certificate, at)[1]]
    return base64.b64encode(hashlib.sha256(key).digest()).decode("ascii")


def _content(data: bytes, at: int) -> tuple[int, int]:
    """Return where the content of an element of DER begins and ends (X.690 section 8.1)."""
    length, start = data[at + 1], at + 2
    if length & 0x80:
        count = length & 0x7F
        length = int.from_bytes(data[start : start + count], "big")
        start += count
    return start, start + length


def verified_chain(tls: ssl.SSLObject) -> list[bytes]:
    """Return the certificates from the peer's up to the trusted one, as DER; of a resumed session the peer's alone."""
    peer = tls.getpeercert(binary_form=True)
    # Public since Python 3.13, on the inner object before.
    found = getattr(tls, "get_verified_chain", None) or getattr(
        getattr(tls, "_sslobj", None), "get_verified_chain", None
    )
    chain = [_der(one) for one in found() or ()] if found is not None else []
    return chain or ([peer] if peer else [])


def presented(tls: ssl.SSLObject) -> list[Mapping[str, Any]]:
    """Return what is in the certificates that the peer has sent, even if they were not accepted; the peer's first.

    They are dicts as of `ssl.SSLSocket.getpeercert`. None are returned by a Python whose ssl module does not tell.
    """
    found = getattr(getattr(tls, "_sslobj", None), "get_unverified_chain", None)
    return [one.get_info() for one in found() or ()] if found is not None else []


def _der(certificate: Any) -> bytes:
    return certificate if isinstance(certificate, bytes) else bytes(certificate.public_bytes(_ENCODING_DER))


def names_of(certificate: Mapping[str, Any]) -> tuple[str, ...]:
    """Return the host names and addresses that a certificate is valid for."""
    return tuple(name for kind, name in certificate.get("subjectAltName", ()) if kind in ("DNS", "IP Address"))


def common_name(names: Any) -> str:
    """Return how a subject or issuer is called: its common name, or the last of what it has."""
    flat = [pair for group in names or () for pair in group]
    found = dict(flat).get("commonName")
    return str(found or (flat[-1][1] if flat else "without a name"))
