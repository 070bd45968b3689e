"""Decode around requests: what is asked for, what is decoded and what is not, and that no connection is lost."""

from __future__ import annotations

import gzip
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import anyio
import pytest

import netio
from netio.body import BytesBody
from netio.errors import BodyUnavailable, DecodeError, ProtocolError
from netio.message import Request, Response
from netio.policy import Decode, Redirects, Retry, SingleFlight
from netio.policy._codings import STEP, coding_makers
from netio.testing import FakeClock, MemoryNetwork
from tests.policy.compressed import CODINGS, bomb, encode
from tests.policy.retries import Instant
from tests.policy.web import Answer, Streamed, Web, answer, ask

pytestmark = pytest.mark.anyio

A = "http://a.test"
TEXT = ("Grüße, 世界\n" * 1_000).encode()

every_coding = pytest.mark.parametrize("coding", CODINGS)
both_ways = pytest.mark.parametrize("is_streamed", [False, True])


def coded(body: bytes, *codings: str, status: int = 200) -> Answer:
    return answer(status, [("content-encoding", coding) for coding in codings], encode(body, *codings))


def site(page: Answer) -> Web:
    return Web({f"{A}/": page})


async def chunks(iterator: AsyncIterator[bytes]) -> list[bytes]:
    return [chunk async for chunk in iterator]


@every_coding
@both_ways
async def test_a_body_is_decoded_and_raw_is_as_it_was_sent(coding: str, is_streamed: bool) -> None:
    sent = encode(TEXT, coding)
    for read in ("aread", "aiter_bytes", "aiter_text", "aiter_lines", "aiter_raw"):
        response = await ask(site(coded(TEXT, coding)), [Decode()], f"{A}/", is_streamed=is_streamed)
        assert response.headers["content-encoding"] == coding
        match read:
            case "aread":
                assert await response.aread() == response.content == TEXT
                assert response.text == TEXT.decode()
            case "aiter_bytes":
                assert b"".join(await chunks(response.aiter_bytes())) == TEXT
            case "aiter_text":
                assert "".join([text async for text in response.aiter_text()]) == TEXT.decode()
            case "aiter_lines":
                assert [line async for line in response.aiter_lines()] == TEXT.decode().splitlines()
            case "aiter_raw":
                assert b"".join(await chunks(response.aiter_raw())) == sent
        assert response.is_closed


async def test_a_body_in_memory_can_be_read_again_and_again_both_ways() -> None:
    response = await ask(site(coded(TEXT, "gzip")), [Decode()], f"{A}/")
    for _ in range(2):
        assert gzip.decompress(b"".join(await chunks(response.aiter_raw()))) == TEXT
        assert b"".join(await chunks(response.aiter_bytes())) == response.content == TEXT


async def test_a_streamed_body_is_read_once_whichever_way() -> None:
    response = await ask(site(coded(TEXT, "gzip")), [Decode()], f"{A}/", is_streamed=True)
    with pytest.raises(BodyUnavailable):
        _ = response.content
    await response.aread()
    assert b"".join(await chunks(response.aiter_bytes())) == TEXT
    with pytest.raises(BodyUnavailable, match="read already"):
        response.aiter_raw()


@both_ways
async def test_stacked_codings_are_undone_from_the_last_to_the_first(is_streamed: bool) -> None:
    page = answer(200, [("content-encoding", "deflate, gzip"), ("Content-Encoding", "gzip")])
    page.body = encode(TEXT, "deflate", "gzip", "gzip")
    response = await ask(site(page), [Decode()], f"{A}/", is_streamed=is_streamed)
    assert await response.aread() == TEXT


@both_ways
async def test_dec_02_six_codings_are_an_error(is_streamed: bool) -> None:
    web = site(coded(TEXT, *["gzip"] * 6))
    with pytest.raises(DecodeError, match="6 content codings, more than 5") as caught:
        await ask(web, [Decode()], f"{A}/", is_streamed=is_streamed)
    assert all(source.is_closed for source in web.sources)
    assert caught.value.request is not None


# ---------------------------------------------------------------------- what is asked for


async def test_what_is_installed_is_asked_for() -> None:
    web = site(answer())
    await ask(web, [Decode()], f"{A}/")
    assert web.sent("accept-encoding") == [", ".join(coding_makers())] == [Decode().accept_encoding]
    assert Decode().accept_encoding.startswith("gzip, deflate")


async def test_the_users_wish_is_left_alone_and_the_answer_decoded_all_the_same() -> None:
    web = site(coded(TEXT, "gzip"))
    response = await ask(web, [Decode()], f"{A}/", headers={"Accept-Encoding": "identity"})
    assert (web.sent("accept-encoding"), response.content) == (["identity"], TEXT)


