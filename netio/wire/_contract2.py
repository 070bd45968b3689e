"""What an HTTP/2 engine is, and its limits: see _contract.py for what both versions have in common."""

from __future__ import annotations

from abc import ABC, abstractmethod
from enum import IntEnum

from netio.errors import RequestError
from netio.headers import Field
from netio.wire._contract import Message, RequestHead

# The limits of HTTP/2. Each holds for one connection; above it the connection ends with ENHANCE_YOUR_CALM.
MAX_CONTINUATIONS = 8  # frames of one header block (HAZARDS H2-01); nghttp2 allows 8 as well
MAX_SETTINGS = 32  # in one frame (H2-06), as in nghttp2
MAX_ANSWERS = 1_000  # acknowledgements of PING and SETTINGS that nobody took (H2-06), as in nghttp2
# Frames that bring nothing: PING, SETTINGS, WINDOW_UPDATE, PRIORITY and GOAWAY, empty and unknown ones, those for a
# closed stream (H2-07, H2-08). What is useful wins back: a request, a DATA frame sent, 256 bytes of a body in either
# direction, an answer to our PING. Envoy allows 10 WINDOW_UPDATEs for each DATA frame sent; old Go sends more.
MAX_USELESS = 1_000
USELESS_PER_USEFUL = 16
# Of these the connection outlives all: above it they are forgotten.
MAX_GIVEN_UP = 1_000  # streams that were given up while the peer may still send for them (RFC 9113 section 5.4.2)
MAX_GOAWAY_DEBUG = 80  # bytes of its explanation that are kept

STREAM_WINDOW = 262_144  # bytes the peer may send ahead of a reader; Go and hyper have 4 and 2 MiB, and keep them
MAX_STREAM_WINDOW = 16_777_216
CONNECTION_WINDOW = 33_554_432  # 128 streams that nobody reads leave room for others (H2-19)

# Until the peer has said how many streams it allows. Go and hyper assume 100, and have to send again what a server with
# a lower limit refuses; one request can go at once, and the others wait a round trip for the answer.
STREAMS_BEFORE_SETTINGS = 1
ENCODER_TABLE = 4_096  # the default of HPACK; a peer may ask for any size (H2-05)


class ErrorCode(IntEnum):
    """Why a stream or connection ends (RFC 9113 section 7)."""

    NO_ERROR = 0
    PROTOCOL_ERROR = 1
    INTERNAL_ERROR = 2
    FLOW_CONTROL_ERROR = 3
    SETTINGS_TIMEOUT = 4
    STREAM_CLOSED = 5
    FRAME_SIZE_ERROR = 6
    REFUSED_STREAM = 7
    CANCEL = 8
    COMPRESSION_ERROR = 9
    CONNECT_ERROR = 10
    ENHANCE_YOUR_CALM = 11
    INADEQUATE_SECURITY = 12
    HTTP_1_1_REQUIRED = 13


class GoAway:
    """What the peer said when it began to leave: the last of its GOAWAY frames.

    `code` may be none of `ErrorCode`; `debug` is what explains it, escaped; `words` is all of it for an error message.
    """

    __slots__ = ("code", "debug", "last_stream_id", "words")

    def __init__(self, last_stream_id: int, code: int, debug: str, words: str) -> None:
        self.last_stream_id = last_stream_id
        self.code = code
        self.debug = debug
        self.words = words


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

    For others to read:

    * `has_settings`: the peer's SETTINGS have come; before, `max_streams` is a careful guess.
    * `has_extended_connect`: the peer allows a CONNECT with a `protocol` (RFC 8441).
    * `is_settings_acknowledged`: the peer has acknowledged all SETTINGS that were sent.
    * `pings_sent`, `pings_answered`: how often `ping` was called, and the number of the last one that was acknowledged.
    * `data_received`: bytes of DATA frames, padding included; what a bandwidth-delay product is made of.
    * `stream_window`, `connection_window`: how many bytes the peer may send ahead of the readers.
    * `goaway`: what the peer said when it began to leave.
    * `heads`: streams that have got a head without an end, for whoever cares to take them out.
    """

    __slots__ = (
        "connection_window",
        "data_received",
        "goaway",
        "has_extended_connect",
        "has_settings",
        "heads",
        "is_settings_acknowledged",
        "pings_answered",
        "pings_sent",
        "stream_window",
    )

    def __init__(self, *, stream_window: int = STREAM_WINDOW, connection_window: int = CONNECTION_WINDOW) -> None:
        self.stream_window = stream_window
        self.connection_window = max(connection_window, 65_535)  # RFC 9113 section 6.9.2
        self.has_settings = False
        self.has_extended_connect = False
        self.is_settings_acknowledged = False
        self.pings_sent = 0
        self.pings_answered = 0
        self.data_received = 0
        self.heads: list[Stream] = []
        self.goaway: GoAway | None = None

    @abstractmethod
    def open(self, head: RequestHead) -> Stream:
        """Open a stream with HEADERS; a body of length 0 ends the request with it.

        CONNECT has no body (`length` 0), and its stream carries raw bytes both ways until `end`.
        Raises `InvalidRequest` for what cannot be sent, also an extended CONNECT that the peer has not allowed, and
        `ConnectionLost` with `sent=False` if there is no place.
        """

    @abstractmethod
    def send(self, stream: Stream, data: bytes | memoryview) -> int:
        """Queue as much of the request body as the windows allow; return how much that is.

        If it is not all, `needs_room` is set, and `feed` returns the stream when there is room again. The last byte of
        an announced length ends the request.
        Raises `RequestBodyError` if it is more than was announced.
        """

    @abstractmethod
    def end(self, stream: Stream, trailers: tuple[Field, ...] = ()) -> None:
        """End the request, unless it has ended.

        Raises `RequestBodyError` if the body was shorter than announced, or for trailers after the end: they need a
        body without announced length. Raises `InvalidRequest` for trailers that cannot be sent.
        """

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
    def ping(self) -> None:
        """Queue a PING, and count it."""

    @abstractmethod
    def grow_windows(self, stream_window: int, connection_window: int) -> None:
        """Let the peer send more ahead of the readers, on open and new streams.

        A window never shrinks, and that of a stream never exceeds `MAX_STREAM_WINDOW`.
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
    def has_stream_ids(self) -> bool:
        """Whether there are ids for new streams left (RFC 9113 section 5.1.1)."""

    @property
    @abstractmethod
    def max_streams(self) -> int:
        """How many streams may be open at once; 0 once the connection is leaving (GOAWAY, no ids left, error)."""
