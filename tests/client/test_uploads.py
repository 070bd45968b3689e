"""Request bodies that fail, are cancelled or outlive their answer."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import anyio
import anyio.lowlevel
import h2.events
import pytest

import netio
from netio.testing import MemoryStream
from tests.client.conftest import Version, make_house
from tests.peers import Http2Peer, Http2Side

pytestmark = pytest.mark.anyio


class AnswersAtOnce(Http2Side):
    """Sends the head as soon as the request begins, and the rest when it is told to."""

    def on(self, event: h2.events.Event) -> None:
        if isinstance(event, h2.events.RequestReceived) and (":path", "/at-once") in event.headers:  # type: ignore[comparison-overlap]
            self.paths[event.stream_id] = "/at-once"
            self.h2.send_headers(event.stream_id, [(":status", "200")])
        else:
            super().on(event)


async def test_pool_10_a_stream_whose_upload_failed_before_its_answer_was_complete_is_reset() -> None:
    async with make_house("HTTP/2") as house:
        peer: Http2Peer = house.peer
        sides: list[AnswersAtOnce] = []
        gate = anyio.Event()

        async def serve(stream: MemoryStream) -> None:
            sides.append(AnswersAtOnce(peer, stream))
            await sides[-1].run()

        async def chunks() -> AsyncIterator[bytes]:
            yield b"x"
            await gate.wait()
            raise KeyError("mine")

        house.network.listen("peer.test", 80, serve)
        async with house.session.stream("POST", "/at-once", content=chunks()) as response:
            gate.set()
            await house.settle()
            side = sides[0]
            side.tolerate(side.h2.send_data, 1, b"answer", True)
            await side.flush()
            await house.settle()
            with pytest.raises(KeyError, match="mine"):
                await response.aread()
        await house.settle()
        assert (peer.resets, side.paths) == (1, {})
        assert house.session.stats().active == 0


async def test_pool_10_a_body_that_fails_with_the_error_of_another_request_is_not_sent_twice(version: Version) -> None:
    """The upload is fed by a download, and that one provably did not reach its server; the upload did."""
    async with make_house(version) as house:
        begun = 0

        async def chunks() -> AsyncIterator[bytes]:
            nonlocal begun
            begun += 1
            yield b"x" * 20_000
            await house.settle()
            inner = house.session.build_request("GET", "http://other.test/")
            raise netio.ConnectionLost("refused", request=inner, sent=False)

        with pytest.raises(netio.RequestError) as caught:
            await house.session.post("/count", content=chunks)
        assert begun == 1
        assert caught.value.sent


async def test_pool_10_a_body_that_is_cancelled_from_inside_fails_its_request(
    version: Version, anyio_backend_name: str
) -> None:
    """On asyncio whoever awaits a task that was cancelled gets CancelledError without being cancelled."""
    if anyio_backend_name != "asyncio":
        pytest.skip("on trio a task is cancelled from outside, or not at all")

    async def chunks() -> AsyncIterator[bytes]:
        yield b"x"
        raise asyncio.CancelledError

    async with make_house(version) as house:
        with anyio.fail_after(5), pytest.raises(netio.RequestBodyError) as caught:
            await house.session.post("/echo", content=chunks(), timeout=None)
        assert (caught.value.sent, caught.value.phase) == (True, "send")
        await house.settle()
        await house.assert_clean()


async def test_pool_10_a_connect_hook_that_is_cancelled_from_inside_is_a_connect_error(
    version: Version, anyio_backend_name: str
) -> None:
    if anyio_backend_name != "asyncio":
        pytest.skip("on trio a task is cancelled from outside, or not at all")

    async def connect(host: str, port: int) -> MemoryStream:
        raise asyncio.CancelledError

    async with make_house(version) as house:
        session = house.new_session()
        session._connect = connect
        async with session:
            with anyio.fail_after(5), pytest.raises(netio.ConnectError):
                await session.get("/", timeout=None)
            assert session.stats().dialing == 0