async def test_dec_07_a_range_is_asked_for_as_it_is_and_a_part_is_not_decoded() -> None:
    part = encode(TEXT, "gzip")[20:60]
    web = site(answer(206, {"content-encoding": "gzip", "content-range": "bytes 20-59/100"}, part))
    response = await ask(web, [Decode()], f"{A}/", headers={"range": "bytes=20-59"})
    assert (web.sent("accept-encoding"), response.content) == (["identity"], part)


@pytest.mark.parametrize(("method", "status"), [("HEAD", 200), ("GET", 204), ("GET", 304), ("GET", 200)])
@both_ways
async def test_dec_05_a_response_without_a_body_has_nothing_to_decode(
    method: str, status: int, is_streamed: bool
) -> None:
    web = site(answer(status, {"content-encoding": "gzip"}))
    response = await ask(web, [Decode()], f"{A}/", method, is_streamed=is_streamed)
    assert await response.aread() == b""


@pytest.mark.parametrize("coding", ["utf-8", "none", "aes128gcm", "gzip, dcb", ""])
async def test_what_is_no_coding_of_ours_leaves_the_body_as_it_is(coding: str) -> None:
    response = await ask(site(answer(200, {"content-encoding": coding}, b"as sent")), [Decode()], f"{A}/")
    assert response.content == b"as sent"


# ---------------------------------------------------------------------- limits and broken bodies


@every_coding
@both_ways
async def test_dec_01_a_bomb_is_a_decode_error_with_the_name_of_the_limit(coding: str, is_streamed: bool) -> None:
    web = site(Answer(200, [("content-encoding", coding)], bomb(coding)))
    seen = 0
    with pytest.raises(DecodeError, match=r"\(Decode.max_ratio\)") as caught:
        response = await ask(web, [Decode()], f"{A}/", is_streamed=is_streamed)
        async for piece in response.aiter_bytes():
            seen += len(piece)
            assert len(piece) <= STEP
    error = caught.value
    assert isinstance(error, ProtocolError)
    assert (error.phase, error.sent, error.request is not None) == ("body", True, True)
    assert seen <= 3 << 20
    assert all(source.is_closed for source in web.sources)


async def test_dec_01_a_streamed_body_read_into_memory_has_the_limit_of_one_in_memory() -> None:
    web, policy = site(coded(bytes(3_000), "gzip")), Decode(max_body=2_999, max_stream=5_000)
    with pytest.raises(DecodeError, match="Decode.max_body"):
        await ask(web, [policy], f"{A}/")
    response = await ask(web, [policy], f"{A}/", is_streamed=True)
    with pytest.raises(DecodeError, match="Decode.max_body"):
        await response.aread()
    assert response.is_closed
    response = await ask(web, [policy], f"{A}/", is_streamed=True)
    assert sum(map(len, await chunks(response.aiter_bytes()))) == 3_000
    response = await ask(web, [Decode(max_stream=2_999)], f"{A}/", is_streamed=True)
    with pytest.raises(DecodeError, match="Decode.max_stream"):
        await chunks(response.aiter_bytes())


BROKEN: dict[str, Callable[[bytes], bytes]] = {
    "truncated": lambda body: body[:-1],
    "wrong checksum": lambda body: body[:-8] + bytes([body[-8] ^ 1]) + body[-7:],
    "trailing bytes": lambda body: body + b"trailing",
    "not coded at all": lambda body: TEXT,
}


@pytest.mark.parametrize("broken", BROKEN)
@both_ways
async def test_dec_05_a_broken_body_is_an_error_and_its_connection_is_not_lost(broken: str, is_streamed: bool) -> None:
    body = BROKEN[broken](encode(TEXT, "gzip"))
    web = Web({f"{A}/": Answer(200, [("content-encoding", "gzip")], body), f"{A}/good": coded(TEXT, "gzip")})
    async with session_on(web, Decode()) as session:
        for _ in range(3):
            with pytest.raises(DecodeError) as caught:
                if is_streamed:
                    async with session.stream("GET", f"{A}/") as response:
                        await response.aread()
                else:
                    await session.get(f"{A}/")
            assert caught.value.request is not None
            assert session.stats().active == 0
        assert (await session.get(f"{A}/good")).content == TEXT
        stats = session.stats()
        assert (stats.active, stats.queued, stats.idle) == (0, 0, 1)


@asynccontextmanager
async def session_on(web: Web, *policies: Any) -> AsyncIterator[netio.Session]:
    async with MemoryNetwork() as network:
        web.serve(network, A)
        options: dict[str, Any] = {"connect": network.connect, "clock": FakeClock(), "http2": False}
        limits = netio.Limits(connections=1)
        async with netio.Session(policies=policies, limits=limits, **options) as session:
            yield session


async def test_dec_05_leaving_a_streamed_body_early_gives_up_its_connection() -> None:
    async with session_on(Web({f"{A}/": coded(TEXT, "gzip")}), Decode()) as session:
        for _ in range(2):
            async with session.stream("GET", f"{A}/") as response:
                async for _piece in response.aiter_bytes():
                    break
            assert session.stats().active == 0


