"""The least that a client can know about HTTP: a request written beforehand, and where the answer ends.

It believes the server blindly and reads neither header fields nor bodies. This is no client; it is the floor under one.
"""

from __future__ import annotations

from struct import Struct

from _peers import Wrong

PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
DATA, HEADERS, SETTINGS, PING, GOAWAY, WINDOW_UPDATE = 0x0, 0x1, 0x4, 0x6, 0x7, 0x8
ACK = END_STREAM = 0x1
END_HEADERS = 0x4
_FRAME = Struct(">HBBBL")
_WINDOW = 2**31 - 1


def frame(kind: int, flags: int, stream: int, payload: bytes = b"") -> bytes:
    size = len(payload)
    return _FRAME.pack(size >> 8, size & 0xFF, kind, flags, stream) + payload


def field(index: int, value: str) -> bytes:
    """Write a header field: the name by its place in the static table, the value as it is (RFC 7541 section 6.2.2)."""
    name = bytes([index]) if index < 15 else bytes([15, index - 15])
    raw = value.encode()
    return name + bytes([len(raw)]) + raw


class Http1:
    """One connection: counts the bytes of one answer after the other."""

    __slots__ = ("_needed", "_seen", "_size")

    def __init__(self) -> None:
        self._seen = b""
        self._needed = 0
        self._size = 0

    @staticmethod
    def request(authority: str, target: str) -> bytes:
        return f"GET {target} HTTP/1.1\r\nHost: {authority}\r\nUser-Agent: raw\r\nAccept: */*\r\n\r\n".encode()

    def feed(self, data: bytes) -> int | None:
        """Return the size of the body once the answer is complete."""
        if self._seen:
            data = self._seen + data
        if not self._needed:
            end = data.find(b"\r\n\r\n")
            if end < 0:
                self._seen = data
                return None
            start = data.find(b"Content-Length: ", 0, end) + 16
            if start < 16 or not data.startswith(b"HTTP/1.1 200"):
                raise Wrong(f"an answer that the raw client cannot count: {data[:80]!r}")
            self._size = int(data[start : data.find(b"\r", start)])
            self._needed = end + 4 + self._size
        if len(data) < self._needed:
            self._seen = data
            return None
        self._seen = b""
        self._needed = 0
        return self._size


class Http2:
    """One connection: numbers the streams and counts the bytes of DATA."""

    __slots__ = ("_block", "_next", "_sizes", "_tail", "is_settled", "out")

    def __init__(self, scheme: str, authority: str, target: str) -> None:
        scheme_field = b"\x87" if scheme == "https" else b"\x86"
        self._block = (
            b"\x82" + scheme_field + field(4, target) + field(1, authority) + field(58, "raw") + field(19, "*/*")
        )
        self._next = 1
        self._sizes: dict[int, int] = {}
        self._tail = b""
        self.is_settled = False
        settings = b"\x00\x02\x00\x00\x00\x00" + b"\x00\x04" + _WINDOW.to_bytes(4, "big")
        window = frame(WINDOW_UPDATE, 0, 0, (_WINDOW - 65_535).to_bytes(4, "big"))
        self.out = [PREFACE, frame(SETTINGS, 0, 0, settings), window]

    @property
    def is_busy(self) -> bool:
        return len(self._sizes) > 1

    def request(self) -> int:
        """Queue a request and return its stream."""
        stream, self._next = self._next, self._next + 2
        self._sizes[stream] = 0
        self.out.append(frame(HEADERS, END_STREAM | END_HEADERS, stream, self._block))
        return stream

    def take(self) -> bytes:
        data = b"".join(self.out)
        self.out.clear()
        return data

    def feed(self, data: bytes) -> list[tuple[int, int]]:
        """Return the streams that have ended, each with the size of its body."""
        if self._tail:
            data = self._tail + data
        ended: list[tuple[int, int]] = []
        position, size = 0, len(data)
        while position + 9 <= size:
            high, low, kind, flags, stream = _FRAME.unpack_from(data, position)
            length = high << 8 | low
            if position + 9 + length > size:
                break
            if kind == DATA:
                self._sizes[stream] += length
                if flags & END_STREAM:
                    ended.append((stream, self._sizes.pop(stream)))
            elif kind == HEADERS:
                if b"\x88" not in data[position + 9 : position + 13]:
                    raise Wrong("an answer without status 200")
            elif kind == SETTINGS and not flags & ACK:
                self.is_settled = True
                self.out.append(frame(SETTINGS, ACK, 0))
            elif kind == GOAWAY:
                raise Wrong("GOAWAY")
            position += 9 + length
        self._tail = data[position:]
        return ended
