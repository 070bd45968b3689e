"""Ten thousand look-ups, cancelled at random, while the thread of c-ares is busy with other things."""

from __future__ import annotations

import random
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import anyio
import anyio.to_thread
import pycares
import pytest
from anyio.lowlevel import checkpoint

from netio.deadline import SystemClock
from netio.errors import ResolveError
from netio.transport import CaresResolver, Names, Runtime
from netio.transport._dns_cares import _Lookup
from tests.transport.dns.conftest import MakeCares
from tests.transport.dns.server import NameServer, Script, failing
from tests.transport.kit_tools import eventually

pytestmark = pytest.mark.anyio

LOOK_UPS = 10_000
NAMES = 60
BUSY_SECONDS = 0.002


@pytest.fixture
def taken_on(monkeypatch: pytest.MonkeyPatch) -> set[int]:
    """The threads on which answers of c-ares are taken."""
    threads: set[int] = set()
    take = _Lookup._take

    def noted(self: _Lookup, *arguments: Any) -> None:
        threads.add(threading.get_ident())
        take(self, *arguments)

    monkeypatch.setattr(_Lookup, "_take", noted)
    return threads


@contextmanager
def busy(channel: pycares.Channel) -> Iterator[set[int]]:
    """Keep the thread of c-ares busy most of the time, by calls back that dawdle; give the threads they come on."""
    is_over, threads, asked = threading.Event(), set[int](), threading.Semaphore(2)

    def dawdle(result: Any, error: int | None) -> None:
        threads.add(threading.get_ident())
        time.sleep(BUSY_SECONDS)
        asked.release()

    def ask() -> None:
        while not is_over.is_set():
            asked.acquire(timeout=1)
            channel.query("busy.test", pycares.QUERY_TYPE_A, callback=dawdle)

    asking = threading.Thread(target=ask)
    asking.start()
    try:
        yield threads
    finally:
        is_over.set()
        asking.join()


class Crowd:
    """Look-ups that begin together, of which half are cancelled at random moments."""

    def __init__(self, names: Names, chance: random.Random) -> None:
        self.names = names
        self.chance = chance
        self.ends = {"answered": 0, "failed": 0, "cancelled": 0}

    async def run(self, size: int) -> None:
        scopes = [anyio.CancelScope() for _ in range(size)]
        async with anyio.create_task_group() as group:
            for scope in scopes:
                group.start_soon(self._look_up, f"{self.chance.randrange(NAMES)}.test", scope)
            self.chance.shuffle(scopes)
            for scope in scopes[: size // 2]:
                scope.cancel()
                if self.chance.random() < 0.1:
                    await checkpoint()

    async def _look_up(self, host: str, scope: anyio.CancelScope) -> None:
        with scope:
            try:
                await self.names.look_up(host)
                self.ends["answered"] += 1
            except ResolveError:
                self.ends["failed"] += 1
        if scope.cancelled_caught:
            self.ends["cancelled"] += 1


async def test_dns_05_look_ups_on_a_busy_resolver_cancelled_at_random_leave_nothing(
    server: NameServer, cares: MakeCares, runtime: Runtime, taken_on: set[int]
) -> None:
    server.scripts["*"] = Script(a=["192.0.2.1"], ttl=0)
    server.scripts["busy.test"] = Script(a=["192.0.2.1"], ttl=0)
    for number in range(0, NAMES, 7):
        server.scripts[f"{number}.test"] = failing("SERVFAIL")
    resolver: CaresResolver = cares(tries=1)
    channel = await anyio.to_thread.run_sync(resolver.open)
    names = Names(resolver, runtime=runtime, clock=SystemClock(), size=NAMES // 2)
    crowd = Crowd(names, random.Random(5))
    with busy(channel) as busy_threads, anyio.fail_after(45):
        for _ in range(LOOK_UPS // 500):
            await crowd.run(500)
        await runtime.finish()
    assert sum(crowd.ends.values()) == LOOK_UPS
    assert min(crowd.ends.values()) > LOOK_UPS / 100
    assert (names._questions, names._cache.asking, runtime.tasks) == ({}, 0, 0)
    assert names.stats.entries <= NAMES // 2
    assert taken_on == {threading.get_ident()}
    assert busy_threads
    await names.aclose()
    await resolver.aclose()
    await eventually(_nothing_is_left(resolver))


def _nothing_is_left(resolver: CaresResolver) -> Callable[[], bool]:
    """Return whether pycares holds no call back of the resolver any more."""
    channel = resolver._channel
    return lambda: channel not in list(pycares._handle_to_channel.values())
