"""What a hostile or broken HTTP/1.1 server sends to an engine: HAZARDS H1-01 to H1-11, about heads and chunks.

The fixtures `exchange` and `cut` give everything once in one read and once in single bytes.
"""

from __future__ import annotations

import pytest

from netio.errors import ProtocolError
from netio.wire import (
    MAX_CHUNK_OVERHEAD,
    MAX_HEAD_BYTES,
    MAX_HEAD_FIELDS,
    MAX_INFORMATIONAL,
    FastHttp1,
    Http1Engine,
)
from tests.wire.engines import (
    HTTP1_ENGINES,
    Cut,
    Exchange,
    feed_all,
    head_of,
    is_success,
    pieces_of,
    request_head,
)

OK = b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello"
CHUNKED = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"


@pytest.fixture(params=HTTP1_ENGINES, ids=lambda kind: kind.__name__)
def engine(request: pytest.FixtureRequest) -> Http1Engine:
    made: Http1Engine = request.param()
    return made


@pytest.mark.parametrize(
    "first", ["Content-Length: 5\r\nTransfer-Encoding: chunked", "Transfer-Encoding: chunked\r\nContent-Length: 5"]
)
def test_h1_01_content_length_with_transfer_encoding_is_refused(
    engine: Http1Engine, exchange: Exchange, first: str
) -> None:
    with pytest.raises(ProtocolError, match="Content-Length and Transfer-Encoding"):
        exchange(f"HTTP/1.1 200 OK\r\n{first}\r\n\r\n".encode() + b"5\r\nhello\r\n0\r\n\r\n")
    assert not engine.is_reusable


@pytest.mark.parametrize("status", ["103 Early Hints", "204 No Content", "304 Not Modified"])
def test_h1_01_even_where_there_is_no_body(exchange: Exchange, status: str) -> None:
    with pytest.raises(ProtocolError, match="Content-Length and Transfer-Encoding"):
        exchange(f"HTTP/1.1 {status}\r\nContent-Length: 0\r\nTransfer-Encoding: chunked\r\n\r\n".encode())


@pytest.mark.parametrize(
    "value", ["+5", "-1", "0x5", "5_0", "5 5", "5,6", "", ",", "5.0", "\u0665", "\xb2", "5;5", "1" * 20, "0" * 5000]
)
def test_h1_02_a_content_length_that_is_no_plain_number_is_refused(
    engine: Http1Engine, exchange: Exchange, value: str
) -> None:
    encoded = value.encode("utf-8" if value == "\u0665" else "latin-1")
    with pytest.raises(ProtocolError):
        exchange(b"HTTP/1.1 200 OK\r\nContent-Length: " + encoded + b"\r\n\r\nhello")
    assert not engine.is_reusable


