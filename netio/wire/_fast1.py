"""netio's own HTTP/1.1, strict and fast: docs/http1.md says what it takes and what it refuses.

What comes in goes by `_state`, one step after the other. Most responses are in one read: a head that was seen before,
and a body of a known length that is all there. `feed` takes these in a few lines of its own, which costs about a third
of the way that all others go; whatever it leaves alone is judged there, from the start and by the same rules.

A body of a known length is passed on in the pieces it comes in, without a copy. A head that comes in pieces is
collected, and each byte is looked at once, so that a server which speaks something else is found out at once.
"""

# pyright: reportIncompatibleMethodOverride=false

from __future__ import annotations

from netio.errors import ConnectionLost, IncompleteBody, ProtocolError, RequestBodyError
from netio.headers import Field
from netio.wire._checks import checked_request, encoded_trailers
from netio.wire._chunked import ChunkedBody
from netio.wire._contract import (
    MAX_HEAD_BYTES,
    MAX_INFORMATIONAL,
    Http1Engine,
    Message,
    RequestHead,
    Wish,
    content_length,
)
from netio.wire._head1 import BOTH, CHUNKED, CHUNKED_1_0, INTERIM, UNTIL_END, HeadCache, ReceivedHead, find_fault

_END = b"\r\n\r\n"
_LAST_END = MAX_HEAD_BYTES - len(_END)
_GRANTED = Wish.NOTHING

# What comes in next. The first three are before a final head.
_HEAD = 0  # nothing has come yet, and the method has no say in where the response ends
_SPECIAL_HEAD = 1  # nothing of a head has come yet
_PARTIAL_HEAD = 2  # the buffer holds the beginning of a head
_LENGTH = 3
_CHUNKS = 4
_REST = 5  # a body until the end of the connection, or a tunnel
_NOTHING = 6  # no exchange, or the response is complete
_NO_MORE = 7  # after the end of input, an error, or bytes that nobody asked for

# Stands for the message when there is none: an idle connection keeps nothing of its last response, nor of its reader.
_NO_MESSAGE = Message()
_NO_MESSAGE.is_complete = True

_SPECIAL_METHODS = frozenset(("HEAD", "CONNECT"))
_NO_REQUEST = -1

_BROKEN_FRAMING = {
    BOTH: "the response has both Content-Length and Transfer-Encoding (RFC 9112 section 6.3)",
    CHUNKED_1_0: "the response has a Transfer-Encoding in HTTP/1.0 (RFC 9112 section 6.1)",
}


