"""Two tasks and one response."""

from __future__ import annotations

from typing import Any

import anyio
import anyio.lowlevel
import pytest

import netio
from netio.testing import cancel_at, ways_to_cancel
from tests.client.conftest import House, Version, make_house

pytestmark = pytest.mark.anyio


def only_connection(house: House) -> Any:
    assert house.session._pool is not None
    (connection,) = house.session._pool._ledger._members
    return connection


async def test_a_response_that_one_task_is_reading_is_refused_to_another(version: Version) -> None:
    async with make_house(version) as house, house.session.stream("GET", "/drip") as response:
        body = response.aiter_bytes()
        assert await anext(body) == b"x"
        async with anyio.create_task_group() as group:
            group.start_soon(anext, body)  # type: ignore[arg-type]
            await house.settle()
            with pytest.raises(netio.BodyUnavailable):
                await anext(body)
            assert house.session.stats().active == 1
            group.cancel_scope.cancel()


async def test_a_response_that_is_closed_while_another_task_reads_it_ends_that_task(version: Version) -> None:
    async with make_house(version) as house, house.session.stream("GET", "/drip", timeout=None) as response:
        errors = []

        async def read() -> None:
            try:
                await response.aread()
            except netio.ConnectionLost as error:
                errors.append(error)

        async with anyio.create_task_group() as group:
            group.start_soon(read)
            await house.settle()
            await response.aclose()
        assert [(error.sent, error.phase) for error in errors] == [(True, "body")]


async def test_h2_17_the_credit_of_a_streamed_response_whose_request_is_cancelled_as_it_comes_is_given_back() -> None:
    async with make_house("HTTP/2") as house:
        await house.session.get("/")

        async def scenario() -> None:
            async with house.session.stream("GET", "/bytes/60000"):
                pass

        def owed() -> int:
            engine = only_connection(house)._engine
            return int(engine.connection_window - engine._window - engine._uncredited)

        for way in ways_to_cancel():
            for at in range(1, 5):
                for _ in range(5):
                    await cancel_at(at, scenario, way)
                    await house.settle()
        assert owed() == 0
