"""What HTTP/1.1 and HTTP/2 connections have in common, as their owner and their exchanges see it."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Protocol

from netio.deadline import Clock, Watchdog
from netio.errors import Phase, RequestError
from netio.message import Request, Response
from netio.protocol._exchange import END, HEAD, Exchange
from netio.protocol._head import Heads
from netio.protocol._pulse import PingTimes
from netio.transport import Link, Runtime, wake
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
        "capacity",
        "dial_took",
        "environment",
        "expecting",
        "is_closed",
        "is_provisional",
        "link",
        "needs_look",
        "opened_at",
        "origin",
        "owner",
        "used_at",
        "uses",
    )

    piece = 1_048_576
    """Bytes of a large request body that are handed to the link at once; they are not copied if nothing is added."""

    def __init__(
        self,
        origin: Origin,
        link: Link,
        environment: Environment,
        owner: Owner,
        dial_took: Mapping[Phase, float] | None = None,
    ) -> None:
        self.origin = origin
        self.link = link
        self.environment = environment
        self.owner = owner
        self.uses = 0
        self.bytes_received = 0
        self.is_closed = False
        self.capacity = 1
        """How many exchanges it may carry at once, running ones included; 0 once it takes no new ones."""
        self.is_provisional = False
        """Whether the capacity is a guess, about which the peer has not spoken yet."""
        self.needs_look = not link.is_pushed
        """Whether `is_stale` has to be asked before each use, since the link does not tell what happens to it."""
        self.expecting: tuple[Message, ...] = ()
        """Messages of which an upload waits for anything to come (Expect: 100-continue)."""
        self.opened_at = self.used_at = environment.clock.now()
        self.dial_took: Mapping[Phase, float] = dial_took or {}
        """Seconds that each phase of opening it has taken."""

    @abstractmethod
    def retire(self) -> None:
        """Take no new exchange; those that run go on."""

    @abstractmethod
    def open(self, request: Request) -> Exchange:
        """Begin an exchange and queue its first bytes. Raises `InvalidRequest` or an error with `sent=False`."""

    async def send(self, request: Request) -> Response:
        """Send a request and wait for its response (for its head only if it is streamed)."""
        exchange = self.open(request)
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
            return exchange.response()
        except BaseException:
            exchange.close()
            raise

    def is_stale(self, request: Request) -> bool:
        """Whether this request cannot be sent on it: the peer has left, or has broken the silence while it was idle.

        Asked by whoever is about to use it, and gives the place back then: from here on the capacity is 0.
        """
        is_thorough = not request.is_idempotent or request.started - self.used_at > LOOK_AFTER
        if self.capacity and self.link.is_stale(is_thorough=is_thorough):
            self.capacity = 0
        return not self.capacity

    def _wake_expecting(self) -> None:
        for message in self.expecting:
            if message.informational or message.head is not None:
                wake(message.writer)

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
