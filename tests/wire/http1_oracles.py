"""Four readers of HTTP/1.1 responses behind one face: netio's two engines, httptools and h11r.

Each is given the whole of what a server says to one GET, and then the end of the connection.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field

import h11r
import httptools

from netio.errors import ProtocolError, RequestError
from netio.wire import FastHttp1, Http1Engine, Message, Wish
from netio.wire._reference1 import ReferenceHttp1
from tests.wire.engines import request_head

COMPLETE = "complete"
INCOMPLETE = "incomplete"
REFUSED = "refused"


@dataclass(frozen=True)
class Verdict:
    """What a reader makes of a stream: how it ends, the final status, the body, the interim statuses."""

    end: str
    status: int = 0
    body: bytes = b""
    interim: tuple[int, ...] = ()
    reason: str = field(default="", compare=False)
    """Why it was refused, in the reader's own words."""


def run(engine: Http1Engine, method: str, pieces: Iterable[bytes], *, is_clean: bool = True) -> tuple[Message, str]:
    """Feed a response and the end of input; return the message, and the text of the error if it was refused."""
    message, _ = engine.start(request_head(method))
    message.wish = Wish.END
    try:
        for piece in pieces:
            engine.feed(piece)
    except ProtocolError as error:
        if not message.is_complete:  # after a complete response it only ends the connection
            return message, str(error)
    engine.feed_end(is_clean=is_clean)
    return message, ""


def _engine_verdict(kind: Callable[[], Http1Engine], raw: bytes) -> Verdict:
    message, reason = run(kind(), "GET", [raw])
    if reason:
        return Verdict(REFUSED, reason=reason)
    interim = tuple(head.status for head in message.informational)
    status = message.head.status if message.head else 0
    body = b"".join(message.chunks)
    error: RequestError | None = message.error
    return Verdict(INCOMPLETE if error else COMPLETE, status, body, interim)


def fast(raw: bytes) -> Verdict:
    return _engine_verdict(FastHttp1, raw)


def reference(raw: bytes) -> Verdict:
    return _engine_verdict(ReferenceHttp1, raw)


class _Listener:
    """What httptools tells, as far as the first final response."""

    def __init__(self) -> None:
        self.parser = httptools.HttpResponseParser(self)
        self.interim: list[int] = []
        self.body: list[bytes] = []
        self.status = 0
        self.is_framed = False
        self.is_complete = False

    def on_header(self, name: bytes, value: bytes) -> None:
        self.is_framed = self.is_framed or name.lower() in (b"content-length", b"transfer-encoding")

    def on_headers_complete(self) -> None:
        if not self.is_complete:
            self.status = self.parser.get_status_code()

    def on_body(self, data: bytes) -> None:
        if not self.is_complete:
            self.body.append(data)

    def on_message_complete(self) -> None:
        if self.is_complete:
            return
        if 100 <= self.status < 200 and self.status != 101:
            self.interim.append(self.status)
            self.status = 0
            self.is_framed = False
        else:
            self.is_complete = True


def llhttp(raw: bytes) -> Verdict:
    """httptools. It cannot be told of the end of the connection, so that is worked out here from the fields."""
    listener = _Listener()
    try:
        listener.parser.feed_data(raw)
    except httptools.HttpParserUpgrade:
        pass
    except httptools.HttpParserError as error:
        if not listener.is_complete:
            return Verdict(REFUSED, reason=repr(error))
    is_complete = listener.is_complete or (bool(listener.status) and not listener.is_framed)
    end = COMPLETE if is_complete else INCOMPLETE
    return Verdict(end, listener.status, b"".join(listener.body), tuple(listener.interim))


def rust(raw: bytes) -> Verdict:
    """h11r, with netio's limit of fields in place of its own."""
    connection = h11r.Connection(h11r.Role.CLIENT, max_header_count=256)
    connection.send_request("GET", "/", [("Host", "example.com")])
    connection.end_of_message()
    interim: list[int] = []
    body: list[bytes] = []
    status = 0
    for data in (raw, b"") if raw else (b"",):
        try:
            connection.receive_data(data)
            while True:
                event = connection.next_event()
                if isinstance(event, h11r.InformationalResponse):
                    interim.append(event.status_code)
                elif isinstance(event, h11r.Response):
                    status = event.status_code
                elif isinstance(event, h11r.Data):
                    body.append(bytes(event.data))
                elif isinstance(event, h11r.EndOfMessage):
                    return Verdict(COMPLETE, status, b"".join(body), tuple(interim))
                else:
                    break
        except h11r.ProtocolError as error:
            if data:
                return Verdict(REFUSED, reason=str(error))
    return Verdict(INCOMPLETE, status, b"".join(body), tuple(interim))


ORACLES: dict[str, Callable[[bytes], Verdict]] = {"h11": reference, "httptools": llhttp, "h11r": rust}
