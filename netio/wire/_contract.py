"""What an HTTP engine is: bytes in, messages out, and the other way round. No I/O, no clock, no event loop.

An engine belongs to one connection. `feed(data)` writes what it understood into `Message` objects and says whose wish
came true; there are no event objects. The one who waits states its wish first (`message.wish = Wish.END`), so that
a task is woken once for a whole body and not for each of its pieces.

Everything an engine is given to send is checked before any state is touched: an engine that raises `InvalidRequest` is
as good as before. An engine that raises `ProtocolError` from `feed` is done for: the connection is to be closed, after
what `take()` still has (a GOAWAY) was written.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from enum import IntEnum
from typing import Any

from netio.errors import RequestError
from netio.headers import Field
from netio.reading import MAX_BODY

MAX_HEAD_BYTES = 65_536  # nginx's large_client_header_buffers and Node's --max-http-header-size are 32 and 16 KiB
MAX_HEAD_FIELDS = 256  # Apache's LimitRequestFields is 100
MAX_INFORMATIONAL = 16  # 1xx answers to one request; RFC 9110 section 15.2 sets no limit
MAX_CHUNK_OVERHEAD = 16_384  # of one body, on top of 1 % of it and of 16 bytes a chunk (Go's net/http)


class Wish(IntEnum):
    """What the reader of a message waits for; each includes those before it."""

    NOTHING = 0
    HEAD = 1
    PROGRESS = 2
    END = 3


_NOTHING, _HEAD, _PROGRESS = Wish.NOTHING, Wish.HEAD, Wish.PROGRESS  # names are faster than members


class RequestHead:
    """The control data and fields of a request, ready to be encoded. Never changed, so it may be sent many times.

    `length` is the length of the body in bytes, None if only its end will tell. `fields` holds neither Host nor framing
    fields (Content-Length, Transfer-Encoding, Connection, Upgrade): those are the engine's (HAZARDS REQ-03).

    Only HTTP/1.1 has these: `closes` asks for "Connection: close"; `upgrade` is the value of an Upgrade field, which
    goes with "Connection: upgrade" (RFC 9110 section 7.8). For the method CONNECT, `target` and `authority` are both
    the host and port to be connected to, and there is no body (section 9.3.6).

    Only HTTP/2 has this: `protocol` makes a CONNECT an extended one, with scheme and target as usual (RFC 8441).

    `encoded` is for the engine: the checked and encoded HTTP/1.1 head, None until it was sent for the first time.
    """

    __slots__ = (
        "authority",
        "closes",
        "encoded",
        "fields",
        "length",
        "method",
        "protocol",
        "scheme",
        "target",
        "upgrade",
    )

    def __init__(
        self,
        method: str,
        scheme: str,
        authority: str,
        target: str,
        fields: tuple[Field, ...],
        length: int | None,
        *,
        closes: bool = False,
        upgrade: str | None = None,
        protocol: str | None = None,
    ) -> None:
        self.method = method
        self.scheme = scheme
        self.authority = authority
        self.target = target
        self.fields = fields
        self.length = length
        self.closes = closes
        self.upgrade = upgrade
        self.protocol = protocol
        self.encoded: bytes | None = None


# Methods whose definition anticipates a body: an empty one is announced as Content-Length: 0 (RFC 9110 section 8.6).
METHODS_WITH_BODY = frozenset(("POST", "PUT", "PATCH"))


def content_length(head: RequestHead) -> int | None:
    """Return the Content-Length that the head has to announce, None for no such field."""
    if head.length or (head.length == 0 and head.method in METHODS_WITH_BODY):
        return head.length
    return None


class ResponseHead:
    """The status line and header fields of a response. May be shared between messages: it is never changed.

    `is_coded` says whether a Content-Encoding is among the fields.
    """

    __slots__ = ("fields", "is_coded", "reason", "status", "version")

    def __init__(self, status: int, reason: str, version: str, fields: tuple[Field, ...]) -> None:
        self.status = status
        self.reason = reason
        self.version = version
        self.fields = fields
        self.is_coded = any(len(name) == 16 and name.lower() == "content-encoding" for name, _ in fields)


class Message:
    """One response on its way in. The engine writes it, the connection reads it and takes what it reads.

    * `head`: the final head, None until it came; `informational`: the 1xx heads before it.
    * `chunks`: what has come of the body and was not taken; `received`: how many bytes of it came in all.
    * `is_complete`: nothing more will come; `error`: why, if that is not the clean end.
    * `most`: how many bytes of a body the one who wishes for its end will take: with more, or if more is announced, the
      wish comes true before the end. Less than `received` then; -1 for what was announced.
    * `wish`: set by whoever waits, cleared by the engine when it came true.
    * `reader`, `writer`: for the connection, which task to wake; the engine never looks at them.
    """

    __slots__ = (
        "chunks",
        "error",
        "head",
        "informational",
        "is_complete",
        "most",
        "reader",
        "received",
        "trailers",
        "wish",
        "writer",
    )

    def __init__(self) -> None:
        self.head: ResponseHead | None = None
        self.informational: list[ResponseHead] = []
        self.chunks: list[bytes] = []
        self.received = 0
        self.most: float = MAX_BODY
        self.trailers: tuple[Field, ...] = ()
        self.is_complete = False
        self.error: RequestError | None = None
        self.wish = _NOTHING
        self.reader: Any = None
        self.writer: Any = None

    def has(self, wish: Wish) -> bool:
        """Whether what one could wish for is here already."""
        if self.is_complete:
            return True
        if wish is _HEAD:
            return self.head is not None
        return bool(self.chunks) if wish is _PROGRESS else self.received > self.most

    def grant(self) -> bool:
        """Clear the wish if it has come true; return whether it has."""
        if not self.wish or not self.has(self.wish):
            return False
        self.wish = _NOTHING
        return True


class Http1Engine(ABC):
    """The client side of one HTTP/1.1 connection: one exchange after the other (RFC 9112).

    A new engine is idle. `start` begins an exchange; it is over when the request is ended and the message complete.
    Then `is_reusable` says whether the connection may carry another one.

    The connection becomes a tunnel with a 101 to a request that asked for an upgrade, and with a 2xx to CONNECT: the
    final head is there, and every byte after it is a chunk of a body that only the end of the connection completes.
    `body` then passes bytes on as they are. Any other answer to such a request is a response like all others.
    """

    __slots__ = ()

    @abstractmethod
    def start(self, head: RequestHead) -> tuple[Message, bytes]:
        """Begin an exchange: return the message to come, and the encoded head. A body of length 0 ends the request.

        Raises `InvalidRequest` for what cannot be sent; the engine is then still idle.
        """

    @abstractmethod
    def body(self, data: bytes | memoryview) -> bytes | memoryview:
        """Frame a piece of the request body; the last byte of an announced length ends the request.

        In a tunnel, return the bytes as they are. Raises `RequestBodyError` if it is more than was announced.
        """

    @abstractmethod
    def end(self, trailers: tuple[Field, ...] = ()) -> bytes:
        """End the request, unless it has ended. Raises `RequestBodyError` if the body was shorter than announced.

        Trailers need a body without announced length: else, and after the end, they raise `RequestBodyError` too.
        """

    @abstractmethod
    def feed(self, data: bytes) -> bool:
        """Take received bytes; return whether the message's wish came true.

        Raises `ProtocolError` for what is not HTTP or above a limit, and for bytes that nobody asked for.
        """

    @abstractmethod
    def feed_end(self, *, is_clean: bool) -> bool:
        """Take the end of input; return whether the message's wish came true.

        A body that ends with the connection, and a tunnel, is complete only if the end `is_clean` (a FIN; under TLS a
        close_notify). Otherwise the message gets `ConnectionLost` or `IncompleteBody`.
        """

    @property
    @abstractmethod
    def is_request_ended(self) -> bool:
        """Whether the request of the current exchange was written to its end."""

    @property
    @abstractmethod
    def is_reusable(self) -> bool:
        """Whether a new exchange may `start`: at first, and after a clean end that both sides mean to outlive."""

    @property
    @abstractmethod
    def is_tunnel(self) -> bool:
        """Whether the connection speaks another protocol now, or leads to another server."""
