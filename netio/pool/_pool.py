"""The shell around the ledger: it opens, queues, sends, and times, and has no rules of its own.

Dials belong to the pool, not to the request that asked for one: a cancelled request does not kill a connection that
others wait for, and a dial that nobody waits for any more becomes an idle connection.
"""

from __future__ import annotations

import anyio
from anyio.lowlevel import checkpoint

from netio.deadline import Clock
from netio.errors import (
    ConnectError,
    ConnectionLost,
    QueueFull,
    RequestError,
    SessionClosed,
    StreamReset,
    WrongEventLoop,
)
from netio.message import Request, Response
from netio.observe import Observer
from netio.pool._books import Memory, PoolStats, Ticket
from netio.pool._ledger import REMEMBERED_ORIGINS, Ledger
from netio.pool._limits import Limits
from netio.pool._resend import MISDIRECTED, Resends, error_code
from netio.pool._timer import LOOP_TURNS, Timer
from netio.pool._traffic import Bookkeeper, Books, connection_info
from netio.pool._versions import ALPN, Http2Wish
from netio.pool._waits import Dialing, QueueWait, first_of, for_request, queue_timeout
from netio.pool._whereabouts import Whereabouts
from netio.protocol import LOOK_AFTER, Attempt, Connection, Environment, Http1Connection, Http2Connection, PingTimes
from netio.timings import ConnectionInfo
from netio.transport import Connect, Dial, Dialer, Link, Network, Proxies, Runtime, Verify, current_runtime, words
from netio.url import Origin
from netio.wire import ENGINES, EngineName, ErrorCode

WRONG_LOOP = "a session belongs to the event loop it was first used on: make one for each loop"

CLOSE_SECONDS = 1.0
"""What closing may take for GOAWAY and close_notify; nothing is lost if they do not arrive."""


