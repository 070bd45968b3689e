"""PING, SETTINGS and windows: what a connection measures and tunes by."""

from __future__ import annotations

import pytest
from h2 import events
from hyperframe.frame import DataFrame, PingFrame, SettingsFrame

from netio.wire import MAX_STREAM_WINDOW, ErrorCode, Http2Engine
from tests.wire.engines import HTTP2_ENGINES
from tests.wire.http2_server import Server, refused


@pytest.fixture(params=HTTP2_ENGINES, ids=lambda kind: kind.__name__)
def engine(request: pytest.FixtureRequest) -> Http2Engine:
    made: Http2Engine = request.param()
    return made


# PING and SETTINGS


def test_h2_27_pings_are_numbered_and_their_answers_too(server: Server) -> None:
    engine = server.engine
    assert (engine.pings_sent, engine.pings_answered) == (0, 0)
    for _ in range(3):
        engine.ping()
    assert (engine.pings_sent, engine.pings_answered) == (3, 0)
    server.hear()
    pings = [event.ping_data for event in server.of(events.PingReceived)]
    assert len(set(pings)) == 3
    server.h2.data_to_send()
    for number, data in ((1, pings[0]), (3, pings[2]), (3, pings[1])):
        assert server.say(PingFrame(0, opaque_data=data, flags=["ACK"])) == []
        assert engine.pings_answered == number
    server.say(PingFrame(0, opaque_data=b"anything", flags=["ACK"]))
    assert engine.pings_answered == 3
    assert not engine.has_output


def test_h2_26_settings_are_acknowledged_or_not(engine: Http2Engine) -> None:
    server = Server(engine)
    assert not engine.is_settings_acknowledged
    server.say()
    assert engine.has_settings
    assert not engine.is_settings_acknowledged
    server.talk()
    assert engine.is_settings_acknowledged
    engine.grow_windows(1_000_000, 0)
    engine.grow_windows(2_000_000, 0)
    assert not engine.is_settings_acknowledged
    server.say(SettingsFrame(0, flags=["ACK"]))
    assert not engine.is_settings_acknowledged
    server.say(SettingsFrame(0, flags=["ACK"]))
    assert engine.is_settings_acknowledged
    server.say(SettingsFrame(0, flags=["ACK"]))
    assert engine.is_settings_acknowledged


@pytest.mark.parametrize(
    "settings",
    [
        {SettingsFrame.ENABLE_PUSH: 1},
        {SettingsFrame.ENABLE_PUSH: 2},
        {SettingsFrame.ENABLE_CONNECT_PROTOCOL: 2},
        {SettingsFrame.MAX_FRAME_SIZE: 16_383},
        {SettingsFrame.MAX_FRAME_SIZE: 2**24},
    ],
)
def test_h2_09_settings_that_cannot_be_are_refused(server: Server, settings: dict[int, int]) -> None:
    _, code = refused(server, SettingsFrame(0, settings=settings))
    assert code == ErrorCode.PROTOCOL_ERROR


# Windows


def test_windows_grow_for_open_and_new_streams(server: Server) -> None:
    engine = server.engine
    stream = server.get()
    server.answer(stream, ends=False)
    assert server.stuff(stream, 300_000) == 262_144
    engine.grow_windows(1_000_000, 40_000_000)
    assert (engine.stream_window, engine.connection_window) == (1_000_000, 40_000_000)
    server.talk()
    assert server.h2.remote_settings.initial_window_size == 1_000_000
    assert server.h2.outbound_flow_control_window == 40_000_000 - 262_144
    assert server.stuff(stream, 2_000_000) == 1_000_000 - 262_144
    other = server.get()
    server.answer(other, ends=False)
    assert server.stuff(other, 2_000_000) == 1_000_000
    for taken in (stream, other):
        assert sum(map(len, engine.take_chunks(taken))) == 1_000_000
        server.talk()
        assert server.stuff(taken, 2_000_000) == 1_000_000
    assert engine.data_received == 4_000_000


@pytest.mark.parametrize("size", [0, 1, 262_143, 262_144])
def test_windows_do_not_shrink(server: Server, size: int) -> None:
    server.engine.grow_windows(size, size)
    assert not server.engine.has_output
    assert (server.engine.stream_window, server.engine.connection_window) == (262_144, 33_554_432)


def test_the_window_of_a_stream_has_a_limit(server: Server) -> None:
    server.engine.grow_windows(MAX_STREAM_WINDOW + 1, 2**40)
    assert server.engine.stream_window == MAX_STREAM_WINDOW
    assert server.engine.connection_window == 2**31 - 1
    server.talk()
    assert server.h2.remote_settings.initial_window_size == MAX_STREAM_WINDOW
    assert server.h2.outbound_flow_control_window == 2**31 - 1


def test_h2_16_a_window_that_grew_is_a_limit_as_before(engine: Http2Engine) -> None:
    server = Server(engine)
    server.talk()
    stream = server.get()
    server.answer(stream, ends=False)
    engine.grow_windows(300_000, 0)
    server.talk()
    frame = DataFrame(stream.id, data=bytes(10_000))
    server.say(*[frame] * 30)
    _, code = refused(server, frame)
    assert code == ErrorCode.FLOW_CONTROL_ERROR
    assert stream.received == 300_000


@pytest.mark.parametrize("kind", HTTP2_ENGINES, ids=lambda kind: kind.__name__)
def test_h2_10_a_window_of_one_byte_is_enough(kind: type[Http2Engine]) -> None:
    server = Server(kind(stream_window=1))
    server.talk()
    stream = server.get()
    server.answer(stream, ends=False)
    for number in range(50):
        assert server.stuff(stream, 10) == 1, number
        assert server.engine.take_chunks(stream) == [b"x"]
        server.talk()


def test_data_is_counted_with_its_padding_and_whoever_it_is_for(server: Server) -> None:
    stream, other = server.get(), server.get()
    server.answer(stream, ends=False)
    server.send(stream, b"hello", padding=10)
    server.engine.cancel(other)
    server.say(DataFrame(other.id, data=b"late"))
    assert server.engine.data_received == 5 + 11 + 4
