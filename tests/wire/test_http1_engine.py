"""What every HTTP/1.1 engine must do: the contract of `Http1Engine`, and the hazards that belong to it."""

from __future__ import annotations

import pytest

from netio.errors import ConnectionLost, InvalidRequest, ProtocolError, RequestBodyError
from netio.wire import (
    Http1Engine,
    Wish,
)
from tests.wire.engines import HTTP1_ENGINES, Exchange, head_of, is_success, request_head

OK = b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello"


@pytest.fixture(params=HTTP1_ENGINES, ids=lambda kind: kind.__name__)
def engine(request: pytest.FixtureRequest) -> Http1Engine:
    made: Http1Engine = request.param()
    return made


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


def test_a_request_may_ask_for_the_end_of_the_connection(engine: Http1Engine) -> None:
    message, data = engine.start(request_head("POST", length=5, closes=True))
    head = b"POST / HTTP/1.1\r\nHost: example.com\r\nContent-Length: 5\r\nConnection: close\r\n\r\n"
    assert data == head
    assert (engine.body(b"hello"), engine.end()) == (b"hello", b"")
    engine.feed(OK)
    assert is_success(message)
    assert not engine.is_reusable


@pytest.mark.parametrize(
    "answer",
    [
        OK,
        OK[:-1],
        b"HTTP/1.1 204 No Content\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nConnection: keep-alive\r\n\r\n0\r\n\r\n",
        b"HTTP/1.1 103 Early Hints\r\n\r\n" + OK,
    ],
)
def test_whatever_the_answer_the_connection_ends_if_the_request_asked_for_it(
    engine: Http1Engine, answer: bytes
) -> None:
    message, _ = engine.start(request_head(closes=True))
    engine.feed(answer)
    engine.feed(OK[len(answer) :] if OK.startswith(answer) else b"")
    assert is_success(message)
    assert not engine.is_reusable


@pytest.mark.parametrize("method", ["GET", "POST", "HEAD", "DELETE"])
def test_a_request_without_body_is_ended_by_its_head(engine: Http1Engine, method: str) -> None:
    engine.start(request_head(method, length=0))
    assert engine.is_request_ended
    assert engine.end() == b""
    assert engine.is_request_ended
    with pytest.raises(RequestBodyError):
        engine.body(b"")


def test_a_body_of_known_length_is_sent_as_it_is_and_ended_by_its_last_byte(engine: Http1Engine) -> None:
    engine.start(request_head("POST", length=6))
    assert [engine.body(piece) for piece in (b"abc", b"", b"de")] == [b"abc", b"", b"de"]
    assert not engine.is_request_ended
    assert engine.body(b"f") == b"f"
    assert engine.is_request_ended
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
    with pytest.raises(RequestBodyError, match=r"shorter.* 2 bytes"):
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


def test_the_connection_carries_one_exchange_after_the_other(engine: Http1Engine) -> None:
    for _ in range(3):
        message, _ = engine.start(request_head())
        assert not engine.is_reusable
        engine.feed(OK)
        assert is_success(message)
        assert engine.is_reusable


def test_http_1_0_is_reported_as_such(exchange: Exchange) -> None:
    assert head_of(exchange(b"HTTP/1.0 200 OK\r\nContent-Length: 0\r\n\r\n")).version == "HTTP/1.0"


def test_the_end_of_input_ends_an_idle_connection(engine: Http1Engine) -> None:
    assert engine.feed_end(is_clean=True) is False
    assert not engine.is_reusable
    assert engine.feed(b"") is False


def test_the_end_of_input_after_a_response_leaves_it_good(engine: Http1Engine, exchange: Exchange) -> None:
    message = exchange(OK)
    assert engine.feed_end(is_clean=False) is False
    assert is_success(message)
    assert not engine.is_reusable


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
