"""Many requests, some at a time."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import anyio
import anyio.lowlevel
import pytest

import netio
from tests.client.conftest import Version, make_house
from tests.peers import pattern

pytestmark = pytest.mark.anyio


async def test_a_batch_yields_every_outcome_and_survives_failures(version: Version) -> None:
    async with make_house(version) as house:
        requests: list[netio.Request | str] = [f"/bytes/{n}" for n in range(30)]
        requests[7] = "http://nobody.test/"
        requests[9] = "ftp://peer.test/"
        requests[11] = house.session.build_request("POST", "/echo", content=b"eleven")
        seen = {}
        async with house.session.batch(requests, concurrency=4) as outcomes:
            async for outcome in outcomes:
                seen[outcome.index] = outcome
        assert sorted(seen) == list(range(30))
        assert isinstance(seen[7].error, netio.ConnectError)
        assert isinstance(seen[9].error, netio.InvalidURL)
        assert seen[11].unwrap().content == b"eleven"
        assert all(seen[n].unwrap().content == pattern(n) for n in range(30) if n not in (7, 9, 11))
        await house.assert_clean()


async def test_a_batch_that_is_left_early_leaves_nothing_running(version: Version) -> None:
    async with make_house(version) as house:
        async with house.session.batch((f"/bytes/{n}" for n in range(1000)), concurrency=5) as outcomes:
            async for outcome in outcomes:
                assert outcome.error is None
                break
        await house.settle()
        await house.assert_clean()
        assert len(house.peer.requests) < 20


async def test_a_batch_raises_what_its_requests_raise_after_their_outcomes(version: Version) -> None:
    async def requests() -> AsyncIterator[str]:
        yield "/"
        raise KeyError("mine")

    async with make_house(version) as house:
        outcomes = house.session.batch(requests())
        assert (await anext(outcomes)).unwrap().content == b"hello"
        with pytest.raises(KeyError, match="mine"):
            await anext(outcomes)
        await house.assert_clean()


@pytest.mark.parametrize("requests", [7, None])
async def test_a_batch_of_what_is_no_iterable_raises(version: Version, requests: object) -> None:
    async with make_house(version) as house:
        with anyio.fail_after(5), pytest.raises(TypeError):
            await anext(house.session.batch(requests))  # type: ignore[arg-type]


async def test_a_batch_that_was_left_sends_nothing_any_more(version: Version) -> None:
    async with make_house(version) as house:
        sent: list[str] = []

        async def handler(request: netio.Request) -> netio.Response:
            sent.append(request.url.path)
            await anyio.lowlevel.checkpoint()
            return netio.Response(200, request=request)

        session = netio.Session(send=handler)
        urls = (f"http://x.test/{number}" for number in range(1000))
        async with session, session.batch(urls, concurrency=1) as outcomes:
            async for _ in outcomes:
                break
            await outcomes.aclose()
            begun = len(sent)
            await house.settle()
            assert len(sent) == begun
            with pytest.raises(StopAsyncIteration):
                await anext(outcomes)


async def test_a_batch_is_shared_by_two_tasks(version: Version) -> None:
    async with make_house(version) as house:
        seen: list[int] = []

        async def consume(outcomes: AsyncIterator[netio.Outcome]) -> None:
            async for outcome in outcomes:
                outcome.unwrap()
                seen.append(outcome.index)

        with anyio.fail_after(5):
            async with house.session.batch(["/"] * 20, concurrency=3) as outcomes, anyio.create_task_group() as group:
                for _ in range(4):
                    group.start_soon(consume, outcomes)
        assert sorted(seen) == list(range(20))


async def test_a_batch_whose_session_is_closed_does_not_pretend_to_be_complete(version: Version) -> None:
    async with make_house(version) as house:
        outcomes = house.session.batch(["/"] * 20, concurrency=2)
        seen = [await anext(outcomes)]
        await house.session.aclose()
        with anyio.fail_after(5), pytest.raises(netio.SessionClosed):
            seen += [outcome async for outcome in outcomes]
        assert len(seen) == 1


async def test_a_batch_goes_on_after_a_request_that_was_cancelled_from_inside(
    version: Version, anyio_backend_name: str
) -> None:
    if anyio_backend_name != "asyncio":
        pytest.skip("on trio a task is cancelled from outside, or not at all")

    async def handler(request: netio.Request) -> netio.Response:
        if request.url.path == "/1":
            raise asyncio.CancelledError
        return netio.Response(200, request=request)

    with anyio.fail_after(5):
        async with netio.Session(send=handler) as session:
            urls = [f"http://x.test/{number}" for number in range(4)]
            outcomes = [outcome async for outcome in session.batch(urls, concurrency=1)]
    assert [outcome.index for outcome in outcomes if outcome.response] == [0, 2, 3]
    assert [outcome.index for outcome in outcomes if outcome.error] == [1]
