"""HTTP/2 frames as pieces of the input: where each begins and ends, and what is wrong with it from the outside.

RFC 9113 section 4.1: nine bytes of header (length, type, flags, stream id), then the payload.
"""

from __future__ import annotations

from enum import IntEnum, IntFlag

from netio.errors import ConnectionLost
from netio.wire._contract2 import MAX_CONTINUATIONS, MAX_GOAWAY_DEBUG, MAX_SETTINGS, ErrorCode, GoAway

HEADER_SIZE = 9
MAX_FRAME_SIZE = 16_384  # the least that may be allowed, and the default (section 6.5.2)
LAST_STREAM_ID = 2**31 - 1
MAX_WINDOW = 2**31 - 1
DEFAULT_WINDOW = 65_535  # section 6.9.2

PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
GOAWAY_NO_ERROR = bytes.fromhex("000008 07 00 00000000 00000000 00000000")  # no stream of the server's was looked at


class Kind(IntEnum):
    DATA = 0
    HEADERS = 1
    PRIORITY = 2
    RST_STREAM = 3
    SETTINGS = 4
    PUSH_PROMISE = 5
    PING = 6
    GOAWAY = 7
    WINDOW_UPDATE = 8
    CONTINUATION = 9


class Flag(IntFlag):
    END_STREAM = 0x1
    ACK = 0x1
    END_HEADERS = 0x4
    PADDED = 0x8
    PRIORITY = 0x20


class Setting(IntEnum):
    HEADER_TABLE_SIZE = 1
    ENABLE_PUSH = 2
    MAX_CONCURRENT_STREAMS = 3
    INITIAL_WINDOW_SIZE = 4
    MAX_FRAME_SIZE = 5
    MAX_HEADER_LIST_SIZE = 6
    ENABLE_CONNECT_PROTOCOL = 8


_OF_A_STREAM = frozenset((Kind.DATA, Kind.HEADERS, Kind.RST_STREAM, Kind.WINDOW_UPDATE))
_WITH_BLOCK = frozenset((Kind.HEADERS, Kind.PUSH_PROMISE, Kind.CONTINUATION))


class FrameError(Exception):
    """A frame that ends the connection, with the error code to tell the peer."""

    def __init__(self, code: ErrorCode, message: str) -> None:
        super().__init__(message)
        self.code = code


class Frame:
    """One frame: `raw` is all of it, the header included."""

    __slots__ = ("flags", "is_goaway", "kind", "raw", "stream_id")

    def __init__(self, raw: bytes) -> None:
        self.raw = raw
        self.kind = raw[3]
        self.flags = raw[4]
        self.stream_id = int.from_bytes(raw[5:HEADER_SIZE], "big") & LAST_STREAM_ID
        self.is_goaway = False
        """It is a GOAWAY, it is well-formed, and it stands where one may stand."""

    @property
    def payload(self) -> bytes:
        return self.raw[HEADER_SIZE:]

    @property
    def data_size(self) -> int:
        """How many bytes a DATA frame has without its padding (section 6.1)."""
        size = len(self.raw) - HEADER_SIZE
        return size - 1 - self.raw[HEADER_SIZE] if self.flags & Flag.PADDED and size else size


