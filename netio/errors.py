"""The one exception tree of netio.

    NetioError
    ├── StatusError                  a 4xx or 5xx answer, raised by raise_for_status()
    ├── BodyUnavailable              a response body asked for too early, twice, or after close
    ├── WrongEventLoop               a session used on another event loop than its own
    └── RequestError                 has .request, .phase and .sent
        ├── InvalidRequest           (a ValueError) refused before any byte was written
        │   └── InvalidURL
        ├── RequestBodyError         longer or shorter than declared, or not replayable
        ├── SessionClosed            the session was closed before or under the request
        ├── CredentialsError         no credentials could be had for the request
        ├── EventStreamError         no event stream, or one beyond a limit, see .response
        ├── RedirectError            a redirect that netio does not follow, see .response
        │   └── TooManyRedirects     ... since there were enough of them
        ├── Rejected                 netio itself declined to send; sent is always False
        │   ├── QueueFull            too many requests wait for a connection
        │   ├── CircuitOpen          the circuit breaker of the peer is open
        │   ├── RateLimited          a rate limit allows the request only later
        │   └── BulkheadFull         too many requests are under way, and no place became free
        ├── TimeoutError             (also the builtin TimeoutError)
        │   ├── PoolTimeout          no connection became free in time
        │   ├── ConnectTimeout       opening a connection, TLS included, took too long
        │   ├── WriteTimeout         the peer took no byte of the request for too long
        │   ├── ReadTimeout          the peer sent no byte of the response for too long
        │   ├── AttemptTimedOut      one attempt took too long; the request itself has time left
        │   └── TotalTimeout         the deadline of the whole request passed
        ├── ConnectError             no connection came about
        │   ├── ResolveError         the name has no address
        │   ├── AddressRefused       the address policy of the session allows none of its addresses
        │   ├── ProxyError           the proxy made no connection to the peer, .status_code says why
        │   └── TLSError             the handshake failed
        │       └── CertificateError the peer is not who it should be
        ├── ConnectionLost           an established connection broke
        │   └── IncompleteBody       ... in the middle of a response body
        └── ProtocolError            the peer broke the rules of HTTP or a limit of netio
            ├── BodyTooLarge         the body, or a line of it, is longer than a limit of its reader
            ├── DecodeError          the content coding of the body is broken, or hides more than a limit allows
            └── StreamReset          the peer ended one HTTP/2 stream, .code says why

`sent` is False only if it is proven that the peer cannot have processed the request; then sending it again is safe
whatever its method (RFC 9110 section 9.2.2). Nothing of anyio, trio, ssl, h11, h2 or the operating system escapes:
translation happens once, where the foreign library is called, and the foreign exception stays as `__cause__`.

All of it is in one file, longer than others, so that the tree can be read from its root to its leaves.
"""

from __future__ import annotations

import builtins
from collections.abc import Mapping
from copy import copy
from functools import partial
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Literal, NamedTuple, Self

if TYPE_CHECKING:
    from netio.message import Request, Response

Phase = Literal["build", "queue", "resolve", "connect", "tls", "proxy", "send", "head", "body"]
"""Where a request was when it failed, in the order in which a request passes them."""

CertificateFault = Literal[
    "expired",
    "not yet valid",
    "wrong name",
    "unknown issuer",
    "self-signed",
    "weak",
    "wrong purpose",
    "not allowed",
    "revoked",
    "pin mismatch",
    "invalid",
]
"""Why a certificate was not accepted. "weak": a key too short or a signature too old; "wrong purpose": it is not for
servers; "not allowed": its issuer may not vouch for such names; "invalid": anything else that is wrong with it."""

ResolveFailure = Literal["missing", "invalid", "timeout", "failed"]
"""Why a name was not resolved: it does not exist or has no address; it cannot be a name; nobody answered in time;
anything else (refused, broken answers, no name server)."""

__all__ = [
    "AddressRefused",
    "AttemptTimedOut",
    "BodyTooLarge",
    "BodyUnavailable",
    "BulkheadFull",
    "CertificateError",
    "CircuitOpen",
    "ConnectError",
    "ConnectTimeout",
    "ConnectionLost",
    "CredentialsError",
    "DecodeError",
    "EventStreamError",
    "IncompleteBody",
    "InvalidRequest",
    "InvalidURL",
    "NetioError",
    "Phase",
    "PoolTimeout",
    "ProtocolError",
    "ProxyError",
    "QueueFull",
    "RateLimited",
    "ReadTimeout",
    "RedirectError",
    "Rejected",
    "RequestBodyError",
    "RequestError",
    "ResolveError",
    "SessionClosed",
    "StatusError",
    "StreamReset",
    "TLSError",
    "TimeoutError",
    "TooManyRedirects",
    "TotalTimeout",
    "WriteTimeout",
    "WrongEventLoop",
]


