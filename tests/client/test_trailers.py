"""Fields behind the body of a response, over both versions."""

from __future__ import annotations

import pytest

from netio.testing import MemoryStream
from netio.wire import EngineName
from tests.client.conftest import make_house
from tests.http2.raw import END_HEADERS, END_STREAM, HEADERS, RawPeer, RawSide, data, frame, head, literal, raw_house

pytestmark = pytest.mark.anyio

ANSWER = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\nX-Sum: 7\r\n\r\n"


class Trailing(RawPeer):
    async def respond(self, side: RawSide, stream_id: int, request: str, body: bytes) -> None:
        trailers = frame(HEADERS, stream_id, literal(b"x-sum", b"7"), END_HEADERS | END_STREAM)
        await side.say(head(stream_id), data(stream_id, b"ok"), trailers)


async def serve(stream: MemoryStream) -> None:
    await stream.receive()
    await stream.send(ANSWER)


async def test_trailers_of_a_response_that_is_read_whole() -> None:
    async with make_house("HTTP/1.1") as house:
        house.network.listen("trailers.test", 80, serve)
        response = await house.session.get("http://trailers.test/")
        assert (response.text, response.trailers["x-sum"]) == ("ok", "7")
        assert "x-sum" not in response.headers


async def test_trailers_of_a_streamed_response_are_there_at_its_end() -> None:
    async with make_house("HTTP/1.1") as house:
        house.network.listen("trailers.test", 80, serve)
        async with house.session.stream("GET", "http://trailers.test/") as response:
            assert await response.aread() == b"ok"
            assert list(response.trailers.items()) == [("x-sum", "7")]


@pytest.mark.parametrize("engine", ["fast", "reference"])
async def test_trailers_come_over_http2_too(engine: EngineName) -> None:
    async with raw_house(engine, Trailing()) as house:
        response = await house.session.get("/")
        assert (response.text, response.trailers["x-sum"]) == ("ok", "7")
        async with house.session.stream("GET", "/") as streamed:
            assert list(streamed.trailers) == []
            assert await streamed.aread() == b"ok"
            assert streamed.trailers["x-sum"] == "7"
