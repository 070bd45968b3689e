"""From a Request to the head that goes on the wire: authority and framing are decided here, once (HAZARDS REQ-03)."""

from __future__ import annotations

import re

from netio.errors import InvalidRequest
from netio.headers import Field
from netio.message import Request
from netio.transport import Forward
from netio.wire import RequestHead

# Fields that speak about the connection are netio's to send (RFC 9110 section 7.6.1). Those that only ask for what
# netio does anyway are dropped, since many programs carry them along; "Connection: close" is obeyed on HTTP/1.1.
#
# Proxy-Authorization is for a proxy, and is sent to one only as `netio.Proxy` has it: whatever a program sets by hand
# would reach the origin, directly or through a tunnel (HAZARDS PX-01).
_CONNECTION_FIELDS = frozenset(("connection", "keep-alive", "proxy-authorization", "proxy-connection"))
_FRAMING_FIELDS = frozenset(("host", "content-length", "transfer-encoding", "upgrade", "te", "trailer"))
_DIGITS = re.compile(r"[0-9]{1,19}").fullmatch


MAX_HEADS = 1_024
"""Heads that are remembered; a service has that many routes, and who never repeats a URL gains nothing anyway."""


class Heads:
    """The heads of requests that were sent before, each with what an engine keeps in it (`RequestHead.encoded`).

    They belong to one pool, since they may hold credentials; those of forwarded requests, which have the proxy's, are
    kept apart from the others.
    """

    __slots__ = ("_forward", "_known")

    def __init__(self, forward: Forward | None = None) -> None:
        self._forward = forward
        self._known: dict[tuple[object, ...], RequestHead] = {}

    def of(self, request: Request) -> RequestHead:
        """Return the head of a request. Raises `InvalidRequest` for one that contradicts itself or the body."""
        url, body = request.url, request.body
        key = (request.method, url.origin, url.target, request.fields, body.content_type, body.length)
        head = self._known.get(key)
        if head is None:
            head = request_head(request)
            if self._forward is not None:
                head = forwarded(head, self._forward, url.origin.authority)
            if len(self._known) >= MAX_HEADS:
                self._known.clear()
            self._known[key] = head
        return head


def request_head(request: Request) -> RequestHead:
    """Make the head of a request. Raises `InvalidRequest` for one that contradicts itself or the body."""
    url, body = request.url, request.body
    authority = url.origin.authority
    length = body.length
    fields: list[Field] = []
    seen: set[str] = set()
    closes = False
    for name, value in request.fields:
        lowered = name.lower()
        if lowered not in _FRAMING_FIELDS:
            if lowered == "expect" and body.length == 0:
                continue  # there is nothing to be held back (RFC 9110 section 10.1.1: must not be sent)
            if lowered not in _CONNECTION_FIELDS:
                fields.append((name, value))
            elif lowered == "connection" and value.lower() == "close":
                closes = True
            continue
        if lowered in seen:
            raise InvalidRequest(f"the request has more than one {name} field")
        seen.add(lowered)
        if lowered == "host":
            authority = _checked_authority(value)
        elif lowered == "content-length":
            length = _declared_length(value, length)
        elif lowered == "transfer-encoding":
            _check_transfer_encoding(value, length)
        elif (lowered == "te" and value.lower() == "trailers") or (lowered == "trailer" and body.has_trailers):
            fields.append((name, value))
        else:
            raise InvalidRequest(f"netio does not send the field {name}: {value[:40]!a}")
    if "content-length" in seen and "transfer-encoding" in seen:
        raise InvalidRequest("the request has both Content-Length and Transfer-Encoding")
    if body.has_trailers and length is not None:
        raise InvalidRequest("a body with trailers is sent without Content-Length")
    if body.content_type is not None and "content-type" not in request.headers:
        fields.append(("Content-Type", body.content_type))
    return RequestHead(request.method, url.scheme, authority, url.target, tuple(fields), length, closes=closes)


def forwarded(head: RequestHead, forward: Forward, authority: str) -> RequestHead:
    """Make the head of a request that a proxy forwards: its target is the whole URL (RFC 9112 section 3.2.2).

    Host is the same as there, even if the user gave another: a proxy that took it for true would go elsewhere.
    """
    target = f"{head.scheme}://{authority}{head.target}"
    fields = (*head.fields, *forward.fields)
    return RequestHead(head.method, head.scheme, authority, target, fields, head.length, closes=head.closes)


def _checked_authority(value: str) -> str:
    if not re.fullmatch(r"[A-Za-z0-9._~:\[\]-]+", value):
        raise InvalidRequest(f"{value[:80]!a} is not a value for the Host field")
    return value


def _declared_length(value: str, length: int | None) -> int:
    if not _DIGITS(value):
        raise InvalidRequest(f"{value[:40]!a} is not a Content-Length")
    declared = int(value)
    if length is not None and declared != length:
        raise InvalidRequest(f"Content-Length says {declared}, and the body has {length} bytes")
    return declared


def _check_transfer_encoding(value: str, length: int | None) -> None:
    if value.lower() != "chunked" or length is not None:
        raise InvalidRequest(
            "Transfer-Encoding is decided by netio: a body of unknown length is sent chunked, any other by its length"
        )
