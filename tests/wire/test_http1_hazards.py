"""What a hostile or broken HTTP/1.1 server does to an engine: the rows of HAZARDS section A that belong to wire."""

from __future__ import annotations

import pytest

from netio.errors import ConnectionLost, IncompleteBody, ProtocolError
from netio.wire import (
    MAX_CHUNK_OVERHEAD,
    MAX_HEAD_BYTES,
    MAX_HEAD_FIELDS,
    MAX_INFORMATIONAL,
    Http1Engine,
    Wish,
)
from tests.wire.engines import (
    HTTP1_ENGINES,
    Exchange,
    feed_all,
    head_of,
    is_success,
    outcome,
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


@pytest.mark.parametrize("coding", ["gzip", "chunked, gzip", "chunked, chunked", "xchunked", "identity", "chunked\x0b"])
def test_h1_03_a_transfer_coding_other_than_chunked_is_refused(exchange: Exchange, coding: str) -> None:
    with pytest.raises(ProtocolError):
        exchange(f"HTTP/1.1 200 OK\r\nTransfer-Encoding: {coding}\r\n\r\n0\r\n\r\n".encode())


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
    ],
)
def test_h1_04_a_malformed_chunk_is_refused(exchange: Exchange, body: bytes) -> None:
    with pytest.raises(ProtocolError) as caught:
        exchange(CHUNKED + body + b"0\r\n\r\n")
    assert caught.value.sent is True


def test_h1_05_endless_chunk_extensions_are_refused(engine: Http1Engine) -> None:
    message, _ = engine.start(request_head())
    engine.feed(CHUNKED)
    pieces = iter([b"1;" + b"x" * 993 + b"\r\na\r\n"] * 100)
    with pytest.raises(ProtocolError, match="MAX_CHUNK_OVERHEAD"):
        feed_all(engine, pieces)
    fed = 1000 * (100 - len(list(pieces)))
    assert MAX_CHUNK_OVERHEAD < fed < MAX_CHUNK_OVERHEAD + 2000
    assert not message.is_complete


def test_h1_05_a_long_stream_of_small_chunks_is_no_attack(engine: Http1Engine) -> None:
    message, _ = engine.start(request_head())
    engine.feed(CHUNKED)
    for _ in range(100):
        engine.feed(b"b\r\ndata: tick\n\r\n" * 100)
    engine.feed(b"0\r\n\r\n")
    assert is_success(message)
    assert message.received == 110_000


def test_h1_06_trailers_are_limited_and_never_become_headers(engine: Http1Engine, exchange: Exchange) -> None:
    head = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
    message = exchange(head + b"0\r\nContent-Length: 5\r\nSet-Cookie: a=b\r\n\r\n")
    assert head_of(message).fields == (("Transfer-Encoding", "chunked"),)
    assert message.trailers == (("Content-Length", "5"), ("Set-Cookie", "a=b"))
    assert engine.is_reusable
    endless, _ = engine.start(request_head())
    engine.feed(head + b"0\r\n")
    with pytest.raises(ProtocolError):
        feed_all(engine, [b"X-Y: " + b"z" * 993 + b"\r\n"] * 100)
    assert not endless.is_complete


FAULTS = [b"\n", b"\r", b"\r\r\n", b"\x00", b"\x0b", b"\x0c", b"\x1b", b"\x7f", b"\r\n\t", b"\r\n "]


@pytest.mark.parametrize("size", [1, 1000])
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
    engine: Http1Engine, exchange: Exchange, head: bytes, fault: bytes, size: int
) -> None:
    with pytest.raises(ProtocolError):
        exchange(*pieces_of(head % fault, size))
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


def test_h1_09_what_is_not_http_is_refused_at_once_and_shown(exchange: Exchange) -> None:
    with pytest.raises(ProtocolError, match=r"SSH-2\.0"):
        exchange(b"SSH-2.0-OpenSSH_9.2")


def padded_head(size: int) -> bytes:
    begin, end = b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\nX: ", b"\r\n\r\n"
    return begin + b"x" * (size - len(begin) - len(end)) + end


@pytest.mark.parametrize("piece", [1 << 20, 1000, 7])
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


