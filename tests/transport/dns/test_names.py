"""Names: who waits, who asks, and what is noticed when nobody asks."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack
from typing import Any

import anyio
import pytest

from netio.errors import ResolveError, SessionClosed
from netio.testing import FakeClock, cancel_everywhere
from netio.testing._clock import all_tasks_at_rest
from netio.transport import Answer, Names, Runtime
from netio.transport import _dns_names as module
from netio.transport._dns_cache import NEGATIVE, RETRY, STALE, STALE_ON_FAILURE
from tests.transport.dns.kit import FAILED, MISSING, ONE, OTHER, EarlyTold, ToldResolver, at_once

pytestmark = pytest.mark.anyio

NAME = "a.test"


class House:
    """Names over a resolver that is told, on a clock that is moved by hand."""

    def __init__(self, runtime: Runtime, resolver: ToldResolver | None = None, **options: Any) -> None:
        self.runtime = runtime
        self.clock = FakeClock()
        self.resolver = resolver or ToldResolver(**{NAME: ONE})
        self.changes: list[tuple[str, set[str]]] = []
        options.setdefault("on_change", lambda host, addresses: self.changes.append((host, set(addresses))))
        self.names = Names(self.resolver, runtime=runtime, clock=self.clock, **options)

    @property
    def asked(self) -> int:
        return self.resolver.asked[NAME]

    async def look_up(self) -> tuple[str, ...]:
        with anyio.fail_after(5):
            return (await self.names.look_up(NAME)).addresses

    def look_up_at_once(self) -> tuple[str, ...]:
        return at_once(self.names.look_up(NAME)).addresses


MakeHouse = Callable[..., House]


@pytest.fixture
async def make(runtime: Runtime) -> AsyncIterator[MakeHouse]:
    async with AsyncExitStack() as stack:

        def make(*arguments: Any, **options: Any) -> House:
            house = House(runtime, *arguments, **options)
            stack.push_async_callback(house.names.aclose)
            return house

        yield make


@pytest.fixture
def house(make: MakeHouse) -> House:
    return make()


# ------------------------------------------------------------------ nobody is asked


@pytest.mark.parametrize(
    ("host", "addresses"),
    [
        ("192.0.2.7", ("192.0.2.7",)),
        ("2001:db8::7", ("2001:db8::7",)),
        ("localhost", ("::1", "127.0.0.1")),
        ("LocalHost.", ("::1", "127.0.0.1")),
        ("a.localhost", ("::1", "127.0.0.1")),
    ],
)
async def test_dns_06_addresses_and_localhost_are_never_asked_for(
    house: House, host: str, addresses: tuple[str, ...]
) -> None:
    assert at_once(house.names.look_up(host)).addresses == addresses
    house.names.use(host)
    assert (house.names.stats.queries, house.names.stats.in_use, house.runtime.tasks) == (0, 0, 0)
    house.names.release(host)


@pytest.mark.parametrize("host", ["a" * 64 + ".test", "a..test", "x." * 127 + "test", "0x7f.1", "127.1"])
async def test_dns_06_impossible_names_are_refused_before_any_question(house: House, host: str) -> None:
    with pytest.raises(ResolveError) as caught:
        at_once(house.names.look_up(host))
    assert caught.value.kind == "invalid"
    house.names.use(host)
    assert (house.names.stats.queries, house.names.stats.in_use) == (0, 0)


async def test_overrides_come_before_everything(make: MakeHouse) -> None:
    house = make(hosts={NAME: "192.0.2.9", "b.test:80": ["192.0.2.8"], "localhost": "192.0.2.7"})
    assert house.look_up_at_once() == ("192.0.2.9",)
    assert at_once(house.names.look_up("b.test", 80)).addresses == ("192.0.2.8",)
    assert at_once(house.names.look_up("localhost", 80)).addresses == ("192.0.2.7",)
    house.resolver.answers["b.test"] = ONE
    assert (await house.names.look_up("b.test", 443)) is ONE
    assert house.resolver.asked == {"b.test": 1}


# ------------------------------------------------------------------ one question for all


async def test_dns_01_a_thousand_first_look_ups_are_one_question(house: House) -> None:
    answers: list[Answer] = []

    async def look_up() -> None:
        answers.append(await house.names.look_up(NAME))

    async with anyio.create_task_group() as group:
        for _ in range(1_000):
            group.start_soon(look_up)
    assert answers == [ONE] * 1_000
    assert house.asked == 1
    assert (house.names.stats.misses, house.names.stats.queries, house.names.stats.entries) == (1_000, 1, 1)


async def test_dns_01_upper_and_lower_case_are_one_name(house: House) -> None:
    await house.names.look_up("A.Test")
    assert house.look_up_at_once() == ONE.addresses
    assert house.resolver.asked == {NAME: 1}


async def test_dns_05_a_look_up_that_is_cancelled_leaves_the_question_to_the_others(house: House) -> None:
    house.resolver.hold()
    found: list[tuple[str, ...]] = []

    async def look_up() -> None:
        found.append(await house.look_up())

    async with anyio.create_task_group() as others:
        async with anyio.create_task_group() as first:
            first.start_soon(look_up)
            await all_tasks_at_rest()
            others.start_soon(look_up)
            await all_tasks_at_rest()
            first.cancel_scope.cancel()
        assert (found, house.resolver.under_way) == ([], 1)
        house.resolver.let_go()
    assert found == [ONE.addresses]
    assert house.asked == 1


async def test_dns_05_a_question_that_nobody_waits_for_any_more_is_answered_for_the_next(house: House) -> None:
    house.resolver.hold()
    with anyio.move_on_after(0.001):
        await house.look_up()
    assert house.resolver.under_way == 1
    house.resolver.let_go()
    await house.runtime.finish()
    assert house.look_up_at_once() == ONE.addresses
    assert house.asked == 1


async def test_dns_05_cancelled_anywhere_a_look_up_leaves_nothing_behind(make: MakeHouse) -> None:
    house = make()

    async def scenario() -> None:
        await house.look_up()

    async def after() -> None:
        nonlocal house
        assert all(not question.waiters for question in house.names._questions.values())
        await house.runtime.finish()
        assert house.names._questions == {}
        assert house.look_up_at_once() == ONE.addresses
        house = make()

    assert await cancel_everywhere(scenario, after) >= 1


async def test_dns_03_each_of_those_who_wait_gets_an_error_of_its_own(house: House) -> None:
    house.resolver.answers[NAME] = FAILED
    errors: list[ResolveError] = []

    async def look_up() -> None:
        with pytest.raises(ResolveError) as caught:
            await house.look_up()
        errors.append(caught.value)

    async with anyio.create_task_group() as group:
        for _ in range(3):
            group.start_soon(look_up)
    assert {str(error) for error in errors} == {str(FAILED)}
    assert {error.kind for error in errors} == {"failed"}
    assert len({id(error) for error in (*errors, FAILED)}) == 4
    assert house.asked == 1


async def test_dns_03_a_failure_is_asked_for_again_and_a_missing_name_only_later(house: House) -> None:
    house.resolver.answers[NAME] = FAILED
    for _ in range(2):
        with pytest.raises(ResolveError):
            await house.look_up()
    assert house.asked == 2
    house.resolver.answers[NAME] = MISSING
    with pytest.raises(ResolveError):
        await house.look_up()
    await house.clock.advance(NEGATIVE - 0.1)
    with pytest.raises(ResolveError) as caught:
        house.look_up_at_once()
    assert (caught.value.kind, house.asked, house.names.stats.negative) == ("missing", 3, 1)
    house.resolver.answers[NAME] = ONE
    await house.clock.advance(0.1)
    assert await house.look_up() == ONE.addresses


async def test_what_a_resolver_of_the_user_raises_comes_out_unchanged(house: House) -> None:
    house.resolver.answers[NAME] = error = LookupError("mine")
    with pytest.raises(LookupError) as caught:
        await house.look_up()
    assert caught.value is error
    house.resolver.answers[NAME] = ONE
    assert await house.look_up() == ONE.addresses


async def test_dns_03_an_answer_without_addresses_is_a_missing_name(house: House) -> None:
    house.resolver.answers[NAME] = Answer(())
    with pytest.raises(ResolveError, match=r"cannot resolve a\.test: it has no address") as caught:
        await house.look_up()
    assert caught.value.kind == "missing"


async def test_a_question_that_hangs_does_not_hold_its_name_for_ever(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "QUESTION_SECONDS", 0.01)
    house.resolver.hold()
    with pytest.raises(ResolveError, match=r"cannot resolve a\.test: no answer after 0\.01 s") as caught:
        await house.look_up()
    assert (caught.value.kind, house.resolver.under_way) == ("timeout", 0)
    house.resolver.let_go()
    assert await house.look_up() == ONE.addresses


# ------------------------------------------------------------------ nobody waits twice


async def test_dns_02_a_stale_answer_is_used_while_it_is_renewed(house: House) -> None:
    await house.look_up()
    await house.clock.advance(60)
    house.resolver.answers[NAME] = OTHER
    house.resolver.hold()
    assert [house.look_up_at_once() for _ in range(3)] == [ONE.addresses] * 3
    await all_tasks_at_rest()
    assert (house.resolver.under_way, house.asked) == (1, 2)
    house.resolver.let_go()
    await house.runtime.finish()
    assert house.look_up_at_once() == OTHER.addresses
    assert (house.names.stats.stale, house.names.stats.hits, house.asked) == (3, 1, 2)


async def test_dns_02_a_stale_answer_goes_on_while_the_name_server_is_down_and_not_for_ever(house: House) -> None:
    await house.look_up()
    house.resolver.answers[NAME] = FAILED
    await house.clock.advance(60)
    for _ in range(int(STALE_ON_FAILURE / (STALE / 2)) - 1):
        assert house.look_up_at_once() == ONE.addresses
        await house.clock.advance(STALE / 2)
    await house.clock.advance(STALE)
    with pytest.raises(ResolveError, match="refused"):
        await house.look_up()


async def test_dns_02_an_answer_that_is_too_old_to_be_used_unseen_is_used_if_the_question_fails(house: House) -> None:
    await house.look_up()
    await house.clock.advance(60 + STALE)
    house.resolver.answers[NAME] = FAILED
    house.resolver.hold()
    with anyio.move_on_after(0.001) as scope:
        await house.look_up()
    assert scope.cancelled_caught
    house.resolver.let_go()
    assert await house.look_up() == ONE.addresses


async def test_dns_02_names_that_are_asked_for_all_the_time_never_wait_and_are_asked_for_once_a_ttl(
    make: MakeHouse,
) -> None:
    names = [f"{number}.test" for number in range(100)]
    house = make(ToldResolver(**{name: Answer(("192.0.2.1",), 1.0) for name in names}))
    for name in names:
        await house.names.look_up(name)
    for _ in range(60):
        await house.clock.advance(0.5)
        for name in names:
            at_once(house.names.look_up(name))
    assert max(house.resolver.asked.values()) <= 1 + 30
    assert house.names.stats.misses == 100


async def test_the_first_part_of_an_answer_ends_the_wait(make: MakeHouse) -> None:
    house = make(EarlyTold(**{NAME: OTHER}))
    house.resolver.hold()
    assert await house.look_up() == ("192.0.2.1",)
    assert house.look_up_at_once() == ("192.0.2.1",)
    assert (house.resolver.under_way, house.names.addresses(NAME)) == (1, None)
    house.resolver.let_go()
    await house.runtime.finish()
    assert house.look_up_at_once() == OTHER.addresses
    assert house.names.stats.queries == 1


# ------------------------------------------------------------------ names in use


async def test_a_name_in_use_is_asked_for_when_its_time_is_over_though_nobody_looks_it_up(house: House) -> None:
    await house.look_up()
    house.names.use(NAME)
    await house.clock.advance(59.9)
    assert house.asked == 1
    await house.clock.advance(0.2)
    assert house.asked == 2
    await house.clock.advance(600)
    assert 11 <= house.asked <= 12
    assert (house.names.stats.misses, house.changes) == (1, [])


async def test_that_a_name_moved_is_told_within_its_ttl_and_a_second(house: House) -> None:
    await house.look_up()
    house.names.use(NAME)
    house.resolver.answers[NAME] = OTHER
    await house.clock.advance(61)
    assert house.changes == [(NAME, set(OTHER.addresses))]
    assert house.names.addresses(NAME) == frozenset(OTHER.addresses)
    await house.clock.advance(300)
    assert len(house.changes) == 1


async def test_that_a_name_moved_is_told_also_if_a_look_up_finds_out(house: House) -> None:
    await house.look_up()
    house.names.use(NAME)
    await house.clock.advance(30)
    house.names.release(NAME)
    house.names.use(NAME)
    house.resolver.answers[NAME] = Answer(OTHER.addresses, 1.0)
    await house.clock.advance(30)
    house.resolver.answers[NAME] = ONE
    await house.clock.advance(0.99)
    assert house.changes == [(NAME, set(OTHER.addresses))]
    await house.clock.advance(1)
    assert house.changes[1:] == [(NAME, set(ONE.addresses))]


@pytest.mark.parametrize(
    "answer",
    [
        Answer(tuple(reversed(OTHER.addresses)), 60.0),
        Answer(("192.0.2.2",), 60.0, is_complete=False),
        MISSING,
        FAILED,
        LookupError("mine"),
    ],
    ids=["another order", "one family not known", "missing", "failed", "a bug"],
)
async def test_what_does_not_say_that_a_name_moved_changes_nothing(make: MakeHouse, answer: Answer | Exception) -> None:
    house = make(ToldResolver(**{NAME: OTHER}))
    await house.look_up()
    house.names.use(NAME)
    house.resolver.answers[NAME] = answer
    await house.clock.advance(61)
    assert (house.changes, house.asked >= 2) == ([], True)
    house.resolver.answers[NAME] = ONE
    await house.clock.advance(61)
    assert house.changes == [(NAME, set(ONE.addresses))]


async def test_a_name_in_use_is_asked_for_once_a_second_while_the_name_server_is_down(house: House) -> None:
    await house.look_up()
    house.names.use(NAME)
    house.resolver.answers[NAME] = FAILED
    await house.clock.advance(60)
    before = house.asked
    await house.clock.advance(10 * RETRY)
    assert 9 <= house.asked - before <= 11


async def test_a_name_in_use_that_was_never_known_is_asked_for_once_a_second(make: MakeHouse) -> None:
    house = make(ToldResolver(**{NAME: LookupError("mine")}))
    house.names.use(NAME)
    await house.clock.advance(10 * RETRY)
    assert 9 <= house.asked <= 11
    house.resolver.answers[NAME] = ONE
    await house.clock.advance(RETRY)
    assert house.changes == [(NAME, set(ONE.addresses))]


async def test_the_first_part_of_an_answer_says_nothing_about_a_move(make: MakeHouse) -> None:
    house = make(EarlyTold(**{NAME: OTHER}))
    await house.look_up()
    await house.runtime.finish()
    house.names.use(NAME)
    await house.clock.advance(200)
    assert house.changes == []
    assert house.asked == 4


async def test_no_timer_runs_while_no_name_is_in_use(house: House) -> None:
    await house.look_up()
    await house.runtime.finish()
    assert (house.clock.sleepers, house.runtime.tasks) == (0, 0)
    house.names.use(NAME)
    house.names.use(NAME)
    await all_tasks_at_rest()
    assert (house.clock.sleepers, house.runtime.tasks, house.names.stats.in_use) == (1, 1, 1)
    house.names.release(NAME)
    await all_tasks_at_rest()
    assert (house.clock.sleepers, house.runtime.tasks) == (1, 1)
    house.names.release(NAME)
    await all_tasks_at_rest()
    assert (house.clock.sleepers, house.runtime.tasks, house.names.stats.in_use) == (0, 0, 0)
    house.names.release(NAME)
    await house.clock.advance(120)
    assert house.asked == 1


async def test_a_name_in_use_with_a_shorter_ttl_is_not_held_up_by_one_with_a_longer(make: MakeHouse) -> None:
    house = make(ToldResolver(**{NAME: Answer(("192.0.2.1",), 1.0), "b.test": Answer(("192.0.2.1",), 3_000.0)}))
    await house.names.look_up("b.test")
    house.names.use("b.test")
    await house.clock.advance(10)
    await house.look_up()
    house.names.use(NAME)
    await house.clock.advance(10.5)
    assert 10 <= house.asked <= 11
    assert house.resolver.asked["b.test"] == 1


async def test_a_name_in_use_that_the_cache_has_forgotten_is_asked_for(make: MakeHouse) -> None:
    house = make(ToldResolver(**{NAME: ONE, "b.test": ONE}), size=1)
    await house.look_up()
    house.names.use(NAME)
    await house.names.look_up("b.test")
    house.resolver.answers[NAME] = OTHER
    await house.clock.advance(61)
    assert house.changes == [(NAME, set(OTHER.addresses))]


async def test_dns_01_more_names_in_use_than_the_cache_has_room_for_are_asked_for_once_a_ttl_all_the_same(
    make: MakeHouse,
) -> None:
    names = [f"{number}.test" for number in range(30)]
    house = make(ToldResolver(**dict.fromkeys(names, ONE)), size=5)
    for name in names:
        await house.names.look_up(name)
        house.names.use(name)
    await house.clock.advance(120.5)
    assert set(house.resolver.asked.values()) <= {3, 4}
    house.resolver.answers = dict.fromkeys(names, OTHER)
    await house.clock.advance(61)
    assert sorted(house.changes) == sorted((name, set(OTHER.addresses)) for name in names)


# ------------------------------------------------------------------ the end


async def test_closing_fails_those_who_wait_and_ends_what_is_under_way(house: House) -> None:
    house.resolver.hold()
    async with anyio.create_task_group() as group:

        async def look_up() -> None:
            with pytest.raises(SessionClosed, match="the session was closed"):
                await house.look_up()

        house.names.use(NAME)
        group.start_soon(look_up)
        await all_tasks_at_rest()
        await house.names.aclose()
    with anyio.fail_after(5):
        await house.runtime.finish()
    assert (house.resolver.under_way, house.clock.sleepers, house.resolver.is_closed) == (0, 0, False)
    house.names.release(NAME)
    house.names.use(NAME)
    assert house.runtime.tasks == 0
    with pytest.raises(SessionClosed, match="the session is closed"):
        at_once(house.names.look_up(NAME))


async def test_when_the_background_tasks_are_ended_those_who_wait_hear_of_it(house: House) -> None:
    house.resolver.hold()
    async with anyio.create_task_group() as group:

        async def look_up() -> None:
            with pytest.raises(SessionClosed):
                await house.look_up()

        group.start_soon(look_up)
        await all_tasks_at_rest()
        await house.runtime.aclose()


async def test_a_resolver_of_netio_s_own_is_made_when_it_is_needed_and_closed_with_the_names(
    runtime: Runtime, monkeypatch: pytest.MonkeyPatch
) -> None:
    own = ToldResolver(**{NAME: ONE})
    monkeypatch.setattr(module, "default_resolver", lambda: own)
    names = Names(None, runtime=runtime, clock=FakeClock())
    assert await names.look_up(NAME) is ONE
    assert own.is_closed is False
    await names.aclose()
    assert own.is_closed is True


async def test_names_that_were_never_used_close_without_a_resolver(runtime: Runtime) -> None:
    names = Names(None, runtime=runtime, clock=FakeClock())
    await names.aclose()
    assert names._resolver is None
