"""The half of the HTTP/2 engine that sends: requests, their bodies, window credit, resets.

What is to be written is a list of pieces in `_out`, joined once, by `take`. A header block is encoded and queued in one
step, and nothing that was queued is taken back, because the peer's table has to follow the encoder's.

Of each window there are two numbers. `_window` and `stream.window` are what the peer may still send; credit given back
is held (`_uncredited`) until it is half of the window, so that a download costs two small frames for each half.
`_room` and `stream.room` are what the peer still takes; the latter may be negative (RFC 9113 section 6.9.2).
"""

from __future__ import annotations

from copy import copy
from struct import Struct

from netio.errors import ConnectionLost, InvalidRequest, RequestBodyError, RequestError
from netio.headers import Field
from netio.wire._blocks import request_block, trailer_block
from netio.wire._budget import FrameBudget, GivenUp
from netio.wire._contract import MAX_HEAD_BYTES, RequestHead, Wish
from netio.wire._contract2 import (
    CONNECTION_WINDOW,
    MAX_ANSWERS,
    MAX_STREAM_WINDOW,
    STREAM_WINDOW,
    STREAMS_BEFORE_SETTINGS,
    ErrorCode,
    Http2Engine,
    Stream,
)
from netio.wire._frames import (
    DEFAULT_WINDOW,
    GOAWAY_NO_ERROR,
    LAST_STREAM_ID,
    MAX_FRAME_SIZE,
    MAX_WINDOW,
    PREFACE,
    Flag,
    Kind,
    Setting,
    rst_stream,
    too_many,
)
from netio.wire._hpack_decoder import Decoder
from netio.wire._hpack_encoder import Encoder

HEADER = Struct(">IBI")
"""A frame header: length and type in one number, flags, stream id."""

_NUMBER = Struct(">I")
_SETTING = Struct(">HI")

_header = HEADER.pack
_HEADERS, _CONTINUATION, _DATA = Kind.HEADERS.value, Kind.CONTINUATION.value, Kind.DATA.value
_END_STREAM, _END_HEADERS = Flag.END_STREAM.value, Flag.END_HEADERS.value


class FastStream(Stream):
    """A stream, and what the engine has to remember of it."""

    __slots__ = (
        "is_bodyless",
        "is_tunnel",
        "left",
        "listed",
        "owed",
        "room",
        "uncredited",
        "unsent",
        "window",
    )

    def __init__(self, stream_id: int, head: RequestHead, window: int, room: int) -> None:
        super().__init__(stream_id)
        self.is_bodyless = head.method == "HEAD"
        self.is_tunnel = head.method == "CONNECT"
        self.unsent = None if self.is_tunnel else head.length
        """How many bytes of the request body are still to come, None if only its end will tell."""
        self.left = -1
        """How many bytes of the response body are still to come, -1 if only its end will tell."""
        self.window = window
        self.room = room
        self.owed = 0
        """How many bytes are in `chunks` for which credit is to be given back."""
        self.uncredited = 0
        self.listed = 0
        """The number of the last `feed` that returned it."""


