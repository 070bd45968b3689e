"""Session: what the user holds.

The file is longer than others since it is the public face: half of it says what the arguments mean, and most methods
are a line or two over the builder, the semantics and the pool.
"""

from __future__ import annotations

from collections.abc import Awaitable, Sequence
from functools import partial
from os import PathLike
from types import TracebackType
from typing import Self, Unpack, cast

from netio.body import Progress
from netio.client._batch import Batch, Requests
from netio.client._build import RequestBuilder, RequestOptions, TimeoutInput, as_most, as_timeouts, check_target
from netio.client._download import Download, DownloadOptions
from netio.client._semantics import WAY_OPTIONS, AuthInput, CookiesInput, Semantics, SendOptions, WayOptions
from netio.client._sse import EventStream, as_event_request, checked_id
from netio.client._stats import SessionStats, session_stats
from netio.client._stream import StreamContext
from netio.deadline import NEVER, Clock, SystemClock, Timeouts, deadline_after
from netio.encoding import JsonEncoder
from netio.errors import RequestError, SessionClosed, WrongEventLoop
from netio.headers import HeaderInput, Headers
from netio.message import Policy, Request, Response, Send
from netio.observe import Observer, RequestFinished, RequestStarted, tell
from netio.policy import CookieJar, Decode, Redirects, compose
from netio.pool import WRONG_LOOP, Books, Http2Wish, Limits, Pool
from netio.reading import MAX_BODY, JsonDecoder, Reading
from netio.tally import Tally
from netio.transport import Connect, Network, ProxyInput, Runtime, Verify, check_verify, current_runtime, find_proxies
from netio.url import URL, Params
from netio.wire import ENGINES, EngineName

MAX_WAYS = 64
"""So many lists of policies that were given for single requests are remembered."""

_DEFAULT = Timeouts()
_USER_AGENT = "netio"


