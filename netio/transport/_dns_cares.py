"""A resolver on c-ares, by pycares: with times to live and HTTPS records, on any event loop.

c-ares runs a thread of its own, one for each resolver. It calls back there (or at once, on the thread that asks, where
the hosts file or its own cache has the answer). The callback does no more than send what it was given to the event
loop that asked. In the other direction, everything that c-ares is asked goes through a worker thread: c-ares holds a
lock while it works and calls back, and an event loop must not wait for that.

IPv4 and IPv6 are asked for apart, since a name server that is slow with one would otherwise hold back both (RFC 8305
section 3): as soon as there is an address, the rest has `RESOLUTION_DELAY` seconds, then `early` is called. Each goes
by `getaddrinfo`, which reads the hosts file and follows the search list; the HTTPS records are a plain query.

c-ares has a cache inside that counts times to live down, so that what it answers is true. But there a name that was
missing for a moment stays so for as long as the zone says, up to an hour. `reinit` empties it, and reads the system's
settings anew; so that is done when a name is missing, once a second at most. That one address family is missing while
the other is there is left in it: the zone's word counts for that (RFC 2308).
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterable, Sequence
from functools import partial
from socket import AF_INET, AF_INET6
from typing import TYPE_CHECKING, Any

import anyio
from anyio.lowlevel import checkpoint

from netio.errors import ResolveError
from netio.transport._dns_ares import address_text, failure, is_missing
from netio.transport._dns_bindings import read_binding
from netio.transport._dns_contract import Answer, ServiceBinding
from netio.transport._dns_system import in_thread
from netio.transport._runtime import Runtime, Waiter, current_runtime

if TYPE_CHECKING:
    import pycares

RESOLUTION_DELAY = 0.05  # RFC 8305 section 8
FORGET_EVERY = 1.0
CLOSE_SECONDS = 1.0
FAMILIES = (AF_INET6, AF_INET)
_HTTPS = -1  # beside the address families
_QUERY_TYPE_HTTPS = 65  # RFC 9460 section 14.1
_AI_NOSORT = 1 << 7  # c-ares would open a socket for each address to sort them; the dialer sorts


class CaresResolver:
    """Asks name servers itself, through c-ares.

    * `servers`: "address" or "address:port"; by default the system's (resolv.conf).
    * `timeout`, `tries`: seconds for the first try, doubled for each further one. The defaults end within
      `Timeouts.connect`; c-ares' own are 2 s and 3.
    * `search`: whether the search list of the system is used for names with few dots, as `getaddrinfo` does.
    * `https_records`: whether to ask for HTTPS records too. They never hold up an answer by more than 50 ms.

    The hosts file comes before the name servers. Needs pycares (the extra `dns`).
    """

    def __init__(
        self,
        *,
        servers: Sequence[str] = (),
        timeout: float = 1.0,
        tries: int = 3,
        search: bool = False,
        https_records: bool = True,
    ) -> None:
        if not timeout > 0 or tries < 1:
            raise ValueError(f"a resolver needs some time and one try at least, not {timeout!r} s and {tries!r}")
        self._servers = [servers] if isinstance(servers, str) else list(servers)
        self._timeout = timeout
        self._tries = tries
        self._search = search
        self._https_records = https_records
        self._channel: pycares.Channel | None = None
        self._opening = threading.Lock()
        self._is_closed = False
        self._must_forget = False
        self._forgot_at = -FORGET_EVERY

    async def resolve(self, host: str) -> Answer:
        lookup = await self._start(host)
        await lookup.until(lambda: lookup.has_addresses)
        if not lookup.is_done:
            with anyio.move_on_after(RESOLUTION_DELAY):
                await lookup.until(lambda: lookup.is_done)
        return await self._answer(lookup)

    async def resolve_early(self, host: str, early: Callable[[Answer], None]) -> Answer:
        lookup = await self._start(host)
        await lookup.until(lambda: lookup.has_something or lookup.is_done)
        if not lookup.is_done:
            with anyio.move_on_after(RESOLUTION_DELAY):
                await lookup.until(lambda: lookup.is_done)
            if not lookup.is_done:
                early(lookup.answer())
                await lookup.until(lambda: lookup.is_done)
        return await self._answer(lookup)

    async def aclose(self) -> None:
        """End what is under way, with an error for those who wait; c-ares cleans up in a thread of its own."""
        self._is_closed = True
        if self._channel is not None:
            with anyio.move_on_after(CLOSE_SECONDS):
                await in_thread(self._channel.close)
        await checkpoint()

    def open(self) -> pycares.Channel:
        """Begin to work, which otherwise the first question does. Reads files: not on an event loop.

        Raises `ResolveError` without pycares, and if c-ares does not start.
        """
        try:
            import pycares
        except ImportError as error:
            raise ResolveError("CaresResolver needs pycares, which comes with the extra `dns`") from error
        with self._opening:
            if self._channel is None:
                flags = None if self._search else pycares.ARES_FLAG_NOSEARCH | pycares.ARES_FLAG_EDNS
                try:
                    self._channel = pycares.Channel(
                        flags=flags, timeout=self._timeout, tries=self._tries, servers=self._servers or None
                    )
                except pycares.AresError as error:
                    raise ResolveError(f"c-ares does not start: {_message(error)}") from error
            return self._channel

    async def _start(self, host: str) -> _Lookup:
        asks_https = self._https_records and ("." in host or not self._search)
        lookup = _Lookup(host, current_runtime(), asks_https=asks_https)
        await in_thread(partial(self._ask, lookup))
        return lookup

    def _ask(self, lookup: _Lookup) -> None:
        """Put the questions. On a thread: c-ares lets nobody in while it is at work."""
        channel = self._channel or self.open()
        if self._must_forget:
            self._forget(channel)
        if self._is_closed:
            channel.close()
        try:
            lookup.ask(channel)
        except RuntimeError as error:  # pycares' way to say that it was closed
            raise ResolveError(f"cannot resolve {lookup.host}: the resolver was closed") from error
        except Exception as error:  # AresError: c-ares is out of memory, or does not take the name
            raise ResolveError(f"cannot resolve {lookup.host}: {_message(error)}") from error

    async def _answer(self, lookup: _Lookup) -> Answer:
        answer = lookup.answer()
        if answer.addresses:
            return answer
        error = failure(lookup.host, lookup.failures.values())
        if error.kind == "missing" and self._channel is not None:
            await in_thread(partial(self._forget, self._channel))
        raise error

    def _forget(self, channel: pycares.Channel) -> None:
        now = time.monotonic()
        self._must_forget = now < self._forgot_at + FORGET_EVERY
        if self._must_forget:
            return
        self._forgot_at = now
        try:
            channel.reinit()
        except Exception:  # AresError, or it was closed a moment ago: the name stays missing for a while
            return


class _Lookup:
    """The questions for one name, and what has come of them. Belongs to the event loop that asks."""

    __slots__ = (
        "_https",
        "_runtime",
        "_thread",
        "_waiter",
        "addresses",
        "bindings",
        "failures",
        "host",
        "in_file",
        "ttls",
    )

    def __init__(self, host: str, runtime: Runtime, *, asks_https: bool) -> None:
        self.host = host
        self._runtime = runtime
        self._thread = 0
        self._waiter: Waiter | None = None
        self._https = not asks_https  # whether nothing is to be waited for
        self.addresses: dict[int, list[str]] = {}
        self.failures: dict[int, int] = {}
        self.bindings: list[ServiceBinding] = []
        self.ttls: list[int] = []
        self.in_file: set[int] = set()
        """The address families that the hosts file has. Nothing else counts then."""

    def ask(self, channel: pycares.Channel) -> None:
        """Put the questions to c-ares."""
        self._thread = threading.get_ident()
        for family in FAMILIES:
            deliver = partial(self.deliver, family)
            channel.getaddrinfo(self.host, None, family=family, flags=_AI_NOSORT, callback=deliver)
        if not self._https and not self.in_file:
            channel.query(self.host, _QUERY_TYPE_HTTPS, callback=partial(self.deliver, _HTTPS))

    def deliver(self, kind: int, result: Any, error: int | None) -> None:
        """Take what c-ares has found to the event loop. Called on any thread."""
        if error is None and kind != _HTTPS and threading.get_ident() == self._thread and _is_from_file(result):
            self.in_file.add(kind)
        self._runtime.soon(partial(self._take, kind, result, error))

    def _take(self, kind: int, result: Any, error: int | None) -> None:
        if kind == _HTTPS:
            self._https = True
            if error is None:
                self._take_bindings(result)
        elif error is not None:
            self.failures[kind] = error
        else:
            self.addresses[kind] = list(dict.fromkeys(address_text(node.addr[0]) for node in result.nodes))
            self.ttls += [each.ttl for each in (*result.nodes, *result.cnames)]
        if self._waiter is not None:
            self._waiter.wake()

    def _take_bindings(self, result: pycares.DNSResult) -> None:
        for record in result.answer:
            self.ttls.append(record.ttl)
            data: Any = record.data
            if hasattr(data, "params"):
                binding = read_binding(record.name, data.priority, data.target, data.params)
                if binding is not None:
                    self.bindings.append(binding)
        self.bindings.sort(key=lambda binding: binding.priority)

    async def until(self, is_there: Callable[[], bool]) -> None:
        while not is_there():
            self._waiter = self._runtime.waiter()
            await self._waiter.park()

    @property
    def has_something(self) -> bool:
        return any(self.addresses.get(family) for family in self._families)

    @property
    def has_addresses(self) -> bool:
        """Whether all address families are settled."""
        return all(family in self.addresses or family in self.failures for family in self._families)

    @property
    def is_done(self) -> bool:
        return self.has_addresses and (self._https or bool(self.in_file) or not self.has_something)

    @property
    def _families(self) -> Iterable[int]:
        return self.in_file or FAMILIES

    def answer(self) -> Answer:
        families = [family for family in FAMILIES if family in self._families]
        addresses = tuple(address for family in families for address in self.addresses.get(family, ()))
        if self.in_file:
            return Answer(addresses)
        is_complete = self.has_addresses and all(map(is_missing, self.failures.values()))
        ttl = float(min(self.ttls)) if self.ttls else None
        return Answer(addresses, ttl, tuple(self.bindings), is_complete)


def _is_from_file(result: pycares.AddrInfoResult) -> bool:
    """Return whether an answer that came at once is from the hosts file: only there have records no time to live.

    c-ares' cache does not keep what has a time to live of 0.
    """
    return bool(result.nodes) and not any(node.ttl for node in result.nodes)


def _message(error: Exception) -> str:
    """Return the text of an error; pycares puts its number before it."""
    return str(error.args[-1]).lower() if error.args else type(error).__name__
