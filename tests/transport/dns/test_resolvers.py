"""The resolvers that have no DNS client of netio's own: the system's, a fixed list, aiodns."""

from __future__ import annotations

import logging
import socket
import threading
from collections.abc import AsyncIterator, Callable
from typing import Any

import aiodns
import anyio
import anyio.to_thread
import pytest
from anyio.lowlevel import checkpoint

from netio.errors import ResolveError, WrongEventLoop
from netio.testing import cancel_everywhere, ways_to_cancel
from netio.transport import AiodnsResolver, Answer, StaticResolver, SystemResolver
from netio.transport._dns_system import RESOLVER_THREADS, resolver_threads
from tests.transport.dns.server import HOST, SILENT, NameServer, Script, failing
from tests.transport.kit_tools import eventually

pytestmark = pytest.mark.anyio

NAME = "a.test"
Respond = Callable[[str], list[str]]


@pytest.fixture
def system(monkeypatch: pytest.MonkeyPatch) -> Callable[[Respond], None]:
    """Put a function in the place of the system's `getaddrinfo`."""

    def set_up(respond: Respond) -> None:
        def getaddrinfo(host: str, port: None, **options: Any) -> list[Any]:
            assert (port, options) == (None, {"type": socket.SOCK_STREAM})
            return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (address, 0)) for address in respond(host)]

        monkeypatch.setattr("netio.transport._dns_system.socket.getaddrinfo", getaddrinfo)

    return set_up


# ------------------------------------------------------------------ the system


async def test_the_system_is_asked_on_another_thread_and_its_order_is_kept(
    system: Callable[[Respond], None],
) -> None:
    threads: set[int] = set()

    def respond(host: str) -> list[str]:
        threads.add(threading.get_ident())
        return ["2001:db8::1", "192.0.2.1", "2001:db8::1"]

    system(respond)
    assert await SystemResolver().resolve(NAME) == Answer(("2001:db8::1", "192.0.2.1"), None)
    assert threading.get_ident() not in threads


async def test_the_real_system_knows_localhost() -> None:
    assert {"127.0.0.1", "::1"} & set((await SystemResolver().resolve("localhost")).addresses)


@pytest.mark.parametrize(
    ("error", "kind", "words"),
    [
        (socket.gaierror(socket.EAI_NONAME, "Name or service not known"), "missing", "name or service not known"),
        (socket.gaierror(socket.EAI_NODATA, "No address"), "missing", "no address"),
        (socket.gaierror(socket.EAI_AGAIN, "Temporary failure"), "failed", "temporary failure"),
        (socket.gaierror(socket.EAI_FAIL, "Failure"), "failed", "failure"),
        (OSError(5, "I/O"), "failed", "input/output error"),
        (UnicodeError("label empty or too long"), "invalid", "label empty or too long"),
    ],
)
async def test_dns_03_what_the_system_says_when_it_fails(
    system: Callable[[Respond], None], error: Exception, kind: str, words: str
) -> None:
    def respond(host: str) -> list[str]:
        raise error

    system(respond)
    with pytest.raises(ResolveError) as caught:
        await SystemResolver().resolve(NAME)
    assert (caught.value.kind, str(caught.value)) == (kind, f"cannot resolve {NAME}: {words}")
    assert caught.value.__cause__ is error


async def test_dns_03_a_system_that_finds_nothing(system: Callable[[Respond], None]) -> None:
    system(lambda host: [])
    with pytest.raises(ResolveError, match="it has no address") as caught:
        await SystemResolver().resolve(NAME)
    assert caught.value.kind == "missing"


async def test_dns_05_a_system_that_hangs_is_left_to_itself(system: Callable[[Respond], None]) -> None:
    begun, go_on = threading.Event(), threading.Event()

    def respond(host: str) -> list[str]:
        begun.set()
        go_on.wait(10)
        return ["192.0.2.1"]

    system(respond)
    try:
        with anyio.fail_after(5):
            async with anyio.create_task_group() as group:
                group.start_soon(SystemResolver().resolve, NAME)
                await eventually(begun.is_set)
                group.cancel_scope.cancel()
    finally:
        go_on.set()
    assert resolver_threads().total_tokens == RESOLVER_THREADS
    await eventually(lambda: resolver_threads().borrowed_tokens == 0)
    await SystemResolver().aclose()


# ------------------------------------------------------------------ a fixed list


