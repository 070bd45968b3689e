"""An HTTP/1.1 connection: one exchange after the other (RFC 9112).

States: idle -> busy -> idle, or -> closed. Only a clean and complete end on both sides leads back to idle. Everything
else closes the connection: what is left of an exchange that was given up must never meet the next one.

A pushed link tells what the server says while the connection is idle: it is closed, whether that is an end or something
that nobody asked for. On a pulled link nothing is read then, and it is looked up right before the first byte of the
next request (`is_stale`).
"""

from __future__ import annotations

from netio.errors import ConnectionLost, InvalidRequest, ProtocolError, RequestError, SessionClosed
from netio.headers import Field
from netio.message import Request
from netio.protocol._connection import SESSION_CLOSED, Connection, Environment, Owner, reason_of
from netio.protocol._exchange import Exchange
from netio.protocol._upload import INLINE_BODY, Upload
from netio.timings import ConnectionInfo
from netio.transport import Forward, Link, wake
from netio.url import Origin
from netio.wire import Http1Engine, Message, RequestHead

PAUSE_ABOVE = 1_048_576
"""Bytes of a streamed body that may lie unread before the link is asked to pause: four reads of the largest size."""


class Http1Connection(Connection):
    """See the module's docstring."""

    __slots__ = ("_engine", "_exchange", "_has_sent_body", "_heads", "_is_paused", "_unread")

    def __init__(
        self,
        origin: Origin,
        link: Link,
        engine: Http1Engine,
        environment: Environment,
        owner: Owner,
        info: ConnectionInfo,
        *,
        forward: Forward | None = None,
    ) -> None:
        super().__init__(origin, link, environment, owner, info)
        self._heads = environment.heads_for(forward)
        self._engine = engine
        self._exchange: Exchange | None = None
        self._unread = 0
        self._is_paused = False
        self._has_sent_body = False
        link.start(self, is_pumped=False)

    def retire(self) -> None:
        self.capacity = 0
        self.why_closed = self.why_closed or "retired"
        self.owner.capacity_changed(self)

    def open(self, request: Request) -> Exchange:
        engine = self._engine
        try:
            head = self._heads.of(request)
            message, first = engine.start(head)
        except InvalidRequest as error:
            # The engine is as good as before, and so is the connection: give it back.
            self.owner.exchange_over(self)
            raise error.during(request, "build", sent=False) from error.__cause__
        except BaseException:
            self._close("broken")
            self.owner.exchange_over(self)
            raise
        self.uses += 1
        now = self.used_at = self.environment.clock.now()
        exchange = self._exchange = Exchange(self, request, message, now)
        self.bytes_sent += len(first)
        if engine.is_request_ended:
            self.link.write(first)
        else:
            self._begin_body(exchange, head, first)
        return exchange

    def _begin_body(self, exchange: Exchange, head: RequestHead, first: bytes) -> None:
        self._has_sent_body = True
        body = exchange.request.body
        data, expects = body.data, "expect" in exchange.request.headers
        if data is not None and len(data) <= INLINE_BODY and not expects and not body.is_attended:
            whole = first + self._engine.body(data) + self._engine.end()
            self.bytes_sent += len(whole) - len(first)
            self.link.write(whole)
            return
        self.link.write(first)
        Upload(exchange, head.length, expects=expects).start()

    async def send_piece(self, exchange: Exchange, piece: bytes | memoryview) -> None:
        await self._write(exchange, self._engine.body(piece))

    async def send_end(self, exchange: Exchange, trailers: tuple[Field, ...]) -> None:
        await self._write(exchange, self._engine.end(trailers))

    async def _write(self, exchange: Exchange, data: bytes | memoryview) -> None:
        if data:
            self.bytes_sent += len(data)
            self.link.write(data)
        if not self._engine.is_request_ended:
            if exchange.upload is not None:
                await exchange.upload.wait_to_write(for_room=False)
            return
        # The answer may be here before this task runs again, and the next request right behind it: so the exchange does
        # not wait for the last bytes to leave. If they don't, whoever waits on the connection runs into its time limit.
        exchange.end_upload()
        await self.link.drain(self.link.waiter())

    @property
    def has_unsent(self) -> bool:
        return self.link.has_unsent

    def progress_of(self, message: Message) -> int:
        # What leaves of a body counts as well: the last piece of it may take its time.
        return self.bytes_received - self.link.unsent if self._has_sent_body else self.bytes_received

    def take_chunks(self, message: Message) -> list[bytes]:
        chunks, message.chunks = message.chunks, []
        self._unread = 0
        if self._is_paused:
            self._is_paused = False
            self.link.resume()
        return chunks

    # ------------------------------------------------------------------ what the link tells

    def feed(self, data: bytes) -> None:
        self.bytes_received += len(data)
        try:
            has_come_true = self._engine.feed(data)
        except ProtocolError as error:
            self.fail(error)
            return
        exchange = self._exchange
        if exchange is None:
            return
        message = exchange.message
        if has_come_true and message.reader is not None:
            message.reader.wake()
        if message.is_complete:
            if exchange.upload is None:
                exchange.is_over = True
                self.conclude(exchange)
            else:
                # The answer is there before the request was: nobody waits for the rest of it (RFC 9112 section 9.3).
                exchange.abandon()
        else:
            if exchange.head_at is None and message.head is not None:
                exchange.head_at = self.environment.clock.now()
            if exchange.request.is_streamed:
                self._hold_back(len(data))
        if self.listeners:
            self._tell_listeners()

    def _hold_back(self, received: int) -> None:
        """Stop reading while nobody takes what has come, so that the server has to wait (HAZARDS SLOW)."""
        self._unread += received
        if self._unread > PAUSE_ABOVE and not self._is_paused:
            self._is_paused = True
            self.link.pause()

    def lost(self, error: RequestError | None) -> None:
        exchange = self._exchange
        has_come_true = self._engine.feed_end(is_clean=error is None)
        self._close(reason_of(error))
        if exchange is not None:
            if isinstance(exchange.message.error, ConnectionLost):
                exchange.message.error.unanswered = self.bytes_received == exchange.started_at_byte
                exchange.message.error.__cause__ = error
            if has_come_true:
                wake(exchange.message.reader)
            if exchange.upload is None:
                exchange.settle()
            else:
                exchange.abandon()
        self.owner.capacity_changed(self)

    # ------------------------------------------------------------------ ends

    def conclude(self, exchange: Exchange) -> None:
        self._exchange = None
        self._unread = 0
        if not self._engine.is_reusable:
            self._close("last response")
        elif self._is_paused:
            self._is_paused = False
            self.link.resume()
        if self._has_sent_body:
            self._has_sent_body = False
            if self.link.is_pushed:
                self.needs_look = self.link.has_unsent  # the server has answered without taking all of the request
        self.owner.exchange_over(self)

    def discard(self, exchange: Exchange) -> None:
        self._exchange = None
        self._close("given up")
        self.owner.exchange_over(self)

    def fail(self, error: RequestError) -> None:
        exchange = self._exchange
        self._close(reason_of(error))
        if exchange is not None and not exchange.message.is_complete:
            exchange.message.error = error
            exchange.message.is_complete = True
            wake(exchange.message.reader)
            exchange.abandon()
        else:
            self.owner.capacity_changed(self)

    def is_stale(self, request: Request) -> bool:
        if self.link.has_unsent:
            self.capacity = 0
            self.why_closed = "not taking"
        return super().is_stale(request)

    def _close(self, why: str) -> None:
        if not self.is_closed:
            self.is_closed = True
            self.why_closed = self.why_closed or why
            self.capacity = 0
            self.link.abort()

    async def aclose(self) -> None:
        self.is_closed = True
        self.capacity = 0
        await self.link.aclose()

    def shut_down(self) -> None:
        if self._exchange is not None:
            self.fail(SessionClosed(SESSION_CLOSED, sent=True))
        elif not self.is_closed:
            self.environment.runtime.spawn(self.aclose)