class Session:
    """Sends requests over a pool of connections.

    Use it as `async with netio.Session() as session:`, or call `aclose` when done. It may be opened in one task and
    closed in another; it belongs to the event loop that it is first used on.

    * `base_url`: what relative URLs are appended to. `params`, `headers`: sent with every request.
    * `policies`: what happens around each request, the first one outermost (`netio.policy`).
    * `follow_redirects`: False, True, or a `policy.Redirects` with a limit and rules of its own.
    * `cookies`: True to keep those that servers set and send them back, a `policy.CookieJar` to do it with that one,
      a mapping for some that go to `base_url`; False for none of that.
    * `auth`: user name and password, or credentials of `netio.policy`. Unless these name origins themselves they go to
      that of `base_url`, or without one to the origin of the URL that is asked for; never to where a redirect leads.
    * `decode`: whether compressed bodies are asked for and decoded, or a `policy.Decode` with limits of its own.
    * `json_encoder`, `json_decoder`: in place of the json module: `orjson.dumps`, `msgspec.json.decode`.
    * `max_body`: how many bytes of a body, as decoded, are taken where it is read as a whole; None for no limit.
    * `timeout`: `Timeouts`, a number (the total, in seconds), or None for no limit.
    * `limits`: how many connections and waiting requests there may be.
    * `verify`: True for the trust store of the system, the path of a CA file or folder, `netio.TLS` for all else, an
      `ssl.SSLContext` (its ALPN protocols are set), or False to accept any certificate.
    * `http2`: True where the server agrees by ALPN; False never; "prior-knowledge" always, in clear text too.
    * `proxy`: the URL of a proxy or a `netio.Proxy`, or a mapping from what it is for ("http://", "all://*.internal.test")
      to such, None for no proxy. `trust_env`: whether the environment names proxies, unless `proxy` is given.
    * `network`: how names become addresses and addresses connections, see `Network`.
    * `connect`: opens the byte stream to a host and port instead of TCP: `async (host, port) -> anyio ByteStream`.
    * `send`: replaces everything below the policies: `async (request) -> response`.
    * `clock`: where the time comes from; for tests.
    * `observer`: is told what happens to requests and connections (`netio.observe`).
    * `metrics`: whether requests are counted and timed by origin, for `stats`.
    * `engine`: "fast" for netio's own codecs, "reference" for the well-known libraries h11 and h2.
    """

    def __init__(
        self,
        *,
        base_url: str | URL = "",
        params: Params | None = None,
        headers: HeaderInput | None = None,
        policies: Sequence[Policy] = (),
        follow_redirects: bool | Redirects = False,
        cookies: CookiesInput = False,
        auth: AuthInput | None = None,
        decode: bool | Decode = True,
        json_encoder: JsonEncoder | None = None,
        json_decoder: JsonDecoder | None = None,
        max_body: int | None = MAX_BODY,
        timeout: TimeoutInput = _DEFAULT,
        limits: Limits | None = None,
        verify: Verify = True,
        http2: Http2Wish = True,
        proxy: ProxyInput | None = None,
        trust_env: bool = False,
        network: Network | None = None,
        connect: Connect | None = None,
        send: Send | None = None,
        clock: Clock | None = None,
        engine: EngineName = "fast",
        observer: Observer | None = None,
        metrics: bool = True,
    ) -> None:
        if engine not in ENGINES:
            raise ValueError(f"engine must be one of {', '.join(map(repr, ENGINES))}, not {engine!r}")
        if http2 not in (True, False, "prior-knowledge"):
            raise ValueError(f"http2 must be True, False or 'prior-knowledge', not {http2!r}")
        if not isinstance(policies, Sequence):
            raise TypeError(f"policies is a list of policies, not {type(policies).__name__}")
        reading = Reading(max_body=as_most(max_body), json_decoder=json_decoder)
        self._builder = RequestBuilder(
            base_url=base_url,
            params=params,
            headers=headers,
            timeouts=as_timeouts(timeout, _DEFAULT),
            reading=None if (max_body, json_decoder) == (MAX_BODY, None) else reading,
            json_encoder=json_encoder,
        )
        self._builder.headers.setdefault("user-agent", _USER_AGENT)
        self._builder.headers.setdefault("accept", "*/*")
        self._semantics = Semantics(
            base_url=self._builder.base_url,
            decode=decode,
            follow_redirects=follow_redirects,
            cookies=cookies,
            auth=auth,
        )
        self._decode = self._semantics.decode
        if self._decode is not None:
            self._builder.headers.setdefault("accept-encoding", self._decode.accept_encoding)
        self._limits = limits or Limits()
        self._verify = check_verify(verify)
        self._http2: Http2Wish = http2
        self._proxies = find_proxies(proxy, trust_env=trust_env)
        if network is not None and connect is not None:
            raise ValueError("Session takes a network or a connect function, which does all of it itself; not both")
        self._network = network
        self._connect = connect
        self._engine: EngineName = engine
        self._clock = clock or SystemClock()
        self._pool: Pool | None = None
        self._runtime: Runtime | None = None
        self._is_closed = False
        self._requests = 0
        self._succeeded = self._failed = self._cancelled = 0
        self._tally = Tally() if metrics else None
        self._observer = observer
        self._bottom: Send = send or self._send_by_pool
        self._inner: Send = compose(policies, self._bottom)
        self._send: Send = self._semantics.around(self._inner, {})
        self._ways: dict[tuple[Policy, ...], Send] = {}

    @property
    def base_url(self) -> URL | None:
        return self._builder.base_url

    @property
    def headers(self) -> Headers:
        """Sent with every request; may be changed."""
        return self._builder.headers

    @property
    def cookies(self) -> CookieJar | None:
        """The jar, if the session keeps cookies."""
        return None if self._semantics.cookies is None else self._semantics.cookies.jar

    @property
    def timeouts(self) -> Timeouts:
        return self._builder.timeouts

    @property
    def is_closed(self) -> bool:
        return self._is_closed

    def stats(self) -> SessionStats:
        """Return how the session stands; printable."""
        pool = self._pool
        ended = (self._succeeded, self._failed, self._cancelled)
        if pool is None:
            return session_stats(ended, self._requests, self._tally, None, Books())
        return session_stats(ended, self._requests, self._tally, pool.stats(), pool.books())

    # ------------------------------------------------------------------ requests

    def build_request(self, method: str, url: str | URL, **options: Unpack[RequestOptions]) -> Request:
        """Return a request with what the session adds to it; options as for `request`.

        Raises `InvalidURL` or `InvalidRequest`.
        """
        return self._builder.build(method, url, options)

    async def send(self, request: Request, *, stream: bool = False, **options: Unpack[SendOptions]) -> Response:
        """Send a request as it is: nothing of the session is added to it (`build_request` does that).

        With `stream` the response's body is left to the caller, who has to close the response. Options: `policies`,
        `follow_redirects` and `auth`, as for `request`.
        """
        check_target(request.url)
        if unknown := options.keys() - WAY_OPTIONS:
            raise TypeError(f"send has no option {', '.join(sorted(unknown))}; it has {', '.join(sorted(WAY_OPTIONS))}")
        if not request.body.is_prepared:
            await request.body.prepare()
        return await self._dispatch(request.replace(is_streamed=stream), options)

    async def _dispatch(self, request: Request, options: RequestOptions | SendOptions) -> Response:
        if self._is_closed:
            raise SessionClosed("the session is closed", request=request, sent=False)
        if options and not request.body.is_prepared:
            await request.body.prepare()
        self._requests += 1
        clock = request.clock = self._clock
        request.started = now = clock.now()
        total = request.timeouts.total
        request.deadline = NEVER if total is None else now + total
        observer = request.observer = self._observer
        if observer is not None:
            tell(observer, RequestStarted(request))
        try:
            if request.url.has_userinfo or (options and not WAY_OPTIONS.isdisjoint(options)):
                send = self._way(request, options)
            else:
                send = self._send
            response = await send(request)
            if response.may_be_coded and self._decode is not None:
                await self._decode.decode(request, response)
        except BaseException as error:
            self._note_failure(request, error)
            raise
        seconds = response.elapsed_seconds = clock.now() - now
        self._succeeded += 1
        if self._tally is not None:
            row = self._tally.record(request.url.origin, seconds, response.status_code)
            if response.attempts:
                row.retries += len(response.attempts)
        if observer is not None:
            tell(observer, RequestFinished(request, response, None, seconds))
        return response

    def _note_failure(self, request: Request, error: BaseException) -> None:
        seconds = self._clock.now() - request.started
        if isinstance(error, Exception):
            self._failed += 1
        else:
            self._cancelled += 1
        if self._tally is not None:
            row = self._tally.record(request.url.origin, seconds, error)
            if isinstance(error, RequestError):
                row.retries += len(error.attempts)
        if self._observer is not None:
            tell(self._observer, RequestFinished(request, None, error, seconds))

    def _way(self, request: Request, options: RequestOptions | SendOptions) -> Send:
        """Return the way of a request that has another than most."""
        inner = self._composed(options.get("policies"))
        return self._semantics.around(inner, cast("WayOptions", options), has_userinfo=request.url.has_userinfo)

    def _composed(self, policies: Sequence[Policy] | None) -> Send:
        """Return the way through the policies of one request; those that come again are put together once."""
        if policies is None:
            return self._inner
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
            network=self._network,
            proxies=self._proxies,
            observer=self._observer,
            engine=self._engine,
        )

    async def request(self, method: str, url: str | URL, **options: Unpack[RequestOptions]) -> Response:
        """Send a request and read its response. Options, all of them optional:

        * `params`: added to the query; None values are left out, lists give a name several times.
        * `headers`: replace those of the session by name.
        * `content`: bytes, text, or an iterable (sync, async, or a function that returns one) of bytes.
        * `data`: a form. `json`: anything the json module can write; for null, `content="null"`.
        * `files`: files of a form, by name, as bytes, text, open files, paths, iterables, lists of these, or
          (file name, content, media type); `data` are its other fields.
        * `progress`: told how many bytes of the body have been sent, and of how many: `(sent, total or None)`.
        * `trailers`: fields behind the body, or a function that returns them, called when its end was sent.
        * `max_body`: in place of the session's, and for a streamed response, too.
        * `on_informational`: told of interim responses such as 103: `(status, headers)`.
        * `timeout`: `Timeouts` in place of the session's, a number for another total, None for no limit.
        * `policies`: in place of the session's.
        * `cookies`: by name, beside those of the session's jar. `follow_redirects`: in place of the session's.
        * `auth`: in place of the session's, None for none; without origins of its own for that of this URL.

        Raises `RequestError` and its kin, never for a status code (see `Response.raise_for_status`).
        """
        return await self._dispatch(self._builder.build(method, url, options), options)

    def stream(self, method: str, url: str | URL, **options: Unpack[RequestOptions]) -> StreamContext:
        """Send a request and leave the response's body to the caller: `async with session.stream(...) as response:`.

        The total time limit counts until the head; it covers the body too only if `timeout` is given here.
        """
        request = self.build_request(method, url, **options)
        request.is_streamed = True
        return StreamContext(request, partial(self._open_stream, options))

    def sse(
        self,
        url: str | URL,
        *,
        method: str = "GET",
        last_event_id: str = "",
        reconnect: bool | None = None,
        idle: float | None = 60.0,
        max_event: int = 1_048_576,
        **options: Unpack[RequestOptions],
    ) -> EventStream:
        """Read server-sent events: `async with session.sse(url) as events: async for event in events: ...`.

        * `last_event_id`: where to go on. `max_event`: bytes that a line, or the data of an event, may have.
        * `reconnect`: whether to open the stream again when it ends or breaks, until the server answers 204 or there
          were ten failures in a row; by default if `method` is GET. The first connection is tried once.
        * `idle`: seconds without a byte after which a connection is taken for dead, in place of `Timeouts.read`.

        The total time limit counts until the head of the answer. Options as for `request`.
        """
        request = self.build_request(method, url, **options)
        return EventStream(
            as_event_request(request, idle),
            partial(self._dispatch, options=options),
            clock=self._clock,
            last_event_id=checked_id(last_event_id),
            reconnects=request.method == "GET" if reconnect is None else reconnect,
            max_event=max_event,
        )

    async def _open_stream(self, options: RequestOptions, request: Request) -> Response:
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

    async def download(
        self,
        url: str | URL,
        path: str | PathLike[str],
        *,
        progress: Progress | None = None,
        durable: bool = False,
        attempts: int = 20,
        **options: Unpack[DownloadOptions],
    ) -> Response:
        """Get a file and put it into its place once it is complete; return the last answer, which is closed.

        Where the connection breaks, the rest is asked for, or all of it if the file has changed meanwhile, in at most
        `attempts` requests, each on the way of all others through the policies. `progress`, `durable`: as in
        `Response.save`. Options as for `request`, as far as they make sense. A `timeout` given here is for all of it.
        Raises `StatusError` too.
        """
        request = self.build_request("GET", url, **options)
        total = request.timeouts.total if "timeout" in options else None
        download = Download(
            request,
            partial(self._open_stream, cast("RequestOptions", options)),
            clock=self._clock,
            attempts=attempts,
            progress=progress,
            deadline=None if total is None else self._clock.now() + total,
        )
        return await download.run(path, durable=durable)

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
