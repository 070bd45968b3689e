"""c-ares against a name server with bad days."""

from __future__ import annotations

import sys
import threading
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import anyio
import anyio.to_thread
import pytest
from anyio.lowlevel import checkpoint

from netio.errors import ResolveError
from netio.testing import cancel_everywhere
from netio.transport import Answer, CaresResolver, Runtime, ServiceBinding
from netio.transport import _dns_cares as module
from netio.transport._dns_cares import _Lookup
from tests.transport.dns.conftest import MakeCares
from tests.transport.dns.server import SILENT, NameServer, Script, failing
from tests.transport.kit_tools import eventually

pytestmark = pytest.mark.anyio

NAME = "a.test"
ONCE_EACH = {"A": 1, "AAAA": 1, "HTTPS": 1}


async def resolve(resolver: CaresResolver, host: str = NAME) -> Answer:
    with anyio.fail_after(10):
        return await resolver.resolve(host)


async def failure(resolver: CaresResolver, host: str = NAME) -> ResolveError:
    with pytest.raises(ResolveError) as caught:
        await resolve(resolver, host)
    assert (caught.value.phase, caught.value.sent) == ("resolve", False)
    return caught.value


async def early_and_late(resolver: CaresResolver, host: str = NAME) -> tuple[list[Answer], Answer]:
    early: list[Answer] = []
    with anyio.fail_after(10):
        return early, await resolver.resolve_early(host, early.append)


# ------------------------------------------------------------------ answers


async def test_all_records_are_asked_for_at_once_and_the_shortest_ttl_counts(
    server: NameServer, cares: MakeCares
) -> None:
    server.scripts[NAME] = Script(
        a=["192.0.2.1", "192.0.2.2"],
        aaaa=["2001:db8::1"],
        https=["2 b.test. alpn=h2", "1 . alpn=h3,h2 port=8443 ipv4hint=192.0.2.9", "0 c.test."],
        ttl=300,
        https_ttl=17,
    )
    answer = await resolve(cares())
    assert answer == Answer(
        addresses=("2001:db8::1", "192.0.2.1", "192.0.2.2"),
        ttl=17.0,
        bindings=(
            ServiceBinding(priority=1, target=NAME, alpn=("h3", "h2"), port=8443, ipv4_hints=("192.0.2.9",)),
            ServiceBinding(priority=2, target="b.test", alpn=("h2",)),
        ),
    )
    assert server.times_asked(NAME) == ONCE_EACH


@pytest.mark.parametrize("records", [{"a": ["192.0.2.1"]}, {"aaaa": ["2001:db8::1"]}])
async def test_dns_03_one_address_family_is_enough(
    server: NameServer, cares: MakeCares, records: dict[str, list[str]]
) -> None:
    server.scripts[NAME] = Script(**records)  # type: ignore[arg-type]
    answer = await resolve(cares())
    assert answer == Answer(tuple(*records.values()), 60.0)


async def test_without_https_records_they_are_not_asked_for(server: NameServer, cares: MakeCares) -> None:
    server.scripts[NAME] = Script(a=["192.0.2.1"], https=["1 . alpn=h2"])
    assert (await resolve(cares(https_records=False))).bindings == ()
    assert server.times_asked(NAME) == {"A": 1, "AAAA": 1}


async def test_dns_02_a_ttl_of_zero_is_told_as_it_is_and_every_time_anew(server: NameServer, cares: MakeCares) -> None:
    server.scripts[NAME] = Script(a=["192.0.2.1"], ttl=0)
    resolver = cares()
    assert (await resolve(resolver)).ttl == 0.0
    server.change(NAME, a=["192.0.2.2"])
    assert (await resolve(resolver)).addresses == ("192.0.2.2",)


async def test_dns_02_a_huge_ttl_is_told_as_it_is(server: NameServer, cares: MakeCares) -> None:
    server.scripts[NAME] = Script(a=["192.0.2.1"], ttl=2**31 - 1)
    assert (await resolve(cares())).ttl == 2.0**31 - 1


async def test_dns_03_a_thousand_addresses_come_over_tcp(server: NameServer, cares: MakeCares) -> None:
    addresses = [f"10.0.{number // 250}.{number % 250 + 1}" for number in range(1_000)]
    server.scripts[NAME] = Script(a=addresses, truncated=True)
    answer = await resolve(cares(https_records=False))
    assert sorted(answer.addresses) == sorted(addresses)
    assert server.over_tcp >= 1


