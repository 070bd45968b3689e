"""Session: what the user holds."""

from __future__ import annotations

import ssl
from collections.abc import Awaitable, Sequence
from dataclasses import asdict, dataclass
from types import TracebackType
from typing import Self, Unpack

from netio.client._batch import Batch, Requests
from netio.client._build import RequestBuilder, RequestOptions, TimeoutInput, as_timeouts, check_target
from netio.deadline import NEVER, Clock, SystemClock, Timeouts, deadline_after
from netio.errors import SessionClosed, WrongEventLoop
from netio.headers import HeaderInput, Headers
from netio.message import Policy, Request, Response, Send
from netio.observe import Observer
from netio.policy import compose
from netio.pool import WRONG_LOOP, Http2Wish, Limits, Pool
from netio.transport import Connect, Runtime, current_runtime
from netio.url import URL, Params
from netio.wire import ENGINES, EngineName

MAX_WAYS = 64
"""So many lists of policies that were given for single requests are remembered."""

_DEFAULT = Timeouts()
_USER_AGENT = "netio"


@dataclass(frozen=True, kw_only=True, slots=True)
class SessionStats:
    """A snapshot: requests so far, connections now, and connections opened so far."""

    requests: int = 0
    failed: int = 0
    active: int = 0
    idle: int = 0
    dialing: int = 0
    queued: int = 0
    created: int = 0
    dial_failures: int = 0

    def __str__(self) -> str:
        return (
            f"{self.requests} requests, {self.failed} failed; "
            f"connections: {self.active} active, {self.idle} idle, {self.dialing} being opened, "
            f"{self.created} created, {self.dial_failures} failed to open; {self.queued} requests queued"
        )


