"""Where an HTTP/1.1 response ends, and what the connection is good for afterwards: HAZARDS H1-12 to H1-19.

The fixtures `exchange` and `cut` give everything once in one read and once in single bytes.
"""

from __future__ import annotations

import tracemalloc

import pytest

from netio.errors import ConnectionLost, IncompleteBody, ProtocolError
from netio.wire import Http1Engine, Wish
from tests.wire.engines import (
    HTTP1_ENGINES,
    Cut,
    Exchange,
    feed_all,
    head_of,
    is_success,
    outcome,
    request_head,
)

OK = b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello"
CHUNKED = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"


@pytest.fixture(params=HTTP1_ENGINES, ids=lambda kind: kind.__name__)
def engine(request: pytest.FixtureRequest) -> Http1Engine:
    made: Http1Engine = request.param()
    return made


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


def test_h1_13_bytes_between_two_exchanges_are_refused(engine: Http1Engine, exchange: Exchange, cut: Cut) -> None:
    message = exchange(OK)
    assert engine.is_reusable
    with pytest.raises(ProtocolError):
        engine.feed(cut(OK)[0])
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
    kind: type[Http1Engine], cut: Cut, name: str, is_clean: bool
) -> None:
    answer = CUT[name]
    for size in range(len(answer)):
        engine = kind()
        message, _ = engine.start(request_head())
        feed_all(engine, cut(answer[:size]))
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


def test_h1_15_a_body_that_the_end_of_the_connection_ends_is_incomplete_if_the_end_is_not_clean(
    engine: Http1Engine, exchange: Exchange
) -> None:
    message = exchange(b"HTTP/1.1 200 OK\r\n\r\nhello")
    message.wish = Wish.END
    assert engine.feed_end(is_clean=False) is True
    assert type(message.error) is IncompleteBody
    assert message.is_complete
    assert message.received == 5


def test_h1_16_an_early_answer_is_delivered_and_the_request_may_still_end(engine: Http1Engine, cut: Cut) -> None:
    message, _ = engine.start(request_head("POST", length=6))
    engine.body(b"abc")
    feed_all(engine, cut(OK))
    assert is_success(message)
    assert not engine.is_reusable
    assert (engine.body(b"def"), engine.end()) == (b"def", b"")
    assert engine.is_reusable


@pytest.mark.parametrize("length", [6, None])
def test_h1_16_an_early_answer_that_closes_is_the_end_of_the_connection(
    engine: Http1Engine, cut: Cut, length: int | None
) -> None:
    message, _ = engine.start(request_head("POST", length=length))
    engine.body(b"abc")
    feed_all(engine, cut(b"HTTP/1.1 413 Content Too Large\r\nConnection: close\r\nContent-Length: 0\r\n\r\n"))
    assert is_success(message)
    engine.body(b"def")
    engine.end()
    assert engine.is_request_ended
    assert not engine.is_reusable


def test_h1_17_a_server_that_ignores_the_expectation_just_answers(engine: Http1Engine, cut: Cut) -> None:
    message, data = engine.start(request_head("POST", fields=(("Expect", "100-continue"),), length=3))
    assert b"Expect: 100-continue\r\n" in data
    engine.body(b"abc")
    feed_all(engine, cut(OK))
    assert message.informational == []
    assert is_success(message)
    assert engine.is_reusable


def test_h1_17_a_refused_expectation_is_an_early_answer(engine: Http1Engine, cut: Cut) -> None:
    message, _ = engine.start(request_head("POST", fields=(("Expect", "100-continue"),), length=3))
    feed_all(engine, cut(b"HTTP/1.1 417 Expectation Failed\r\nContent-Length: 0\r\n\r\n"))
    assert head_of(message).status == 417
    assert is_success(message)
    assert not engine.is_request_ended
    assert not engine.is_reusable


def test_h1_17_a_late_100_is_an_interim_response_like_any_other(engine: Http1Engine, cut: Cut) -> None:
    message, _ = engine.start(request_head("POST", fields=(("Expect", "100-continue"),), length=3))
    engine.body(b"abc")
    feed_all(engine, cut(b"HTTP/1.1 100 Continue\r\n\r\n" + OK))
    assert [head.status for head in message.informational] == [100]
    assert is_success(message)
    assert engine.is_reusable


def test_h1_17_a_100_after_the_answer_is_not_taken_for_the_next_one(engine: Http1Engine, exchange: Exchange) -> None:
    message = exchange(OK + b"HTTP/1.1 100 Continue\r\n\r\n")
    assert is_success(message)
    assert message.informational == []
    assert not engine.is_reusable


@pytest.mark.parametrize(
    "answer",
    [
        b"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 0\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nConnection: Keep-Alive, Close\r\nContent-Length: 0\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nConnection: keep-alive\r\nConnection: close\r\nContent-Length: 0\r\n\r\n",
        b"HTTP/1.0 200 OK\r\nContent-Length: 0\r\n\r\n",
        b"HTTP/1.0 200 OK\r\nConnection: keep-alive, close\r\nContent-Length: 0\r\n\r\n",
        b"HTTP/1.1 204 No Content\r\nConnection: close\r\n\r\n",
        CHUNKED[:-2] + b"Connection: close\r\n\r\n0\r\n\r\n",
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


@pytest.mark.parametrize("options", [b"keep-alive", b"Keep-Alive, x-thing"])
def test_h1_18_http_1_0_keeps_a_connection_that_it_says_it_keeps(
    engine: Http1Engine, exchange: Exchange, options: bytes
) -> None:
    message = exchange(b"HTTP/1.0 200 OK\r\nConnection: " + options + b"\r\nContent-Length: 0\r\n\r\n")
    assert is_success(message)
    assert engine.is_reusable


def test_h1_18_a_keep_alive_that_is_a_lie_ends_the_next_exchange_without_a_byte(
    engine: Http1Engine, exchange: Exchange
) -> None:
    exchange(b"HTTP/1.1 200 OK\r\nKeep-Alive: max=1\r\nConnection: keep-alive\r\nContent-Length: 0\r\n\r\n")
    assert engine.is_reusable
    message, _ = engine.start(request_head())
    engine.feed_end(is_clean=True)
    assert type(message.error) is ConnectionLost
    assert "without a byte" in str(message.error)


def test_h1_19_no_memory_is_taken_for_what_is_only_announced(engine: Http1Engine, cut: Cut) -> None:
    tracemalloc.start()
    try:
        for framing in (
            b"Content-Length: 9223372036854775807\r\n\r\n",
            b"Transfer-Encoding: chunked\r\n\r\n7fffffffffffffff\r\n",
        ):
            engine = type(engine)()
            message, _ = engine.start(request_head())
            feed_all(engine, cut(b"HTTP/1.1 200 OK\r\n" + framing + b"hello"))
            assert message.received == 5
        assert tracemalloc.get_traced_memory()[1] < 1 << 20
    finally:
        tracemalloc.stop()


def test_a_reset_content_has_a_body_of_its_framing_like_any_other(engine: Http1Engine, exchange: Exchange) -> None:
    message = exchange(b"HTTP/1.1 205 Reset Content\r\nContent-Length: 0\r\n\r\n")
    assert is_success(message)
    message = exchange(b"HTTP/1.1 205 Reset Content\r\nContent-Length: 5\r\n\r\nhello")
    assert is_success(message)
    assert message.received == 5
    assert engine.is_reusable
