"""netio: an HTTP client for asyncio and trio, HTTP/1.1 and HTTP/2.

    async with netio.Session() as session:
        response = await session.get("https://example.org/")

The folders are the path of a request, in alphabetical order, which is call order. A folder imports only folders after
it, through their `__init__`, and the vocabulary; tests/test_layers.py keeps this true.

    vocabulary   errors, deadline, url, headers, body, reading, message, observe, histogram, tally, metrics

    adapters     what plugs netio into other libraries: plots by matplotlib
    cli          the netio command
    client       1 what the user holds: Session, request building
    policy       2 what may happen around a request: retry, breaker, limits, hedge; redirects, cookies, credentials
    pool         3 which connection: ledger (pure), pool (shell), timer
    protocol     4 a live connection that speaks HTTP/1.1 or HTTP/2
    testing      in-memory network, fake clock, cancellation harness: for netio's tests and its users' tests
    transport    5 bytes on the network: links, TLS, dialing, tasks
    wire         6 bytes <-> messages; no I/O, no clock, no event loop
"""

from netio import policy
from netio.body import RequestBody
from netio.client import Batch, Outcome, Session, SessionStats
from netio.deadline import Clock, SystemClock, Timeouts
from netio.errors import (
    Attempt,
    AttemptTimedOut,
    BodyUnavailable,
    BulkheadFull,
    CertificateError,
    CircuitOpen,
    ConnectError,
    ConnectionLost,
    ConnectTimeout,
    CredentialsError,
    DecodeError,
    IncompleteBody,
    InvalidRequest,
    InvalidURL,
    NetioError,
    PoolTimeout,
    ProtocolError,
    QueueFull,
    RateLimited,
    ReadTimeout,
    RedirectError,
    Rejected,
    RequestBodyError,
    RequestError,
    ResolveError,
    SessionClosed,
    StatusError,
    StreamReset,
    TimeoutError,
    TLSError,
    TooManyRedirects,
    TotalTimeout,
    WriteTimeout,
    WrongEventLoop,
)
from netio.headers import Headers
from netio.message import Policy, Request, Response, Send
from netio.pool import Limits
from netio.reading import BodySource
from netio.url import URL, Origin

__version__ = "0.1.0"

__all__ = [
    "Attempt",
    "AttemptTimedOut",
    "Batch",
    "BodySource",
    "BodyUnavailable",
    "BulkheadFull",
    "CertificateError",
    "CircuitOpen",
    "Clock",
    "ConnectError",
    "ConnectTimeout",
    "ConnectionLost",
    "CredentialsError",
    "DecodeError",
    "Headers",
    "IncompleteBody",
    "InvalidRequest",
    "InvalidURL",
    "Limits",
    "NetioError",
    "Origin",
    "Outcome",
    "Policy",
    "PoolTimeout",
    "ProtocolError",
    "QueueFull",
    "RateLimited",
    "ReadTimeout",
    "RedirectError",
    "Rejected",
    "Request",
    "RequestBody",
    "RequestBodyError",
    "RequestError",
    "ResolveError",
    "Response",
    "Send",
    "Session",
    "SessionClosed",
    "SessionStats",
    "StatusError",
    "StreamReset",
    "SystemClock",
    "TLSError",
    "TimeoutError",
    "Timeouts",
    "TooManyRedirects",
    "TotalTimeout",
    "URL",
    "WriteTimeout",
    "WrongEventLoop",
    "policy",
]
