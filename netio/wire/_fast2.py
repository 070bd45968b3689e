"""netio's own HTTP/2 engine: the half that receives.

What every response is made of, HEADERS and DATA in its plain form, is handled in the loop of `_read` itself; all else
leaves it by a call. Input is looked at where it lies and cut into slices. Of a frame that is not all here its pieces
are kept, and joined when the last one comes, so that no byte is copied twice however small the reads are.

A fault of one stream resets it (`_reject`). A fault of the connection is a `FrameError`, which `feed` catches: it says
GOAWAY with its code, and does no more. Frames for a stream that was given up are taken, counted, and dropped
(section 5.4.2).
"""

from __future__ import annotations

from netio.errors import ProtocolError
from netio.wire._contract import MAX_INFORMATIONAL, Wish
from netio.wire._contract2 import CONNECTION_WINDOW, MAX_CONTINUATIONS, STREAM_WINDOW, ErrorCode, Stream
from netio.wire._control2 import Control
from netio.wire._frames import (
    HEADER_SIZE,
    LAST_STREAM_ID,
    MAX_FRAME_SIZE,
    Flag,
    FrameError,
    Kind,
    check_first_frame,
    rst_stream,
    too_large,
    too_many,
)
from netio.wire._hpack_decoder import Block
from netio.wire._sending2 import HEADER, FastStream

_DATA, _HEADERS = Kind.DATA.value, Kind.HEADERS.value
_PADDED = Flag.PADDED.value
_ODD_HEADERS = Flag.END_HEADERS.value | Flag.PADDED.value | Flag.PRIORITY.value
_HEAD, _PROGRESS, _END = Wish.HEAD, Wish.PROGRESS, Wish.END

_SMALL = 64
_JOINED = 1_024  # an object costs more than the few bytes in it: many small pieces become pieces of this size


