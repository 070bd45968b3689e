"""The engines that every contract test of its version runs on, and the requests and views the tests share."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

from netio.headers import Field
from netio.wire import Http1Engine, Http2Engine, Message, ReferenceHttp1, ReferenceHttp2, RequestHead, ResponseHead

HTTP1_ENGINES: list[type[Http1Engine]] = [ReferenceHttp1]
HTTP2_ENGINES: list[type[Http2Engine]] = [ReferenceHttp2]

Exchange = Callable[..., Message]


def request_head(
    method: str = "GET",
    target: str = "/",
    *,
    scheme: str = "http",
    authority: str = "example.com",
    fields: tuple[Field, ...] = (),
    length: int | None = 0,
    closes: bool = False,
) -> RequestHead:
    return RequestHead(method, scheme, authority, target, fields, length, closes=closes)


def head_of(message: Message) -> ResponseHead:
    assert message.head is not None
    return message.head


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


def feed_all(engine: Http1Engine, pieces: Iterable[bytes]) -> None:
    for piece in pieces:
        engine.feed(piece)


def pieces_of(data: bytes, size: int) -> list[bytes]:
    return [data[begin : begin + size] for begin in range(0, len(data), size)]


def is_success(message: Message) -> bool:
    return message.is_complete and message.error is None
