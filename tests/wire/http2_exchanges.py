"""Exchanges of random shape between an engine and the server end of h2, on one connection each run.

Both sides write down what they send, and at the end it is held against what arrived. Everything is cut: bodies into
frames, frames into reads. Some exchanges are reset by the server, some cancelled by the client; the rest must be whole.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from random import Random

from h2 import events
from h2.exceptions import StreamClosedError
from h2.settings import SettingCodes

from netio.errors import StreamReset
from netio.headers import Field
from netio.wire import Http2Engine, RequestHead, Stream, Wish
from tests.wire.engines import request_head
from tests.wire.http2_server import Server

MANY_TURNS = 100_000
RESET_CODES = (0, 2, 7, 8, 11, 13)


@dataclass
class Request:
    """What the client sends, and what the server heard of it."""

    body: bytes
    fields: tuple[Field, ...]
    trailers: tuple[Field, ...]
    stream: Stream
    unsent: bytes
    heard_fields: list[tuple[bytes, bytes]] = field(default_factory=list)
    heard_body: bytes = b""
    heard_trailers: list[tuple[bytes, bytes]] = field(default_factory=list)
    is_heard: bool = False
    is_cancelled: bool = False
    read: bytes = b""


@dataclass
class Answer:
    """What the server says, and what of it is still to be said."""

    interim: list[list[tuple[bytes, bytes]]]
    block: list[tuple[bytes, bytes]]
    body: bytes
    trailers: list[tuple[bytes, bytes]]
    unsent: bytes
    is_begun: bool = False
    is_ended: bool = False
    reset: int | None = None


class Run:
    """One connection. `choice` decides everything, so that a seed tells the run."""

    def __init__(self, kind: type[Http2Engine], choice: Random, exchanges: int) -> None:
        self.choice = choice
        self.is_narrow = choice.random() < 0.3
        stream_window = choice.choice((1, 7, 100) if self.is_narrow else (1_000, 65_535, 262_144))
        self.engine = kind(stream_window=stream_window, connection_window=choice.choice((65_535, 1 << 20)))
        self.server = Server(
            self.engine,
            {
                SettingCodes.HEADER_TABLE_SIZE: choice.choice((0, 100, 4_096)),
                SettingCodes.INITIAL_WINDOW_SIZE: choice.choice((1, 50, 100) if self.is_narrow else (1_000, 65_535)),
                SettingCodes.MAX_CONCURRENT_STREAMS: choice.choice((1, 3, 100)),
                SettingCodes.MAX_FRAME_SIZE: choice.choice((16_384, 20_000)),
            },
        )
        self.server.talk()  # h2 holds its client to its windows before it has heard of them
        self.left = exchanges
        self.heads: list[RequestHead] = []  # that may be sent again
        self.requests: dict[int, Request] = {}
        self.answers: dict[int, Answer] = {}
        self.done: set[int] = set()

    def run(self) -> None:
        for _ in range(MANY_TURNS):
            self.open_some()
            self.send_some()
            self.hear()
            self.answer_some()
            self.read_some()
            if self.choice.random() < 0.02:
                self.disturb()
            if not self.left and len(self.done) == len(self.requests):
                break
        else:
            raise AssertionError(f"the exchanges {self.requests.keys() - self.done} come to no end")
        self.check_the_connection()

    # The client

    def open_some(self) -> None:
        choice = self.choice
        while self.left and self.engine.open_streams < min(self.engine.max_streams, 8) and choice.random() < 0.8:
            self.left -= 1
            body = self.some_body()
            trailers = (("X-Sum", str(len(body))),) if choice.random() < 0.2 else ()
            is_known = not trailers and choice.random() < 0.3
            fields = [("Accept", "*/*"), ("User-Agent", "netio")]
            fields += [(f"X-{choice.randrange(9)}", "v" * choice.randrange(60)) for _ in range(choice.randrange(4))]
            if choice.random() < 0.05:
                fields.append(("X-Large", "v" * choice.choice((300, 30_000))))
            length = len(body) if is_known else None
            head = request_head("POST", f"/{choice.randrange(5)}", fields=tuple(fields), length=length)
            if length is None:
                if self.heads and choice.random() < 0.6:
                    head = choice.choice(self.heads)
                self.heads.append(head)
            stream = self.engine.open(head)
            stream.wish = Wish.END
            stream.credits_itself = choice.random() < 0.5
            self.requests[stream.id] = Request(body, head.fields, trailers, stream, body)

    def some_body(self) -> bytes:
        size = self.choice.choice((0, 1, 10, 200) if self.is_narrow else (0, 5, 5_000, 60_000, 150_000))
        return bytes([self.choice.randrange(256)]) * size

    def send_some(self) -> None:
        for request in self.requests.values():
            stream = request.stream
            if stream.is_request_ended or stream.is_complete or request.is_cancelled or stream.needs_room:
                continue
            size = self.choice.choice((1, 1_000, 70_000))
            taken = self.engine.send(stream, request.unsent[:size])
            request.unsent = request.unsent[taken:]
            if not request.unsent:
                self.engine.end(stream, request.trailers)

    def read_some(self) -> None:
        data = self.server.h2.data_to_send()
        while data:
            size = self.choice.choice((len(data), self.choice.randrange(1, 5_000), self.choice.randrange(1, 20)))
            self.engine.feed(data[:size])
            data = data[size:]
        for stream_id, request in self.requests.items():
            if stream_id in self.done:
                continue
            if self.choice.random() < 0.7:
                request.read += b"".join(self.engine.take_chunks(request.stream))
            is_over = request.stream.is_complete and request.stream.is_request_ended
            if is_over:
                request.read += b"".join(self.engine.take_chunks(request.stream))
                self.check(stream_id, request)
            elif self.choice.random() < 0.002 or (request.stream.is_complete and self.choice.random() < 0.1):
                self.cancel(stream_id, request)

    def cancel(self, stream_id: int, request: Request) -> None:
        self.engine.cancel(request.stream)
        request.is_cancelled = True
        self.done.add(stream_id)

    # The server

    def hear(self) -> None:
        data = self.engine.take()
        while data:
            size = self.choice.choice((len(data), self.choice.randrange(1, 5_000)))
            for event in self.server.h2.receive_data(data[:size]):
                self.on_event(event)
            data = data[size:]

    def on_event(self, event: events.Event) -> None:
        request = self.requests.get(getattr(event, "stream_id", None) or 0)
        if request is None:
            return
        if isinstance(event, events.RequestReceived):
            request.heard_fields = [(bytes(name), bytes(value)) for name, value in event.headers]
            self.answers[request.stream.id] = self.some_answer()
        elif isinstance(event, events.DataReceived):
            request.heard_body += event.data
            if event.flow_controlled_length:
                self.server.h2.acknowledge_received_data(event.flow_controlled_length, request.stream.id)
                if self.choice.random() < 0.5:
                    self.server.h2.increment_flow_control_window(1)
        elif isinstance(event, events.TrailersReceived):
            request.heard_trailers = [(bytes(name), bytes(value)) for name, value in event.headers]
        elif isinstance(event, events.StreamEnded):
            request.is_heard = True
        elif isinstance(event, events.StreamReset):
            self.answers[request.stream.id].is_ended = True

    def some_answer(self) -> Answer:
        choice = self.choice
        body = self.some_body()
        block = [(b":status", choice.choice((b"200", b"404", b"500"))), (b"server", b"h2")]
        block += [(b"x-%d" % choice.randrange(40), b"v" * choice.randrange(200)) for _ in range(choice.randrange(6))]
        if choice.random() < 0.05:
            block.append((b"x-large", b"v" * choice.choice((5_000, 40_000))))
        if choice.random() < 0.5:
            block.append((b"content-length", b"%d" % len(body)))
        interim = [[(b":status", b"103"), (b"link", b"</%d>" % number)] for number in range(choice.choice((0, 0, 2)))]
        trailers = [(b"x-sum", b"%d" % len(body))] if choice.random() < 0.2 else []
        reset = choice.choice(RESET_CODES) if choice.random() < 0.1 else None
        return Answer(interim, block, body, trailers, body, reset=reset)

    def answer_some(self) -> None:
        for stream_id, answer in self.answers.items():
            is_early = self.choice.random() < 0.01
            if not answer.is_ended and (answer.is_begun or self.requests[stream_id].is_heard or is_early):
                try:
                    self.answer(stream_id, answer)
                except StreamClosedError:  # the client has reset it
                    answer.is_ended = True

    def answer(self, stream_id: int, answer: Answer) -> None:
        choice, h2 = self.choice, self.server.h2
        if answer.reset is not None and choice.random() < 0.3:
            h2.reset_stream(stream_id, answer.reset)
            answer.is_ended = True
            return
        is_last = not answer.unsent and not answer.trailers
        if not answer.is_begun:
            for block in answer.interim:
                h2.send_headers(stream_id, block)
            answer.is_begun = True
            answer.is_ended = is_last and choice.random() < 0.5
            h2.send_headers(stream_id, answer.block, end_stream=answer.is_ended)
            return
        if answer.unsent:
            self.send_piece(stream_id, answer)
        elif answer.trailers:
            h2.send_headers(stream_id, answer.trailers, end_stream=True)
            answer.is_ended = True
        else:
            h2.end_stream(stream_id)
            answer.is_ended = True

    def send_piece(self, stream_id: int, answer: Answer) -> None:
        choice, h2 = self.choice, self.server.h2
        padding = choice.choice((None, None, 0, 7, 255))
        room = h2.local_flow_control_window(stream_id) - (0 if padding is None else padding + 1)
        size = min(room, h2.max_outbound_frame_size - 300, len(answer.unsent), choice.randrange(1, 20_000))
        if size > 0:
            is_end = size == len(answer.unsent) and not answer.trailers and choice.random() < 0.5
            h2.send_data(stream_id, answer.unsent[:size], end_stream=is_end, pad_length=padding)
            answer.unsent = answer.unsent[size:]
            answer.is_ended = is_end

    def disturb(self) -> None:
        """Do what may happen at any time."""
        what = self.choice.randrange(4)
        if what == 0:
            self.server.h2.ping(b"12345678")
        elif what == 1:
            self.engine.ping()
        elif what == 2:
            self.server.h2.update_settings({SettingCodes.HEADER_TABLE_SIZE: self.choice.choice((0, 100, 4_096))})
        elif not self.is_narrow:
            self.engine.grow_windows(self.engine.stream_window * 2, self.engine.connection_window * 2)

    # What must be true

    def check(self, stream_id: int, request: Request) -> None:
        self.done.add(stream_id)
        answer, stream = self.answers[stream_id], request.stream
        if stream.error is not None:
            assert isinstance(stream.error, StreamReset)
            assert stream.error.code == answer.reset
            return
        assert stream.head is not None
        assert [(b":status", b"%d" % stream.head.status), *as_bytes(stream.head.fields)] == answer.block
        assert [head.fields for head in stream.informational] == [
            (("link", block[1][1].decode()),) for block in answer.interim
        ]
        assert request.read == answer.body
        assert list(as_bytes(stream.trailers)) == answer.trailers
        if request.is_heard:
            assert as_bytes(lowered(request.fields)) == [
                (name, value) for name, value in request.heard_fields[4:] if name != b"content-length"
            ]
            assert request.heard_body == request.body
            assert request.heard_trailers == as_bytes(lowered(request.trailers))

    def check_the_connection(self) -> None:
        self.server.talk()
        assert self.engine.open_streams == self.server.h2.open_inbound_streams == 0
        assert self.server.h2.outbound_flow_control_window * 2 >= self.engine.connection_window
        assert self.engine.pings_answered == self.engine.pings_sent


def as_bytes(fields: tuple[Field, ...]) -> list[tuple[bytes, bytes]]:
    return [(name.encode("latin-1"), value.encode("latin-1")) for name, value in fields]


def lowered(fields: tuple[Field, ...]) -> tuple[Field, ...]:
    return tuple((name.lower(), value) for name, value in fields)
