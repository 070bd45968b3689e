"""A Link over any anyio ByteStream, on any event loop: sockets of anyio, tunnels, in-memory networks.

Pulled (HTTP/1.1): the task inside `wait` sends what is queued, then receives and feeds, until it is woken. Waking a
task that is blocked in the stream cancels the one deadline-less scope it has open; a wake that its own feeding causes
only sets a flag. It sends only what fits into any socket buffer. If there is more, or something is written while it
receives already, a writer task of the runtime sends until nothing is left: so a peer that answers without reading the
request is heard, and waking whoever waits for an upload never leaves half of it on the wire.

Pumped (HTTP/2): a reader and a writer task of the runtime move the bytes, and tasks only ever park.

A failed send is not the end: the peer may have answered before it stopped reading (RFC 9112 section 9.3), and only the
receiving side knows. So it drops the queue and leaves the verdict to the reader.
"""

from __future__ import annotations

from collections.abc import Callable

import anyio
from anyio.abc import ByteStream
from anyio.lowlevel import checkpoint

from netio.errors import ConnectionLost, RequestError
from netio.transport._broken import BROKEN, close_stream, lost_by
from netio.transport._contract import HIGH_WATER, Receiver
from netio.transport._queueing_link import QueueingLink
from netio.transport._receive_now import READ_SIZE, find_receive_now
from netio.transport._runtime import Background, Runtime, Waiter, wake
from netio.transport._tls import TLSChannel

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


