"""Which address is tried when: the rules alone, and the race with sockets, by a clock that the test moves."""

from __future__ import annotations

import errno
import os
import resource
import socket
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from ipaddress import ip_address

import anyio
import pytest
from anyio.abc import ByteStream
from hypothesis import given
from hypothesis import strategies as st

import netio
from netio.deadline import NEVER
from netio.errors import AddressRefused, ConnectError, ConnectTimeout
from netio.testing import FakeClock
from netio.testing._clock import all_tasks_at_rest
from netio.transport import Address, Dial, Dialer, Link, Network, Runtime
from netio.transport._eyeballs import Race, Winners, in_turn, sentence
from netio.url import Origin
from tests.peers import Http1Peer
from tests.transport.far_ends import client_context, listen, port_of
from tests.transport.holes import black_holes
from tests.transport.kit_tools import eventually, open_sockets, read_to_end

NAME = "many.test"


def address(text: str) -> Address:
    return Address(NAME, ip_address(text), 80)


def addresses(*texts: str) -> list[Address]:
    return [address(text) for text in texts]


A, B, C = addresses("192.0.2.1", "192.0.2.2", "192.0.2.3")
SIX, SEVEN = addresses("2001:db8::6", "2001:db8::7")

# ------------------------------------------------------------------ the order


def test_families_take_turns_and_the_first_address_says_which_begins() -> None:
    assert in_turn([SIX, SEVEN, A, B, C], first=None, limit=9) == [SIX, A, SEVEN, B, C]
    assert in_turn([A, B, SIX], first=None, limit=9) == [A, SIX, B]


def test_the_last_winner_comes_first_and_only_if_it_is_still_there() -> None:
    assert in_turn([SIX, A, B], first=B, limit=9) == [B, SIX, A]
    assert in_turn([SIX, A], first=B, limit=9) == [SIX, A]


@given(st.lists(st.sampled_from([A, B, C, SIX, SEVEN])), st.integers(1, 6))
def test_dns_03_each_address_is_tried_once_and_no_more_than_the_limit(found: list[Address], limit: int) -> None:
    order = in_turn(found, first=C, limit=limit)
    assert len(order) == len(set(order)) == min(limit, len(set(found)))
    assert set(order) <= set(found)


def test_a_winner_is_remembered_until_it_fails_and_so_many_are() -> None:
    winners = Winners(size=2)
    winners.won("a", 80, A)
    winners.won("b", 80, B)
    winners.failed("a", 80, C)
    assert (winners.get("a", 80), winners.get("a", 81)) == (A, None)
    winners.failed("a", 80, A)
    assert winners.get("a", 80) is None
    winners.won("c", 80, C)
    winners.won("d", 80, C)
    assert (len(winners), winners.get("b", 80)) == (2, None)


# ------------------------------------------------------------------ the race


def test_the_next_attempt_begins_after_the_delay_or_at_once_after_a_failure() -> None:
    race = Race([A, B, C], 100.0, delay=0.25)
    assert race.begin(100.0) == A
    assert race.begin(100.2) is None
    assert race.due == 100.25
    assert race.begin(100.25) == B
    race.failed(A, OSError(), "refused", 100.3)
    assert race.due == 100.3
    assert race.begin(100.3) == C
    assert (race.due, race.is_lost) == (NEVER, False)


def test_a_race_is_lost_when_each_has_failed() -> None:
    race = Race([A, B], 0.0, delay=0.25)
    for each in (A, B):
        assert race.begin(1.0) == each
        race.failed(each, OSError(), "refused", 1.0)
    assert race.is_lost is True
    assert sentence(race.tried(1.0), 3) == (
        "192.0.2.1, 192.0.2.2: refused; 3 more were not tried (Network.max_attempts)"
    )


def test_the_delay_shrinks_until_every_address_has_its_turn_before_the_deadline() -> None:
    race, now, begun = Race([A, B, C, SIX, SEVEN], 0.0, deadline=0.6, delay=0.25), 0.0, []
    while now < 0.6:
        if (each := race.begin(now)) is not None:
            begun.append((each, now))
        now = min(race.due, 0.6)
    assert [each for each, _ in begun] == [A, B, C, SIX, SEVEN]
    assert begun[-1][1] <= 0.5
    assert [each.error for each in race.tried(0.6)] == ["no answer"] * 5


