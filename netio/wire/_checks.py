"""What a message must fulfil whatever the engine: the request before a byte of it is sent, a response head when read.

A request is judged as a whole before any state of an engine changes, because half of an encoded head cannot be taken
back: over HTTP/2 the encoder's table would no longer be the peer's.
"""

from __future__ import annotations

import re
from collections.abc import Iterable

from netio.errors import InvalidRequest, ProtocolError
from netio.headers import NOT_IN_TRAILERS, Field, checked_field
from netio.wire._contract import RequestHead

MAX_LENGTH_DIGITS = 19  # 2**63 - 1 has 19; HAZARDS H1-02

_TOKEN = re.compile(r"[!#$%&'*+\-.^_`|~0-9A-Za-z]+").fullmatch
_TARGET = re.compile(r"[!-\"$-~]+").fullmatch  # visible ASCII without "#": a fragment is not sent
_AUTHORITY = re.compile(r"[A-Za-z0-9\-._~!$&'()*+,;=:\[\]%]+").fullmatch  # no "@": userinfo is not sent
_HOST_AND_PORT = re.compile(r"(?:\[[^\[\]]+\]|[^:\[\]]+):[0-9]{1,5}").fullmatch  # of what is an _AUTHORITY
_PROTOCOLS = re.compile(
    r"[!#$%&'*+\-.^_`|~0-9A-Za-z]+(?:/[!#$%&'*+\-.^_`|~0-9A-Za-z]+)?"
    r"(?:, ?[!#$%&'*+\-.^_`|~0-9A-Za-z]+(?:/[!#$%&'*+\-.^_`|~0-9A-Za-z]+)?)*"
).fullmatch

# These say where a message goes and where it ends; two of them could disagree (HAZARDS REQ-03).
_OURS = frozenset(("connection", "content-length", "host", "transfer-encoding", "upgrade"))


def checked_request(head: RequestHead, *, may_tunnel: bool = False, may_extend: bool = False) -> list[Field]:
    """Return the fields of a request that can be sent, or raise `InvalidRequest`.

    `may_tunnel` is for who can carry CONNECT and upgrades, `may_extend` for who can carry extended CONNECT (HTTP/2).
    """
    if not _TOKEN(head.method):
        raise InvalidRequest(f"{head.method[:80]!a} is not a method (RFC 9110 section 9.1)")
    if not may_tunnel and (head.method == "CONNECT" or head.upgrade is not None):
        raise InvalidRequest("CONNECT and Upgrade make a tunnel; they cannot be sent as a request")
    if head.protocol is not None and not (may_extend and head.method == "CONNECT"):
        raise InvalidRequest("a protocol is for CONNECT over HTTP/2 (RFC 8441)")
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
    if head.method == "CONNECT" and head.protocol is None:
        _check_connect(head)
    if head.upgrade is not None:
        _check_upgrade(head)
    return fields


def _check_connect(head: RequestHead) -> None:
    """Hold CONNECT against RFC 9110 section 9.3.6 (HAZARDS REQ-02)."""
    if head.target != head.authority or not _HOST_AND_PORT(head.target):
        raise InvalidRequest(f"{head.target[:80]!a} is not the host and port that CONNECT needs")
    if head.length != 0 or head.upgrade is not None:
        raise InvalidRequest("CONNECT has neither a body nor an Upgrade field (RFC 9110 section 9.3.6)")


def _check_upgrade(head: RequestHead) -> None:
    if not _PROTOCOLS(head.upgrade or ""):
        raise InvalidRequest(f"{(head.upgrade or '')[:80]!a} is not a list of protocols (RFC 9110 section 7.8)")
    if head.closes:
        raise InvalidRequest("a connection that is to be closed cannot be upgraded")


def encoded_trailers(trailers: Iterable[Field]) -> bytes:
    """Return the lines of a trailer section of HTTP/1.1, or raise `InvalidRequest`."""
    fields = [checked_field(name, value) for name, value in trailers]
    return "".join(f"{name}: {value}\r\n" for name, value in fields).encode("latin-1")


def kept_trailers(fields: Iterable[Field]) -> tuple[Field, ...]:
    """Return the fields of a trailer section without those that have no meaning there."""
    return tuple([field for field in fields if field[0].lower() not in NOT_IN_TRAILERS])


def keeps_alive(version: str, fields: tuple[Field, ...]) -> bool:
    """Whether the server means to keep the connection (RFC 9112 section 9.3)."""
    options = [option for name, value in fields if name.lower() == "connection" for option in value.lower().split(",")]
    stripped = {option.strip(" \t") for option in options}
    return "close" not in stripped and (version == "HTTP/1.1" or "keep-alive" in stripped)


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
