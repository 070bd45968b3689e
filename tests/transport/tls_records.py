"""Records that no well-behaved server sends: made by hand, with the keys that a real handshake has agreed on.

The server end of the ssl module does the handshake and tells its secrets by the key log; from there on this writes the
records itself (RFC 8446 sections 5.2 and 7.3; RFC 5246 section 6.3 and RFC 5288 for TLS 1.2).
"""

from __future__ import annotations

import hashlib
import hmac
import ssl
from pathlib import Path

from cryptography.hazmat.primitives.ciphers.aead import AESGCM

ALERT, HANDSHAKE, DATA = 21, 22, 23
KEY_UPDATE, KEY_UPDATE_AND_ANSWER = b"\x18\0\0\1\0", b"\x18\0\0\1\1"
HELLO_REQUEST = b"\0\0\0\0"
CIPHER_12 = "ECDHE-ECDSA-AES128-GCM-SHA256"


def prepare(context: ssl.SSLContext, key_log: Path, version: ssl.TLSVersion) -> None:
    """Make a server's context tell its secrets, and send nothing by itself after the handshake."""
    context.keylog_filename = str(key_log)
    context.minimum_version = context.maximum_version = version
    context.num_tickets = 0
    if version == ssl.TLSVersion.TLSv1_2:
        context.set_ciphers(CIPHER_12)


def secret(key_log: Path, label: str) -> bytes:
    """Return the last secret of a kind in a key log."""
    return bytes.fromhex([line.split()[2] for line in key_log.read_text().splitlines() if line.startswith(label)][-1])


class Records13:
    """What a server of TLS 1.3 writes."""

    def __init__(self, key_log: Path, server: ssl.SSLObject) -> None:
        cipher = server.cipher()
        assert cipher is not None
        assert "GCM" in cipher[0]
        self._hash = "sha384" if cipher[0].endswith("384") else "sha256"
        self._key_size = 32 if "256_GCM" in cipher[0] else 16
        self._use(secret(key_log, "SERVER_TRAFFIC_SECRET_0"))

    def _use(self, traffic_secret: bytes) -> None:
        self._secret = traffic_secret
        self._aead = AESGCM(self._expand(b"key", self._key_size))
        self._iv = self._expand(b"iv", 12)
        self._sequence = 0

    def _expand(self, label: bytes, size: int) -> bytes:
        full = b"tls13 " + label
        info = size.to_bytes(2, "big") + bytes([len(full)]) + full + b"\0"
        return hmac.digest(self._secret, info + b"\1", self._hash)[:size]

    def record(self, content: bytes, kind: int = DATA) -> bytes:
        nonce = (int.from_bytes(self._iv, "big") ^ self._sequence).to_bytes(12, "big")
        self._sequence += 1
        header = b"\x17\3\3" + (len(content) + 17).to_bytes(2, "big")
        return header + self._aead.encrypt(nonce, content + bytes([kind]), header)

    def key_update(self, *, asks: bool) -> bytes:
        """Return a KeyUpdate; with `asks` one that is to be answered by another."""
        record = self.record(KEY_UPDATE_AND_ANSWER if asks else KEY_UPDATE, HANDSHAKE)
        self._use(self._expand(b"traffic upd", hashlib.new(self._hash).digest_size))
        return record


class Records12:
    """What a server of TLS 1.2 writes."""

    def __init__(self, key_log: Path, client_random: bytes, server_random: bytes) -> None:
        master = secret(key_log, "CLIENT_RANDOM")
        block = _expand_12(master, b"key expansion" + server_random + client_random, 2 * 16 + 2 * 4)
        self._aead = AESGCM(block[16:32])
        self._salt = block[36:40]
        self._sequence = 1  # Finished was the first

    def record(self, content: bytes, kind: int = DATA) -> bytes:
        number = self._sequence.to_bytes(8, "big")
        self._sequence += 1
        context = number + bytes([kind]) + b"\3\3" + len(content).to_bytes(2, "big")
        sealed = number + self._aead.encrypt(self._salt + number, content, context)
        return bytes([kind]) + b"\3\3" + len(sealed).to_bytes(2, "big") + sealed


def _expand_12(master: bytes, seed: bytes, size: int) -> bytes:
    found, chained = b"", seed
    while len(found) < size:
        chained = hmac.digest(master, chained, "sha256")
        found += hmac.digest(master, chained + seed, "sha256")
    return found[:size]