class Session:
    """Sends requests over a pool of connections.

    Use it as `async with netio.Session() as session:`, or call `aclose` when done. It may be opened in one task and
    closed in another; it belongs to the event loop that it is first used on.

    * `base_url`: what relative URLs are appended to. `params`, `headers`: sent with every request.
    * `policies`: what happens around each request, the first one outermost (`netio.policy`).
    * `timeout`: `Timeouts`, a number (the total, in seconds), or None for no limit.
    * `limits`: how many connections and waiting requests there may be.
    * `verify`: True for the trust store of the system, the path of a CA file or folder, an `ssl.SSLContext` (its ALPN
      protocols are set), or False to accept any certificate.
    * `http2`: True where the server agrees by ALPN; False never; "prior-knowledge" always, in clear text too.
    * `connect`: opens the byte stream to a host and port instead of TCP: `async (host, port) -> anyio ByteStream`.
    * `send`: replaces everything below the policies: `async (request) -> response`.
    * `clock`: where the time comes from; for tests.
    * `observer`: is told what policies do (`netio.observe`).
    * `engine`: "fast" for netio's own codecs, "reference" for the well-known libraries h11 and h2.
    """

    def __init__(
        self,
        *,
        base_url: str | URL = "",
        params: Params | None = None,
        headers: HeaderInput | None = None,
        policies: Sequence[Policy] = (),
        timeout: TimeoutInput = _DEFAULT,
        limits: Limits | None = None,
        verify: bool | str | ssl.SSLContext = True,
        http2: Http2Wish = True,
        connect: Connect | None = None,
        send: Send | None = None,
        clock: Clock | None = None,
        engine: EngineName = "fast",
        observer: Observer | None = None,
    ) -> None:
        if engine not in ENGINES:
            raise ValueError(f"engine must be one of {', '.join(map(repr, ENGINES))}, not {engine!r}")
        if http2 not in (True, False, "prior-knowledge"):
            raise ValueError(f"http2 must be True, False or 'prior-knowledge', not {http2!r}")
        if not isinstance(policies, Sequence):
            raise TypeError(f"policies is a list of policies, not {type(policies).__name__}")
        self._builder = RequestBuilder(
            base_url=base_url, params=params, headers=headers, timeouts=as_timeouts(timeout, _DEFAULT)
        )
        self._builder.headers.setdefault("user-agent", _USER_AGENT)
        self._builder.headers.setdefault("accept", "*/*")
        self._limits = limits or Limits()
        self._verify = verify
        self._http2: Http2Wish = http2
        self._connect = connect
        self._engine: EngineName = engine
        self._clock = clock or SystemClock()
        self._pool: Pool | None = None
        self._runtime: Runtime | None = None
        self._is_closed = False
        self._requests = 0
        self._failed = 0
        self._observer = observer
        self._bottom: Send = send or self._send_by_pool
        self._send: Send = compose(policies, self._bottom)
        self._ways: dict[tuple[Policy, ...], Send] = {}

    @property
    def base_url(self) -> URL | None:
        return self._builder.base_url

    @property
    def headers(self) -> Headers:
        """Sent with every request; may be changed."""
        return self._builder.headers

    @property
    def timeouts(self) -> Timeouts:
        return self._builder.timeouts

    @property
    def is_closed(self) -> bool:
        return self._is_closed

    def stats(self) -> SessionStats:
        """Return how the session stands; printable."""
        pool = {} if self._pool is None else asdict(self._pool.stats())
        return SessionStats(requests=self._requests, failed=self._failed, **pool)

    # ------------------------------------------------------------------ requests

    def build_request(self, method: str, url: str | URL, **options: Unpack[RequestOptions]) -> Request:
        """Return a request with what the session adds to it; options as for `request`.

        Raises `InvalidURL` or `InvalidRequest`.
        """
        return self._builder.build(method, url, options)

    async def send(
        self, request: Request, *, stream: bool = False, policies: Sequence[Policy] | None = None
    ) -> Response:
        """Send a request as it is: nothing of the session is added to it (`build_request` does that).

        With `stream` the response's body is left to the caller, who has to close the response.
        """
        check_target(request.url)
        options: RequestOptions = {} if policies is None else {"policies": policies}
        return await self._dispatch(request.replace(is_streamed=stream), options)

    async def _dispatch(self, request: Request, options: RequestOptions) -> Response:
        if self._is_closed:
            raise SessionClosed("the session is closed", request=request, sent=False)
        self._requests += 1
        clock = request.clock = self._clock
        request.started = now = clock.now()
        total = request.timeouts.total
        request.deadline = NEVER if total is None else now + total
        request.observer = self._observer
        send = self._composed(options["policies"]) if options and "policies" in options else self._send
        try:
            response = await send(request)
        except BaseException:
            self._failed += 1
            raise
        response.elapsed_seconds = clock.now() - now
        return response

    def _composed(self, policies: Sequence[Policy] | None) -> Send:
        """Return the way through the policies of one request; those that come again are put together once."""
        if policies is None:
            return self._send
        key = tuple(policies)
        send = self._ways.get(key)
        if send is None:
            if len(self._ways) >= MAX_WAYS:
                self._ways.clear()
            send = self._ways[key] = compose(key, self._bottom)
        return send

    def _send_by_pool(self, request: Request) -> Awaitable[Response]:
        pool = self._pool
        if pool is None:
            if self._is_closed:  # while a policy kept the request
                raise SessionClosed("the session is closed", request=request, sent=False)
            pool = self._pool = self._make_pool()
        return pool.send(request)

    def _make_pool(self) -> Pool:
        return Pool(
            limits=self._limits,
            clock=self._clock,
            http2=self._http2,
            verify=self._verify,
            connect=self._connect,
            engine=self._engine,
        )

    async def request(self, method: str, url: str | URL, **options: Unpack[RequestOptions]) -> Response:
        """Send a request and read its response. Options, all of them optional:

        * `params`: added to the query; None values are left out, lists give a name several times.
        * `headers`: replace those of the session by name.
        * `content`: bytes, text, or an iterable (sync, async, or a function that returns one) of bytes.
        * `data`: a form. `json`: anything the json module can write; for null, `content="null"`.
        * `timeout`: `Timeouts` in place of the session's, a number for another total, None for no limit.
        * `policies`: in place of the session's.

        Raises `RequestError` and its kin, never for a status code (see `Response.raise_for_status`).
        """
        return await self._dispatch(self._builder.build(method, url, options), options)

    def stream(self, method: str, url: str | URL, **options: Unpack[RequestOptions]) -> StreamContext:
        """Send a request and leave the response's body to the caller: `async with session.stream(...) as response:`.

        The total time limit counts until the head; it covers the body too only if `timeout` is given here.
        """
        request = self.build_request(method, url, **options)
        request.is_streamed = True
        return StreamContext(self, request, options)

    async def _open_stream(self, request: Request, options: RequestOptions) -> Response:
        if "timeout" in options and request.timeouts.total is not None:
            request.body_deadline = self._clock.now() + request.timeouts.total
        return await self._dispatch(request, options)

    async def get(self, url: str | URL, **options: Unpack[RequestOptions]) -> Response:
        """`request("GET", ...)`; all options of `request`."""
        return await self._dispatch(self._builder.build("GET", url, options), options)

    async def head(self, url: str | URL, **options: Unpack[RequestOptions]) -> Response:
        """`request("HEAD", ...)`."""
        return await self._dispatch(self._builder.build("HEAD", url, options), options)

    async def options(self, url: str | URL, **options: Unpack[RequestOptions]) -> Response:
        """`request("OPTIONS", ...)`."""
        return await self._dispatch(self._builder.build("OPTIONS", url, options), options)

    async def post(self, url: str | URL, **options: Unpack[RequestOptions]) -> Response:
        """`request("POST", ...)`."""
        return await self._dispatch(self._builder.build("POST", url, options), options)

    async def put(self, url: str | URL, **options: Unpack[RequestOptions]) -> Response:
        """`request("PUT", ...)`."""
        return await self._dispatch(self._builder.build("PUT", url, options), options)

    async def patch(self, url: str | URL, **options: Unpack[RequestOptions]) -> Response:
        """`request("PATCH", ...)`."""
        return await self._dispatch(self._builder.build("PATCH", url, options), options)

    async def delete(self, url: str | URL, **options: Unpack[RequestOptions]) -> Response:
        """`request("DELETE", ...)`."""
        return await self._dispatch(self._builder.build("DELETE", url, options), options)

    async def connect(self, url: str | URL, count: int = 1) -> int:
        """Open connections to the origin of a URL before they are needed; return how many are ready then.

        It is `count` for HTTP/1.1, less those that are idle already, within `Limits`; and one for HTTP/2. Raises what a
        request would: `ConnectError`, `PoolTimeout`, and their kin.
        """
        if not isinstance(count, int) or count < 1:
            raise ValueError(f"count must be a whole number of at least 1, not {count!r}")
        request = self._builder.build("OPTIONS", url, {})
        if self._is_closed:
            raise SessionClosed("the session is closed", request=request, sent=False)
        request.started = self._clock.now()
        request.deadline = deadline_after(request.started, request.timeouts.total)
        if self._pool is None:
            self._pool = self._make_pool()
        return await self._pool.connect(request, count)

    def batch(self, requests: Requests, *, concurrency: int = 10) -> Batch:
        """Send many requests, at most `concurrency` at a time, and yield an `Outcome` for each as it comes.

        `requests` are Requests or URLs (for GET), from a sync or async iterable that is read as places become free. A
        request that fails yields an outcome with its error and ends nothing else.
        """
        if isinstance(requests, str | Request):
            raise TypeError(f"batch takes many requests, not one {type(requests).__name__}")
        return Batch(requests, self._send_one, concurrency=concurrency, runtime=self._own_runtime)

    async def _send_one(self, request: Request | str) -> Response:
        return await (self.send(request) if isinstance(request, Request) else self.get(request))

    def _own_runtime(self) -> Runtime:
        """Return where batches run. Not among the tasks of the pool: those are given time to end by themselves."""
        self._check_loop()
        if self._runtime is None:
            self._runtime = current_runtime()
        return self._runtime

    def _check_loop(self) -> None:
        runtime = self._runtime if self._pool is None else self._pool.runtime
        if runtime is not None and not runtime.is_current():
            raise WrongEventLoop(WRONG_LOOP)

    # ------------------------------------------------------------------ life

    async def aclose(self) -> None:
        """Close all connections; requests under way fail with `SessionClosed`. May be called twice."""
        self._check_loop()
        self._is_closed = True
        try:
            if self._pool is not None:
                await self._pool.aclose()
        finally:
            if self._runtime is not None:
                await self._runtime.aclose()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self.aclose()


class StreamContext:
    """`async with` around a streamed response: sends the request on entry, closes the response on exit."""

    __slots__ = ("_options", "_request", "_response", "_session")

    def __init__(self, session: Session, request: Request, options: RequestOptions) -> None:
        self._session = session
        self._request = request
        self._options = options
        self._response: Response | None = None

    async def __aenter__(self) -> Response:
        self._response = await self._session._open_stream(self._request, self._options)
        return self._response

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if self._response is not None:
            await self._response.aclose()
