"""One try at a request, for those that have waited for a connection or are observed: all others need no such thing."""

from __future__ import annotations

from typing import TYPE_CHECKING

from netio.message import Request, Response
from netio.observe import AttemptFailed, BodyDone, HeadReceived, HeadSent, RequestQueued, tell
from netio.timings import numbers

if TYPE_CHECKING:
    from netio.protocol._connection import Connection
    from netio.protocol._exchange import Exchange


class Attempt:
    """Tells the observer, if there is one, how one attempt goes. `queued_at` is when it began to wait."""

    __slots__ = ("number", "queued_at", "request")

    def __init__(self, request: Request) -> None:
        self.request = request
        self.queued_at: float | None = None
        self.number = 0 if request.observer is None else numbers()

    def queued(self, now: float, *, is_exhausted: bool) -> None:
        """No connection is free. The first time counts: one that was waited for may turn out to be dead."""
        if self.queued_at is not None:
            return
        self.queued_at = now
        if self.request.observer is not None:
            tell(self.request.observer, RequestQueued(self.request, self.number, is_exhausted))

    def open(self, connection: Connection) -> Exchange:
        """Begin the exchange."""
        request = self.request
        try:
            exchange = connection.open(request)
        except BaseException as error:
            self.failed(error, connection)
            raise
        exchange.attempt = self
        observer = request.observer
        if observer is not None:
            tell(observer, HeadSent(request, self.number, connection.info, exchange.uses))
        return exchange

    def answered(self, exchange: Exchange, response: Response) -> None:
        """The response is here, or its head if it is streamed."""
        request = self.request
        observer = request.observer
        if observer is None:
            return
        head_at, ended_at = exchange.head_at, exchange.ended_at
        if head_at is not None:
            seconds = head_at - exchange.opened_at
            info = exchange.connection.info
            tell(observer, HeadReceived(request, self.number, info, response.status_code, seconds))
        if ended_at is not None:
            status, received, seconds = response.status_code, exchange.message.received, ended_at - exchange.opened_at
            tell(observer, BodyDone(request, self.number, exchange.connection.info, status, received, True, seconds))

    def ended(self, exchange: Exchange, *, is_whole: bool) -> None:
        """The body of a streamed response has ended."""
        if self.request.observer is not None:
            head, ended_at = exchange.message.head, exchange.ended_at
            assert head is not None
            assert ended_at is not None
            info, received, seconds = exchange.connection.info, exchange.message.received, ended_at - exchange.opened_at
            event = BodyDone(self.request, self.number, info, head.status, received, is_whole, seconds)
            tell(self.request.observer, event)

    def failed(self, error: BaseException, connection: Connection | None = None) -> None:
        """There is no response."""
        if self.request.observer is not None:
            info = None if connection is None else connection.info
            tell(self.request.observer, AttemptFailed(self.request, self.number, info, error))
