"""A Link over any anyio ByteStream, on any event loop: sockets of anyio, tunnels, in-memory networks.

Pulled (HTTP/1.1): the task inside `wait` sends what is queued, then receives and feeds, until it is woken. Waking a task
that is blocked in the stream cancels the one deadline-less scope it has open; a wake that its own feeding causes only
sets a flag. It sends only what fits into any socket buffer. As soon as there is more, or something is written while it
receives already, the link gets a writer task, which sends from then on: so a peer that answers without reading the
request is heard, and waking whoever waits for an upload never leaves half of it on the wire.

Pumped (HTTP/2): a reader and a writer task of the runtime move the bytes, and tasks only ever park.

A failed send is not the end: the peer may have answered before it stopped reading (RFC 9112 section 9.3), and only the
receiving side knows. So it drops the queue and leaves the verdict to the reader.
"""

from __future__ import annotations

import anyio
from anyio.abc import ByteStream

from netio.errors import ConnectionLost, RequestError
from netio.transport._broken import BROKEN, close_stream, words
from netio.transport._contract import HIGH_WATER, Link, Receiver
from netio.transport._receive_now import READ_SIZE, UVLOOP_BUFFER, SocketReader, find_receive_now
from netio.transport._runtime import Background, Runtime, Waiter
from netio.transport._tls import TLSChannel

CLOSE_SECONDS = 1.0

SMALL = 20_480
"""Bytes that a pulled link sends in the task that is about to receive: a head and a body of 16 KiB."""


class _PulledWaiter(Waiter):
    """A waiter whose task may be blocked in the stream instead of parked."""

    __slots__ = ("_inner", "is_blocked", "scope")

    def __init__(self, inner: Waiter) -> None:
        self.is_awake = False
        self._inner = inner
        self.scope: anyio.CancelScope | None = None
        self.is_blocked = False

    def wake(self) -> None:
        if not self.is_awake:
            self.is_awake = True
            self._inner.wake()
            if self.is_blocked and self.scope is not None:
                self.scope.cancel()

    async def park(self) -> None:
        await self._inner.park()


