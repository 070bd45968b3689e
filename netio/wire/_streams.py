"""The streams of one HTTP/2 connection on h2: which are open, who waits, and whose window credit is still owed.

h2 counts streams and windows as well. What the two must agree on changes in one place each, here: a stream leaves the
table when h2 has it closed, and every byte that h2 counted against a window is given back once, by whoever ends it.
"""

from __future__ import annotations

from collections.abc import Iterable
from contextlib import suppress
from copy import copy
from typing import TypeGuard

import h2.config
import h2.connection
import h2.exceptions
from h2.errors import ErrorCodes
from h2.settings import SettingCodes, Settings
from hpack import Encoder, HeaderTuple, NeverIndexedHeaderTuple

from netio.errors import ProtocolError, RequestError
from netio.headers import Field
from netio.wire._blocks import SECRETS
from netio.wire._budget import GivenUp
from netio.wire._contract import MAX_HEAD_BYTES, RequestHead, Wish
from netio.wire._contract2 import ENCODER_TABLE, MAX_STREAM_WINDOW, Stream
from netio.wire._frames import DEFAULT_WINDOW

# Header blocks are judged in _blocks.py.
_CONFIG = h2.config.H2Configuration(
    client_side=True,
    header_encoding=None,
    validate_outbound_headers=False,
    normalize_outbound_headers=False,
    validate_inbound_headers=False,
    normalize_inbound_headers=False,
)


class ReferenceStream(Stream):
    """A stream, and what the engine has to remember of it."""

    __slots__ = ("expected", "is_end_told", "method", "owed", "unsent")

    def __init__(self, stream_id: int, head: RequestHead) -> None:
        super().__init__(stream_id)
        self.method = head.method
        self.unsent = None if head.method == "CONNECT" else head.length
        """How many bytes of the request body are still to come, None if only its end will tell."""
        self.expected: int | None = None
        """The length of the response body, None if only its end will tell."""
        self.owed = 0
        """For how many bytes of it no window credit was given back."""
        self.is_end_told = False
        """It was returned by `claim` when it was complete."""


