"""What HTTP/2 engines offer besides plain requests: trailers, CONNECT, what GOAWAY and resets said, stream limits."""

from __future__ import annotations

import pytest
from h2 import events
from h2.settings import SettingCodes
from hyperframe.frame import DataFrame, GoAwayFrame, RstStreamFrame, SettingsFrame

from netio.errors import ConnectionLost, InvalidRequest, ProtocolError, RequestBodyError, StreamReset
from netio.headers import Field
from netio.wire import ErrorCode, Http2Engine, RequestHead, Wish
from tests.wire.engines import HTTP2_ENGINES, is_success, request_head
from tests.wire.http2_server import OK, Server, check_that_others_live, resets


@pytest.fixture(params=HTTP2_ENGINES, ids=lambda kind: kind.__name__)
def engine(request: pytest.FixtureRequest) -> Http2Engine:
    made: Http2Engine = request.param()
    return made


# Trailers


def test_request_trailers_end_the_request(server: Server) -> None:
    stream = server.post()
    server.engine.send(stream, b"hello")
    server.engine.end(stream, (("X-Sum", "1"), ("Authorization", "secret")))
    assert stream.is_request_ended
    server.hear()
    heard = server.of(events.TrailersReceived)[0].headers
    assert [tuple(field) for field in heard] == [(b"x-sum", b"1"), (b"authorization", b"secret")]
    assert [field.indexable for field in heard] == [True, False]  # type: ignore[union-attr]
    assert len(server.of(events.StreamEnded)) == 1
    server.answer(stream, b"hello")
    assert is_success(stream)
    assert server.engine.open_streams == 0


def test_trailers_after_an_early_answer_close_the_stream(server: Server) -> None:
    stream = server.post()
    server.answer(stream)
    server.engine.end(stream, (("X-Sum", "1"),))
    assert server.engine.open_streams == 0


@pytest.mark.parametrize(
    "trailer",
    [("X\r\n", "1"), ("X", "a\nb"), (":path", "/"), ("Content-Length", "5"), ("Host", "a"), ("Connection", "close")],
)
def test_req_01_trailers_that_cannot_be_sent_leave_everything_as_it_was(server: Server, trailer: Field) -> None:
    engine = server.engine
    stream = server.post()
    with pytest.raises(InvalidRequest):
        engine.end(stream, (("X-Good", "1"), trailer))
    assert not stream.is_request_ended
    assert not engine.has_output
    engine.end(stream, (("X-Good", "1"),))
    server.hear()
    assert [tuple(field) for field in server.of(events.TrailersReceived)[0].headers] == [(b"x-good", b"1")]


def test_trailers_after_the_end_are_refused(server: Server) -> None:
    stream = server.post(5)
    with pytest.raises(RequestBodyError, match="shorter"):
        server.engine.end(stream, (("X-Sum", "1"),))
    server.engine.send(stream, b"hello")
    with pytest.raises(RequestBodyError, match="after the end"):
        server.engine.end(stream, (("X-Sum", "1"),))
    server.engine.cancel(stream)
    server.engine.end(stream, (("X-Sum", "1"),))  # nobody is interested any more
    assert resets(server) == {stream.id: 8}


def test_large_trailers_go_on_in_continuation_frames(server: Server) -> None:
    stream = server.post()
    server.engine.end(stream, (("X-Large", "v" * 40_000),))
    assert server.engine.take().count(stream.id.to_bytes(4, "big")) >= 3


# CONNECT


def connect(**changes: str | int | None) -> RequestHead:
    authority = "example.com:443"
    return RequestHead("CONNECT", "https", authority, authority, (("X-Name", "1"),), 0, **changes)  # type: ignore[arg-type]


def extended() -> RequestHead:
    return RequestHead("CONNECT", "https", "example.com", "/chat?a=b", (("X-Name", "1"),), 0, protocol="websocket")


def check_a_tunnel(server: Server, head: RequestHead) -> list[tuple[bytes, bytes]]:
    """Open a stream, talk both ways, end it; return the block that opened it."""
    engine = server.engine
    stream = engine.open(head)
    assert not stream.is_request_ended
    server.talk()
    server.say(server.block(stream, [*OK, (b"x-name", b"1")]))
    assert stream.head is not None
    assert engine.send(stream, b"ping") == 4
    server.talk()
    stream.wish = Wish.PROGRESS
    server.send(stream, b"pong")
    assert server.say() == [stream]
    assert engine.take_chunks(stream) == [b"pong"]
    with pytest.raises(InvalidRequest, match="no trailers"):
        engine.end(stream, (("X-Sum", "1"),))
    engine.end(stream)
    server.talk()
    assert server.body_heard() == b"ping"
    server.h2.end_stream(stream.id)
    server.say()
    assert is_success(stream)
    assert engine.open_streams == 0
    return [(bytes(name), bytes(value)) for name, value in server.of(events.RequestReceived)[-1].headers]


