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
    Http2Engine,
    Message,
    RequestHead,
    ResponseHead,
    Stream,
    Wish,
)
from netio.wire._reference1 import ReferenceHttp1
from netio.wire._reference2 import ReferenceHttp2

__all__ = [
    "MAX_CHUNK_OVERHEAD",
    "MAX_HEAD_BYTES",
    "MAX_HEAD_FIELDS",
    "MAX_INFORMATIONAL",
    "Http1Engine",
    "Http2Engine",
    "Message",
    "ReferenceHttp1",
    "ReferenceHttp2",
    "RequestHead",
    "ResponseHead",
    "Stream",
    "Wish",
]
