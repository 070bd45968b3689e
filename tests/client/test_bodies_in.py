"""Bodies on their way in: how large they may be, interim responses, lines."""

from __future__ import annotations

import gzip
import json as jsonlib
import tracemalloc
from typing import Any

import anyio
import pytest

import netio
from netio.protocol._exchange import MOST_JOINED
from netio.testing import MemoryStream, cancel_everywhere
from netio.wire import EngineName
from tests.client.answering import Answer, Asked, Handler, answering
from tests.client.conftest import Version, make_house
from tests.http2.raw import RawPeer, RawSide, data, head, raw_house
from tests.peers import pattern

pytestmark = pytest.mark.anyio

BOTH = pytest.mark.parametrize("engine", ["fast", "reference"])
ANNOUNCED = pytest.mark.parametrize("has_length", [True, False])
LARGE = pattern(400_000)


def giving(body: bytes, *, has_length: bool = True, **options: Any) -> Handler:
    return lambda asked: Answer(body=body, has_length=has_length, **options)


# ---------------------------------------------------------------------- max_body


@BOTH
@ANNOUNCED
@pytest.mark.parametrize("size", [5, 400_000])
async def test_h1_19_a_body_at_the_limit_is_taken_and_one_byte_more_is_not(
    version: Version, engine: EngineName, has_length: bool, size: int
) -> None:
    async with answering(version, giving(LARGE[:size], has_length=has_length), engine=engine) as (house, _):
        assert (await house.session.get("/", max_body=size)).content == LARGE[:size]
        with pytest.raises(netio.BodyTooLarge, match=rf"larger than {size - 1} bytes \(max_body\)") as caught:
            await house.session.get("/", max_body=size - 1)
        error = caught.value
        assert (error.request is not None, error.phase, error.sent) == (True, "body", True)
        await house.settle()
        await house.assert_clean()
        assert (await house.session.get("/", max_body=None)).content == LARGE[:size]


@BOTH
async def test_h1_19_a_body_that_is_announced_too_large_is_refused_before_it_comes(
    version: Version, engine: EngineName
) -> None:
    """The server announces ten bytes, sends one, and then nothing more."""
    async with make_house(version, engine=engine) as house:
        with pytest.raises(netio.BodyTooLarge):
            await house.session.get("/drip", max_body=9)
        async with house.session.stream("GET", "/drip", max_body=9) as response:
            with pytest.raises(netio.BodyTooLarge):
                await response.aread()
            assert response.is_closed
        async with house.session.stream("GET", "/drip", max_body=9) as response:
            with pytest.raises(netio.BodyTooLarge):
                await anext(response.aiter_bytes())
        await house.settle()
        await house.assert_clean()


async def test_the_limit_of_a_session_is_for_bodies_that_are_read_as_a_whole(version: Version) -> None:
    async with answering(version, giving(LARGE), max_body=1_000) as (house, _):
        with pytest.raises(netio.BodyTooLarge):
            await house.session.get("/")
        async with house.session.stream("GET", "/") as response:
            assert sum([len(chunk) async for chunk in response.aiter_bytes()]) == len(LARGE)
        async with house.session.stream("GET", "/") as response:
            with pytest.raises(netio.BodyTooLarge):
                await response.aread()
        assert (await house.session.get("/", max_body=len(LARGE))).content == LARGE
        await house.settle()
        await house.assert_clean()


@ANNOUNCED
async def test_the_limit_of_a_request_is_for_its_stream_too(version: Version, has_length: bool) -> None:
    async with answering(version, giving(LARGE, has_length=has_length)) as (house, _):
        got = 0
        async with house.session.stream("GET", "/", max_body=len(LARGE) - 1) as response:
            with pytest.raises(netio.BodyTooLarge):
                async for chunk in response.aiter_bytes():
                    got += len(chunk)
            assert response.is_closed
        assert got < len(LARGE)
        async with house.session.stream("GET", "/", max_body=len(LARGE)) as response:
            assert "".join([text async for text in response.aiter_text()]).encode() == LARGE
        await house.settle()
        await house.assert_clean()


async def test_a_head_may_announce_what_it_likes(version: Version) -> None:
    async with answering(version, giving(LARGE)) as (house, _):
        response = await house.session.head("/", max_body=10)
        assert (response.content, response.content_length) == (b"", len(LARGE))


