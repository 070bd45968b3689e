"""An HTTP/1.1 connection: one exchange after the other (RFC 9112).

States: idle -> busy -> idle, or -> closed. Only a clean and complete end on both sides leads back to idle. Everything
else closes the connection: what is left of an exchange that was given up must never meet the next one.

On a pulled link nothing is read while the connection is idle. Whether the peer has closed it, or has said something
that nobody asked for, is looked up right before the first byte of the next request (`is_stale`).
"""

from __future__ import annotations

from netio.errors import ConnectionLost, InvalidRequest, ProtocolError, RequestError, SessionClosed
from netio.message import Request
from netio.protocol._connection import (
    INLINE_BODY,
    SESSION_CLOSED,
    Connection,
    Environment,
    Exchange,
    Owner,
)
from netio.protocol._head import request_head
from netio.transport import Link, wake
from netio.url import Origin
from netio.wire import Http1Engine, Message


class Http1Connection(Connection):
    """See the module's docstring."""

    __slots__ = ("_engine", "_exchange")

    def __init__(self, origin: Origin, link: Link, engine: Http1Engine, environment: Environment, owner: Owner) -> None:
        super().__init__(origin, link, environment, owner)
        self._engine = engine
        self._exchange: Exchange | None = None
        link.start(self, is_pumped=False)

    @property
    def capacity(self) -> int:
        return 0 if self.is_closed or self.is_leaving else 1

    def open(self, request: Request) -> Exchange:
        body = request.body
        try:
            head = request_head(request)
            message, first = self._engine.start(head)
        except InvalidRequest as error:
            # The engine is as good as before, and so is the connection: give it back.
            self.owner.exchange_over(self)
            raise error.during(request, "build", sent=False) from error.__cause__
        except BaseException:
            self._close()
            self.owner.exchange_over(self)
            raise
        self.uses += 1
        exchange = self._exchange = Exchange(self, request, message, head.length)
        if body.data is not None and len(body.data) <= INLINE_BODY:
            if body.data:
                first += self._engine.body(body.data)
            self.link.write(first + self._engine.end())
        else:
            self.link.write(first)
            exchange.start_upload()
        return exchange

    async def send_piece(self, exchange: Exchange, piece: bytes) -> None:
        await self._write(exchange, self._engine.body(piece))

    async def send_end(self, exchange: Exchange) -> None:
        await self._write(exchange, self._engine.end())

    async def _write(self, exchange: Exchange, data: bytes) -> None:
        if data:
            self.link.write(data)
        if not self._engine.is_request_ended:
            await exchange.wait_to_write(for_room=False)
            return
        # The answer may be here before this task runs again, and the next request right behind it: so the exchange does
        # not wait for the last bytes to leave. If they don't, whoever waits on the connection runs into its time limit.
        exchange.end_upload()
        await self.link.drain(self.link.waiter())

    @property
    def has_unsent(self) -> bool:
        return self.link.has_unsent

    def progress_of(self, message: Message) -> int:
        return self.bytes_received

    def take_chunks(self, message: Message) -> list[bytes]:
        chunks, message.chunks = message.chunks, []
        return chunks

    # ------------------------------------------------------------------ what the link tells

    def feed(self, data: bytes) -> None:
        self.bytes_received += len(data)
        try:
            has_come_true = self._engine.feed(data)
        except ProtocolError as error:
            self.fail(error)
            return
        self._look_at(has_come_true)

    def lost(self, error: RequestError | None) -> None:
        exchange = self._exchange
        has_come_true = self._engine.feed_end(is_clean=error is None)
        if exchange is not None and isinstance(exchange.message.error, ConnectionLost):
            exchange.message.error.unanswered = self.bytes_received == exchange.started_at_byte
            exchange.message.error.__cause__ = error
        self._close()
        self._look_at(has_come_true)
        self.owner.capacity_changed(self)

    def _look_at(self, has_come_true: bool) -> None:
        exchange = self._exchange
        if exchange is None:
            return
        if has_come_true:
            wake(exchange.message.reader)
        if exchange.message.is_complete:
            if exchange.is_uploading:
                # The answer is there before the request was: nobody waits for the rest of it (RFC 9112 section 9.3).
                exchange.abandon()
            else:
                exchange.settle()

    # ------------------------------------------------------------------ ends

    def conclude(self, exchange: Exchange) -> None:
        self._exchange = None
        if not self._engine.is_reusable:
            self._close()
        self.owner.exchange_over(self)

    def discard(self, exchange: Exchange) -> None:
        self._exchange = None
        self._close()
        self.owner.exchange_over(self)

    def fail(self, error: RequestError) -> None:
        exchange = self._exchange
        self._close()
        if exchange is not None and not exchange.message.is_complete:
            exchange.message.error = error
            exchange.message.is_complete = True
            wake(exchange.message.reader)
            exchange.abandon()
        else:
            self.owner.capacity_changed(self)

    def _close(self) -> None:
        if not self.is_closed:
            self.is_closed = True
            self.link.abort()

    async def aclose(self) -> None:
        self.is_closed = True
        await self.link.aclose()

    def shut_down(self) -> None:
        if self._exchange is not None:
            self.fail(SessionClosed(SESSION_CLOSED, sent=True))
        elif not self.is_closed:
            self.environment.runtime.spawn(self.aclose)
