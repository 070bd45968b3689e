"""What is particular to netio's own HTTP/2 engine: what it remembers, joins and keeps."""

from __future__ import annotations

import pytest
from h2 import events
from h2.settings import SettingCodes
from hyperframe.frame import DataFrame, SettingsFrame

from netio.errors import ConnectionLost, InvalidRequest
from netio.wire import FastHttp2, Stream
from tests.wire.engines import is_success, request_head
from tests.wire.http2_server import OK, Server

FIELDS = (("Accept", "*/*"), ("User-Agent", "netio"), ("Authorization", "secret"))


@pytest.fixture
def engine() -> FastHttp2:
    return FastHttp2()


def blocks(server: Server, count: int, **changes: object) -> list[int]:
    """Send the same head again and again; return the sizes of its frames."""
    head = request_head(fields=FIELDS, **changes)  # type: ignore[arg-type]
    sizes = []
    for _ in range(count):
        stream = server.engine.open(head)
        output = server.engine.take()
        sizes.append(len(output))
        server.heard += server.h2.receive_data(output)
        server.answer(stream)
        assert is_success(stream)
    return sizes


def check_all_heard_alike(server: Server) -> None:
    heard = {tuple((bytes(n), bytes(v)) for n, v in event.headers) for event in server.of(events.RequestReceived)}
    assert len(heard) == 1
    assert set(heard.pop()) > {(b"accept", b"*/*"), (b"user-agent", b"netio"), (b"authorization", b"secret")}


def test_a_head_that_is_sent_often_gets_small_and_stays_so(server: Server) -> None:
    sizes = blocks(server, 6)
    assert sizes[0] > sizes[-1]
    assert sizes[2:] == [sizes[2]] * 4
    check_all_heard_alike(server)


@pytest.mark.parametrize("size", [0, 40, 100, 4_096, 65_536])
def test_h2_05_a_head_that_was_remembered_follows_the_size_of_the_table(server: Server, size: int) -> None:
    blocks(server, 4)
    for sizes in ([size], [size, size], [0, size], [size, 4_096], [4_096]):
        for each in sizes:
            server.h2.update_settings({SettingCodes.HEADER_TABLE_SIZE: each})
        server.talk()
        blocks(server, 4)
    check_all_heard_alike(server)


def test_a_head_that_does_not_fit_into_the_table_is_remembered_as_it_is(server: Server) -> None:
    for _ in range(2):
        blocks(server, 4, authority="a" * 1_100)
    check_all_heard_alike(server)


def test_a_known_head_with_another_path_is_checked_and_encoded_as_any_other(server: Server) -> None:
    blocks(server, 4)
    for target, method, length in (("/new", "GET", 0), ("/", "GET", 5), ("/index.html", "GET", 0), ("/a", "GET", None)):
        stream = server.get(method=method, target=target, fields=FIELDS, length=length)
        heard = [(bytes(n), bytes(v)) for n, v in server.of(events.RequestReceived)[-1].headers]
        expected = [
            (b":method", b"GET"),
            (b":scheme", b"http"),
            (b":authority", b"example.com"),
            (b":path", target.encode()),
        ]
        expected += [(name.lower().encode(), value.encode()) for name, value in FIELDS]
        assert heard == [*expected, *([(b"content-length", b"5")] if length else [])]
        server.engine.cancel(stream)
    for changes in ({"target": "/a b"}, {"target": "no path"}, {"target": "/a#b"}, {"length": -1}, {"upgrade": "x"}):
        with pytest.raises(InvalidRequest):
            server.engine.open(request_head(fields=FIELDS, **changes))


def test_more_heads_than_are_remembered_are_sent_as_they_are(server: Server) -> None:
    heads = [request_head(target=f"/{n % 300}", fields=(("X-Group", str(n % 90)),)) for n in range(600)]
    for _ in range(2):
        for head in heads:
            stream = server.engine.open(head)
            server.hear()
            heard = [(bytes(name), bytes(value)) for name, value in server.of(events.RequestReceived)[-1].headers]
            assert heard[3:] == [(b":path", head.target.encode()), (b"x-group", head.fields[0][1].encode())]
            server.answer(stream)


def test_a_refused_head_is_not_remembered(server: Server) -> None:
    head = request_head(fields=(("X", "a\nb"),))
    for _ in range(3):
        with pytest.raises(InvalidRequest):
            server.engine.open(head)
    assert not server.engine.has_output


def test_heads_of_equal_responses_are_one_object(server: Server) -> None:
    block = [*OK, (b"server", b"h2"), (b"content-length", b"5")]
    streams = [server.get() for _ in range(4)]
    for stream in streams:
        server.answer(stream, b"hello", block)
    assert streams[2].head is streams[3].head
    assert all(is_success(stream) for stream in streams)


def head_frame(stream: Stream, block: bytes) -> bytes:
    return len(block).to_bytes(3, "big") + b"\x01\x05" + stream.id.to_bytes(4, "big") + block


def test_blocks_that_look_alike_differ_after_a_change_of_the_table(server: Server) -> None:
    """The same reference means another field when something was put into the table between them."""
    for value in ("one", "two", "three", "two"):
        stream = server.get()
        server.say(head_frame(stream, b"\x88\x40\x06x-name" + bytes([len(value)]) + value.encode()))
        for _ in range(3):
            stream = server.get()
            server.say(head_frame(stream, b"\x88\xbe"))  # :status 200, and the first field of the table
            assert stream.head is not None
            assert stream.head.fields == (("x-name", value),)


def test_h2_07_many_small_pieces_become_few(server: Server) -> None:
    stream = server.get()
    server.answer(stream, ends=False)
    for _ in range(20):
        server.say(*[DataFrame(stream.id, data=b"ab")] * 500)
    assert stream.received == 20_000
    assert len(stream.chunks) < 200
    assert b"".join(server.engine.take_chunks(stream)) == b"ab" * 10_000


def test_what_is_sent_does_not_change_when_its_buffer_does(engine: FastHttp2) -> None:
    server = Server(engine)
    server.talk()
    stream = server.post()
    data = bytearray(b"before")
    assert engine.send(stream, memoryview(data)) == 6
    data[:] = b"after!"
    server.hear()
    assert server.body_heard() == b"before"


def test_credit_comes_early_when_unread_streams_hold_most_of_the_window() -> None:
    server = Server(FastHttp2(stream_window=70_000, connection_window=100_000))
    server.talk()
    unread, stream = server.get(), server.get()
    for each in (unread, stream):
        server.answer(each, ends=False)
    assert server.stuff(unread, 100_000) == 70_000
    for _ in range(10):
        assert server.stuff(stream, 20_000) == 20_000
        server.engine.take_chunks(stream)
        server.talk()


def test_fail_returns_once_whoever_was_woken_and_waits_again(engine: FastHttp2) -> None:
    server = Server(engine)
    server.talk()
    streams: list[Stream] = [server.get(), server.get()]
    for stream in streams:
        stream.needs_room = True
    failed = engine.fail(ConnectionLost("gone"))
    assert [stream.id for stream in failed] == [1, 3]
    assert engine.feed(SettingsFrame(0).serialize()) == []
