"""The TLS layer: bytes in, bytes out, against a server end of the ssl module's own."""

from __future__ import annotations

import ssl

import pytest
from hypothesis import given
from hypothesis import strategies as st

from netio.errors import CertificateError, ConnectionLost, ProtocolError, TLSError
from netio.transport import TLSChannel
from tests.transport.far_ends import HOST, authority, client_context, server_context
from tests.transport.kit_tools import pattern
from tests.transport.tls_server import Server, connected, cut, shake_hands

VERSIONS = [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3]


def server_of(version: ssl.TLSVersion) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority().issue_cert(HOST).configure_cert(context)
    context.maximum_version = version
    return context


# ------------------------------------------------------------------ handshake


@pytest.mark.parametrize("size", [None, 100, 1])
@pytest.mark.parametrize("version", VERSIONS)
def test_tls_05_a_handshake_may_be_cut_anywhere(version: ssl.TLSVersion, size: int | None) -> None:
    channel, server = TLSChannel(client_context(), HOST), Server(server_of(version))
    rest = shake_hands(channel, server, size=size)
    assert server.is_done is True
    assert channel.decrypt(rest) == b""
    assert server.receive(channel.encrypt(b"hello")) == b"hello"
    assert channel.decrypt(server.send(b"hello yourself")) == b"hello yourself"


def test_what_comes_with_the_last_flight_is_kept() -> None:
    channel, server = TLSChannel(client_context(), HOST), Server(server_of(ssl.TLSVersion.TLSv1_2))
    channel.handshake()
    channel.handshake(server.handshake(channel.take()))
    assert channel.handshake(server.handshake(channel.take()) + server.send(b"early")) is True
    assert channel.decrypt(b"") == b"early"


@pytest.mark.parametrize(
    ("offered", "spoken", "agreed"),
    [
        (("h2", "http/1.1"), ("h2",), "h2"),
        (("h2", "http/1.1"), ("http/1.1", "h2"), "http/1.1"),
        (("h2",), ("http/1.1",), None),
        (("h2",), (), None),
    ],
)
def test_alpn_is_what_both_speak(offered: tuple[str, ...], spoken: tuple[str, ...], agreed: str | None) -> None:
    context = ssl.create_default_context()
    authority().configure_trust(context)
    context.set_alpn_protocols(offered)
    channel, server = TLSChannel(context, HOST), Server(server_context(*spoken))
    shake_hands(channel, server)
    assert channel.alpn == agreed


PLAIN_TEXT = [
    b"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n",
    b"<html>",
    b"220 mail.example ESMTP\r\n",
    b"SSH-2.0-OpenSSH_9.9\r\n",
]


@pytest.mark.parametrize("answer", PLAIN_TEXT)
@pytest.mark.parametrize("size", [None, 1])
def test_tls_06_plain_text_on_the_port_is_called_so(answer: bytes, size: int | None) -> None:
    channel = TLSChannel(client_context(), HOST)
    channel.handshake()
    with pytest.raises(TLSError) as caught:
        for piece in cut(answer, size):
            channel.handshake(piece)
    excerpt = answer[: size or 24]
    assert str(caught.value) == f"the server does not speak TLS on this port, it says {excerpt!r}; was http:// meant?"


def alert(code: int, version: bytes = b"\x03\x03") -> bytes:
    return b"\x15" + version + b"\x00\x02\x02" + bytes([code])


@pytest.mark.parametrize(
    ("code", "words"),
    [
        (40, "handshake failure"),
        (70, "protocol version"),
        (80, "internal error"),
        (112, "unrecognized name"),
        (116, "certificate required"),
        (120, "no application protocol"),
    ],
)
def test_tls_05_an_alert_says_why_the_handshake_failed(code: int, words: str) -> None:
    channel = TLSChannel(client_context(), HOST)
    channel.handshake()
    with pytest.raises(TLSError, match=words) as caught:
        channel.handshake(alert(code))
    assert not isinstance(caught.value, CertificateError)
    assert caught.value.sent is False


def test_tls_05_a_client_certificate_that_is_missing_shows_after_the_handshake() -> None:
    """In TLS 1.3 the client is done before the server has looked."""
    context = server_of(ssl.TLSVersion.TLSv1_3)
    context.verify_mode = ssl.CERT_REQUIRED
    authority().configure_trust(context)
    channel, server = TLSChannel(client_context(), HOST), Server(context)
    assert channel.decrypt(shake_hands(channel, server)) == b""
    assert isinstance(channel.failure, ConnectionLost)
    assert "certificate required" in str(channel.failure)


