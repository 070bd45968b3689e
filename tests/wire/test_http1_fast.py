"""What is particular to netio's own HTTP/1.1 engine: its caches change nothing, and it copies and rescans nothing."""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from netio.errors import InvalidRequest, ProtocolError
from netio.wire import MAX_HEAD_BYTES, FastHttp1, HeadCache, Http1Engine, Message, Wish, _head1
from tests.wire.engines import head_of, http1_result, is_success, outcome, request_head
from tests.wire.http1_corpus import STREAMS

REPLY = b"HTTP/1.1 200 OK\r\nServer: x\r\nDate: Sun, 22 Nov 2026 20:24:01 GMT\r\nContent-Length: 5\r\n\r\nhello"


def exchange(engine: Http1Engine, answer: bytes, method: str = "GET") -> Message:
    message, _ = engine.start(request_head(method))
    engine.feed(answer)
    return message


# Caches


def test_a_head_that_was_seen_is_the_same_object_on_every_connection_of_the_pool() -> None:
    cache = HeadCache()
    first = exchange(FastHttp1(cache), REPLY)
    second = exchange(FastHttp1(cache), REPLY)
    assert head_of(first) is head_of(second)
    assert head_of(exchange(FastHttp1(), REPLY)) is not head_of(first)


@pytest.mark.parametrize(
    "line",
    [
        b"Set-Cookie: session=secret",
        b"LOCATION: /?code=secret",
        b"WWW-Authenticate: Digest nonce=secret",
        b"Authentication-Info: secret",
        b"X-Long: secret" + b"x" * 2_048,
    ],
    ids=lambda line: line.split(b":")[0].decode(),
)
def test_a_line_with_a_secret_is_not_remembered(line: bytes) -> None:
    cache = HeadCache()
    reply = REPLY.replace(b"Server: x", line)
    first, second = exchange(FastHttp1(cache), reply), exchange(FastHttp1(cache), reply)
    assert outcome(first) == outcome(second)
    assert head_of(first) is not head_of(second)
    held = [*cache.heads, *cache._lines, *cache._lines.values()]
    assert held
    assert "secret" not in repr(held)


def test_the_caches_are_bounded() -> None:
    cache = HeadCache(heads=4, lines=8)
    engine = FastHttp1(cache)
    for number in range(100):
        fields = b"".join(b"X-%d: %d\r\n" % (i, number * 10 + i) for i in range(5))
        message = exchange(engine, b"HTTP/1.1 200 %d\r\n" % number + fields + b"Content-Length: 0\r\n\r\n")
        assert len(head_of(message).fields) == 6
        assert len(cache.heads) <= 4
        assert len(cache._lines) <= 8
        assert len(cache._status_lines) <= 8


def test_a_cache_may_be_switched_off() -> None:
    cache = HeadCache(heads=0, lines=0)
    assert is_success(exchange(FastHttp1(cache), REPLY))
    assert (cache.heads, cache._lines, cache._status_lines) == ({}, {}, {})


def test_what_is_remembered_of_a_head_does_not_depend_on_the_request() -> None:
    engine = FastHttp1()
    answer = b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n"
    head_only = exchange(engine, answer, "HEAD")
    assert is_success(head_only)
    with_body = exchange(engine, answer + b"hello")
    assert head_of(with_body) is head_of(head_only)
    assert b"".join(with_body.chunks) == b"hello"
    closing, _ = engine.start(request_head(closes=True))
    engine.feed(answer + b"hello")
    assert is_success(closing)
    assert not engine.is_reusable


def test_a_head_that_was_seen_still_counts_against_the_bytes_it_shares_with_interim_heads() -> None:
    engine = FastHttp1()
    exchange(engine, REPLY)
    for excess in (0, 1):
        interim = (
            b"HTTP/1.1 103 Early Hints\r\nX: " + b"x" * (MAX_HEAD_BYTES - len(REPLY) + 5 - 33 + excess) + b"\r\n\r\n"
        )
        message = exchange(engine, interim)
        if not excess:
            engine.feed(REPLY)
            assert is_success(message)
            continue
        with pytest.raises(ProtocolError, match="MAX_HEAD_BYTES"):
            engine.feed(REPLY)