class Pool:
    """Connections to any number of origins, on one event loop. `send` is the one arrow, at its lower end."""

    def __init__(
        self,
        *,
        limits: Limits,
        clock: Clock,
        http2: Http2Wish = True,
        verify: Verify = True,
        connect: Connect | None = None,
        network: Network | None = None,
        proxies: Proxies | None = None,
        engine: EngineName = "fast",
        observer: Observer | None = None,
    ) -> None:
        self._engines = ENGINES[engine]()
        self.runtime: Runtime = current_runtime()
        self._is_current = self.runtime.is_current
        self._clock = clock
        self._http2: Http2Wish = http2
        self.is_closed = False
        self._dials: set[Dialing] = set()
        self._only_http1 = Memory(REMEMBERED_ORIGINS)
        self._dialer = Dialer(
            self.runtime,
            verify=verify,
            alpn=ALPN[http2],
            connect=connect,
            network=network,
            proxies=proxies,
            clock=clock,
            on_change=lambda host, addresses: self._whereabouts.moved(host, addresses),
        )
        self._ledger: Ledger[Connection] = Ledger(
            limits,
            dial=self._start_dial,
            close=self._close,
            multiplexes=self._multiplexes,
        )
        self._whereabouts = Whereabouts(self._dialer.names, self._ledger.moved)
        self._observer = observer
        self._books = Bookkeeper(clock, limits.connections, observer)
        # What connections tell their owner is what the ledger wants to know.
        self.exchange_over = self._ledger.give
        self.capacity_changed = self._ledger.changed
        self._timer = Timer(self.runtime, clock, expire=self._expire, is_idle=lambda: not len(self._ledger))
        ping = PingTimes(after=limits.ping_after, timeout=limits.ping_timeout, when_idle=limits.ping_when_idle)
        self._environment = Environment(self.runtime, clock, self._timer.watchdog, ping)

    def stats(self) -> PoolStats:
        return self._ledger.stats()

    def books(self) -> Books:
        """Return what was counted since the pool was made."""
        return self._books.books(self._ledger.living())

    # ------------------------------------------------------------------ requests

    async def send(self, request: Request) -> Response:
        """Send a request on a connection of the pool; again, where `_resend.py` says that it may."""
        if not self._is_current():
            raise WrongEventLoop(WRONG_LOOP)
        is_new = False
        attempt = None if request.observer is None else Attempt(request)
        connection = self._ledger.take(request.url.origin)
        if (
            connection is None
            or connection.needs_look
            or not request.is_idempotent
            or request.started - connection.used_at > LOOK_AFTER
        ):
            connection, is_new, attempt = await self._acquire(request, connection, attempt)
        try:
            response = await connection.send(request, attempt)
        except (ConnectionLost, StreamReset) as error:
            return await self._send_again(request, connection, error, is_new=is_new)
        if response.status_code == MISDIRECTED and not is_new and request.body.is_replayable:
            return await self._send_elsewhere(request, connection, response)
        return response

    async def _send_again(
        self, request: Request, connection: Connection, error: ConnectionLost | StreamReset, *, is_new: bool
    ) -> Response:
        origin, resends = request.url.origin, Resends()
        while True:
            if error_code(error) == ErrorCode.HTTP_1_1_REQUIRED and self._fall_back(connection):
                error.sent = False  # that is what the code means (RFC 9113 section 7)
            delay = resends.delay(request, error, is_new=is_new)
            if delay is None or self._clock.now() + delay >= request.deadline:
                error.sent = error.sent or resends.was_sent
                raise error
            if error.sent:
                self._ledger.drop_idle(origin)
            resends.note(request, error, delay)
            if delay:
                await self._clock.sleep(delay)
            try:
                connection, is_new, attempt = await self._acquire(request, self._ledger.take(origin))
                response = await connection.send(request, attempt)
                response.attempts = tuple(resends.attempts)
                return response
            except (ConnectionLost, StreamReset) as another:
                error = another
            except RequestError as another:
                another.sent = another.sent or resends.was_sent
                raise

    async def _send_elsewhere(self, request: Request, connection: Connection, response: Response) -> Response:
        """Send a request once more, to a connection that was not used for others (RFC 9110 section 15.5.20)."""
        await response.aclose()
        connection.retire()
        self._ledger.drop_idle(request.url.origin)
        resends = Resends()
        resends.note(request, None, 0.0)
        connection, _, attempt = await self._acquire(request, self._ledger.take(request.url.origin))
        response = await connection.send(request, attempt)
        response.attempts = tuple(resends.attempts)
        return response

    def _fall_back(self, connection: Connection) -> bool:
        """Speak HTTP/1.1 to this origin from now on; return whether that is possible."""
        origin = connection.origin
        if self._http2 == "prior-knowledge":
            return False
        connection.retire()
        if not self._only_http1.get(origin):  # else another request was told so before
            self._only_http1.put(origin, True)
            self._ledger.multiplexes_not(origin)
        return True

    async def _acquire(
        self, request: Request, connection: Connection | None, attempt: Attempt | None = None
    ) -> tuple[Connection, bool, Attempt]:
        """Return a connection that is fit for the request, whether it has only just been opened, and the attempt.

        `connection` is what was found so far. A place is taken on it, and it is `connection.send` that gives it back.
        """
        attempt = attempt or Attempt(request)
        try:
            connection, is_new = await self._fit(request, connection, attempt)
        except BaseException as error:
            attempt.failed(error)
            raise
        return connection, is_new, attempt

    async def _fit(self, request: Request, connection: Connection | None, attempt: Attempt) -> tuple[Connection, bool]:
        origin = request.url.origin
        while not self.is_closed:
            is_new = False
            if connection is None:
                connection = await self._queue(request, origin, attempt)
                is_new = not connection.uses
            if connection.has_unsent:
                await self._let_flush(connection)
            # A new connection is taken as it is: a server that closes each at once must not be dialed for ever.
            if not self.is_closed and (is_new or not connection.is_stale(request)):
                return connection, is_new
            self._ledger.give(connection)
            connection = self._ledger.take(origin)
        raise SessionClosed("the session is closed", request=request)

    async def connect(self, request: Request, count: int) -> int:
        """Have `count` connections ready for requests like this one; return how many there are, one for HTTP/2."""
        if not self.runtime.is_current():
            raise WrongEventLoop(WRONG_LOOP)
        if self.is_closed:
            raise SessionClosed("the session is closed", request=request)
        origin, held = request.url.origin, list[Connection]()

        async def hold_another() -> None:
            connection = await self._queue(request, origin)
            held.append(connection)
            if isinstance(connection, Http2Connection):
                group.cancel_scope.cancel()  # one is enough, and the others might wait for its streams

        try:
            while len(held) < count and (connection := self._ledger.take(origin)) is not None:
                if connection.is_stale(request):
                    self._ledger.give(connection)
                    continue
                held.append(connection)
                if isinstance(connection, Http2Connection):
                    return 1
            async with anyio.create_task_group() as group:
                for _ in range(count - len(held)):
                    group.start_soon(hold_another)
        except BaseExceptionGroup as group_error:
            error = first_of(group_error)
            raise error from error.__cause__
        finally:
            for connection in held:
                self._ledger.give(connection)
        return len(set(held))

    async def _let_flush(self, connection: Connection) -> None:
        """Give the task that sent the end of the last request a few turns to notice that it is done.

        The answer may have been faster. What is unsent after that will not leave soon: the connection is stale.
        """
        try:
            for _ in range(LOOP_TURNS):
                await checkpoint()
                if not connection.has_unsent:
                    return
        except BaseException:
            self._ledger.give(connection)
            raise

    async def _queue(self, request: Request, origin: Origin, attempt: Attempt | None = None) -> Connection:
        waiter = self.runtime.waiter()
        ticket: Ticket[Connection] = Ticket(origin, waiter.wake, request.timeouts.connect)
        began = self._clock.now()
        wait = QueueWait(self._ledger, ticket, waiter, request, began)
        try:
            is_exhausted = self._ledger.enqueue(ticket)
        except QueueFull as error:
            raise error.during(request, "queue", sent=False) from None
        self._books.queued(is_exhausted=is_exhausted)
        if attempt is not None:
            attempt.queued(began, is_exhausted=is_exhausted)
        self._timer.start()
        self._timer.watchdog.add(wait)
        try:
            await waiter.park()
        except BaseException:
            self._ledger.leave(ticket)
            raise
        finally:
            self._timer.watchdog.discard(wait)
            self._books.waited(self._clock.now() - began)
        if ticket.connection is not None:
            return ticket.connection
        dial = self._dial_for(ticket)
        self._ledger.leave(ticket)
        now = self._clock.now()
        if ticket.error is not None:
            raise for_request(ticket.error, request, now)
        raise queue_timeout(request, wait, dial, now)

    def _dial_for(self, ticket: Ticket[Connection]) -> Dial | None:
        """Return a dial that is under way for a request. Costs as much as there are dials."""
        if not self._ledger.is_being_dialed(ticket):
            return None
        dials = (dialing.dial for dialing in self._dials)
        return next((dial for dial in dials if dial.origin == ticket.origin), None)

    # ------------------------------------------------------------------ connections

    def _multiplexes(self, origin: Origin) -> bool | None:
        if self._http2 == "prior-knowledge":
            return True
        if self._only_http1.get(origin):
            return False
        return None if self._http2 and origin.is_tls else False

    def _start_dial(self, origin: Origin, ticket: Ticket[Connection]) -> None:
        alpn = ("http/1.1",) if self._only_http1.get(origin) else None
        dialing = Dialing(Dial(origin, self._clock, alpn, self._observer, seconds=ticket.connect_seconds))
        self._books.dialing(dialing.dial)
        dialing.task = self.runtime.spawn(self._dial, dialing)
        self._dials.add(dialing)
        self._timer.watchdog.add(dialing)

    async def _dial(self, dialing: Dialing) -> None:
        """Open a connection and give it to the ledger, whoever waits for it by then."""
        error: Exception | None = None
        link: Link | None = None
        try:
            if not self.is_closed:
                link = await self._dialer.dial(dialing.dial)
        except Exception as raised:
            error = raised
        except BaseException as raised:
            error = dialing.error(raised)
            raise
        finally:
            self._dials.discard(dialing)
            self._timer.watchdog.discard(dialing)
            dialing.dial.end()
            self._end_dial(dialing.dial, link, error)

    def _end_dial(self, dial: Dial, link: Link | None, error: Exception | None) -> None:
        if self.is_closed:
            if link is not None:
                link.abort()
        elif link is not None:
            self._open(dial, link)
        else:
            assert error is not None
            self._dial_failed(dial, error)

    def _dial_failed(self, dial: Dial, error: Exception) -> None:
        self._books.dial_failed(dial, error)
        self._ledger.dial_failed(dial.origin, error)

    def _open(self, dial: Dial, link: Link) -> None:
        origin = dial.origin
        speaks_http2 = link.alpn == "h2" or (self._http2 == "prior-knowledge" and not origin.is_tls)
        if self._http2 == "prior-knowledge" and not speaks_http2:
            self._refuse(dial, link, ConnectError(f"{origin} does not speak HTTP/2", phase="tls"))
            return
        now = self._clock.now()
        info = connection_info(dial, "HTTP/2" if speaks_http2 else "HTTP/1.1", now)
        try:
            connection = self._connection(dial, link, info, speaks_http2=speaks_http2)
        except OSError as error:  # the loop cannot watch one more socket (HAZARDS POOL-08)
            why = ConnectError(f"cannot connect to {origin}: {words(error)}", phase="connect")
            why.__cause__ = error
            self._refuse(dial, link, why)
            return
        self._books.opened(dial, info)
        self._whereabouts.opened(connection, dial.address)
        self._ledger.dialed(origin, connection, multiplexes=speaks_http2, now=now)
        self._whereabouts.check(connection)

    def _refuse(self, dial: Dial, link: Link, error: ConnectError) -> None:
        link.abort()
        self._dial_failed(dial, error)

    def _connection(self, dial: Dial, link: Link, info: ConnectionInfo, *, speaks_http2: bool) -> Connection:
        if speaks_http2:
            return Http2Connection(dial.origin, link, self._engines.http2(), self._environment, self, info)
        engine, environment = self._engines.http1(), self._environment
        return Http1Connection(dial.origin, link, engine, environment, self, info, forward=dial.forward)

    def _expire(self, now: float) -> None:
        self._ledger.expire(now)
        if self._observer is not None:
            self._books.tell_idle(self._ledger.living())

    def _close(self, connection: Connection, why: str) -> None:
        self._books.closed(connection, why)
        self._whereabouts.closed(connection)
        if not connection.is_closed:
            self.runtime.spawn(connection.aclose)

    # ------------------------------------------------------------------ end

    async def aclose(self) -> None:
        """Fail what waits and what is under way, close all connections, and end all background tasks."""
        self.is_closed = True
        for connection in self._ledger.shut(SessionClosed("the session was closed")):
            self._books.closed(connection, "session closed")
            connection.shut_down()
        for dialing in self._dials:
            dialing.task.cancel()
        self._timer.stop()
        try:
            with anyio.move_on_after(CLOSE_SECONDS, shield=True):
                await self._dialer.aclose()
                await self.runtime.finish()
        finally:
            await self.runtime.aclose()
