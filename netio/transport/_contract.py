"""The Link: the one seam between bytes and event loops.

A connection (netio.protocol) writes to its link without waiting, gets what the peer sends through `Receiver.feed`, and
sleeps in `wait` until it has woken itself. How the bytes move is the link's business:

* A *pushed* link gets bytes from the loop at any time and feeds them as they come: one over a socket of its own.
* A *pulled* link reads only while a task is inside `wait`, and in that very task. That is all an HTTP/1.1 exchange
  needs, and saves a task switch for every read.

A stream link is pulled, or is turned into a pushed one by `start(..., is_pumped=True)`, which runs a reader and a
writer task; an HTTP/2 connection wants that, since any of its requests may be cancelled, and PING wants an answer while
nobody waits. Every Link passes the kit in tests/transport/link_kit.py.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Awaitable
from typing import Protocol

from netio.errors import RequestError
from netio.transport._runtime import Waiter

HIGH_WATER = 65_536
"""Bytes a link queues before `drain` makes the writer wait (asyncio's and libuv's high-water mark)."""


CLOSE_SECONDS = 1.0
"""What `Link.aclose` may take to say goodbye."""


class Receiver(Protocol):
    """What a link tells its connection. Neither call may raise or block."""

    def feed(self, data: bytes) -> None:
        """Take received bytes, never empty."""
        ...

    def lost(self, error: RequestError | None) -> None:
        """The peer will send nothing more: None after a clean end (FIN; under TLS, close_notify), or why. Said once."""
        ...


class Link(ABC):
    """One established connection, as bytes. Belongs to one receiver and one event loop."""

    __slots__ = ()

    @property
    @abstractmethod
    def alpn(self) -> str | None:
        """The protocol that TLS negotiated (RFC 7301), None without TLS or agreement."""

    @property
    @abstractmethod
    def has_unsent(self) -> bool:
        """Whether something written has not left yet: a peer that stops reading shows here."""

    @property
    @abstractmethod
    def unsent(self) -> int:
        """How many bytes are queued; it shrinks as they leave."""

    @property
    def is_full(self) -> bool:
        """Whether `HIGH_WATER` or more is queued."""
        return self.unsent >= HIGH_WATER

    @abstractmethod
    def start(self, receiver: Receiver, *, is_pumped: bool) -> None:
        """Begin to deliver to the receiver. Called once."""

    @abstractmethod
    def write(self, data: bytes | memoryview) -> None:
        """Queue bytes to be sent in this order. A link that is broken or closed drops them: `lost` says so."""

    @abstractmethod
    def waiter(self) -> Waiter:
        """Make a waiter for `wait` or `drain`, to be used once by the calling task."""

    @abstractmethod
    def wait(self, waiter: Waiter) -> Awaitable[None]:
        """Move bytes both ways until the waiter is woken, by the receiver or by anybody else."""

    @abstractmethod
    async def drain(self, waiter: Waiter) -> None:
        """Return when less than `HIGH_WATER` is queued, the link is broken, or the waiter is woken."""

    @abstractmethod
    def pause(self) -> None:
        """Deliver nothing more until `resume`, as far as the link delivers by itself: so a slow reader slows the peer.

        What was read already may still come.
        """

    @abstractmethod
    def resume(self) -> None: ...

    @property
    @abstractmethod
    def is_pushed(self) -> bool:
        """Whether the receiver is told what happens to an idle link within a turn of the loop, and need not ask."""

    @abstractmethod
    def is_stale(self, *, is_thorough: bool = True) -> bool:
        """Whether the peer has ended or broken the silence of an idle link, so that it must not be used again.

        A pushed link looks at the socket only if asked to be `is_thorough`.

        Synchronous, so that nothing can happen between the answer and the first byte written. What TLS has to say to
        itself in between (session tickets) is no such sign. What is stale once stays so.
        """

    @abstractmethod
    def abort(self) -> None:
        """Close now, whatever is under way; what was not sent is dropped. Synchronous and idempotent.

        The receiver hears nothing more: whoever aborts wakes those that wait on the connection.
        """

    @abstractmethod
    async def aclose(self) -> None:
        """Send what is queued and close_notify, then close; takes at most a second, then it is `abort`."""
