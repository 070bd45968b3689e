"""Which resolver is used if the user names none.

One c-ares serves all sessions of a process that have no resolver of their own. Each has a thread and watches the
system's settings (inotify, of which Linux grants a user 128), and a program may have many sessions. It is opened for
the first session and closed with the last one. After a fork the child makes its own: threads are not inherited.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Callable

from anyio.lowlevel import checkpoint

from netio.errors import ResolveError
from netio.transport._dns_cares import CaresResolver
from netio.transport._dns_contract import Answer, Resolver
from netio.transport._dns_system import SystemResolver


class _Shared:
    """The c-ares of this process, and those who use it."""

    def __init__(self) -> None:
        self.process = os.getpid()
        self.resolver = CaresResolver(search=True)
        self.parts: set[SharedResolver] = set()


_lock = threading.Lock()  # for moments only: event loops take it too
_shared: _Shared | None = None


class SharedResolver:
    """A part in the c-ares of the process, which closes with the last part."""

    def __init__(self) -> None:
        global _shared
        with _lock:
            if _shared is None or _shared.process != os.getpid():
                _shared = _Shared()
            self._whole = _shared
            self._whole.parts.add(self)

    def open(self) -> None:
        """Begin to work. Reads files: not on an event loop. Raises `ResolveError`."""
        self._whole.resolver.open()

    async def resolve(self, host: str) -> Answer:
        return await self._whole.resolver.resolve(host)

    async def resolve_early(self, host: str, early: Callable[[Answer], None]) -> Answer:
        return await self._whole.resolver.resolve_early(host, early)

    def give_back(self) -> CaresResolver | None:
        """Return the resolver if it is to be closed now."""
        global _shared
        with _lock:
            self._whole.parts.discard(self)
            if self._whole.parts:
                return None
            if _shared is self._whole:
                _shared = None
        return self._whole.resolver

    async def aclose(self) -> None:
        resolver = self.give_back()
        if resolver is None:
            await checkpoint()
        else:
            await resolver.aclose()


def default_resolver() -> Resolver:
    """Return c-ares with the system's settings, search list included; the system's resolver where that does not start.

    It does not without pycares, and where the system has run out of what c-ares watches its settings with.
    Reads files: not on an event loop.
    """
    shared = SharedResolver()
    try:
        shared.open()
    except ResolveError:
        shared.give_back()
        return SystemResolver()
    return shared
