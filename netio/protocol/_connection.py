"""What HTTP/1.1 and HTTP/2 connections have in common: the walk of one exchange.

    open      the head, and a small body with it, are queued on the link; nothing has awaited yet
    upload    a larger body is sent by a background task, so that the response can be read meanwhile
    until     the request's task sleeps until the head, or the whole message, is here
    receive   a streamed body is taken piece by piece
    over      said to the owner exactly once: the place on the connection is free, or the connection is done for

States of an exchange: running -> over. It is over when the message is complete and the request was sent to its end, or
when it was abandoned: cancelled, timed out, failed, closed by the user. What abandoning means is the one thing in which
the versions differ: HTTP/2 resets the stream, HTTP/1.1 gives up the connection. Both are synchronous, so that a task
which is being cancelled has nothing left to await.
"""

from __future__ import annotations

import warnings
from abc import ABC, abstractmethod
from collections.abc import AsyncGenerator
from contextlib import aclosing
from dataclasses import dataclass
from typing import Protocol

from anyio.lowlevel import checkpoint_if_cancelled

from netio.body import measured
from netio.deadline import Clock, Watchdog
from netio.errors import ConnectionLost, Phase, RequestBodyError, RequestError
from netio.headers import Headers
from netio.message import Request, Response
from netio.protocol._wait import Wait, WriteWait
from netio.transport import Background, Link, Runtime, wake
from netio.url import Origin
from netio.wire import Message, Wish

INLINE_BODY = 16_384
"""Bodies up to this size go out with the head, without a task of their own: no socket buffer is smaller."""

PIECE = 65_536
"""Larger bodies are handed to the link in pieces of this size."""


@dataclass(frozen=True, slots=True)
class Environment:
    """What every connection of a pool shares."""

    runtime: Runtime
    clock: Clock
    watchdog: Watchdog


class Owner(Protocol):
    """The pool, as a connection sees it. Neither call may raise or block."""

    def exchange_over(self, connection: Connection) -> None:
        """An exchange that was begun by `send` has given back its place; look at `capacity` for what that means."""
        ...

    def capacity_changed(self, connection: Connection) -> None:
        """The capacity has changed without that: the peer changed its settings, is leaving, or is gone."""
        ...


