"""Fixtures of the contract tests. Each module says by its own fixture `engine` which engines it runs on."""

from __future__ import annotations

import pytest

from netio.wire import Http1Engine, Http2Engine, Message
from tests.wire.engines import Exchange, request_head
from tests.wire.http2_server import Server


@pytest.fixture
def exchange(engine: Http1Engine) -> Exchange:
    """Send a request, feed what is given as its answer, return the message."""

    def send(*answer: bytes, method: str = "GET") -> Message:
        message, _ = engine.start(request_head(method))
        for piece in answer:
            engine.feed(piece)
        return message

    return send


@pytest.fixture
def server(engine: Http2Engine) -> Server:
    """A server that has exchanged its first SETTINGS with the engine."""
    server = Server(engine)
    server.talk()
    return server
