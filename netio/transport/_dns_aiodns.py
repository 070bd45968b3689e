"""A resolver that a program has already: aiodns."""

from __future__ import annotations

from collections.abc import Awaitable
from socket import AF_INET, AF_INET6, AddressFamily
from typing import TYPE_CHECKING, Any, Protocol

from anyio.lowlevel import checkpoint

from netio.errors import ResolveError, WrongEventLoop
from netio.transport._dns_ares import address_text, failure, is_missing
from netio.transport._dns_contract import Answer
from netio.transport._runtime import _get_running_loop

if TYPE_CHECKING:
    import pycares


class DNSResolver(Protocol):
    """What is needed of `aiodns.DNSResolver`, which is imported by the program that has one."""

    loop: Any

    def getaddrinfo(self, host: str, family: AddressFamily) -> Any: ...


class AiodnsResolver:
    """Asks an `aiodns.DNSResolver` of the program, which stays the program's: closing this does not close that.

    asyncio and uvloop only, and the event loop that the aiodns resolver was made on; elsewhere it raises
    `WrongEventLoop`. Answers have times to live and no HTTPS records, which aiodns does not ask for.
    """

    __slots__ = ("_resolver",)

    def __init__(self, resolver: DNSResolver) -> None:
        self._resolver = resolver

    async def resolve(self, host: str) -> Answer:
        loop = _get_running_loop()
        if loop is None:
            raise WrongEventLoop("aiodns works on asyncio only: use netio.CaresResolver, which is c-ares on any loop")
        if loop is not self._resolver.loop:
            raise WrongEventLoop("the aiodns resolver was made on another event loop: make one for each loop")
        families = (AF_INET6, AF_INET)
        try:
            futures = [self._ask(host, family) for family in families]
        except RuntimeError as error:
            raise ResolveError(f"cannot resolve {host}: the aiodns resolver was closed") from error
        try:
            results = [await _settled(future) for future in futures]
        finally:
            for future in futures:
                if not future.cancel() and not future.cancelled():
                    future.exception()  # or asyncio complains that nobody has asked
        return _answer(host, results)

    def _ask(self, host: str, family: AddressFamily) -> Any:
        return self._resolver.getaddrinfo(host, family)

    async def aclose(self) -> None:
        await checkpoint()


async def _settled(future: Awaitable[Any]) -> pycares.AddrInfoResult | int:
    """Return what was found, or the number of the error."""
    from aiodns.error import DNSError

    try:
        result: pycares.AddrInfoResult = await future
    except DNSError as error:
        return int(error.args[0])
    return result


def _answer(host: str, results: list[pycares.AddrInfoResult | int]) -> Answer:
    found = [result for result in results if not isinstance(result, int)]
    failures = [result for result in results if isinstance(result, int)]
    addresses = dict.fromkeys(address_text(node.addr[0]) for result in found for node in result.nodes)
    if not addresses:
        raise failure(host, failures)
    ttls = [node.ttl for result in found for node in result.nodes]
    ttls += [alias.ttl for result in found for alias in result.cnames]
    return Answer(tuple(addresses), float(min(ttls)), is_complete=all(map(is_missing, failures)))