class StreamLink(Link):
    """See the module's docstring."""

    __slots__ = (
        "_background",
        "_drainers",
        "_has_leftover",
        "_is_closed",
        "_is_pumped",
        "_is_sending",
        "_is_told",
        "_queue",
        "_queued",
        "_receive_now",
        "_receiver",
        "_runtime",
        "_stream",
        "_tls",
        "_writer",
    )

    def __init__(self, stream: ByteStream, runtime: Runtime, tls: TLSChannel | None = None) -> None:
        self._stream = stream
        self._runtime = runtime
        self._tls = tls
        self._receiver: Receiver | None = None
        self._queue: list[bytes] = []
        self._queued = 0
        self._is_sending = False
        self._is_closed = False
        self._is_told = False
        self._is_pumped = False
        self._background: list[Background] = []
        self._drainers: list[Waiter] = []
        self._writer: Waiter | None = None
        self._receive_now = _find_receive_now(stream)
        # The peer's last flight of the handshake may have brought its first words along, still encrypted.
        self._has_leftover = tls is not None

    @property
    def alpn(self) -> str | None:
        return None if self._tls is None else self._tls.alpn

    @property
    def has_unsent(self) -> bool:
        return self._is_sending or bool(self._queue)

    def start(self, receiver: Receiver, *, is_pumped: bool) -> None:
        self._receiver = receiver
        self._is_pumped = is_pumped
        if is_pumped:
            self._background = [self._runtime.spawn(self._read_on), self._runtime.spawn(self._write_on)]

    def write(self, data: bytes) -> None:
        if self._is_closed:
            return
        if self._tls is not None:
            try:
                data = self._tls.encrypt(data)
            except RequestError as error:
                self._tell(error)
                return
        self._enqueue(data)

    def _enqueue(self, data: bytes) -> None:
        self._queue.append(data)
        self._queued += len(data)
        if self._writer is not None:
            self._writer.wake()

    def waiter(self) -> Waiter:
        waiter = self._runtime.waiter()
        return waiter if self._is_pumped else _PulledWaiter(waiter)

    async def wait(self, waiter: Waiter) -> None:
        if isinstance(waiter, _PulledWaiter):
            await self._under_scope(waiter, self._pull)
        else:
            await waiter.park()

    async def drain(self, waiter: Waiter) -> None:
        if isinstance(waiter, _PulledWaiter):
            if self._queue:
                await self._under_scope(waiter, self._push_all)
            return
        if self._queued < HIGH_WATER or self._is_closed:
            return
        self._drainers.append(waiter)
        try:
            await waiter.park()
        finally:
            if waiter in self._drainers:
                self._drainers.remove(waiter)

    # ------------------------------------------------------------------ pulled

    async def _under_scope(self, waiter: _PulledWaiter, move: Callable[[_PulledWaiter], Awaitable[None]]) -> None:
        """Run `move`, which must return once the waiter is awake; whoever wakes it cancels what blocks it."""
        with anyio.CancelScope() as waiter.scope:
            await move(waiter)
        waiter.scope = None

    async def _pull(self, waiter: _PulledWaiter) -> None:
        if self._queue and not self._is_sending:
            await self._push(waiter)
        while not waiter.is_awake and not self._is_told:
            waiter.is_blocked = True
            data = await self._receive()
            waiter.is_blocked = False
            self._take_in(data)
            if self._queue and not self._is_sending:
                await self._push(waiter)

    async def _push(self, waiter: _PulledWaiter) -> None:
        """Send what is queued now, and no more: the task that reads must not end up sending another's upload."""
        waiter.is_blocked = True
        if not waiter.is_awake:
            await self._send(self._take_queue())
        waiter.is_blocked = False

    async def _push_all(self, waiter: _PulledWaiter) -> None:
        """Send the queue to its end, taking turns with the task that reads."""
        waiter.is_blocked = True
        while self._queue and not waiter.is_awake:
            if self._is_sending:
                turn = self._runtime.waiter()
                self._drainers.append(turn)
                await turn.park()
            else:
                await self._send(self._take_queue())
        waiter.is_blocked = False

    # ------------------------------------------------------------------ pumped

    async def _read_on(self) -> None:
        while not self._is_told:
            self._take_in(await self._receive())

    async def _write_on(self) -> None:
        while not self._is_closed:
            if not self._queue:
                self._writer = self._runtime.waiter()
                await self._writer.park()
                self._writer = None
            await self._send(self._take_queue())

    # ------------------------------------------------------------------ both

    async def _receive(self) -> bytes | None:
        """Return received bytes, None at the end of input; errors are told at once and look like the end."""
        if self._has_leftover:
            self._has_leftover = False
            return b""
        try:
            return await self._stream.receive(READ_SIZE)
        except anyio.EndOfStream:
            return None
        except _BROKEN as error:
            self._tell(_lost(error))
            return None

    def _take_in(self, data: bytes | None) -> None:
        if self._is_told or self._receiver is None:
            return
        if data is None:
            is_clean = self._tls is None or self._tls.is_ended
            self._tell(None if is_clean else ConnectionLost("the server closed the TLS connection without close_notify"))
            return
        if self._tls is not None:
            try:
                data = self._decrypt(data)
            except RequestError as error:
                self._tell(error)
                return
        if data:
            self._receiver.feed(data)
        if self._tls is not None and self._tls.is_ended:
            self._tell(None)

    def _decrypt(self, data: bytes) -> bytes:
        assert self._tls is not None
        try:
            return self._tls.decrypt(data)
        finally:
            if self._tls.has_output:  # an alert, or the answer to a key update
                self._enqueue(self._tls.take())

    def _tell(self, error: RequestError | None) -> None:
        if not self._is_told:
            self._is_told = True
            if self._receiver is not None:
                self._receiver.lost(error)

    def _take_queue(self) -> bytes:
        queue, self._queue = self._queue, []
        return queue[0] if len(queue) == 1 else b"".join(queue)

    async def _send(self, data: bytes) -> None:
        """Send bytes. Interrupted half-way, the link is of no use any more: its owner aborts it."""
        self._is_sending = True
        try:
            await self._stream.send(data)
        except _BROKEN:
            self._queue.clear()
        finally:
            self._is_sending = False
            self._queued = sum(map(len, self._queue))
            self._release_drainers()

    def _release_drainers(self) -> None:
        if self._queued < HIGH_WATER or not self._is_pumped:
            drainers, self._drainers = self._drainers, []
            for waiter in drainers:
                waiter.wake()

    # ------------------------------------------------------------------ idle and end

    def is_stale(self) -> bool:
        if self._is_closed or self._is_told:
            return True
        if self._is_pumped or self._receive_now is None:
            return False  # the reader task would have told; a stream that cannot be asked is found out by using it
        try:
            while (data := self._receive_now()) is not None:
                if not data or self._tls is None or self._decrypt(data) or self._tls.is_ended:
                    return True
        except (OSError, RequestError):
            return True
        return False

    def abort(self) -> None:
        if not self._is_closed:
            self._close_down()
            self._runtime.spawn(anyio.aclose_forcefully, self._stream)

    def _close_down(self) -> None:
        self._is_closed = self._is_told = True
        self._queue.clear()
        self._queued = 0
        self._release_drainers()
        for task in self._background:
            task.cancel()
        if self._writer is not None:
            self._writer.wake()

    async def aclose(self) -> None:
        if self._is_closed:
            return
        try:
            with anyio.move_on_after(CLOSE_SECONDS):
                if self._tls is not None:
                    self._enqueue(self._tls.close())
                if self._is_pumped:
                    while self.has_unsent and not self._is_closed:
                        waiter = self._runtime.waiter()
                        self._drainers.append(waiter)
                        await waiter.park()
                elif self._queue and not self._is_sending:
                    await self._send(self._take_queue())
        finally:
            self.abort()


def _lost(error: BaseException) -> ConnectionLost:
    reason = error.__cause__ if isinstance(error.__cause__, OSError) else error
    words = os.strerror(reason.errno).lower() if isinstance(reason, OSError) and reason.errno else "closed"
    lost = ConnectionLost(f"the connection broke: {words}")
    lost.__cause__ = error
    return lost


def _find_receive_now(stream: ByteStream) -> Callable[[], bytes | None] | None:
    """Return a function that receives without waiting: None for nothing there, b"" at the end of input.

    It is used only while no task is inside `receive`. anyio's streams read from their socket only inside of it, so the
    socket may be read behind their back.
    """
    receive_now = getattr(stream, "receive_nowait", None)
    if receive_now is not None:
        return receive_now  # type: ignore[no-any-return]
    raw = stream.extra(SocketAttribute.raw_socket, None)
    if raw is None or not hasattr(select, "poll"):
        return None
    return _SocketReader(raw)


class _SocketReader:
    __slots__ = ("_descriptor", "_poll")

    def __init__(self, raw: socket.socket) -> None:
        self._descriptor = raw.fileno()
        poll = select.poll()
        poll.register(self._descriptor, select.POLLIN)
        self._poll = poll

    def __call__(self) -> bytes | None:
        if not self._poll.poll(0):
            return None
        try:
            return os.read(self._descriptor, READ_SIZE)
        except BlockingIOError:
            return None