@pytest.mark.parametrize("tiny", [HeadCache(heads=0, lines=0), HeadCache(heads=1, lines=2)], ids=["off", "tiny"])
@pytest.mark.parametrize("method", ["GET", "HEAD"])
def test_the_corpus_has_the_same_outcome_with_caches_and_without(tiny: HeadCache, method: str) -> None:
    shared = HeadCache()
    for raw in [*STREAMS.values(), *STREAMS.values()]:
        expected = http1_result(lambda: FastHttp1(tiny), method, [raw])
        assert http1_result(lambda: FastHttp1(shared), method, [raw]) == expected
        assert http1_result(FastHttp1, method, [raw]) == expected


lines = st.sampled_from(
    [
        b"Content-Length: 2",
        b"content-length: 2, 2",
        b"Content-Length: 3",
        b"Transfer-Encoding: chunked",
        b"Connection: close",
        b"Connection: keep-alive",
        b"Set-Cookie: a=b",
        b"X: 1",
        b"X : 1",
        b" X: 1",
        b"\xff: 1",
        b"X: \x00",
        b"X: \xff",
    ]
)
heads = st.builds(
    lambda first, fields, rest: b"\r\n".join([first, *fields, b"", rest]),
    st.sampled_from([b"HTTP/1.1 200 OK", b"HTTP/1.0 200 OK", b"HTTP/1.1 204 ", b"HTTP/1.1 103 x", b"HTTP/1.1 999"]),
    st.lists(lines, max_size=4),
    st.sampled_from([b"", b"ok", b"0\r\n\r\n", b"2\r\nok\r\n0\r\n\r\n", b"ok!"]),
)


@given(answers=st.lists(heads, min_size=2, max_size=6), order=st.randoms(use_true_random=False))
def test_no_head_changes_the_meaning_of_another(answers: list[bytes], order: Any) -> None:
    expected = [http1_result(FastHttp1, "GET", [answer]) for answer in answers]
    shared = HeadCache(heads=3, lines=5)
    places = list(range(len(answers))) * 3
    order.shuffle(places)
    for place in places:
        assert http1_result(lambda: FastHttp1(shared), "GET", [answers[place]]) == expected[place]


def test_a_request_is_encoded_once() -> None:
    head = request_head("POST", fields=(("X", "1"),), length=None)
    assert head.encoded is None
    _, first = FastHttp1().start(head)
    _, second = FastHttp1().start(head)
    assert first is second is head.encoded


def test_a_request_that_was_refused_is_refused_again() -> None:
    head = request_head(fields=(("X", "a\nb"),))
    for _ in range(2):
        with pytest.raises(InvalidRequest):
            FastHttp1().start(head)
    assert head.encoded is None


# Copies and scans


def test_the_reads_of_a_body_of_known_length_are_passed_on_as_they_are() -> None:
    engine = FastHttp1()
    message, _ = engine.start(request_head())
    engine.feed(b"HTTP/1.1 200 OK\r\nContent-Length: 3000\r\n\r\n")
    reads = [bytes(1000), bytes(1000), bytes(1000)]
    for read in reads:
        engine.feed(read)
    assert [id(chunk) for chunk in message.chunks] == [id(read) for read in reads]
    assert is_success(message)


