"""The engines that every contract test of its version runs on, and the requests and views the tests share."""

from __future__ import annotations

from typing import Any

from netio.headers import Field
from netio.wire import Http1Engine, Http2Engine, Message, ReferenceHttp1, ReferenceHttp2, RequestHead

HTTP1_ENGINES: list[type[Http1Engine]] = [ReferenceHttp1]
HTTP2_ENGINES: list[type[Http2Engine]] = [ReferenceHttp2]


def request_head(
    method: str = "GET",
    target: str = "/",
    *,
    scheme: str = "http",
    authority: str = "example.com",
    fields: tuple[Field, ...] = (),
    length: int | None = 0,
) -> RequestHead:
    return RequestHead(method, scheme, authority, target, fields, length)


def outcome(message: Message) -> dict[str, Any]:
    """Everything of a message that must not depend on how its bytes were cut into reads."""
    heads = [*message.informational, *([message.head] if message.head else [])]
    return {
        "heads": [(head.status, head.reason, head.version, head.fields) for head in heads],
        "has_head": message.head is not None,
        "body": b"".join(message.chunks),
        "received": message.received,
        "trailers": message.trailers,
        "is_complete": message.is_complete,
        "error": type(message.error),
    }


def is_success(message: Message) -> bool:
    return message.is_complete and message.error is None