def test_h1_02_differing_content_lengths_are_refused(exchange: Exchange) -> None:
    with pytest.raises(ProtocolError):
        exchange(b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\nhello")


@pytest.mark.parametrize("lines", [b"Content-Length: 5\r\nContent-Length: 5", b"Content-Length: 5, 5"])
def test_h1_02_identical_content_lengths_count_as_one(exchange: Exchange, lines: bytes) -> None:
    message = exchange(b"HTTP/1.1 200 OK\r\n" + lines + b"\r\n\r\nhello")
    assert is_success(message)
    assert b"".join(message.chunks) == b"hello"


def test_h1_02_the_largest_length_is_still_a_length(exchange: Exchange) -> None:
    message = exchange(b"HTTP/1.1 200 OK\r\nContent-Length: 9223372036854775807\r\n\r\nhello")
    assert message.received == 5
    assert not message.is_complete


@pytest.mark.parametrize(
    "coding",
    [
        "gzip",
        "gzip, chunked",
        "chunked, gzip",
        "chunked, chunked",
        "chunked,",
        "chunked;q=1",
        "xchunked",
        "identity",
        "",
        "chunked\x0b",
    ],
)
def test_h1_03_a_transfer_coding_other_than_chunked_is_refused(exchange: Exchange, coding: str) -> None:
    with pytest.raises(ProtocolError):
        exchange(f"HTTP/1.1 200 OK\r\nTransfer-Encoding: {coding}\r\n\r\n0\r\n\r\n".encode())


def test_h1_03_a_doubled_transfer_encoding_is_refused(exchange: Exchange) -> None:
    with pytest.raises(ProtocolError):
        exchange(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n")


def test_h1_03_a_transfer_encoding_in_http_1_0_is_refused(exchange: Exchange) -> None:
    with pytest.raises(ProtocolError, match=r"HTTP/1\.0"):
        exchange(b"HTTP/1.0 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n")


@pytest.mark.parametrize(
    "body",
    [
        b"x\r\n",
        b"-1\r\n",
        b"+1\r\na\r\n",
        b"0x1\r\na\r\n",
        b" 1\r\na\r\n",
        b"1\r\nabc",
        b"1\na\n",
        b"f" * 30 + b"\r\n",
        b"\r\n",
        b";a=b\r\n",
        b"1_0\r\n" + b"a" * 16 + b"\r\n",
        b"\xb2\r\nab\r\n",
        b"1\r\na\n",
        b"1\r\na\rb",
        b"1\r\na\r\r\n",
    ],
)
def test_h1_04_a_malformed_chunk_is_refused(exchange: Exchange, body: bytes) -> None:
    with pytest.raises(ProtocolError) as caught:
        exchange(CHUNKED + body + b"0\r\n\r\n")
    assert caught.value.sent is True


@pytest.mark.parametrize("body", [b"1 \r\na\r\n", b"0" * 16 + b"1\r\na\r\n", b"1;a\rb\r\na\r\n", b"1;a\x00\r\na\r\n"])
def test_h1_04_and_h1_05_netios_own_engine_is_stricter_than_h11(body: bytes, cut: Cut) -> None:
    engine = FastHttp1()
    engine.start(request_head())
    with pytest.raises(ProtocolError):
        feed_all(engine, cut(CHUNKED + body + b"0\r\n\r\n"))


def test_h1_04_a_million_tiny_chunks_are_read_in_few_pieces() -> None:
    engine = FastHttp1()
    message, _ = engine.start(request_head())
    engine.feed(CHUNKED)
    for _ in range(10):
        engine.feed(b"1\r\na\r\n" * 100_000)
    assert message.received == 1_000_000
    assert len(message.chunks) == 10


def test_h1_05_endless_chunk_extensions_are_refused(engine: Http1Engine, cut: Cut) -> None:
    message, _ = engine.start(request_head())
    engine.feed(CHUNKED)
    pieces = iter([b"1;" + b"x" * 993 + b"\r\na\r\n"] * 100)
    with pytest.raises(ProtocolError, match="MAX_CHUNK_OVERHEAD"):
        for piece in pieces:
            feed_all(engine, cut(piece))
    fed = 1000 * (100 - len(list(pieces)))
    assert MAX_CHUNK_OVERHEAD < fed < MAX_CHUNK_OVERHEAD + 2000
    assert not message.is_complete


@pytest.mark.parametrize("fed", [0, 10_000_000])
def test_h1_05_one_endless_extension_is_refused_however_much_came_before(fed: int, cut: Cut) -> None:
    engine = FastHttp1()
    message, _ = engine.start(request_head())
    engine.feed(CHUNKED + b"%x\r\n" % (fed + 1) + bytes(fed + 1) + b"\r\n")
    engine.feed(b"1;")
    with pytest.raises(ProtocolError, match="MAX_CHUNK_OVERHEAD"):
        feed_all(engine, cut(b"x" * (MAX_HEAD_BYTES + 1)))
    assert message.received == fed + 1


def test_h1_05_a_long_stream_of_small_chunks_is_no_attack(engine: Http1Engine) -> None:
    message, _ = engine.start(request_head())
    engine.feed(CHUNKED)
    for _ in range(100):
        engine.feed(b"b\r\ndata: tick\n\r\n" * 100)
    engine.feed(b"0\r\n\r\n")
    assert is_success(message)
    assert message.received == 110_000


def test_h1_05_overhead_of_one_percent_is_no_attack(engine: Http1Engine) -> None:
    message, _ = engine.start(request_head())
    engine.feed(CHUNKED)
    for _ in range(500):
        engine.feed(b"2710;signature=" + b"x" * 90 + b"\r\n" + bytes(10_000) + b"\r\n")
    engine.feed(b"0\r\n\r\n")
    assert is_success(message)
    assert message.received == 5_000_000


def test_h1_06_trailers_never_become_headers(engine: Http1Engine, exchange: Exchange) -> None:
    forbidden = b"Content-Length: 5\r\nSet-Cookie: a=b\r\ntransfer-encoding: chunked\r\nHost: b\r\n"
    message = exchange(CHUNKED + b"0\r\n" + forbidden + b"X-Sum: 1\r\n\r\n")
    assert head_of(message).fields == (("Transfer-Encoding", "chunked"),)
    assert message.trailers == (("X-Sum", "1"),)
    assert engine.is_reusable


def test_h1_06_endless_trailers_are_refused(engine: Http1Engine, cut: Cut) -> None:
    message, _ = engine.start(request_head())
    engine.feed(CHUNKED + b"0\r\n")
    with pytest.raises(ProtocolError):
        feed_all(engine, cut((b"X-Y: " + b"z" * 993 + b"\r\n") * 66))
    assert not message.is_complete


def test_h1_06_trailers_are_limited_in_number(engine: Http1Engine, exchange: Exchange) -> None:
    message = exchange(CHUNKED + b"0\r\n" + b"a: b\r\n" * MAX_HEAD_FIELDS + b"\r\n")
    assert len(message.trailers) == MAX_HEAD_FIELDS
    with pytest.raises(ProtocolError, match="MAX_HEAD_FIELDS"):
        exchange(CHUNKED + b"0\r\n" + b"a: b\r\n" * (MAX_HEAD_FIELDS + 1) + b"\r\n")


@pytest.mark.parametrize("line", [b"X", b"X : a", b" X: a", b": a", b"X: a\x00", b"X: a\rb"])
def test_h1_06_a_trailer_is_checked_like_a_header(exchange: Exchange, line: bytes) -> None:
    with pytest.raises(ProtocolError):
        exchange(CHUNKED + b"0\r\n" + line + b"\r\n\r\n")


@pytest.mark.parametrize("lines", [b"X: a\n", b"X: a\r\n b\r\n"])
def test_h1_06_netios_own_engine_checks_the_line_ends_of_trailers_too(lines: bytes, cut: Cut) -> None:
    engine = FastHttp1()
    engine.start(request_head())
    with pytest.raises(ProtocolError):
        feed_all(engine, cut(CHUNKED + b"0\r\n" + lines + b"\r\n"))


FAULTS = [b"\n", b"\r", b"\r\r\n", b"\x00", b"\x0b", b"\x0c", b"\x1b", b"\x7f", b"\r\n\t", b"\r\n "]


@pytest.mark.parametrize("fault", FAULTS)
@pytest.mark.parametrize(
    "head",
    [
        b"HTTP/1.1 200 O%bK\r\nContent-Length: 5\r\n\r\nhello",
        b"HTTP/1.1 200 OK\r\nX-A%b: b\r\nContent-Length: 5\r\n\r\nhello",
        b"HTTP/1.1 200 OK\r\nX-A: b%bb\r\nContent-Length: 5\r\n\r\nhello",
        b"HTTP/1.1 200 OK\r\nX-A: b\r\nContent-Length: 5%b\r\n\r\nhello",
    ],
)
def test_h1_07_bare_line_ends_and_control_characters_are_refused(
    engine: Http1Engine, exchange: Exchange, head: bytes, fault: bytes
) -> None:
    with pytest.raises(ProtocolError):
        exchange(head % fault)
    assert not engine.is_reusable


def test_h1_07_a_bare_lf_is_refused_before_the_head_ends(exchange: Exchange) -> None:
    with pytest.raises(ProtocolError, match="line end"):
        exchange(b"HTTP/1.1 200 OK\n")


@pytest.mark.parametrize(
    "line", [b"X : a", b" X: a", b"\tX: a", b": a", b"X", b"X\x80: a", b"(X): a", b"X-A: b\r\n c", b"X-A: b\r\n\tc"]
)
def test_h1_08_a_field_line_that_is_none_is_refused(exchange: Exchange, line: bytes) -> None:
    with pytest.raises(ProtocolError):
        exchange(b"HTTP/1.1 200 OK\r\n" + line + b"\r\nContent-Length: 0\r\n\r\n")


@pytest.mark.parametrize(
    "line",
    [
        b"HTTP/1.2 200 OK",
        b"HTTP/2.0 200 OK",
        b"HTTP/0.9 200 OK",
        b"http/1.1 200 OK",
        b"HTP/1.1 200 OK",
        b"ICY 200 OK",
        b"HTTP/1.1 20 OK",
        b"HTTP/1.1 2000 OK",
        b"HTTP/1.1 000 OK",
        b"HTTP/1.1 099 OK",
        b"HTTP/1.1 600 OK",
        b"HTTP/1.1 999 OK",
        b"HTTP/1.1 2x0 OK",
        b"HTTP/1.1  200 OK",
        b"HTTP/1.1",
        b"",
        b"<html>",
        b"\x15\x03\x01\x00\x02\x02",
    ],
)
def test_h1_09_a_status_line_that_is_none_is_refused(exchange: Exchange, line: bytes) -> None:
    with pytest.raises(ProtocolError):
        exchange(line + b"\r\nContent-Length: 0\r\n\r\n")


def test_h1_09_what_is_not_http_is_refused_at_once_and_shown(engine: Http1Engine) -> None:
    engine.start(request_head())
    with pytest.raises(ProtocolError, match=r"SSH-2\.0"):
        engine.feed(b"SSH-2.0-OpenSSH_9.2")


def test_h1_09_what_is_not_http_is_refused_at_its_first_wrong_byte(engine: Http1Engine) -> None:
    engine.start(request_head())
    assert engine.feed(b"HTTP/1") is False
    with pytest.raises(ProtocolError, match="HTTP/1-"):
        engine.feed(b"-")


def padded_head(size: int) -> bytes:
    begin, end = b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\nX: ", b"\r\n\r\n"
    return begin + b"x" * (size - len(begin) - len(end)) + end


@pytest.mark.parametrize("piece", [1 << 20, 1000, 1])
def test_h1_10_a_head_is_limited_in_bytes_however_it_arrives(engine: Http1Engine, piece: int) -> None:
    whole = padded_head(MAX_HEAD_BYTES)
    message, _ = engine.start(request_head())
    feed_all(engine, pieces_of(whole, piece))
    assert is_success(message)

    longer = padded_head(MAX_HEAD_BYTES + 1)
    message, _ = engine.start(request_head())
    with pytest.raises(ProtocolError, match="MAX_HEAD_BYTES"):
        feed_all(engine, pieces_of(longer, piece))
    assert message.head is None


def test_h1_10_one_endless_line_is_refused_at_the_limit(engine: Http1Engine, cut: Cut) -> None:
    engine.start(request_head())
    pieces = iter(cut(b"HTTP/1.1 200 OK\r\nX: " + b"x" * (2 * MAX_HEAD_BYTES)))
    with pytest.raises(ProtocolError, match="MAX_HEAD_BYTES"):
        feed_all(engine, pieces)
    left = len(list(pieces))
    assert left in (0, 20 + 2 * MAX_HEAD_BYTES - (MAX_HEAD_BYTES + 1))


def test_h1_10_an_endless_head_is_refused_at_the_limit(engine: Http1Engine) -> None:
    engine.start(request_head())
    engine.feed(b"HTTP/1.1 200 OK\r\n")
    pieces = iter([b"X-Y: z\r\n"] * MAX_HEAD_BYTES)
    with pytest.raises(ProtocolError, match="MAX_HEAD_BYTES"):
        feed_all(engine, pieces)
    fed = 17 + 8 * (MAX_HEAD_BYTES - len(list(pieces)))
    assert MAX_HEAD_BYTES < fed <= MAX_HEAD_BYTES + 8


def test_h1_10_a_head_is_limited_in_fields(engine: Http1Engine, exchange: Exchange) -> None:
    begin = b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n"
    message = exchange(begin + b"a: b\r\n" * (MAX_HEAD_FIELDS - 1) + b"\r\n")
    assert len(head_of(message).fields) == MAX_HEAD_FIELDS
    with pytest.raises(ProtocolError, match="MAX_HEAD_FIELDS"):
        exchange(begin + b"a: b\r\n" * MAX_HEAD_FIELDS + b"\r\n")


def test_h1_11_informational_responses_are_limited(engine: Http1Engine, exchange: Exchange) -> None:
    message = exchange(b"HTTP/1.1 102 Processing\r\n\r\n" * MAX_INFORMATIONAL + OK)
    assert len(message.informational) == MAX_INFORMATIONAL
    assert is_success(message)
    with pytest.raises(ProtocolError, match="MAX_INFORMATIONAL"):
        exchange(b"HTTP/1.1 102 Processing\r\n\r\n" * (MAX_INFORMATIONAL + 1))


def test_h1_11_informational_responses_are_limited_in_bytes_together_with_the_final_head(
    engine: Http1Engine, exchange: Exchange
) -> None:
    interim = b"HTTP/1.1 103 Early Hints\r\nX: " + b"x" * 4063 + b"\r\n\r\n"
    assert len(interim) == MAX_HEAD_BYTES // 16
    assert is_success(exchange(interim * 15 + padded_head(MAX_HEAD_BYTES // 16)))
    message, _ = engine.start(request_head())
    with pytest.raises(ProtocolError, match="MAX_HEAD_BYTES"):
        feed_all(engine, pieces_of(interim * 15 + padded_head(MAX_HEAD_BYTES // 16 + 1), 1000))
    assert len(message.informational) == 15
    assert message.head is None


def test_h1_11_a_switch_of_protocols_that_nobody_asked_for_is_refused(exchange: Exchange) -> None:
    with pytest.raises(ProtocolError, match="101"):
        exchange(b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: upgrade\r\n\r\n")


def test_h1_11_an_informational_response_has_no_body(exchange: Exchange) -> None:
    with pytest.raises(ProtocolError):
        exchange(b"HTTP/1.1 103 Early Hints\r\nContent-Length: 5\r\n\r\nhello" + OK)
