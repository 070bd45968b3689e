"""How HTTP/2 streams and connections end: cancelled, reset, left by a GOAWAY; and what becomes of their credit."""

from __future__ import annotations

import pytest
from h2 import events
from h2.settings import SettingCodes
from hyperframe.frame import DataFrame, GoAwayFrame, HeadersFrame

from netio.errors import ConnectionLost, ProtocolError, StreamReset
from netio.wire import Http2Engine, Wish
from tests.wire.engines import HTTP2_ENGINES, is_success, request_head
from tests.wire.http2_server import OK, Server, refused, resets

PROTOCOL_ERROR, REFUSED_STREAM, CANCEL = 1, 7, 8
LAST_ID = 2**31 - 1


@pytest.fixture(params=HTTP2_ENGINES, ids=lambda kind: kind.__name__)
def engine(request: pytest.FixtureRequest) -> Http2Engine:
    made: Http2Engine = request.param()
    return made


def test_h2_28_an_unanswered_request_is_reset_when_cancelled(server: Server) -> None:
    stream = server.post(100)
    server.engine.send(stream, b"half")
    server.engine.cancel(stream)
    assert resets(server) == {stream.id: CANCEL}
    assert server.engine.send(stream, b"of it") == 5
    server.engine.end(stream)
    assert not server.engine.has_output


def test_h2_28_late_frames_of_a_cancelled_stream_are_dropped_in_silence(server: Server) -> None:
    stream, other = server.get(), server.get()
    server.engine.cancel(stream)
    server.engine.take()
    server.h2.send_headers(stream.id, [(b":status", b"103")])
    server.h2.send_headers(stream.id, [*OK, (b"x-new", b"in the table")])
    server.h2.send_data(stream.id, b"hello")
    server.h2.send_headers(stream.id, [(b"x-sum", b"1")], end_stream=True)
    assert server.say() == []
    assert not server.engine.has_output
    assert (stream.head, stream.chunks, stream.trailers) == (None, [], ())
    server.answer(other, block=[*OK, (b"x-new", b"in the table")])
    assert other.head is not None
    assert other.head.fields == (("x-new", "in the table"),)


def test_h2_20_streams_after_the_last_one_of_a_goaway_were_not_sent(server: Server) -> None:
    engine = server.engine
    kept, first, second = server.get(), server.post(), server.get()
    kept.wish = first.wish = Wish.END
    second.needs_room = True
    woken = server.say(GoAwayFrame(0, last_stream_id=kept.id, additional_data=b"max\nage"))
    assert [stream.id for stream in woken] == [first.id, second.id]
    for stream in (first, second):
        assert isinstance(stream.error, ConnectionLost)
        assert stream.error.sent is False
        assert stream.is_request_ended
        assert "max\\nage" in str(stream.error)
    assert first.error is not second.error
    assert engine.max_streams == 0
    assert engine.open_streams == 1
    with pytest.raises(ConnectionLost) as caught:
        engine.open(request_head())
    assert caught.value.sent is False
    assert engine.send(first, b"to nobody") == 9
    server.answer(kept, b"hello")
    assert is_success(kept)
    assert engine.open_streams == 0


def test_h2_20_a_graceful_goaway_in_two_steps_loses_nothing(server: Server) -> None:
    first, second = server.get(), server.get()
    assert server.say(GoAwayFrame(0, last_stream_id=LAST_ID)) == []
    assert server.engine.max_streams == 0
    assert server.engine.open_streams == 2
    server.answer(first, b"hello")
    server.say(GoAwayFrame(0, last_stream_id=first.id))
    assert is_success(first)
    assert isinstance(second.error, ConnectionLost)
    assert second.error.sent is False


@pytest.mark.parametrize("last_ids", [(1, 1), (1, 3), (3, 1), (LAST_ID, LAST_ID)])
def test_h2_20_repeated_goaways_are_taken(server: Server, last_ids: tuple[int, int]) -> None:
    first, second = server.get(), server.get()
    for last_id in last_ids:
        server.say(GoAwayFrame(0, last_stream_id=last_id, error_code=0))
    assert not first.is_complete
    assert second.is_complete == (min(last_ids) < second.id)
    server.answer(first, b"hello")
    assert is_success(first)