def test_h1_11_a_switch_of_protocols_that_nobody_asked_for_is_refused(exchange: Exchange) -> None:
    with pytest.raises(ProtocolError, match="101"):
        exchange(b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: upgrade\r\n\r\n")


def test_h1_11_an_informational_response_has_no_body(exchange: Exchange) -> None:
    with pytest.raises(ProtocolError):
        exchange(b"HTTP/1.1 103 Early Hints\r\nContent-Length: 5\r\n\r\nhello" + OK)


@pytest.mark.parametrize(
    ("method", "line", "fields"),
    [
        ("HEAD", "200 OK", "Content-Length: 5\r\n"),
        ("HEAD", "200 OK", "Transfer-Encoding: chunked\r\n"),
        ("HEAD", "200 OK", ""),
        ("GET", "204 No Content", ""),
        ("GET", "304 Not Modified", "Content-Length: 5\r\n"),
        ("GET", "304 Not Modified", ""),
    ],
)
def test_h1_12_some_responses_have_no_body(
    engine: Http1Engine, exchange: Exchange, method: str, line: str, fields: str
) -> None:
    answer = f"HTTP/1.1 {line}\r\n{fields}\r\n".encode()
    message = exchange(answer, method=method)
    assert is_success(message)
    assert engine.is_reusable
    message = exchange(answer + b"hello", method=method)
    assert is_success(message)
    assert message.chunks == []
    assert not engine.is_reusable


@pytest.mark.parametrize("extra", [b"x", OK, b"\r\n"])
@pytest.mark.parametrize(
    "answer",
    [OK, b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n"],
    ids=["length", "chunked"],
)
def test_h1_12_bytes_after_a_response_leave_it_good_and_end_the_connection(
    engine: Http1Engine, exchange: Exchange, answer: bytes, extra: bytes
) -> None:
    message = exchange(answer + extra)
    assert is_success(message)
    assert b"".join(message.chunks) == b"hello"
    assert not engine.is_reusable


def test_h1_13_bytes_on_a_new_connection_are_refused(engine: Http1Engine) -> None:
    with pytest.raises(ProtocolError, match=r"no request asked for.*408"):
        engine.feed(b"HTTP/1.1 408 Request Timeout\r\nContent-Length: 0\r\n\r\n")
    assert not engine.is_reusable
    with pytest.raises(ConnectionLost) as caught:
        engine.start(request_head())
    assert caught.value.sent is False


def test_h1_13_bytes_between_two_exchanges_are_refused(engine: Http1Engine, exchange: Exchange) -> None:
    message = exchange(OK)
    assert engine.is_reusable
    with pytest.raises(ProtocolError):
        engine.feed(OK)
    assert not engine.is_reusable
    assert is_success(message)
    assert message.received == 5


CUT = {
    "length": OK,
    "chunked": CHUNKED + b"5\r\nhello\r\n6;a=b\r\n world\r\n0\r\nX: y\r\n\r\n",
    "interim": b"HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n" + OK,
    "http10": b"HTTP/1.0 200 OK\r\nContent-Length: 5\r\n\r\nhello",
}


@pytest.mark.parametrize("is_clean", [True, False], ids=["clean", "unclean"])
@pytest.mark.parametrize("name", list(CUT))
@pytest.mark.parametrize("kind", HTTP1_ENGINES, ids=lambda kind: kind.__name__)
def test_h1_14_a_response_cut_at_any_byte_is_never_a_success(
    kind: type[Http1Engine], name: str, is_clean: bool
) -> None:
    answer = CUT[name]
    for size in range(len(answer)):
        engine = kind()
        message, _ = engine.start(request_head())
        engine.feed(answer[:size])
        assert not message.is_complete
        message.wish = Wish.END
        assert engine.feed_end(is_clean=is_clean) is True
        expected = ConnectionLost if message.head is None else IncompleteBody
        assert type(message.error) is expected, answer[:size]
        assert message.error is not None
        assert message.error.sent is True
        assert message.is_complete
        assert not engine.is_reusable


def test_h1_14_the_error_says_how_much_had_come(engine: Http1Engine) -> None:
    message, _ = engine.start(request_head())
    engine.feed(OK[:-2])
    engine.feed_end(is_clean=True)
    assert "after 3 of 5 bytes" in str(message.error)


def test_h1_14_the_error_tells_a_silent_server_from_a_broken_head(engine: Http1Engine) -> None:
    silent, _ = engine.start(request_head())
    engine.feed_end(is_clean=True)
    assert "without a byte" in str(silent.error)
    assert silent.head is None
    assert silent.informational == []


@pytest.mark.parametrize("name", list(CUT))
@pytest.mark.parametrize("kind", HTTP1_ENGINES, ids=lambda kind: kind.__name__)
def test_a_response_in_single_bytes_is_the_same_response(kind: type[Http1Engine], name: str) -> None:
    whole, single = kind(), kind()
    first, _ = whole.start(request_head())
    whole.feed(CUT[name])
    second, _ = single.start(request_head())
    for byte in CUT[name]:
        single.feed(bytes([byte]))
    assert outcome(second) == outcome(first)
    assert is_success(second)
    assert single.is_reusable == whole.is_reusable