def test_an_attempt_has_its_own_time_limit_inside_of_the_deadline() -> None:
    race = Race([A, B], 0.0, deadline=10.0, delay=0.25, attempt_timeout=2.0)
    assert race.begin(0.0) == A
    assert race.begin(0.25) == B
    assert race.due == 2.0
    assert (race.overdue(1.9), race.overdue(2.0)) == ([], [A])
    race.failed(A, OSError(), "no answer", 2.0)
    assert race.due == 2.25


@pytest.mark.parametrize("code", [errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM])
def test_pool_08_what_this_machine_lacks_is_not_tried_with_other_addresses(code: int) -> None:
    race = Race([A, B, C], 0.0, delay=0.25)
    race.begin(0.0)
    race.failed(A, OSError(code, "none left"), "none left", 0.0)
    assert race.is_lost is True


# ------------------------------------------------------------------ with sockets


@pytest.mark.anyio
async def test_pool_08_requests_fail_while_there_are_no_descriptors_and_the_next_ones_do_not() -> None:
    peer, before, count = Http1Peer(), open_sockets(), 20

    async def serve(stream: ByteStream) -> None:
        async with stream:
            await peer.serve(stream)

    async with await listen() as listener, anyio.create_task_group() as group:
        group.start_soon(listener.serve, serve)
        url = f"http://{NAME}:{port_of(listener)}/"
        network = Network(hosts={NAME: ["127.0.0.1", "127.0.0.2"]})
        async with netio.Session(network=network, limits=netio.Limits(idle=0)) as session:
            await session.get(url)  # so that the loop has opened what it needs
            await eventually(lambda: open_sockets() <= before + 1)
            errors: list[ConnectError] = []

            async def fetch() -> None:
                with pytest.raises(ConnectError, match="too many open files") as caught:
                    await session.get(url)
                errors.append(caught.value)

            with no_descriptors(), anyio.fail_after(10):
                async with anyio.create_task_group() as requests:
                    for _ in range(count):
                        requests.start_soon(fetch)
            assert {len(error.tried) for error in errors} == {1}
            assert "Limits.connections" in str(errors[0])
            assert session.stats().dial_failures == count == len(errors)
            assert (await session.get(url)).text == "hello"
        group.cancel_scope.cancel()
    await eventually(lambda: open_sockets() <= before)


