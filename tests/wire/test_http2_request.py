"""How every HTTP/2 engine must send requests: what it says, what it refuses, and how it waits for window."""

from __future__ import annotations

from typing import Any

import pytest
from h2 import events
from h2.settings import SettingCodes

from netio.errors import InvalidRequest, RequestBodyError
from netio.wire import Http2Engine, RequestHead
from tests.wire.engines import HTTP2_ENGINES, is_success, request_head
from tests.wire.http2_server import Server

SMALL = {SettingCodes.INITIAL_WINDOW_SIZE: 10}


@pytest.fixture(params=HTTP2_ENGINES, ids=lambda kind: kind.__name__)
def engine(request: pytest.FixtureRequest) -> Http2Engine:
    made: Http2Engine = request.param()
    return made


def test_a_request_is_sent(server: Server) -> None:
    fields = (("Accept", "*/*"), ("X-Name", "caf\xe9"), ("TE", "trailers"))
    head = RequestHead("GET", "https", "example.com:8443", "/a?b=c", fields, 0)
    stream = server.engine.open(head)
    assert stream.is_request_ended
    assert stream.id == 1
    assert server.engine.open_streams == 1
    server.hear()
    heard = server.of(events.RequestReceived)[0]
    assert [tuple(field) for field in heard.headers] == [
        (b":method", b"GET"),
        (b":scheme", b"https"),
        (b":authority", b"example.com:8443"),
        (b":path", b"/a?b=c"),
        (b"accept", b"*/*"),
        (b"x-name", b"caf\xe9"),
        (b"te", b"trailers"),
    ]
    assert heard.stream_ended is not None


def test_there_is_no_connection_close_over_http2(server: Server) -> None:
    stream = server.get(closes=True)
    assert [field[0] for field in server.of(events.RequestReceived)[0].headers if field[0] == b"connection"] == []
    server.answer(stream)
    assert is_success(stream)
    assert server.engine.max_streams > 0


def test_secrets_are_never_indexed(server: Server) -> None:
    server.get(fields=(("Authorization", "a" * 50), ("Cookie", "b" * 50), ("Proxy-Authorization", "c"), ("X", "d")))
    heard = server.of(events.RequestReceived)[0].headers
    is_indexable = {field[0]: field.indexable for field in heard[4:]}  # type: ignore[union-attr]
    assert is_indexable == {b"authorization": False, b"cookie": False, b"proxy-authorization": False, b"x": True}


@pytest.mark.parametrize(
    ("method", "length", "expected"),
    [
        ("GET", 0, None),
        ("POST", 0, b"0"),
        ("PUT", 5, b"5"),
        ("GET", 5, b"5"),
        ("POST", None, None),
    ],
)
def test_the_length_of_the_body_is_announced(
    server: Server, method: str, length: int | None, expected: bytes | None
) -> None:
    stream = server.get(method=method, length=length)
    heard = server.of(events.RequestReceived)[0]
    assert dict(heard.headers).get(b"content-length") == expected
    assert stream.is_request_ended == (length == 0)
    assert (heard.stream_ended is not None) == (length == 0)


def test_a_body_is_sent_and_ended_by_its_last_byte(server: Server) -> None:
    stream = server.post(10)
    assert server.engine.send(stream, b"hello") == 5
    assert server.engine.send(stream, b"") == 0
    assert not stream.is_request_ended
    assert server.engine.send(stream, memoryview(b"-world-")[1:6]) == 5
    assert stream.is_request_ended
    server.engine.end(stream)
    server.hear()
    assert server.body_heard() == b"helloworld"
    assert len(server.of(events.StreamEnded)) == 1


def test_a_large_body_is_sent_in_frames_as_large_as_the_server_wants(engine: Http2Engine) -> None:
    server = Server(engine, {SettingCodes.MAX_FRAME_SIZE: 20_000, SettingCodes.INITIAL_WINDOW_SIZE: 60_000})
    server.talk()
    stream = server.post(50_000)
    assert engine.send(stream, bytes(50_000)) == 50_000
    server.hear()
    assert [len(event.data) for event in server.of(events.DataReceived)] == [20_000, 20_000, 10_000]


def test_a_sender_waits_for_the_window_of_its_stream(engine: Http2Engine) -> None:
    server = Server(engine, SMALL)
    server.talk()
    stream = server.post(25)
    assert engine.send(stream, bytes(25)) == 10
    assert stream.needs_room
    assert engine.send(stream, bytes(15)) == 0
    server.hear()
    server.h2.increment_flow_control_window(7, stream.id)
    assert server.say() == [stream]
    assert not stream.needs_room
    assert engine.send(stream, bytes(15)) == 7
    server.hear()
    server.h2.increment_flow_control_window(100, stream.id)
    assert server.say() == [stream]
    assert engine.send(stream, bytes(8)) == 8
    assert not stream.needs_room
    engine.end(stream)
    server.hear()
    assert len(server.body_heard()) == 25


