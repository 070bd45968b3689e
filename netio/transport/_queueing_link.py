"""What all links have in common: TLS, the tasks that wait for the queue to shrink, and the end that is told once."""

from __future__ import annotations

from abc import abstractmethod

import anyio

from netio.errors import ConnectionLost, RequestError
from netio.transport._broken import lost_by
from netio.transport._contract import CLOSE_SECONDS, HIGH_WATER, Link, Receiver
from netio.transport._runtime import Runtime, Waiter
from netio.transport._tls import TLSChannel


class QueueingLink(Link):
    """A link that queues what cannot leave at once."""

    __slots__ = (
        "_drainers",
        "_has_leftover",
        "_is_closed",
        "_is_pumped",
        "_is_spoilt",
        "_is_told",
        "_is_unwritable",
        "_queued",
        "_receiver",
        "_runtime",
        "_send_failure",
        "_tls",
    )

    def __init__(self, runtime: Runtime, tls: TLSChannel | None) -> None:
        self._runtime = runtime
        self._tls = tls
        self._receiver: Receiver | None = None
        self._is_pumped = False
        self._is_told = False
        self._is_closed = False
        # Out.
        self._queued = 0  # bytes, those in a send that is under way too
        self._is_unwritable = False  # closing, closed, or a send has failed or was interrupted
        self._send_failure: BaseException | None = None
        self._drainers: list[Waiter] = []
        # In.
        self._is_spoilt = False
        self._has_leftover = tls is not None  # the last flight of the handshake may have brought more along

    @property
    def alpn(self) -> str | None:
        return None if self._tls is None else self._tls.alpn

    @property
    def unsent(self) -> int:
        return self._queued

    # ------------------------------------------------------------------ out

    @abstractmethod
    def _put(self, data: bytes) -> None:
        """Send or queue what is not to be encrypted any more."""

    async def _until_drained(self, waiter: Waiter) -> None:
        if self._queued < HIGH_WATER or self._is_unwritable:
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

    async def _flush(self) -> None:
        """Wait until all is sent, but no longer than closing may take."""
        with anyio.move_on_after(CLOSE_SECONDS):
            while self.has_unsent:
                waiter = self._runtime.waiter()
                self._drainers.append(waiter)
                await waiter.park()

    # ------------------------------------------------------------------ in

    def _decrypt(self, tls: TLSChannel, data: bytes) -> bytes:
        data = tls.decrypt(data)
        if tls.has_output and not self._is_unwritable:  # an alert, or the answer to a key update
            self._put(tls.answer())
        return data

    def _is_news(self, data: bytes) -> bool:
        """Whether bytes that came unasked are more than TLS's own affairs."""
        return self._tls is None or bool(self._decrypt(self._tls, data)) or self._tls.is_over

    def _why_it_ended(self) -> ConnectionLost | None:
        if self._tls is not None:
            return ConnectionLost("the server closed the TLS connection without close_notify")
        # A reset is reported once: if the send has taken the report, the receive sees nothing but an end.
        return None if self._send_failure is None else lost_by(self._send_failure)

    def _tell(self, error: RequestError | None) -> None:
        if not self._is_told:
            self._is_told = True
            if self._receiver is not None:
                self._receiver.lost(error)