class Exchange:
    """One request and its response on one connection."""

    __slots__ = (
        "_connection",
        "_length",
        "_upload",
        "failure",
        "is_over",
        "message",
        "request",
        "started_at_byte",
        "total",
    )

    def __init__(self, connection: Connection, request: Request, message: Message, length: int | None) -> None:
        self._connection = connection
        self._length = length
        self.request = request
        self.message = message
        self.is_over = False
        self.failure: Exception | None = None
        """What the upload failed with; raised to the task that waits for the response."""
        self.started_at_byte = connection.bytes_received
        self._upload: Background | None = None
        self.total = request.deadline
        """The absolute time at which it must be through; for a streamed response changed when the head is here."""

    @property
    def is_uploading(self) -> bool:
        return self._upload is not None

    @property
    def phase(self) -> Phase:
        if self.message.head is not None:
            return "body"
        return "send" if self._upload is not None or self._connection.has_unsent else "head"

    def progress(self) -> int:
        """Return a number that grows with every byte of the response."""
        return self._connection.progress_of(self.message)

    # ------------------------------------------------------------------ response

    async def respond(self) -> Response:
        """Wait for the response: for its head if the request is streamed, else for all of it."""
        request, message = self.request, self.message
        await self.until(Wish.HEAD if request.is_streamed else Wish.END)
        head = message.head
        assert head is not None
        if request.is_streamed:
            self.total = request.body_deadline
            source, content = StreamedBody(self), None
        else:
            source, content = None, b"".join(message.chunks)
        return Response(
            head.status,
            request=request,
            headers=Headers.received(head.fields),
            content=content,
            source=source,
            reason_phrase=head.reason,
            http_version=head.version,
        )

    async def until(self, wish: Wish) -> None:
        """Return when the wish came true; raise what prevents it. Leaves nothing behind when cancelled."""
        message, environment = self.message, self._connection.environment
        while not message.has(wish) and self.failure is None:
            message.wish = wish
            waiter = message.reader = self._connection.link.waiter()
            wait = Wait(self, waiter, environment.clock.now())
            environment.watchdog.add(wait)
            try:
                await self._connection.link.wait(waiter)
            finally:
                environment.watchdog.discard(wait)
                message.reader = None
                message.wish = Wish.NOTHING
            if wait.error is not None and not message.has(wish) and self.failure is None:
                raise wait.error
        if self.failure is not None:
            raise self.failure
        if message.error is not None and not (wish is Wish.PROGRESS and message.chunks):
            # An answer that has begun proves that the request was received, whatever the server says later.
            is_answered = message.head is not None or bool(message.informational)
            raise message.error.during(self.request, self.phase, sent=message.error.sent or is_answered)

    async def receive(self) -> bytes:
        """Return the next bytes of the body, b"" at its end."""
        message = self.message
        try:
            # On asyncio a cancel scope passes over a task whose future is done already. Where data always comes just
            # before the cancellation is delivered, a fast download would never notice that it was cancelled.
            await checkpoint_if_cancelled()
            if not message.chunks:
                await self.until(Wish.PROGRESS)
        except BaseException:
            self.abandon()
            raise
        chunks = self._connection.take_chunks(message)
        return chunks[0] if len(chunks) == 1 else b"".join(chunks)

    # ------------------------------------------------------------------ request body

    def start_upload(self, offset: int = 0) -> None:
        self._upload = self._connection.environment.runtime.spawn(self._send_body, offset)

    async def _send_body(self, offset: int) -> None:
        """Send the request body in the background; what fails is told to the task that waits for the response."""
        try:
            async with aclosing(self._body_chunks()) as chunks:
                async for chunk in chunks:
                    for start in range(offset, len(chunk), PIECE):
                        if self.message.is_complete:
                            return  # nobody reads it any more (RFC 9113 section 8.1, RFC 9112 section 9.3)
                        await self._connection.send_piece(self, chunk[start : start + PIECE])
                    offset = 0
            if not self.message.is_complete:
                await self._connection.send_end(self)
        except RequestError as error:
            self._fail(self._about_this_request(error))
        except Exception as error:  # the user's own, out of the body iterator (HAZARDS POOL-10)
            error.add_note(f"raised by the body of {self.request!r} while it was being sent")
            self._fail(error)
        except BaseException as error:
            # By `abandon`, when nobody wants to know. Or by the body: on asyncio, awaiting a task that was cancelled.
            self._fail(self._unreadable(error))
            raise
        finally:
            self._upload = None
            self.settle()

    def _body_chunks(self) -> AsyncGenerator[bytes]:
        body = self.request.body
        chunks = body.chunks()
        return chunks if self._length is None or body.data is not None else measured(chunks, self._length)

    def _about_this_request(self, error: RequestError) -> RequestError:
        if error.request is None:
            return error.during(self.request, "send", sent=True)
        # What a body says that is itself fed by a request, about that one, must not be taken for the fate of this one.
        return error if error.request is self.request else self._unreadable(error)

    def _unreadable(self, cause: BaseException) -> RequestBodyError:
        message = f"the request body could not be read to its end: {str(cause) or type(cause).__name__}"
        error = RequestBodyError(message, request=self.request, sent=True)
        error.__cause__ = cause
        return error

    def _fail(self, error: Exception) -> None:
        """The request will have no end, so the exchange is given up; an answer that was complete before is good."""
        if not self.is_over:
            self._upload = None
            self.failure = error
            self.abandon()

    def end_upload(self) -> None:
        """The last byte of the request is queued."""
        self._upload = None
        self.settle()

    async def wait_to_write(self, *, for_room: bool) -> None:
        """Wait until the link, or the window of the stream, takes more. Raises `WriteTimeout` or `TotalTimeout`."""
        environment, link = self._connection.environment, self._connection.link
        waiter = link.waiter()
        wait = WriteWait(self, waiter, environment.clock.now())
        environment.watchdog.add(wait)
        try:
            if for_room:
                self.message.writer = waiter
                await link.wait(waiter)
            else:
                await link.drain(waiter)
        finally:
            self.message.writer = None
            environment.watchdog.discard(wait)
        if wait.error is not None:
            raise wait.error

    # ------------------------------------------------------------------ end

    def settle(self) -> None:
        """Say that the exchange is over, if it is: called whenever the message or the request may have ended."""
        if not self.is_over and self.message.is_complete and not self.is_uploading:
            self.is_over = True
            self._connection.conclude(self)

    def abandon(self) -> None:
        """Give up the exchange, now and without waiting. Does nothing if it is over."""
        if self.is_over:
            return
        self.is_over = True
        if self._upload is not None:
            self._upload.cancel()
        self._connection.discard(self)
        message = self.message
        if not message.is_complete:
            # Whoever else still looks at the message must not wait for what will never come.
            message.error = ConnectionLost("the response was given up before its end")
            message.is_complete = True
            wake(message.reader)

    def close(self) -> None:
        """Give up what was not read of the response, also what has come already and holds window credit."""
        self.abandon()
        self._connection.take_chunks(self.message)

    def close_soon(self) -> None:
        """The same from anywhere: another thread, a finalizer."""
        self._connection.environment.runtime.soon(self.close)


