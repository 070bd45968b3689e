"""The clients that are compared, behind one small interface.

Each adapter does what the library's own documentation shows, with its own defaults, and changes only what the question
needs: how many connections there may be, whom to trust, which protocol. Nothing here is cleverer for one than for
another. What an adapter adds to a request is one coroutine frame and one check.
"""

from __future__ import annotations

import importlib
import ssl
from abc import ABC, abstractmethod
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from types import TracebackType
from typing import Self

VERSIONS = {"h1": "HTTP/1.1", "h1s": "HTTP/1.1", "h2": "HTTP/2", "h2c": "HTTP/2"}

Chunks = Callable[[], AsyncIterator[bytes]]


class Absent(Exception):
    """The library is not installed, or does not work here."""


class Wrong(Exception):
    """An answer that should not have come."""


@dataclass(frozen=True)
class Wish:
    """What a client has to be: which protocol, how many connections at most, whom to trust."""

    protocol: str
    connections: int
    trusted: str

    @property
    def is_http2(self) -> bool:
        return self.protocol in ("h2", "h2c")

    @property
    def is_tls(self) -> bool:
        return self.protocol in ("h1s", "h2")

    def context(self) -> ssl.SSLContext:
        return ssl.create_default_context(cafile=self.trusted)

    def authority(self) -> bytes:
        """Return the certificate to trust."""
        with open(self.trusted, "rb") as file:
            return file.read()


class Peer(ABC):
    """One client. Used as `async with`."""

    def __init__(self, wish: Wish) -> None:
        self.wish = wish

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self.aclose()

    @abstractmethod
    async def aclose(self) -> None: ...

    @abstractmethod
    async def version(self, url: str) -> str:
        """GET the URL and return the version that was really spoken, as the library says it."""

    @abstractmethod
    async def get(self, url: str) -> int:
        """GET the URL, read all of it, return its length. Raises `Wrong` if the status is not 200."""

    @abstractmethod
    async def download(self, url: str) -> bytes:
        """The same, and return the body."""

    @abstractmethod
    def stream(self, url: str) -> AsyncIterator[bytes]:
        """GET the URL piece by piece."""

    @abstractmethod
    async def upload(self, url: str, content: bytes | Chunks) -> bytes:
        """POST a body, whole or from an iterator, and return the answer's body."""


def check(status: int) -> None:
    if status != 200:
        raise Wrong(f"status {status}")


_PLACES = {
    "netio": ("_peer_netio", "Netio"),
    "raw": ("_peer_raw", "Raw"),
    "aiohttp": ("_peer_aiohttp", "Aiohttp"),
    "httpx2": ("_peer_httpx", "Httpx2"),
    "httpx": ("_peer_httpx", "Httpx"),
    "pyreqwest": ("_peer_pyreqwest", "Pyreqwest"),
    "pyqwest": ("_peer_pyqwest", "Pyqwest"),
    "niquests": ("_peer_niquests", "Niquests"),
}
NAMES = tuple(_PLACES)

NO_HTTP2 = ("aiohttp",)
LOOPS = {
    "netio": ("asyncio", "uvloop", "trio"),
    "raw": ("asyncio", "uvloop", "trio"),
    "aiohttp": ("asyncio", "uvloop"),
    "httpx2": ("asyncio", "uvloop", "trio"),
    "httpx": ("asyncio", "uvloop", "trio"),
    "pyreqwest": ("asyncio", "uvloop"),
    "pyqwest": ("asyncio", "uvloop", "trio"),
    "niquests": ("asyncio", "uvloop"),
}


def load(name: str) -> type[Peer]:
    """Import the library and return its adapter. Raises `Absent`."""
    module, attribute = _PLACES[name]
    try:
        peer: type[Peer] = getattr(importlib.import_module(module), attribute)
    except ModuleNotFoundError as error:
        if error.name is None or error.name.startswith(("netio", "_")):
            raise  # a mistake, not an absence
        raise Absent(f"{name} needs {error.name}, which is not installed: pip install --group bench") from error
    return peer


def cases(wishes: list[str], protocol: str) -> tuple[list[tuple[str, str]], list[str]]:
    """Read wishes such as "netio", "httpx2:trio" or "aiohttp:*"; return pairs of client and loop, and what is left out.

    A name alone means asyncio, for netio and raw every loop.
    """
    pairs: list[tuple[str, str]] = []
    left_out: list[str] = []
    for wish in wishes:
        name, _, loop = wish.partition(":")
        if name not in _PLACES:
            raise SystemExit(f"there is no client {name}; there are {', '.join(NAMES)}")
        if protocol in ("h2", "h2c") and name in NO_HTTP2:
            left_out.append(f"{name} does not speak HTTP/2")
            continue
        loops = LOOPS[name] if loop == "*" or (not loop and name in ("netio", "raw")) else (loop or "asyncio",)
        for one in loops:
            if one in LOOPS[name]:
                pairs.append((name, one))
            else:
                left_out.append(f"{name} does not run on {one}")
    return pairs, left_out
