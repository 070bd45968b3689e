"""What a message must fulfil whatever the engine: the request before a byte of it is sent, a response head when read.

A request is judged as a whole before any state of an engine changes, because half of an encoded head cannot be taken
back: over HTTP/2 the encoder's table would no longer be the peer's.
"""

from __future__ import annotations

import re

from netio.errors import InvalidRequest, ProtocolError
from netio.headers import Field, checked_field
from netio.wire._contract import RequestHead

MAX_LENGTH_DIGITS = 19  # 2**63 - 1 has 19; HAZARDS H1-02

_TOKEN = re.compile(r"[!#$%&'*+\-.^_`|~0-9A-Za-z]+").fullmatch
_TARGET = re.compile(r"[!-\"$-~]+").fullmatch  # visible ASCII without "#": a fragment is not sent
_AUTHORITY = re.compile(r"[A-Za-z0-9\-._~!$&'()*+,;=:\[\]%]+").fullmatch  # no "@": userinfo is not sent

# These say where a message goes and where it ends; two of them could disagree (HAZARDS REQ-03).
_OURS = frozenset(("connection", "content-length", "host", "transfer-encoding", "upgrade"))


def checked_request(head: RequestHead) -> list[Field]:
    """Return the fields of a request that can be sent, or raise `InvalidRequest`."""
    if not _TOKEN(head.method):
        raise InvalidRequest(f"{head.method[:80]!a} is not a method (RFC 9110 section 9.1)")
    if head.method == "CONNECT":
        raise InvalidRequest("CONNECT makes a tunnel; it cannot be sent as a request")
    if not _TARGET(head.target):
        raise InvalidRequest(f"{head.target[:80]!a} is not a request target (RFC 9112 section 3.2)")
    if not _AUTHORITY(head.authority):
        raise InvalidRequest(f"{head.authority[:80]!a} is not a host with an optional port (RFC 9110 section 7.2)")
    if head.length is not None and head.length < 0:
        raise InvalidRequest(f"a body cannot have a length of {head.length} bytes")
    fields = [checked_field(name, value) for name, value in head.fields]
    for name, _ in fields:
        if name.lower() in _OURS:
            raise InvalidRequest(f"{name} is set by netio from the URL and the body, and cannot be given as a header")
    return fields


def announced_length(fields: tuple[Field, ...]) -> int | None:
    """Return the Content-Length of a response whose repeats are known to agree, None if there is none."""
    for name, value in fields:
        if name.lower() == "content-length":
            if not (value.isascii() and value.isdigit()) or len(value) > MAX_LENGTH_DIGITS:
                raise ProtocolError(f"the server sent a Content-Length that is no length: {value[:80]!a}")
            return int(value)
    return None


def has_no_body(method: str, status: int) -> bool:
    """Whether the response has no body, whatever its fields say (RFC 9112 section 6.3)."""
    return method == "HEAD" or status in (204, 304)
