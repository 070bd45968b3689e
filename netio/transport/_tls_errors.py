"""What the ssl module raises, in words for people: which check failed, what the certificate says, what to try."""

from __future__ import annotations

import ssl
from collections.abc import Mapping, Sequence
from typing import Any

from netio.errors import CertificateError, CertificateFault, ConnectionLost, ProtocolError, RequestError, TLSError
from netio.transport._tls_certificate import common_name, names_of, presented

# X509_V_ERR_* of OpenSSL's x509_vfy.h; the numbers are part of its ABI.
_FAULTS: dict[int, CertificateFault] = {
    2: "unknown issuer",  # unable to get issuer certificate
    9: "not yet valid",
    10: "expired",
    18: "self-signed",
    19: "unknown issuer",  # self-signed certificate in the chain: the server sent a root that is not trusted
    20: "unknown issuer",  # unable to get local issuer certificate
    21: "unknown issuer",  # unable to verify the first certificate
    23: "revoked",
    26: "wrong purpose",
    27: "unknown issuer",  # not trusted for this
    28: "wrong purpose",  # rejected for this
    47: "not allowed",  # permitted subtree violation
    48: "not allowed",  # excluded subtree violation
    49: "not allowed",  # name constraints with minimum and maximum
    51: "not allowed",  # a kind of name constraint that OpenSSL does not know
    52: "not allowed",
    53: "not allowed",
    62: "wrong name",
    63: "wrong name",
    64: "wrong name",  # IP address mismatch
    66: "weak",  # key of the certificate too small
    67: "weak",  # key of an authority too small
    68: "weak",  # digest of a signature too weak
}

_ADVICE: dict[CertificateFault, str] = {
    "expired": "if the server is right, the clock of this machine is not",
    "not yet valid": "if the server is right, the clock of this machine is not",
    "unknown issuer": "an authority of your own is trusted by verify=TLS(ca=...); "
    "for others the server has to send the intermediate certificates too",
    "self-signed": "verify=TLS(ca=...) with this certificate trusts it",
    "wrong name": "a server that is reached by another name is checked by verify=TLS(server_hostname=...)",
    "weak": "the server needs a certificate with keys and signatures that are not known to be breakable",
    "wrong purpose": "it is not a certificate for servers",
    "not allowed": "its authority may not issue certificates for such names",
    "revoked": "its authority has withdrawn it",
}

_NAMES_SHOWN = 5


def handshake_error(error: ssl.SSLError, tls: ssl.SSLObject) -> RequestError:
    """Translate what a handshake raises."""
    if isinstance(error, ssl.SSLCertVerificationError):
        return certificate_error(error, presented(tls))
    return TLSError(f"the TLS handshake failed: {_reason(error)}{_advice_about(error)}")


def certificate_error(error: ssl.SSLCertVerificationError, chain: Sequence[Mapping[str, Any]]) -> CertificateError:
    """Return why a certificate was not accepted; `chain` is what the server has sent."""
    fault = _FAULTS.get(getattr(error, "verify_code", 0), "invalid")
    said = (getattr(error, "verify_message", "") or _reason(error)).rstrip(".")
    parts = [f"the certificate was not accepted: {said}", *_details(fault, chain)]
    if fault in _ADVICE:
        parts.append(_ADVICE[fault])
    translated = CertificateError("; ".join(parts))
    translated.reason = fault
    translated.names = names_of(chain[0]) if chain else ()
    return translated


def _details(fault: CertificateFault, chain: Sequence[Mapping[str, Any]]) -> list[str]:
    """Say what stands in the certificates about the check that failed."""
    if not chain:
        return []
    if fault == "expired":
        return [f"it was valid until {min((one['notAfter'] for one in chain), key=ssl.cert_time_to_seconds)}"]
    if fault == "not yet valid":
        return [f"it is valid from {max((one['notBefore'] for one in chain), key=ssl.cert_time_to_seconds)}"]
    if fault == "wrong name":
        return [f"it is for {_listed(names_of(chain[0]))}"]
    if fault == "unknown issuer":
        last = chain[-1]
        what = "one certificate" if len(chain) == 1 else f"{len(chain)} certificates"
        return [f"the server sent {what}, the last issued by {common_name(last.get('issuer'))!r}"]
    return []


def _listed(names: Sequence[str]) -> str:
    if not names:
        return "no host name at all"
    rest = len(names) - _NAMES_SHOWN
    return ", ".join(map(repr, names[:_NAMES_SHOWN])) + (f" and {rest} more" if rest > 0 else "")


def stream_error(error: ssl.SSLError) -> RequestError:
    """Translate what decrypting and encrypting raise."""
    if error.reason == "PROTOCOL_IS_SHUTDOWN":
        return ConnectionLost("the TLS connection is closed")
    if isinstance(error, ssl.SSLEOFError):
        return ConnectionLost("the server closed the TLS connection without saying so")
    if error.reason and "ALERT" in error.reason:
        return ConnectionLost(f"the server ended the TLS connection: {_reason(error)}{_advice_about(error)}")
    return ProtocolError(f"the server broke the TLS protocol: {_reason(error)}")


def _reason(error: ssl.SSLError) -> str:
    return (error.reason or str(error) or type(error).__name__).replace("_", " ").lower()


def _advice_about(error: ssl.SSLError) -> str:
    if error.reason and "CERTIFICATE_REQUIRED" in error.reason:
        return "; it wants a client certificate: verify=TLS(certificate=...)"
    return ""
