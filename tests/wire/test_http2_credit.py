"""Window credit over HTTP/2: whatever becomes of a download, the connection gets back what it took (HAZARDS H2-17)."""

from __future__ import annotations

import pytest
from h2 import events
from hyperframe.frame import GoAwayFrame

from netio.wire import Http2Engine
from tests.wire.engines import HTTP2_ENGINES, is_success
from tests.wire.http2_server import OK, Server, check_that_others_live, resets

CANCEL = 8


def narrow(kind: type[Http2Engine]) -> Server:
    """Return a server whose client lets it send 100,000 bytes ahead, 80,000 of them for one stream."""
    server = Server(kind(stream_window=80_000, connection_window=100_000))
    server.talk()
    return server


def cancel_while_more_comes(server: Server) -> None:
    stream = server.get()
    server.answer(stream, ends=False)
    server.stuff(stream, 20_000)
    server.engine.cancel(stream)
    assert server.stuff(stream, 20_000) > 0  # the server has not heard of it yet


def reset_by_the_server(server: Server) -> None:
    stream = server.get()
    server.answer(stream, ends=False)
    server.stuff(stream, 30_000)
    server.h2.reset_stream(stream.id, CANCEL)
    server.say()


def reject_the_body(server: Server) -> None:
    stream = server.get()
    server.answer(stream, block=[*OK, (b"content-length", b"100")], ends=False)
    server.stuff(stream, 30_000)


def reject_the_head(server: Server) -> None:
    stream = server.get()
    server.h2.send_headers(stream.id, [(b":status", b"200"), (b"Upper", b"case")])
    server.stuff(stream, 30_000)


def cancel_an_upload_that_was_answered(server: Server) -> None:
    stream = server.post()
    server.answer(stream, b"x" * 30_000)
    assert is_success(stream)
    server.engine.cancel(stream)


def take_what_is_complete(server: Server) -> None:
    stream = server.get()
    server.answer(stream, b"x" * 30_000)
    assert sum(map(len, server.engine.take_chunks(stream))) == 30_000


def pad(server: Server) -> None:
    stream = server.get()
    server.answer(stream, ends=False)
    for _ in range(100):
        server.send(stream, b"x", padding=255)
    server.h2.end_stream(stream.id)
    server.say()
    assert is_success(stream)
    assert stream.received == 100
    server.engine.take_chunks(stream)


@pytest.mark.parametrize("kind", HTTP2_ENGINES, ids=lambda kind: kind.__name__)
@pytest.mark.parametrize(
    "scenario",
    [
        cancel_while_more_comes,
        reset_by_the_server,
        reject_the_body,
        reject_the_head,
        cancel_an_upload_that_was_answered,
        take_what_is_complete,
        pad,
    ],
    ids=lambda scenario: scenario.__name__,
)
def test_h2_17_no_end_of_a_download_shrinks_the_connection_window(kind: type[Http2Engine], scenario: object) -> None:
    server = narrow(kind)
    assert callable(scenario)
    for _ in range(200):  # several million bytes through a window of 100,000
        scenario(server)
        server.talk()
        assert server.h2.outbound_flow_control_window > 50_000
    assert server.engine.open_streams == server.h2.open_inbound_streams == 0
    check_that_others_live(server, server.get())


@pytest.mark.parametrize("kind", HTTP2_ENGINES, ids=lambda kind: kind.__name__)
def test_h2_17_streams_given_up_by_a_goaway_give_their_credit_back(kind: type[Http2Engine]) -> None:
    server = narrow(kind)
    kept, *given_up = [server.get() for _ in range(4)]
    for stream in given_up:
        server.answer(stream, ends=False)
        server.stuff(stream, 20_000)
    server.say(GoAwayFrame(0, last_stream_id=kept.id))
    for stream in given_up:
        assert stream.error is not None
        for _ in range(3):
            assert server.stuff(stream, 20_000) == 20_000
            server.talk()
    assert server.h2.outbound_flow_control_window > 50_000
    assert server.of(events.StreamReset) == []
    server.answer(kept, b"hello")
    assert is_success(kept)


def test_h2_28_cancelled_stream_is_reset_and_gives_its_credit_back() -> None:
    for kind in HTTP2_ENGINES:
        server = narrow(kind)
        stream, other = server.get(), server.get()
        server.answer(stream, ends=False)
        assert server.stuff(stream, 60_000) == 60_000
        server.engine.cancel(stream)
        assert resets(server) == {stream.id: CANCEL}
        assert server.h2.outbound_flow_control_window == 100_000
        assert server.engine.open_streams == server.h2.open_inbound_streams == 1  # the other one
        check_that_others_live(server, other)
