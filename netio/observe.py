"""What happened, told to whoever wants to know: frozen events, and the one shape of an observer.

An observer is any function that takes an event. It is called synchronously, at the very moment; so it must not block,
and what it raises is logged and goes no further. Where nobody listens no event is made.

Of a request that is answered at once on a connection that was there, an observer hears

    RequestStarted     the session has it, no policy has seen it yet
      HeadSent         an attempt is on its way, on this connection
      HeadReceived     ... has an answer; left out where all of it came at once
      BodyDone         ... has all of it; of a streamed response this comes last
    RequestFinished    the caller gets this response, or this error

Each attempt has a number of its own (`attempt`), since one request may be sent several times, even at the same moment
(hedging). It begins with `RequestQueued` or `HeadSent`, whichever comes first, and ends with exactly one of `BodyDone`
and `AttemptFailed`. All this is told in the task of the request. What is told of a connection is told wherever it
happens: it is opened by the pool, in the background, and may serve many. All events of one dial and of the connection
that came of it carry its number: DialStarted, Resolved, Connected, TLSDone, then ConnectionOpened or DialFailed; later
ConnectionIdle, and in the end ConnectionClosed.

Events carry requests and errors, whose repr and text show no userinfo, no query, no header and no body.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Hashable, Mapping
from inspect import get_annotations
from operator import attrgetter
from typing import TYPE_CHECKING, Any, dataclass_transform

from netio.timings import Address, ConnectionInfo, TLSInfo
from netio.url import Origin

if TYPE_CHECKING:
    from netio.errors import Phase, Rejected
    from netio.message import Request, Response

__all__ = [
    "Event",
    "Observer",
    "several",
    "RequestStarted",
    "RequestFinished",
    "Retried",
    "Resent",
    "Redirected",
    "BreakerChanged",
    "LimitChanged",
    "Hedged",
    "Refused",
    "RequestQueued",
    "HeadSent",
    "HeadReceived",
    "BodyDone",
    "AttemptFailed",
    "DialStarted",
    "Resolved",
    "Connected",
    "TLSDone",
    "DialFailed",
    "ConnectionOpened",
    "ConnectionIdle",
    "ConnectionClosed",
]

_log = logging.getLogger("netio")


@dataclass_transform(frozen_default=True)
class _Frozen(type):
    """Makes its classes records that nobody can change, as `@dataclass(frozen=True, slots=True)` does.

    That one sets each attribute by a call, 0.37 µs for three of them; here it takes 0.11, and five events are made for
    a request. Attributes are properties over private slots.
    """

    names: tuple[str, ...] = ()
    """The attributes of an event, in their order."""

    def __new__(cls, name: str, bases: tuple[type, ...], namespace: dict[str, Any]) -> _Frozen:
        plain = type.__new__(cls, name, bases, {**namespace, "__slots__": ()})
        names = tuple(get_annotations(plain))
        if not names:
            return plain
        lines = [f"def __init__(self, {', '.join(names)}):", *(f"    self._{name} = {name}" for name in names)]
        made: dict[str, Any] = {}
        exec("\n".join(lines), made)  # as dataclasses do; the names are those of the classes below
        properties = {name: property(attrgetter(f"_{name}")) for name in names}
        slots = {"__slots__": tuple(f"_{name}" for name in names), "__match_args__": names}
        frozen = type.__new__(cls, name, bases, {**namespace, **properties, **slots, "__init__": made["__init__"]})
        frozen.names = names
        return frozen


class Event(metaclass=_Frozen):
    """Something that happened to a request or a connection."""

    __slots__ = ()

    def items(self) -> list[tuple[str, Any]]:
        """Return the names and values of the attributes."""
        return [(name, getattr(self, name)) for name in type(self).names]

    def __eq__(self, other: object) -> bool:
        return type(self) is type(other) and isinstance(other, Event) and self.items() == other.items()

    def __hash__(self) -> int:
        return hash((type(self), *(value for _, value in self.items())))

    def __repr__(self) -> str:
        return f"{type(self).__name__}({', '.join(f'{name}={value!r}' for name, value in self.items())})"


Observer = Callable[[Event], None]


def tell(observer: Observer, event: Event) -> None:
    """Call the observer; what it raises is logged as a warning."""
    try:
        observer(event)
    except Exception:
        _log.warning("netio: the observer failed on %r", event, exc_info=True)


def several(*observers: Observer) -> Observer:
    """Return an observer that tells all of these, in their order; what one raises keeps none from the others."""

    def tell_all(event: Event) -> None:
        for observer in observers:
            tell(observer, event)

    return tell_all


# ---------------------------------------------------------------------- requests


class RequestStarted(Event):
    """A session was given a request; no policy has seen it yet."""

    request: Request


class RequestFinished(Event):
    """The caller gets a response, or an error, which may be a cancellation; the other one is None.

    `seconds` went by since `RequestStarted`. Of a streamed response only the head is here. `request` is the one that
    was started; `response.request` may be another one, after a redirect.
    """

    request: Request
    response: Response | None
    error: BaseException | None
    seconds: float


class Retried(Event):
    """A request is about to be sent again.

    `attempt` is the one that has failed, counted from 1, `outcome` what came of it: "503" or "ConnectError: refused".
    `delay` is how many seconds the next one waits.
    """

    request: Request
    attempt: int
    outcome: str
    delay: float


class Resent(Event):
    """The pool is about to send a request again by itself, since the server has not processed it, or cannot have.

    `error` is what became of the attempt before, None after 421 (Misdirected Request).
    """

    request: Request
    error: Exception | None
    delay: float


class Redirected(Event):
    """A request was answered by a redirect with this status, and `following` is sent in its place."""

    request: Request
    status: int
    following: Request


class BreakerChanged(Event):
    """The circuit of a key went from one state to another; the states are those of `CircuitBreaker.state`."""

    key: Hashable
    before: str
    after: str


class LimitChanged(Event):
    """An adaptive limit lets another number of requests through at a time."""

    key: Hashable
    before: int
    after: int


class Hedged(Event):
    """A request had no answer after `delay` seconds and was sent a second time."""

    request: Request
    delay: float


class Refused(Event):
    """A policy declined to send a request; `error` is what the caller gets."""

    request: Request
    error: Rejected


# ---------------------------------------------------------------------- attempts


class RequestQueued(Event):
    """No connection was free for an attempt, so it waits.

    `is_exhausted` says that none is being opened for it either, since there are as many as `Limits` allow.
    """

    request: Request
    attempt: int
    is_exhausted: bool


class HeadSent(Event):
    """The head of a request, with a small body, was handed to a connection that has now been used `uses` times."""

    request: Request
    attempt: int
    connection: ConnectionInfo
    uses: int


class HeadReceived(Event):
    """The head of the response was here, before its end; `seconds` went by since `HeadSent`.

    Where all of a response came at once there is only `BodyDone`.
    """

    request: Request
    attempt: int
    connection: ConnectionInfo
    status: int
    seconds: float


class BodyDone(Event):
    """The response has ended: `received` bytes of its body have come, with their content coding.

    `is_whole` is False if the rest was given up: by the caller, by a time limit, by an error. `seconds` went by since
    `HeadSent`.
    """

    request: Request
    attempt: int
    connection: ConnectionInfo
    status: int
    received: int
    is_whole: bool
    seconds: float


class AttemptFailed(Event):
    """An attempt ended without a response. `connection` is None if it never had one; `error` may be a cancellation."""

    request: Request
    attempt: int
    connection: ConnectionInfo | None
    error: BaseException


# ---------------------------------------------------------------------- connections


class DialStarted(Event):
    """A connection is being opened."""

    number: int
    origin: Origin


class Resolved(Event):
    """The addresses of a host are known, in the order in which they are tried; `is_cached` if they were before."""

    number: int
    host: str
    addresses: tuple[str, ...]
    seconds: float
    is_cached: bool


class Connected(Event):
    """The transport is connected, to the server or to its proxy; None where it has no address to tell."""

    number: int
    peer: Address | None
    local: Address | None
    seconds: float


class TLSDone(Event):
    """The handshake with the server is done."""

    number: int
    tls: TLSInfo
    seconds: float


class DialFailed(Event):
    """No connection came about; `took` are the seconds of each phase."""

    number: int
    origin: Origin
    error: BaseException
    took: Mapping[Phase, float]


class ConnectionOpened(Event):
    """A connection can be used."""

    connection: ConnectionInfo


class ConnectionIdle(Event):
    """A connection, which was used `uses` times, had nothing to do when the pool looked, about once a second.

    So this is not told between two requests that follow each other.
    """

    connection: ConnectionInfo
    uses: int


class ConnectionClosed(Event):
    """A connection is closed, or is being closed; `reason` says why:

    * "idle": longer than `Limits.idle_seconds`, or more than `Limits.idle`; "too old": `Limits.connection_age`;
      "needed elsewhere": its place was, for another origin; "session closed"
    * "last response": after which HTTP/1.1 allows no other; "peer closed"; "peer leaves": GOAWAY; "used up": no more
      stream ids; "broken", "protocol error"
    * "given up": an HTTP/1.1 response was cancelled, timed out or not read to its end; "not taking": the peer has
      answered without taking all of the request; "retired": it cannot be used for what was asked of it; "suspect":
      another one to the same origin was found dead; "moved": its address is not among those of its name any more

    Bytes are those of HTTP, without TLS; `seconds` is how long it was open.
    """

    connection: ConnectionInfo
    reason: str
    uses: int
    bytes_sent: int
    bytes_received: int
    seconds: float