class NetioError(Exception):
    """The base of everything that netio raises."""


class StatusError(NetioError):
    """The answer arrived whole, and its status code says 4xx or 5xx."""

    def __init__(self, message: str, *, response: Response) -> None:
        super().__init__(message)
        self.response = response

    def __reduce__(self) -> tuple[Any, ...]:
        return partial(type(self), response=self.response), self.args, self.__dict__

    @property
    def request(self) -> Request:
        return self.response.request


class BodyUnavailable(NetioError):
    """The response body was asked for before it was read, a second time, or after the response was closed."""


class WrongEventLoop(NetioError):
    """A session belongs to the event loop that it was first used on."""


class Attempt(NamedTuple):
    """One attempt that came to nothing, and was followed by another.

    `outcome` says what came of it ("503", "ConnectError: refused"), `delay` how many seconds were waited after it.
    """

    outcome: str
    delay: float


class TriedAddress(NamedTuple):
    """An address that no connection came about with, why, and after how many seconds."""

    address: str
    error: str
    seconds: float


class RequestError(NetioError):
    """A request failed: `request` is which one, `phase` where it was, `sent` whether the peer may have processed it.

    `attempts` are the attempts before this one, if it was sent more than once; `sent` then speaks for all of them.
    """

    phase: Phase = "build"
    sent: bool = False
    attempts: tuple[Attempt, ...] = ()

    def __init__(
        self,
        message: str = "",
        *,
        request: Request | None = None,
        phase: Phase | None = None,
        sent: bool | None = None,
    ) -> None:
        super().__init__(message)
        self.request = request
        if phase is not None:
            self.phase = phase
        if sent is not None:
            self.sent = sent

    def during(self, request: Request, phase: Phase, *, sent: bool) -> Self:
        """Return a copy of this error that belongs to one request.

        One broken connection fails many requests, and each needs its own exception object: a shared one would
        collect everybody's traceback.
        """
        mine = copy(self)
        mine.__traceback__ = None
        mine.__cause__ = self.__cause__
        if hasattr(self, "__notes__"):
            mine.__notes__ = list(self.__notes__)
        mine.request = request
        mine.phase = phase
        mine.sent = sent
        return mine

    def __str__(self) -> str:
        message = super().__str__()
        if self.request is None:
            return message
        fate = "the server may have processed it" if self.sent else "not processed by the server"
        return f"{message} [{self.request.method} {self.request.url.redacted}; phase {self.phase}; {fate}]"


class InvalidRequest(RequestError, ValueError):
    """The request cannot be expressed in HTTP, or would say something else than the caller meant."""


class InvalidURL(InvalidRequest):
    """Not a URL that netio can send a request to."""


class RequestBodyError(RequestError):
    """The request body was longer or shorter than declared, or had to be sent again and cannot be replayed."""

    phase: Phase = "send"


class SessionClosed(RequestError):
    """The session was closed before or while the request was under way."""

    phase: Phase = "queue"


class CredentialsError(RequestError):
    """The credentials of a request could not be had: a token not renewed, a file not read."""


class EventStreamError(RequestError):
    """The answer is no stream of server-sent events, or breaks a limit; `response` is the answer, closed."""

    phase: Phase = "body"
    sent: bool = True
    response: Response | None = None


class RedirectError(RequestError):
    """A redirect is not followed; `response` is the redirect itself, closed."""

    phase: Phase = "head"
    sent: bool = True
    response: Response | None = None


class TooManyRedirects(RedirectError):
    """There were more redirects than `Redirects.limit`."""


class Rejected(RequestError):
    """netio itself declined to send the request; `retry_after` is in how many seconds to ask again, if known."""

    phase: Phase = "queue"
    retry_after: float | None = None


class QueueFull(Rejected):
    """More requests wait for a connection than `Limits.queued` allows."""


class CircuitOpen(Rejected):
    """The circuit breaker lets nothing through; `retry_after` is in how many seconds the next probe is due."""


class RateLimited(Rejected):
    """The rate limit has no room for the request within the time that it may wait."""


class BulkheadFull(Rejected):
    """As many requests as a bulkhead or an adaptive limit allows are under way, and no place became free in time."""


class TimeoutError(RequestError, builtins.TimeoutError):
    """A time limit of the request passed; `took` says how many seconds each of its phases has taken until then.

    The message names the phases before the last one, as far as they took 50 ms or more.
    """

    sent: bool = True
    took: Mapping[Phase, float] = MappingProxyType({})

    def __str__(self) -> str:
        earlier = list(self.took.items())[:-1]
        story = ", ".join(f"{phase} {seconds:.3g} s" for phase, seconds in earlier if seconds >= 0.05)
        return f"{super().__str__()} after {story}" if story else super().__str__()


