"""What happened, told to whoever wants to know: frozen events, and the one shape of an observer.

An observer is any function that takes an event. It is called synchronously, at the very moment, in the task to which it
happened; so it must not block, and what it raises is logged and goes no further. Where nobody listens
(`request.observer is None`) no event is made.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Hashable
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from netio.errors import Rejected
    from netio.message import Request

_log = logging.getLogger("netio")


@dataclass(frozen=True, slots=True)
class Event:
    """Something that happened to a request or a connection."""


Observer = Callable[[Event], None]


def tell(observer: Observer, event: Event) -> None:
    """Call the observer; what it raises is logged as a warning."""
    try:
        observer(event)
    except Exception:
        _log.warning("netio: the observer failed on %r", event, exc_info=True)


@dataclass(frozen=True, slots=True)
class Retried(Event):
    """A request is about to be sent again.

    `attempt` is the one that has failed, counted from 1, `outcome` what came of it: "503" or "ConnectError: refused".
    `delay` is how many seconds the next one waits.
    """

    request: Request
    attempt: int
    outcome: str
    delay: float


@dataclass(frozen=True, slots=True)
class BreakerChanged(Event):
    """The circuit of a key went from one state to another; the states are those of `CircuitBreaker.state`."""

    key: Hashable
    before: str
    after: str


@dataclass(frozen=True, slots=True)
class LimitChanged(Event):
    """An adaptive limit lets another number of requests through at a time."""

    key: Hashable
    before: int
    after: int


@dataclass(frozen=True, slots=True)
class Hedged(Event):
    """A request had no answer after `delay` seconds and was sent a second time."""

    request: Request
    delay: float


@dataclass(frozen=True, slots=True)
class Refused(Event):
    """A policy declined to send a request; `error` is what the caller gets."""

    request: Request
    error: Rejected