async def test_the_limit_is_a_gibibyte_unless_somebody_says_otherwise() -> None:
    async def serve(stream: MemoryStream) -> None:
        await stream.receive()
        await stream.send(b"HTTP/1.1 200 OK\r\nContent-Length: 1073741825\r\n\r\nx")
        await anyio.sleep_forever()

    async with make_house("HTTP/1.1") as house:
        house.network.listen("large.test", 80, serve)
        with pytest.raises(netio.BodyTooLarge, match="1073741824"):
            await house.session.get("http://large.test/")
        async with house.session.stream("GET", "http://large.test/") as response:
            assert await anext(response.aiter_bytes()) == b"x"


async def test_dec_01_the_limit_counts_bytes_as_decoded(version: Version) -> None:
    packed = gzip.compress(bytes(1_000_000))
    handler = giving(packed)

    def coded(asked: Asked) -> Answer:
        answer = handler(asked)
        answer.fields = [("content-encoding", "gzip")]
        return answer

    async with answering(version, coded) as (house, _):
        with pytest.raises(netio.BodyTooLarge):
            await house.session.get("/", max_body=999_999)
        assert len((await house.session.get("/", max_body=1_000_000)).content) == 1_000_000
        async with house.session.stream("GET", "/", max_body=999_999) as response:
            with pytest.raises(netio.BodyTooLarge):
                async for _chunk in response.aiter_bytes():
                    pass
        await house.settle()
        await house.assert_clean()


@pytest.mark.parametrize("max_body", [-1, 1.5, "1", True])
async def test_nonsense_is_no_limit(max_body: Any) -> None:
    with pytest.raises(ValueError, match="max_body"):
        netio.Session(max_body=max_body)
    async with make_house("HTTP/1.1") as house:
        with pytest.raises(ValueError, match="max_body"):
            await house.session.get("/", max_body=max_body)


async def test_h1_19_a_large_body_is_joined_without_a_second_copy_of_it() -> None:
    """What is read as a whole out of a stream takes its own size, and not twice that for a moment."""
    size = 32_000_000
    async with make_house("HTTP/1.1") as house:
        async with house.session.stream("GET", f"/bytes/{size}") as response:
            house.peer.requests.clear()
            tracemalloc.start()
            try:
                content = await response.aread()
                _, peak = tracemalloc.get_traced_memory()
            finally:
                tracemalloc.stop()
        assert len(content) == size
        assert peak < 1.5 * size


class Piling(RawPeer):
    """Sends a body in 200 frames at once."""

    async def respond(self, side: RawSide, stream_id: int, request: str, body: bytes) -> None:
        pieces = [data(stream_id, LARGE[start : start + 1_100]) for start in range(0, 220_000, 1_100)]
        await side.say(head(stream_id), *pieces, data(stream_id, ends=True))


@BOTH
async def test_h1_19_what_has_piled_up_unread_is_handed_out_a_part_at_a_time(engine: EngineName) -> None:
    """Joined at once it would be there twice, and a window may have grown to 16 MiB."""
    async with raw_house(engine, Piling()) as house:
        async with house.session.stream("GET", "/") as response:
            await house.settle()
            pieces = [piece async for piece in response.aiter_bytes()]
        assert b"".join(pieces) == LARGE[:220_000]
        assert max(map(len, pieces)) == MOST_JOINED * 1_100
        await house.assert_clean()


# ---------------------------------------------------------------------- interim responses

HINTS: list[tuple[int, list[tuple[str, str]]]] = [
    (103, [("link", "</a.css>; rel=preload")]),
    (102, []),
    (103, [("link", "</b.js>; rel=preload")]),
]