async def test_dns_03_an_alias_counts_with_its_ttl_and_its_binding_is_about_the_real_name(
    server: NameServer, cares: MakeCares
) -> None:
    server.scripts[NAME] = Script(cname="b.test", ttl=5)
    server.scripts["b.test"] = Script(a=["192.0.2.1"], https=["1 . alpn=h2"], ttl=300)
    answer = await resolve(cares())
    assert (answer.addresses, answer.ttl) == (("192.0.2.1",), 5.0)
    assert answer.bindings == (ServiceBinding(priority=1, target="b.test", alpn=("h2",)),)


async def test_dns_03_aliases_in_a_circle_end(server: NameServer, cares: MakeCares) -> None:
    server.scripts[NAME] = Script(cname="b.test")
    server.scripts["b.test"] = Script(cname=NAME)
    assert (await failure(cares())).kind == "missing"
    assert max(server.asked.values()) == 1


async def test_dns_03_answers_with_a_wrong_id_are_not_believed(server: NameServer, cares: MakeCares) -> None:
    server.scripts[NAME] = Script(a=["192.0.2.1"], strays=5)
    assert (await resolve(cares())).addresses == ("192.0.2.1",)


async def test_a_trailing_dot_is_no_part_of_the_question(server: NameServer, cares: MakeCares) -> None:
    server.scripts[NAME] = Script(a=["192.0.2.1"])
    assert (await resolve(cares(), NAME + ".")).addresses == ("192.0.2.1",)
    assert server.times_asked(NAME) == ONCE_EACH


async def test_names_are_absolute_unless_a_search_list_is_asked_for(server: NameServer, cares: MakeCares) -> None:
    await failure(cares(), "single")
    assert {name for name, _ in server.asked} == {"single"}


async def test_what_stands_in_the_hosts_file_is_all_there_is(server: NameServer, cares: MakeCares) -> None:
    entries = [line.split("#")[0].split() for line in Path("/etc/hosts").read_text().splitlines()]
    own = [words for words in entries if len(words) > 1 and not words[1].startswith(("localhost", "ip6-"))]
    if not own:
        pytest.skip("the hosts file has no name but localhost")
    address, name, *_ = own[0]
    server.scripts["*"] = Script(a=["192.0.2.1"], aaaa=["2001:db8::1"])
    answer = await resolve(cares(), name)
    assert address in answer.addresses
    assert not {"192.0.2.1", "2001:db8::1"} & set(answer.addresses)
    assert (answer.ttl, answer.bindings) == (None, ())
    assert server.times_asked(name).get("HTTPS") is None


# ------------------------------------------------------------------ bad days


async def test_dns_03_a_name_that_does_not_exist(server: NameServer, cares: MakeCares) -> None:
    error = await failure(cares())
    assert (error.kind, str(error)) == ("missing", "cannot resolve a.test: there is no such name")
    assert server.times_asked(NAME).items() <= ONCE_EACH.items()  # HTTPS may be on its way


async def test_dns_03_a_name_without_addresses(server: NameServer, cares: MakeCares) -> None:
    server.scripts[NAME] = Script(https=["1 . alpn=h2"])
    error = await failure(cares())
    assert (error.kind, str(error)) == ("missing", "cannot resolve a.test: it has no address")


@pytest.mark.parametrize(
    ("code", "words"),
    [
        ("SERVFAIL", "the name server failed (SERVFAIL)"),
        ("REFUSED", "the name server refused to answer (REFUSED)"),
        ("NOTIMP", "dns server does not implement requested operation"),
    ],
)
async def test_dns_03_a_name_server_that_fails(server: NameServer, cares: MakeCares, code: str, words: str) -> None:
    server.scripts[NAME] = failing(code)
    error = await failure(cares())
    assert (error.kind, str(error)) == ("failed", f"cannot resolve a.test: {words}")


async def test_dns_03_a_name_server_that_says_nothing(server: NameServer, cares: MakeCares) -> None:
    server.scripts[NAME] = SILENT
    error = await failure(cares(timeout=0.05, tries=1))
    assert (error.kind, str(error)) == ("timeout", "cannot resolve a.test: no name server answered in time")


async def test_dns_03_no_name_server_at_all(cares: MakeCares) -> None:
    error = await failure(cares(servers=["127.0.0.1:1"], timeout=0.2, tries=1))
    assert error.kind in ("failed", "timeout")


@pytest.mark.parametrize("code", ["SERVFAIL", "REFUSED"])
async def test_dns_03_that_one_family_fails_leaves_the_other_and_is_told(
    server: NameServer, cares: MakeCares, code: str
) -> None:
    server.scripts[NAME] = Script(a=["192.0.2.1"], codes={"AAAA": code})
    assert await resolve(cares()) == Answer(("192.0.2.1",), 60.0, is_complete=False)
    server.scripts["b.test"] = Script(codes={"AAAA": code})
    assert (await failure(cares(), "b.test")).kind == "failed"


