"""Upgrades and CONNECT: what is sent, when the connection becomes a tunnel, and what is told of its end."""

from __future__ import annotations

import pytest

from netio.errors import ConnectionLost, IncompleteBody, InvalidRequest, ProtocolError, RequestBodyError
from netio.wire import Http1Engine, RequestHead, Wish
from tests.wire.engines import HTTP1_ENGINES, Cut, feed_all, head_of, is_success, request_head

OK = b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello"
SWITCH = b"HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: websocket\r\n\r\n"


@pytest.fixture(params=HTTP1_ENGINES, ids=lambda kind: kind.__name__)
def engine(request: pytest.FixtureRequest) -> Http1Engine:
    made: Http1Engine = request.param()
    return made


def upgrade_head(method: str = "GET", upgrade: str = "websocket", length: int | None = 0) -> RequestHead:
    return request_head(method, upgrade=upgrade, length=length)


def connect_head(target: str = "example.com:443") -> RequestHead:
    return request_head("CONNECT", target, authority=target)


def test_an_upgrade_is_asked_for_in_two_fields(engine: Http1Engine) -> None:
    _, data = engine.start(upgrade_head("POST", "h2c, foo/1.0", length=3))
    head = b"POST / HTTP/1.1\r\nHost: example.com\r\nContent-Length: 3\r\n"
    assert data == head + b"Connection: upgrade\r\nUpgrade: h2c, foo/1.0\r\n\r\n"


def test_connect_names_the_other_end_twice(engine: Http1Engine) -> None:
    _, data = engine.start(connect_head("[::1]:443"))
    assert data == b"CONNECT [::1]:443 HTTP/1.1\r\nHost: [::1]:443\r\n\r\n"
    assert engine.is_request_ended


@pytest.mark.parametrize(
    "value",
    ["", " ", "websocket\r\nEvil: 1", "web socket", "a,", ",a", "a/", "/a", "a//b", "a/1/2", "\xe9", "a,b,\x00"],
)
def test_req_01_an_upgrade_that_is_no_list_of_protocols_is_refused(engine: Http1Engine, value: str) -> None:
    with pytest.raises(InvalidRequest):
        engine.start(upgrade_head(upgrade=value))
    assert engine.is_reusable


@pytest.mark.parametrize(
    "target",
    [
        "example.com",
        "example.com:",
        "example.com:https",
        "example.com:443:443",
        ":443",
        "[::1]",
        "::1:443",
        "[::1",
        "example.com:443/",
        "example.com:443\r\nEvil: 1",
        "user@example.com:443",
        "example.com:443 HTTP/1.1",
        "",
    ],
)
def test_req_02_connect_needs_a_host_and_a_port(engine: Http1Engine, target: str) -> None:
    with pytest.raises(InvalidRequest):
        engine.start(connect_head(target))
    assert engine.is_reusable


@pytest.mark.parametrize(
    "head",
    [
        request_head("CONNECT", "example.com:443", authority="example.org:443"),
        request_head("CONNECT", "example.com:443", authority="example.com:443", length=5),
        request_head("CONNECT", "example.com:443", authority="example.com:443", length=None),
        request_head("CONNECT", "example.com:443", authority="example.com:443", upgrade="websocket"),
        request_head("GET", upgrade="websocket", closes=True),
        request_head("CONNECT", "a:1", authority="a:1", fields=(("Proxy-Authorization", "Basic a\r\nEvil: 1"),)),
    ],
    ids=["other host", "body", "chunked body", "upgrade", "upgrade and close", "field"],
)
def test_req_02_a_tunnel_that_contradicts_itself_is_refused(engine: Http1Engine, head: RequestHead) -> None:
    with pytest.raises(InvalidRequest):
        engine.start(head)
    engine.start(request_head())