class PoolTimeout(TimeoutError):
    """No connection became free within `Timeouts.pool` seconds."""

    phase: Phase = "queue"
    sent: bool = False


class ConnectTimeout(TimeoutError):
    """Opening a connection, name resolution and TLS included, took longer than `Timeouts.connect` seconds.

    `tried` are the addresses of the host that had been tried by then, if the connection was to come from one of them.
    """

    phase: Phase = "connect"
    sent: bool = False
    tried: tuple[TriedAddress, ...] = ()


class WriteTimeout(TimeoutError):
    """The peer accepted no byte of the request for `Timeouts.write` seconds."""

    phase: Phase = "send"


class ReadTimeout(TimeoutError):
    """The peer sent no byte of the response for `Timeouts.read` seconds."""

    phase: Phase = "head"


class AttemptTimedOut(TimeoutError):
    """One attempt took longer than the policy `AttemptTimeout` allows; the deadline of the request has not passed."""


class TotalTimeout(TimeoutError):
    """The request as a whole, with everything netio did for it, took longer than `Timeouts.total` seconds."""


class ConnectError(RequestError):
    """No connection to the peer came about; `tried` are the addresses that were tried, in the order of their failure.

    If there were several, the errors of the system are in an exception group, which is the `__cause__`.
    """

    phase: Phase = "connect"
    tried: tuple[TriedAddress, ...] = ()


class AddressRefused(ConnectError):
    """The address policy of the session refused what would have been connected to; nothing was sent there.

    `address` is the last one that was refused, `reason` why, `host` the name that it belongs to.
    """

    def __init__(
        self,
        message: str = "",
        *,
        host: str = "",
        address: str = "",
        reason: str = "",
        request: Request | None = None,
        phase: Phase | None = None,
        sent: bool | None = None,
    ) -> None:
        super().__init__(message, request=request, phase=phase, sent=sent)
        self.host = host
        self.address = address
        self.reason = reason


class ResolveError(ConnectError):
    """The name of the host has no address, or could not be looked up; `kind` says which (see `ResolveFailure`)."""

    phase: Phase = "resolve"

    def __init__(
        self,
        message: str = "",
        *,
        kind: ResolveFailure = "failed",
        request: Request | None = None,
        phase: Phase | None = None,
        sent: bool | None = None,
    ) -> None:
        super().__init__(message, request=request, phase=phase, sent=sent)
        self.kind: ResolveFailure = kind


class ProxyError(ConnectError):
    """The proxy made no connection to the peer; nothing of the request was sent.

    `proxy` is its URL without credentials, `status_code` what an HTTP proxy answered, None where no answer came.
    """

    phase: Phase = "proxy"

    def __init__(
        self,
        message: str = "",
        *,
        proxy: str = "",
        status_code: int | None = None,
        request: Request | None = None,
        phase: Phase | None = None,
        sent: bool | None = None,
    ) -> None:
        super().__init__(message, request=request, phase=phase, sent=sent)
        self.proxy = proxy
        self.status_code = status_code


class TLSError(ConnectError):
    """The TLS handshake failed."""

    phase: Phase = "tls"


class CertificateError(TLSError):
    """The certificate of the peer was not accepted: `reason` is which check failed, `names` what it is valid for."""

    reason: CertificateFault = "invalid"
    names: tuple[str, ...] = ()


class ConnectionLost(RequestError):
    """An established connection was closed or reset before the response was complete.

    `unanswered` says that no byte of the response had come. On a connection that had served before, that is most
    likely a server closing an idle connection at the wrong moment (HAZARDS POOL-03). `goaway_code` is the error code of
    the GOAWAY by which an HTTP/2 server ended it (RFC 9113 section 7).
    """

    phase: Phase = "head"
    sent: bool = True
    unanswered: bool = False
    goaway_code: int | None = None


class IncompleteBody(ConnectionLost):
    """The response body ended before its declared end; what had arrived is not the whole."""

    phase: Phase = "body"


class ProtocolError(RequestError):
    """The peer sent something that is not HTTP, or more of it than a limit of netio allows."""

    phase: Phase = "head"
    sent: bool = True


class BodyTooLarge(ProtocolError):
    """The response body, or a line of it, is longer than its reader allows (`max_body`, `max_line`)."""

    phase: Phase = "body"


class DecodeError(ProtocolError):
    """The body is not what its Content-Encoding says, or what is in it is more than a limit of `Decode` allows."""

    phase: Phase = "body"


class StreamReset(ProtocolError):
    """The peer ended this HTTP/2 stream; `code` is its error code (RFC 9113 section 7)."""

    def __init__(
        self,
        message: str = "",
        *,
        code: int = 0,
        request: Request | None = None,
        phase: Phase | None = None,
        sent: bool | None = None,
    ) -> None:
        super().__init__(message, request=request, phase=phase, sent=sent)
        self.code = code