def test_senders_wait_for_the_window_of_the_connection(engine: Http2Engine) -> None:
    server = Server(engine, {SettingCodes.INITIAL_WINDOW_SIZE: 1_000_000})
    server.talk()
    first, second, third = server.post(), server.post(), server.post()
    assert engine.send(first, bytes(100_000)) == 65_535
    assert engine.send(second, bytes(5)) == 0
    server.hear()
    server.h2.increment_flow_control_window(1000)
    assert {stream.id for stream in server.say()} == {first.id, second.id}
    assert not third.needs_room
    assert engine.send(second, bytes(5)) == 5
    assert engine.send(first, bytes(34_465)) == 995


def test_a_sender_is_woken_when_settings_enlarge_its_window(engine: Http2Engine) -> None:
    server = Server(engine, SMALL)
    server.talk()
    stream = server.post()
    assert engine.send(stream, bytes(12)) == 10
    server.h2.update_settings({SettingCodes.INITIAL_WINDOW_SIZE: 5})
    assert server.say() == []
    assert stream.needs_room
    server.h2.update_settings({SettingCodes.INITIAL_WINDOW_SIZE: 12})
    assert server.say() == [stream]
    assert engine.send(stream, bytes(2)) == 2


@pytest.mark.parametrize(
    "changes",
    [
        {"method": "G T"},
        {"method": "GET\r\nEvil: 1"},
        {"method": "CONNECT"},
        {"target": ""},
        {"target": "a"},
        {"target": "http://example.com/"},
        {"target": "/a b"},
        {"target": "/a\r\nb"},
        {"target": "/a#b"},
        {"scheme": ""},
        {"scheme": "ht tp"},
        {"scheme": "http\r\n"},
        {"authority": ""},
        {"authority": "user@example.com"},
        {"authority": "example.com\r\n"},
        {"fields": (("X\r\nEvil", "1"),)},
        {"fields": ((":path", "/other"),)},
        {"fields": (("", "1"),)},
        {"fields": (("X", "a\r\nb"),)},
        {"fields": (("X", "a\x00b"),)},
        {"fields": (("X", "\u20ac"),)},
        {"length": -1},
    ],
    ids=repr,
)
def test_req_01_what_could_smuggle_is_refused_and_the_connection_is_as_before(
    server: Server, changes: dict[str, Any]
) -> None:
    engine = server.engine
    server.get(fields=(("X-First", "one"),))
    good = ("X-Second", "two")  # must not reach the encoder's table
    head = request_head(**{**changes, "fields": (good, *changes.get("fields", ()))})
    with pytest.raises(InvalidRequest) as caught:
        engine.open(head)
    assert caught.value.sent is False
    assert not engine.has_output
    assert engine.open_streams == 1
    stream = server.get(fields=(("X-Second", "two"), ("X-First", "one")))
    heard = server.of(events.RequestReceived)[-1]
    assert [tuple(field) for field in heard.headers[4:]] == [(b"x-second", b"two"), (b"x-first", b"one")]
    server.answer(stream)
    assert is_success(stream)


@pytest.mark.parametrize(
    "name",
    [
        "Content-Length",
        "content-length",
        "Transfer-Encoding",
        "Host",
        "Connection",
        "Upgrade",
        "Keep-Alive",
        "Proxy-Connection",
        "TE",
    ],
)
def test_req_03_framing_and_connection_fields_are_refused(server: Server, name: str) -> None:
    with pytest.raises(InvalidRequest, match=name):
        server.engine.open(request_head("POST", fields=((name, "5"),), length=5))
    assert server.engine.open_streams == 0
    assert not server.engine.has_output


def test_req_04_a_body_longer_than_declared_is_refused(server: Server) -> None:
    stream = server.post(5)
    server.engine.send(stream, b"abc")
    with pytest.raises(RequestBodyError, match="longer"):
        server.engine.send(stream, b"def")
    server.hear()
    assert server.body_heard() == b"abc"
    assert not stream.is_request_ended


def test_req_04_a_body_shorter_than_declared_is_refused(server: Server) -> None:
    stream = server.post(5)
    server.engine.send(stream, b"abc")
    with pytest.raises(RequestBodyError, match=r"shorter.* 2 bytes"):
        server.engine.end(stream)
    server.hear()
    assert server.of(events.StreamEnded) == []


def test_req_04_nothing_is_sent_after_the_end_of_a_request(server: Server) -> None:
    stream = server.get()
    with pytest.raises(RequestBodyError):
        server.engine.send(stream, b"unframed")
    assert not server.engine.has_output
