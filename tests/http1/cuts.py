"""Answers to be cut anywhere, and what a client may make of what is left: the slow and obvious judge.

A shape says what the bytes of an answer mean: from where on the final head is there, from where on all of it, and
which of its bytes are body. The judge goes by the RFC alone (9112 sections 6.3 and 8), not by netio's engines.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import netio

End = Literal["fin", "cut", "reset", "stall"]
"""How the server ends: FIN (under TLS after close_notify), FIN without close_notify, RST, or not at all."""

ENDS: tuple[End, ...] = ("fin", "reset", "stall")
SECURE_ENDS: tuple[End, ...] = ("fin", "cut", "reset", "stall")


@dataclass(frozen=True)
class Shape:
    """An answer: everything up to the end of its final head, then the body as pieces of framing and data in turn."""

    head: bytes
    pieces: tuple[tuple[bytes, bytes], ...] = ()
    method: str = "GET"
    behind: bytes = b""
    """What comes after the end, and is nobody's."""
    ends_with_connection: bool = False

    @property
    def message(self) -> bytes:
        return self.head + b"".join(framing + data for framing, data in self.pieces)

    @property
    def whole(self) -> bytes:
        return self.message + self.behind

    def body(self, cut: int) -> bytes:
        """The body that is in the first `cut` bytes."""
        left, body = cut - len(self.head), b""
        for framing, data in self.pieces:
            left -= len(framing)
            body += data[: max(0, left)]
            left -= len(data)
        return body

    def is_complete(self, cut: int, end: End) -> bool:
        if self.ends_with_connection:
            return cut >= len(self.head) and end == "fin"
        return cut >= len(self.message)

    def has_head(self, cut: int) -> bool:
        return cut >= len(self.head)


OK = b"HTTP/1.1 200 OK\r\n"
CHUNKED = OK + b"Transfer-Encoding: chunked\r\n\r\n"

SHAPES = {
    "length": Shape(OK + b"Content-Length: 5\r\n\r\n", ((b"", b"hello"),)),
    "no content": Shape(OK + b"Content-Length: 0\r\n\r\n"),
    "http 1.0": Shape(b"HTTP/1.0 200 OK\r\nContent-Length: 3\r\n\r\n", ((b"", b"abc"),)),
    "chunked": Shape(CHUNKED, ((b"3;x=y\r\n", b"abc"), (b"\r\n02\r\n", b"de"), (b"\r\n0\r\nX: y\r\n\r\n", b""))),
    "chunked, nothing": Shape(CHUNKED, ((b"0\r\n\r\n", b""),)),
    "to the end": Shape(OK + b"X: y\r\n\r\n", ((b"", b"hello"),), ends_with_connection=True),
    "1.0 to the end": Shape(b"HTTP/1.0 200 OK\r\n\r\n", ((b"", b"abc"),), ends_with_connection=True),
    "interim": Shape(b"HTTP/1.1 103 E\r\nA: b\r\n\r\n" + OK + b"Content-Length: 3\r\n\r\n", ((b"", b"abc"),)),
    "two interim": Shape(
        b"HTTP/1.1 100 C\r\n\r\nHTTP/1.1 102 P\r\n\r\n" + CHUNKED, ((b"1\r\n", b"a"), (b"\r\n0\r\n\r\n", b""))
    ),
    "head": Shape(OK + b"Content-Length: 9\r\n\r\n", method="HEAD"),
    "head, chunked": Shape(CHUNKED, method="HEAD"),
    "204": Shape(b"HTTP/1.1 204 No Content\r\n\r\n"),
    "304": Shape(b"HTTP/1.1 304 Not Modified\r\nContent-Length: 9\r\n\r\n"),
    "gzip": Shape(OK + b"Content-Encoding: gzip\r\nContent-Length: 4\r\n\r\n", ((b"", b"\x1f\x8b\x08\x00"),)),
    "two heads": Shape(OK + b"Content-Length: 2\r\n\r\n", ((b"", b"ok"),), behind=OK + b"Content-Length: 0\r\n\r\n"),
}


@dataclass
class Outcome:
    """What a client was given."""

    content: bytes = b""
    """Of a response that was whole, or what a streamed one gave before it failed."""
    error: netio.RequestError | None = None


def judge(shape: Shape, cut: int, end: End, outcome: Outcome) -> None:
    """Fail unless this is what a client may make of the first `cut` bytes and that end."""
    where = (shape.whole[:cut], end, outcome)
    body = shape.body(cut)
    error = outcome.error
    if shape.is_complete(cut, end):
        assert error is None, where
        assert outcome.content == body, where
        return
    assert error is not None, where
    assert error.sent is True, where
    assert error.request is not None, where
    has_head = shape.has_head(cut)
    assert error.phase == ("body" if has_head else "head"), where
    if end == "stall":
        assert type(error) is netio.ReadTimeout, where
    else:
        assert type(error) is (netio.IncompleteBody if has_head else netio.ConnectionLost), where
        assert isinstance(error, netio.ConnectionLost)
        assert error.unanswered is (cut == 0), where
    assert body.startswith(outcome.content), where
    # A reset may take back what was under way; anything else leaves a streamed body with what had come.
    assert outcome.content in (b"", body) or end == "reset", where
