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
from netio.message import Request, Response, too_large
from netio.protocol._wait import expired, phase_seconds
from netio.reading import together
from netio.timings import RawStamps
from netio.transport import Waiter, wake
from netio.wire import Message, Wish

if TYPE_CHECKING:
    from netio.protocol._attempt import Attempt
    from netio.protocol._connection import Connection
    from netio.protocol._upload import Upload


# Members of an enumeration cost five times as much to look up as a name of the module.
NOTHING, HEAD, PROGRESS, END = Wish.NOTHING, Wish.HEAD, Wish.PROGRESS, Wish.END


LARGE_CHUNK = 65_536
"""Chunks of at least this size are handed to the user one by one; smaller ones that have come together are joined."""

_LITTLE = 1_048_576
"""Bytes of a body that may stand in memory twice while they are put together."""
MOST_JOINED = 64
"""So many of them, a mebibyte of HTTP/2 frames: all that a grown window holds, joined, would be there twice."""


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
        "attempt",
        "connection",
        "deadline",
        "ended_at",
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
        "uses",
    )

    def __init__(self, connection: Connection, request: Request, message: Message, now: float) -> None:
        self.connection = connection
        self.request = request
        self.message = message
        self.is_over = False
        self.attempt: Attempt | None = None
        self.uses = connection.uses
        """How many exchanges the connection has had with this one."""
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
        """When the head of the response was here, if that was not together with its end."""
        self.ended_at: float | None = None
        """When the end of the body was taken, or the body was given up."""
        self.deadline: float
        """What the watchdog goes by while a task waits; so are those that begin with an underscore."""
        self._since: float
        self._seen: int
        self._waiter: Waiter | None
        self.error: TimeoutError | None = None
        """Set when the time is over, before the task is woken."""
        reading = request.reading
        if reading is not None:
            message.most = reading.max_body
            if reading.on_informational is not None:
                connection.listen(self, reading.on_informational)

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
            if self.head_at is None:
                self.head_at = self.connection.environment.clock.now()
            response = Response.received(
                head.status, request, head.fields, head.reason, head.version, StreamedBody(self)
            )
            response.may_be_coded = head.is_coded
            return response
        if message.received > message.most:
            raise too_large(request)
        chunks = message.chunks
        if len(chunks) == 1:
            content = chunks[0]
        else:
            content = b"".join(chunks) if message.received <= _LITTLE else together(chunks)
        self.ended_at = self.connection.environment.clock.now()
        response = Response.received(
            head.status, request, head.fields, head.reason, head.version, content, message.trailers, self.stamps()
        )
        response.may_be_coded = head.is_coded
        return response

    def stamps(self) -> RawStamps:
        """Return what `Timings` are made of."""
        attempt = self.attempt
        return (
            self.connection.info,
            self.uses,
            None if attempt is None else attempt.queued_at,
            self.opened_at,
            self.sent_at,
            self.head_at,
            self.ended_at,
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
        # What came before an error is handed out first; who reads on hears of it then.
        has_something = message.chunks if wish is PROGRESS else wish is HEAD and message.head is not None
        if message.error is not None and not has_something:
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
            self.end_body()
            self.abandon()
            raise
        chunks = message.chunks
        if len(chunks) > 1 and len(chunks[0]) >= LARGE_CHUNK:
            return chunks.pop(0)  # while others lie unread, the server is not told that there is room
        if len(chunks) > MOST_JOINED:
            first = chunks[:MOST_JOINED]
            del chunks[:MOST_JOINED]
            return b"".join(first)
        chunks = self.connection.take_chunks(message)
        if message.is_complete:
            self.end_body()
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

    def reject(self, error: Exception) -> None:
        """The caller does not want the answer, not even one that is complete."""
        self.failure = error
        self.abandon()
        wake(self.message.reader)

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

    def end_body(self) -> None:
        """Note when a streamed body ended: all of it was taken, or nobody will take the rest."""
        if self.ended_at is None:
            self.ended_at = self.connection.environment.clock.now()
            if self.attempt is not None:
                message = self.message
                is_whole = message.is_complete and message.error is None and not message.chunks
                self.attempt.ended(self, is_whole=is_whole)

    def close(self) -> None:
        """Give up what was not read of the response, also what has come already and holds window credit."""
        self.abandon()
        self.connection.take_chunks(self.message)

    def drop(self) -> None:
        """The user is through with a streamed response."""
        self.end_body()
        self.close()

    def drop_soon(self) -> None:
        """The same from anywhere: another thread, a finalizer."""
        self.connection.environment.runtime.soon(self.drop)


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

    @property
    def stamps(self) -> RawStamps:
        return self._exchange.stamps()

    async def aclose(self) -> None:
        self._exchange.drop()

    def __del__(self) -> None:
        exchange = self._exchange
        if not exchange.is_over or exchange.message.chunks:
            # A finalizer may run in any thread and in the middle of anything, so the loop does the rest.
            exchange.drop_soon()
            warnings.warn(f"unclosed response to {exchange.request!r}", ResourceWarning, source=self, stacklevel=1)
