"""A scripted HTTP/2 server without I/O: h2's server side, which also says what a good server would not."""

from __future__ import annotations

from typing import Any, TypeVar

import h2.config
import h2.connection
import pytest
from h2 import events
from h2.settings import SettingCodes, Settings
from hyperframe.frame import Frame, HeadersFrame

from netio.errors import ProtocolError
from netio.wire import Http2Engine, Stream
from tests.wire.engines import is_success, request_head

AnyEvent = TypeVar("AnyEvent", bound=events.Event)
Block = list[tuple[bytes, bytes]]

OK: Block = [(b":status", b"200")]
_MUCH = 30_000


class Server:
    """The other end of an engine. What it hears is in `heard`; `say` gives the engine what it has to say."""

    def __init__(self, engine: Http2Engine, settings: dict[SettingCodes, int] | None = None) -> None:
        config = h2.config.H2Configuration(
            client_side=False,
            header_encoding=None,
            validate_inbound_headers=False,
            validate_outbound_headers=False,
            normalize_inbound_headers=False,
            normalize_outbound_headers=False,
        )
        self.engine = engine
        self.cut = 0
        """In pieces of which size the engine gets its input; 0 is all at once."""
        self.h2 = h2.connection.H2Connection(config)
        self.h2.local_settings = Settings(client=False, initial_values=settings)
        self.h2.max_inbound_frame_size = self.h2.local_settings.max_frame_size
        self.h2.initiate_connection()
        self.heard: list[events.Event] = []

    def hear(self) -> list[events.Event]:
        """Take what the engine has to say; return what happened by that."""
        new: list[events.Event] = self.h2.receive_data(self.engine.take())
        self.heard += new
        return new

    def say(self, *frames: Frame | bytes) -> list[Stream]:
        """Give the engine what is queued, then frames as they are; return whom it wakes."""
        raw = b"".join(frame if isinstance(frame, bytes) else frame.serialize() for frame in frames)
        return self._feed(self.h2.data_to_send() + raw)

    def _feed(self, data: bytes) -> list[Stream]:
        size = len(data) if not self.cut else self.cut if len(data) < _MUCH else 1_000
        woken: list[Stream] = []
        for begin in range(0, len(data), size or 1):
            woken += self.engine.feed(data[begin : begin + size])
        return list(dict.fromkeys(woken))

    def talk(self) -> list[Stream]:
        """Go on until neither side has anything to say; return whom that woke."""
        woken: list[Stream] = []
        while True:
            self.hear()
            data = self.h2.data_to_send()
            if not data:
                return woken
            woken += self._feed(data)

    def answer(
        self, stream: Stream, body: bytes = b"", block: Block | None = None, *, ends: bool = True
    ) -> list[Stream]:
        """Answer a request that was heard, and say it."""
        self.h2.send_headers(stream.id, block or OK, end_stream=ends and not body)
        if body:
            self.send(stream, body, ends=ends)
        return self.say()

    def block(self, stream: Stream, block: Block, *, ends: bool = False) -> HeadersFrame:
        """Return a HEADERS frame with any block, which h2 would not all send."""
        frame = HeadersFrame(stream.id, data=self.h2.encoder.encode(block), flags=["END_HEADERS"])
        if ends:
            frame.flags.add("END_STREAM")
        return frame

    def send(self, stream: Stream, body: bytes, *, ends: bool = False, padding: int | None = None) -> None:
        """Queue a piece of body that fits into the windows."""
        size = self.h2.max_outbound_frame_size - 1 - (padding or 0)
        for begin in range(0, len(body), size):
            is_last = begin + size >= len(body)
            self.h2.send_data(stream.id, body[begin : begin + size], end_stream=ends and is_last, pad_length=padding)

    def stuff(self, stream: Stream, limit: int) -> int:
        """Queue and say as much body as the windows allow, at most `limit` bytes; return how much."""
        room = min(self.h2.local_flow_control_window(stream.id), limit)
        if room > 0:
            self.send(stream, b"x" * room)
        self.say()
        return max(room, 0)

    def get(self, **changes: Any) -> Stream:
        """Have the engine open a stream, and hear of it."""
        stream = self.engine.open(request_head(**changes))
        self.talk()
        return stream

    def post(self, length: int | None = None) -> Stream:
        return self.get(method="POST", length=length)

    def body_heard(self) -> bytes:
        return b"".join(event.data for event in self.of(events.DataReceived))

    def of(self, kind: type[AnyEvent]) -> list[AnyEvent]:
        """Return what was heard of one kind."""
        return [event for event in self.heard if isinstance(event, kind)]


def refused(server: Server, *frames: Frame | bytes) -> tuple[ProtocolError, int]:
    """Say what must end the connection; return the error, and the code of the GOAWAY that answers it."""
    with pytest.raises(ProtocolError) as caught:
        server.say(*frames)
    server.engine.fail(caught.value)
    output = server.engine.take()
    assert output[-14:-13] == b"\x07", "the last frame is no GOAWAY"
    assert server.engine.max_streams == 0
    return caught.value, int.from_bytes(output[-4:], "big")


def resets(server: Server) -> dict[int, int]:
    """Return which streams the engine has reset, and by which code."""
    server.talk()
    return {event.stream_id: int(event.error_code or 0) for event in server.of(events.StreamReset)}


def check_that_others_live(server: Server, other: Stream) -> None:
    """A stream that was open and one that is new must still work, and then no stream may be left open."""
    for stream in (other, server.get(fields=(("X-New", "1"),))):
        server.answer(stream, b"hello")
        assert is_success(stream)
    assert server.engine.open_streams == 0
