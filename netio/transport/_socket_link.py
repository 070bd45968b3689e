"""A Link that owns a socket: pushed, without a task, a transport or a copy in between.

The loop calls `_on_readable` as bytes come, whether or not anybody waits: PING and GOAWAY are answered, and an idle
connection's end is noticed. What is written is sent at once; what the kernel does not take waits in a queue of views on
the caller's bytes until the loop calls `_on_writable`. A transport and protocol of asyncio would cost more than the
read and write themselves, copy what is queued, and throw away what was received before a write failed.

A failed send is not the end: the peer may have answered before it stopped reading (RFC 9112 section 9.3), and only the
receiving side knows. So it drops the queue and leaves the verdict to the reader.
"""

from __future__ import annotations

import socket
from collections.abc import Awaitable

from netio.errors import RequestError
from netio.transport._broken import lost_by
from netio.transport._contract import HIGH_WATER, Receiver
from netio.transport._queueing_link import QueueingLink
from netio.transport._runtime import Runtime, Waiter
from netio.transport._tls import TLSChannel

READ_SIZE = 65_536
"""Bytes a read, of which Python makes a buffer beforehand."""

BULK_READ_SIZE = 262_144
"""Bytes a read while more than that keeps coming."""

UNSENT_IN_KERNEL = 32_768
"""Bytes of many streams that the kernel may queue beyond what is under way: an upload must not be ahead of the rest."""

_NOTSENT_LOWAT: int | None = getattr(socket, "TCP_NOTSENT_LOWAT", None)

TLS_PIECE = 65_536
"""Bytes that are encrypted and sent at a time: more would leave the processor's cache in between."""