@given(st.binary(min_size=1, max_size=200), st.integers(1, 50))
def test_tls_05_whatever_the_server_says_no_exception_of_ssl_escapes_the_handshake(answer: bytes, size: int) -> None:
    channel = TLSChannel(client_context(), HOST)
    channel.handshake()
    try:
        for piece in cut(answer, size):
            assert channel.handshake(piece) is False
    except TLSError as error:
        assert isinstance(error.__cause__, ssl.SSLError) or answer[0] not in range(20, 25)


@given(st.integers(0, 10_000), st.integers(1, 255))
def test_tls_05_a_flipped_byte_breaks_the_handshake_or_does_not_matter(place: int, flip: int) -> None:
    channel, server = TLSChannel(client_context(), HOST), Server()
    channel.handshake()
    answer = bytearray(server.handshake(channel.take()))
    answer[place % len(answer)] ^= flip
    try:
        channel.handshake(bytes(answer))
    except TLSError as error:
        assert error.sent is False


# ------------------------------------------------------------------ the stream


def test_everything_that_has_come_is_decrypted_in_one_go() -> None:
    channel, server = connected()
    data = pattern(300_000)
    received = b"".join(server.send(data[start : start + 1_000]) for start in range(0, len(data), 1_000))
    assert channel.decrypt(received) == data
    assert channel.decrypt(b"") == b""


@pytest.mark.parametrize("size", [1, 7, 5_000])
def test_records_may_be_cut_anywhere(size: int) -> None:
    channel, server = connected()
    data = pattern(20_000)
    received = server.send(data) + server.close()
    assert b"".join(channel.decrypt(piece) for piece in cut(received, size)) == data
    assert (channel.is_ended, channel.is_over, channel.failure) == (True, True, None)


def test_much_is_encrypted_in_one_go() -> None:
    channel, server = connected()
    data = pattern(300_000)
    server.incoming.write(channel.encrypt(data))
    received = b""
    while len(received) < len(data):
        received += server.object.read(100_000)
    assert received == data


def test_close_notify_from_here_ends_what_the_server_reads() -> None:
    channel, server = connected()
    assert server.receive(channel.encrypt(b"last") + channel.close()) == b"last"
    assert server.receive(b"") == b""
    with pytest.raises(ConnectionLost, match="closed"):
        channel.encrypt(b"more")
    assert channel.close() == b""


def test_after_close_notify_from_there_one_may_still_write() -> None:
    channel, server = connected()
    assert channel.decrypt(server.close()) == b""
    assert channel.is_ended is True
    assert server.receive(channel.encrypt(b"still here")) == b"still here"
    assert channel.decrypt(b"whatever follows is not looked at") == b""
    assert channel.failure is None


@pytest.mark.parametrize("size", [None, 1])
def test_tls_05_what_came_before_a_broken_record_is_not_lost_however_it_is_cut(size: int | None) -> None:
    channel, server = connected()
    received = server.send(b"good") + b"garbage, surely no record"
    assert b"".join(channel.decrypt(piece) for piece in cut(received, size)) == b"good"
    assert isinstance(channel.failure, ProtocolError)
    assert isinstance(channel.failure.__cause__, ssl.SSLError)
    assert channel.is_over is True
    assert channel.decrypt(server.send(b"more")) == b""


def test_a_record_that_was_tampered_with_is_refused() -> None:
    channel, server = connected()
    record = bytearray(server.send(b"secret"))
    record[-1] ^= 1
    assert channel.decrypt(bytes(record)) == b""
    assert isinstance(channel.failure, ProtocolError)
    assert "bad" in str(channel.failure)


def test_tls_05_an_alert_in_the_stream_is_a_lost_connection() -> None:
    channel, server = connected(server_of(ssl.TLSVersion.TLSv1_2))
    channel_received = server.send(b"half an ans")
    server.incoming.write(b"garbage, so that the server gives up")
    with pytest.raises(ssl.SSLError):
        server.object.read()
    assert channel.decrypt(channel_received + server.outgoing.read()) == b"half an ans"
    assert isinstance(channel.failure, ConnectionLost)
    assert "alert" in str(channel.failure)


@given(st.binary(min_size=1, max_size=400), st.integers(1, 100))
def test_tls_05_no_exception_of_ssl_escapes_the_stream(garbage: bytes, size: int) -> None:
    channel, server = connected()
    received = server.send(b"good") + garbage
    assert b"".join(channel.decrypt(piece) for piece in cut(received, size)) == b"good"
    assert channel.failure is None or isinstance(channel.failure, ProtocolError | ConnectionLost)
    try:
        channel.encrypt(b"x")
    except (ProtocolError, ConnectionLost) as error:
        assert isinstance(error.__cause__, ssl.SSLError)
    channel.close()
