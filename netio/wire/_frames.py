"""HTTP/2 frames as pieces of the input: where each begins and ends, and what is wrong with it from the outside.

RFC 9113 section 4.1: nine bytes of header (length, type, flags, stream id), then the payload.
"""

from __future__ import annotations

from enum import IntEnum, IntFlag

from h2.errors import ErrorCodes

HEADER_SIZE = 9
MAX_FRAME_SIZE = 16_384  # the least that may be allowed, and the default (section 6.5.2)
LAST_STREAM_ID = 2**31 - 1

GOAWAY_NO_ERROR = bytes.fromhex("000008 07 00 00000000 00000000 00000000")  # no stream of the server's was looked at


class Kind(IntEnum):
    """The frame types that mean something before their payload is read; there are more."""

    DATA = 0
    HEADERS = 1
    RST_STREAM = 3
    SETTINGS = 4
    PUSH_PROMISE = 5
    GOAWAY = 7
    WINDOW_UPDATE = 8
    CONTINUATION = 9


class Flag(IntFlag):
    END_STREAM = 0x1
    ACK = 0x1
    END_HEADERS = 0x4
    PADDED = 0x8


_OF_A_STREAM = frozenset((Kind.DATA, Kind.HEADERS, Kind.RST_STREAM, Kind.WINDOW_UPDATE))
_WITH_BLOCK = frozenset((Kind.HEADERS, Kind.PUSH_PROMISE, Kind.CONTINUATION))


class FrameError(Exception):
    """A frame that ends the connection, with the error code to tell the peer."""

    def __init__(self, code: ErrorCodes, message: str) -> None:
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

    def feed(self, data: bytes) -> None:
        self._buffer += data

    def take(self) -> Frame | None:
        """Return the next frame, None if not all of it is here."""
        buffer = self._buffer
        if len(buffer) < HEADER_SIZE:
            return None
        if not self._is_begun:
            if buffer[3] != Kind.SETTINGS or buffer[4] & Flag.ACK:  # section 3.4
                begin = bytes(buffer[:40])
                raise FrameError(ErrorCodes.PROTOCOL_ERROR, f"does not speak HTTP/2, its answer begins with {begin!r}")
            self._is_begun = True
        size = int.from_bytes(buffer[:3], "big")
        if size > MAX_FRAME_SIZE:
            message = f"sent a frame of {size} bytes where {MAX_FRAME_SIZE} are allowed"
            raise FrameError(ErrorCodes.FRAME_SIZE_ERROR, message)
        if len(buffer) < HEADER_SIZE + size:
            return None
        frame = Frame(bytes(buffer[: HEADER_SIZE + size]))
        del buffer[: HEADER_SIZE + size]
        self._look_at(frame)
        return frame

    def _look_at(self, frame: Frame) -> None:
        if frame.stream_id and not frame.stream_id % 2 and frame.kind in _OF_A_STREAM:
            message = f"used stream {frame.stream_id}, which only a push could have opened"
            raise FrameError(ErrorCodes.PROTOCOL_ERROR, message)
        is_whole = len(frame.raw) >= HEADER_SIZE + 8
        frame.is_goaway = frame.kind == Kind.GOAWAY and not frame.stream_id and is_whole and not self._is_in_block
        if frame.kind in _WITH_BLOCK:
            self._is_in_block = not frame.flags & Flag.END_HEADERS


def rst_stream(stream_id: int, code: ErrorCodes) -> bytes:
    return b"\x00\x00\x04\x03\x00" + stream_id.to_bytes(4, "big") + int(code).to_bytes(4, "big")