class FastHttp2(Control):
    """The client side of one HTTP/2 connection, in plain Python. A connection window is never less than 65,535."""

    __slots__ = ("_block_flags", "_block_id", "_block_parts", "_is_begun", "_needed", "_tail", "_tail_size")

    def __init__(self, *, stream_window: int = STREAM_WINDOW, connection_window: int = CONNECTION_WINDOW) -> None:
        super().__init__(stream_window=stream_window, connection_window=connection_window)
        self._is_begun = False
        self._tail: list[bytes] = []  # of a frame that is not all here
        self._tail_size = 0
        self._needed = HEADER_SIZE
        self._block_id = 0  # whose header block goes on in CONTINUATION frames
        self._block_flags = 0
        self._block_parts: list[bytes] = []

    def feed(self, data: bytes) -> list[Stream]:
        if self._is_dead or (self._is_closing and not self._streams):
            return []
        woken = self._woken = []
        self._round += 1
        try:
            self._read(data, self._complete_tail(data) if self._tail else 0)
        except FrameError as error:
            self._die(error)
            raise ProtocolError(f"the server {error}") from None
        return woken

    def _read(self, data: bytes, position: int) -> None:
        """Take all whole frames from a place on, and keep the rest.

        The plain DATA frame is judged here: a call for it would cost 0.05 µs of the 3 µs that an exchange takes.
        """
        size = len(data)
        streams = self._streams
        while size - position >= HEADER_SIZE:
            length, flags, stream_id = HEADER.unpack_from(data, position)
            kind = length & 0xFF
            length >>= 8
            if length > MAX_FRAME_SIZE or not self._is_begun:
                self._check_begin(data, position, length)
            begin = position + HEADER_SIZE
            end = begin + length
            if end > size:
                break
            position = end
            if kind == _DATA:
                stream = streams.get(stream_id)
                if (
                    stream is None
                    or flags & _PADDED
                    or self._block_id
                    or length > stream.window
                    or length > self._window
                    or stream.head is None
                    or stream.is_complete
                    or 0 <= stream.left < length
                    or (stream.left > length if flags & 1 else not length)
                ):
                    self._on_odd_data(stream_id, flags, data[begin:end])
                    continue
                self.data_received += length
                if length:
                    self._take_in(stream, data[begin:end], length)
                if flags & 1:
                    self._on_end(stream)
                elif stream.wish is _PROGRESS or stream.received > stream.most:
                    self._tell(stream)
            elif kind == _HEADERS and flags & _ODD_HEADERS == 4 and not self._block_id:
                self._on_block(stream_id, flags, self._decoder.decode(data[begin:end]))
            else:
                self._on_other(kind, flags, stream_id & LAST_STREAM_ID, data[begin:end])
        if position < size:
            self._tail = [data[position:]]
            self._tail_size = size - position
            self._needed = HEADER_SIZE
            if size - position >= HEADER_SIZE:
                self._needed += int.from_bytes(data[position : position + 3], "big")

    def _check_begin(self, data: bytes, position: int, length: int) -> None:
        if not self._is_begun:
            check_first_frame(data[position:])
            self._is_begun = True
        if length > MAX_FRAME_SIZE:
            raise too_large(length)

    def _complete_tail(self, data: bytes) -> int:
        """Complete the frame whose begin is kept; return where it ended, or the end of data if that was not enough."""
        position = 0
        while True:
            piece = data[position : position + self._needed - self._tail_size]
            position += len(piece)
            self._tail.append(piece)
            self._tail_size += len(piece)
            if self._tail_size < self._needed:
                return position
            frame = b"".join(self._tail)
            length = int.from_bytes(frame[:3], "big")
            self._check_begin(frame, 0, length)
            self._needed = HEADER_SIZE + length
            if self._tail_size >= self._needed:
                self._tail = []
                self._read(frame, 0)
                return position
            self._tail = [frame]

    # DATA

    def _take_in(self, stream: FastStream, piece: bytes, flow: int) -> None:
        """Take a piece of a body that the windows and the Content-Length allow; `flow` counts its padding."""
        size = len(piece)
        self._window -= flow
        stream.window -= flow
        stream.received += size
        if stream.left > 0:
            stream.left -= size
        chunks = stream.chunks
        if size < _SMALL and len(chunks) > _SMALL and len(chunks[-1]) < _JOINED:
            chunks[-1] += piece
        else:
            chunks.append(piece)
        stream.owed += size
        if stream.credits_itself:
            self._credit(stream)

    def _on_odd_data(self, stream_id: int, flags: int, payload: bytes) -> None:
        """Take a DATA frame that is padded, empty, or not as it should be."""
        stream_id &= LAST_STREAM_ID
        if self._block_id:
            raise FrameError(ErrorCode.PROTOCOL_ERROR, "interrupted a header block by a DATA frame")
        flow = len(payload)
        if flags & _PADDED:
            payload = _unpadded(payload)
        self.data_received += flow
        if flow > self._window:
            raise FrameError(ErrorCode.FLOW_CONTROL_ERROR, "sent more than the window of the connection allows")
        stream = self._streams.get(stream_id)
        if stream is None:
            self._on_stray_data(stream_id, flow)
            return
        if flow > stream.window:
            raise _overrun(stream_id)
        if stream.is_complete:
            self._drop(stream, flow)
            self._reject(stream, "the server sent a body after its end", ErrorCode.STREAM_CLOSED)
        elif stream.head is None:
            self._drop(stream, flow)
            self._reject(stream, "the server sent a response body before its head")
        elif 0 <= stream.left < len(payload) or (flags & 1 and stream.left > len(payload)):
            self._drop(stream, flow)
            self._reject(stream, _wrong_length(stream, len(payload)), phase="body")
        else:
            self._on_padded_data(stream, flags, payload, flow)

    def _on_padded_data(self, stream: FastStream, flags: int, payload: bytes, flow: int) -> None:
        if payload:
            self._take_in(stream, payload, flow)
        else:
            self._window -= flow
            stream.window -= flow
            if not flags & 1:
                self._count_useless()
        padding = flow - len(payload)
        if padding:  # which nobody will take
            self._wasted += padding
            held, stream.owed = stream.owed, padding
            self._credit(stream)
            stream.owed = held
        if flags & 1:
            self._on_end(stream)
        elif payload and (stream.wish is _PROGRESS or stream.received > stream.most):
            self._tell(stream)

    def _drop(self, stream: FastStream, flow: int) -> None:
        """Take bytes that nobody will, of a stream that is about to be reset."""
        stream.window -= flow
        self._window -= flow
        self._wasted += flow
        self._credit_connection(flow)

    def _on_stray_data(self, stream_id: int, flow: int) -> None:
        self._check_not_idle(stream_id, "DATA")
        self._window -= flow
        self._wasted += flow
        self._credit_connection(flow)
        if stream_id in self._given_up:
            left = self._given_up.take(stream_id, flow)
            if left is not None and left < 0:
                raise _overrun(stream_id)
            if left is None or not flow:
                self._count_useless()
        else:
            self._count_useless()
            self._answer(rst_stream(stream_id, ErrorCode.STREAM_CLOSED))  # section 6.1

    def _on_end(self, stream: FastStream) -> None:
        if stream.left > 0:
            self._reject(stream, _wrong_length(stream, 0), phase="body")
            return
        stream.is_complete = True
        if stream.is_request_ended:
            del self._streams[stream.id]
        stream.needs_room = False
        self._tell(stream)

    # Header blocks

    def _on_block(self, stream_id: int, flags: int, block: Block) -> None:
        stream = self._streams.get(stream_id)
        if stream is None:
            if stream_id > LAST_STREAM_ID:  # the reserved bit is set, which means nothing
                self._on_block(stream_id & LAST_STREAM_ID, flags, block)
            else:
                self._on_stray_block(stream_id)
            return
        head = block.head
        if stream.head is not None or head is None:
            self._on_trailers(stream, flags, block)
            return
        if head.status < 200:
            self._on_informational(stream, flags, block)
            return
        stream.head = head
        if stream.is_bodyless or head.status in (204, 304):
            stream.left = 0
        elif not (stream.is_tunnel and head.status < 300):  # section 9.3.6 of RFC 9110
            stream.left = block.length
            if stream.left > stream.most:
                stream.most = -1
        if flags & 1:
            self._on_end(stream)
        elif stream.wish is _HEAD or (stream.most < 0 and stream.wish is _END):
            self._tell(stream)
        else:
            self.heads.append(stream)

    def _on_informational(self, stream: FastStream, flags: int, block: Block) -> None:
        assert block.head is not None
        if flags & 1:
            self._reject(stream, f"the server ended the stream with a {block.head.status}")
        elif len(stream.informational) >= MAX_INFORMATIONAL:
            self._reject(stream, f"the server sent more than {MAX_INFORMATIONAL} 1xx answers (MAX_INFORMATIONAL)")
        else:
            stream.informational.append(block.head)

    def _on_trailers(self, stream: FastStream, flags: int, block: Block) -> None:
        """Take a block that is no head, or comes after one."""
        if stream.is_complete:
            self._reject(stream, "the server sent a header block after its end", ErrorCode.STREAM_CLOSED)
        elif stream.head is None or (block.head is None and block.trailers is None):
            self._reject(stream, block.fault)
        elif block.trailers is None:
            self._reject(stream, "the server sent a second head", phase="body")
        elif not flags & 1:
            self._reject(stream, "the server sent trailers that are not the end", phase="body")
        else:
            stream.trailers = block.trailers
            self._on_end(stream)

    def _on_stray_block(self, stream_id: int) -> None:
        self._check_not_idle(stream_id, "HEADERS")
        if stream_id not in self._given_up:
            raise FrameError(ErrorCode.STREAM_CLOSED, f"sent HEADERS for stream {stream_id}, which is closed")
        self._count_useless()

    def _on_other(self, kind: int, flags: int, stream_id: int, payload: bytes) -> None:
        if self._block_id:
            self._on_continuation(kind, flags, stream_id, payload)
        elif kind == _HEADERS:
            self._on_odd_headers(flags, stream_id, payload)
        else:
            self._on_control(kind, flags, stream_id, payload)

    def _on_odd_headers(self, flags: int, stream_id: int, payload: bytes) -> None:
        """Take HEADERS that are padded, have a priority, or go on in CONTINUATION frames."""
        if flags & _PADDED:
            payload = _unpadded(payload)
        if flags & Flag.PRIORITY:
            if len(payload) < 5:
                raise FrameError(ErrorCode.FRAME_SIZE_ERROR, "sent HEADERS too short for their priority")
            payload = payload[5:]
        if flags & Flag.END_HEADERS:
            self._on_block(stream_id, flags, self._decoder.decode(payload))
            return
        if stream_id not in self._streams:
            self._check_not_idle(stream_id, "HEADERS")
        self._block_id = stream_id
        self._block_flags = flags
        self._block_parts = [payload]

    def _on_continuation(self, kind: int, flags: int, stream_id: int, payload: bytes) -> None:
        if kind != Kind.CONTINUATION or stream_id != self._block_id:
            raise FrameError(ErrorCode.PROTOCOL_ERROR, "interrupted a header block by another frame")
        self._block_parts.append(payload)
        if len(self._block_parts) > MAX_CONTINUATIONS + 1:
            raise too_many("CONTINUATION frames for one header block", MAX_CONTINUATIONS, "MAX_CONTINUATIONS")
        if flags & Flag.END_HEADERS:
            block = b"".join(self._block_parts)
            self._block_id = 0
            self._block_parts = []
            self._on_block(stream_id, self._block_flags, self._decoder.decode(block))


def _overrun(stream_id: int) -> FrameError:
    return FrameError(ErrorCode.FLOW_CONTROL_ERROR, f"sent more than the window of stream {stream_id} allows")


def _unpadded(payload: bytes) -> bytes:
    if not payload or payload[0] >= len(payload):
        raise FrameError(ErrorCode.PROTOCOL_ERROR, "sent a frame with more padding than payload")
    return payload[1 : len(payload) - payload[0]]


def _wrong_length(stream: FastStream, more: int) -> str:
    announced = stream.received + stream.left
    body = f"{announced} bytes of response body" if announced else "no response body"
    return f"the server announced {body} and sent {stream.received + more}"
