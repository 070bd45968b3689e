"""netio: an HTTP client for asyncio and trio, HTTP/1.1 and HTTP/2.

    async with netio.Session() as session:
        response = await session.get("https://example.org/")

The folders are the path of a request, in alphabetical order, which is call order. A folder imports only folders after
it, through their `__init__`, and the vocabulary; tests/test_layers.py keeps this true.

    vocabulary   errors, deadline, url, headers, body, files, multipart, encoding, reading, saving, request, message,
                 timings, observe, histogram, tally, metrics, shown

    adapters     what plugs netio into other libraries: logging, Prometheus, OpenTelemetry, statsd, plots
    cli          the netio command
    client       1 what the user holds: Session, batches, event streams, downloads, statistics
    policy       2 what may happen around a request: retry, breaker, limits, hedge; redirects, cookies, auth, codings
    pool         3 which connection: ledger (pure), pool (shell), timer
    protocol     4 a live connection that speaks HTTP/1.1 or HTTP/2
    testing      in-memory network, fake clock, faults, cancellation harness: for netio's tests and its users' tests
    transport    5 bytes on the network: names, addresses, proxies, TLS, links, tasks
    wire         6 bytes <-> messages; no I/O, no clock, no event loop
"""

from netio import policy
from netio.body import RequestBody
from netio.client import Batch, EventStream, Outcome, ServerSentEvent, Session, SessionStats
from netio.deadline import Clock, SystemClock, Timeouts
from netio.errors import (
    AddressRefused,
    Attempt,
    AttemptTimedOut,
    BodyTooLarge,
    BodyUnavailable,
    BulkheadFull,
    CertificateError,
    CircuitOpen,
    ConnectError,
    ConnectionLost,
    ConnectTimeout,
    CredentialsError,
    DecodeError,
    EventStreamError,
    IncompleteBody,
    InvalidRequest,
    InvalidURL,
    NetioError,
    PoolTimeout,
    ProtocolError,
    ProxyError,
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
    TriedAddress,
    WriteTimeout,
    WrongEventLoop,
)
from netio.headers import Headers
from netio.message import Policy, Request, Response, Send
from netio.pool import Limits
from netio.reading import BodySource
from netio.transport import (
    TLS,
    Address,
    AddressPolicy,
    AiodnsResolver,
    Answer,
    CaresResolver,
    InsecureWarning,
    KeepAlive,
    Network,
    Proxy,
    Resolver,
    ServiceBinding,
    StaticResolver,
    SystemResolver,
    deny_private,
)
from netio.url import URL, Origin

__version__ = "0.1.0"

__all__ = [
    "URL",
    "Address",
    "AddressPolicy",
    "AddressRefused",
    "AiodnsResolver",
    "Answer",
    "Attempt",
    "AttemptTimedOut",
    "Batch",
    "BodySource",
    "BodyTooLarge",
    "BodyUnavailable",
    "BulkheadFull",
    "CaresResolver",
    "CertificateError",
    "CircuitOpen",
    "Clock",
    "ConnectError",
    "ConnectTimeout",
    "ConnectionLost",
    "CredentialsError",
    "DecodeError",
    "EventStream",
    "EventStreamError",
    "Headers",
    "IncompleteBody",
    "InsecureWarning",
    "InvalidRequest",
    "InvalidURL",
    "KeepAlive",
    "Limits",
    "NetioError",
    "Network",
    "Origin",
    "Outcome",
    "Policy",
    "PoolTimeout",
    "ProtocolError",
    "Proxy",
    "ProxyError",
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
    "Resolver",
    "Response",
    "Send",
    "ServerSentEvent",
    "ServiceBinding",
    "Session",
    "SessionClosed",
    "SessionStats",
    "StaticResolver",
    "StatusError",
    "StreamReset",
    "SystemClock",
    "SystemResolver",
    "TLS",
    "TLSError",
    "TimeoutError",
    "Timeouts",
    "TooManyRedirects",
    "TotalTimeout",
    "TriedAddress",
    "WriteTimeout",
    "WrongEventLoop",
    "deny_private",
    "policy",
]
