"""The HTTP/2 frames that are about the connection or end a stream, and what becomes of streams then."""

from __future__ import annotations

from struct import Struct

from netio.errors import Phase, ProtocolError, RequestError, StreamReset
from netio.wire._contract import Wish
from netio.wire._contract2 import (
    CONNECTION_WINDOW,
    MAX_SETTINGS,
    MAX_STREAM_WINDOW,
    MAX_USELESS,
    STREAM_WINDOW,
    ErrorCode,
    Stream,
)
from netio.wire._frames import (
    LAST_STREAM_ID,
    MAX_FRAME_SIZE,
    MAX_WINDOW,
    Flag,
    FrameError,
    Kind,
    Setting,
    name_of,
    not_reached,
    pushed,
    read_goaway,
    rst_stream,
    too_many,
)
from netio.wire._sending2 import HEADER, FastStream, Sender

_SETTING = Struct(">HI")
_LARGEST_FRAME_SIZE = 2**24 - 1
_SETTINGS_ACK = HEADER.pack(Kind.SETTINGS, Flag.ACK, 0)

_SIZES = {Kind.PRIORITY: 5, Kind.RST_STREAM: 4, Kind.PING: 8, Kind.WINDOW_UPDATE: 4}
_OF_THE_CONNECTION = frozenset((Kind.SETTINGS, Kind.PING, Kind.GOAWAY))
_OF_A_STREAM = frozenset((Kind.PRIORITY, Kind.RST_STREAM))


