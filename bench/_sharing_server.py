"""An HTTP/2 server for bench/sharing.py: /slow sends what the windows allow and never ends, a POST is swallowed and
answered with its length, everything else has 200 bytes.

Clear text, blocking sockets, a thread for each connection, windows of 16 MiB: it must not be what anybody waits for.
Its receive buffer is small, or the kernel would let megabytes of an upload queue there, ahead of everything else.
"""

from __future__ import annotations

import socket
import threading
from struct import Struct
from typing import Any

import hpack
from _child import Control
from _raw_wire import ACK, DATA, END_HEADERS, END_STREAM, HEADERS, PING, SETTINGS, WINDOW_UPDATE, field, frame

WINDOW = 16 * 1_048_576
RECEIVE_BUFFER = 131_072
PRIORITY = 0x20
PIECE = bytes(16_384)
SMALL = b"x" * 200
_FRAME = Struct(">HBBBL")


class _Connection:
    def __init__(self, sock: socket.socket) -> None:
        self.sock = sock
        self.reader = sock.makefile("rb", 1_048_576)
        self.decoder = hpack.Decoder()
        self.stream_window = 65_535
        self.bodies: dict[int, int] = {}
        """How much has come of the bodies that are being sent to us."""
        self.owed: dict[int, int] = {0: 0}

    def run(self) -> None:
        """Serve until the client hangs up."""
        self.reader.read(24)
        more = frame(WINDOW_UPDATE, 0, 0, (WINDOW - 65_535).to_bytes(4, "big"))
        self.sock.sendall(frame(SETTINGS, 0, 0, b"\x00\x04" + WINDOW.to_bytes(4, "big")) + more)
        while len(header := self.reader.read(9)) == 9:
            high, low, kind, flags, stream = _FRAME.unpack(header)
            self._on(kind, flags, stream, self.reader.read(high << 8 | low))

    def _on(self, kind: int, flags: int, stream: int, payload: bytes) -> None:
        if kind == SETTINGS and not flags & ACK:
            for at in range(0, len(payload), 6):
                if payload[at : at + 2] == b"\x00\x04":
                    self.stream_window = int.from_bytes(payload[at + 2 : at + 6], "big")
            self.sock.sendall(frame(SETTINGS, ACK, 0))
        elif kind == PING and not flags & ACK:
            self.sock.sendall(frame(PING, ACK, 0, payload))
        elif kind == DATA:
            self._on_data(stream, len(payload))
        elif kind == HEADERS:
            self._on_head(flags, stream, payload[5:] if flags & PRIORITY else payload)
        if kind == DATA and flags & END_STREAM:
            del self.owed[stream]
            self._answer(stream, b"%d" % self.bodies.pop(stream))

    def _on_head(self, flags: int, stream: int, block: bytes) -> None:
        path = dict(self.decoder.decode(block))[":path"]
        if not flags & END_STREAM:
            self.bodies[stream], self.owed[stream] = 0, 0
        elif path == "/slow":
            count = self.stream_window // len(PIECE)
            self.sock.sendall(frame(HEADERS, END_HEADERS, stream, b"\x88") + frame(DATA, 0, stream, PIECE) * count)
        else:
            self._answer(stream, SMALL)

    def _on_data(self, stream: int, size: int) -> None:
        self.bodies[stream] += size
        for number in (0, stream):
            self.owed[number] += size
            if self.owed[number] >= WINDOW // 2:
                self.sock.sendall(frame(WINDOW_UPDATE, 0, number, self.owed[number].to_bytes(4, "big")))
                self.owed[number] = 0

    def _answer(self, stream: int, content: bytes) -> None:
        block = b"\x88" + field(28, str(len(content)))
        self.sock.sendall(frame(HEADERS, END_HEADERS, stream, block) + frame(DATA, END_STREAM, stream, content))


def _serve(sock: socket.socket) -> None:
    try:
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        _Connection(sock).run()
    except OSError:
        pass
    finally:
        sock.close()


def in_child(case: dict[str, Any], control: Control) -> None:
    """Serve on a free port, which is said first, until the parent hangs up."""
    listener = socket.socket()
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, RECEIVE_BUFFER)  # which connections inherit
    listener.bind(("127.0.0.1", 0))
    listener.listen(64)

    def accept() -> None:
        while True:
            sock, _ = listener.accept()
            threading.Thread(target=_serve, args=(sock,), daemon=True).start()

    threading.Thread(target=accept, daemon=True).start()
    control.say(port=listener.getsockname()[1])
    control.hear()