class StreamLink(QueueingLink):
    """See the module's docstring."""

    __slots__ = (
        "_is_cut",
        "_is_paused",
        "_is_receiving",
        "_is_sending",
        "_queue",
        "_reading",
        "_receive_now",
        "_resumed",
        "_stream",
        "_writer",
        "_writing",
    )

    def __init__(self, stream: ByteStream, runtime: Runtime, tls: TLSChannel | None = None) -> None:
        super().__init__(runtime, tls)
        self._stream = stream
        # Out.
        self._queue: list[bytes] = []
        self._is_sending = False
        self._is_cut = False  # a send was interrupted
        self._writing: Background | None = None
        self._writer: Waiter | None = None  # where the writer task sleeps
        # In.
        self._reading: Background | None = None
        self._receive_now = find_receive_now(stream)
        self._is_receiving = False
        self._is_paused = False
        self._resumed: Waiter | None = None  # where a paused reader task sleeps

    @property
    def has_unsent(self) -> bool:
        return not self._is_closed and (self._is_sending or bool(self._queue))

    def start(self, receiver: Receiver, *, is_pumped: bool) -> None:
        self._receiver = receiver
        self._is_pumped = is_pumped
        if is_pumped:
            self._reading = self._runtime.spawn(self._read_on)
            self._start_writer()

    def waiter(self) -> Waiter:
        waiter = self._runtime.waiter()
        return waiter if self._is_pumped else _PulledWaiter(waiter)

    async def wait(self, waiter: Waiter) -> None:
        if not isinstance(waiter, _PulledWaiter):
            await waiter.park()
            return
        if self._is_cut:
            self._tell(ConnectionLost("the connection is of no use any more: a write was interrupted half-way"))
        with anyio.CancelScope() as waiter.scope:
            await self._pull(waiter)
        waiter.scope = None

    async def _pull(self, waiter: _PulledWaiter) -> None:
        while not waiter.is_awake and not self._is_told:
            waiter.is_blocked = True
            if self._queue and self._writing is None:
                if self._queued <= SMALL:
                    await self._send(self._take_queue())
                else:
                    self._start_writer()
            data = await self._receive()
            waiter.is_blocked = False
            self._take_in(data)

    # ------------------------------------------------------------------ out

    def write(self, data: bytes | memoryview) -> None:
        if self._is_unwritable:
            return
        if self._tls is not None:
            try:
                data = self._tls.encrypt(data)
            except RequestError as error:
                self._tell(error)
                return
        # In pieces, so that it shows how much has left; copies of a view, which not every stream could send.
        for start in range(0, len(data), HIGH_WATER):
            self._put(bytes(data[start : start + HIGH_WATER]))

    def _put(self, data: bytes) -> None:
        self._queue.append(data)
        self._queued += len(data)
        if self._writer is not None:
            self._writer.wake()
        elif self._is_receiving:
            self._start_writer()

    async def drain(self, waiter: Waiter) -> None:
        if self._queue:
            self._start_writer()
        await self._until_drained(waiter)

    def _start_writer(self) -> None:
        if self._writing is None and not self._is_closed:
            self._writing = self._runtime.spawn(self._write_on)

    async def _write_on(self) -> None:
        """Send until nothing is left; on a pumped link, for ever."""
        while not self._is_closed:
            if self._queue and not self._is_sending:
                await self._send(self._take_queue())
                if not self._is_pumped:
                    await checkpoint()  # so that an upload which was released can write its next piece
            elif self._is_sending or self._is_pumped:
                self._writer = self._runtime.waiter()
                await self._writer.park()
                self._writer = None
            else:
                break
        self._writing = None

    def _take_queue(self) -> bytes:
        """Take what goes into one send: many small pieces, or one large."""
        queue = self._queue
        size, count = len(queue[0]), 1
        while count < len(queue) and size + len(queue[count]) <= HIGH_WATER:
            size += len(queue[count])
            count += 1
        self._queue = queue[count:]
        return queue[0] if count == 1 else b"".join(queue[:count])

    async def _send(self, data: bytes) -> None:
        self._is_sending = True
        try:
            await self._stream.send(data)
        except BROKEN as error:
            self._stop_writing()
            self._send_failure = error
        except Exception as error:  # a stream that is not ours may raise anything
            self._stop_writing()
            self._tell(lost_by(error))
        except BaseException:  # cancelled, perhaps half-way, so nothing may follow
            self._stop_writing()
            self._is_cut = True
            raise
        finally:
            self._is_sending = False
            self._queued = sum(map(len, self._queue))
            if self._queued < HIGH_WATER:
                self._release_drainers()
            if self._writer is not None:
                self._writer.wake()

    def _stop_writing(self) -> None:
        self._is_unwritable = True
        self._queue.clear()

    # ------------------------------------------------------------------ in

    async def _read_on(self) -> None:
        while not self._is_told:
            if self._is_paused:
                self._resumed = self._runtime.waiter()
                await self._resumed.park()
                self._resumed = None
            else:
                self._take_in(await self._receive())

    def pause(self) -> None:
        self._is_paused = True

    def resume(self) -> None:
        self._is_paused = False
        wake(self._resumed)

    async def _receive(self) -> bytes | None:
        """Return received bytes, None at the end of input; errors are told at once and look like the end."""
        if self._has_leftover:
            self._has_leftover = False
            return b""
        self._is_receiving = True
        try:
            return await self._stream.receive(READ_SIZE)
        except anyio.EndOfStream:
            return None
        except Exception as error:  # one of BROKEN, or whatever else a stream that is not ours raises
            self._tell(lost_by(error))
            return None
        finally:
            self._is_receiving = False

    def _take_in(self, data: bytes | None) -> None:
        if self._is_told or self._receiver is None:
            return
        if data is None:
            self._tell(self._why_it_ended())
        elif self._tls is None:
            self._receiver.feed(data)
        else:
            if data := self._decrypt(self._tls, data):
                self._receiver.feed(data)
            if self._tls.is_over:
                self._tell(self._tls.failure)

    # ------------------------------------------------------------------ idle and end

    @property
    def is_pushed(self) -> bool:
        return self._is_pumped

    def is_stale(self, *, is_thorough: bool = True) -> bool:
        if self._is_told or self._is_unwritable:
            return True
        if self._is_pumped or self._receive_now is None:
            return False  # the reader task would have told; a stream that cannot be asked is found out by using it
        if not self._is_spoilt:
            self._is_spoilt = self._has_news(self._receive_now)
        return self._is_spoilt

    def _has_news(self, receive_now: Callable[[], bytes | None]) -> bool:
        """Take what has come meanwhile; return whether it was the end, or more than TLS's own affairs."""
        if self._has_leftover:
            self._has_leftover = False
            if self._is_news(b""):
                return True
        try:
            while (data := receive_now()) is not None:
                if not data or self._is_news(data):
                    return True
        except BROKEN:
            return True
        return False

    def abort(self) -> None:
        if self._is_closed:
            return
        self._is_closed = self._is_told = True
        self._stop_writing()
        self._release_drainers()
        for task in self._reading, self._writing:
            if task is not None:
                task.cancel()
        self._runtime.spawn(close_stream, self._stream)

    async def aclose(self) -> None:
        if self._is_closed:
            return
        try:
            if self._tls is not None and not self._is_unwritable:
                self._put(self._tls.close())
            self._is_unwritable = True
            if self._queue:
                self._start_writer()
            await self._flush()
            if self._receive_now is not None and not self._is_pumped and not self._is_receiving:
                # A socket that is closed with bytes unread, if only session tickets, resets: what was sent gets lost.
                self._has_news(self._receive_now)
        finally:
            self.abort()
