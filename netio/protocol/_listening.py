"""Who wants to hear of more than an exchange waits for: of interim responses (RFC 9110 section 15.2).

A connection asks its listeners after each read. There is one for a request that waits for 100 (Continue), and one for
a request whose caller wants to be told of 103 (Early Hints) and the like; for all others there are none.
"""

from __future__ import annotations

from typing import Protocol

from netio.headers import Headers
from netio.protocol._exchange import Exchange
from netio.reading import Informed
from netio.transport import Waiter
from netio.wire import Message

_CONTINUE = 100


class Listener(Protocol):
    """Who is told that something has come; must not raise."""

    def hear(self) -> None: ...


class Go:
    """Wakes an upload at the first sign of life of the server."""

    __slots__ = ("_message", "_waiter")

    def __init__(self, message: Message, waiter: Waiter) -> None:
        self._message = message
        self._waiter = waiter

    def hear(self) -> None:
        if self._message.informational or self._message.head is not None:
            self._waiter.wake()


class Hints:
    """Tells the caller of interim responses other than 100, until the final head is here or nobody waits for it.

    What the caller's function raises fails the request, also one whose answer came in the same read.
    """

    __slots__ = ("_callback", "_exchange", "_told")

    def __init__(self, exchange: Exchange, callback: Informed) -> None:
        self._exchange = exchange
        self._callback = callback
        self._told = 0

    def hear(self) -> None:
        exchange, message = self._exchange, self._exchange.message
        connection = exchange.connection
        while exchange.failure is None and self._told < len(message.informational):
            head = message.informational[self._told]
            self._told += 1
            if head.status == _CONTINUE:
                continue
            try:
                self._callback(head.status, Headers.received(head.fields))
            except Exception as error:
                error.add_note(f"raised when it was told of a {head.status} to {exchange.request!r}")
                exchange.reject(error)
        if message.head is not None or message.is_complete or exchange.is_over:
            connection.listeners = tuple(other for other in connection.listeners if other is not self)
