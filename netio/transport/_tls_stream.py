"""A byte stream inside TLS: what is spoken with an https proxy, before and around what the proxy passes on.

One task may send while another receives, and only sending sends: what TLS has to say by itself, such as the answer to a
key update, goes ahead of the next bytes (RFC 8446 section 4.6.3 asks for no more). So no two sends ever run at a time,
and records leave in the order in which they were made.
"""

from __future__ import annotations

from collections.abc import Callable

import anyio
from anyio.abc import ByteStream

from netio.errors import RequestError
from netio.transport._broken import BROKEN, close_stream
from netio.transport._contract import CLOSE_SECONDS
from netio.transport._receive_now import READ_SIZE, find_receive_now
from netio.transport._socket_stream import Duplex, SocketStream
from netio.transport._tls import TLSChannel

PIECE = 65_536  # bytes that are encrypted at a time


class TLSStream(ByteStream):
    """The plain side of a `TLSChannel` whose handshake is done, over the stream that carries it.

    Raises what anyio's streams raise. An end without close_notify is `BrokenResourceError`: it may be anybody's.
    """

    def __init__(self, stream: Duplex, channel: TLSChannel) -> None:
        self._stream = stream
        self._channel = channel
        self._kept = bytearray()
        self._answers = b""  # what TLS has to say by itself
        self._has_leftover = True  # the last flight of the handshake may have brought more along
        self._is_sending = False
        self._is_cut = False  # a send was interrupted: nothing may follow half a record
        self._is_closed = False
        self._receive_now = _find_receive_now(stream)

    @property
    def receive_nowait(self) -> Callable[[], bytes | None] | None:
        """Receive without waiting, if the stream below can: see `_receive_now.py`."""
        return None if self._receive_now is None else self._take_what_is_there

    async def send(self, item: bytes) -> None:
        view = memoryview(item)
        for start in range(0, len(view), PIECE):
            self._check_open()
            try:
                data = self._channel.encrypt(view[start : start + PIECE])
            except RequestError as error:
                raise anyio.BrokenResourceError(str(error)) from error
            await self._send(data)

    async def _send(self, data: bytes) -> None:
        self._is_sending = True
        is_whole = False
        try:
            await self._stream.send(self._take_answers() + data)
            is_whole = True
        finally:
            self._is_sending = False
            self._is_cut = self._is_cut or not is_whole

    async def receive(self, max_bytes: int = 65_536) -> bytes:
        while not self._kept:
            self._check_end()
            if self._has_leftover:
                self._has_leftover = False
                received = b""
            else:
                received = await self._receive()
            self._decrypt(received)
        return self._take(max_bytes)

    def _decrypt(self, received: bytes) -> None:
        self._kept += self._channel.decrypt(received)
        if self._channel.has_output:
            self._answers += self._channel.answer()

    def _take_answers(self) -> bytes:
        answers, self._answers = self._answers, b""
        return answers

    async def _receive(self) -> bytes:
        try:
            return await self._stream.receive(READ_SIZE)
        except anyio.EndOfStream:
            raise anyio.BrokenResourceError("the TLS connection was closed without close_notify") from None

    def _take_what_is_there(self) -> bytes | None:
        assert self._receive_now is not None
        while not self._kept:
            if self._is_closed or self._channel.is_over:
                return b""
            received = b"" if self._has_leftover else self._receive_now()
            if received is None:
                return None
            if not received and not self._has_leftover:
                return b""
            self._has_leftover = False
            self._decrypt(received)
        return self._take(READ_SIZE)

    def _take(self, max_bytes: int) -> bytes:
        data = bytes(self._kept[:max_bytes])
        del self._kept[:max_bytes]
        return data

    def _check_open(self) -> None:
        if self._is_closed:
            raise anyio.ClosedResourceError
        if self._is_sending:
            raise anyio.BusyResourceError("writing to")
        if self._is_cut:
            raise anyio.BrokenResourceError("a write was interrupted half-way")

    def _check_end(self) -> None:
        if self._is_closed:
            raise anyio.ClosedResourceError
        if self._channel.failure is not None:
            raise anyio.BrokenResourceError(str(self._channel.failure)) from self._channel.failure
        if self._channel.is_ended:
            raise anyio.EndOfStream

    async def send_eof(self) -> None:
        """Send close_notify; one may still receive."""
        self._check_open()
        await self._send(self._channel.close())

    async def aclose(self) -> None:
        """Send close_notify, for a second at most, and close the stream below."""
        if self._is_closed:
            return
        self._is_closed = True
        try:
            if not self._is_sending and not self._is_cut and self._channel.failure is None:
                with anyio.move_on_after(CLOSE_SECONDS):
                    await self._send(self._channel.close())
        except BROKEN:
            pass  # the peer has left already
        finally:
            await close_stream(self._stream)


def _find_receive_now(stream: Duplex) -> Callable[[], bytes | None] | None:
    if isinstance(stream, SocketStream):
        return stream.receive_nowait
    return find_receive_now(stream) if isinstance(stream, ByteStream) else None
