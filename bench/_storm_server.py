"""An HTTP/2 server that counts: it answers every request with 1 MiB, as the windows allow, and notes what was reset.

Clear text, plain sockets, a thread for each connection. It keeps to both windows of the client (RFC 9113 section 5.2),
takes turns among the streams, and looks for frames of the client between two pieces, so that a reset is obeyed at once.
"""

from __future__ import annotations

import select
import socket
import threading
from collections import deque
from struct import Struct
from typing import Any

from _child import Control
from _raw_wire import ACK, DATA, END_HEADERS, END_STREAM, HEADERS, PING, SETTINGS, WINDOW_UPDATE, field, frame

RST_STREAM = 0x3
PIECE = bytes(16_384)
TURN = 4
"""Pieces a stream sends before the next one's turn."""

_FRAME = Struct(">HBBBL")


class _Counts:
    """Over all connections. `ended`: to the last byte; `reset`: by the client before that; `late`: after that."""

    def __init__(self) -> None:
        self.opened = self.ended = self.reset = self.late = self.connections = self.errors = 0


class _Stream:
    __slots__ = ("left", "window")

    def __init__(self, size: int, window: int) -> None:
        self.left = size
        self.window = window


class _Connection:
    def __init__(self, sock: socket.socket, size: int, counts: _Counts) -> None:
        self.sock = sock
        self.size = size
        self.counts = counts
        self.tail = b""
        self.streams: dict[int, _Stream] = {}
        self.turns: deque[int] = deque()
        self.window = 65_535
        self.stream_window = 65_535
        self.out: list[bytes] = []

    def run(self) -> None:
        """Serve until the client hangs up."""
        self.tail = self.sock.recv(24, socket.MSG_WAITALL)[24:]
        self.out.append(frame(SETTINGS, 0, 0, b"\x00\x03\x00\x00\x00\x80"))  # 128 streams
        while True:
            self._flush()
            if self._is_there_more():
                data = self.sock.recv(262_144)
                if not data:
                    return
                self._feed(data)
            self._send_some()

    def _is_there_more(self) -> bool:
        can_send = self.window > 0 and bool(self.turns)
        return bool(select.select([self.sock], [], [], 0 if can_send else None)[0])

    def _flush(self) -> None:
        if self.out:
            self.sock.sendall(b"".join(self.out))
            self.out.clear()

    def _feed(self, data: bytes) -> None:
        data = self.tail + data
        position = 0
        while position + 9 <= len(data):
            high, low, kind, flags, stream = _FRAME.unpack_from(data, position)
            end = position + 9 + (high << 8 | low)
            if end > len(data):
                break
            self._frame(kind, flags, stream, data[position + 9 : end])
            position = end
        self.tail = data[position:]

    def _frame(self, kind: int, flags: int, number: int, payload: bytes) -> None:
        if kind == HEADERS:
            self.counts.opened += 1
            self.streams[number] = _Stream(self.size, self.stream_window)
            self.turns.append(number)
            self.out.append(frame(HEADERS, END_HEADERS, number, b"\x88" + field(28, str(self.size))))
        elif kind == WINDOW_UPDATE:
            self._credit(number, int.from_bytes(payload, "big"))
        elif kind == RST_STREAM:
            if self.streams.pop(number, None) is None:
                self.counts.late += 1
            else:
                self.counts.reset += 1
        elif kind in (SETTINGS, PING) and not flags & ACK:
            if kind == SETTINGS:
                self._settings(payload)
            self.out.append(frame(kind, ACK, 0, payload if kind == PING else b""))

    def _settings(self, payload: bytes) -> None:
        for at in range(0, len(payload), 6):
            if payload[at : at + 2] == b"\x00\x04":
                window = int.from_bytes(payload[at + 2 : at + 6], "big")
                for number in self.streams:
                    self._widen(number, window - self.stream_window)
                self.stream_window = window

    def _credit(self, number: int, count: int) -> None:
        if number == 0:
            self.window += count
            return
        if number in self.streams:
            self._widen(number, count)

    def _widen(self, number: int, count: int) -> None:
        stream = self.streams[number]
        before, stream.window = stream.window, stream.window + count
        if before <= 0 < stream.window:
            self.turns.append(number)

    def _send_some(self) -> None:
        """Give one stream its turn. A stream without a window is in no turn until it is credited."""
        if not self.turns or self.window <= 0:
            return
        number = self.turns.popleft()
        stream = self.streams.get(number)
        if stream is None:
            return
        for _ in range(TURN):
            size = min(stream.left, stream.window, self.window, len(PIECE))
            if size <= 0:
                break
            stream.left -= size
            stream.window -= size
            self.window -= size
            self.out.append(frame(DATA, 0 if stream.left else END_STREAM, number, PIECE[:size]))
        if not stream.left:
            del self.streams[number]
            self.counts.ended += 1
        elif stream.window > 0:
            self.turns.append(number)


def in_child(case: dict[str, Any], control: Control) -> None:
    """Serve on a free port, which is said first; tell the counts for every word, and begin anew."""
    counts = _Counts()
    listener = socket.create_server(("127.0.0.1", 0), backlog=64)
    connections: list[_Connection] = []

    def serve(connection: _Connection) -> None:
        try:
            connection.run()
        except OSError:
            counts.errors += 1
        finally:
            connections.remove(connection)
            connection.sock.close()

    def accept() -> None:
        while True:
            sock, _ = listener.accept()
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            counts.connections += 1
            connections.append(_Connection(sock, case["size"], counts))
            threading.Thread(target=serve, args=(connections[-1],), daemon=True).start()

    threading.Thread(target=accept, daemon=True).start()
    control.say(port=listener.getsockname()[1])
    while control.hear() is not None:
        control.say(**vars(counts), still_open=sum(len(one.streams) for one in connections))