class FrameReader:
    """Cuts the input of a client into frames. Raises `FrameError`."""

    def __init__(self) -> None:
        self._buffer = bytearray()
        self._is_begun = False
        self._is_in_block = False  # a header block goes on in CONTINUATION frames
        self._continuations = 0

    def feed(self, data: bytes) -> None:
        self._buffer += data

    def take(self) -> Frame | None:
        """Return the next frame, None if not all of it is here."""
        buffer = self._buffer
        if len(buffer) < HEADER_SIZE:
            return None
        if not self._is_begun:
            check_first_frame(buffer)
            self._is_begun = True
        size = int.from_bytes(buffer[:3], "big")
        if size > MAX_FRAME_SIZE:
            raise too_large(size)
        if len(buffer) < HEADER_SIZE + size:
            return None
        frame = Frame(bytes(buffer[: HEADER_SIZE + size]))
        del buffer[: HEADER_SIZE + size]
        self._look_at(frame)
        return frame

    def _look_at(self, frame: Frame) -> None:
        if frame.stream_id and not frame.stream_id % 2 and frame.kind in _OF_A_STREAM:
            raise pushed(frame.stream_id)
        is_whole = len(frame.raw) >= HEADER_SIZE + 8
        frame.is_goaway = frame.kind == Kind.GOAWAY and not frame.stream_id and is_whole and not self._is_in_block
        if frame.kind in _WITH_BLOCK:
            self._is_in_block = not frame.flags & Flag.END_HEADERS
            self._continuations = self._continuations + 1 if frame.kind == Kind.CONTINUATION else 0
            if self._continuations > MAX_CONTINUATIONS:
                raise too_many("CONTINUATION frames for one header block", MAX_CONTINUATIONS, "MAX_CONTINUATIONS")
        elif frame.kind == Kind.SETTINGS:
            size = len(frame.raw) - HEADER_SIZE
            if size and frame.flags & Flag.ACK:
                raise FrameError(ErrorCode.FRAME_SIZE_ERROR, f"sent an acknowledgement of SETTINGS of {size} bytes")
            if size > 6 * MAX_SETTINGS:
                raise too_many("settings in one frame", MAX_SETTINGS, "MAX_SETTINGS")
        elif frame.kind == Kind.WINDOW_UPDATE and len(frame.raw) == HEADER_SIZE + 4:
            reserved = frame.raw[HEADER_SIZE]
            frame.raw = frame.raw[:HEADER_SIZE] + bytes((reserved & 0x7F,)) + frame.raw[HEADER_SIZE + 1 :]


def check_first_frame(begin: bytes | bytearray) -> None:
    """Raise `FrameError` unless the first nine bytes are of SETTINGS, with which a peer begins (section 3.4)."""
    if begin[3] != Kind.SETTINGS or begin[4] & Flag.ACK:
        message = f"does not speak HTTP/2, its answer begins with {bytes(begin[:40])!r}"
        raise FrameError(ErrorCode.PROTOCOL_ERROR, message)


def too_large(size: int) -> FrameError:
    message = f"sent a frame of {size} bytes where {MAX_FRAME_SIZE} are allowed"
    return FrameError(ErrorCode.FRAME_SIZE_ERROR, message)


def too_many(what: str, limit: int, name: str) -> FrameError:
    return FrameError(ErrorCode.ENHANCE_YOUR_CALM, f"sent more than {limit:,} {what} ({name})")


def pushed(stream_id: int) -> FrameError:
    return FrameError(ErrorCode.PROTOCOL_ERROR, f"used stream {stream_id}, which only a push could have opened")


def rst_stream(stream_id: int, code: ErrorCode) -> bytes:
    return b"\x00\x00\x04\x03\x00" + stream_id.to_bytes(4, "big") + int(code).to_bytes(4, "big")


def name_of(code: int) -> str:
    """Return the name of an error code (RFC 9113 section 7), or its number."""
    try:
        return ErrorCode(code).name
    except ValueError:
        return f"error {code:#x}"


def read_goaway(payload: bytes) -> GoAway:
    last_stream_id, code = int.from_bytes(payload[:4], "big") & LAST_STREAM_ID, int.from_bytes(payload[4:8], "big")
    debug = ascii(payload[8 : 8 + MAX_GOAWAY_DEBUG].decode("latin-1"))[1:-1]
    words = f"GOAWAY, {name_of(code)}, '{debug}'" if debug else f"GOAWAY, {name_of(code)}"
    return GoAway(last_stream_id, code, debug, words)


def not_reached(said: GoAway, *, sent: bool) -> ConnectionLost:
    """Return the error of a stream that the peer does not look at any more."""
    error = ConnectionLost(f"the server ended the connection before it came to this request ({said.words})", sent=sent)
    error.goaway_code = said.code
    return error
