"""HTTP/2 header blocks as lists of fields: a request's before HPACK sees it, and a response's after HPACK has read it.

A request is judged as a whole before the encoder's table may change. What is wrong with a response costs its stream and
not the connection (RFC 9113 section 8.1.1).
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from netio.errors import InvalidRequest, ProtocolError
from netio.headers import Field, checked_field
from netio.wire._checks import MAX_LENGTH_DIGITS, checked_request, kept_trailers
from netio.wire._contract import MAX_HEAD_FIELDS, RequestHead, ResponseHead, content_length

_SCHEME = re.compile(r"[a-z][a-z0-9+\-.]*").fullmatch
_PATH = re.compile(r"/.*|\*").fullmatch
_PROTOCOL = re.compile(r"[!#$%&'*+\-.^_`|~0-9A-Za-z]+").fullmatch
_CONNECTION_SPECIFIC = frozenset(("connection", "keep-alive", "proxy-connection", "transfer-encoding", "upgrade"))
_FRAMING = frozenset(("content-length", "host", "trailer"))

SECRETS = frozenset(
    (
        "api-key",
        "apikey",
        "authorization",
        "cookie",
        "proxy-authorization",
        "set-cookie",
        "x-access-token",
        "x-amz-security-token",
        "x-api-key",
        "x-auth-token",
        "x-csrf-token",
        "x-goog-api-key",
        "x-session-token",
        "x-vault-token",
        "x-xsrf-token",
    )
)
"""Request fields that hold credentials: never indexed, as who can guess may otherwise probe (RFC 7541 section 7.1)."""

_STATUS = re.compile(r"[1-5][0-9][0-9]").fullmatch
_NAME = re.compile(r"[!#$%&'*+\-.^_`|~0-9a-z]+").fullmatch
_VALUE = re.compile(r"[\t\x20-\x7e\x80-\xff]*").fullmatch
_LENGTH = re.compile(rf"[0-9]{{1,{MAX_LENGTH_DIGITS}}}").fullmatch


def request_block(head: RequestHead) -> list[Field]:
    """Return the header block of a request that can be sent over HTTP/2, or raise `InvalidRequest`."""
    if head.upgrade is not None:
        raise InvalidRequest("Upgrade is for HTTP/1.1 (RFC 9113 section 8.6)")
    fields = checked_request(head, may_tunnel=True, may_extend=True)
    block = [(":method", head.method), *_target_fields(head)]
    block += [checked_for_http2(name, value) for name, value in fields]
    length = content_length(head)
    if length is not None:
        block.append(("content-length", str(length)))
    return block


def _target_fields(head: RequestHead) -> list[Field]:
    if head.method == "CONNECT" and head.protocol is None:
        return [(":authority", head.authority)]  # section 8.5
    if not _PATH(head.target):
        raise InvalidRequest(f"{head.target[:80]!a} is not a path (RFC 9113 section 8.3.1)")
    if not _SCHEME(head.scheme):
        raise InvalidRequest(f"{head.scheme[:80]!a} is not a URL scheme (RFC 3986 section 3.1)")
    target = [(":scheme", head.scheme), (":authority", head.authority), (":path", head.target)]
    if head.protocol is None:
        return target
    if not _PROTOCOL(head.protocol) or head.length:
        raise InvalidRequest(f"{head.protocol[:80]!a} is no protocol for a CONNECT without a body (RFC 8441)")
    return [(":protocol", head.protocol), *target]


def checked_for_http2(given: str, value: str) -> Field:
    """Return a field that was checked for HTTP as it goes over HTTP/2."""
    name = given.lower()
    if name in _CONNECTION_SPECIFIC or (name == "te" and value.lower() != "trailers"):
        raise InvalidRequest(f"{given} is for HTTP/1.1 connections and cannot be sent (RFC 9113 section 8.2.2)")
    return name, value


def trailer_block(trailers: Sequence[Field]) -> list[Field]:
    """Return the header block of request trailers, or raise `InvalidRequest`."""
    block = [checked_for_http2(*checked_field(name, value)) for name, value in trailers]
    for name, _ in block:
        if name in _FRAMING:
            raise InvalidRequest(f"{name} cannot be a trailer (RFC 9110 section 6.5.1)")
    return block


def response_head(block: Sequence[Field]) -> ResponseHead:
    """Return the head that a block stands for, or raise `ProtocolError` (HAZARDS H2-13)."""
    name, value = block[0] if block else ("", "")
    if name != ":status" or not _STATUS(value) or value == "101":  # 101: section 8.6
        raise ProtocolError(f"the response head begins with {name[:40]!a}: {value[:40]!a}, which is not a status")
    return ResponseHead(int(value), "", "HTTP/2", response_fields(block[1:]))


def response_trailers(block: Sequence[Field]) -> tuple[Field, ...]:
    """Return what is kept of the trailers of a response, or raise `ProtocolError`."""
    return kept_trailers(list(response_fields(block)))


def response_fields(block: Sequence[Field]) -> tuple[Field, ...]:
    """Return the fields of a block that has no pseudo-headers (any more), or raise `ProtocolError`."""
    if len(block) > MAX_HEAD_FIELDS:
        raise ProtocolError(f"the response has more than {MAX_HEAD_FIELDS} fields in one block (MAX_HEAD_FIELDS)")
    for field in block:
        fault = fault_of(field)
        if fault is not None:
            raise ProtocolError(fault)
    return tuple(block)


def fault_of(field: Field) -> str | None:
    """Return why a field cannot be one of a response, None if it can."""
    name, value = field
    if not _NAME(name):
        return f"{name[:80]!a} is not the name of a response field (RFC 9113 section 8.2.1)"
    if not _VALUE(value) or value != value.strip(" \t"):
        return f"the response field {name[:80]} has a value with control characters or outer spaces"
    if name in _CONNECTION_SPECIFIC:
        return f"the response has the field {name}, which HTTP/2 forbids (RFC 9113 section 8.2.2)"
    return None


def announced_length(fields: Sequence[Field]) -> int | None:
    """Return the length of the body by Content-Length, None if there is none, or raise `ProtocolError`.

    Several that agree are one (RFC 9110 section 8.6), also in one field.
    """
    lengths = {part.strip(" \t") for name, value in fields if name == "content-length" for part in value.split(",")}
    if not lengths:
        return None
    length = lengths.pop()
    if lengths or not _LENGTH(length):
        raise ProtocolError(f"the server sent a Content-Length that is no length: {length[:80]!a}")
    return int(length)