@pytest.mark.parametrize(
    ("head", "answer", "status"),
    [
        (upgrade_head(), SWITCH, 101),
        (upgrade_head(), b"HTTP/1.1 103 Early Hints\r\n\r\n" + SWITCH, 101),
        (connect_head(), b"HTTP/1.1 200 Connection established\r\n\r\n", 200),
        (connect_head(), b"HTTP/1.0 200 Connection established\r\n\r\n", 200),
        (connect_head(), b"HTTP/1.1 204 No Content\r\n\r\n", 204),
        (connect_head(), b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\n", 200),
        (connect_head(), b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nContent-Length: 3\r\n\r\n", 200),
        (connect_head(), b"HTTP/1.0 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", 200),
    ],
)
def test_a_tunnel_passes_bytes_as_they_are(
    engine: Http1Engine, cut: Cut, head: RequestHead, answer: bytes, status: int
) -> None:
    message, _ = engine.start(head)
    message.wish = Wish.HEAD
    assert sum(engine.feed(piece) for piece in cut(answer)) == 1
    assert head_of(message).status == status
    assert engine.is_tunnel
    assert not message.is_complete
    assert not engine.is_reusable
    message.wish = Wish.PROGRESS
    assert engine.feed(b"\x00HTTP/1.1 ") is True
    assert engine.feed(b"0\r\n\r\n") is False
    assert message.chunks == [b"\x00HTTP/1.1 ", b"0\r\n\r\n"]
    assert engine.body(b"a\r\n") == b"a\r\n"
    assert engine.end() == b""
    message.wish = Wish.END
    assert engine.feed_end(is_clean=True) is True
    assert is_success(message)
    assert message.received == 15
    assert not engine.is_reusable


def test_bytes_behind_the_head_belong_to_the_tunnel(engine: Http1Engine) -> None:
    message, _ = engine.start(upgrade_head())
    message.wish = Wish.PROGRESS
    assert engine.feed(SWITCH + b"early") is True
    assert message.chunks == [b"early"]
    assert message.received == 5


def test_a_tunnel_that_breaks_is_told_from_one_that_ends(engine: Http1Engine) -> None:
    message, _ = engine.start(connect_head())
    engine.feed(b"HTTP/1.1 200 OK\r\n\r\nabc")
    engine.feed_end(is_clean=False)
    assert type(message.error) is IncompleteBody
    assert "tunnel broke after 3 bytes" in str(message.error)


@pytest.mark.parametrize("is_clean", [True, False])
def test_the_end_before_the_tunnel_stands_is_a_lost_connection(engine: Http1Engine, is_clean: bool) -> None:
    message, _ = engine.start(upgrade_head())
    engine.feed(SWITCH[:-1])
    engine.feed_end(is_clean=is_clean)
    assert type(message.error) is ConnectionLost
    assert not engine.is_tunnel


@pytest.mark.parametrize("head", [upgrade_head(), connect_head()], ids=["upgrade", "connect"])
@pytest.mark.parametrize(
    "answer",
    [
        b"HTTP/1.1 407 Proxy Authentication Required\r\nContent-Length: 5\r\n\r\nhello",
        b"HTTP/1.1 500 Oops\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n",
        b"HTTP/1.1 103 Early Hints\r\n\r\nHTTP/1.1 404 Not Found\r\nContent-Length: 5\r\n\r\nhello",
    ],
)
def test_a_refused_tunnel_is_a_response_like_any_other(
    engine: Http1Engine, cut: Cut, head: RequestHead, answer: bytes
) -> None:
    message, _ = engine.start(head)
    with pytest.raises(RequestBodyError):
        engine.body(b"too early")
    feed_all(engine, cut(answer))
    assert is_success(message)
    assert b"".join(message.chunks) == b"hello"
    assert not engine.is_tunnel
    assert engine.is_reusable


def test_an_upgrade_that_is_ignored_is_a_response_like_any_other(engine: Http1Engine, cut: Cut) -> None:
    message, _ = engine.start(upgrade_head())
    feed_all(engine, cut(OK))
    assert is_success(message)
    assert engine.is_reusable


@pytest.mark.parametrize("head", [request_head(), connect_head()], ids=["get", "connect"])
def test_h1_11_a_switch_that_nobody_asked_for_is_refused(engine: Http1Engine, cut: Cut, head: RequestHead) -> None:
    engine.start(head)
    with pytest.raises(ProtocolError, match="101"):
        feed_all(engine, cut(SWITCH))
    assert not engine.is_tunnel
    assert not engine.is_reusable


def test_h1_11_a_switch_in_the_middle_of_the_request_is_refused(engine: Http1Engine, cut: Cut) -> None:
    engine.start(upgrade_head("POST", length=3))
    engine.body(b"ab")
    with pytest.raises(ProtocolError, match="middle of the request"):
        feed_all(engine, cut(SWITCH))
    assert not engine.is_tunnel


def test_an_upgrade_may_have_a_body(engine: Http1Engine, cut: Cut) -> None:
    message, _ = engine.start(upgrade_head("POST", length=2))
    engine.body(b"ab")
    feed_all(engine, cut(SWITCH))
    assert engine.is_tunnel
    assert message.head is not None


def test_a_request_head_serves_any_number_of_requests_and_connections() -> None:
    head = request_head("POST", fields=(("X", "1"),), length=3)
    encoded = set()
    for kind in (*HTTP1_ENGINES, *HTTP1_ENGINES):
        engine = kind()
        for _ in range(2):
            message, data = engine.start(head)
            encoded.add(data)
            engine.body(b"abc")
            engine.feed(OK)
            assert is_success(message)
    assert encoded == {b"POST / HTTP/1.1\r\nHost: example.com\r\nX: 1\r\nContent-Length: 3\r\n\r\n"}
    assert len({head, request_head("POST", fields=(("X", "1"),), length=3)}) == 2