@contextmanager
def no_descriptors() -> Iterator[None]:
    """Let this process open no more files."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    free = os.dup(0)
    os.close(free)
    resource.setrlimit(resource.RLIMIT_NOFILE, (free, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


@asynccontextmanager
async def dialing(dialer: Dialer, dial: Dial) -> AsyncIterator[list[Link | Exception]]:
    """Dial in the background; what comes of it is in the list that is yielded."""
    outcome: list[Link | Exception] = []

    async def run() -> None:
        try:
            outcome.append(await dialer.dial(dial))
        except ConnectError as error:
            outcome.append(error)

    with anyio.fail_after(10):
        async with anyio.create_task_group() as group:
            group.start_soon(run)
            try:
                yield outcome
            finally:
                group.cancel_scope.cancel()
                for each in outcome:
                    if isinstance(each, Link):
                        each.abort()


def dialer_for(runtime: Runtime, *hosts: str, **options: object) -> Dialer:
    network = Network(hosts={NAME: hosts}, **options)  # type: ignore[arg-type]
    return Dialer(runtime, verify=client_context(), alpn=("http/1.1",), network=network)


@pytest.fixture
def has_ipv6() -> None:
    try:
        with socket.socket(socket.AF_INET6) as probe:
            probe.bind(("::1", 0))
    except OSError:
        pytest.skip("this machine has no IPv6 loopback")


@pytest.mark.anyio
@pytest.mark.usefixtures("has_ipv6")
async def test_dns_03_behind_a_dead_ipv6_address_the_ipv4_one_is_connected_within_300_ms(runtime: Runtime) -> None:
    clock = FakeClock()
    with black_holes(["::1"]) as port:
        async with await listen("127.0.0.1", port) as listener:
            dial = Dial(Origin("http", NAME, port), clock, seconds=10)
            async with dialing(dialer_for(runtime, "::1", "127.0.0.1"), dial) as outcome:
                await clock.advance(0.24)
                assert outcome == []
                await clock.advance(0.01)
                await eventually(lambda: bool(outcome))
                assert clock.now() - 1000.0 <= 0.3
                assert (str(dial.address), dial.news.peer) == ("127.0.0.1", ("127.0.0.1", port))
                assert dial.tried == ()
                await (await listener.accept()).aclose()


@pytest.mark.anyio
async def test_slow_01_ten_dead_addresses_are_all_in_the_error_within_the_connect_timeout() -> None:
    clock, before = FakeClock(), open_sockets()
    dead = [f"127.0.0.{number}" for number in range(1, 11)]
    errors: list[Exception] = []
    with black_holes(dead) as port:
        async with netio.Session(clock=clock, network=Network(hosts={NAME: dead})) as session:

            async def fetch() -> None:
                with pytest.raises(ConnectTimeout) as caught:
                    await session.get(f"http://{NAME}:{port}/", timeout=netio.Timeouts(connect=1.0))
                errors.append(caught.value)

            async with anyio.create_task_group() as group:
                group.start_soon(fetch)
                await clock.advance(1.2)
                await eventually(lambda: bool(errors))
            error = errors[0]
            assert isinstance(error, ConnectTimeout)
            assert [each.address for each in error.tried] == dead
            assert {each.error for each in error.tried} == {"no answer"}
            assert f"took longer than 1 s: {', '.join(dead)}: no answer" in str(error)
            assert (error.phase, error.sent) == ("connect", False)
    assert open_sockets() <= before


@pytest.mark.anyio
async def test_an_attempt_that_takes_too_long_is_given_up_and_its_socket_closed(runtime: Runtime) -> None:
    clock = FakeClock()
    with black_holes(["127.0.0.1", "127.0.0.2"]) as port:
        before = open_sockets()
        by = dialer_for(runtime, "127.0.0.1", "127.0.0.2", attempt_timeout=2.0)
        async with dialing(by, Dial(Origin("http", NAME, port), clock, seconds=10)) as outcome:
            await clock.advance(1.9)
            assert open_sockets() == before + 2
            await clock.advance(0.2)
            assert open_sockets() == before + 1
            await clock.advance(0.25)
            await eventually(lambda: bool(outcome))
            assert open_sockets() == before
            error = outcome[0]
    assert isinstance(error, ConnectError)
    assert str(error) == f"cannot connect to http://{NAME}:{port}: 127.0.0.1, 127.0.0.2: no answer"
    assert [each.seconds for each in error.tried] == [2.0, 2.0]
    assert isinstance(error.__cause__, ExceptionGroup)
    assert len(error.__cause__.exceptions) == 2


@pytest.mark.anyio
async def test_the_address_that_won_is_tried_first_the_next_time_until_it_fails(runtime: Runtime) -> None:
    by = dialer_for(runtime, "127.0.0.1", "127.0.0.2", attempt_delay=60.0)
    async with await listen("127.0.0.2") as listener:
        origin = Origin("http", NAME, port_of(listener))
        for tries in (2, 1):  # the first one refuses, and is not asked again
            dial = Dial(origin)
            link = await by.dial(dial)
            assert dial.race is not None
            assert (str(dial.address), len(dial.race.failures)) == ("127.0.0.2", tries - 1)
            link.abort()
            await (await listener.accept()).aclose()
    with pytest.raises(ConnectError) as caught:
        await by.dial(Dial(origin))
    assert [each.address for each in caught.value.tried] == ["127.0.0.2", "127.0.0.1"]
    with pytest.raises(ConnectError) as caught:
        await by.dial(Dial(origin))
    assert [each.address for each in caught.value.tried] == ["127.0.0.1", "127.0.0.2"]


@pytest.mark.anyio
async def test_dns_03_of_a_thousand_addresses_only_some_are_tried(runtime: Runtime) -> None:
    many = [f"127.1.{number // 250}.{number % 250 + 1}" for number in range(1000)]
    async with await listen() as listener:
        port = port_of(listener)
    with pytest.raises(ConnectError, match=r"997 more were not tried \(Network\.max_attempts\)") as caught:
        await dialer_for(runtime, *many, max_attempts=3).dial(Dial(Origin("http", NAME, port)))
    assert [each.address for each in caught.value.tried] == many[:3]


@pytest.mark.anyio
async def test_a_socket_that_connects_to_itself_is_refused(runtime: Runtime, monkeypatch: pytest.MonkeyPatch) -> None:
    """The kernel may draw the very port that is connected to, where nobody listens, for the connection's other end."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]

    def bind(sock: socket.socket, local_address: str) -> None:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        sock.bind((local_address, port))

    monkeypatch.setattr("netio.transport._dial_attempt.bind_to", bind)
    by = dialer_for(runtime, "127.0.0.1", local_address="127.0.0.1")
    with pytest.raises(ConnectError, match="connection refused"):
        await by.dial(Dial(Origin("http", NAME, port)))


