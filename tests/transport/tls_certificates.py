"""Certificates of every kind that trustme does not issue, made with cryptography: each fault by itself."""

from __future__ import annotations

import ipaddress
import itertools
import ssl
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import cached_property
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from tests.transport.far_ends import HOST

NOW = datetime.now(UTC)
DAY = timedelta(days=1)
SHA256_WITH_RSA = bytes.fromhex("06092a864886f70d01010b")
SHA1_WITH_RSA = bytes.fromhex("06092a864886f70d010105")

_numbers = itertools.count(1)
Key = ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey


def elliptic_key() -> ec.EllipticCurvePrivateKey:
    return ec.generate_private_key(ec.SECP256R1())


def rsa_key(bits: int) -> rsa.RSAPrivateKey:
    return rsa.generate_private_key(65_537, bits)


@dataclass(frozen=True)
class Issued:
    """A certificate with its key, and whoever issued it; None is itself."""

    certificate: x509.Certificate
    key: Key
    issuer: Issued | None = None

    @property
    def public_key(self) -> ec.EllipticCurvePublicKey | rsa.RSAPublicKey:
        key = self.certificate.public_key()
        assert isinstance(key, ec.EllipticCurvePublicKey | rsa.RSAPublicKey)
        return key

    @property
    def pem(self) -> bytes:
        return self.certificate.public_bytes(serialization.Encoding.PEM)

    @property
    def der(self) -> bytes:
        return self.certificate.public_bytes(serialization.Encoding.DER)

    def key_pem(self, password: str | None = None) -> bytes:
        encryption: serialization.KeySerializationEncryption = serialization.NoEncryption()
        if password is not None:
            encryption = serialization.BestAvailableEncryption(password.encode())
        return self.key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, encryption)

    def write_to(self, path: Path) -> Path:
        """Write the certificate and its key to a file."""
        path.write_bytes(self.pem + self.key_pem())
        return path

    def server(self, *chain: Issued) -> ssl.SSLContext:
        """Return a server that shows this certificate, and those of its chain; it does not mind their weakness."""
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.set_ciphers("DEFAULT@SECLEVEL=0")
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder, "server.pem")
            path.write_bytes(self.pem + b"".join(one.pem for one in chain) + self.key_pem())
            context.load_cert_chain(path)
        return context

    @cached_property
    def client(self) -> ssl.SSLContext:
        """Return a client that trusts this certificate alone."""
        context = ssl.create_default_context()
        context.load_verify_locations(cadata=self.pem.decode())
        return context


def as_name(text: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ipaddress.ip_address(text))
    except ValueError:
        return x509.DNSName(text)


def issue(
    *names: str | x509.GeneralName,
    by: Issued | None = None,
    key: Key | None = None,
    valid: tuple[datetime, datetime] = (NOW - DAY, NOW + DAY),
    common_name: str = "",
    is_authority: bool = False,
    path_length: int | None = None,
    purposes: Sequence[x509.ObjectIdentifier] = (ExtendedKeyUsageOID.SERVER_AUTH,),
    permitted: Sequence[str] = (),
) -> Issued:
    """Return a certificate for names, signed by an authority, or by itself."""
    key = key or elliptic_key()
    called = common_name or f"{'Authority' if is_authority else 'Somebody'} {next(_numbers)}"
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, called)])
    signer, issuer_key = (by.key, by.public_key) if by else (key, key.public_key())
    builder = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(by.certificate.subject if by else subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(valid[0])
        .not_valid_after(valid[1])
        .add_extension(x509.BasicConstraints(ca=is_authority, path_length=path_length), critical=True)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(issuer_key), critical=False)
    )
    if names:
        found = [as_name(name) if isinstance(name, str) else name for name in names]
        builder = builder.add_extension(x509.SubjectAlternativeName(found), critical=False)
    if is_authority:
        usage = x509.KeyUsage(
            digital_signature=True,
            content_commitment=False,
            key_encipherment=False,
            data_encipherment=False,
            key_agreement=False,
            key_cert_sign=True,
            crl_sign=True,
            encipher_only=False,
            decipher_only=False,
        )
        builder = builder.add_extension(usage, critical=True)
    elif purposes:
        builder = builder.add_extension(x509.ExtendedKeyUsage(purposes), critical=False)
    if permitted:
        constraints = x509.NameConstraints([x509.DNSName(name) for name in permitted], None)
        builder = builder.add_extension(constraints, critical=True)
    return Issued(builder.sign(signer, hashes.SHA256()), key, by)


def authority(**options: object) -> Issued:
    """Return an authority; options as for `issue`."""
    return issue(is_authority=True, **options)  # type: ignore[arg-type]


def with_sha1(issued: Issued) -> Issued:
    """Sign a certificate of an RSA authority again with SHA-1, which cryptography refuses to do."""
    assert issued.issuer is not None
    assert isinstance(issued.issuer.key, rsa.RSAPrivateKey)
    body = issued.certificate.tbs_certificate_bytes.replace(SHA256_WITH_RSA, SHA1_WITH_RSA)
    signature = issued.issuer.key.sign(body, padding.PKCS1v15(), hashes.SHA1())
    der = issued.der.replace(issued.certificate.tbs_certificate_bytes, body).replace(SHA256_WITH_RSA, SHA1_WITH_RSA)
    der = der.replace(issued.certificate.signature, signature)
    return Issued(x509.load_der_x509_certificate(der), issued.key, issued.issuer)


