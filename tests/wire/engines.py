"""The engines that every contract test of its version runs on, and the requests and views the tests share."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

from hypothesis import settings

from netio.errors import ProtocolError
from netio.headers import Field
from netio.wire import (
    FastHttp1,
    FastHttp2,
    Http1Engine,
    Http2Engine,
    Message,
    RequestHead,
    ResponseHead,
    Wish,
)
from netio.wire._reference1 import ReferenceHttp1
from netio.wire._reference2 import ReferenceHttp2

HTTP1_ENGINES: list[type[Http1Engine]] = [ReferenceHttp1, FastHttp1]
HTTP2_ENGINES: list[type[Http2Engine]] = [FastHttp2, ReferenceHttp2]

Exchange = Callable[..., Message]
Cut = Callable[[bytes], list[bytes]]


def is_long() -> bool:
    """Whether this is `make fuzz`, which has time."""
    profile = settings.default
    return profile is not None and profile.max_examples > 1_000


def request_head(
    method: str = "GET",
    target: str = "/",
    *,
    scheme: str = "http",
    authority: str = "example.com",
    fields: tuple[Field, ...] = (),
    length: int | None = 0,
    closes: bool = False,
    upgrade: str | None = None,
) -> RequestHead:
    return RequestHead(method, scheme, authority, target, fields, length, closes=closes, upgrade=upgrade)


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


def http1_result(
    kind: Callable[[], Http1Engine], method: str, pieces: list[bytes], *, is_clean: bool = True
) -> dict[str, Any]:
    """Return everything that may be seen of a response in pieces and the end of input."""
    engine = kind()
    message, _ = engine.start(request_head(method))
    message.wish = Wish.END
    is_fault = False
    told = 0
    for piece in pieces:
        try:
            told += engine.feed(piece)
        except ProtocolError:
            is_fault = not message.is_complete
            break
    was_reusable = engine.is_reusable
    if not is_fault:
        told += engine.feed_end(is_clean=is_clean)
        assert told == 1
        assert message.wish is Wish.NOTHING
    return {**outcome(message), "is_fault": is_fault, "was_reusable": was_reusable}


def feed_all(engine: Http1Engine, pieces: Iterable[bytes]) -> None:
    for piece in pieces:
        engine.feed(piece)


def pieces_of(data: bytes, size: int) -> list[bytes]:
    return [data[begin : begin + size] for begin in range(0, len(data), size)]


def is_success(message: Message) -> bool:
    return message.is_complete and message.error is None