def test_connect_makes_a_stream_of_raw_bytes(server: Server) -> None:
    assert check_a_tunnel(server, connect()) == [
        (b":method", b"CONNECT"),
        (b":authority", b"example.com:443"),
        (b"x-name", b"1"),
    ]


def test_a_refused_connect_is_a_response_like_others(server: Server) -> None:
    stream = server.engine.open(connect())
    server.talk()
    server.answer(stream, b"no", [(b":status", b"407"), (b"content-length", b"2")])
    assert is_success(stream)
    server.engine.cancel(stream)
    check_that_others_live(server, server.get())


def test_extended_connect_needs_the_permission_of_the_server(engine: Http2Engine) -> None:
    server = Server(engine)
    server.talk()
    assert not engine.has_extended_connect
    with pytest.raises(InvalidRequest, match="RFC 8441") as caught:
        engine.open(extended())
    assert caught.value.sent is False
    assert engine.open_streams == 0
    server.say(SettingsFrame(0, settings={SettingsFrame.ENABLE_CONNECT_PROTOCOL: 1}))
    assert engine.has_extended_connect
    assert check_a_tunnel(server, extended()) == [
        (b":method", b"CONNECT"),
        (b":protocol", b"websocket"),
        (b":scheme", b"https"),
        (b":authority", b"example.com"),
        (b":path", b"/chat?a=b"),
        (b"x-name", b"1"),
    ]


@pytest.mark.parametrize(
    "head",
    [
        RequestHead("GET", "https", "example.com", "/", (), 0, protocol="websocket"),
        RequestHead("CONNECT", "https", "example.com", "/", (), 0, protocol="web socket"),
        RequestHead("CONNECT", "https", "example.com", "/", (), 0, protocol=""),
        RequestHead("CONNECT", "https", "example.com", "/", (), 5, protocol="websocket"),
        RequestHead("CONNECT", "https", "example.com", "example.com", (), 0),
        RequestHead("CONNECT", "https", "example.com:443", "/", (), 0),
        RequestHead("CONNECT", "https", "example.com:443", "example.com:443", (), 5),
        RequestHead("GET", "https", "example.com", "/", (), 0, upgrade="websocket"),
    ],
)
def test_req_02_a_tunnel_that_cannot_be_meant_is_refused(server: Server, head: RequestHead) -> None:
    server.say(SettingsFrame(0, settings={SettingsFrame.ENABLE_CONNECT_PROTOCOL: 1}))
    server.engine.take()
    with pytest.raises(InvalidRequest):
        server.engine.open(head)
    assert not server.engine.has_output
    assert server.engine.open_streams == 0


# What GOAWAY and RST_STREAM said


def test_h2_20_what_a_goaway_said_can_be_read(server: Server) -> None:
    engine = server.engine
    assert engine.goaway is None
    stream = server.get()
    server.say(GoAwayFrame(0, last_stream_id=2**31 - 1, additional_data=b"soon"))
    assert engine.goaway is not None
    assert (engine.goaway.last_stream_id, engine.goaway.code, engine.goaway.debug) == (2**31 - 1, 0, "soon")
    assert not stream.is_complete
    server.say(GoAwayFrame(0, last_stream_id=0, error_code=13, additional_data=b"\x1b[31m'\n\xff" + b"x" * 1000))
    assert engine.goaway.last_stream_id == 0
    assert engine.goaway.code == ErrorCode.HTTP_1_1_REQUIRED
    assert engine.goaway.debug.startswith("\\x1b[31m'\\n\\xffxxx")
    assert engine.goaway.debug.isprintable()
    assert len(engine.goaway.debug) < 100
    assert isinstance(stream.error, ConnectionLost)
    assert stream.error.sent is False
    assert engine.goaway.debug in str(stream.error)


def test_h2_20_an_answered_stream_above_the_last_one_was_sent(server: Server) -> None:
    stream, hinted = server.get(), server.get()
    server.answer(stream, ends=False)
    server.say(server.block(hinted, [(b":status", b"103")]))
    server.say(GoAwayFrame(0, last_stream_id=0))
    for each in (stream, hinted):
        assert isinstance(each.error, ConnectionLost)
        assert each.error.sent is True


