"""Chunked bodies, as they come in (RFC 9112 section 7.1).

Nothing is looked at before its line is complete, and every limit counts what has come of a line as if it ended there,
so how the input is cut into reads decides neither what is refused nor when it is too much. Data is sliced out of the
read it came in, and a read that lies within one chunk is passed on as it is; only a line that a read ends in the middle
of is kept back. The many small pieces of one read are joined, since each would take more memory than its content.
"""

from __future__ import annotations

import re

from netio.errors import ProtocolError
from netio.headers import Field
from netio.wire._checks import kept_trailers
from netio.wire._contract import MAX_CHUNK_OVERHEAD, MAX_HEAD_BYTES, MAX_HEAD_FIELDS, Message
from netio.wire._head1 import read_field

_SIZE_LINE = re.compile(rb"([0-9A-Fa-f]{1,16})(?:[ \t]*;[\t\x20-\x7e\x80-\xff]*)?\r\n").match

# What a chunk may take beside its data before it counts as overhead (Go's net/http): its size line, and the CRLF after
# its data. Without it a long stream of small chunks, such as server-sent events, would run into MAX_CHUNK_OVERHEAD.
_FREE_SIZE_LINE = 16 - len(b"\r\n")

_FEW = 64  # pieces of a read that are left as they are: of 256 KiB they are 4 KiB each

# What comes next.
_SIZE = 0
_DATA = 1
_CR = 2
_LF = 3
_TRAILER = 4


class ChunkedBody:
    """The state of one chunked body between two reads."""

    __slots__ = ("_fields", "_left", "_line", "_next", "_overhead", "_trailer_bytes")

    def __init__(self) -> None:
        self._next = _SIZE
        self._left = 0
        self._line = bytearray()
        self._overhead = 0
        self._trailer_bytes = 0
        self._fields: list[Field] = []

    def feed(self, message: Message, data: bytes) -> int:
        """Add to the message what data has of its body; return where in data the body ended, -1 if it has not.

        Raises `ProtocolError`; what came before the fault has then been added.
        """
        pieces: list[bytes] = []
        try:
            return self._read(message, data, pieces)
        finally:
            if len(pieces) > _FEW:
                message.chunks.append(b"".join(pieces))
            else:
                message.chunks += pieces

    def _read(self, message: Message, data: bytes, pieces: list[bytes]) -> int:
        position, size = 0, len(data)
        while position < size:
            if self._next == _SIZE:
                position = self._read_chunks(message, data, position, pieces)
            elif self._next == _DATA:
                end = position + self._left
                piece = data if position == 0 and end >= size else data[position:end]
                pieces.append(piece)
                message.received += len(piece)
                position += len(piece)
                self._left -= len(piece)
                if not self._left:
                    self._next = _CR
            elif self._next == _TRAILER:
                return self._read_trailers(message, data, position)
            else:
                if data[position] != (13 if self._next == _CR else 10):
                    raise ProtocolError("the data of a chunk does not end where its size says (RFC 9112 section 7.1)")
                self._next = _LF if self._next == _CR else _SIZE
                position += 1
        return -1

    def _read_chunks(self, message: Message, data: bytes, position: int, pieces: list[bytes]) -> int:
        """Take size lines, and chunks as long as they are there whole; return how far that went."""
        size = len(data)
        while position < size:
            if self._line:
                line_end = self._complete_line(message, data, position)
                if not line_end:
                    return size
                match = _SIZE_LINE(bytes(self._line))
                line_size = len(self._line)
                self._line.clear()
            else:
                match = _SIZE_LINE(data, position)
                if not match and data.find(b"\n", position) < 0:
                    self._keep(message, data[position:])
                    return size
                line_end = match.end() if match else 0
                line_size = line_end - position
            if not match:
                raise ProtocolError("the server sent a chunk size that is none (RFC 9112 section 7.1)")
            if line_size > _FREE_SIZE_LINE:
                self._check_overhead(message, line_size)
                self._overhead += line_size - _FREE_SIZE_LINE
            count = int(match[1], 16)
            if not count:
                self._next = _TRAILER
                return line_end
            end = line_end + count
            if not data.startswith(b"\r\n", end):
                self._next = _DATA
                self._left = count
                return line_end
            pieces.append(data[line_end:end])
            message.received += count
            position = end + 2
        return position

    def _read_trailers(self, message: Message, data: bytes, position: int) -> int:
        """Take trailer lines; return where in data the section ended, -1 if it has not."""
        while True:
            end = data.find(b"\n", position) + 1
            piece = data[position : end or len(data)]
            if self._trailer_bytes + len(self._line) + len(piece) > MAX_HEAD_BYTES:
                raise ProtocolError(f"the trailers are longer than {MAX_HEAD_BYTES} bytes (MAX_HEAD_BYTES)")
            self._line += piece
            if not end:
                return -1
            line = self._line.decode("latin-1")
            self._trailer_bytes += len(line)
            self._line.clear()
            if not line.endswith("\r\n"):
                raise ProtocolError("a line of the trailers has a wrong line end (RFC 9112 section 2.2)")
            if line == "\r\n":
                message.trailers = kept_trailers(self._fields)
                return end
            if len(self._fields) == MAX_HEAD_FIELDS:
                raise ProtocolError(f"there are more than {MAX_HEAD_FIELDS} trailers (MAX_HEAD_FIELDS)")
            self._fields.append(read_field(line[:-2]))
            position = end

    def _complete_line(self, message: Message, data: bytes, position: int) -> int:
        """Add to the line that was kept back; return where it ends in data, 0 if it does not."""
        end = data.find(b"\n", position) + 1
        self._keep(message, data[position : end or len(data)])
        return end

    def _keep(self, message: Message, piece: bytes) -> None:
        self._check_overhead(message, len(self._line) + len(piece))
        self._line += piece

    def _check_overhead(self, message: Message, line_size: int) -> None:
        allowed = MAX_CHUNK_OVERHEAD + message.received // 100 - self._overhead + _FREE_SIZE_LINE
        if line_size > min(allowed, MAX_HEAD_BYTES):
            raise ProtocolError(
                f"the chunks of the response body have more than {MAX_CHUNK_OVERHEAD} bytes of overhead"
                " (MAX_CHUNK_OVERHEAD)"
            )