def test_h2_20_a_goaway_with_an_error_names_it(server: Server) -> None:
    stream = server.get()
    server.say(GoAwayFrame(0, last_stream_id=0, error_code=11))
    assert isinstance(stream.error, ConnectionLost)
    assert "ENHANCE_YOUR_CALM" in str(stream.error)


def test_h2_20_an_unfinished_upload_goes_on_after_a_goaway(server: Server) -> None:
    stream = server.post(10)
    server.engine.send(stream, b"hello")
    server.say(GoAwayFrame(0, last_stream_id=stream.id))
    server.engine.send(stream, b"world")
    server.engine.end(stream)
    server.hear()
    assert server.body_heard() == b"helloworld"


def test_h2_20_a_goaway_that_is_none_is_refused(server: Server) -> None:
    refused(server, b"\x00\x00\x04\x07\x00\x00\x00\x00\x00\x00\x00\x00\x00")


def test_h2_22_reset_and_goaway_in_one_read_leak_nothing() -> None:
    for kind in HTTP2_ENGINES:
        engine = kind()
        server = Server(engine, {SettingCodes.MAX_CONCURRENT_STREAMS: 1})
        server.talk()
        stream = server.get()
        stream.wish = Wish.HEAD
        server.h2.reset_stream(stream.id, REFUSED_STREAM)
        assert server.say(GoAwayFrame(0, last_stream_id=LAST_ID)) == [stream]
        assert isinstance(stream.error, StreamReset)
        assert stream.error.sent is False
        assert engine.open_streams == 0


def test_h2_20_a_goaway_inside_a_header_block_is_refused(server: Server) -> None:
    stream = server.get()
    begun = HeadersFrame(stream.id, data=server.h2.encoder.encode(OK))
    _, code = refused(server, begun, GoAwayFrame(0, last_stream_id=LAST_ID))
    assert code == PROTOCOL_ERROR
    assert type(stream.error) is ProtocolError


def test_h2_24_what_comes_after_a_fault_is_ignored(server: Server) -> None:
    engine = server.engine
    stream = server.get()
    refused(server, DataFrame(2, data=b"x"))
    for data in (b"\xff" * 100, GoAwayFrame(0, last_stream_id=0).serialize(), DataFrame(1, data=b"x").serialize()):
        assert engine.feed(data) == []
    assert not engine.has_output
    assert type(stream.error) is ProtocolError


def test_h2_24_between_a_fault_and_its_report_nothing_is_sent(server: Server) -> None:
    engine = server.engine
    stream, other = server.post(), server.post()
    server.answer(other, b"hello", ends=False)
    with pytest.raises(ProtocolError) as caught:
        server.say(DataFrame(2, data=b"x"))
    engine.take()
    assert engine.send(stream, b"to nobody") == 9
    engine.end(stream)
    engine.cancel(stream)
    assert engine.take_chunks(other) == [b"hello"]
    assert not engine.has_output
    engine.fail(caught.value)
    assert type(stream.error) is type(other.error) is ProtocolError


def test_h2_24_a_fault_says_goodbye_once(server: Server) -> None:
    server.get()
    with pytest.raises(ProtocolError):
        server.say(DataFrame(2, data=b"x"))
    assert server.engine.take().count(b"\x00\x00\x08\x07\x00\x00\x00\x00\x00") == 1
    server.engine.close()
    assert not server.engine.has_output


def test_fail_ends_every_stream_with_its_own_error(server: Server) -> None:
    engine = server.engine
    reader, sender, idle, done = server.get(), server.post(), server.get(), server.get()
    server.answer(done, b"hello")
    reader.wish = Wish.END
    sender.needs_room = True
    cause = OSError("gone")
    error = ConnectionLost("the connection broke", sent=True)
    error.__cause__ = cause
    assert {stream.id for stream in engine.fail(error)} == {reader.id, sender.id}
    for stream in (reader, sender, idle):
        assert stream.is_complete
        assert type(stream.error) is ConnectionLost
        assert stream.error is not error
        assert stream.error.args == error.args
        assert stream.error.sent is True
        assert stream.error.__cause__ is cause
    assert reader.error is not sender.error
    assert is_success(done)
    assert (reader.wish, sender.needs_room) == (Wish.NOTHING, False)
    assert engine.open_streams == 0
    assert engine.max_streams == 0


