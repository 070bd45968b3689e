"""HTTP/1.1 on h11.

Each exchange gets a fresh `h11.Connection`: h11 changes its state while it finds out that something cannot be sent, and
an engine that raised `InvalidRequest` has to be as good as new.

h11 forgives what netio does not, so a response head is collected and judged here before h11 sees it: line ends other
than CRLF, control characters, folded lines, another version, more than the limits (HAZARDS H1-07 to H1-10). What h11
says about the parsed head is then held against the rest: Content-Length beside Transfer-Encoding, Transfer-Encoding in
HTTP/1.0, lengths of more than 19 digits (H1-01 to H1-03).

From there on bodies are h11's, and docs/http1.md says where it is more lenient there than `FastHttp1`. The overhead of
chunks is looked at once a `feed`, so how far above its limit a body gets depends on the reads. A tunnel is not h11's
any more: its bytes pass by it.
"""

from __future__ import annotations

import re
from typing import Protocol

import h11

from netio.errors import ConnectionLost, IncompleteBody, ProtocolError, RequestBodyError
from netio.headers import Field, checked_field
from netio.wire._checks import announced_length, checked_request, has_no_body, keeps_alive, kept_trailers
from netio.wire._contract import (
    MAX_CHUNK_OVERHEAD,
    MAX_HEAD_BYTES,
    MAX_HEAD_FIELDS,
    MAX_INFORMATIONAL,
    Http1Engine,
    Message,
    RequestHead,
    ResponseHead,
    content_length,
)

_VERSIONS = (b"HTTP/1.1 ", b"HTTP/1.0 ")
_END = b"\r\n\r\n"

# Bare LF, bare CR (at the very end of what came it may still become a CRLF), folded line, control character.
_FAULT = re.compile(rb"(?<!\r)\n|\r[^\n]|\n[ \t]|[\x00-\x08\x0b\x0c\x0e-\x1f\x7f]").search

# What a chunk may take beside its data before it counts as overhead (Go's net/http). Without it a long stream of small
# chunks, such as server-sent events, would run into MAX_CHUNK_OVERHEAD sooner or later.
_CHUNK_LINE = 16


