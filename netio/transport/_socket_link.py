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

import anyio

from netio.errors import ConnectionLost, RequestError
from netio.transport._broken import lost_by
from netio.transport._contract import CLOSE_SECONDS, HIGH_WATER, Link, Receiver
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


class SocketLink(Link):
    """See the module's docstring. The socket is connected, does not block, and belongs to the link from here on."""

    __slots__ = (
        "_descriptor",
        "_drainers",
        "_has_leftover",
        "_is_closed",
        "_is_pumped",
        "_is_reading",
        "_is_spoilt",
        "_is_told",
        "_is_unwritable",
        "_queue",
        "_queued",
        "_read_size",
        "_receiver",
        "_runtime",
        "_send_failure",
        "_socket",
        "_tls",
    )

    def __init__(self, sock: socket.socket, runtime: Runtime, tls: TLSChannel | None = None) -> None:
        self._socket = sock
        self._descriptor = sock.fileno()
        self._runtime = runtime
        self._tls = tls
        self._receiver: Receiver | None = None
        self._is_told = False
        self._is_closed = False
        # Out.
        self._queue: list[memoryview] = []
        self._queued = 0
        self._is_unwritable = False  # closing, closed, or a send has failed
        self._send_failure: OSError | None = None
        self._drainers: list[Waiter] = []
        # In.
        self._is_pumped = False
        self._is_reading = False
        self._read_size = READ_SIZE
        self._is_spoilt = False
        self._has_leftover = tls is not None  # the last flight of the handshake may have brought more along

    @property
    def alpn(self) -> str | None:
        return None if self._tls is None else self._tls.alpn

    @property
    def has_unsent(self) -> bool:
        return bool(self._queue)

    @property
    def unsent(self) -> int:
        return self._queued

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
            self._send(data)
        else:
            self._encrypt(self._tls, data)

    def _encrypt(self, tls: TLSChannel, data: bytes | memoryview) -> None:
        view = data if len(data) <= TLS_PIECE else memoryview(data)
        try:
            for start in range(0, len(data), TLS_PIECE):
                self._send(tls.encrypt(view[start : start + TLS_PIECE]))
        except RequestError as error:
            self._tell(error)

    def _send(self, data: bytes | memoryview) -> None:
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
        if self._queued < HIGH_WATER:
            return
        self._drainers.append(waiter)
        try:
            await waiter.park()
        finally:
            if waiter in self._drainers:
                self._drainers.remove(waiter)

    def _release_drainers(self) -> None:
        drainers, self._drainers = self._drainers, []
        for waiter in drainers:
            waiter.wake()

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
        data = tls.decrypt(data)
        if tls.has_output and not self._is_unwritable:  # an alert, or the answer to a key update
            self._send(tls.take())
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

    def _is_news(self, data: bytes) -> bool:
        tls = self._tls
        if tls is None:
            return True
        news = tls.decrypt(data)
        if tls.has_output and not self._is_unwritable:
            self._send(tls.take())
        return bool(news) or tls.is_over

    def _why_it_ended(self) -> ConnectionLost | None:
        if self._tls is not None:
            return ConnectionLost("the server closed the TLS connection without close_notify")
        # A reset is reported once: if the send has taken the report, the receive sees nothing but an end.
        return None if self._send_failure is None else lost_by(self._send_failure)

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
            self._is_told = True
            self.pause()
            if self._receiver is not None:
                self._receiver.lost(error)

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
                self._send(self._tls.close())
            self._is_unwritable = True
            if self._queue:
                await self._flush()
            self._empty_socket()
        finally:
            self.abort()

    async def _flush(self) -> None:
        with anyio.move_on_after(CLOSE_SECONDS):
            while self._queue:
                waiter = self._runtime.waiter()
                self._drainers.append(waiter)
                await waiter.park()

    def _empty_socket(self) -> None:
        """Take what is unread, if only session tickets: with it, closing would reset, and what was sent get lost."""
        try:
            while not self._is_closed and self._socket.recv(READ_SIZE):
                pass
        except OSError:
            return