class StreamedBody:
    """The response body in the hands of the user. Dropped unread, it gives its place back and says so."""

    __slots__ = ("_exchange",)

    def __init__(self, exchange: Exchange) -> None:
        self._exchange = exchange

    async def receive(self) -> bytes:
        return await self._exchange.receive()

    async def aclose(self) -> None:
        self._exchange.close()

    def __del__(self) -> None:
        exchange = self._exchange
        if not exchange.is_over or exchange.message.chunks:
            # A finalizer may run in any thread and in the middle of anything, so the loop does the rest.
            exchange.close_soon()
            warnings.warn(f"unclosed response to {exchange.request!r}", ResourceWarning, source=self, stacklevel=1)


class Connection(ABC):
    """A live connection to one origin that speaks one version of HTTP."""

    __slots__ = ("bytes_received", "environment", "is_closed", "is_leaving", "link", "origin", "owner", "uses")

    def __init__(self, origin: Origin, link: Link, environment: Environment, owner: Owner) -> None:
        self.origin = origin
        self.link = link
        self.environment = environment
        self.owner = owner
        self.uses = 0
        self.bytes_received = 0
        self.is_closed = False
        self.is_leaving = False
        """It takes no new exchange, since its link is of no use for one."""

    @property
    @abstractmethod
    def capacity(self) -> int:
        """How many exchanges it may carry at once, running ones included; 0 once it takes no new ones."""

    @property
    def is_provisional(self) -> bool:
        """Whether the capacity is a guess, about which the peer has not spoken yet."""
        return False

    @abstractmethod
    def open(self, request: Request) -> Exchange:
        """Begin an exchange and queue its first bytes. Raises `InvalidRequest` or an error with `sent=False`."""

    async def send(self, request: Request) -> Response:
        """Send a request and wait for its response (for its head only if it is streamed)."""
        exchange = self.open(request)
        try:
            return await exchange.respond()
        except BaseException:
            exchange.close()
            raise

    def is_stale(self) -> bool:
        """Whether no exchange can begin: the peer has left, or has closed it or broken its silence while it was idle.

        Or it has answered the last request without taking all of it. Asked by whoever is about to use it, and gives the
        place back then: from here on the capacity is 0.
        """
        if self.capacity and (self.has_unsent or self.link.is_stale()):
            self.is_leaving = True
        return not self.capacity

    # What an exchange asks of its connection, and the versions do differently.

    @property
    @abstractmethod
    def has_unsent(self) -> bool:
        """Whether what was written for the running exchange has not left yet."""

    @abstractmethod
    def progress_of(self, message: Message) -> int:
        """Return a number that grows with every byte of this message."""

    @abstractmethod
    def take_chunks(self, message: Message) -> list[bytes]:
        """Take what has come of the body."""

    @abstractmethod
    async def send_piece(self, exchange: Exchange, piece: bytes) -> None:
        """Send a piece of the request body; return when the next one may come."""

    @abstractmethod
    async def send_end(self, exchange: Exchange) -> None:
        """End the request."""

    @abstractmethod
    def conclude(self, exchange: Exchange) -> None:
        """The exchange has come to its own end."""

    @abstractmethod
    def discard(self, exchange: Exchange) -> None:
        """The exchange is abandoned."""

    @abstractmethod
    def fail(self, error: RequestError) -> None:
        """End everything that runs on it with an error, and close it without ceremony."""

    @abstractmethod
    async def aclose(self) -> None:
        """Close it with ceremony (GOAWAY, close_notify), within a second."""

    @abstractmethod
    def shut_down(self) -> None:
        """The session is being closed: fail what is running, and close, with ceremony in the background."""


SESSION_CLOSED = "the session was closed"
