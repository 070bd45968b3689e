"""HTTP/2 header blocks: a request's, made before HPACK sees it, and a response's, judged after HPACK has read it.

h2 would find the same faults, but the outgoing ones when the encoder's table has already changed, and for the incoming
ones it would give up the connection where RFC 9113 section 8.1.1 gives up the stream.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from hpack import HeaderTuple, NeverIndexedHeaderTuple

from netio.errors import InvalidRequest, ProtocolError
from netio.headers import Field
from netio.wire._checks import checked_request
from netio.wire._contract import MAX_HEAD_FIELDS, RequestHead, ResponseHead, content_length

_SCHEME = re.compile(r"[a-z][a-z0-9+\-.]*").fullmatch
_PATH = re.compile(r"/.*|\*").fullmatch
_CONNECTION_SPECIFIC = frozenset(("connection", "keep-alive", "proxy-connection", "transfer-encoding", "upgrade"))
_NEVER_INDEXED = frozenset(("authorization", "cookie", "proxy-authorization"))

_STATUS = re.compile(rb"[1-5][0-9][0-9]").fullmatch
_NAME = re.compile(rb"[!#$%&'*+\-.^_`|~0-9a-z]+").fullmatch
_VALUE = re.compile(rb"[\t\x20-\x7e\x80-\xff]*").fullmatch


def request_block(head: RequestHead) -> list[HeaderTuple]:
    """Return the header block of a request that can be sent over HTTP/2, or raise `InvalidRequest`."""
    fields = checked_request(head)
    if not _PATH(head.target):
        raise InvalidRequest(f"{head.target[:80]!a} is not a path (RFC 9113 section 8.3.1)")
    if not _SCHEME(head.scheme):
        raise InvalidRequest(f"{head.scheme[:80]!a} is not a URL scheme (RFC 3986 section 3.1)")
    length = content_length(head)
    if length is not None:
        fields.append(("content-length", str(length)))
    block = [
        HeaderTuple(b":method", head.method.encode("ascii")),
        HeaderTuple(b":scheme", head.scheme.encode("ascii")),
        HeaderTuple(b":authority", head.authority.encode("ascii")),
        HeaderTuple(b":path", head.target.encode("ascii")),
    ]
    for given, value in fields:
        name = given.lower()
        if name in _CONNECTION_SPECIFIC or (name == "te" and value.lower() != "trailers"):
            raise InvalidRequest(f"{given} is for HTTP/1.1 connections and cannot be sent (RFC 9113 section 8.2.2)")
        kind = NeverIndexedHeaderTuple if name in _NEVER_INDEXED else HeaderTuple
        block.append(kind(name.encode("ascii"), value.encode("latin-1")))
    return block


def response_head(block: Sequence[tuple[bytes, bytes]]) -> ResponseHead:
    """Return the head that a block stands for, or raise `ProtocolError` (HAZARDS H2-13)."""
    name, value = block[0] if block else (b"", b"")
    if name != b":status" or not _STATUS(value) or value == b"101":  # 101: section 8.6
        raise ProtocolError(f"the response head begins with {name[:40]!r}: {value[:40]!r}, which is not a status")
    return ResponseHead(int(value), "", "HTTP/2", response_fields(block[1:]))


def response_fields(block: Sequence[tuple[bytes, bytes]]) -> tuple[Field, ...]:
    """Return the fields of a block that has no pseudo-headers (any more), or raise `ProtocolError`."""
    if len(block) > MAX_HEAD_FIELDS:
        raise ProtocolError(f"the response has more than {MAX_HEAD_FIELDS} fields in one block (MAX_HEAD_FIELDS)")
    for name, value in block:
        if not _NAME(name):
            raise ProtocolError(f"{name[:80]!r} is not the name of a response field (RFC 9113 section 8.2.1)")
        if not _VALUE(value) or value != value.strip(b" \t"):
            raise ProtocolError(f"the response field {name[:80]!r} has a value with control characters or outer spaces")
    fields = tuple((name.decode("ascii"), value.decode("latin-1")) for name, value in block)
    for field, _ in fields:
        if field in _CONNECTION_SPECIFIC:
            raise ProtocolError(f"the response has the field {field}, which HTTP/2 forbids (RFC 9113 section 8.2.2)")
    return fields
