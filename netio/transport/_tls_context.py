"""Settings made into an ssl.SSLContext.

With the authorities of the system it takes 30 ms and 500 KiB, so it is made off the loop, and shared.

Not `ssl.create_default_context`: that one writes the secrets of every connection to the file that the environment
variable SSLKEYLOGFILE names, and lets a common name count as a host name.

The authorities of the system are those of OpenSSL, or where its build has been moved, those in the usual places of
Linux. On macOS and Windows they are no files, and the package truststore asks the system. On Linux it would read all of
them again for every connection, on the event loop, to the same effect.
"""

from __future__ import annotations

import os
import ssl
import sys
from functools import lru_cache

from netio.errors import TLSError
from netio.transport._tls_settings import TLS, Path, is_pem

# Alpine, Arch, Fedora, RHEL and the BSDs; Fedora 44 and RHEL 11; older ones; Debian and Ubuntu; SUSE.
_USUAL_PLACES = (
    "/etc/ssl/cert.pem",
    "/etc/pki/ca-trust/extracted/pem/tls-ca-bundle.pem",
    "/etc/pki/tls/cert.pem",
    "/etc/ssl/certs/ca-certificates.crt",
    "/etc/ssl/ca-bundle.pem",
)
_Certificate = Path | tuple[Path, Path] | tuple[Path, Path, str]
_MINIMUM = {"TLSv1.2": ssl.TLSVersion.TLSv1_2, "TLSv1.3": ssl.TLSVersion.TLSv1_3}


def tls_context(settings: TLS, alpn: tuple[str, ...]) -> ssl.SSLContext:
    """Return a client context; one that reads no files of the user's is made once per process.

    Raises `TLSError` for files that cannot be read or do not hold what they should.
    """
    if settings.ca is None and settings.certificate is None and not settings.key_log:
        bare = TLS(verify=settings.verify, minimum_version=settings.minimum_version, ciphers=settings.ciphers)
        return _shared_context(bare, alpn)
    return _make_context(settings, alpn)


def asks_the_system(context: ssl.SSLContext) -> bool:
    """Whether certificates are checked by the system, behind OpenSSL's back: the chain OpenSSL knows says nothing."""
    return type(context).__module__.startswith("truststore")


@lru_cache(maxsize=64)
def _shared_context(settings: TLS, alpn: tuple[str, ...]) -> ssl.SSLContext:
    return _make_context(settings, alpn)


def _make_context(settings: TLS, alpn: tuple[str, ...]) -> ssl.SSLContext:
    from_system = settings.verify and settings.ca is None
    context = _bare_context(from_system=from_system)
    if not settings.verify:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    elif settings.ca is not None:
        _trust(context, settings.ca)
    elif not asks_the_system(context):
        _trust_the_system(context)
    context.hostname_checks_common_name = False  # RFC 9525 section 2, HAZARDS TLS-02
    context.minimum_version = _MINIMUM[settings.minimum_version]
    context.options |= ssl.OP_NO_RENEGOTIATION  # HTTP has no use for it, HTTP/2 forbids it (RFC 9113 section 9.2.1)
    if settings.ciphers is not None:
        context.set_ciphers(settings.ciphers)
    if settings.certificate is not None:
        _identify(context, settings.certificate)
    _log_keys(context, settings)
    context.set_alpn_protocols(list(alpn))
    return context


def _bare_context(*, from_system: bool) -> ssl.SSLContext:
    if from_system and sys.platform in ("darwin", "win32"):
        try:
            import truststore
        except ImportError:
            pass
        else:
            return truststore.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)  # checks names and certificates
    if sys.version_info >= (3, 13):  # what ssl.create_default_context asks for since then
        context.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN | ssl.VERIFY_X509_STRICT
    return context


def _trust(context: ssl.SSLContext, ca: Path | bytes) -> None:
    try:
        if is_pem(ca):
            context.load_verify_locations(cadata=ca.decode("ascii") if isinstance(ca, bytes) else os.fspath(ca))
            return
        path = os.fspath(ca)
        if os.path.isdir(path):
            context.load_verify_locations(capath=path)
        else:
            context.load_verify_locations(cafile=path)
    except (OSError, ValueError) as error:  # ssl.SSLError is an OSError
        place = "PEM" if is_pem(ca) else repr(ca)
        raise TLSError(f"the certificates to trust cannot be read from {place}: {_words(error)}") from error


def _trust_the_system(context: ssl.SSLContext) -> None:
    context.load_default_certs()
    places = ssl.get_default_verify_paths()
    if places.cafile or places.capath or context.cert_store_stats()["x509_ca"]:
        return
    for place in _USUAL_PLACES:
        if os.path.isfile(place):
            context.load_verify_locations(cafile=place)
            return


def _identify(context: ssl.SSLContext, certificate: _Certificate) -> None:
    """Load the client's certificate. OpenSSL asks the terminal for a password that is missing: never here."""
    file, *rest = certificate if isinstance(certificate, tuple) else (certificate,)
    key, password = rest[0] if rest else None, rest[1] if len(rest) > 1 else None

    def tell_password() -> str:
        if password is None:
            raise TLSError(f"the key of the client certificate {file!r} is encrypted, and no password was given")
        return str(password)

    try:
        context.load_cert_chain(file, key, tell_password)
    except (OSError, ValueError) as error:
        raise TLSError(f"the client certificate cannot be read from {file!r}: {_words(error)}") from error


def _log_keys(context: ssl.SSLContext, settings: TLS) -> None:
    path = os.environ.get("SSLKEYLOGFILE") if settings.key_log is True else settings.key_log
    if not path:
        return
    try:
        context.keylog_filename = os.fspath(path)
    except OSError as error:
        raise TLSError(f"the key log {path!r} cannot be written: {_words(error)}") from error


def _words(error: Exception) -> str:
    return str(error).lower()
