"""An HTTP/2 connection: many exchanges at once, each a stream of its own (RFC 9113).

The link is pushed (or pumped), so frames are taken in, and PING, SETTINGS and WINDOW_UPDATE answered, whether or not
anybody waits. What the engine queued leaves in the order in which it was queued, which HPACK and the order of stream
ids depend on: at once if there is one exchange, and else in one write for all that happens in a turn of the loop. While
the link is full it stays in the engine, which bounds it.

A stream is counted by the owner from `open` until it is over: complete on both sides, or reset. A stream that fails, or
is cancelled or times out, is reset, and nothing else on the connection notices.
"""

from __future__ import annotations

from netio.errors import ConnectionLost, InvalidRequest, Phase, ProtocolError, RequestError, SessionClosed
from netio.headers import Field
from netio.message import Request
from netio.protocol._connection import SESSION_CLOSED, Connection, Environment, Owner, reason_of
from netio.protocol._exchange import Exchange
from netio.protocol._pulse import Pulse
from netio.protocol._upload import INLINE_BODY, Upload
from netio.protocol._window import WindowTuner
from netio.timings import ConnectionInfo
from netio.transport import Link, wake
from netio.url import Origin
from netio.wire import Http2Engine, Message, Stream


class Http2Connection(Connection):
    """See the module's docstring."""

    __slots__ = (
        "_engine",
        "_exchanges",
        "_is_flushing_soon",
        "_is_leaving",
        "_is_waiting_for_link",
        "_pulse",
        "_tuner",
    )

    piece = 262_144  # no more than that of one stream is ahead of the others

    def __init__(
        self,
        origin: Origin,
        link: Link,
        engine: Http2Engine,
        environment: Environment,
        owner: Owner,
        info: ConnectionInfo,
    ) -> None:
        super().__init__(origin, link, environment, owner, info)
        self._engine = engine
        self._exchanges: dict[Message, Exchange] = {}
        self._is_leaving = False
        self._is_flushing_soon = False
        self._is_waiting_for_link = False
        self._pulse = Pulse(self, engine)
        self._tuner = WindowTuner(engine)
        self.needs_look = False
        self.is_provisional = True
        self.capacity = engine.max_streams
        link.start(self, is_pumped=True)
        self._pulse.begin(self.opened_at)
        self._flush()

    @property
    def is_busy(self) -> bool:
        return bool(self._exchanges)

    @property
    def is_leaving(self) -> bool:
        """Whether it takes no new exchange any more: we said so, or the server, or the stream ids are used up."""
        return self._is_leaving or self._engine.goaway is not None or not self._engine.has_stream_ids

    def ping(self) -> None:
        self._engine.ping()
        self._flush()

    def retire(self) -> None:
        self._is_leaving = True
        self.capacity = 0
        self.why_closed = self.why_closed or "retired"
        self.owner.capacity_changed(self)

    def open(self, request: Request) -> Exchange:
        try:
            head = self.environment.heads.of(request)
            stream = self._engine.open(head)
        except (InvalidRequest, ConnectionLost) as error:
            self._look_at_settings()  # the last stream id may just have been used up (HAZARDS H2-25)
            self.owner.exchange_over(self)
            phase: Phase = "build" if isinstance(error, InvalidRequest) else "send"
            raise error.during(request, phase, sent=False) from error.__cause__
        except BaseException as error:
            self.owner.exchange_over(self)
            self.fail(ConnectionLost(f"netio failed: {error!r}"))
            raise
        self.uses += 1
        stream.credits_itself = not request.is_streamed
        now = self.used_at = self.environment.clock.now()
        exchange = self._exchanges[stream] = Exchange(self, request, stream, now)
        if not self._pulse.is_watching:
            self._pulse.begin(now)
        if not stream.is_request_ended:
            self._begin_body(exchange, stream, head.length)
        if len(self._exchanges) == 1:
            self._flush()
        elif not self._is_flushing_soon:
            self._is_flushing_soon = True
            self.environment.runtime.call_soon(self._flush)
        return exchange

    def _begin_body(self, exchange: Exchange, stream: Stream, length: int | None) -> None:
        body = exchange.request.body
        data, expects = body.data, "expect" in exchange.request.headers
        if data is None or len(data) > INLINE_BODY or expects or body.is_attended:
            Upload(exchange, length, expects=expects).start()
            return
        taken = self._engine.send(stream, data)
        if taken == len(data):
            self._engine.end(stream)
        else:
            Upload(exchange, length, offset=taken).start()

    async def send_piece(self, exchange: Exchange, piece: bytes | memoryview) -> None:
        stream = exchange.message
        assert isinstance(stream, Stream)
        rest = memoryview(piece)
        while rest and not stream.is_complete:
            taken = self._engine.send(stream, rest)
            self._flush()
            rest = rest[taken:]
            if not stream.is_request_ended and exchange.upload is not None:
                await exchange.upload.wait_to_write(for_room=bool(rest))

    async def send_end(self, exchange: Exchange, trailers: tuple[Field, ...]) -> None:
        stream = exchange.message
        assert isinstance(stream, Stream)
        self._engine.end(stream, trailers)
        self._flush()
        exchange.sent_at = self.environment.clock.now()

    @property
    def has_unsent(self) -> bool:
        return False  # what the link has not sent may be anybody's

    def progress_of(self, message: Message) -> int:
        return message.received + len(message.informational) + (message.head is not None)

    def take_chunks(self, message: Message) -> list[bytes]:
        assert isinstance(message, Stream)
        chunks = self._engine.take_chunks(message)
        self._flush()
        return chunks

    def _flush(self) -> None:
        self._is_flushing_soon = False
        if self._engine.has_output:
            if not self.link.is_full:
                data = self._engine.take()
                self.bytes_sent += len(data)
                self.link.write(data)
            elif not self._is_waiting_for_link:
                self._is_waiting_for_link = True
                self.environment.runtime.spawn(self._flush_later)

    async def _flush_later(self) -> None:
        await self.link.drain(self.link.waiter())
        self._is_waiting_for_link = False
        self._flush()

    # ------------------------------------------------------------------ what the link tells

    def feed(self, data: bytes) -> None:
        self.bytes_received += len(data)
        try:
            streams = self._engine.feed(data)
        except ProtocolError as error:
            self.fail(error)
            return
        engine, tuner = self._engine, self._tuner
        if engine.heads:
            self._stamp(engine.heads)
        for stream in streams:
            self._look_at(stream)
        if engine.data_received >= tuner.next_at:
            tuner.probe(self.environment.clock.now(), self._taken())
        elif tuner.is_answered:
            tuner.take_answer(self.environment.clock.now(), self._taken())
        self._flush()
        if self.listeners:
            self._tell_listeners()
        if self.capacity != engine.max_streams or self.is_provisional is engine.has_settings:
            self._look_at_settings()

    def _stamp(self, heads: list[Stream]) -> None:
        """Note when heads came, of those messages that are not complete by now."""
        for stream in heads:
            exchange = self._exchanges.get(stream)
            if exchange is not None and not stream.is_complete:
                exchange.head_at = self.environment.clock.now()
        heads.clear()

    def _taken(self) -> int:
        """Count the bytes of bodies that have come, without those that somebody is to read one by one and has not."""
        streamed = (exchange.message.chunks for exchange in self._exchanges.values() if exchange.request.is_streamed)
        return self._engine.data_received - sum(len(chunk) for chunks in streamed for chunk in chunks)

    def _look_at_settings(self) -> None:
        engine = self._engine
        capacity = 0 if self.is_closed or self._is_leaving else engine.max_streams
        if self.is_leaving:
            self.why_closed = self.why_closed or ("peer leaves" if engine.goaway is not None else "used up")
        if self.capacity != capacity or self.is_provisional is engine.has_settings:
            self.capacity = capacity
            self.is_provisional = not engine.has_settings
            self.owner.capacity_changed(self)

    def _look_at(self, stream: Stream) -> None:
        if stream.reader is not None:
            stream.reader.wake()
        if stream.writer is not None and (stream.is_complete or not stream.needs_room):
            stream.writer.wake()
        exchange = self._exchanges.get(stream)
        if exchange is None or not stream.is_complete:
            return
        if exchange.upload is None and stream.is_request_ended and not exchange.is_over:
            # What `settle` and `conclude` come to in nearly every case.
            exchange.is_over = True
            del self._exchanges[stream]
            self.owner.exchange_over(self)
        else:
            if exchange.upload is not None:
                # The answer is complete before the request was: the rest is not wanted (RFC 9113 section 8.1). What
                # came of the answer is; taken now, as cancelling would give it up.
                chunks = self._engine.take_chunks(stream)
                exchange.abandon()
                stream.chunks = chunks
            else:
                exchange.settle()

    def lost(self, error: RequestError | None) -> None:
        said = self._engine.goaway
        if said is not None and (error is None or isinstance(error, ConnectionLost)):
            cause, error = error, ConnectionLost(f"the server ended the connection ({said.words})")
            error.goaway_code = said.code
            error.__cause__ = cause
        self.fail(error or ConnectionLost("the server closed the connection"))

    # ------------------------------------------------------------------ ends

    def conclude(self, exchange: Exchange) -> None:
        stream = exchange.message
        assert isinstance(stream, Stream)
        if not stream.is_request_ended:  # the server did not want the body (Expect: 100-continue)
            chunks = self._engine.take_chunks(stream)
            self._engine.cancel(stream)
            self._flush()
            stream.chunks = chunks
        self._exchanges.pop(stream, None)
        self.owner.exchange_over(self)

    def discard(self, exchange: Exchange) -> None:
        stream = exchange.message
        assert isinstance(stream, Stream)
        self._engine.cancel(stream)
        self._flush()
        self._exchanges.pop(stream, None)
        self.owner.exchange_over(self)

    def fail(self, error: RequestError) -> None:
        if self.is_closed:
            return
        self.is_closed = True
        self.capacity = 0
        self.why_closed = self.why_closed or reason_of(error)
        self._pulse.end()
        self._engine.fail(error)
        self._flush()
        for stream, exchange in list(self._exchanges.items()):
            if isinstance(stream.error, ConnectionLost):
                stream.error.unanswered = not self.progress_of(stream)
            wake(stream.reader)
            wake(stream.writer)
            exchange.abandon()
        self.environment.runtime.spawn(self.link.aclose)
        self.owner.capacity_changed(self)

    async def aclose(self) -> None:
        self.is_closed = True
        self.capacity = 0
        self._pulse.end()
        self._engine.close()
        self._flush()
        await self.link.aclose()

    def shut_down(self) -> None:
        if not self.is_closed:
            self._engine.close()
            self._flush()
            self.fail(SessionClosed(SESSION_CLOSED, sent=True))
