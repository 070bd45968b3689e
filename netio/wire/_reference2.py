"""HTTP/2 on h2.

Input is cut into frames here and given to h2 frame by frame. So what came before a bad frame is not lost with it, and
the outcome does not depend on how the input was cut into reads. It also lets some frames be judged before h2 sees them,
where h2 would give up the whole connection or do something else than RFC 9113 asks:

* GOAWAY never reaches h2, which would refuse every frame after it; here the streams up to its last id live on.
* DATA that comes before a head, or does not add up to the Content-Length, costs its stream only.
* Frames for a stream that was reset are dropped; h2 gives their window credit back, but its repeated RST_STREAM is
  taken out again, as they may have been under way when the first one was sent (section 5.4.2).
* The first frame has to be SETTINGS, no frame may open a stream, and a frame too long is refused by its header.

Left as connection errors by h2, where section 8.1.1 asks for a stream error: a Content-Length that is no number or
comes in two values, a 1xx head that ends its stream or follows the final head, and trailers that do not end the stream.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import h2.exceptions
from h2 import events
from h2.errors import ErrorCodes

from netio.errors import ConnectionLost, ProtocolError, RequestBodyError, RequestError, StreamReset
from netio.wire._blocks import request_block, response_fields, response_head
from netio.wire._checks import announced_length, has_no_body
from netio.wire._contract import MAX_INFORMATIONAL, Http2Engine, RequestHead, Stream
from netio.wire._frames import GOAWAY_NO_ERROR, LAST_STREAM_ID, Flag, Frame, FrameError, FrameReader, Kind, rst_stream
from netio.wire._streams import ReferenceStream, StreamTable

_ENCODER_TABLE = 4_096  # the default of HPACK; a peer may ask for any size (HAZARDS H2-05)
# Until the server has said how many streams it allows. Go and hyper assume 100, and have to send again what a server
# with a lower limit refuses; one request can go at once, and the others wait a round trip for the answer.
_STREAMS_BEFORE_SETTINGS = 1


class ReferenceHttp2(Http2Engine):
    """The client side of one HTTP/2 connection, on h2.

    `stream_window` and `connection_window` are how many bytes the server may send ahead of its readers; the latter is
    never less than 65,535 (RFC 9113 section 6.9.2). By default 100 streams that nobody reads leave room for others
    (HAZARDS H2-19).
    """

    def __init__(self, *, stream_window: int = 262_144, connection_window: int = 33_554_432) -> None:
        self._table = StreamTable(stream_window, connection_window)
        self._h2 = self._table.h2
        self._reader = FrameReader()
        self._unclaimed: list[Stream] = []  # those that the `feed` which failed would have returned
        self._has_settings = False
        self._is_leaving = False
        self._is_closing = False
        self._handlers: dict[type[events.Event], Callable[[Any], None]] = {
            events.DataReceived: self._on_data,
            events.InformationalResponseReceived: self._on_informational,
            events.RemoteSettingsChanged: self._on_settings,
            events.ResponseReceived: self._on_response,
            events.StreamEnded: self._on_end,
            events.StreamReset: self._on_reset,
            events.TrailersReceived: self._on_trailers,
            events.WindowUpdated: self._on_window,
        }

    def open(self, head: RequestHead) -> Stream:
        block = request_block(head)
        if self.open_streams >= self.max_streams:
            why = "is about to end" if not self.max_streams else f"has {self.open_streams} requests under way already"
            raise ConnectionLost(f"the connection {why}", sent=False)
        return self._table.add(head, block)

    def send(self, stream: Stream, data: bytes | memoryview) -> int:
        table = self._table
        size = len(data)
        if not table.has(stream):
            return size  # it came to an end, which its message tells; nobody will read what is sent now
        if stream.is_request_ended:
            raise RequestBodyError(f"{size} bytes of a request body were given after its end")
        if stream.unsent is not None and size > stream.unsent:
            excess = size - stream.unsent
            raise RequestBodyError(f"the request body is longer than its declared length, by {excess} bytes or more")
        view = memoryview(data)
        taken = 0
        while taken < size and (room := table.room(stream)) > 0:
            piece = view[taken : taken + min(room, self._h2.max_outbound_frame_size)]
            taken += len(piece)
            stream.is_request_ended = taken == stream.unsent
            self._h2.send_data(stream.id, piece, end_stream=stream.is_request_ended)
        if stream.unsent is not None:
            stream.unsent -= taken
            table.leave_if_closed(stream)
        stream.needs_room = taken < size
        table.flush()
        return taken

    def end(self, stream: Stream) -> None:
        if not self._table.has(stream) or stream.is_request_ended:
            return
        if stream.unsent:
            raise RequestBodyError(f"the request body is shorter than its declared length, by {stream.unsent} bytes")
        self._h2.end_stream(stream.id)
        stream.is_request_ended = True
        self._table.leave_if_closed(stream)
        self._table.flush()

    def feed(self, data: bytes) -> list[Stream]:
        if self._table.is_dead or (self._is_closing and not self._table.open):
            return []
        self._reader.feed(data)
        try:
            while (frame := self._reader.take()) is not None:
                self._receive(frame)
        except FrameError as error:
            self._h2.close_connection(error.code)
            self._die()
            raise ProtocolError(f"the server {error}") from None
        except ProtocolError:
            self._die()
            raise
        self._table.flush()
        return self._table.claim()

    def fail(self, error: RequestError) -> list[Stream]:
        unclaimed, self._unclaimed = self._unclaimed, []
        return list(dict.fromkeys([*unclaimed, *self._table.end_all(error)]))

    def take_chunks(self, stream: Stream) -> list[bytes]:
        chunks = stream.chunks
        stream.chunks = []
        self._table.give_credit(stream)
        return chunks

    def cancel(self, stream: Stream) -> None:
        table = self._table
        if table.has(stream):
            table.reset(stream, ErrorCodes.CANCEL)
            table.take_off(stream)
            stream.chunks = []

    def close(self) -> None:
        if not self._is_closing and not self._table.is_dead:
            # Not by h2, which would then refuse what the open streams still get.
            self._table.output += GOAWAY_NO_ERROR
        self._is_closing = True

    def take(self) -> bytes:
        output = bytes(self._table.output)
        self._table.output.clear()
        return output

    @property
    def has_output(self) -> bool:
        return bool(self._table.output)

    @property
    def open_streams(self) -> int:
        return len(self._table.open)

    @property
    def has_settings(self) -> bool:
        return self._has_settings

    @property
    def max_streams(self) -> int:
        if self._table.is_dead or self._is_leaving or self._is_closing:
            return 0
        if self._h2.highest_outbound_stream_id + 2 > LAST_STREAM_ID:
            return 0
        if not self._has_settings:
            return _STREAMS_BEFORE_SETTINGS
        return min(self._h2.remote_settings.max_concurrent_streams, LAST_STREAM_ID)

    def _die(self) -> None:
        self._table.flush()
        self._table.is_dead = True
        self._unclaimed = self._table.claim()

    def _receive(self, frame: Frame) -> None:
        table = self._table
        if frame.is_goaway:
            self._on_goaway(frame.payload)
            return
        stream = table.open.get(frame.stream_id)
        if stream is not None and frame.kind == Kind.DATA:
            self._check_data(stream, frame)
        table.flush()
        try:
            happened = self._h2.receive_data(frame.raw)
        except h2.exceptions.H2Error as error:
            raise ProtocolError(f"the server broke the rules of HTTP/2: {_fault(error)}") from error
        answer = self._h2.data_to_send()
        if frame.stream_id not in table.open:
            answer = answer.removesuffix(rst_stream(frame.stream_id, ErrorCodes.STREAM_CLOSED))
        table.output += answer
        for event in happened:
            handler = self._handlers.get(type(event))
            if handler is not None:
                handler(event)

    def _check_data(self, stream: ReferenceStream, frame: Frame) -> None:
        """Deal with DATA which h2 would make the fault of the whole connection."""
        if stream.is_complete:
            return  # h2 resets the stream
        ends = frame.flags & Flag.END_STREAM
        received = stream.received + frame.data_size
        if stream.head is None:
            self._table.reject(stream, ProtocolError("the server sent a response body before its head"))
        elif stream.expected is not None and (received > stream.expected or (ends and received < stream.expected)):
            self._table.reject(stream, _wrong_length(stream, received))
        elif stream.head.status == 304 and ends and stream.is_request_ended:
            # h2 would wait for the body whose length a 304 may tell, but which it does not have.
            self._table.touch(stream.id)
            self._table.reset_silently(stream)
            stream.is_complete = True
            self._table.leave_if_closed(stream)

    def _on_response(self, event: events.ResponseReceived) -> None:
        stream = self._table.touch(event.stream_id)
        if stream is None:
            return
        try:
            head = response_head(event.headers)
            stream.expected = 0 if has_no_body(stream.method, head.status) else announced_length(head.fields)
        except ProtocolError as error:
            self._table.reject(stream, error)
        else:
            stream.head = head

    def _on_informational(self, event: events.InformationalResponseReceived) -> None:
        stream = self._table.touch(event.stream_id)
        if stream is None:
            return
        try:
            head = response_head(event.headers)
            if len(stream.informational) == MAX_INFORMATIONAL:
                raise ProtocolError(f"the server sent more than {MAX_INFORMATIONAL} 1xx answers (MAX_INFORMATIONAL)")
        except ProtocolError as error:
            self._table.reject(stream, error)
        else:
            stream.informational.append(head)

    def _on_trailers(self, event: events.TrailersReceived) -> None:
        stream = self._table.touch(event.stream_id)
        if stream is None:
            return
        try:
            stream.trailers = response_fields(event.headers)
        except ProtocolError as error:
            self._table.reject(stream, error)

    def _on_data(self, event: events.DataReceived) -> None:
        stream = self._table.touch(event.stream_id)
        if stream is None:
            return
        size = len(event.data)
        if size:
            stream.chunks.append(event.data)
            stream.received += size
            stream.owed += size
        if stream.credits_itself:
            self._table.give_credit(stream)
        if event.flow_controlled_length > size:  # padding, which nobody will take
            self._h2.acknowledge_received_data(event.flow_controlled_length - size, stream.id)

    def _on_end(self, event: events.StreamEnded) -> None:
        stream = self._table.touch(event.stream_id)
        if stream is None:
            return
        if stream.expected is not None and stream.received != stream.expected:
            self._table.reject(stream, _wrong_length(stream, stream.received))
            return
        stream.is_complete = True
        self._table.leave_if_closed(stream)

    def _on_reset(self, event: events.StreamReset) -> None:
        stream = self._table.touch(event.stream_id)
        if stream is None:
            return
        code = int(event.error_code or 0)
        if not event.remote_reset:
            self._table.end(stream, ProtocolError(f"the server broke the rules of HTTP/2: {_name_of(code)}"))
            return
        # REFUSED_STREAM proves that the request was not processed (RFC 9113 section 8.7), unless an answer says it was.
        sent = code != ErrorCodes.REFUSED_STREAM or stream.head is not None
        error = StreamReset(f"the server reset the stream: {_name_of(code)}", code=code, sent=sent)
        if stream.head is not None:
            error.phase = "body"
        self._table.end(stream, error)

    def _on_goaway(self, payload: bytes) -> None:
        self._is_leaving = True
        last_id = int.from_bytes(payload[:4], "big") & LAST_STREAM_ID
        code = int.from_bytes(payload[4:8], "big")
        debug = f", {payload[8:88].decode('latin-1')!a}" if payload[8:] else ""
        for stream in [stream for stream in self._table.open.values() if stream.id > last_id]:
            self._table.reset_silently(stream)  # the server does not look at it any more
            message = (
                f"the server ended the connection before it came to this request (GOAWAY, {_name_of(code)}{debug})"
            )
            is_answered = stream.head is not None or bool(stream.informational)
            self._table.end(stream, ConnectionLost(message, sent=is_answered))

    def _on_settings(self, event: events.RemoteSettingsChanged) -> None:
        self._has_settings = True
        if self._h2.encoder.header_table_size > _ENCODER_TABLE:
            self._h2.encoder.header_table_size = _ENCODER_TABLE
        self._table.touch_senders()

    def _on_window(self, event: events.WindowUpdated) -> None:
        if event.stream_id:
            self._table.touch(event.stream_id)
        else:
            self._table.touch_senders()


def _fault(error: h2.exceptions.H2Error) -> str:
    """Return in words what h2 found; its errors about streams have no text but a number."""
    if isinstance(error, h2.exceptions.NoSuchStreamError):
        is_closed = isinstance(error, h2.exceptions.StreamClosedError)
        return f"a frame for stream {error.stream_id}, which {'is closed' if is_closed else 'no request opened'}"
    return str(error) or type(error).__name__


def _wrong_length(stream: ReferenceStream, received: int) -> ProtocolError:
    announced = f"{stream.expected} bytes of response body" if stream.expected else "no response body"
    return ProtocolError(f"the server announced {announced} and sent {received}", phase="body")


def _name_of(code: int) -> str:
    """Return the name of an error code (RFC 9113 section 7), or its number."""
    try:
        return ErrorCodes(code).name
    except ValueError:
        return f"error {code:#x}"
