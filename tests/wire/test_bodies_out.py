"""Trailers of a request, and how much of a response is wanted: on every engine for HTTP/1.1."""

from __future__ import annotations

import pytest

from netio.errors import InvalidRequest, RequestBodyError
from netio.wire import Http1Engine, Wish
from tests.wire.engines import HTTP1_ENGINES, head_of, request_head


@pytest.fixture(params=HTTP1_ENGINES, ids=lambda kind: kind.__name__)
def engine(request: pytest.FixtureRequest) -> Http1Engine:
    made: Http1Engine = request.param()
    return made


def test_trailers_follow_the_last_chunk(engine: Http1Engine) -> None:
    engine.start(request_head("POST", length=None))
    assert bytes(engine.body(b"hello")) == b"5\r\nhello\r\n"
    assert engine.end((("X-Sum", "7"), ("x-more", "caf\xe9"))) == b"0\r\nX-Sum: 7\r\nx-more: caf\xe9\r\n\r\n"
    assert engine.is_request_ended
    assert engine.end() == b""


@pytest.mark.parametrize("trailer", [("a b", "1"), ("a", "1\r\nb: 2"), ("a", "\x00"), ("", "1")])
def test_req_01_trailers_that_cannot_be_sent_leave_the_engine_as_it_was(
    engine: Http1Engine, trailer: tuple[str, str]
) -> None:
    engine.start(request_head("POST", length=None))
    with pytest.raises(InvalidRequest):
        engine.end((trailer,))
    assert not engine.is_request_ended
    assert engine.end() == b"0\r\n\r\n"


def test_trailers_need_a_body_without_announced_length_that_has_not_ended(engine: Http1Engine) -> None:
    engine.start(request_head("POST", length=5))
    with pytest.raises(RequestBodyError, match="without announced length"):
        engine.end((("a", "1"),))
    engine.body(b"hello")
    with pytest.raises(RequestBodyError, match="without announced length"):
        engine.end((("a", "1"),))


@pytest.mark.parametrize("framing", [b"Content-Length: 9\r\n", b"Transfer-Encoding: chunked\r\n", b""])
def test_h1_19_who_wishes_for_the_end_is_told_when_it_is_too_much(engine: Http1Engine, framing: bytes) -> None:
    is_chunked = b"chunked" in framing
    message, _ = engine.start(request_head())
    message.most, message.wish = 5, Wish.END
    told = engine.feed(b"HTTP/1.1 200 OK\r\n" + framing + b"\r\n")
    assert told is (b"Length" in framing)
    if told:
        assert message.received > message.most
        return
    assert not engine.feed(b"5\r\nhello\r\n" if is_chunked else b"hello")
    assert engine.feed(b"1\r\n!\r\n" if is_chunked else b"!")
    assert (message.received, message.wish, message.is_complete) == (6, Wish.NOTHING, False)


@pytest.mark.parametrize("method", ["HEAD", "GET"])
def test_what_a_head_announces_counts_only_if_it_has_a_body(engine: Http1Engine, method: str) -> None:
    message, _ = engine.start(request_head(method))
    message.most, message.wish = 5, Wish.END
    status = b"304" if method == "GET" else b"200"
    assert engine.feed(b"HTTP/1.1 " + status + b" OK\r\nContent-Length: 9\r\n\r\n")
    assert (head_of(message).status, message.is_complete, message.received > message.most) == (
        int(status),
        True,
        False,
    )


@pytest.mark.parametrize("wish", [Wish.HEAD, Wish.PROGRESS])
def test_who_reads_piece_by_piece_is_told_as_ever(engine: Http1Engine, wish: Wish) -> None:
    message, _ = engine.start(request_head())
    message.most, message.wish = 5, wish
    assert engine.feed(b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n") is (wish is Wish.HEAD)
    message.wish = Wish.PROGRESS
    assert engine.feed(b"hell")
    assert message.chunks == [b"hell"]