@pytest.mark.parametrize(
    ("code", "sent"),
    [
        (ErrorCode.REFUSED_STREAM, False),
        (ErrorCode.HTTP_1_1_REQUIRED, True),
        (ErrorCode.ENHANCE_YOUR_CALM, True),
        (ErrorCode.CANCEL, True),
        (ErrorCode.NO_ERROR, True),
        (0xFFFFFFFF, True),
    ],
)
def test_h2_23_the_code_of_a_reset_can_be_read(server: Server, code: int, sent: bool) -> None:
    stream, other = server.get(), server.get()
    server.say(RstStreamFrame(stream.id, error_code=code))
    assert isinstance(stream.error, StreamReset)
    assert (stream.error.code, stream.error.sent) == (code, sent)
    check_that_others_live(server, other)


def test_h2_23_a_refusal_after_a_hint_proves_nothing(server: Server) -> None:
    stream = server.get()
    server.say(server.block(stream, [(b":status", b"103")]), RstStreamFrame(stream.id, error_code=7))
    assert isinstance(stream.error, StreamReset)
    assert stream.error.sent is True


def test_h2_21_a_server_that_refuses_everything_processes_nothing(server: Server) -> None:
    for _ in range(3):
        stream = server.get()
        server.say(RstStreamFrame(stream.id, error_code=ErrorCode.REFUSED_STREAM))
        assert stream.error is not None
        assert stream.error.sent is False
    last = server.get()
    server.say(GoAwayFrame(0, last_stream_id=0))
    assert last.error is not None
    assert last.error.sent is False
    assert server.engine.max_streams == 0


def test_h2_31_an_origin_frame_makes_the_connection_no_other_ones(server: Server) -> None:
    stream = server.get()
    assert server.say(b"\x00\x00\x15\x0c\x00\x00\x00\x00\x00\x00\x13https://example.org") == []
    server.answer(stream, b"hello")
    assert is_success(stream)


def test_h2_23_a_421_is_a_response(server: Server) -> None:
    stream = server.get()
    server.answer(stream, b"elsewhere", [(b":status", b"421")])
    assert is_success(stream)
    assert stream.head is not None
    assert stream.head.status == 421


# How many streams


def test_h2_11_a_limit_below_what_is_open_lets_it_finish(server: Server) -> None:
    engine = server.engine
    streams = [server.get() for _ in range(3)]
    for limit in (1, 0, 2):
        server.h2.update_settings({SettingCodes.MAX_CONCURRENT_STREAMS: limit})
        server.say()
        assert engine.max_streams == limit
        assert engine.open_streams == 3
        with pytest.raises(ConnectionLost) as caught:
            engine.open(request_head())
        assert caught.value.sent is False
        server.hear()
    for stream in streams[:2]:
        server.answer(stream)
    server.get()
    with pytest.raises(ConnectionLost, match="2 requests under way"):
        engine.open(request_head())
    server.answer(streams[2])
    assert all(is_success(stream) for stream in streams)


def test_what_cannot_be_sent_is_told_before_that_there_is_no_place(server: Server) -> None:
    server.h2.update_settings({SettingCodes.MAX_CONCURRENT_STREAMS: 0})
    server.say()
    with pytest.raises(InvalidRequest):
        server.engine.open(request_head("G T"))


def test_h2_25_a_connection_without_stream_ids_is_leaving(server: Server) -> None:
    engine = server.engine
    skip_to_the_last_id(engine)
    assert engine.max_streams > 0
    stream = engine.open(request_head())
    assert stream.id == 2**31 - 1
    assert engine.max_streams == 0
    with pytest.raises(ConnectionLost, match="about to end") as caught:
        engine.open(request_head())
    assert caught.value.sent is False
    server.say(SettingsFrame(0, settings={SettingsFrame.MAX_CONCURRENT_STREAMS: 5}))
    assert engine.max_streams == 0
    server.say(b"\x00\x00\x01\x01\x05\x7f\xff\xff\xff\x88")
    assert is_success(stream)
    assert engine.open_streams == 0


def skip_to_the_last_id(engine: Http2Engine) -> None:
    if hasattr(engine, "_h2"):
        engine._h2.highest_outbound_stream_id = 2**31 - 3
    else:
        engine._next_id = 2**31 - 1  # type: ignore[attr-defined]


def test_a_dead_engine_neither_pings_nor_grows(server: Server) -> None:
    with pytest.raises(ProtocolError):
        server.say(DataFrame(2, data=b"x"))
    server.engine.take()
    server.engine.ping()
    server.engine.grow_windows(10**6, 10**9)
    assert not server.engine.has_output
    assert server.engine.pings_sent == 0
