"""Server-sent events that one task reads and another one closes."""

from __future__ import annotations

import gzip

import anyio
import pytest

from netio.message import Request
from netio.testing import FakeClock, MemoryStream
from tests.client.test_sse import HEAD, URL, Events, chunk, session_to, sse

pytestmark = pytest.mark.anyio


@pytest.mark.parametrize("moment", ["reading", "waiting", "connecting"])
async def test_a_stream_that_another_task_closes_ends_and_opens_no_connection_any_more(moment: str) -> None:
    clock, data = FakeClock(), list[str]()

    async def first(stream: MemoryStream, _: Request) -> None:
        await stream.send(HEAD + chunk(b"id: 1\ndata: a\n\n"))
        if moment == "reading":
            await anyio.sleep_forever()

    async def second(stream: MemoryStream, _: Request) -> None:
        await clock.sleep(5.0)
        await stream.send(HEAD + chunk(b"id: 2\ndata: b\n\n"))
        await anyio.sleep_forever()

    server = Events(first, second)
    async with session_to(server, clock=clock) as session, session.sse(URL) as events:

        async def read() -> None:
            data.extend([event.data async for event in events])
            data.append("the end")

        async with anyio.create_task_group() as group:
            group.start_soon(read)
            await clock.advance(4.0 if moment == "connecting" else 0.25)
            await events.aclose()
            await clock.advance(30.0)
            assert data == ["a", "the end"]
            assert session.stats().active == 0
            assert len(server.requests) == (2 if moment == "connecting" else 1)


async def test_a_connection_whose_decoding_was_cancelled_is_given_up_before_the_next_one() -> None:
    def coded(data: bytes) -> bytes:
        return HEAD.replace(b"\r\n\r\n", b"\r\ncontent-encoding: gzip\r\n\r\n") + chunk(gzip.compress(data))

    async def reply(stream: MemoryStream, request: Request) -> None:
        number = len(server.requests)
        await stream.send(coded(b"id: %d\ndata: a%d\n\n" % (number, number)))
        await anyio.sleep_forever()

    server, clock = Events(reply), FakeClock()
    async with session_to(server, clock=clock) as session, sse(session, URL) as events:
        for number in range(1, 4):
            assert (await anext(events)).data == f"a{number}"
            assert session.stats().active == 1
            with anyio.CancelScope() as scope:
                scope.cancel()
                await anext(events)
            assert scope.cancelled_caught
    assert server.resumed_at == [None, "1", "2"]
    assert session.stats().active == 0