@pytest.mark.anyio
async def test_dns_04_what_the_policy_refuses_does_not_hold_up_the_others(runtime: Runtime) -> None:
    seen: list[Address] = []

    def policy(found: Address) -> str | None:
        seen.append(found)
        return "not that one" if str(found.ip) == "127.0.0.1" else None

    by = dialer_for(runtime, "127.0.0.1", "127.0.0.2", attempt_delay=60.0, address_policy=policy)
    async with await listen("127.0.0.2") as listener:
        port = port_of(listener)
        link = await by.dial(Dial(Origin("http", NAME, port)))
        peer = await listener.accept()
        link.abort()
        assert await read_to_end(peer) == b""
        await peer.aclose()
    assert seen == [Address(NAME, ip_address("127.0.0.1"), port), Address(NAME, ip_address("127.0.0.2"), port)]


@pytest.mark.anyio
async def test_dns_04_a_policy_may_be_async_and_its_refusal_names_all_addresses(runtime: Runtime) -> None:
    async def policy(found: Address) -> str | None:
        await all_tasks_at_rest()
        return "never"

    by = dialer_for(runtime, "127.0.0.1", "::1", address_policy=policy)
    with pytest.raises(AddressRefused) as caught:
        await by.dial(Dial(Origin("http", NAME, 9)))
    error = caught.value
    assert (error.host, error.reason, error.sent, error.phase) == (NAME, "never", False, "connect")
    assert [each.address for each in error.tried] == ["127.0.0.1", "[::1]"]
    assert str(error) == f"{NAME} has the address [::1], which is refused by the address policy: never"


@pytest.mark.anyio
@pytest.mark.parametrize("answer", [True, False, 0, b"no"])
async def test_pool_10_a_policy_that_answers_neither_way_lets_nothing_through(runtime: Runtime, answer: object) -> None:
    by = dialer_for(runtime, "127.0.0.1", address_policy=lambda found: answer)
    with pytest.raises(TypeError, match="an address policy returns None"):
        await by.dial(Dial(Origin("http", NAME, 9)))


@pytest.mark.anyio
async def test_pool_10_what_a_policy_raises_comes_out_unchanged_and_nothing_leaks() -> None:
    before = open_sockets()
    failure = LookupError("the policy's own")

    def policy(found: Address) -> str | None:
        raise failure

    async with netio.Session(network=Network(hosts={NAME: "127.0.0.1"}, address_policy=policy)) as session:
        with pytest.raises(LookupError) as caught:
            await session.get(f"http://{NAME}:9/")
        assert caught.value is failure
        assert (session.stats().dialing, session.stats().active) == (0, 0)
    assert open_sockets() <= before
