"""TLS: whom to trust, who to be, and what to speak. One setting for all connections of a session or to a proxy."""

from __future__ import annotations

import base64
import binascii
import os
import ssl
import warnings
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Literal, TypeAlias

import idna

Path: TypeAlias = str | os.PathLike[str]
MinimumVersion = Literal["TLSv1.2", "TLSv1.3"]

_PIN_BYTES = 32  # SHA-256
_PIN_CHARACTERS = 44
_VERSIONS = ("TLSv1.2", "TLSv1.3")


class InsecureWarning(UserWarning):
    """A session does not check whom it talks to."""


@dataclass(frozen=True, kw_only=True, slots=True)
class TLS:
    """What `Session(verify=...)` takes where True, False or a path does not say enough. Never changes.

    * `verify`: False accepts any certificate.
    * `ca`: whom to trust in place of the authorities of the system: the path of a file of PEM certificates or of a
      folder as `openssl rehash` makes it, or the certificates themselves, as PEM in text or bytes.
    * `certificate`: who this client is: the path of a PEM file with certificate and key, or (certificate, key), or
      (certificate, key, password).
    * `server_hostname`: sent to the server (SNI) and looked for in its certificate instead of the host of the URL.
    * `minimum_version`: "TLSv1.2" or "TLSv1.3".
    * `ciphers`: for TLS 1.2, in OpenSSL's notation; those of TLS 1.3 are OpenSSL's.
    * `key_log`: the path of a file to which the secrets of all connections are appended, for Wireshark and its kin.
      True takes the path from the environment variable SSLKEYLOGFILE, which is not looked at otherwise.
    * `pins`: SHA-256 of public keys in base64, with or without "sha256/" before it. One of them must be the server's,
      or that of an authority above it, on each connection. With `verify=False` it must be the server's own.
    * `sessions`: whether a connection may resume the TLS session of one before it, which saves half of the work.

    Raises `ValueError` or `TypeError` for nonsense. Files are read when the first connection is opened.
    """

    verify: bool = True
    ca: Path | bytes | None = None
    certificate: Path | tuple[Path, Path] | tuple[Path, Path, str] | None = field(default=None, repr=False)
    server_hostname: str | None = None
    minimum_version: MinimumVersion = "TLSv1.2"
    ciphers: str | None = None
    key_log: Path | bool = False
    pins: Iterable[str] = ()
    sessions: bool = True

    def __post_init__(self) -> None:
        for name in ("verify", "sessions"):
            if not isinstance(getattr(self, name), bool):
                raise TypeError(f"{name} must be True or False, not {getattr(self, name)!r}")
        if self.minimum_version not in _VERSIONS:
            raise ValueError(f"minimum_version must be one of {_VERSIONS}, not {self.minimum_version!r}")
        if self.ca is not None:
            _check_authorities(self.ca)
            if not self.verify:
                raise ValueError("ca has no meaning with verify=False, which trusts anybody")
        _check_path("key_log", self.key_log if not isinstance(self.key_log, bool) else None)
        _check_certificate(self.certificate)
        if self.ciphers is not None:
            _check_ciphers(self.ciphers)
        if self.server_hostname is not None:
            object.__setattr__(self, "server_hostname", server_name(self.server_hostname))
        object.__setattr__(self, "pins", _as_pins(self.pins))


Verify: TypeAlias = bool | str | os.PathLike[str] | TLS | ssl.SSLContext
"""True, False, the path of a CA file or folder, `TLS`, or a context of the user's own."""


def check_verify(verify: Verify, *, stacklevel: int = 3) -> TLS | ssl.SSLContext:
    """Return what `verify` means; warn, at a line of the caller's, where it means that nobody is checked.

    Raises `TypeError` for what is none of it.
    """
    settings = read_verify(verify)
    if isinstance(settings, TLS) and not settings.verify and not settings.pins:
        warnings.warn(
            "certificates are not checked: anybody on the way can read and change what is sent. "
            "To trust a certificate of your own, use verify=TLS(ca=...)",
            InsecureWarning,
            stacklevel=stacklevel,
        )
    return settings


def read_verify(verify: Verify) -> TLS | ssl.SSLContext:
    """Return what `verify` means. Raises `TypeError` for what is none of it."""
    if isinstance(verify, bool):
        return TLS(verify=verify)
    if isinstance(verify, str | os.PathLike):
        return TLS(ca=verify)
    if isinstance(verify, TLS | ssl.SSLContext):
        return verify
    raise TypeError(f"verify is True, False, a path, netio.TLS or an ssl.SSLContext, not {type(verify).__name__}")


def server_name(host: str) -> str:
    """Return a host as SNI and certificates have it: A-labels, in lower case, without the dot of the root.

    Raises `ValueError` for what cannot be one (IDNA 2008 by UTS 46, non-transitional, as URLs have it; HAZARDS TLS-01).
    """
    if not isinstance(host, str):
        raise TypeError(f"a host name is text, not {type(host).__name__}")
    if host.isascii():
        name = host.lower().removesuffix(".")
    else:
        try:
            name = idna.encode(host, uts46=True).decode("ascii").removesuffix(".")
        except idna.IDNAError as error:
            raise ValueError(f"{host!a} is not a host name: {error}") from error
    if not name or name.startswith(".") or "\0" in name:
        raise ValueError(f"{host!a} is not a host name")
    return name


def _check_path(name: str, path: object) -> None:
    if path is None:
        return
    if not isinstance(path, str | os.PathLike):
        raise TypeError(f"{name} is a path, not {type(path).__name__}")
    if not os.fspath(path):
        raise ValueError(f"{name} is empty")


def is_pem(ca: object) -> bool:
    """Whether this is certificates, and not the path of them."""
    return isinstance(ca, bytes) or (isinstance(ca, str) and "-----BEGIN" in ca)


def _check_authorities(ca: Path | bytes) -> None:
    if not is_pem(ca):
        _check_path("ca", ca)
    elif b"-----BEGIN CERTIFICATE" not in (ca if isinstance(ca, bytes) else str(ca).encode()):
        raise ValueError("ca holds no PEM certificate")


def _check_certificate(certificate: object) -> None:
    if not isinstance(certificate, tuple):
        _check_path("certificate", certificate)
        return
    if len(certificate) not in (2, 3):
        raise ValueError("certificate is a path, (certificate, key) or (certificate, key, password)")
    for path in certificate[:2]:
        _check_path("certificate", path)
        if path is None:
            raise TypeError("certificate is a path, (certificate, key) or (certificate, key, password)")
    if len(certificate) == 3 and not isinstance(certificate[2], str):
        raise TypeError("the password of a certificate is text")


def _check_ciphers(ciphers: str) -> None:
    try:
        ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT).set_ciphers(ciphers)
    except ssl.SSLError as error:
        raise ValueError(f"OpenSSL knows no ciphers for {ciphers!r}") from error


def _as_pins(pins: Iterable[str]) -> tuple[str, ...]:
    if isinstance(pins, str | bytes):
        raise TypeError("pins is a list of pins, not one")
    return tuple(_as_pin(pin) for pin in pins)


def _as_pin(pin: str) -> str:
    text = pin.removeprefix("sha256/")  # as OkHttp writes it; curl has a second slash
    if len(text) > _PIN_CHARACTERS:
        text = text.removeprefix("/")
    try:
        digest = base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        digest = b""
    if len(digest) != _PIN_BYTES:
        raise ValueError(f"a pin is 32 bytes in base64, which {pin!r} is not")
    return base64.b64encode(digest).decode("ascii")
