"""Fixtures of the contract tests. Each module says by its own fixture `engine` which engines it runs on."""

from __future__ import annotations

import pytest

from netio.errors import ProtocolError
from netio.wire import Http1Engine, Http2Engine, Message
from tests.wire.engines import Cut, Exchange, pieces_of, request_head
from tests.wire.http2_server import Server


@pytest.fixture(params=["whole", "bytes"])
def cut(request: pytest.FixtureRequest) -> Cut:
    """Cut what an HTTP/1.1 server says into reads: not at all, or at every byte."""
    return (lambda data: [data]) if request.param == "whole" else (lambda data: pieces_of(data, 1))


@pytest.fixture
def exchange(engine: Http1Engine, cut: Cut) -> Exchange:
    """Send a request, feed what is given as its answer, return the message.

    What comes after a complete message is an error if it comes in a read of its own, and none within the same.
    """

    def send(*answer: bytes, method: str = "GET") -> Message:
        message, _ = engine.start(request_head(method))
        for piece in [piece for part in answer for piece in cut(part)]:
            try:
                engine.feed(piece)
            except ProtocolError:
                if not message.is_complete:
                    raise
        return message

    return send


@pytest.fixture(params=[0, 1], ids=["whole", "bytes"])
def server(engine: Http2Engine, request: pytest.FixtureRequest) -> Server:
    """A server that has exchanged its first SETTINGS with the engine, and sends all at once or byte by byte."""
    server = Server(engine)
    server.cut = request.param
    server.talk()
    return server