async def test_dns_03_https_records_that_cannot_be_had_are_no_loss(server: NameServer, cares: MakeCares) -> None:
    server.scripts[NAME] = Script(a=["192.0.2.1"], codes={"HTTPS": "SERVFAIL"})
    assert await resolve(cares()) == Answer(("192.0.2.1",), 60.0)


async def test_dns_03_a_name_that_was_missing_for_a_moment_is_found_again(server: NameServer, cares: MakeCares) -> None:
    """The zone says that it is missing for an hour, which c-ares would keep; `NameCache` keeps it for ten seconds."""
    server.scripts[NAME] = Script(nothing_for=3_600)
    resolver = cares()
    await failure(resolver)
    server.change(NAME, a=["192.0.2.1"])
    with anyio.fail_after(10):
        while True:
            try:
                answer = await resolver.resolve(NAME)
                break
            except ResolveError:
                await anyio.sleep(0.01)  # c-ares empties its cache in a thread
    assert answer.addresses == ("192.0.2.1",)


async def test_dns_03_many_missing_names_empty_the_cache_of_c_ares_once_a_second(
    server: NameServer, cares: MakeCares
) -> None:
    resolver, emptied = cares(), list[float]()
    channel = await anyio.to_thread.run_sync(resolver.open)

    class Counting:
        def __getattr__(self, name: str) -> Any:
            return getattr(channel, name)

        def reinit(self) -> None:
            emptied.append(time.monotonic())

    resolver._channel = Counting()  # type: ignore[assignment]
    for number in range(20):
        await failure(resolver, f"{number}.test")
    assert len(emptied) == 1
    resolver._forgot_at -= module.FORGET_EVERY
    server.scripts[NAME] = Script(a=["192.0.2.1"])
    await resolve(resolver)
    await resolve(resolver)
    assert len(emptied) == 2


# ------------------------------------------------------------------ slow answers


@pytest.mark.parametrize("slow", ["A", "AAAA"])
async def test_dns_03_a_family_that_is_slow_holds_back_the_other_for_50_ms(
    server: NameServer, cares: MakeCares, slow: str
) -> None:
    server.scripts[NAME] = Script(a=["192.0.2.1"], aaaa=["2001:db8::1"], delays={slow: 0.5})
    early, late = await early_and_late(cares())
    fast = "2001:db8::1" if slow == "A" else "192.0.2.1"
    assert early == [Answer((fast,), 60.0, is_complete=False)]
    assert late == Answer(("2001:db8::1", "192.0.2.1"), 60.0)


async def test_https_records_that_are_slow_hold_back_addresses_for_50_ms(server: NameServer, cares: MakeCares) -> None:
    server.scripts[NAME] = Script(a=["192.0.2.1"], https=["1 . alpn=h2"], delays={"HTTPS": 0.5})
    early, late = await early_and_late(cares())
    assert early == [Answer(("192.0.2.1",), 60.0)]
    assert late.bindings == (ServiceBinding(priority=1, target=NAME, alpn=("h2",)),)


async def test_without_an_early_answer_addresses_are_waited_for_and_https_records_for_50_ms(
    server: NameServer, cares: MakeCares
) -> None:
    server.scripts[NAME] = Script(
        a=["192.0.2.1"], aaaa=["2001:db8::1"], https=["1 . alpn=h2"], delays={"AAAA": 0.15, "HTTPS": 1.0}
    )
    assert await resolve(cares()) == Answer(("2001:db8::1", "192.0.2.1"), 60.0)


async def test_a_whole_answer_is_not_told_early(server: NameServer, cares: MakeCares) -> None:
    server.scripts[NAME] = Script(a=["192.0.2.1"], aaaa=["2001:db8::1"])
    assert await early_and_late(cares()) == ([], Answer(("2001:db8::1", "192.0.2.1"), 60.0))


# ------------------------------------------------------------------ threads and ends


@pytest.fixture
def threads(monkeypatch: pytest.MonkeyPatch) -> dict[str, set[int]]:
    """Note on which threads c-ares calls back, and on which what it found is taken."""
    seen: dict[str, set[int]] = {"deliver": set(), "_take": set()}

    def noting(name: str) -> Callable[..., None]:
        method = getattr(_Lookup, name)

        def noted(self: _Lookup, *arguments: Any) -> None:
            seen[name].add(threading.get_ident())
            method(self, *arguments)

        return noted

    for name in seen:
        monkeypatch.setattr(_Lookup, name, noting(name))
    return seen


