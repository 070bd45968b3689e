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


class RequestHead:
    """The control data and fields of a request, ready to be encoded.

    `length` is the length of the body in bytes, None if only its end will tell. `fields` holds neither Host nor framing
    fields (Content-Length, Transfer-Encoding, Connection): those are the engine's (HAZARDS REQ-03). `closes` asks
    for "Connection: close", which only HTTP/1.1 has.
    """

    __slots__ = ("authority", "closes", "fields", "length", "method", "scheme", "target")

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
    ) -> None:
        self.method = method
        self.scheme = scheme
        self.authority = authority
        self.target = target
        self.fields = fields
        self.length = length
        self.closes = closes


# Methods whose definition anticipates a body: an empty one is announced as Content-Length: 0 (RFC 9110 section 8.6).
METHODS_WITH_BODY = frozenset(("POST", "PUT", "PATCH"))


def content_length(head: RequestHead) -> int | None:
    """Return the Content-Length that the head has to announce, None for no such field."""
    if head.length or (head.length == 0 and head.method in METHODS_WITH_BODY):
        return head.length
    return None


class ResponseHead:
    """The status line and header fields of a response. May be shared between messages: it is never changed."""

    __slots__ = ("fields", "reason", "status", "version")

    def __init__(self, status: int, reason: str, version: str, fields: tuple[Field, ...]) -> None:
        self.status = status
        self.reason = reason
        self.version = version
        self.fields = fields


class Message:
    """One response on its way in. The engine writes it, the connection reads it and takes what it reads.

    * `head`: the final head, None until it came; `informational`: the 1xx heads before it.
    * `chunks`: what has come of the body and was not taken; `received`: how many bytes of it came in all.
    * `is_complete`: nothing more will come; `error`: why, if that is not the clean end.
    * `wish`: set by whoever waits, cleared by the engine when it came true.
    * `reader`, `writer`: for the connection, which task to wake; the engine never looks at them.
    """

    __slots__ = (
        "chunks",
        "error",
        "head",
        "informational",
        "is_complete",
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
        self.trailers: tuple[Field, ...] = ()
        self.is_complete = False
        self.error: RequestError | None = None
        self.wish = Wish.NOTHING
        self.reader: Any = None
        self.writer: Any = None

    def has(self, wish: Wish) -> bool:
        """Whether what one could wish for is here already."""
        if self.is_complete:
            return True
        if wish is Wish.HEAD:
            return self.head is not None
        return wish is Wish.PROGRESS and bool(self.chunks)


class Http1Engine(ABC):
    """The client side of one HTTP/1.1 connection: one exchange after the other (RFC 9112).

    A new engine is idle. `start` begins an exchange; it is over when the request is `ended` and the message complete.
    Then `is_reusable` says whether the connection may carry another one.
    """

    @abstractmethod
    def start(self, head: RequestHead) -> tuple[Message, bytes]:
        """Begin an exchange: return the message to come, and the encoded head.

        Raises `InvalidRequest` for what cannot be sent; the engine is then still idle.
        """

    @abstractmethod
    def body(self, data: bytes) -> bytes:
        """Frame a piece of the request body; the last byte of an announced length ends the request.

        Raises `RequestBodyError` if it is more than was announced.
        """

    @abstractmethod
    def end(self) -> bytes:
        """End the request, unless it has ended. Raises `RequestBodyError` if the body was shorter than announced."""

    @abstractmethod
    def feed(self, data: bytes) -> bool:
        """Take received bytes; return whether the message's wish came true.

        Raises `ProtocolError` for what is not HTTP or above a limit, and for bytes that nobody asked for.
        """

    @abstractmethod
    def feed_end(self, *, is_clean: bool) -> bool:
        """Take the end of input; return whether the message's wish came true.

        A body that ends with the connection is complete only if the end `is_clean` (a FIN; under TLS a close_notify).
        Otherwise the message gets `ConnectionLost` or `IncompleteBody`.
        """

    @property
    @abstractmethod
    def is_request_ended(self) -> bool:
        """Whether the request of the current exchange was written to its end."""

    @property
    @abstractmethod
    def is_reusable(self) -> bool:
        """Whether a new exchange may `start`: at first, and after a clean end that both sides mean to outlive."""


class Stream(Message):
    """One HTTP/2 stream: the message to come, and what is left of the request."""

    __slots__ = ("credits_itself", "id", "is_request_ended", "needs_room")

    def __init__(self, stream_id: int) -> None:
        super().__init__()
        self.id = stream_id
        self.is_request_ended = False
        self.credits_itself = False
        """Window credit is given as data arrives, for a reader that takes the whole body anyway."""
        self.needs_room = False
        """The sender waits for window; cleared by the engine when `send` may take more."""


class Http2Engine(ABC):
    """The client side of one HTTP/2 connection (RFC 9113).

    A new engine has the preface and SETTINGS ready in `take()`. After every other call `has_output` may have become
    true: whoever called writes `take()` to the connection, in the order in which it took it.
    """

    @abstractmethod
    def open(self, head: RequestHead) -> Stream:
        """Open a stream with HEADERS; a body of length 0 ends the request with it.

        Raises `InvalidRequest` for what cannot be sent, and `ConnectionLost` with `sent=False` if there is no place.
        """

    @abstractmethod
    def send(self, stream: Stream, data: bytes | memoryview) -> int:
        """Queue as much of the request body as the windows allow; return how much that is.

        If it is not all, `needs_room` is set, and `feed` returns the stream when there is room again. The last byte of
        an announced length ends the request.
        Raises `RequestBodyError` if it is more than was announced.
        """

    @abstractmethod
    def end(self, stream: Stream) -> None:
        """End the request, unless it has ended. Raises `RequestBodyError` if the body was shorter than announced."""

    @abstractmethod
    def feed(self, data: bytes) -> list[Stream]:
        """Take received bytes; return the streams whose wish came true, that have room again, or that are complete."""

    @abstractmethod
    def fail(self, error: RequestError) -> list[Stream]:
        """End every open stream with an error, since the connection is gone; return those that somebody waits for."""

    @abstractmethod
    def take_chunks(self, stream: Stream) -> list[bytes]:
        """Take what has come of the body, and give its window credit back."""

    @abstractmethod
    def cancel(self, stream: Stream) -> None:
        """Reset a stream that is not wanted any more (CANCEL), and give back the credit of what nobody took of it.

        Later frames for it still count, and are dropped. Does nothing if the stream is closed already.
        """

    @abstractmethod
    def close(self) -> None:
        """Queue GOAWAY (NO_ERROR): we are leaving."""

    @abstractmethod
    def take(self) -> bytes:
        """Return what is to be written."""

    @property
    @abstractmethod
    def has_output(self) -> bool: ...

    @property
    @abstractmethod
    def open_streams(self) -> int:
        """How many streams are open, as the peer counts them."""

    @property
    @abstractmethod
    def has_settings(self) -> bool:
        """Whether the peer's SETTINGS have come; before, `max_streams` is a careful guess."""

    @property
    @abstractmethod
    def max_streams(self) -> int:
        """How many streams may be open at once; 0 once the connection is leaving (GOAWAY, no ids left, error)."""