class ReferenceHttp1(Http1Engine):
    """The client side of one HTTP/1.1 connection, on h11."""

    def __init__(self) -> None:
        self._h11 = h11.Connection(h11.CLIENT)
        self._message: Message | None = None
        self._method = ""
        self._upgrade: str | None = None
        self._is_tunnel = False
        self._keeps_alive = False
        self._is_open = True  # until the end of input, an error, or bytes that nobody asked for
        self._is_request_ended = False
        self._unsent: int | None = None
        self._head = bytearray()
        self._scanned = 0
        self._head_bytes = 0
        self._interim_bytes = 0
        self._body_length: int | None = None
        self._ends_with_connection = False
        self._overhead = 0

    def start(self, head: RequestHead) -> tuple[Message, bytes]:
        if not self.is_reusable:
            raise ConnectionLost("the connection is closed or still busy with another request", sent=False)
        fields = [("Host", head.authority), *checked_request(head, may_tunnel=True)]
        length = content_length(head)
        if length is not None:
            fields.append(("Content-Length", str(length)))
        elif head.length is None:
            fields.append(("Transfer-Encoding", "chunked"))
        if head.closes:
            fields.append(("Connection", "close"))
        if head.upgrade is not None:
            fields += [("Connection", "upgrade"), ("Upgrade", head.upgrade)]
        connection = h11.Connection(h11.CLIENT, max_incomplete_event_size=MAX_HEAD_BYTES)
        encoded = [(name.encode("ascii"), value.encode("latin-1")) for name, value in fields]
        data = connection.send(h11.Request(method=head.method, target=head.target, headers=encoded))
        self._h11 = connection
        self._message = message = Message()
        self._method = head.method
        self._upgrade = head.upgrade
        self._keeps_alive = not head.closes
        self._is_request_ended = False
        self._unsent = head.length
        self._scanned = self._head_bytes = self._interim_bytes = self._overhead = 0
        if head.length == 0:
            data += self.end()
        return message, data

    def body(self, data: bytes | memoryview) -> bytes | memoryview:
        if self._is_tunnel:
            return data
        if self._message is None or self._is_request_ended:
            raise RequestBodyError(f"{len(data)} bytes of a request body were given after its end")
        if self._unsent is not None:
            if len(data) > self._unsent:
                excess = len(data) - self._unsent
                raise RequestBodyError(
                    f"the request body is longer than its declared length, by {excess} bytes or more"
                )
            self._unsent -= len(data)
        framed = self._h11.send(h11.Data(data=bytes(data)))
        return framed + self.end() if self._unsent == 0 else framed

    def end(self, trailers: tuple[Field, ...] = ()) -> bytes:
        if trailers and (self._is_request_ended or self._unsent is not None):
            raise RequestBodyError("trailers need a body without announced length that has not ended")
        if self._is_request_ended or self._message is None:
            return b""
        if self._unsent:
            raise RequestBodyError(f"the request body is shorter than its declared length, by {self._unsent} bytes")
        fields = [checked_field(name, value) for name, value in trailers]
        self._is_request_ended = True
        encoded = [(name.encode("ascii"), value.encode("latin-1")) for name, value in fields]
        return self._h11.send(h11.EndOfMessage(headers=encoded))

    def feed(self, data: bytes) -> bool:
        message = self._message
        if not self._is_open or not data:
            return False
        try:
            if message is None or message.is_complete:
                raise ProtocolError(f"the server sent what no request asked for: {_excerpt(data)}")
            if message.head is None:
                data = self._feed_head(message, data)
            if self._is_tunnel:
                _add(message, data)
            else:
                self._feed_body(message, data)
        except h11.ProtocolError as error:
            self._is_open = False
            raise ProtocolError(f"the server sent invalid HTTP/1.1: {error}") from error
        except ProtocolError:
            self._is_open = False
            raise
        return message.grant()

    def feed_end(self, *, is_clean: bool) -> bool:
        self._is_open = False
        message = self._message
        if message is None or message.is_complete:
            return False
        if message.head is None:
            message.error = ConnectionLost(self._lost_before_head())
        elif not (self._ends_with_connection and is_clean):
            message.error = IncompleteBody(self._lost_in_body(message))
        message.is_complete = True
        return message.grant()

    @property
    def is_request_ended(self) -> bool:
        return self._is_request_ended

    @property
    def is_reusable(self) -> bool:
        if self._message is None or not self._is_open:
            return self._is_open
        return self._message.is_complete and self._is_request_ended and self._keeps_alive

    @property
    def is_tunnel(self) -> bool:
        return self._is_tunnel

    def _feed_head(self, message: Message, data: bytes) -> bytes:
        """Take data until the final head is complete; return what is left of it for the body."""
        buffer = self._head
        buffer += data
        self._head_bytes += len(data)
        while message.head is None:
            end = self._find_end_of_head()
            if not end:
                return b""
            raw = bytes(buffer[:end])
            del buffer[:end]
            self._scanned = 0
            self._read_head(message, raw)
        rest = bytes(buffer)
        buffer.clear()
        return rest

    def _find_end_of_head(self) -> int:
        """Return where the head ends, 0 if that is not known yet. Refuses what h11 would let pass."""
        buffer = self._head
        if not any(version.startswith(buffer[: len(version)]) for version in _VERSIONS):
            raise ProtocolError(f"the server does not speak HTTP/1.1, its answer begins with {_excerpt(buffer)}")
        end = buffer.find(_END, max(0, self._scanned - len(_END))) + len(_END)
        if end < len(_END):
            end = 0
        if self._interim_bytes + (end or len(buffer)) > MAX_HEAD_BYTES:
            raise ProtocolError(f"the response head is longer than {MAX_HEAD_BYTES} bytes (MAX_HEAD_BYTES)")
        fault = _FAULT(buffer, max(0, self._scanned - 2), end or len(buffer))
        if fault:
            near = bytes(buffer[max(0, fault.start() - 20) : fault.end() + 20])
            raise ProtocolError(
                f"the response head has a wrong line end, a folded line or a control character, near {near!r}"
            )
        self._scanned = len(buffer)
        return end

    def _read_head(self, message: Message, raw: bytes) -> None:
        if raw.count(b"\r\n") - 2 > MAX_HEAD_FIELDS:
            raise ProtocolError(f"the response head has more than {MAX_HEAD_FIELDS} fields (MAX_HEAD_FIELDS)")
        if raw[9] not in b"12345":
            raise ProtocolError(f"the server answered with the status {raw[9:15]!r} (RFC 9110 section 15)")
        if raw[9:12] == b"101":
            self._check_switch()
        self._h11.receive_data(raw)
        event = self._h11.next_event()
        assert isinstance(event, h11.Response | h11.InformationalResponse)  # the head is whole
        head = ResponseHead(
            event.status_code,
            event.reason.decode("latin-1"),
            f"HTTP/{event.http_version.decode('ascii')}",
            _decoded(event.headers),
        )
        self._is_tunnel = head.status == 101 or (self._method == "CONNECT" and 200 <= head.status < 300)
        self._interim_bytes += len(raw)
        self._choose_framing(head)
        if isinstance(event, h11.InformationalResponse) and not self._is_tunnel:
            if len(message.informational) == MAX_INFORMATIONAL:
                raise ProtocolError(f"the server sent more than {MAX_INFORMATIONAL} 1xx answers (MAX_INFORMATIONAL)")
            message.informational.append(head)
            return
        message.head = head
        if (self._body_length or 0) > message.most and not has_no_body(self._method, head.status):
            message.most = -1
        self._keeps_alive = self._keeps_alive and keeps_alive(head.version, head.fields)
        if not self._is_tunnel:
            self._take_body(message)

    def _check_switch(self) -> None:
        if self._upgrade is None:
            raise ProtocolError("the server switched protocols (101), which nobody asked for")
        if not self._is_request_ended:
            raise ProtocolError("the server switched protocols (101) in the middle of the request")

    def _choose_framing(self, head: ResponseHead) -> None:
        if self._is_tunnel and head.status >= 200:  # CONNECT: whatever the fields say (RFC 9110 section 9.3.6)
            self._ends_with_connection = True
            return
        is_coded = any(name.lower() == "transfer-encoding" for name, _ in head.fields)
        length = announced_length(head.fields)
        if is_coded and length is not None:
            raise ProtocolError("the response has both Content-Length and Transfer-Encoding (RFC 9112 section 6.3)")
        if is_coded and head.version == "HTTP/1.0":
            raise ProtocolError("the response has a Transfer-Encoding in HTTP/1.0 (RFC 9112 section 6.1)")
        self._body_length = length
        is_framed = is_coded or length is not None or has_no_body(self._method, head.status)
        self._ends_with_connection = self._is_tunnel or not is_framed

    def _feed_body(self, message: Message, data: bytes) -> None:
        if not data:  # to h11, nothing would be the end of input
            return
        if message.is_complete:
            self._is_open = False
            return
        self._h11.receive_data(data)
        self._overhead += len(data)
        self._take_body(message)
        if self._overhead > MAX_CHUNK_OVERHEAD + message.received // 100:
            raise ProtocolError(
                f"the chunks of the response body have more than {MAX_CHUNK_OVERHEAD} bytes of overhead"
                " (MAX_CHUNK_OVERHEAD)"
            )

    def _take_body(self, message: Message) -> None:
        while (event := self._h11.next_event()) is not h11.NEED_DATA:
            if isinstance(event, h11.Data):
                size = len(event.data)
                message.chunks.append(bytes(event.data))
                message.received += size
                self._overhead -= size + (_CHUNK_LINE if event.chunk_end else 0)
            elif isinstance(event, h11.EndOfMessage):
                message.trailers = _checked_trailers(_decoded(event.headers))
                message.is_complete = True
                self._is_open = self._is_open and not self._h11.trailing_data[0]
                return

    def _lost_before_head(self) -> str:
        if not self._head_bytes:
            return "the server closed the connection without a byte of a response"
        return f"the server closed the connection after {self._head_bytes} bytes, before the response head was complete"

    def _lost_in_body(self, message: Message) -> str:
        if self._is_tunnel:
            return f"the tunnel broke after {message.received} bytes from the other side"
        if self._ends_with_connection:
            return (
                f"the connection broke after {message.received} bytes of a response body that only a clean end of the"
                " connection completes"
            )
        expected = "" if self._body_length is None else f" of {self._body_length}"
        return f"the server closed the connection after {message.received}{expected} bytes of the response body"


class _RawHeaders(Protocol):
    """h11's headers, a class it does not export."""

    def raw_items(self) -> list[tuple[bytes, bytes]]: ...


def _add(message: Message, data: bytes) -> None:
    if data:
        message.chunks.append(data)
        message.received += len(data)


def _decoded(headers: _RawHeaders) -> tuple[Field, ...]:
    return tuple((name.decode("ascii"), value.decode("latin-1")) for name, value in headers.raw_items())


def _checked_trailers(fields: tuple[Field, ...]) -> tuple[Field, ...]:
    if len(fields) > MAX_HEAD_FIELDS:
        raise ProtocolError(f"there are more than {MAX_HEAD_FIELDS} trailers (MAX_HEAD_FIELDS)")
    return kept_trailers(fields)


def _excerpt(data: bytes | bytearray) -> str:
    return repr(bytes(data[:40])) + ("..." if len(data) > 40 else "")
