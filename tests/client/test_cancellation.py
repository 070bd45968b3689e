"""Whatever is cancelled, at whichever await: nothing is left behind, and the next request succeeds (DESIGN 11)."""

from __future__ import annotations

import dataclasses
import random
from collections.abc import AsyncIterator, Callable, Coroutine
from typing import Any

import anyio
import anyio.lowlevel
import pytest

import netio
from netio.testing import cancel_everywhere
from tests.client.conftest import House, Version, make_house
from tests.peers import Http2Peer, pattern

pytestmark = pytest.mark.anyio

Scenario = Callable[[House], Coroutine[Any, Any, None]]


async def get(house: House) -> None:
    assert (await house.session.get("/")).content == b"hello"


async def get_large(house: House) -> None:
    assert len((await house.session.get("/bytes/300000")).content) == 300_000


async def post_streamed(house: House) -> None:
    async def chunks() -> AsyncIterator[bytes]:
        for _ in range(4):
            await anyio.lowlevel.checkpoint()
            yield b"x" * 40_000

    assert (await house.session.post("/count", content=chunks())).content == b"160000"


async def post_large(house: House) -> None:
    assert (await house.session.post("/count", content=b"x" * 200_000)).content == b"200000"


async def download_streamed(house: House) -> None:
    async with house.session.stream("GET", "/bytes/500000") as response:
        size = 0
        async for chunk in response.aiter_bytes():
            size += len(chunk)
    assert size == 500_000


async def two_in_turn(house: House) -> None:
    """The second one reuses what the first one left."""
    await get(house)
    await get(house)


SCENARIOS: list[Scenario] = [get, get_large, post_streamed, post_large, download_streamed, two_in_turn]


@pytest.mark.parametrize("scenario", SCENARIOS, ids=lambda scenario: scenario.__name__)
async def test_pool_01_cancelled_at_every_checkpoint(version: Version, scenario: Scenario) -> None:
    async with make_house(version) as house:

        async def after() -> None:
            await house.settle()
            await house.assert_clean()
            assert (await house.session.get("/")).content == b"hello"
            await house.settle()
            await house.assert_clean()

        assert await cancel_everywhere(lambda: scenario(house), after) > 0


@pytest.mark.parametrize("scenario", SCENARIOS, ids=lambda scenario: scenario.__name__)
async def test_pool_01_cancelled_at_every_checkpoint_of_a_new_session(version: Version, scenario: Scenario) -> None:
    """With no connection there yet, so that dialing and queueing are cancelled too."""

    async with make_house(version) as house:
        limits = netio.Limits(connections=1)

        async def fresh() -> None:
            async with house.new_session(limits=limits) as session:
                await scenario(dataclasses.replace(house, session=session))

        async def after() -> None:
            await house.settle()
            assert house.network.open_connections == 0
            assert house.peer.live_connections == 0

        assert await cancel_everywhere(fresh, after) > 0


@pytest.mark.parametrize("scenario", SCENARIOS, ids=lambda scenario: scenario.__name__)
async def test_pool_01_cancelled_in_the_queue_behind_others(version: Version, scenario: Scenario) -> None:
    """One place in all, taken by others: waiting, the hand-over and what follows are cancelled."""
    async with make_house(version, limits=netio.Limits(connections=1), max_streams=1) as house:

        async def crowded() -> None:
            async with anyio.create_task_group() as group:
                group.start_soon(get, house)
                group.start_soon(get, house)
                await anyio.lowlevel.checkpoint()
                await scenario(house)

        async def after() -> None:
            await house.settle()
            await house.assert_clean()
            assert (await house.session.get("/")).content == b"hello"

        assert await cancel_everywhere(crowded, after) > 0


async def test_a_cancelled_http1_request_drops_its_connection() -> None:
    async with make_house("HTTP/1.1") as house:
        await get(house)
        with anyio.move_on_after(0.01):
            await house.session.get("/hang")
        await house.settle()
        assert house.session.stats().idle == 0
        await get(house)
        assert house.session.stats().created == 2


async def test_h2_28_a_cancelled_stream_is_reset_and_the_connection_lives() -> None:
    async with make_house("HTTP/2") as house:
        for number in range(150):  # more than there are places on the connection
            with anyio.CancelScope() as scope:
                async with house.session.stream("GET", "/bytes/3000000") as response:
                    async for _ in response.aiter_bytes():
                        if number % 2:
                            scope.cancel()
                        break
        await house.settle()
        await house.assert_clean(connections=1)
        peer: Http2Peer = house.peer
        assert (peer.open_streams, peer.resets) == (0, 150)


async def test_h2_28_credit_of_cancelled_streams_comes_back() -> None:
    """More is downloaded and given up than the connection window holds: it must not run dry."""
    async with make_house("HTTP/2") as house:
        for _ in range(200):  # times a stream window of 256 KiB, against a connection window of 32 MiB
            async with house.session.stream("GET", "/bytes/1000000") as response:
                await anext(response.aiter_bytes())
                for _turn in range(5):
                    await anyio.lowlevel.checkpoint()
        assert (await house.session.get("/bytes/2000000")).content == pattern(2_000_000)
        await house.assert_clean(connections=1)


async def test_a_read_timeout_of_one_stream_leaves_the_others_alone() -> None:
    async with make_house("HTTP/2", clock=netio.SystemClock()) as house:
        async with house.session.stream("GET", "/bytes/2000000") as response:
            body = response.aiter_bytes()
            first = await anext(body)
            with pytest.raises(netio.ReadTimeout) as caught:
                await house.session.get("/hang", timeout=netio.Timeouts(read=0.05))
            assert (caught.value.phase, caught.value.sent) == ("head", True)
            rest = b"".join([piece async for piece in body])
        assert first + rest == pattern(2_000_000)
        await house.assert_clean(connections=1)


@pytest.mark.parametrize("seed", range(2))
async def test_pool_04_a_third_of_a_thousand_cancelled_and_everyone_else_is_served(version: Version, seed: int) -> None:
    """A request that hangs fails the test: nothing but the test's own guard would end it."""
    draw = random.Random(seed)
    served: list[int] = []
    cancelled: list[int] = []

    async with make_house(version, limits=netio.Limits(connections=10), max_streams=1) as house:

        async def one(number: int, patience: int | None) -> None:
            with anyio.CancelScope() as scope:
                if patience is not None:
                    waiting.start_soon(cancel_later, scope, patience)
                response = await house.session.get(f"/bytes/{number}", timeout=None)
                assert len(response.content) == number
                served.append(number)
            if scope.cancelled_caught:
                cancelled.append(number)

        async def cancel_later(scope: anyio.CancelScope, turns: int) -> None:
            for _ in range(turns):
                await anyio.lowlevel.checkpoint()
            scope.cancel()

        async with anyio.create_task_group() as waiting:
            async with anyio.create_task_group() as group:
                for number in range(1000):
                    patience = draw.randrange(draw.choice((5, 50))) if draw.random() < 1 / 3 else None
                    group.start_soon(one, number, patience)
        assert len(served) + len(cancelled) == 1000
        assert len(served) >= 600
        assert len(cancelled) >= 100
        await house.settle()
        await house.assert_clean()
        assert (await house.session.get("/")).content == b"hello"