class SocketLink(QueueingLink):
    """See the module's docstring. The socket is connected, does not block, and belongs to the link from here on."""

    __slots__ = (
        "_descriptor",
        "_is_reading",
        "_queue",
        "_read_size",
        "_socket",
    )

    def __init__(self, sock: socket.socket, runtime: Runtime, tls: TLSChannel | None = None) -> None:
        super().__init__(runtime, tls)
        self._socket = sock
        self._descriptor = sock.fileno()
        self._queue: list[memoryview] = []
        self._is_reading = False
        self._read_size = READ_SIZE

    @property
    def has_unsent(self) -> bool:
        return bool(self._queue)

    @property
    def is_pushed(self) -> bool:
        return True

    def start(self, receiver: Receiver, *, is_pumped: bool) -> None:
        self._receiver = receiver
        self._is_pumped = is_pumped
        if is_pumped and _NOTSENT_LOWAT is not None and self._socket.family != socket.AF_UNIX:
            self._socket.setsockopt(socket.IPPROTO_TCP, _NOTSENT_LOWAT, UNSENT_IN_KERNEL)
        self.resume()
        if self._has_leftover:
            self._runtime.soon(self._take_leftover)

    def waiter(self) -> Waiter:
        return self._runtime.waiter()

    def wait(self, waiter: Waiter) -> Awaitable[None]:
        return waiter.park()

    # ------------------------------------------------------------------ out

    def write(self, data: bytes | memoryview) -> None:
        if self._is_unwritable:
            return
        if self._tls is None:
            self._put(data)
        else:
            self._encrypt(self._tls, data)

    def _encrypt(self, tls: TLSChannel, data: bytes | memoryview) -> None:
        view = data if len(data) <= TLS_PIECE else memoryview(data)
        try:
            for start in range(0, len(data), TLS_PIECE):
                self._put(tls.encrypt(view[start : start + TLS_PIECE]))
        except RequestError as error:
            self._tell(error)

    def _put(self, data: bytes | memoryview) -> None:
        sent = 0
        if not self._queue:
            try:
                sent = self._socket.send(data)
            except (BlockingIOError, InterruptedError):
                pass
            except OSError as error:
                self._stop_writing(error)
                return
            if sent == len(data):
                return
            self._runtime.add_writer(self._descriptor, self._on_writable)
        rest = memoryview(data)[sent:]
        self._queue.append(rest)
        self._queued += len(rest)

    def _on_writable(self) -> None:
        queue = self._queue
        try:
            while queue:
                first = queue[0]
                sent = self._socket.send(first)
                self._queued -= sent
                if sent < len(first):
                    queue[0] = first[sent:]
                    break
                del queue[0]
        except (BlockingIOError, InterruptedError):
            pass
        except OSError as error:
            self._stop_writing(error)
        if self._queued < HIGH_WATER:
            self._release_drainers()
        if not queue and not self._is_closed:
            self._runtime.remove_writer(self._descriptor)

    def _stop_writing(self, failure: OSError | None = None) -> None:
        self._is_unwritable = True
        self._send_failure = self._send_failure or failure
        if self._queue:
            self._runtime.remove_writer(self._descriptor)
        self._queue.clear()
        self._queued = 0
        self._release_drainers()

    async def drain(self, waiter: Waiter) -> None:
        await self._until_drained(waiter)

    # ------------------------------------------------------------------ in

    def _on_readable(self) -> None:
        if self._is_told:  # in the same turn of the loop, after the socket was found readable
            return
        try:
            data = self._socket.recv(self._read_size)
        except (BlockingIOError, InterruptedError):
            return
        except OSError as error:
            self._tell(lost_by(error))
            return
        self._read_size = BULK_READ_SIZE if len(data) >= READ_SIZE else READ_SIZE
        if not data:
            self._tell(self._why_it_ended())
        elif self._tls is None:
            self._receiver.feed(data)  # type: ignore[union-attr]
        else:
            self._take_in(self._tls, data)

    def _take_in(self, tls: TLSChannel, data: bytes) -> None:
        data = self._decrypt(tls, data)
        if data and not self._is_told and self._receiver is not None:
            self._receiver.feed(data)
        if tls.is_over:
            self._tell(tls.failure)

    def _take_leftover(self) -> None:
        if self._has_leftover and self._tls is not None and not self._is_told:
            self._has_leftover = False
            self._take_in(self._tls, b"")

    def _has_news(self) -> bool:
        """Take what has come unasked; return whether it was an end, or more than TLS's own affairs."""
        try:
            if self._has_leftover:
                self._has_leftover = False
                self._is_spoilt = self._is_news(b"")
            while not self._is_spoilt:
                data = self._socket.recv(self._read_size)
                self._is_spoilt = not data or self._is_news(data)
        except (BlockingIOError, InterruptedError):
            pass
        except OSError:
            self._is_spoilt = True
        return self._is_spoilt

    def pause(self) -> None:
        if self._is_reading:
            self._is_reading = False
            self._runtime.remove_reader(self._descriptor)

    def resume(self) -> None:
        if not self._is_reading and not self._is_told:
            self._is_reading = True
            self._runtime.add_reader(self._descriptor, self._on_readable)

    def is_stale(self, *, is_thorough: bool = True) -> bool:
        if self._is_told or self._is_unwritable:
            return True
        if not is_thorough:
            return False
        # The loop may not have come round to what has arrived since its last turn.
        return self._has_ended() if self._is_pumped else self._has_news()

    def _has_ended(self) -> bool:
        """Whether nothing but the end is there to be read; what else there is belongs to somebody."""
        try:
            return not self._socket.recv(1, socket.MSG_PEEK)
        except (BlockingIOError, InterruptedError):
            return False
        except OSError:
            return True

    def _tell(self, error: RequestError | None) -> None:
        if not self._is_told:
            self.pause()
        super()._tell(error)

    # ------------------------------------------------------------------ end

    def abort(self) -> None:
        if self._is_closed:
            return
        self._is_closed = self._is_told = True
        self._stop_writing()
        self.pause()
        self._socket.close()
        self._receiver = None

    async def aclose(self) -> None:
        if self._is_closed:
            return
        try:
            if self._tls is not None and not self._is_unwritable:
                self._put(self._tls.close())
            self._is_unwritable = True
            await self._flush()
            self._empty_socket()
        finally:
            self.abort()

    def _empty_socket(self) -> None:
        """Take what is unread, if only session tickets: with it, closing would reset, and what was sent get lost."""
        try:
            while not self._is_closed and self._socket.recv(READ_SIZE):
                pass
        except OSError:
            return