async def test_a_fixed_list_knows_its_names_and_no_others() -> None:
    resolver = StaticResolver({NAME: ["192.0.2.1", "2001:db8::1"], "b.test": "192.0.2.2"})
    assert await resolver.resolve("A.test.") == Answer(("192.0.2.1", "2001:db8::1"))
    assert await resolver.resolve("b.test") == Answer(("192.0.2.2",))
    with pytest.raises(ResolveError, match=r"cannot resolve c\.test: it is not in the list of the resolver") as caught:
        await resolver.resolve("c.test")
    assert caught.value.kind == "missing"
    await resolver.aclose()


# ------------------------------------------------------------------ aiodns


def is_trio() -> bool:
    return "task" not in ways_to_cancel()


@pytest.fixture
async def aiodns_resolver(server: NameServer) -> AsyncIterator[aiodns.DNSResolver | None]:
    """aiodns over the name server; None on trio, where there can be none."""
    if is_trio():
        yield None
        return
    async with aiodns.DNSResolver([server.place], timeout=2.0, tries=1) as resolver:
        yield resolver


async def test_aiodns_answers_with_both_families_and_the_shortest_ttl(
    server: NameServer, aiodns_resolver: aiodns.DNSResolver | None
) -> None:
    if aiodns_resolver is None:
        return  # test_aiodns_says_where_it_cannot_be_used
    server.scripts[NAME] = Script(cname="b.test", ttl=7)
    server.scripts["b.test"] = Script(a=["192.0.2.1"], aaaa=["2001:db8::1"])
    assert await AiodnsResolver(aiodns_resolver).resolve(NAME) == Answer(("2001:db8::1", "192.0.2.1"), 7.0)
    await AiodnsResolver(aiodns_resolver).aclose()
    assert (await AiodnsResolver(aiodns_resolver).resolve("b.test")).ttl == 60.0  # it is the program's, and open


@pytest.mark.parametrize(
    ("script", "kind"),
    [(None, "missing"), (Script(), "missing"), (failing("SERVFAIL"), "failed"), (failing("REFUSED"), "failed")],
)
async def test_dns_03_aiodns_that_fails(
    server: NameServer, aiodns_resolver: aiodns.DNSResolver | None, script: Script | None, kind: str
) -> None:
    if aiodns_resolver is None:
        return
    if script is not None:
        server.scripts[NAME] = script
    with pytest.raises(ResolveError, match=r"cannot resolve a\.test: ") as caught:
        await AiodnsResolver(aiodns_resolver).resolve(NAME)
    assert caught.value.kind == kind


async def test_dns_03_aiodns_with_one_family_that_fails(
    server: NameServer, aiodns_resolver: aiodns.DNSResolver | None
) -> None:
    if aiodns_resolver is None:
        return
    server.scripts[NAME] = Script(a=["192.0.2.1"], codes={"AAAA": "SERVFAIL"})
    answer = await AiodnsResolver(aiodns_resolver).resolve(NAME)
    assert answer == Answer(("192.0.2.1",), 60.0, is_complete=False)


async def test_dns_05_aiodns_cancelled_anywhere_leaves_nothing_that_complains(
    server: NameServer, aiodns_resolver: aiodns.DNSResolver | None, caplog: pytest.LogCaptureFixture
) -> None:
    if aiodns_resolver is None:
        return
    caplog.set_level(logging.ERROR)
    server.scripts[NAME] = failing("SERVFAIL")
    resolver = AiodnsResolver(aiodns_resolver)

    async def scenario() -> None:
        with pytest.raises(ResolveError):
            await resolver.resolve(NAME)

    async def after() -> None:
        await checkpoint()

    assert await cancel_everywhere(scenario, after) >= 1
    assert caplog.messages == []


async def test_aiodns_that_was_closed_says_so(server: NameServer, aiodns_resolver: aiodns.DNSResolver | None) -> None:
    if aiodns_resolver is None:
        return
    resolver = AiodnsResolver(aiodns_resolver)
    server.scripts[NAME] = SILENT
    async with anyio.create_task_group() as group:

        async def wait() -> None:
            with pytest.raises(ResolveError, match="closed"):
                await resolver.resolve(NAME)

        group.start_soon(wait)
        await eventually(lambda: bool(server.times_asked(NAME)))
        await aiodns_resolver.close()
    with pytest.raises(ResolveError, match="closed"):
        await resolver.resolve(NAME)


async def test_aiodns_says_where_it_cannot_be_used(server: NameServer) -> None:
    made: list[aiodns.DNSResolver] = []

    async def make() -> None:
        await checkpoint()
        made.append(aiodns.DNSResolver([f"{HOST}:{server.port}"]))

    await anyio.to_thread.run_sync(anyio.run, make)
    words = "works on asyncio only" if is_trio() else "was made on another event loop"
    with pytest.raises(WrongEventLoop, match=words):
        await AiodnsResolver(made[0]).resolve(NAME)
    await made[0].close()
