"""A server that swallows request bodies and answers only after the last byte: with how many there were, and with their
CRC-32 for the next `checked` bodies; the others are only counted, so that it keeps up.

Blocking sockets, a thread for each connection, large reads: it must not be what an upload waits for. HTTP/1.1 with
Content-Length or chunked, or HTTP/2 with windows of 16 MiB, in clear text or over TLS; the version is known beforehand.
"""

from __future__ import annotations

import socket
import ssl
import threading
import zlib
from struct import Struct
from typing import Any

from _child import Control
from _raw_wire import ACK, DATA, END_HEADERS, END_STREAM, HEADERS, PING, SETTINGS, WINDOW_UPDATE, field, frame

READ = 1_048_576
WINDOW = 16 * 1_048_576
_FRAME = Struct(">HBBBL")


class _Wanted:
    """How many of the next bodies are to be checked; set by the parent."""

    checked = 0


class _Tally:
    """What has arrived of one body."""

    __slots__ = ("checksum", "is_checked", "size")

    def __init__(self) -> None:
        self.is_checked = _Wanted.checked > 0
        _Wanted.checked -= self.is_checked
        self.size = 0
        self.checksum = 0

    def add(self, data: memoryview | bytes) -> None:
        self.size += len(data)
        if self.is_checked:
            self.checksum = zlib.crc32(data, self.checksum)

    def answer(self) -> bytes:
        return f"{self.size} {self.checksum:08x}".encode()


class _Reader:
    """Reads a socket into one buffer."""

    def __init__(self, sock: socket.socket) -> None:
        self._sock = sock
        self._buffer = bytearray(READ)
        self._view = memoryview(self._buffer)
        self._start = self._end = 0

    def more(self) -> memoryview:
        """Return what is there, or wait for more; empty at the end."""
        if self._start == self._end:
            self._start, self._end = 0, self._sock.recv_into(self._buffer)
        return self._view[self._start : self._end]

    def used(self, count: int) -> None:
        self._start += count

    def exactly(self, count: int) -> bytes:
        """Return so many bytes. Raises `EOFError` if there are no more."""
        found = b""
        while len(found) < count:
            data = self.more()[: count - len(found)]
            if not data:
                raise EOFError
            found += data
            self.used(len(data))
        return found

    def until(self, mark: bytes) -> bytes:
        """Return everything up to and with the mark. Raises `EOFError` if it does not come."""
        found = b""
        while True:
            data = bytes(self.more())
            if not data:
                raise EOFError
            end = (found + data).find(mark)
            if end >= 0:
                taken = end + len(mark) - len(found)
                self.used(taken)
                return found + data[:taken]
            found += data
            self.used(len(data))

    def pour(self, count: int, tally: _Tally) -> None:
        """Hand so many bytes to the tally. Raises `EOFError` if there are no more."""
        while count:
            data = self.more()[:count]
            if not data:
                raise EOFError
            tally.add(data)
            self.used(len(data))
            count -= len(data)


def serve_http1(sock: socket.socket) -> None:
    """Answer one request after the other. Raises `EOFError` at the end of the connection."""
    reader = _Reader(sock)
    while True:
        head = reader.until(b"\r\n\r\n")
        lower = head.lower()
        tally = _Tally()
        if b"expect: 100-continue" in lower:
            sock.sendall(b"HTTP/1.1 100 Continue\r\n\r\n")
        if b"transfer-encoding: chunked" in lower:
            while size := int(reader.until(b"\r\n").split(b";")[0], 16):
                reader.pour(size, tally)
                reader.exactly(2)
            reader.exactly(2)
        elif (at := lower.find(b"content-length:")) >= 0:
            reader.pour(int(lower[at + 15 : lower.index(b"\r\n", at)]), tally)
        answer = tally.answer()
        sock.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%b" % (len(answer), answer))


def serve_http2(sock: socket.socket) -> None:
    """Answer every stream that ends. Raises `EOFError` at the end of the connection.

    The windows are credited when half is used, on the connection and on the stream alike.
    """
    reader = _Reader(sock)
    reader.exactly(24)
    window = frame(WINDOW_UPDATE, 0, 0, (WINDOW - 65_535).to_bytes(4, "big"))
    sock.sendall(frame(SETTINGS, 0, 0, b"\x00\x04" + WINDOW.to_bytes(4, "big")) + window)
    bodies: dict[int, _Tally] = {}
    owed: dict[int, int] = {0: 0}
    while True:
        high, low, kind, flags, stream = _FRAME.unpack(reader.exactly(9))
        size = high << 8 | low
        if kind == DATA:
            reader.pour(size, bodies[stream])
            for number in (0, stream):
                owed[number] += size
                if owed[number] >= WINDOW // 2:
                    sock.sendall(frame(WINDOW_UPDATE, 0, number, owed[number].to_bytes(4, "big")))
                    owed[number] = 0
        else:
            payload = reader.exactly(size)
            if kind == HEADERS and stream not in bodies:
                bodies[stream], owed[stream] = _Tally(), 0
            elif kind in (SETTINGS, PING) and not flags & ACK:
                sock.sendall(frame(kind, ACK, 0, payload if kind == PING else b""))
        if kind in (DATA, HEADERS) and flags & END_STREAM:
            answer = bodies.pop(stream).answer()
            del owed[stream]
            block = b"\x88" + field(28, str(len(answer)))
            sock.sendall(frame(HEADERS, END_HEADERS, stream, block) + frame(DATA, END_STREAM, stream, answer))


def _serve(sock: socket.socket, context: ssl.SSLContext | None, *, is_http2: bool) -> None:
    try:
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        if context is not None:
            sock = context.wrap_socket(sock, server_side=True)
        (serve_http2 if is_http2 else serve_http1)(sock)
    except (EOFError, OSError):
        pass
    finally:
        sock.close()


def in_child(case: dict[str, Any], control: Control) -> None:
    """Serve on a free port, which is said first, until the parent hangs up."""
    context = None
    if case["chain"]:
        context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        context.load_cert_chain(case["chain"], case["key"])
        context.set_alpn_protocols(["h2" if case["http2"] else "http/1.1"])
    listener = socket.create_server(("127.0.0.1", 0), backlog=1024)

    def accept() -> None:
        while True:
            sock, _ = listener.accept()
            threading.Thread(
                target=_serve, args=(sock, context), kwargs={"is_http2": case["http2"]}, daemon=True
            ).start()

    threading.Thread(target=accept, daemon=True).start()
    control.say(port=listener.getsockname()[1])
    while (word := control.hear()) is not None:
        _Wanted.checked = word["checked"]
        control.say(checked=_Wanted.checked)
