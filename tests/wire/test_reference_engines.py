"""What is particular to the engines on h11 and h2."""

from __future__ import annotations

import h2.exceptions
import h11
import pytest
from hyperframe.frame import SettingsFrame

from netio.errors import ConnectionLost, ProtocolError
from netio.wire._reference1 import ReferenceHttp1
from netio.wire._reference2 import ReferenceHttp2
from tests.wire.engines import request_head
from tests.wire.http2_server import Server

LAST_ID = 2**31 - 1


def test_an_error_of_h11_is_the_cause_of_ours() -> None:
    engine = ReferenceHttp1()
    engine.start(request_head())
    with pytest.raises(ProtocolError, match="sent invalid HTTP") as caught:
        engine.feed(b"HTTP/1.1 200 OK\r\nno colon\r\n\r\n")
    assert isinstance(caught.value.__cause__, h11.RemoteProtocolError)


def test_an_error_of_h2_is_the_cause_of_ours() -> None:
    server = Server(ReferenceHttp2())
    server.talk()
    with pytest.raises(ProtocolError, match="rules of HTTP/2") as caught:
        server.say(SettingsFrame(0, settings={SettingsFrame.MAX_FRAME_SIZE: 0}))
    assert isinstance(caught.value.__cause__, h2.exceptions.InvalidSettingsValueError)


def test_an_error_of_h2_about_a_stream_is_put_into_words() -> None:
    server = Server(ReferenceHttp2())
    server.talk()
    stream = server.get()
    server.answer(stream)
    with pytest.raises(ProtocolError, match="stream 1, which is closed"):
        server.say(server.block(stream, [(b":status", b"200")]))


def test_h2_25_a_connection_without_stream_ids_is_leaving() -> None:
    engine = ReferenceHttp2()
    engine._h2.highest_outbound_stream_id = LAST_ID - 2
    assert engine.max_streams == 1
    assert engine.open(request_head()).id == LAST_ID
    assert engine.max_streams == 0
    with pytest.raises(ConnectionLost) as caught:
        engine.open(request_head())
    assert caught.value.sent is False