@BOTH
@pytest.mark.parametrize("is_streamed", [False, True])
async def test_interim_responses_are_told_in_their_order(
    version: Version, engine: EngineName, is_streamed: bool
) -> None:
    told: list[tuple[int, str | None]] = []

    def inform(status: int, headers: netio.Headers) -> None:
        told.append((status, headers.get("link")))

    async with answering(version, giving(b"ok", hints=HINTS), engine=engine) as (house, _):
        if is_streamed:
            async with house.session.stream("GET", "/", on_informational=inform) as response:
                assert await response.aread() == b"ok"
        else:
            assert (await house.session.get("/", on_informational=inform)).content == b"ok"
        expected = [(103, "</a.css>; rel=preload"), (102, None), (103, "</b.js>; rel=preload")]
        assert told == expected
        await house.session.get("/")
        assert told == expected
        assert house.session._pool is not None
        connections = list(house.session._pool._ledger._members)
        assert [connection.listeners for connection in connections] == [()]
        await house.assert_clean(connections=1)


async def test_an_interim_response_is_told_when_it_comes_and_not_with_the_final_one() -> None:
    told: list[int] = []
    gate = anyio.Event()

    async def serve(stream: MemoryStream) -> None:
        await stream.receive()
        await stream.send(b"HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n")
        await gate.wait()
        await stream.send(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")

    async with make_house("HTTP/1.1") as house:
        house.network.listen("hints.test", 80, serve)
        async with anyio.create_task_group() as group:

            async def get() -> None:
                await house.session.get("http://hints.test/", on_informational=lambda status, _: told.append(status))

            group.start_soon(get)
            await house.settle()
            assert told == [103]
            gate.set()


async def test_100_is_not_told(version: Version) -> None:
    told: list[int] = []
    async with answering(version, giving(b"ok", hints=[(100, []), (103, [])])) as (house, _):
        await house.session.get("/", on_informational=lambda status, _: told.append(status))
    assert told == [103]


@BOTH
async def test_pool_10_what_the_function_raises_fails_the_request(version: Version, engine: EngineName) -> None:
    calls = 0

    def inform(status: int, headers: netio.Headers) -> None:
        nonlocal calls
        calls += 1
        raise KeyError("mine")

    async with answering(version, giving(b"ok", hints=HINTS), engine=engine) as (house, _):
        with pytest.raises(KeyError, match="mine") as caught:
            await house.session.get("/", on_informational=inform)
        assert calls == 1
        assert "told of a 103" in caught.value.__notes__[0]
        await house.settle()
        await house.assert_clean()
        assert (await house.session.get("/")).content == b"ok"


async def test_pool_01_a_request_with_a_function_that_is_cancelled_leaves_nothing(version: Version) -> None:
    async with answering(version, giving(b"ok", hints=HINTS)) as (house, _):

        async def scenario() -> None:
            await house.session.get("/", on_informational=lambda status, headers: None)

        async def after() -> None:
            await house.settle()
            assert house.session.stats().active == 0
            assert (await house.session.get("/")).content == b"ok"
            assert house.session._pool is not None
            assert all(connection.listeners == () for connection in house.session._pool._ledger._members)

        assert await cancel_everywhere(scenario, after) > 0


# ---------------------------------------------------------------------- lines


@pytest.mark.parametrize("library", ["session", "json"])
async def test_json_lines_are_values_one_by_one(version: Version, library: str) -> None:
    values = [{"n": number, "t": "ü" * number} for number in range(200)]
    body = "\n".join(jsonlib.dumps(value, ensure_ascii=False) for value in values).encode()
    options: Any = {} if library == "json" else {"json_decoder": lambda data: ("mine", jsonlib.loads(data))}
    async with answering(version, giving(body, has_length=False), **options) as (house, _):
        async with house.session.stream("GET", "/") as response:
            got = [value async for value in response.aiter_json_lines()]
    assert got == (values if library == "json" else [("mine", value) for value in values])


@pytest.mark.parametrize("method", ["aiter_lines", "aiter_json_lines"])
async def test_a_line_that_never_ends_is_ended_by_its_limit(version: Version, method: str) -> None:
    body = b"1\n" + b"2" * 20 + b"\n" + b"3" * 100_000
    async with answering(version, giving(body)) as (house, _):
        async with house.session.stream("GET", "/") as response:
            lines: list[Any] = []
            with pytest.raises(netio.BodyTooLarge, match=r"longer than 20 .*\(max_line\)"):
                async for line in getattr(response, method)(max_line=20):
                    lines += [str(line)]
            assert response.is_closed
        assert lines in ([], ["1", "2" * 20])
        await house.settle()
        await house.assert_clean()