@dataclass(frozen=True)
class Fault:
    """What is wrong: whom the client trusts, what the server shows, the host that is asked for, and the words."""

    trusted: Issued
    server: ssl.SSLContext
    reason: str
    words: str
    host: str = HOST


def expired() -> Fault:
    ca = authority()
    leaf = issue(HOST, by=ca, valid=(NOW - 2 * DAY, NOW - DAY))
    return Fault(ca, leaf.server(), "expired", "certificate has expired; it was valid until")


def expired_authority() -> Fault:
    ca = authority()
    between = authority(by=ca, valid=(NOW - 2 * DAY, NOW - DAY))
    return Fault(ca, issue(HOST, by=between).server(between), "expired", "certificate has expired; it was valid until")


def not_yet_valid() -> Fault:
    ca = authority()
    leaf = issue(HOST, by=ca, valid=(NOW + DAY, NOW + 2 * DAY))
    return Fault(ca, leaf.server(), "not yet valid", "certificate is not yet valid; it is valid from")


def self_signed() -> Fault:
    return Fault(authority(), issue(HOST).server(), "self-signed", "self-signed certificate; verify=TLS.*trusts it")


def wrong_host() -> Fault:
    ca = authority()
    names = [f"{letter}.test" for letter in "abcdefg"]
    words = "not valid for 'example.test'; it is for 'a.test', 'b.test', 'c.test', 'd.test', 'e.test' and 2 more;"
    return Fault(ca, issue(*names, by=ca).server(), "wrong name", words)


def wrong_address() -> Fault:
    ca = authority()
    return Fault(ca, issue("127.0.0.2", by=ca).server(), "wrong name", "it is for '127.0.0.2'", "127.0.0.1")


def unknown_authority() -> Fault:
    words = "unable to get local issuer certificate; the server sent one certificate, the last issued by 'Authority"
    return Fault(authority(), issue(HOST, by=authority()).server(), "unknown issuer", words)


def unknown_root_in_chain() -> Fault:
    root = authority()
    words = "self-signed certificate in certificate chain; the server sent 2 certificates"
    return Fault(authority(), issue(HOST, by=root).server(root), "unknown issuer", words)


def missing_intermediate() -> Fault:
    ca = authority()
    between = issue(common_name="Between", is_authority=True, by=ca)
    words = "the server sent one certificate, the last issued by 'Between'; .*intermediate certificates"
    return Fault(ca, issue(HOST, by=between).server(), "unknown issuer", words)


def weak_key() -> Fault:
    ca = authority()
    return Fault(ca, issue(HOST, by=ca, key=rsa_key(1024)).server(), "weak", "key too weak")


def weak_authority_key() -> Fault:
    ca = authority()
    between = authority(by=ca, key=rsa_key(1024))
    return Fault(ca, issue(HOST, by=between).server(between), "weak", "CA certificate key too weak")


def weak_signature() -> Fault:
    ca = authority()
    between = authority(by=ca, key=rsa_key(2048))
    leaf = with_sha1(issue(HOST, by=between))
    return Fault(ca, leaf.server(between), "weak", "digest algorithm too weak")


def for_clients_only() -> Fault:
    ca = authority()
    leaf = issue(HOST, by=ca, purposes=[ExtendedKeyUsageOID.CLIENT_AUTH])
    return Fault(ca, leaf.server(), "wrong purpose", "it is not a certificate for servers")


def outside_name_constraints() -> Fault:
    ca = authority()
    between = authority(by=ca, permitted=["allowed.test"])
    leaf = issue(HOST, by=between)
    return Fault(ca, leaf.server(between), "not allowed", "permitted subtree violation")


def issued_by_no_authority() -> Fault:
    ca = authority()
    leaf = issue("other.test", by=ca)
    return Fault(ca, issue(HOST, by=leaf).server(leaf), "invalid", "invalid CA certificate")


def path_too_long() -> Fault:
    ca = authority(path_length=0)
    between = authority(by=ca)
    return Fault(ca, issue(HOST, by=between).server(between), "invalid", "path length constraint exceeded")


def signed_by_somebody_else() -> Fault:
    """An authority of the same name and key identifier, but another key."""
    ca, impostor = authority(), authority()
    forged = Issued(ca.certificate, impostor.key)
    return Fault(ca, issue(HOST, by=forged).server(), "invalid", "certificate signature failure")


FAULTS = [
    expired,
    expired_authority,
    not_yet_valid,
    self_signed,
    wrong_host,
    wrong_address,
    unknown_authority,
    unknown_root_in_chain,
    missing_intermediate,
    weak_key,
    weak_authority_key,
    weak_signature,
    for_clients_only,
    outside_name_constraints,
    issued_by_no_authority,
    path_too_long,
    signed_by_somebody_else,
]
