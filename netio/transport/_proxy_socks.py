"""SOCKS5 (RFC 1928, RFC 1929), by python-socks.

It opens connections of its own, but takes one from a proxy that stands before it: here, one that says it is connected
already. It reads exactly what it needs, so what follows is left in the stream. What it does not check is checked here.
"""

from __future__ import annotations

import math
import re
from typing import Any, cast

import anyio
import anyio.abc
import python_socks
from python_socks.async_.anyio import Proxy as PythonSocks

from netio.errors import InvalidRequest, ProxyError
from netio.transport._broken import BROKEN, words
from netio.transport._proxy import Proxy
from netio.transport._socket_stream import Duplex
from netio.url import Origin

MAX_NAME = 255  # bytes: its length is one byte (RFC 1928 section 4); curl CVE-2023-38545

_HOST = re.compile(r"[A-Za-z0-9_~-]{1,63}(?:\.[A-Za-z0-9_~-]{1,63})*\.?|[0-9A-Fa-f:.]*:[0-9A-Fa-f:.]*").fullmatch
_WANTS_PASSWORD = b"\x05\x02"
_WANTS_ANOTHER = b"\x05\xff"


async def connect_by_socks(stream: Duplex, origin: Origin, proxy: Proxy) -> None:
    """Have a SOCKS5 proxy connect to a host, which is a name or an address.

    Raises `ProxyError`, and `InvalidRequest` for a host that cannot be one.
    """
    if len(origin.host) > MAX_NAME or not _HOST(origin.host):
        raise InvalidRequest(f"{origin.host[:80]!a} is no host name of at most {MAX_NAME} bytes")
    username, password = proxy.credentials or (None, None)
    conversation = _Conversation(stream, proxy)
    socks = PythonSocks(
        python_socks.ProxyType.SOCKS5,
        proxy.host,
        proxy.port,
        username=username,
        password=password,
        rdns=True,
        forward=_Connected(conversation),
    )
    try:
        await socks.connect(origin.host, origin.port, timeout=math.inf)
    except (python_socks.ProxyError, ValueError) as error:  # ValueError for an answer that it cannot read
        said = _refusal(error, bytes(conversation.received), proxy)
        place = f"{origin.host}:{origin.port}"
        raise ProxyError(f"the proxy {proxy} did not connect to {place}: {said}", proxy=proxy.url) from error


def _refusal(error: Exception, received: bytes, proxy: Proxy) -> str:
    if received == _WANTS_ANOTHER or (received == _WANTS_PASSWORD and not proxy.credentials):
        if proxy.credentials is None:
            return "it wants credentials: netio.Proxy(url, credentials=(user, password))"
        return "it takes neither a user name with a password nor nobody's"
    if received.startswith(_WANTS_PASSWORD) and len(received) == 4:
        return "it does not accept these credentials"
    if isinstance(error, python_socks.ProxyError):
        return str(error).lower()
    return f"it answered in a wrong way: {error}"


class _Conversation:
    """The stream, as python-socks uses it; closing it is left to its owner."""

    def __init__(self, stream: Duplex, proxy: Proxy) -> None:
        self._stream = stream
        self._proxy = proxy
        self.received = bytearray()

    async def send(self, item: bytes) -> None:
        try:
            await self._stream.send(item)
        except BROKEN as error:
            raise self._broken(error) from error

    async def receive(self, max_bytes: int) -> bytes:
        try:
            data = await self._stream.receive(max_bytes)
        except anyio.EndOfStream as error:
            raise ProxyError(
                f"the proxy {self._proxy} closed the connection instead of answering", proxy=self._proxy.url
            ) from error
        except BROKEN as error:
            raise self._broken(error) from error
        self.received += data
        return data

    async def aclose(self) -> None:
        return

    def _broken(self, error: Exception) -> ProxyError:
        return ProxyError(f"the connection to the proxy {self._proxy} broke: {words(error)}", proxy=self._proxy.url)


class _Connected(PythonSocks):
    """Stands before the proxy, and has a connection to it already."""

    def __init__(self, conversation: _Conversation) -> None:
        self._conversation = conversation

    async def connect(self, *arguments: Any, **options: Any) -> anyio.abc.SocketStream:
        return cast("anyio.abc.SocketStream", self._conversation)
