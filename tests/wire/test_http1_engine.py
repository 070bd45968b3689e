"""What every HTTP/1.1 engine must do: the contract of `Http1Engine`, and the hazards that belong to it."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from netio.errors import ConnectionLost, IncompleteBody, InvalidRequest, ProtocolError, RequestBodyError
from netio.wire import (
    MAX_CHUNK_OVERHEAD,
    MAX_HEAD_BYTES,
    MAX_HEAD_FIELDS,
    MAX_INFORMATIONAL,
    Http1Engine,
    Message,
    ResponseHead,
    Wish,
)
from tests.wire.engines import HTTP1_ENGINES, is_success, outcome, request_head

OK = b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello"


@pytest.fixture(params=HTTP1_ENGINES, ids=lambda kind: kind.__name__)
def engine(request: pytest.FixtureRequest) -> Http1Engine:
    made: Http1Engine = request.param()
    return made


Exchange = Callable[..., Message]


@pytest.fixture
def exchange(engine: Http1Engine) -> Exchange:
    """Send a request, feed what is given as its answer, return the message."""

    def send(*answer: bytes, method: str = "GET") -> Message:
        message, _ = engine.start(request_head(method))
        for piece in answer:
            engine.feed(piece)
        return message

    return send


def head_of(message: Message) -> ResponseHead:
    assert message.head is not None
    return message.head


# The request


def test_a_new_engine_is_idle(engine: Http1Engine) -> None:
    assert engine.is_reusable
    assert not engine.is_request_ended


def test_the_head_begins_with_host_and_keeps_order_and_spelling(engine: Http1Engine) -> None:
    fields = (("Accept", "*/*"), ("X-Name", "caf\xe9"), ("accept", "b"))
    _, data = engine.start(request_head("GET", "/a?b=c", authority="example.com:8080", fields=fields))
    expected = b"GET /a?b=c HTTP/1.1\r\nHost: example.com:8080\r\nAccept: */*\r\nX-Name: caf\xe9\r\naccept: b\r\n\r\n"
    assert data == expected


@pytest.mark.parametrize(
    ("method", "length", "framing"),
    [
        ("GET", 0, b""),
        ("DELETE", 0, b""),
        ("POST", 0, b"Content-Length: 0\r\n"),
        ("PUT", 0, b"Content-Length: 0\r\n"),
        ("PATCH", 0, b"Content-Length: 0\r\n"),
        ("GET", 7, b"Content-Length: 7\r\n"),
        ("POST", 7, b"Content-Length: 7\r\n"),
        ("GET", None, b"Transfer-Encoding: chunked\r\n"),
        ("POST", None, b"Transfer-Encoding: chunked\r\n"),
    ],
)
def test_the_length_of_the_body_decides_the_framing(
    engine: Http1Engine, method: str, length: int | None, framing: bytes
) -> None:
    _, data = engine.start(request_head(method, length=length))
    assert data == method.encode() + b" / HTTP/1.1\r\nHost: example.com\r\n" + framing + b"\r\n"


def test_a_request_without_body_is_ended_by_its_head(engine: Http1Engine) -> None:
    engine.start(request_head(length=0))
    assert engine.is_request_ended
    assert engine.end() == b""


def test_a_body_of_known_length_is_sent_as_it_is(engine: Http1Engine) -> None:
    engine.start(request_head("POST", length=6))
    assert engine.body(b"abc") + engine.body(b"") + engine.body(b"def") == b"abcdef"
    assert not engine.is_request_ended
    assert engine.end() == b""
    assert engine.is_request_ended


def test_a_body_of_unknown_length_is_sent_in_chunks(engine: Http1Engine) -> None:
    engine.start(request_head("POST", length=None))
    assert engine.body(b"hello, world") == b"c\r\nhello, world\r\n"
    assert engine.body(b"") == b""
    assert engine.end() == b"0\r\n\r\n"
    assert engine.is_request_ended
    assert engine.end() == b""


@pytest.mark.parametrize(
    "head",
    [
        request_head("GET /x HTTP/1.1\r\nEvil: 1\r\n\r\nGET"),
        request_head("G T"),
        request_head(""),
        request_head("GÉT"),
        request_head("CONNECT", "example.com:443"),
        request_head(target=""),
        request_head(target="/a b"),
        request_head(target="/a\r\nEvil: 1"),
        request_head(target="/a\x00"),
        request_head(target="/a\x7f"),
        request_head(target="/\xe9"),
        request_head(target="/a#fragment"),
        request_head(authority=""),
        request_head(authority="example.com\r\nEvil: 1"),
        request_head(authority="user@example.com"),
        request_head(authority="example.com/"),
        request_head(fields=(("X\r\nEvil", "1"),)),
        request_head(fields=(("", "1"),)),
        request_head(fields=(("X:", "1"),)),
        request_head(fields=(("X ", "1"),)),
        request_head(fields=(("X", "a\r\nEvil: 1"),)),
        request_head(fields=(("X", "a\nb"),)),
        request_head(fields=(("X", "a\rb"),)),
        request_head(fields=(("X", "a\x00b"),)),
        request_head(fields=(("X", "\u20ac"),)),
        request_head("POST", length=-1),
    ],
    ids=lambda head: repr((head.method, head.target, head.authority, head.fields))[:60],
)
def test_req_01_what_could_smuggle_is_refused_and_the_engine_stays_idle(engine: Http1Engine, head: object) -> None:
    with pytest.raises(InvalidRequest) as caught:
        engine.start(head)  # type: ignore[arg-type]
    assert caught.value.sent is False
    assert engine.is_reusable
    message, data = engine.start(request_head())
    assert data == b"GET / HTTP/1.1\r\nHost: example.com\r\n\r\n"
    assert engine.feed(OK) is False
    assert is_success(message)


@pytest.mark.parametrize(
    "name", ["Content-Length", "content-length", "Transfer-Encoding", "HOST", "Connection", "connection", "Upgrade"]
)
@pytest.mark.parametrize("length", [0, 5, None])
def test_req_03_framing_is_the_engines_own_decision(engine: Http1Engine, name: str, length: int | None) -> None:
    with pytest.raises(InvalidRequest, match=name):
        engine.start(request_head("POST", fields=(("Accept", "*/*"), (name, "5")), length=length))
    assert engine.is_reusable


def test_req_04_a_body_longer_than_declared_is_refused(engine: Http1Engine) -> None:
    engine.start(request_head("POST", length=5))
    assert engine.body(b"abc") == b"abc"
    with pytest.raises(RequestBodyError, match="longer"):
        engine.body(b"def")
    assert not engine.is_request_ended


def test_req_04_a_body_shorter_than_declared_is_refused(engine: Http1Engine) -> None:
    engine.start(request_head("POST", length=5))
    engine.body(b"abc")
    with pytest.raises(RequestBodyError, match="shorter.* 2 bytes"):
        engine.end()
    assert not engine.is_request_ended
    assert not engine.is_reusable


@pytest.mark.parametrize("length", [0, None])
def test_req_04_nothing_is_sent_after_the_end_of_a_request(engine: Http1Engine, length: int | None) -> None:
    engine.start(request_head("GET", length=length))
    engine.end()
    with pytest.raises(RequestBodyError):
        engine.body(b"unframed")


def test_req_04_a_body_without_a_request_is_refused(engine: Http1Engine) -> None:
    with pytest.raises(RequestBodyError):
        engine.body(b"unframed")
    assert engine.is_reusable


def test_a_second_request_is_refused_while_the_first_is_under_way(engine: Http1Engine) -> None:
    message, _ = engine.start(request_head())
    with pytest.raises(ConnectionLost) as caught:
        engine.start(request_head())
    assert caught.value.sent is False
    engine.feed(OK)
    assert is_success(message)


# The response


def test_a_response_is_read(exchange: Exchange) -> None:
    message = exchange(b"HTTP/1.1 404 Not Found\r\nX-Thing:  caf\xe9 \r\nx-thing: 2\r\nContent-LENGTH: 5\r\n\r\nhello")
    head = head_of(message)
    assert (head.status, head.reason, head.version) == (404, "Not Found", "HTTP/1.1")
    assert head.fields == (("X-Thing", "caf\xe9"), ("x-thing", "2"), ("Content-LENGTH", "5"))
    assert b"".join(message.chunks) == b"hello"
    assert message.received == 5
    assert is_success(message)


def test_a_reason_phrase_may_be_missing(exchange: Exchange) -> None:
    assert head_of(exchange(b"HTTP/1.1 200\r\nContent-Length: 0\r\n\r\n")).reason == ""
    assert head_of(exchange(b"HTTP/1.1 200 \r\nContent-Length: 0\r\n\r\n")).reason == ""


def test_each_wish_comes_true_once(engine: Http1Engine) -> None:
    message, _ = engine.start(request_head())
    message.wish = Wish.HEAD
    assert engine.feed(b"HTTP/1.1 200 OK\r\nContent-Le") is False
    assert engine.feed(b"ngth: 6\r\n\r\n") is True
    assert message.wish is Wish.NOTHING
    assert engine.feed(b"a") is False
    message.chunks.clear()
    message.wish = Wish.PROGRESS
    assert engine.feed(b"b") is True
    assert engine.feed(b"c") is False
    message.wish = Wish.END
    assert engine.feed(b"de") is False
    assert engine.feed(b"f") is True
    assert message.wish is Wish.NOTHING


@pytest.mark.parametrize("wish", [Wish.HEAD, Wish.PROGRESS, Wish.END])
def test_every_wish_comes_true_by_the_end(engine: Http1Engine, wish: Wish) -> None:
    message, _ = engine.start(request_head())
    message.wish = wish
    assert engine.feed(OK) is True


def test_interim_responses_fulfil_no_wish(engine: Http1Engine) -> None:
    message, _ = engine.start(request_head())
    message.wish = Wish.HEAD
    assert engine.feed(b"HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\nHTTP/1.1 100 Continue\r\n\r\n") is False
    assert [head.status for head in message.informational] == [103, 100]
    assert message.informational[0].fields == (("Link", "</a>"),)
    assert message.head is None
    assert engine.feed(OK) is True
    assert is_success(message)
    assert engine.is_reusable


def test_a_chunked_body_is_read_with_its_trailers(engine: Http1Engine, exchange: Exchange) -> None:
    head = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: Chunked\r\nTrailer: X-Sum\r\n\r\n"
    message = exchange(head + b"5\r\nhello\r\n", b"6;name=value\r\n wo", b"rld\r\n0\r\nX-Sum: 1\r\n\r\n")
    assert b"".join(message.chunks) == b"hello world"
    assert message.trailers == (("X-Sum", "1"),)
    assert head_of(message).fields == (("Transfer-Encoding", "chunked"), ("Trailer", "X-Sum"))
    assert is_success(message)
    assert engine.is_reusable


def test_a_body_that_the_end_of_the_connection_ends_is_complete_if_the_end_is_clean(engine: Http1Engine) -> None:
    message, _ = engine.start(request_head())
    engine.feed(b"HTTP/1.1 200 OK\r\n\r\nhello")
    assert not message.is_complete
    message.wish = Wish.END
    assert engine.feed_end(is_clean=True) is True
    assert is_success(message)
    assert b"".join(message.chunks) == b"hello"
    assert not engine.is_reusable


def test_h1_15_a_body_that_the_end_of_the_connection_ends_is_incomplete_if_the_end_is_not_clean(
    engine: Http1Engine,
) -> None:
    message, _ = engine.start(request_head())
    engine.feed(b"HTTP/1.1 200 OK\r\n\r\nhello")
    message.wish = Wish.END
    assert engine.feed_end(is_clean=False) is True
    assert type(message.error) is IncompleteBody
    assert message.is_complete
    assert message.received == 5


def test_the_connection_carries_one_exchange_after_the_other(engine: Http1Engine) -> None:
    for _ in range(3):
        message, _ = engine.start(request_head())
        assert not engine.is_reusable
        engine.feed(OK)
        assert is_success(message)
        assert engine.is_reusable


@pytest.mark.parametrize(
    "answer",
    [
        b"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 0\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nConnection: Keep-Alive, Close\r\nContent-Length: 0\r\n\r\n",
        b"HTTP/1.0 200 OK\r\nContent-Length: 0\r\n\r\n",
    ],
)
def test_h1_18_a_connection_that_the_server_will_close_is_not_reused(
    engine: Http1Engine, exchange: Exchange, answer: bytes
) -> None:
    message = exchange(answer)
    assert is_success(message)
    assert not engine.is_reusable
    with pytest.raises(ConnectionLost):
        engine.start(request_head())


def test_http_1_0_is_reported_as_such(exchange: Exchange) -> None:
    assert head_of(exchange(b"HTTP/1.0 200 OK\r\nContent-Length: 0\r\n\r\n")).version == "HTTP/1.0"


def test_h1_16_an_early_answer_is_delivered_and_the_request_may_still_end(engine: Http1Engine) -> None:
    message, _ = engine.start(request_head("POST", length=6))
    engine.body(b"abc")
    message.wish = Wish.END
    assert engine.feed(OK) is True
    assert is_success(message)
    assert not engine.is_reusable
    assert engine.body(b"def") + engine.end() == b"def"
    assert engine.is_reusable


def test_the_end_of_input_ends_an_idle_connection(engine: Http1Engine) -> None:
    assert engine.feed_end(is_clean=True) is False
    assert not engine.is_reusable
    assert engine.feed(b"") is False


def test_the_end_of_input_after_a_response_leaves_it_good(engine: Http1Engine, exchange: Exchange) -> None:
    message = exchange(OK)
    assert engine.feed_end(is_clean=False) is False
    assert is_success(message)
    assert not engine.is_reusable


# Hazards


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
        exchange(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n" + body + b"0\r\n\r\n")
    assert caught.value.sent is True


def test_h1_05_endless_chunk_extensions_are_refused(engine: Http1Engine) -> None:
    message, _ = engine.start(request_head())
    engine.feed(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
    fed = 0
    with pytest.raises(ProtocolError, match="MAX_CHUNK_OVERHEAD"):
        while fed < 2 * MAX_CHUNK_OVERHEAD:
            fed += 1000
            engine.feed(b"1;" + b"x" * 993 + b"\r\na\r\n")
    assert MAX_CHUNK_OVERHEAD < fed < 2 * MAX_CHUNK_OVERHEAD
    assert not message.is_complete


def test_h1_05_a_long_stream_of_small_chunks_is_no_attack(engine: Http1Engine) -> None:
    message, _ = engine.start(request_head())
    engine.feed(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
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
        for _ in range(100):
            engine.feed(b"X-Y: " + b"z" * 993 + b"\r\n")
    assert not endless.is_complete


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


def test_h1_09_what_is_not_http_is_refused_at_once_and_shown(exchange: Exchange) -> None:
    with pytest.raises(ProtocolError, match="SSH-2.0"):
        exchange(b"SSH-2.0-OpenSSH_9.2")


def padded_head(size: int) -> bytes:
    begin, end = b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\nX: ", b"\r\n\r\n"
    return begin + b"x" * (size - len(begin) - len(end)) + end


@pytest.mark.parametrize("piece", [1 << 20, 1000, 7])
def test_h1_10_a_head_is_limited_in_bytes_however_it_arrives(engine: Http1Engine, piece: int) -> None:
    whole = padded_head(MAX_HEAD_BYTES)
    message, _ = engine.start(request_head())
    for begin in range(0, len(whole), piece):
        engine.feed(whole[begin : begin + piece])
    assert is_success(message)

    longer = padded_head(MAX_HEAD_BYTES + 1)
    message, _ = engine.start(request_head())
    with pytest.raises(ProtocolError, match="MAX_HEAD_BYTES"):
        for begin in range(0, len(longer), piece):
            engine.feed(longer[begin : begin + piece])
    assert message.head is None


def test_h1_10_an_endless_head_is_refused_at_the_limit(engine: Http1Engine) -> None:
    engine.start(request_head())
    engine.feed(b"HTTP/1.1 200 OK\r\n")
    fed = 17
    with pytest.raises(ProtocolError, match="MAX_HEAD_BYTES"):
        while True:
            fed += 8
            engine.feed(b"X-Y: z\r\n")
    assert fed <= MAX_HEAD_BYTES + 8


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
    with pytest.raises(ProtocolError, match="no request asked for.*408"):
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
    "chunked": b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n6;a=b\r\n world\r\n0\r\nX: y\r\n\r\n",
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


def test_an_engine_that_failed_takes_nothing_more(engine: Http1Engine, exchange: Exchange) -> None:
    with pytest.raises(ProtocolError):
        exchange(b"nonsense")
    assert engine.feed(OK) is False
    assert not engine.is_reusable


def test_what_came_before_a_fault_is_kept(engine: Http1Engine) -> None:
    message, _ = engine.start(request_head())
    with pytest.raises(ProtocolError):
        engine.feed(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\nzap\r\n")
    assert head_of(message).status == 200
    assert b"".join(message.chunks) == b"hello"
    assert not message.is_complete
