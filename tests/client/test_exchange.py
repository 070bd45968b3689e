"""One request through every layer, over HTTP/1.1 and HTTP/2."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator

import anyio
import anyio.lowlevel
import h2.events
import pytest

import netio
from tests.client.conftest import Version, make_house
from tests.peers import Http2Side, pattern

pytestmark = pytest.mark.anyio


async def test_a_get_returns_the_whole_response(version: Version) -> None:
    async with make_house(version, clock=netio.SystemClock()) as house:
        response = await house.session.get("/")
        assert (response.status_code, response.content, response.text) == (200, b"hello", "hello")
        assert response.http_version == version
        assert response.headers["Content-Length"] == "5"
        assert response.url == "http://peer.test/"
        assert response.elapsed.total_seconds() > 0
        await house.assert_clean(connections=1)


@pytest.mark.parametrize("size", [0, 1, 200, 16_384, 16_385, 65_536, 300_000, 3_000_000])
async def test_bodies_of_every_size_come_back_as_they_were_sent(version: Version, size: int) -> None:
    async with make_house(version) as house:
        body = pattern(size)
        response = await house.session.post("/echo", content=body)
        assert response.content == body
        assert (await house.session.get(f"/bytes/{size}")).content == body
        await house.assert_clean(connections=1)


async def test_an_async_iterator_is_sent_without_a_length(version: Version) -> None:
    async def chunks() -> AsyncIterator[bytes]:
        for start in range(0, 300_000, 50_000):
            await anyio.lowlevel.checkpoint()
            yield pattern(300_000)[start : start + 50_000]

    async with make_house(version) as house:
        assert (await house.session.post("/echo", content=chunks())).content == pattern(300_000)
        await house.assert_clean(connections=1)


async def test_a_sync_iterator_is_sent_without_a_length(version: Version) -> None:
    def chunks() -> Iterator[bytes]:
        yield b"one "
        yield b""
        yield b"two"

    async with make_house(version) as house:
        assert (await house.session.post("/echo", content=chunks())).content == b"one two"


async def test_a_streamed_response_is_read_piece_by_piece(version: Version) -> None:
    async with make_house(version) as house:
        async with house.session.stream("GET", "/bytes/1000000") as response:
            pieces = [piece async for piece in response.aiter_bytes()]
        assert b"".join(pieces) == pattern(1_000_000)
        assert len(pieces) > 1
        await house.assert_clean(connections=1)


async def test_leaving_a_stream_early_gives_its_place_back(version: Version) -> None:
    async with make_house(version) as house:
        for _ in range(3):
            async with house.session.stream("GET", "/bytes/3000000") as response:
                async for _piece in response.aiter_bytes():
                    break
        await house.settle()
        await house.assert_clean(connections=1 if version == "HTTP/2" else 3)
        assert (await house.session.get("/")).content == b"hello"


async def test_one_connection_serves_many_requests_in_turn(version: Version) -> None:
    async with make_house(version) as house:
        for _ in range(20):
            assert (await house.session.get("/")).status_code == 200
        await house.assert_clean(connections=1)


async def test_many_requests_at_once_share_what_they_may(version: Version) -> None:
    async with make_house(version, limits=netio.Limits(connections=10)) as house:
        contents = []

        async def one(number: int) -> None:
            contents.append((await house.session.get(f"/bytes/{number}")).content)

        async with anyio.create_task_group() as group:
            for number in range(200):
                group.start_soon(one, number)
        assert sorted(contents) == sorted(pattern(number) for number in range(200))
        await house.assert_clean()
        # 200 streams at 100 a connection are two connections; by HTTP/1.1 they are all that is allowed.
        assert house.session.stats().created == (10 if version == "HTTP/1.1" else 2)


async def test_an_early_answer_is_delivered_and_the_upload_stops(version: Version) -> None:
    async def endless() -> AsyncIterator[bytes]:
        while True:
            yield b"x" * 10_000

    async with make_house(version) as house:
        response = await house.session.post("/early", content=endless())
        assert (response.status_code, response.content) == (413, b"much")
        await house.settle()
        await house.assert_clean()
        assert (await house.session.get("/")).content == b"hello"


class _DuplexSide(Http2Side):
    """Sends every piece of the request back at once."""

    def on(self, event: h2.events.Event) -> None:
        if isinstance(event, h2.events.RequestReceived):
            self.h2.send_headers(event.stream_id, [(":status", "200")])
        elif isinstance(event, h2.events.DataReceived):
            self.h2.send_data(event.stream_id, event.data)
            self.h2.acknowledge_received_data(event.flow_controlled_length, event.stream_id)
        elif isinstance(event, h2.events.StreamEnded):
            self.h2.end_stream(event.stream_id)


async def test_a_response_can_be_read_while_the_request_is_still_being_sent() -> None:
    """Full duplex: the peer answers every piece, and the sender waits for each answer before it sends the next."""
    async with make_house("HTTP/2") as house:
        arrived = anyio.Event()

        async def chunks() -> AsyncIterator[bytes]:
            yield b"first"
            await arrived.wait()
            yield b"second"

        house.network.listen("peer.test", 80, lambda stream: _DuplexSide(house.peer, stream).run())
        async with house.session.stream("POST", "/duplex", content=chunks()) as response:
            pieces = []
            async for piece in response.aiter_bytes():
                pieces.append(piece)
                arrived.set()
        assert b"".join(pieces) == b"firstsecond"
        await house.assert_clean(connections=1)


async def test_responses_say_nothing_of_each_other(version: Version) -> None:
    async with make_house(version) as house:
        slow = house.session.stream("GET", "/bytes/2000000")
        async with slow as response:
            body = response.aiter_bytes()
            first = await anext(body)
            assert (await house.session.get("/bytes/500000")).content == pattern(500_000)
            rest = b"".join([piece async for piece in body])
        assert first + rest == pattern(2_000_000)
        await house.assert_clean()


async def test_statuses_are_not_errors_until_asked(version: Version) -> None:
    async with make_house(version) as house:
        response = await house.session.get("/status/404")
        with pytest.raises(netio.StatusError, match="404") as caught:
            response.raise_for_status()
        assert caught.value.response is response
        assert (await house.session.get("/status/204")).raise_for_status().content == b""
        assert (await house.session.head("/bytes/0")).content == b""
        await house.assert_clean(connections=1)


async def test_h2_19_unread_responses_leave_room_for_others() -> None:
    async with make_house("HTTP/2") as house:
        responses = [
            await house.session.send(house.session.build_request("GET", "/bytes/3000000"), stream=True)
            for _ in range(90)
        ]
        await house.settle()
        assert (await house.session.get("/bytes/200000")).content == pattern(200_000)
        for response in responses:
            await response.aclose()
        await house.settle()
        await house.assert_clean(connections=1)


async def test_h2_11_a_low_stream_limit_is_kept_from_the_first_request_on() -> None:
    """A hundred requests at once on no connection at all, to a server that refuses more than ten streams."""
    async with make_house("HTTP/2", max_streams=10, limits=netio.Limits(connections=3)) as house:
        contents = []
        most = 0

        async def one(number: int) -> None:
            nonlocal most
            response = await house.session.get(f"/bytes/{number}")
            most = max(most, *(len(side.paths) for side in house.peer.live))
            contents.append(response.content)

        async with anyio.create_task_group() as group:
            for number in range(100):
                group.start_soon(one, number)
        assert sorted(contents) == sorted(pattern(number) for number in range(100))
        assert most <= 10
        assert house.session.stats().created <= 3
        await house.assert_clean()
