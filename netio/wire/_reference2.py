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
from h2.settings import SettingCodes

from netio.errors import ConnectionLost, InvalidRequest, ProtocolError, RequestBodyError, RequestError, StreamReset
from netio.headers import Field
from netio.wire._blocks import announced_length, request_block, response_head, response_trailers, trailer_block
from netio.wire._checks import has_no_body
from netio.wire._contract import MAX_INFORMATIONAL, RequestHead
from netio.wire._contract2 import (
    CONNECTION_WINDOW,
    MAX_STREAM_WINDOW,
    STREAM_WINDOW,
    STREAMS_BEFORE_SETTINGS,
    ErrorCode,
    Http2Engine,
    Stream,
)
from netio.wire._frames import (
    GOAWAY_NO_ERROR,
    LAST_STREAM_ID,
    MAX_WINDOW,
    Flag,
    Frame,
    FrameError,
    FrameReader,
    Kind,
    name_of,
    not_reached,
    read_goaway,
    rst_stream,
)
from netio.wire._guard import FloodGuard
from netio.wire._streams import (
    ReferenceStream,
    StreamTable,
    decoded,
    encodable,
    fault_in_words,
    limit_encoder,
    wrong_length,
)


class ReferenceHttp2(Http2Engine):
    """The client side of one HTTP/2 connection, on h2.

    `stream_window` and `connection_window` are how many bytes the server may send ahead of its readers; the latter is
    never less than 65,535 (RFC 9113 section 6.9.2).
    """

    __slots__ = ("_guard", "_h2", "_handlers", "_is_closing", "_reader", "_table", "_unacknowledged", "_unclaimed")

    def __init__(self, *, stream_window: int = STREAM_WINDOW, connection_window: int = CONNECTION_WINDOW) -> None:
        super().__init__(stream_window=stream_window, connection_window=connection_window)
        self._table = StreamTable(stream_window, connection_window)
        self._guard = FloodGuard(self, self._table)
        self._unacknowledged = 1
        self._h2 = self._table.h2
        self._reader = FrameReader()
        self._unclaimed: list[Stream] = []  # those that the `feed` which failed would have returned
        self._is_closing = False
        self._handlers: dict[type[events.Event], Callable[[Any], None]] = {
            events.DataReceived: self._on_data,
            events.InformationalResponseReceived: self._on_informational,
            events.PingAckReceived: self._on_ping_answer,
            events.RemoteSettingsChanged: self._on_settings,
            events.ResponseReceived: self._on_response,
            events.SettingsAcknowledged: self._on_acknowledgement,
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
        if head.protocol is not None and not self.has_extended_connect:
            raise InvalidRequest("the server has not allowed extended CONNECT (RFC 8441 section 3)")
        self._guard.useful += 1
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
            self._guard.useful += 1 + (len(piece) >> 8)
        if stream.unsent is not None:
            stream.unsent -= taken
            table.leave_if_closed(stream)
        stream.needs_room = taken < size
        table.flush()
        return taken

    def end(self, stream: Stream, trailers: tuple[Field, ...] = ()) -> None:
        if not self._table.has(stream):
            return
        if stream.is_request_ended:
            if trailers:
                raise RequestBodyError("trailers were given after the end of the request")
            return
        if stream.unsent:
            raise RequestBodyError(f"the request body is shorter than its declared length, by {stream.unsent} bytes")
        if not trailers:
            self._h2.end_stream(stream.id)
        elif stream.method == "CONNECT":
            raise InvalidRequest("CONNECT has no trailers (RFC 9113 section 8.5)")
        else:
            self._h2.send_headers(stream.id, encodable(trailer_block(trailers)), end_stream=True)
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
            self._h2.close_connection(ErrorCodes(error.code))
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

    def ping(self) -> None:
        if not self._table.is_dead:
            self.pings_sent += 1
            self._h2.ping(self.pings_sent.to_bytes(8, "big"))
            self._table.flush()

    def grow_windows(self, stream_window: int, connection_window: int) -> None:
        if self._table.is_dead:
            return
        stream_window = min(stream_window, MAX_STREAM_WINDOW)
        if stream_window > self.stream_window:
            self.stream_window = stream_window
            self._h2.update_settings({SettingCodes.INITIAL_WINDOW_SIZE: stream_window})
            self._unacknowledged += 1
            self.is_settings_acknowledged = False
        more = min(connection_window, MAX_WINDOW) - self.connection_window
        if more > 0:
            self.connection_window += more
            self._h2.increment_flow_control_window(more)
            # h2 takes what is open now for the whole window, and would never give back what was under way.
            self._h2._inbound_flow_control_window_manager.max_window_size = self.connection_window
        self._table.flush()

    def close(self) -> None:
        if not self._is_closing and not self._table.is_dead:
            # Not by h2, which would then refuse what the open streams still get.
            self._table.output += GOAWAY_NO_ERROR
        self._is_closing = True

    def take(self) -> bytes:
        output = bytes(self._table.output)
        self._table.output.clear()
        self._guard.answers = 0
        return output

    @property
    def has_output(self) -> bool:
        return bool(self._table.output)

    @property
    def open_streams(self) -> int:
        return len(self._table.open)

    @property
    def has_stream_ids(self) -> bool:
        return self._h2.highest_outbound_stream_id + 2 <= LAST_STREAM_ID

    @property
    def max_streams(self) -> int:
        if self._table.is_dead or self.goaway is not None or self._is_closing:
            return 0
        if not self.has_stream_ids:
            return 0
        if not self.has_settings:
            return STREAMS_BEFORE_SETTINGS
        return min(self._h2.remote_settings.max_concurrent_streams, LAST_STREAM_ID)

    def _die(self) -> None:
        self._table.flush()
        self._table.is_dead = True
        self._unclaimed = self._table.claim()

    def _receive(self, frame: Frame) -> None:
        table = self._table
        self._guard.count(frame)
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
            raise ProtocolError(f"the server broke the rules of HTTP/2: {fault_in_words(error)}") from error
        answer = self._h2.data_to_send()
        if frame.stream_id not in table.open and frame.stream_id in table.given_up:
            answer = answer.removesuffix(rst_stream(frame.stream_id, ErrorCode.STREAM_CLOSED))
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
            self._table.reject(stream, wrong_length(stream, received))
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
            head = response_head(decoded(event.headers))
            is_tunnel = stream.method == "CONNECT" and head.status < 300
            if has_no_body(stream.method, head.status):
                stream.expected = 0
            else:
                stream.expected = None if is_tunnel else announced_length(head.fields)
        except ProtocolError as error:
            self._table.reject(stream, error)
        else:
            stream.head = head
            stream.most = -1 if (stream.expected or 0) > stream.most else stream.most
            self.heads.append(stream)

    def _on_informational(self, event: events.InformationalResponseReceived) -> None:
        stream = self._table.touch(event.stream_id)
        if stream is None:
            return
        try:
            head = response_head(decoded(event.headers))
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
            stream.trailers = response_trailers(decoded(event.headers))
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
            self._table.reject(stream, wrong_length(stream, stream.received))
            return
        stream.is_complete = True
        self._table.leave_if_closed(stream)

    def _on_reset(self, event: events.StreamReset) -> None:
        stream = self._table.touch(event.stream_id)
        if stream is None:
            return
        code = int(event.error_code or 0)
        if not event.remote_reset:
            self._table.end(stream, ProtocolError(f"the server broke the rules of HTTP/2: {name_of(code)}"))
            return
        # REFUSED_STREAM proves that the request was not processed (RFC 9113 section 8.7), unless an answer says it was.
        is_answered = stream.head is not None or bool(stream.informational)
        sent = code != ErrorCode.REFUSED_STREAM or is_answered
        error = StreamReset(f"the server reset the stream: {name_of(code)}", code=code, sent=sent)
        if stream.head is not None:
            error.phase = "body"
        self._table.end(stream, error)

    def _on_goaway(self, payload: bytes) -> None:
        said = self.goaway = read_goaway(payload)
        for stream in [stream for stream in self._table.open.values() if stream.id > said.last_stream_id]:
            self._table.reset_silently(stream)  # the server does not look at it any more
            is_answered = stream.head is not None or bool(stream.informational)
            self._table.end(stream, not_reached(said, sent=is_answered))

    def _on_settings(self, event: events.RemoteSettingsChanged) -> None:
        self.has_settings = True
        self.has_extended_connect = self._h2.remote_settings.enable_connect_protocol == 1
        limit_encoder(self._h2.encoder)
        self._table.touch_senders()

    def _on_acknowledgement(self, _: events.SettingsAcknowledged) -> None:
        if self._unacknowledged:
            self._unacknowledged -= 1
            self.is_settings_acknowledged = not self._unacknowledged
        else:
            self._guard.count_useless()

    def _on_ping_answer(self, event: events.PingAckReceived) -> None:
        number = int.from_bytes(event.ping_data, "big")
        if self.pings_answered < number <= self.pings_sent:
            self._guard.useful += number - self.pings_answered
            self.pings_answered = number
        else:
            self._guard.count_useless()

    def _on_window(self, event: events.WindowUpdated) -> None:
        if event.stream_id:
            self._table.touch(event.stream_id)
        else:
            self._table.touch_senders()
