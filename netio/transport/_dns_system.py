"""Resolvers without a DNS client of their own: the system's, and one that has a fixed list.

`getaddrinfo` blocks, so it runs in threads, and in threads of its own: the event loop's default executor is shared with
the user's code, and a busy one looks like a DNS timeout (cpython#112169).
"""

from __future__ import annotations

import socket
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import TypeVar

import anyio
import anyio.to_thread
from anyio.lowlevel import RunVar, checkpoint

from netio.errors import ResolveError, ResolveFailure
from netio.transport._broken import words
from netio.transport._dns_contract import Answer
from netio.transport._dns_rules import Overrides

T = TypeVar("T")

RESOLVER_THREADS = 20
"""For each event loop; a thread whose task was cancelled runs on until the system gives up."""

_threads: RunVar[anyio.CapacityLimiter] = RunVar("netio_resolver_threads")

_MISSING = {getattr(socket, name) for name in ("EAI_NONAME", "EAI_NODATA", "EAI_ADDRFAMILY") if hasattr(socket, name)}


class SystemResolver:
    """The system's `getaddrinfo`: hosts file, search domains, and whatever else the system is set up for.

    The order of the addresses is the system's (RFC 6724). It says no time to live, and knows no HTTPS records.
    """

    __slots__ = ()

    async def resolve(self, host: str) -> Answer:
        try:
            found = await in_thread(partial(getaddrinfo, host))
        except (OSError, UnicodeError) as error:
            raise ResolveError(f"cannot resolve {host}: {words(error)}", kind=_kind(error)) from error
        if not found:
            raise ResolveError(f"cannot resolve {host}: it has no address", kind="missing")
        return Answer(tuple(found))

    async def aclose(self) -> None:
        await checkpoint()


async def in_thread(function: Callable[[], T]) -> T:
    """Call a function that may take its time on a thread; if cancelled, leave it to itself."""
    return await anyio.to_thread.run_sync(function, limiter=resolver_threads(), abandon_on_cancel=True)


def resolver_threads() -> anyio.CapacityLimiter:
    """Return the limiter of the running event loop."""
    limiter = _threads.get(None)
    if limiter is None:
        limiter = anyio.CapacityLimiter(RESOLVER_THREADS)
        _threads.set(limiter)
    return limiter


def getaddrinfo(host: str) -> list[str]:
    """Ask the system, and return each address once."""
    places = socket.getaddrinfo(host, None, type=socket.SOCK_STREAM)
    return list(dict.fromkeys(str(place[4][0]) for place in places))


def _kind(error: OSError | UnicodeError) -> ResolveFailure:
    if isinstance(error, UnicodeError):
        return "invalid"
    return "missing" if isinstance(error, socket.gaierror) and error.errno in _MISSING else "failed"


class StaticResolver:
    """Knows the names that it is given, and no others."""

    __slots__ = ("_answers",)

    def __init__(self, hosts: Mapping[str, str | Sequence[str]]) -> None:
        self._answers = Overrides(hosts)

    async def resolve(self, host: str) -> Answer:
        await checkpoint()
        answer = self._answers.find(host, None)
        if answer is None:
            raise ResolveError(f"cannot resolve {host}: it is not in the list of the resolver", kind="missing")
        return answer

    async def aclose(self) -> None:
        await checkpoint()