def test_a_read_within_one_chunk_is_passed_on_as_it_is() -> None:
    engine = FastHttp1()
    message, _ = engine.start(request_head())
    engine.feed(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n%x\r\n" % 3000)
    reads = [bytes(1000), bytes(2000)]
    for read in reads:
        engine.feed(read)
    assert [id(chunk) for chunk in message.chunks] == [id(read) for read in reads]


def test_the_reads_of_a_body_that_the_connection_ends_are_passed_on_as_they_are() -> None:
    engine = FastHttp1()
    message, _ = engine.start(request_head())
    engine.feed(b"HTTP/1.1 200 OK\r\n\r\n")
    read = bytes(1000)
    engine.feed(read)
    assert message.chunks[0] is read


def steps_of(action: Callable[[], object]) -> int:
    """Return how many lines of netio an action runs."""
    count = 0

    def trace(frame: Any, event: str, argument: object) -> Any:
        nonlocal count
        if "netio/wire" not in frame.f_code.co_filename:
            return None
        count += event == "line"
        return trace

    before = sys.gettrace()
    sys.settrace(trace)
    try:
        action()
    finally:
        sys.settrace(before)
    return count


@pytest.mark.parametrize(
    "answer",
    [
        b"HTTP/1.1 200 OK\r\nX: %b\r\n",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5;%b\r\n",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\nX: %b\r\n",
    ],
    ids=["head", "chunk extension", "trailer"],
)
def test_a_byte_costs_the_same_however_much_is_waiting(answer: bytes) -> None:
    def per_byte(size: int) -> float:
        engine = FastHttp1()
        engine.start(request_head())
        data = answer % (b"x" * size)
        return steps_of(lambda: [engine.feed(data[i : i + 1]) for i in range(len(data))]) / len(data)

    assert per_byte(4_000) <= per_byte(400) * 1.2


def test_what_waits_is_looked_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """The searches in an incomplete head start where the last ones ended."""
    engine = FastHttp1()
    engine.start(request_head())
    seen: list[int] = []

    class Buffer(bytearray):
        def find(self, what: Any, begin: Any = 0, end: Any = None) -> int:
            searched.append(len(self) - begin)
            return super().find(what, begin)

    searched: list[int] = []
    engine._buffer = Buffer()
    real = _head1._FAULT

    def counted(buffer: bytearray, begin: int) -> Any:
        seen.append(len(buffer) - begin)
        return real(buffer, begin)

    monkeypatch.setattr(_head1, "_FAULT", counted)
    data = b"HTTP/1.1 200 OK\r\nX: " + b"x" * 10_000
    for place in range(len(data)):
        engine.feed(data[place : place + 1])
    assert len(seen) == len(data)
    assert max(seen) <= 3
    assert len(searched) == len(data) - 1
    assert max(searched) <= 4


@pytest.mark.parametrize(
    "answer",
    [REPLY, b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n"],
    ids=["length", "chunks"],
)
def test_an_idle_connection_keeps_nothing_of_its_last_response(answer: bytes) -> None:
    engine = FastHttp1()
    message = exchange(engine, answer)
    assert is_success(message)
    held = [getattr(engine, name) for name in FastHttp1.__slots__]
    assert message not in held
    assert engine._buffer == b""
    assert engine._chunked is None


# Messages of errors


def test_an_error_does_not_show_the_value_of_a_field() -> None:
    engine = FastHttp1()
    engine.start(request_head())
    with pytest.raises(ProtocolError) as caught:
        engine.feed(b"HTTP/1.1 200 OK\r\nSet-Cookie: session=secret\x00\r\n\r\n")
    assert "Set-Cookie" in str(caught.value)
    assert "secret" not in str(caught.value)


def test_an_error_in_an_incomplete_head_names_the_line_only() -> None:
    engine = FastHttp1()
    engine.start(request_head())
    with pytest.raises(ProtocolError, match="line 2 ") as caught:
        engine.feed(b"HTTP/1.1 200 OK\r\nSet-Cookie: session=secret\n")
    assert "secret" not in str(caught.value)


def test_a_wish_for_the_end_is_told_once_in_the_usual_case() -> None:
    engine = FastHttp1()
    for _ in range(2):
        message, _ = engine.start(request_head())
        message.wish = Wish.END
        assert engine.feed(REPLY) is True
        assert message.wish is Wish.NOTHING