def test_fail_keeps_sent_false(server: Server) -> None:
    stream = server.get()
    server.engine.fail(ConnectionLost("never written", sent=False))
    assert stream.error is not None
    assert stream.error.sent is False


def test_a_failed_engine_does_nothing_more(server: Server) -> None:
    engine = server.engine
    stream = server.post()
    server.answer(stream, b"hello", ends=False)
    engine.take()
    engine.fail(ConnectionLost("gone"))
    assert engine.send(stream, b"abc") == 3
    engine.end(stream)
    assert engine.take_chunks(stream) == [b"hello"]
    engine.cancel(stream)
    engine.close()
    assert engine.feed(b"whatever comes") == []
    assert engine.fail(ConnectionLost("again")) == []
    assert not engine.has_output
    with pytest.raises(ConnectionLost, match="about to end") as caught:
        engine.open(request_head())
    assert caught.value.sent is False


def test_close_says_goodbye_and_lets_open_streams_finish(server: Server) -> None:
    engine = server.engine
    stream = server.get()
    engine.close()
    engine.close()
    assert engine.max_streams == 0
    server.hear()
    goodbyes = server.of(events.ConnectionTerminated)
    assert [(event.error_code, event.last_stream_id) for event in goodbyes] == [(0, 0)]
    # h2's server takes no GOAWAY for an answer, so the answer is made by hand: HEADERS with :status 200, END_STREAM.
    answer = b"\x00\x00\x01\x01\x05" + stream.id.to_bytes(4, "big") + b"\x88"
    assert engine.feed(answer) == [stream]
    assert is_success(stream)
    assert engine.feed(b"now nobody listens") == []


def test_cancelling_forgets_the_body_and_nothing_else(server: Server) -> None:
    engine = server.engine
    stream = server.get()
    server.answer(stream, b"hel", ends=False)
    stream.wish = Wish.END
    engine.cancel(stream)
    engine.cancel(stream)
    assert stream.chunks == []
    assert not stream.is_complete
    assert stream.error is None
    assert engine.open_streams == 0
    server.send(stream, b"lo", ends=True)
    assert server.say() == []
    assert not stream.is_complete


def test_cancelling_a_closed_stream_does_nothing(server: Server) -> None:
    engine = server.engine
    done, broken, lost = server.get(), server.get(), server.get()
    server.answer(done, b"hello")
    for stream in (broken, lost):
        server.answer(stream, b"hel", ends=False)
    server.h2.reset_stream(broken.id)
    server.say()
    engine.fail(ConnectionLost("gone"))
    engine.take()
    for stream in (done, broken, lost):
        engine.cancel(stream)
    assert not engine.has_output
    assert (done.chunks, broken.chunks, lost.chunks) == ([b"hello"], [b"hel"], [b"hel"])
    assert is_success(done)


def test_cancelling_an_unfinished_request_with_a_complete_answer_resets_it(server: Server) -> None:
    stream = server.post(100)
    server.answer(stream, b"too much")
    server.engine.cancel(stream)
    server.hear()
    assert [event.stream_id for event in server.of(events.StreamReset)] == [stream.id]
    assert server.engine.open_streams == 0
    assert is_success(stream)


def test_a_sender_that_waits_after_a_complete_answer_is_woken_by_a_reset(server: Server) -> None:
    engine = server.engine
    stream = server.post()
    server.answer(stream)
    assert engine.send(stream, bytes(100_000)) == 65_535
    assert stream.needs_room
    server.hear()
    server.h2.reset_stream(stream.id, 0)
    assert server.say() == [stream]
    assert not stream.needs_room
    assert is_success(stream)


def test_a_fault_of_the_server_does_not_lose_what_came_before_it(server: Server) -> None:
    """One `feed` completes a response and then breaks the rules: nobody may wait for ever."""
    engine = server.engine
    server.cut = 0
    done, waiting = server.get(), server.get()
    done.wish = waiting.wish = Wish.END
    server.h2.send_headers(done.id, [(b":status", b"200")], end_stream=True)
    with pytest.raises(ProtocolError) as caught:
        server.say(b"\xff\xff\xff\x00\x00\x00\x00\x00\x01")
    assert {stream.id for stream in engine.fail(caught.value)} == {done.id, waiting.id}
    assert is_success(done)
    assert type(waiting.error) is ProtocolError
