"""Sending a request body in the background, while the request's own task waits for the response.

So the response may come before the request has ended (RFC 9112 section 9.3, RFC 9113 section 8.1), and a server that
answers without reading on is heard. What fails here is told to the task that waits.

A request with "Expect: 100-continue" holds its body back until the server says 100, or answers for good, or has said
nothing for a second (RFC 9110 section 10.1.1: "should not wait for an indefinite period"; curl waits as long).
"""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import aclosing

from netio.body import measured
from netio.errors import RequestBodyError, RequestError
from netio.protocol._exchange import Exchange
from netio.protocol._listening import Go
from netio.protocol._wait import Pause, WriteWait
from netio.transport import Background

INLINE_BODY = 16_384
"""Bodies up to this size go out with the head, without a task of their own: no socket buffer is smaller."""

CONTINUE_SECONDS = 1.0


class Upload:
    """The background task of one exchange that sends its request body."""

    __slots__ = ("_exchange", "_expects", "_length", "_offset", "_task")

    def __init__(self, exchange: Exchange, length: int | None, *, offset: int = 0, expects: bool = False) -> None:
        self._exchange = exchange
        self._length = length
        self._offset = offset
        self._expects = expects
        self._task: Background | None = None
        exchange.upload = self

    def start(self) -> None:
        self._task = self._exchange.connection.environment.runtime.spawn(self._run)

    def cancel(self) -> None:
        if self._task is not None:
            self._task.cancel()

    async def _run(self) -> None:
        exchange = self._exchange
        try:
            if not self._expects or await self._may_go_on():
                await self._send()
        except RequestError as error:
            exchange.fail(self._about_this_request(error))
        except Exception as error:  # the user's own, out of the body iterator (HAZARDS POOL-10)
            error.add_note(f"raised by the body of {exchange.request!r} while it was being sent")
            exchange.fail(error)
        except BaseException as error:
            # By `abandon`, when nobody wants to know. Or by the body: on asyncio, awaiting a task that was cancelled.
            exchange.fail(self._unreadable(error))
            raise
        finally:
            if exchange.upload is self:
                exchange.upload = None
                exchange.settle()

    async def _send(self) -> None:
        exchange, offset = self._exchange, self._offset
        connection, message, body = exchange.connection, exchange.message, exchange.request.body
        size, sent = connection.piece, 0
        async with aclosing(self._chunks()) as chunks:
            async for chunk in chunks:
                for start in range(offset, len(chunk), size):
                    if message.is_complete:
                        return  # nobody reads it any more
                    is_whole = not start and len(chunk) <= size
                    piece = chunk if is_whole else memoryview(chunk)[start : start + size]
                    await connection.send_piece(exchange, piece)
                    if body.progress is not None:
                        sent += len(piece)
                        body.progress(sent, body.total)
                offset = 0
        if not message.is_complete:
            await connection.send_end(exchange, body.trailers())

    def _chunks(self) -> AsyncGenerator[bytes]:
        body = self._exchange.request.body
        chunks = body.chunks()
        return chunks if self._length is None or body.data is not None else measured(chunks, self._length)

    async def _may_go_on(self) -> bool:
        """Wait for 100 (Continue), or whatever else is said first; a final answer means that the body is not wanted."""
        exchange, message = self._exchange, self._exchange.message
        connection = exchange.connection
        environment = connection.environment
        waiter = message.writer = environment.runtime.waiter()
        pause = Pause(waiter, environment.clock.now() + CONTINUE_SECONDS)
        environment.watchdog.add(pause)
        listener = Go(message, waiter)
        connection.listeners += (listener,)
        try:
            if not message.informational and message.head is None and not message.is_complete:
                await waiter.park()
        finally:
            message.writer = None
            connection.listeners = tuple(other for other in connection.listeners if other is not listener)
            environment.watchdog.discard(pause)
        return message.head is None

    async def wait_to_write(self, *, for_room: bool) -> None:
        """Wait until the link, or the window of the stream, takes more. Raises `WriteTimeout` or `TotalTimeout`."""
        exchange = self._exchange
        environment, link = exchange.connection.environment, exchange.connection.link
        waiter = link.waiter()
        wait = WriteWait(exchange, waiter, environment.clock.now())
        environment.watchdog.add(wait)
        try:
            if for_room:
                exchange.message.writer = waiter
                await link.wait(waiter)
            else:
                await link.drain(waiter)
        finally:
            exchange.message.writer = None
            environment.watchdog.discard(wait)
        if wait.error is not None:
            raise wait.error

    def _about_this_request(self, error: RequestError) -> RequestError:
        request = self._exchange.request
        if error.request is None:
            return error.during(request, "send", sent=True)
        # What a body says that is itself fed by a request, about that one, must not be taken for the fate of this one.
        return error if error.request is request else self._unreadable(error)

    def _unreadable(self, cause: BaseException) -> RequestBodyError:
        message = f"the request body could not be read to its end: {str(cause) or type(cause).__name__}"
        error = RequestBodyError(message, request=self._exchange.request, sent=True)
        error.__cause__ = cause
        return error