class FastHttp1(Http1Engine):
    """The client side of one HTTP/1.1 connection. Connections that have one owner may share a `HeadCache`."""

    __slots__ = (
        "_buffer",
        "_cache",
        "_chunked",
        "_heads",
        "_keeps_alive",
        "_left",
        "_message",
        "_request",
        "_state",
        "_unsent",
        "_used",
        "is_request_ended",
        "is_reusable",
        "is_tunnel",
    )

    # Attributes in place of the contract's properties, since they are read for every request. Nobody else sets them.
    is_request_ended: bool
    is_reusable: bool
    is_tunnel: bool

    def __init__(self, cache: HeadCache | None = None) -> None:
        self._cache = HeadCache() if cache is None else cache
        self._heads = self._cache.heads
        self._state = _NOTHING
        self._request: RequestHead | None = None
        self._message = _NO_MESSAGE
        self._unsent: int | None = _NO_REQUEST
        self._left = 0  # of a body of known length
        self._used = 0  # bytes of interim heads
        self._keeps_alive = False  # both sides, once the head is there
        self._buffer = bytearray()
        self._chunked: ChunkedBody | None = None
        self.is_request_ended = False
        self.is_reusable = True
        self.is_tunnel = False

    # ------------------------------------------------------------------ the request

    def start(self, head: RequestHead) -> tuple[Message, bytes]:
        if not self.is_reusable:
            raise ConnectionLost("the connection is closed or still busy with another request", sent=False)
        data = head.encoded
        if data is None:
            data = head.encoded = _encode(head)
        self._request = head
        self._message = message = Message()
        self._state = _SPECIAL_HEAD if head.method in _SPECIAL_METHODS else _HEAD
        self._keeps_alive = not head.closes
        self._used = 0
        self._unsent = head.length
        self.is_request_ended = head.length == 0
        self.is_reusable = False
        return message, data

    def body(self, data: bytes | memoryview) -> bytes | memoryview:
        if self.is_request_ended or self._unsent == _NO_REQUEST:
            if self.is_tunnel:
                return data
            raise RequestBodyError(f"{len(data)} bytes of a request body were given after its end")
        if self._unsent is None:
            return b"".join((b"%x\r\n" % len(data), data, b"\r\n")) if data else b""
        left = self._unsent - len(data)
        if left < 0:
            raise RequestBodyError(f"the request body is longer than its declared length, by {-left} bytes or more")
        self._unsent = left
        if not left:
            self._end_request()
        return data

    def end(self, trailers: tuple[Field, ...] = ()) -> bytes:
        if trailers and (self.is_request_ended or self._unsent is not None):
            raise RequestBodyError("trailers need a body without announced length that has not ended")
        if self.is_request_ended or self._unsent == _NO_REQUEST:
            return b""
        if self._unsent:
            raise RequestBodyError(f"the request body is shorter than its declared length, by {self._unsent} bytes")
        section = encoded_trailers(trailers) if trailers else b""
        self._end_request()
        return b"0\r\n" + section + b"\r\n"

    def _end_request(self) -> None:
        self.is_request_ended = True
        self.is_reusable = self._state == _NOTHING and self._keeps_alive

    # ------------------------------------------------------------------ the response

    def feed(self, data: bytes) -> bool:
        """See the contract. The usual cases are written out here: calls in their place cost 1.5 µs a response."""
        if not data:
            return False
        message = self._message
        state = self._state
        try:
            if state == _HEAD:
                end = data.find(_END)
                if 0 <= end <= _LAST_END:
                    head = self._heads.get(data[:end]) or self._cache.read(data[:end])
                    data = data[end + 4 :]
                    if len(data) == head.framing:  # which is negative if it is no length
                        message.head = head
                        if data:
                            message.chunks.append(data)
                            message.received = len(data)
                        message.is_complete = True
                        self._message = _NO_MESSAGE
                        self._state = _NOTHING
                        self._keeps_alive = keeps_alive = self._keeps_alive and head.keeps_alive
                        self.is_reusable = keeps_alive and self.is_request_ended
                        if message.wish:
                            message.wish = _GRANTED
                            return True
                        return False
                    self._used = end + 4
                    self._begin_response(message, head)
            elif state == _LENGTH:
                left = self._left - len(data)
                if left > 0:
                    self._left = left
                    message.received += len(data)
                    message.chunks.append(data)
                    return message.grant() if message.wish else False
            elif state == _NOTHING:
                raise ProtocolError(f"the server sent what no request asked for: {data[:40]!r}")
            elif state == _NO_MORE:
                return False
            self._feed(message, data)
        except ProtocolError:
            self._state = _NO_MORE
            self.is_reusable = False
            raise
        return message.grant()

    def _feed(self, message: Message, data: bytes) -> None:
        """Take data from where the state says; that it is complete already is the work of this read."""
        while self._state <= _PARTIAL_HEAD:
            head, data = self._take_head(data)
            if head is None:
                return
            self._begin_response(message, head)
        if self._state == _LENGTH:
            self._take_length(message, data)
        elif self._state == _CHUNKS:
            assert self._chunked is not None
            end = self._chunked.feed(message, data)
            if end >= 0:
                self._chunked = None
                self._complete(message, has_excess=end < len(data))
        elif data:
            if self._state == _NOTHING:
                self._complete(message, has_excess=True)
            else:
                message.chunks.append(data)
                message.received += len(data)

    def _take_head(self, data: bytes) -> tuple[ReceivedHead | None, bytes]:
        """Take one head from the buffer and data; return it (None if it is not complete) and the rest of data."""
        buffer = self._buffer
        kept = len(buffer)
        if kept:
            room = MAX_HEAD_BYTES + 1 - kept
            buffer += data if len(data) <= room else data[:room]
            end = buffer.find(_END, max(0, kept - 3))
        else:
            end = data.find(_END)
        if (len(buffer) or len(data)) + self._used > MAX_HEAD_BYTES and not 0 <= end <= _LAST_END - self._used:
            raise ProtocolError(f"the response head is longer than {MAX_HEAD_BYTES} bytes (MAX_HEAD_BYTES)")
        if end < 0:
            if not kept:
                buffer += data
            fault = find_fault(buffer, kept)
            if fault:
                raise ProtocolError(fault)
            self._state = _PARTIAL_HEAD
            return None, b""
        self._used += end + 4
        if kept:
            raw = bytes(buffer[:end])
            buffer.clear()
        else:
            raw = data[:end]
        return self._heads.get(raw) or self._cache.read(raw), data[end + 4 - kept :]

    def _begin_response(self, message: Message, head: ReceivedHead) -> None:
        """Decide what follows a head (RFC 9112 section 6.3)."""
        request = self._request
        assert request is not None
        status, framing = head.status, head.framing
        if status == 101 and framing == INTERIM:
            if request.upgrade is None:
                raise ProtocolError("the server switched protocols (101), which nobody asked for")
            if not self.is_request_ended:
                raise ProtocolError("the server switched protocols (101) in the middle of the request")
            self.is_tunnel = True
        elif request.method == "CONNECT" and 200 <= status < 300:
            self.is_tunnel = True  # whatever the framing fields say (RFC 9110 section 9.3.6)
        elif framing in _BROKEN_FRAMING:
            raise ProtocolError(_BROKEN_FRAMING[framing])
        elif framing == INTERIM:
            if len(message.informational) == MAX_INFORMATIONAL:
                raise ProtocolError(f"the server sent more than {MAX_INFORMATIONAL} 1xx answers (MAX_INFORMATIONAL)")
            message.informational.append(head)
            self._state = _SPECIAL_HEAD
            return
        message.head = head
        self._keeps_alive = self._keeps_alive and head.keeps_alive
        if self.is_tunnel:
            self._state = _REST
        elif framing == 0 or request.method == "HEAD":
            self._complete(message)
        elif framing > 0:
            self._left = framing
            self._state = _LENGTH
            if framing > message.most:
                message.most = -1
        elif framing == CHUNKED:
            self._chunked = ChunkedBody()
            self._state = _CHUNKS
        else:
            assert framing == UNTIL_END
            self._state = _REST

    def _take_length(self, message: Message, data: bytes) -> None:
        left = self._left
        if data:
            message.chunks.append(data if len(data) <= left else data[:left])
            message.received += min(left, len(data))
        if len(data) >= left:
            self._complete(message, has_excess=len(data) > left)
        else:
            self._left = left - len(data)

    def _complete(self, message: Message, *, has_excess: bool = False) -> None:
        """End the response. What comes behind it belongs to nobody, and ends the connection (RFC 9112 section 9.2)."""
        message.is_complete = True
        self._message = _NO_MESSAGE
        self._state = _NO_MORE if has_excess else _NOTHING
        self.is_reusable = self._keeps_alive and self.is_request_ended and not has_excess

    # ------------------------------------------------------------------ the end of input

    def feed_end(self, *, is_clean: bool) -> bool:
        state, self._state = self._state, _NO_MORE
        self.is_reusable = False
        message = self._message
        if message.is_complete:
            return False
        if message.head is None:
            message.error = ConnectionLost(self._lost_before_head())
        elif not (state == _REST and is_clean):
            message.error = IncompleteBody(self._lost_in_body(message, state))
        message.is_complete = True
        return message.grant()

    def _lost_before_head(self) -> str:
        received = self._used + len(self._buffer)
        if not received:
            return "the server closed the connection without a byte of a response"
        return f"the server closed the connection after {received} bytes, before the response head was complete"

    def _lost_in_body(self, message: Message, state: int) -> str:
        if self.is_tunnel:
            return f"the tunnel broke after {message.received} bytes from the other side"
        if state == _REST:
            return (
                f"the connection broke after {message.received} bytes of a response body that only a clean end of the"
                " connection completes"
            )
        expected = f" of {message.received + self._left}" if state == _LENGTH else ""
        return f"the server closed the connection after {message.received}{expected} bytes of the response body"


def _encode(head: RequestHead) -> bytes:
    """Return the head as it is sent. Raises `InvalidRequest`."""
    fields = checked_request(head, may_tunnel=True)
    lines = [f"{head.method} {head.target} HTTP/1.1\r\nHost: {head.authority}\r\n"]
    lines += [f"{name}: {value}\r\n" for name, value in fields]
    length = content_length(head)
    if length is not None:
        lines.append(f"Content-Length: {length}\r\n")
    elif head.length is None:
        lines.append("Transfer-Encoding: chunked\r\n")
    if head.closes:
        lines.append("Connection: close\r\n")
    if head.upgrade is not None:
        lines.append(f"Connection: upgrade\r\nUpgrade: {head.upgrade}\r\n")
    lines.append("\r\n")
    return "".join(lines).encode("latin-1")