class StreamTable:
    """The open streams, beside an `H2Connection`."""

    def __init__(self, stream_window: int, connection_window: int) -> None:
        self.h2 = h2.connection.H2Connection(_CONFIG)
        self.h2.local_settings = Settings(
            client=True,
            initial_values={
                SettingCodes.ENABLE_PUSH: 0,
                SettingCodes.INITIAL_WINDOW_SIZE: stream_window,
                SettingCodes.MAX_HEADER_LIST_SIZE: MAX_HEAD_BYTES,
            },
        )
        self.h2.initiate_connection()
        if connection_window > DEFAULT_WINDOW:
            self.h2.increment_flow_control_window(connection_window - DEFAULT_WINDOW)
        self.output = bytearray()
        self.open: dict[int, ReferenceStream] = {}
        self.given_up = GivenUp()
        self.is_dead = False
        self._touched: dict[int, ReferenceStream] = {}
        self.flush()

    def flush(self) -> None:
        """Move what h2 has to say to the output."""
        self.output += self.h2.data_to_send()

    def add(self, head: RequestHead, block: list[Field]) -> ReferenceStream:
        stream = ReferenceStream(self.h2.get_next_available_stream_id(), head)
        stream.is_request_ended = stream.unsent == 0
        self.h2.send_headers(stream.id, encodable(block), end_stream=stream.is_request_ended)
        self.open[stream.id] = stream
        self.flush()
        return stream

    def has(self, stream: Stream) -> TypeGuard[ReferenceStream]:
        return self.open.get(stream.id) is stream and not self.is_dead

    def room(self, stream: Stream) -> int:
        """Return how many bytes the windows allow to be sent; may be negative (RFC 9113 section 6.9.2)."""
        return self.h2.local_flow_control_window(stream.id)

    def touch(self, stream_id: int) -> ReferenceStream | None:
        """Return an open stream, and remember that something happened to it."""
        stream = self.open.get(stream_id)
        if stream is not None:
            self._touched[stream_id] = stream
        return stream

    def touch_senders(self) -> None:
        for stream in self.open.values():
            if stream.needs_room:
                self._touched[stream.id] = stream

    def claim(self) -> list[Stream]:
        """Return whoever got what it waits for, which is cleared, and whoever became complete."""
        claimed: list[Stream] = []
        for stream in self._touched.values():
            has_come = stream.wish is not Wish.NOTHING and stream.has(stream.wish)
            has_room = stream.needs_room and (stream.is_complete or (not self.is_dead and self.room(stream) > 0))
            is_over = stream.is_complete and not stream.is_end_told
            if has_come:
                stream.wish = Wish.NOTHING
            if has_room:
                stream.needs_room = False
            stream.is_end_told = stream.is_complete
            if has_come or has_room or is_over:
                claimed.append(stream)
        self._touched.clear()
        return claimed

    def give_credit(self, stream: Stream) -> None:
        """Give back the window credit of all that came of a body."""
        assert isinstance(stream, ReferenceStream)
        if stream.owed and not self.is_dead:
            # For a stream that is closed h2 gives back the connection's credit alone.
            self.h2.acknowledge_received_data(stream.owed, stream.id)
            self.flush()
        stream.owed = 0

    def reset(self, stream: ReferenceStream, code: ErrorCodes) -> None:
        with suppress(h2.exceptions.StreamClosedError):  # it is closed on both sides already
            self.h2.reset_stream(stream.id, code)
        self.flush()

    def reset_silently(self, stream: ReferenceStream) -> None:
        """Have h2 take a stream for closed, and tell nobody."""
        self.flush()
        with suppress(h2.exceptions.StreamClosedError):
            self.h2.reset_stream(stream.id, ErrorCodes.CANCEL)
        self.h2.clear_outbound_data_buffer()

    def reject(self, stream: ReferenceStream, error: ProtocolError) -> None:
        """Reset a stream because the server broke the rules on it."""
        self.reset(stream, ErrorCodes.PROTOCOL_ERROR)
        self.end(stream, error)

    def end(self, stream: ReferenceStream, error: RequestError) -> None:
        """Take a stream off that was reset. A response that is complete stays good (RFC 9113 section 8.1)."""
        self.take_off(stream)
        self._touched[stream.id] = stream
        if not stream.is_complete:
            stream.error = error
            stream.is_complete = True
        stream.is_request_ended = True

    def take_off(self, stream: ReferenceStream) -> None:
        """Forget a stream that was reset, and give its credit back."""
        del self.open[stream.id]
        self.given_up.add(stream.id, MAX_STREAM_WINDOW)
        self._touched.pop(stream.id, None)
        # h2 forgets closed streams when it counts the open ones. For one that it still knows, a 1xx head that was under
        # way would be a fault of the whole connection.
        _ = self.h2.open_outbound_streams
        self.give_credit(stream)

    def leave_if_closed(self, stream: ReferenceStream) -> None:
        if stream.is_complete and stream.is_request_ended:
            del self.open[stream.id]

    def end_all(self, error: RequestError) -> list[Stream]:
        """Take every stream off, each with its own copy of the error; return those that somebody waits for."""
        self.is_dead = True
        waiting: list[Stream] = []
        for stream in self.open.values():
            if not stream.is_complete:
                mine = stream.error = copy(error)
                mine.__traceback__ = None
                mine.__cause__ = error.__cause__
                stream.is_complete = True
            stream.is_request_ended = True
            if stream.wish or stream.needs_room:
                stream.wish = Wish.NOTHING
                stream.needs_room = False
                waiting.append(stream)
        self.open.clear()
        return waiting


def encodable(block: list[Field]) -> list[HeaderTuple]:
    """Return a header block as hpack takes it."""
    made: list[HeaderTuple] = []
    for name, value in block:
        kind = NeverIndexedHeaderTuple if name in SECRETS else HeaderTuple
        made.append(kind(name.encode("ascii"), value.encode("latin-1")))
    return made


def limit_encoder(encoder: Encoder) -> None:
    """Put right what h2 has done with a new SETTINGS_HEADER_TABLE_SIZE."""
    if encoder.header_table_size > ENCODER_TABLE:
        encoder.header_table_size = ENCODER_TABLE
    changes = encoder.table_size_changes
    if changes:
        # hpack forgets to tell of them when it is told the same size again, and otherwise tells of each, also of those
        # that are above what is allowed now; the smallest and the last are asked for (RFC 7541 section 4.2).
        encoder.header_table.resized = True
        encoder.table_size_changes = [min(changes), changes[-1]]


def decoded(block: Iterable[tuple[bytes, bytes]]) -> list[Field]:
    """Return a header block that hpack made; nothing is lost in latin-1, and what is not ASCII is judged later."""
    return [(name.decode("latin-1"), value.decode("latin-1")) for name, value in block]


def fault_in_words(error: h2.exceptions.H2Error) -> str:
    """Return in words what h2 found; its errors about streams have no text but a number."""
    if isinstance(error, h2.exceptions.NoSuchStreamError):
        is_closed = isinstance(error, h2.exceptions.StreamClosedError)
        return f"a frame for stream {error.stream_id}, which {'is closed' if is_closed else 'no request opened'}"
    return str(error) or type(error).__name__


def wrong_length(stream: ReferenceStream, received: int) -> ProtocolError:
    announced = f"{stream.expected} bytes of response body" if stream.expected else "no response body"
    return ProtocolError(f"the server announced {announced} and sent {received}", phase="body")