class Sender(Http2Engine):
    """The state of the connection, and all of the engine but `feed`."""

    __slots__ = (
        "_answers",
        "_budget",
        "_decoder",
        "_encoder",
        "_given_up",
        "_is_closing",
        "_is_dead",
        "_is_short",
        "_limit",
        "_next_id",
        "_orphans",
        "_out",
        "_peer_frame_size",
        "_peer_streams",
        "_peer_window",
        "_room",
        "_streams",
        "_unacknowledged",
        "_unclaimed",
        "_uncredited",
        "_useful_sent",
        "_wasted",
        "_window",
    )

    def __init__(self, *, stream_window: int = STREAM_WINDOW, connection_window: int = CONNECTION_WINDOW) -> None:
        super().__init__(stream_window=stream_window, connection_window=connection_window)
        self._encoder = Encoder()
        self._decoder = Decoder()
        self._budget = FrameBudget()
        self._given_up = GivenUp()
        self._streams: dict[int, FastStream] = {}
        self._orphans: list[FastStream] = []  # those that were open when the connection died, until `fail` says why
        self._unclaimed: list[Stream] = []  # those that the `feed` which failed would have returned
        self._next_id = 1
        self._limit = STREAMS_BEFORE_SETTINGS
        self._peer_streams = LAST_STREAM_ID
        self._peer_window = DEFAULT_WINDOW
        self._peer_frame_size = MAX_FRAME_SIZE
        self._window = self.connection_window
        self._uncredited = 0
        self._room = DEFAULT_WINDOW
        self._is_short = False  # somebody waits for room
        self._answers = 0
        self._useful_sent = 0  # see MAX_USELESS
        self._wasted = 0  # bytes of DATA that nobody could use: padding, or for streams that were given up
        self._unacknowledged = 1
        self._is_closing = False
        self._is_dead = False
        settings = (
            (Setting.ENABLE_PUSH, 0),
            (Setting.INITIAL_WINDOW_SIZE, stream_window),
            (Setting.MAX_HEADER_LIST_SIZE, MAX_HEAD_BYTES),
        )
        self._out: list[bytes | memoryview] = [PREFACE, _settings_frame(*settings)]
        if self.connection_window > DEFAULT_WINDOW:
            self._out.append(_window_update(0, self.connection_window - DEFAULT_WINDOW))

    # Requests

    def open(self, head: RequestHead) -> Stream:
        streams = self._streams
        if len(streams) >= self._limit:
            self._refuse(head)
        if head.protocol is not None and not self.has_extended_connect:
            raise InvalidRequest("the server has not allowed extended CONNECT (RFC 8441 section 3)")
        block = self._encoder.block(head)
        stream_id = self._next_id
        self._next_id = stream_id + 2
        if self._next_id > LAST_STREAM_ID:
            self._limit = 0
        stream = streams[stream_id] = FastStream(stream_id, head, self.stream_window, self._peer_window)
        stream.is_request_ended = stream.unsent == 0
        self._queue_block(stream_id, block, _END_STREAM if stream.is_request_ended else 0)
        return stream

    def _refuse(self, head: RequestHead) -> None:
        request_block(head)  # what cannot be sent anywhere is told first
        why = f"has {len(self._streams)} requests under way already" if self._limit else "is about to end"
        raise ConnectionLost(f"the connection {why}", sent=False)

    def _queue_block(self, stream_id: int, block: bytes, flags: int) -> None:
        size, most = len(block), self._peer_frame_size
        if size <= most:
            self._out.append(_header(size << 8 | _HEADERS, flags | _END_HEADERS, stream_id) + block)
            return
        kind = _HEADERS
        for begin in range(0, size, most):
            piece = block[begin : begin + most]
            if begin + most >= size:
                flags |= _END_HEADERS
            self._out.append(_header(len(piece) << 8 | kind, flags, stream_id) + piece)
            kind, flags = _CONTINUATION, 0

    def send(self, stream: Stream, data: bytes | memoryview) -> int:
        mine = self._streams.get(stream.id)
        size = len(data)
        if mine is None or mine is not stream:
            return size  # it came to an end, which its message tells; nobody will read what is sent now
        if mine.is_request_ended:
            raise RequestBodyError(f"{size} bytes of a request body were given after its end")
        if mine.unsent is not None and size > mine.unsent:
            excess = size - mine.unsent
            raise RequestBodyError(f"the request body is longer than its declared length, by {excess} bytes or more")
        taken = max(0, min(size, mine.room, self._room))
        if taken:
            self._queue_data(mine, data, taken)
        mine.needs_room = taken < size
        if mine.needs_room:
            self._is_short = True
        return taken

    def _queue_data(self, stream: FastStream, data: bytes | memoryview, taken: int) -> None:
        """Queue the first bytes of some data in frames; pieces of it, not copies, unless it could change meanwhile."""
        stream.room -= taken
        self._room -= taken
        if stream.unsent is not None:
            stream.unsent -= taken
            stream.is_request_ended = not stream.unsent
        view = memoryview(data)
        if not view.readonly:
            view = memoryview(bytes(view))
        out, most = self._out, self._peer_frame_size
        for begin in range(0, taken, most):
            end = min(begin + most, taken)
            flags = _END_STREAM if end == taken and stream.is_request_ended else 0
            out.append(_header(end - begin << 8 | _DATA, flags, stream.id))
            out.append(view[begin:end])
            self._useful_sent += 1 + (end - begin >> 8)
        if stream.is_request_ended and stream.is_complete:
            del self._streams[stream.id]

    def end(self, stream: Stream, trailers: tuple[Field, ...] = ()) -> None:
        mine = self._streams.get(stream.id)
        if mine is None or mine is not stream:
            return
        if mine.is_request_ended:
            if trailers:
                raise RequestBodyError("trailers were given after the end of the request")
            return
        if mine.unsent:
            raise RequestBodyError(f"the request body is shorter than its declared length, by {mine.unsent} bytes")
        if not trailers:
            self._out.append(_header(_DATA, _END_STREAM, mine.id))
        elif mine.is_tunnel:
            raise InvalidRequest("CONNECT has no trailers (RFC 9113 section 8.5)")
        else:
            self._queue_block(mine.id, self._encoder.encode(trailer_block(trailers)), _END_STREAM)
        mine.is_request_ended = True
        if mine.is_complete:
            del self._streams[mine.id]

    def cancel(self, stream: Stream) -> None:
        mine = self._streams.get(stream.id)
        if mine is not None and mine is stream:
            self._out.append(rst_stream(mine.id, ErrorCode.CANCEL))
            self._take_off(mine, mine.window)
            mine.chunks = []

    def _take_off(self, stream: FastStream, window: int) -> None:
        """Forget a stream that was reset, and give its credit back; the peer may still send so much for it."""
        del self._streams[stream.id]
        self._given_up.add(stream.id, window)
        owed, stream.owed = stream.owed, 0
        if owed:
            self._credit_connection(owed)

    # Credit

    def take_chunks(self, stream: Stream) -> list[bytes]:
        chunks = stream.chunks
        stream.chunks = []
        assert isinstance(stream, FastStream)
        if stream.owed:
            self._credit(stream)
        return chunks

    def _credit(self, stream: FastStream) -> None:
        """Give back the credit of all that came of a body."""
        owed, stream.owed = stream.owed, 0
        self._credit_connection(owed)
        if not stream.is_complete:
            stream.uncredited += owed
            if stream.uncredited * 2 >= self.stream_window and not self._is_dead:
                stream.window += stream.uncredited
                self._out.append(_window_update(stream.id, stream.uncredited))
                stream.uncredited = 0

    def _credit_connection(self, size: int) -> None:
        """Give credit back at half of the window, or earlier, if unread streams hold so much that little is left."""
        self._uncredited += size
        held = self._uncredited
        if (held * 2 >= self.connection_window or held > self._window) and not self._is_dead:
            self._window += held
            self._out.append(_window_update(0, held))
            self._uncredited = 0

    def grow_windows(self, stream_window: int, connection_window: int) -> None:
        if self._is_dead:
            return
        more = min(stream_window, MAX_STREAM_WINDOW) - self.stream_window
        if more > 0:
            self.stream_window += more
            for stream in self._streams.values():
                stream.window += more
            self._out.append(_settings_frame((Setting.INITIAL_WINDOW_SIZE, self.stream_window)))
            self._unacknowledged += 1
            self.is_settings_acknowledged = False
        more = min(connection_window, MAX_WINDOW) - self.connection_window
        if more > 0:
            self.connection_window += more
            self._window += more
            self._out.append(_window_update(0, more))

    # The connection

    def ping(self) -> None:
        if not self._is_dead:
            self.pings_sent += 1
            self._out.append(_header(8 << 8 | Kind.PING, 0, 0) + self.pings_sent.to_bytes(8, "big"))

    def close(self) -> None:
        if not self._is_closing and not self._is_dead:
            self._out.append(GOAWAY_NO_ERROR)
        self._is_closing = True
        self._limit = 0

    def fail(self, error: RequestError) -> list[Stream]:
        waiting, self._unclaimed = self._unclaimed, []
        streams = self._orphans or list(self._streams.values())
        self._is_dead = True
        self._limit = 0
        self._streams.clear()
        self._orphans = []
        for stream in streams:
            if not stream.is_complete:
                mine = stream.error = copy(error)
                mine.__traceback__ = None
                mine.__cause__ = error.__cause__
                stream.is_complete = True
            stream.is_request_ended = True
            if stream.wish or stream.needs_room:
                stream.wish = Wish.NOTHING
                stream.needs_room = False
                if stream not in waiting:
                    waiting.append(stream)
        return waiting

    def take(self) -> bytes:
        out = self._out
        self._out = []
        self._answers = 0
        return b"".join(out)

    @property
    def has_output(self) -> bool:
        return bool(self._out)

    @property
    def open_streams(self) -> int:
        return len(self._streams)

    @property
    def has_stream_ids(self) -> bool:
        return self._next_id <= LAST_STREAM_ID

    @property
    def max_streams(self) -> int:
        return self._limit

    def _answer(self, frame: bytes) -> None:
        """Queue what the peer made us say."""
        self._answers += 1
        if self._answers > MAX_ANSWERS:
            raise too_many("frames that want an answer, and takes none", MAX_ANSWERS, "MAX_ANSWERS")
        self._out.append(frame)


def _settings_frame(*settings: tuple[int, int]) -> bytes:
    return _header(6 * len(settings) << 8 | Kind.SETTINGS, 0, 0) + b"".join([_SETTING.pack(*pair) for pair in settings])


def _window_update(stream_id: int, size: int) -> bytes:
    return _header(4 << 8 | Kind.WINDOW_UPDATE, 0, stream_id) + _NUMBER.pack(size)