class Control(Sender):
    """Adds to the sender what it is told by control frames."""

    __slots__ = ("_round", "_woken")

    def __init__(self, *, stream_window: int = STREAM_WINDOW, connection_window: int = CONNECTION_WINDOW) -> None:
        super().__init__(stream_window=stream_window, connection_window=connection_window)
        self._round = 0  # how often there was input
        self._woken: list[Stream] = []

    def _on_control(self, kind: int, flags: int, stream_id: int, payload: bytes) -> None:
        size = _SIZES.get(kind)  # type: ignore[call-overload]
        if size is not None and size != len(payload):
            raise FrameError(ErrorCode.FRAME_SIZE_ERROR, f"sent a {Kind(kind).name} frame of {len(payload)} bytes")
        if (kind in _OF_THE_CONNECTION and stream_id) or (kind in _OF_A_STREAM and not stream_id):
            raise FrameError(ErrorCode.PROTOCOL_ERROR, f"sent {Kind(kind).name} for stream {stream_id}")
        if kind == Kind.WINDOW_UPDATE:
            self._on_window_update(stream_id, int.from_bytes(payload, "big") & MAX_WINDOW)
        elif kind == Kind.SETTINGS:
            self._on_settings(flags, payload)
        elif kind == Kind.PING:
            self._on_ping(flags, payload)
        elif kind == Kind.RST_STREAM:
            self._on_rst_stream(stream_id, int.from_bytes(payload, "big"))
        elif kind == Kind.GOAWAY:
            self._on_goaway(payload)
        elif kind == Kind.PUSH_PROMISE or kind == Kind.CONTINUATION:
            raise FrameError(ErrorCode.PROTOCOL_ERROR, f"sent {Kind(kind).name}, which nothing allowed")
        else:
            self._count_useless()

    def _count_useless(self) -> None:
        useful = (
            (self._next_id >> 1) + self._useful_sent + self.pings_answered + (self.data_received - self._wasted >> 8)
        )
        if not self._budget.spend(useful):
            raise too_many("frames that bring nothing", MAX_USELESS, "MAX_USELESS")

    def _check_not_idle(self, stream_id: int, kind: str) -> None:
        """Raise if a frame is for a stream that was never opened (RFC 9113 section 5.1)."""
        if stream_id and not stream_id & 1:
            raise pushed(stream_id)
        if not stream_id or stream_id >= self._next_id:
            raise FrameError(ErrorCode.PROTOCOL_ERROR, f"sent {kind} for stream {stream_id}, which no request opened")

    # The connection

    def _on_ping(self, flags: int, payload: bytes) -> None:
        if not flags & Flag.ACK:
            self._count_useless()
            self._answer(HEADER.pack(8 << 8 | Kind.PING, Flag.ACK, 0) + payload)
            return
        number = int.from_bytes(payload, "big")
        if self.pings_answered < number <= self.pings_sent:
            self.pings_answered = number
        else:
            self._count_useless()

    def _on_settings(self, flags: int, payload: bytes) -> None:
        if len(payload) % 6 or (flags & Flag.ACK and payload):
            raise FrameError(ErrorCode.FRAME_SIZE_ERROR, f"sent a SETTINGS frame of {len(payload)} bytes")
        if flags & Flag.ACK:
            if self._unacknowledged:
                self._unacknowledged -= 1
                self.is_settings_acknowledged = not self._unacknowledged
            else:
                self._count_useless()
            return
        if len(payload) > 6 * MAX_SETTINGS:
            raise too_many("settings in one frame", MAX_SETTINGS, "MAX_SETTINGS")
        if self.has_settings:
            self._count_useless()
        self.has_settings = True
        window = self._peer_window
        for number, value in _SETTING.iter_unpack(payload):
            if number == Setting.INITIAL_WINDOW_SIZE:
                if value > MAX_WINDOW:
                    raise FrameError(ErrorCode.FLOW_CONTROL_ERROR, f"set its initial window to {value}")
                window = value
            else:
                self._on_setting(number, value)
        if window != self._peer_window:
            self._change_peer_window(window)
        self._set_limit()
        self._answer(_SETTINGS_ACK)

    def _on_setting(self, number: int, value: int) -> None:
        is_bad = False
        if number == Setting.HEADER_TABLE_SIZE:
            self._encoder.set_limit(value)
        elif number == Setting.ENABLE_PUSH:
            is_bad = value != 0  # from a server, section 6.5.2
        elif number == Setting.MAX_CONCURRENT_STREAMS:
            self._peer_streams = min(value, LAST_STREAM_ID)
        elif number == Setting.MAX_FRAME_SIZE:
            is_bad = not MAX_FRAME_SIZE <= value <= _LARGEST_FRAME_SIZE
            self._peer_frame_size = value
        elif number == Setting.ENABLE_CONNECT_PROTOCOL:
            is_bad = value > 1
            self.has_extended_connect = value == 1
        if is_bad:
            raise FrameError(ErrorCode.PROTOCOL_ERROR, f"set {Setting(number).name} to {value}")

    def _set_limit(self) -> None:
        is_leaving = self.goaway is not None or self._is_closing or self._next_id > LAST_STREAM_ID
        self._limit = 0 if is_leaving else self._peer_streams

    def _on_goaway(self, payload: bytes) -> None:
        if len(payload) < 8:
            raise FrameError(ErrorCode.FRAME_SIZE_ERROR, f"sent a GOAWAY frame of {len(payload)} bytes")
        self._count_useless()
        said = self.goaway = read_goaway(payload)
        self._set_limit()
        for stream in [stream for stream in self._streams.values() if stream.id > said.last_stream_id]:
            is_answered = stream.head is not None or bool(stream.informational)
            self._end(stream, not_reached(said, sent=is_answered), MAX_STREAM_WINDOW)

    # Streams

    def _on_rst_stream(self, stream_id: int, code: int) -> None:
        stream = self._streams.get(stream_id)
        if stream is None:
            self._check_not_idle(stream_id, "RST_STREAM")
            self._count_useless()
            return
        # REFUSED_STREAM proves that the request was not processed (RFC 9113 section 8.7), unless an answer says it was.
        is_answered = stream.head is not None or bool(stream.informational)
        sent = code != ErrorCode.REFUSED_STREAM or is_answered
        error = StreamReset(f"the server reset the stream: {name_of(code)}", code=code, sent=sent)
        if stream.head is not None:
            error.phase = "body"
        self._end(stream, error, stream.window)

    def _on_window_update(self, stream_id: int, size: int) -> None:
        if not size:
            raise FrameError(ErrorCode.PROTOCOL_ERROR, f"enlarged the window of stream {stream_id} by nothing")
        self._count_useless()
        if not stream_id:
            self._room += size
            if self._room > MAX_WINDOW:
                raise FrameError(ErrorCode.FLOW_CONTROL_ERROR, "made the window of the connection too large")
            self._tell_senders()
            return
        stream = self._streams.get(stream_id)
        if stream is None:
            self._check_not_idle(stream_id, "WINDOW_UPDATE")
            return
        stream.room += size
        if stream.room > MAX_WINDOW:
            self._reject(stream, "the server made the window of the stream too large", ErrorCode.FLOW_CONTROL_ERROR)
        elif stream.needs_room and self._room > 0 and stream.room > 0:
            stream.needs_room = False
            self._list(stream)

    def _change_peer_window(self, window: int) -> None:
        more = window - self._peer_window
        self._peer_window = window
        for stream in self._streams.values():
            stream.room += more
            if stream.room > MAX_WINDOW:
                raise FrameError(ErrorCode.FLOW_CONTROL_ERROR, f"made the window of stream {stream.id} too large")
        self._tell_senders()

    def _tell_senders(self) -> None:
        if not self._is_short or self._room <= 0:
            return
        self._is_short = False
        for stream in self._streams.values():
            if stream.needs_room and stream.room > 0:
                stream.needs_room = False
                self._list(stream)
            elif stream.needs_room:
                self._is_short = True

    def _tell(self, stream: FastStream) -> None:
        """Say that the wish of a stream came true, or that it is complete."""
        stream.wish = Wish.NOTHING
        self._list(stream)

    def _list(self, stream: FastStream) -> None:
        """Have `feed` return a stream, once."""
        if stream.listed != self._round:
            stream.listed = self._round
            self._woken.append(stream)

    def _reject(
        self, stream: FastStream, message: str, code: ErrorCode = ErrorCode.PROTOCOL_ERROR, phase: Phase = "head"
    ) -> None:
        """Reset a stream because the server broke the rules on it."""
        self._out.append(rst_stream(stream.id, code))
        self._end(stream, ProtocolError(message, phase=phase), stream.window)

    def _end(self, stream: FastStream, error: RequestError, window: int) -> None:
        """Take a stream off that was reset. A response that is complete stays good (RFC 9113 section 8.1)."""
        self._take_off(stream, window)
        if not stream.is_complete:
            stream.error = error
            stream.is_complete = True
            self._tell(stream)
        elif stream.needs_room:
            self._list(stream)
        stream.needs_room = False
        stream.is_request_ended = True

    def _die(self, error: FrameError) -> None:
        """Say goodbye, and do nothing more but `fail`."""
        goodbye = HEADER.pack(8 << 8 | Kind.GOAWAY, 0, 0) + bytes(4) + int(error.code).to_bytes(4, "big")
        self._out.append(goodbye)
        self._is_dead = True
        self._limit = 0
        self._orphans = list(self._streams.values())
        self._streams.clear()
        self._unclaimed = self._woken
