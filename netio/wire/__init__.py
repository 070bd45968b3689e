"""Bytes to messages and back: the engines for HTTP/1.1 and HTTP/2.

Two contracts (`Http1Engine`, `Http2Engine`), and the reference engines that fulfil them on the well-known libraries h11
and h2. Nothing here does I/O, reads a clock or knows an event loop.
"""

from netio.wire._contract import (
    MAX_CHUNK_OVERHEAD,
    MAX_HEAD_BYTES,
    MAX_HEAD_FIELDS,
    MAX_INFORMATIONAL,
    Http1Engine,
    Message,
    RequestHead,
    ResponseHead,
    Wish,
)
from netio.wire._contract2 import (
    CONNECTION_WINDOW,
    MAX_ANSWERS,
    MAX_CONTINUATIONS,
    MAX_GIVEN_UP,
    MAX_SETTINGS,
    MAX_STREAM_WINDOW,
    MAX_USELESS,
    STREAM_WINDOW,
    ErrorCode,
    GoAway,
    Http2Engine,
    Stream,
)
from netio.wire._engines import ENGINES, EngineName, Engines
from netio.wire._fast1 import FastHttp1
from netio.wire._fast2 import FastHttp2
from netio.wire._head1 import HeadCache

__all__ = [
    "CONNECTION_WINDOW",
    "ENGINES",
    "MAX_ANSWERS",
    "MAX_CHUNK_OVERHEAD",
    "MAX_CONTINUATIONS",
    "MAX_GIVEN_UP",
    "MAX_HEAD_BYTES",
    "MAX_HEAD_FIELDS",
    "MAX_INFORMATIONAL",
    "MAX_SETTINGS",
    "MAX_STREAM_WINDOW",
    "MAX_USELESS",
    "STREAM_WINDOW",
    "EngineName",
    "Engines",
    "ErrorCode",
    "FastHttp1",
    "FastHttp2",
    "GoAway",
    "HeadCache",
    "Http1Engine",
    "Http2Engine",
    "Message",
    "RequestHead",
    "ResponseHead",
    "Stream",
    "Wish",
]
