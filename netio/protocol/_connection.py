"""What HTTP/1.1 and HTTP/2 connections have in common, as their owner and their exchanges see it."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass, field
from typing import Protocol

from netio.deadline import Clock, Watchdog
from netio.errors import ProtocolError, RequestError, SessionClosed
from netio.headers import Field
from netio.message import Request, Response
from netio.protocol._attempt import Attempt
from netio.protocol._exchange import END, HEAD, Exchange
from netio.protocol._head import Heads
from netio.protocol._listening import Hints, Listener
from netio.protocol._pulse import PingTimes
from netio.reading import Informed
from netio.timings import ConnectionInfo
from netio.transport import Forward, Link, Runtime
from netio.url import Origin
from netio.wire import Message

SESSION_CLOSED = "the session was closed"

LOOK_AFTER = 0.1
"""A connection that no exchange was opened on for so many seconds is looked at first, even if its link is pushed.

The loop may have been blocked meanwhile, and not have come round to what the server has said (HAZARDS H1-13).
"""


@dataclass(frozen=True, slots=True)
class Environment:
    """What every connection of a pool shares."""

    runtime: Runtime
    clock: Clock
    watchdog: Watchdog
    ping: PingTimes = field(default_factory=PingTimes)
    heads: Heads = field(default_factory=Heads)
    forwarded_heads: dict[Forward, Heads] = field(default_factory=dict)
    """Of requests that go to a proxy; there are as many as there are proxies."""

    def heads_for(self, forward: Forward | None) -> Heads:
        """Return where the heads of a connection are remembered, which leads to a proxy if `forward` is given."""
        if forward is None:
            return self.heads
        return self.forwarded_heads.setdefault(forward, Heads(forward))


class Owner(Protocol):
    """The pool, as a connection sees it. Neither call may raise or block."""

    def exchange_over(self, connection: Connection) -> None:
        """An exchange that was begun by `send` has given back its place; look at `capacity` for what that means."""
        ...

    def capacity_changed(self, connection: Connection) -> None:
        """The capacity has changed without that: the peer changed its settings, is leaving, or is gone."""
        ...


class Connection(ABC):
    """A live connection to one origin that speaks one version of HTTP."""

    __slots__ = (
        "bytes_received",
        "bytes_sent",
        "capacity",
        "environment",
        "info",
        "is_closed",
        "is_provisional",
        "link",
        "listeners",
        "needs_look",
        "opened_at",
        "origin",
        "owner",
        "used_at",
        "uses",
        "why_closed",
    )

    piece = 1_048_576
    """Bytes of a large request body that are handed to the link at once; they are not copied if nothing is added."""

    def __init__(
        self,
        origin: Origin,
        link: Link,
        environment: Environment,
        owner: Owner,
        info: ConnectionInfo,
    ) -> None:
        self.origin = origin
        self.link = link
        self.environment = environment
        self.owner = owner
        self.uses = 0
        self.bytes_received = 0
        self.bytes_sent = 0
        self.why_closed = ""
        """One of the words in `netio.observe.ConnectionClosed`, as soon as it is closed or takes no new exchanges."""
        self.is_closed = False
        self.capacity = 1
        """How many exchanges it may carry at once, running ones included; 0 once it takes no new ones."""
        self.is_provisional = False
        """Whether the capacity is a guess, about which the peer has not spoken yet."""
        self.needs_look = not link.is_pushed
        """Whether `is_stale` has to be asked before each use, since the link does not tell what happens to it."""
        self.listeners: tuple[Listener, ...] = ()
        """Who is to be told after each read (_listening.py)."""
        self.info = info
        self.opened_at = self.used_at = info.opened_at

    @abstractmethod
    def retire(self) -> None:
        """Take no new exchange; those that run go on."""

    @abstractmethod
    def open(self, request: Request) -> Exchange:
        """Begin an exchange and queue its first bytes. Raises `InvalidRequest` or an error with `sent=False`."""

    async def send(self, request: Request, attempt: Attempt | None = None) -> Response:
        """Send a request and wait for its response (for its head only if it is streamed)."""
        exchange = self.open(request) if attempt is None else attempt.open(self)
        wish = HEAD if request.is_streamed else END
        try:
            # The first wait is written out, since nearly always it is the only one; `until` does the same in a loop.
            if not exchange.message.is_complete:
                waiter = exchange.begin_wait(wish, exchange.opened_at)
                try:
                    await self.link.wait(waiter)
                finally:
                    exchange.end_wait()
            if not exchange.message.is_complete or exchange.message.error is not None or exchange.failure is not None:
                await exchange.until(wish)
            response = exchange.response()
        except BaseException as error:
            exchange.close()
            if attempt is not None:
                attempt.failed(error, self)
            raise
        if attempt is not None:
            attempt.answered(exchange, response)
        return response

    def is_stale(self, request: Request) -> bool:
        """Whether this request cannot be sent on it: the peer has left, or has broken the silence while it was idle.

        Asked by whoever is about to use it, and gives the place back then: from here on the capacity is 0.
        """
        is_thorough = not request.is_idempotent or request.started - self.used_at > LOOK_AFTER
        if self.capacity and self.link.is_stale(is_thorough=is_thorough):
            self.capacity = 0
            self.why_closed = "peer closed"
        return not self.capacity

    def listen(self, exchange: Exchange, callback: Informed) -> None:
        """Have a function told of the interim responses to one request."""
        self.listeners += (Hints(exchange, callback),)

    def _tell_listeners(self) -> None:
        for listener in self.listeners:
            listener.hear()

    # What an exchange asks of its connection, and the versions do differently.

    @property
    @abstractmethod
    def has_unsent(self) -> bool:
        """Whether what was written for the running exchange has not left yet."""

    @abstractmethod
    def progress_of(self, message: Message) -> int:
        """Return a number that changes with every byte of this message."""

    @abstractmethod
    def take_chunks(self, message: Message) -> list[bytes]:
        """Take what has come of the body."""

    @abstractmethod
    async def send_piece(self, exchange: Exchange, piece: bytes | memoryview) -> None:
        """Send a piece of the request body; return when the next one may come."""

    @abstractmethod
    async def send_end(self, exchange: Exchange, trailers: tuple[Field, ...]) -> None:
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


def reason_of(error: RequestError | None) -> str:
    """Return the word for what has ended a connection; None is a clean end by the peer."""
    if error is None:
        return "peer closed"
    if isinstance(error, SessionClosed):
        return "session closed"
    return "protocol error" if isinstance(error, ProtocolError) else "broken"