async def test_a_body_whose_connection_breaks_says_so() -> None:
    page = Answer(200, [("content-encoding", "gzip"), ("content-length", "9999")], encode(TEXT, "gzip")[:40])

    async def handle(stream: Any) -> None:
        await stream.receive()
        head = "".join(f"{name}: {value}\r\n" for name, value in page.fields)
        await stream.send(f"HTTP/1.1 200 OK\r\n{head}\r\n".encode() + page.body)

    async with MemoryNetwork() as network:
        network.listen("a.test", 80, handle)
        async with netio.Session(
            policies=[Decode()], connect=network.connect, clock=FakeClock(), http2=False
        ) as session:
            with pytest.raises(netio.IncompleteBody):
                await session.get(f"{A}/")


async def test_after_close_what_was_not_sent_yet_is_unavailable() -> None:
    source = Streamed(encode(bytes(range(256)) * 100, "gzip"), size=10)

    async def send(request: Request) -> Response:
        return Response(200, request=request, headers={"content-encoding": "gzip"}, source=source)

    response = await ask(send, [Decode()], f"{A}/", is_streamed=True)
    iterator = response.aiter_bytes()
    await response.aclose()
    with pytest.raises(BodyUnavailable, match="closed"):
        await anext(iterator)


async def test_dec_06_other_tasks_run_while_a_body_in_memory_is_decoded() -> None:
    web = site(coded(bytes(STEP * 20), "gzip"))
    turns = 0

    async def count() -> None:
        nonlocal turns
        while True:
            turns += 1
            await anyio.lowlevel.checkpoint()

    async with anyio.create_task_group() as group:
        group.start_soon(count)
        response = await ask(web, [Decode(max_ratio=None)], f"{A}/")
        group.cancel_scope.cancel()
    assert (len(response.content), turns >= 19) == (STEP * 20, True)


async def test_dec_06_decoding_can_be_cancelled() -> None:
    web = site(coded(bytes(STEP * 100), "gzip"))
    with anyio.CancelScope() as scope:
        response = await ask(web, [Decode(max_ratio=None)], f"{A}/", is_streamed=True)
        async with response:
            async for _ in response.aiter_bytes():
                scope.cancel()
    assert (scope.cancelled_caught, web.sources[0].is_closed) == (True, True)


# ---------------------------------------------------------------------- what nobody reads


@both_ways
async def test_dec_03_the_body_of_a_redirect_is_never_decoded(is_streamed: bool) -> None:
    moved = Answer(302, [("location", "/next"), ("content-encoding", "gzip")], b"\x1f\x8b broken, and nobody looks")
    web = Web({f"{A}/": moved, f"{A}/next": coded(TEXT, "gzip")})
    response = await ask(web, [Decode(), Redirects()], f"{A}/", is_streamed=is_streamed)
    assert await response.aread() == TEXT
    assert web.sent("accept-encoding") == [Decode().accept_encoding] * 2


@both_ways
async def test_dec_03_the_body_of_an_answer_that_is_retried_is_never_decoded(is_streamed: bool) -> None:
    web = Web({})
    web.pages[f"{A}/"] = lambda _: (
        Answer(503, [("content-encoding", "gzip")], bomb("gzip")) if len(web.requests) < 3 else coded(TEXT, "gzip")
    )
    response = await ask(web, [Decode(), Retry()], f"{A}/", is_streamed=is_streamed, clock=Instant())
    assert await response.aread() == TEXT
    assert [source.taken for source in web.sources[:-1]] == [0, 0] * is_streamed


async def test_a_redirect_that_is_the_answer_is_decoded() -> None:
    page = coded(b"elsewhere", "gzip", status=302)
    page.fields.append(("location", "/x"))
    assert (await ask(site(page), [Decode()], f"{A}/")).content == b"elsewhere"


async def test_shared_answers_are_decoded_for_each() -> None:
    flights, web = SingleFlight(), site(coded(TEXT, "gzip"))
    contents = []

    async def one() -> None:
        response = await ask(web, [Decode(), flights], f"{A}/", body=netio.body.NO_BODY)
        contents.append(response.content)

    async with anyio.create_task_group() as group:
        for _ in range(3):
            group.start_soon(one)
    assert contents == [TEXT] * 3


async def test_a_request_body_is_no_affair_of_decode() -> None:
    web = site(answer())
    await ask(web, [Decode()], f"{A}/", "POST", body=BytesBody(b"x"), headers={"content-encoding": "gzip"})
    assert (web.bodies, web.sent("content-encoding")) == ([b"x"], ["gzip"])


@pytest.mark.parametrize(
    "options", [{"max_body": 0}, {"max_body": 1.5}, {"max_stream": -1}, {"max_ratio": 0}, {"max_ratio": "x"}]
)
def test_limits_are_numbers(options: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=f"Decode.{next(iter(options))}"):
        Decode(**options)
