"""The walk of one exchange, the same for HTTP/1.1 and HTTP/2.

    open      the head, and a small body with it, are queued on the link; nothing has awaited yet
    upload    a larger body is sent by a background task (_upload.py), so that the response can be read meanwhile
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
from typing import TYPE_CHECKING

from anyio.lowlevel import checkpoint_if_cancelled

from netio.errors import ConnectionLost, Phase, TimeoutError
from netio.headers import Field
from netio.message import Request, Response
from netio.protocol._wait import expired, phase_seconds
from netio.transport import Waiter, wake
from netio.wire import Message, Wish

if TYPE_CHECKING:
    from netio.protocol._connection import Connection
    from netio.protocol._upload import Upload


# Members of an enumeration cost five times as much to look up as a name of the module.
NOTHING, HEAD, PROGRESS, END = Wish.NOTHING, Wish.HEAD, Wish.PROGRESS, Wish.END


LARGE_CHUNK = 65_536
"""Chunks of at least this size are handed to the user one by one; smaller ones that have come together are joined."""


class Exchange:
    """One request and its response on one connection.

    While a task waits for the response, the exchange itself is what the watchdog looks at: the server may be silent for
    `Timeouts.read`; as long as the request has not left, it may read nothing for `Timeouts.write`; and all of it may
    take until `total`. Which of them counts is seen at each look.
    """

    __slots__ = (
        "_seen",
        "_since",
        "_waiter",
        "connection",
        "deadline",
        "error",
        "failure",
        "head_at",
        "is_over",
        "message",
        "opened_at",
        "request",
        "sent_at",
        "started_at_byte",
        "total",
        "upload",
    )

    def __init__(self, connection: Connection, request: Request, message: Message, now: float) -> None:
        self.connection = connection
        self.request = request
        self.message = message
        self.is_over = False
        self.failure: Exception | None = None
        """What the upload failed with; raised to the task that waits for the response."""
        self.upload: Upload | None = None
        self.started_at_byte = connection.bytes_received
        self.total = request.deadline
        """The absolute time at which it must be through; for a streamed response changed when the head is here."""
        self.opened_at = now
        self.sent_at: float | None = None
        """When the last byte of the request was handed to the link, if that was later."""
        self.head_at: float | None = None
        """When the head of a streamed response was here."""
        self.deadline: float
        """What the watchdog goes by while a task waits; so are those that begin with an underscore."""
        self._since: float
        self._seen: int
        self._waiter: Waiter | None
        self.error: TimeoutError | None = None
        """Set when the time is over, before the task is woken."""

    @property
    def phase(self) -> Phase:
        if self.message.head is not None:
            return "body"
        return "send" if self.upload is not None or self.connection.has_unsent else "head"

    # ------------------------------------------------------------------ response

    def response(self) -> Response:
        """Return the response, of which the head is here; and, unless the request is streamed, all of it."""
        request, message = self.request, self.message
        head = message.head
        assert head is not None
        if request.is_streamed:
            self.total = request.body_deadline
            self.head_at = self.connection.environment.clock.now()
            return Response.received(head.status, request, head.fields, head.reason, head.version, StreamedBody(self))
        chunks = message.chunks
        content = chunks[0] if len(chunks) == 1 else b"".join(chunks)
        return Response.received(
            head.status, request, head.fields, head.reason, head.version, content, message.trailers
        )

    async def until(self, wish: Wish) -> None:
        """Return when the wish came true; raise what prevents it. Leaves nothing behind when cancelled."""
        message, connection = self.message, self.connection
        while not message.has(wish) and self.failure is None:
            if self.error is not None:
                raise self.error
            waiter = self.begin_wait(wish, connection.environment.clock.now())
            try:
                await connection.link.wait(waiter)
            finally:
                self.end_wait()
        if self.failure is not None or message.error is not None:
            self._raise(wish)

    def _raise(self, wish: Wish) -> None:
        message = self.message
        if self.failure is not None:
            raise self.failure
        if message.error is not None and not (wish is PROGRESS and message.chunks):
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
                await self.until(PROGRESS)
        except BaseException:
            self.abandon()
            raise
        chunks = message.chunks
        if len(chunks) > 1 and len(chunks[0]) >= LARGE_CHUNK:
            return chunks.pop(0)  # while others lie unread, the server is not told that there is room
        chunks = self.connection.take_chunks(message)
        return chunks[0] if len(chunks) == 1 else b"".join(chunks)

    # ------------------------------------------------------------------ time

    def begin_wait(self, wish: Wish, now: float) -> Waiter:
        """Put the exchange under the watchdog, and return the place where the calling task is to sleep."""
        connection, message = self.connection, self.message
        message.wish = wish
        waiter = message.reader = self._waiter = connection.link.waiter()
        self._since = now
        self._seen = connection.progress_of(message)
        silent, total = now + self.request.timeouts.silence, self.total
        self.deadline = silent if silent < total else total  # noqa: FURB136  # a call costs four times as much
        connection.environment.watchdog.add(self)
        return waiter

    def end_wait(self) -> None:
        self.connection.environment.watchdog.discard(self)
        message = self.message
        self._waiter = message.reader = None
        message.wish = NOTHING

    def look(self, now: float) -> None:
        """Decide what has become of the wait: called by the watchdog while a task waits."""
        seen, self._seen = self._seen, self.connection.progress_of(self.message)
        # While the body goes out, silence is not the peer's fault; the upload watches its own progress.
        if seen != self._seen or self.upload is not None:
            self._since = now
        phase, timeouts = self.phase, self.request.timeouts
        seconds = timeouts.write if phase == "send" else timeouts.read
        self.deadline = self.total if seconds is None else min(self._since + seconds, self.total)
        if now >= self.deadline:
            self.error = expired(self, phase, seconds, now)
            wake(self._waiter)

    def took(self, now: float) -> dict[Phase, float]:
        """Return how many seconds each phase of the request has taken, the last one until now."""
        return phase_seconds(self, now)

    # ------------------------------------------------------------------ end

    def end_upload(self) -> None:
        """The last byte of the request is queued."""
        self.upload = None
        self.sent_at = self.connection.environment.clock.now()
        self.settle()

    def fail(self, error: Exception) -> None:
        """The request will have no end, so the exchange is given up; an answer that was complete before is good."""
        if not self.is_over:
            self.upload = None
            self.failure = error
            self.abandon()

    def settle(self) -> None:
        """Say that the exchange is over, if it is: called whenever the message or the request may have ended."""
        if not self.is_over and self.message.is_complete and self.upload is None:
            self.is_over = True
            self.connection.conclude(self)

    def abandon(self) -> None:
        """Give up the exchange, now and without waiting. Does nothing if it is over."""
        if self.is_over:
            return
        self.is_over = True
        if self.upload is not None:
            self.upload.cancel()
        self.connection.discard(self)
        message = self.message
        if not message.is_complete:
            # Whoever else still looks at the message must not wait for what will never come.
            message.error = ConnectionLost("the response was given up before its end")
            message.is_complete = True
            wake(message.reader)

    def close(self) -> None:
        """Give up what was not read of the response, also what has come already and holds window credit."""
        self.abandon()
        self.connection.take_chunks(self.message)

    def close_soon(self) -> None:
        """The same from anywhere: another thread, a finalizer."""
        self.connection.environment.runtime.soon(self.close)


class StreamedBody:
    """The response body in the hands of the user. Dropped unread, it gives its place back and says so."""

    __slots__ = ("_exchange",)

    def __init__(self, exchange: Exchange) -> None:
        self._exchange = exchange

    @property
    def trailers(self) -> tuple[Field, ...]:
        message = self._exchange.message
        return () if message.chunks else message.trailers  # not before the body was read, however it came

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
