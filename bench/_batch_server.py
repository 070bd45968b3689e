"""A server that answers exactly K requests at a time, and those of one HTTP/2 connection with one send.

A client under free-running load hides its own cost behind batching: the slower it is, the more answers it finds at each
turn of its loop. Here every client finds K of them, no more and no less. Plain sockets and an epoll loop; it believes
the client and parses just enough. Clear text; the connection's first byte says which version it speaks.

Whoever stays alone for `STALL` seconds (a client that asks for its version, or opens its connections one by one) is
answered too, and counted in `short`: within a measurement there must be none of that.
"""

from __future__ import annotations

import json
import os
import selectors
import socket
import sys
from struct import Struct
from typing import Any

from _child import Control
from _raw_wire import ACK, DATA, END_HEADERS, END_STREAM, HEADERS, PING, SETTINGS, field, frame

STALL = 0.05
BODY = b"x" * 200
ANSWER = (
    b"HTTP/1.1 200 OK\r\nServer: batch\r\nDate: Sun, 22 Nov 2026 14:50:00 GMT\r\nContent-Type: text/plain\r\n"
    b'Content-Length: 200\r\nConnection: keep-alive\r\nETag: "6740a1b2-cc"\r\nAccept-Ranges: bytes\r\n\r\n' + BODY
)
BLOCK = (
    b"\x88"
    + field(54, "batch")
    + field(33, "Sun, 22 Nov 2026 14:50:00 GMT")
    + field(31, "text/plain")
    + field(28, "200")
    + field(34, '"6740a1b2-cc"')
    + field(18, "bytes")
)
_FRAME = Struct(">HBBBL")


class _Connection:
    """One client; `pending` are the streams that wait for an answer, for HTTP/1.1 a 0 each."""

    def __init__(self, sock: socket.socket) -> None:
        self.sock = sock
        self.tail = b""
        self.is_http2: bool | None = None
        self.pending: list[int] = []

    def feed(self, data: bytes) -> int:
        """Return how many requests have become complete."""
        data = self.tail + data
        if self.is_http2 is None:
            self.is_http2 = data.startswith(b"PRI ")
            if self.is_http2:
                data = data[24:]
                self.sock.send(frame(SETTINGS, 0, 0, b"\x00\x03\x00\x00\x04\x00"))
        before = len(self.pending)
        self.tail = self._feed_http2(data) if self.is_http2 else self._feed_http1(data)
        return len(self.pending) - before

    def _feed_http1(self, data: bytes) -> bytes:
        *requests, rest = data.split(b"\r\n\r\n")
        self.pending += [0] * len(requests)
        return rest

    def _feed_http2(self, data: bytes) -> bytes:
        position = 0
        while position + 9 <= len(data):
            high, low, kind, flags, stream = _FRAME.unpack_from(data, position)
            end = position + 9 + (high << 8 | low)
            if end > len(data):
                break
            if kind == HEADERS:
                self.pending.append(stream)
            elif kind == SETTINGS and not flags & ACK:
                self.sock.send(frame(SETTINGS, ACK, 0))
            elif kind == PING and not flags & ACK:
                self.sock.send(frame(PING, ACK, 0, data[position + 9 : end]))
            position = end
        return data[position:]

    def answer(self) -> None:
        """Answer all that is pending with one send."""
        if self.is_http2:
            out = [
                frame(HEADERS, END_HEADERS, stream, BLOCK) + frame(DATA, END_STREAM, stream, BODY)
                for stream in self.pending
            ]
        else:
            out = [ANSWER] * len(self.pending)
        self.pending.clear()
        self.sock.sendall(b"".join(out))


class _Server:
    def __init__(self, batch: int) -> None:
        self.batch = batch
        self.selector = selectors.DefaultSelector()
        self.listener = socket.create_server(("127.0.0.1", 0), backlog=1024)
        self.waiting: list[_Connection] = []
        self.pending = self.batches = self.short = self.connections = 0
        self.selector.register(self.listener, selectors.EVENT_READ, None)

    def run(self, control: Control) -> None:
        """Serve until the parent hangs up; tell the counts for every line that it sends."""
        self.selector.register(0, selectors.EVENT_READ, control)
        while True:
            events = self.selector.select(STALL if self.pending else None)
            if not events:
                self.short += 1
                self._answer()
            for key, _ in events:
                if key.data is None:
                    self._accept()
                elif key.data is control:
                    line = os.read(0, 65_536)
                    if not line:
                        return
                    self.batch = json.loads(line).get("batch", self.batch)
                    control.say(batches=self.batches, short=self.short, connections=self.connections)
                else:
                    self._receive(key.data)

    def _accept(self) -> None:
        sock, _ = self.listener.accept()
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.connections += 1
        self.selector.register(sock, selectors.EVENT_READ, _Connection(sock))

    def _receive(self, connection: _Connection) -> None:
        try:
            data = connection.sock.recv(262_144)
        except OSError:
            data = b""
        if not data:
            self._forget(connection)
            return
        was_waiting = bool(connection.pending)
        self.pending += connection.feed(data)
        if connection.pending and not was_waiting:
            self.waiting.append(connection)
        if self.pending >= self.batch:
            self.batches += 1
            self._answer()

    def _answer(self) -> None:
        waiting, self.waiting, self.pending = self.waiting, [], 0
        for connection in waiting:
            try:
                connection.answer()
            except OSError:
                self._forget(connection)

    def _forget(self, connection: _Connection) -> None:
        self.pending -= len(connection.pending)
        if connection in self.waiting:
            self.waiting.remove(connection)
        self.selector.unregister(connection.sock)
        connection.sock.close()


def in_child(case: dict[str, Any], control: Control) -> None:
    """Serve on a free port, which is said first."""
    server = _Server(case["batch"])
    control.say(port=server.listener.getsockname()[1])
    server.run(control)
    sys.stderr.flush()