async def test_c_ares_calls_back_on_one_thread_and_answers_are_taken_on_the_loop(
    server: NameServer, cares: MakeCares, threads: dict[str, set[int]]
) -> None:
    server.scripts["*"] = Script(a=["192.0.2.1"], delays={"A": 0.01, "AAAA": 0.01, "HTTPS": 0.01})
    resolver = cares()
    async with anyio.create_task_group() as group:
        for number in range(50):
            group.start_soon(resolve, resolver, f"{number}.test")
    assert threads["_take"] == {threading.get_ident()}
    assert len(threads["deliver"]) == 1
    assert threads["deliver"] != threads["_take"]


async def test_one_resolver_serves_two_event_loops(
    server: NameServer, cares: MakeCares, threads: dict[str, set[int]]
) -> None:
    server.scripts["*"] = Script(a=["192.0.2.1"])
    resolver, here = cares(), threading.get_ident()
    taken: dict[str, set[int]] = {}

    def another_loop() -> None:
        for number, backend in enumerate(["asyncio", "trio"]):
            threads["_take"].clear()
            anyio.run(partial(resolve, resolver, f"{number}.test"), backend=backend)
            taken[backend] = set(threads["_take"])
        taken["own"] = {threading.get_ident()}

    await anyio.to_thread.run_sync(another_loop)
    assert taken["asyncio"] == taken["trio"] == taken["own"] != {here}
    assert (await resolve(resolver, "here.test")).addresses == ("192.0.2.1",)


async def test_dns_05_cancelled_anywhere_a_question_leaves_nothing_and_what_comes_late_is_dropped(
    server: NameServer, cares: MakeCares, runtime: Runtime
) -> None:
    server.scripts["*"] = Script(a=["192.0.2.1"], delays={"AAAA": 0.07, "HTTPS": 0.07})
    resolver, number = cares(), 0

    async def scenario() -> None:
        nonlocal number
        number += 1
        await resolver.resolve_early(f"{number}.test", lambda answer: None)

    async def after() -> None:
        assert (await resolve(resolver, "other.test")).addresses == ("192.0.2.1",)

    assert await cancel_everywhere(scenario, after) >= 3
    assert runtime.tasks == 0


async def test_closing_fails_those_who_wait_and_does_not_hang(server: NameServer, cares: MakeCares) -> None:
    server.scripts[NAME] = SILENT
    resolver = cares(timeout=60)
    async with anyio.create_task_group() as group:

        async def wait() -> None:
            error = await failure(resolver)
            assert (error.kind, str(error)) == ("failed", "cannot resolve a.test: the resolver was closed")

        group.start_soon(wait)
        await eventually(lambda: bool(server.times_asked(NAME)))
        await resolver.aclose()
    assert str(await failure(resolver)) == "cannot resolve a.test: the resolver was closed"
    await resolver.aclose()


async def test_a_resolver_may_be_closed_by_another_loop_while_it_is_asked(server: NameServer, cares: MakeCares) -> None:
    server.scripts["*"] = SILENT
    resolver = cares(timeout=60)
    kinds: list[str] = []

    def other_loop() -> None:
        async def ask() -> None:
            kinds.append((await failure(resolver, "b.test")).kind)

        anyio.run(ask)

    async with anyio.create_task_group() as group:
        group.start_soon(anyio.to_thread.run_sync, other_loop)
        await eventually(lambda: bool(server.times_asked("b.test")))
        await resolver.aclose()
    assert kinds == ["failed"]


async def test_what_comes_after_the_loop_has_ended_is_dropped(server: NameServer, cares: MakeCares) -> None:
    server.scripts["*"] = Script(a=["192.0.2.1"], delays={"A": 0.1, "AAAA": 0.1, "HTTPS": 0.1})
    resolver = cares()

    async def give_up() -> None:
        with anyio.move_on_after(0.02):
            await resolver.resolve("b.test")

    for backend in ("asyncio", "trio"):
        await anyio.to_thread.run_sync(partial(anyio.run, give_up, backend=backend))
    assert (await resolve(resolver)).addresses == ("192.0.2.1",)


async def test_a_resolver_that_was_never_asked_closes(cares: MakeCares) -> None:
    resolver = cares()
    await resolver.aclose()
    assert "closed" in str(await failure(resolver))


async def test_servers_that_are_no_addresses_are_told(cares: MakeCares) -> None:
    assert "c-ares does not start" in str(await failure(cares(servers=["name.test"])))


async def test_without_pycares_it_says_what_is_missing(cares: MakeCares, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pycares", None)
    error = await failure(cares())
    assert (error.kind, "needs pycares, which comes with the extra `dns`" in str(error)) == ("failed", True)


@pytest.mark.parametrize("options", [{"timeout": 0}, {"timeout": -1.0}, {"tries": 0}])
async def test_settings_that_make_no_sense_are_refused(options: dict[str, Any]) -> None:
    await checkpoint()
    with pytest.raises(ValueError, match="some time and one try at least"):
        CaresResolver(**options)
