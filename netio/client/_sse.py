"""EventStream: server-sent events over as many connections as it takes.

    open ──events──> the server ends, or the connection breaks ──wait──> open again, with Last-Event-ID ──events──> ...
         └─204────> over                                            └─no stream, too often──> the last error

What is read is remembered by its id before it is handed out, so an event comes once if the server goes on after
Last-Event-ID. The first connection is opened on entry, and what prevents it is raised there: a wrong URL or password
should not be tried again. Each connection passes the policies of the session, which may repeat in their own way.
"""

from __future__ import annotations

import random
from collections import deque
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import replace
from types import TracebackType
from typing import Self

from netio.client._event_stream import LONGEST_WAIT, EventParser, Reconnection, ServerSentEvent
from netio.deadline import Clock
from netio.errors import (
    BodyUnavailable,
    ConnectError,
    ConnectionLost,
    DecodeError,
    EventStreamError,
    ProtocolError,
    Rejected,
    StatusError,
    TimeoutError,
)
from netio.headers import checked_field
from netio.message import Request, Response
from netio.policy import RETRIED_STATUSES

_PASSING = (ConnectError, ConnectionLost, ProtocolError, TimeoutError, Rejected)


class EventStream:
    """An async iterator over events: `async with session.sse(url) as events: async for event in events: ...`.

    `response` is the one that is being read, `last_event_id` the id of the last event that was handed out.
    """

    def __init__(
        self,
        request: Request,
        open_stream: Callable[[Request], Awaitable[Response]],
        *,
        clock: Clock,
        last_event_id: str,
        reconnects: bool,
        max_event: int,
    ) -> None:
        if not isinstance(max_event, int) or max_event < 1:
            raise ValueError(f"max_event must be a whole number of at least 1, not {max_event!r}")
        self.last_event_id = last_event_id
        self.response: Response | None = None
        self._request = request
        self._open_stream = open_stream
        self._clock = clock
        self._reconnects = reconnects
        self._max_event = max_event
        self._parser = EventParser(limit=max_event, last_id=last_event_id)
        self._pieces: AsyncIterator[bytes] | None = None
        self._reconnection = Reconnection()
        self._events: deque[ServerSentEvent] = deque()
        self._is_over = False

    async def __aenter__(self) -> Self:
        await self._open()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self.aclose()

    async def aclose(self) -> None:
        """End the stream; its connection is given up."""
        self._is_over = True
        self._events.clear()
        if self.response is not None:
            await self.response.aclose()

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> ServerSentEvent:
        """Return the next event.

        Raises `EventStreamError` for a stream that is none or goes beyond a limit, `StatusError`, and where it cannot
        be gone on with what any request raises.
        """
        if self.response is None:
            raise BodyUnavailable("events are read inside of `async with session.sse(...) as events:`")
        while not self._events:
            if self._is_over:
                raise StopAsyncIteration
            await self._read()
        event = self._events.popleft()
        self.last_event_id = event.id
        return event

    async def _read(self) -> None:
        """Take the next bytes of the connection, or open another one."""
        parser = self._parser
        if parser.fault is not None:
            await self.aclose()
            raise self._error(parser.fault)
        # Whatever happens in the meantime, cancellation too, the rest of this body will not be read.
        pieces, self._pieces = self._pieces, None
        if pieces is None:
            await self._reopen(None)
            return
        try:
            events = parser.feed(await anext(pieces))
        except StopAsyncIteration:
            await self._reopen(None)
        except Exception as error:
            await self._reopen(error)
        else:
            self._pieces = pieces
            if events:
                self._reconnection.heard()
            if parser.retry is not None:
                self._reconnection.asked(parser.retry)
            if not self._is_over:
                self._events.extend(events)

    async def _reopen(self, error: Exception | None) -> None:
        """Open the next connection; raise what the last one has failed with if there is to be no other."""
        if self._is_over:  # another task has closed it, which is what the error says, if there is one
            return
        if self.response is not None:
            await self.response.aclose()  # it is open still if decoding was cancelled between two pieces
        if not self._reconnects or not (error is None or _may_pass(error)):
            self._is_over = True
            if error is not None:
                raise error
            return
        while True:
            wait = self._reconnection.wait(random.random())
            after = error.retry_after if isinstance(error, Rejected) else None
            await self._clock.sleep(wait if after is None else min(max(wait, after), LONGEST_WAIT))
            if self._is_over:
                return
            try:
                await self._open()
                return
            except Exception as failure:
                if self._is_over:
                    return
                if not _may_pass(failure) or not self._reconnection.failed():
                    self._is_over = True
                    raise
                error = failure

    async def _open(self) -> None:
        """Open a connection and see whether events will come from it."""
        request = self._request.replace()
        last_id = self._parser.last_id
        if last_id:
            request.headers["last-event-id"] = last_id.encode().decode("latin-1")
        response = self.response = await self._open_stream(request)
        if self._is_over:
            await response.aclose()
            return
        try:
            is_stream = self._is_stream(response)
        except BaseException:
            await response.aclose()
            raise
        if not is_stream:
            await self.aclose()
            return
        self._parser = EventParser(limit=self._max_event, last_id=last_id)
        self._pieces = response.aiter_bytes()
        self._reconnection.opened()

    def _is_stream(self, response: Response) -> bool:
        """Whether events will come; False if the server wants the client to stop (section 9.2.2)."""
        if response.status_code == 204:
            return False
        response.raise_for_status()
        content_type = response.headers.get("content-type", "")
        if response.status_code != 200:
            raise self._error(f"the answer is {response.status_code} and no event stream")
        if content_type.partition(";")[0].strip().lower() != "text/event-stream":
            raise self._error(f"the answer is no event stream, its Content-Type is {content_type[:80]!a}")
        return True

    def _error(self, message: str) -> EventStreamError:
        error = EventStreamError(message, request=self._request)
        error.response = self.response
        return error


def _may_pass(error: Exception) -> bool:
    if isinstance(error, StatusError):
        return error.response.status_code in RETRIED_STATUSES
    return isinstance(error, _PASSING) and not isinstance(error, DecodeError)


def as_event_request(request: Request, idle: float | None) -> Request:
    """Return the request as one for an event stream (section 9.2.2), which is silent for so long at most."""
    fields = [field for field in request.fields if field[0].lower() != "accept"]
    own = [field for field in request.fields if field[0].lower() == "accept" and field[1] != "*/*"]
    added = own or [("accept", "text/event-stream")]
    if "cache-control" not in request.headers:
        added.append(("cache-control", "no-store"))
    return request.replace(headers=[*fields, *added], timeouts=replace(request.timeouts, read=idle), is_streamed=True)


def checked_id(last_event_id: str) -> str:
    """Return an id that can be sent, or raise `InvalidRequest`."""
    checked_field("last-event-id", last_event_id.encode().decode("latin-1"))
    return last_event_id
