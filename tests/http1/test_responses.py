"""What a hostile or broken HTTP/1.1 server sends, seen through a session: HAZARDS H1-01 to H1-12 and H1-19.

Each table goes by every way of `WAYS`: in one send and with each byte in a send of its own, by both engines, over a
stream and over a socket. The rows of a table are asked for at the same time, on one session, so each has to leave the
others alone.
"""

from __future__ import annotations

import tracemalloc
from collections.abc import Iterable
from itertools import count

import anyio
import pytest
from anyio.abc import ByteStream

import netio
from netio.wire import MAX_HEAD_BYTES, MAX_HEAD_FIELDS, MAX_INFORMATIONAL
from tests.http1.sites import HELLO, Answer, Scripted, Way, scripted, until, until_quiet
from tests.peers import pattern

pytestmark = pytest.mark.anyio

OK = b"HTTP/1.1 200 OK\r\n"
CHUNKED = OK + b"Transfer-Encoding: chunked\r\n\r\n"
BOTH = (
    b"Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n",
    b"Transfer-Encoding: chunked\r\nContent-Length: 5\r\n\r\n",
)


async def ask(session: netio.Session, path: str, method: str) -> netio.Response | netio.RequestError:
    try:
        return await session.request(method, path)
    except netio.RequestError as error:
        return error


async def outcomes(
    way: Way, answers: Iterable[bytes | Answer], method: str = "GET"
) -> list[netio.Response | netio.RequestError]:
    """Ask for all answers at the same time; afterwards the session is whole, and no connection that failed is kept."""
    table = {f"/{number}": answer for number, answer in enumerate(answers)}
    found: dict[str, netio.Response | netio.RequestError] = {}
    async with scripted(way, table) as (session, peer):

        async def one(path: str) -> None:
            found[path] = await ask(session, path, method)

        async with anyio.create_task_group() as group:
            for path in table:
                group.start_soon(one, path)
        await until_quiet(session)
        failed = sum(isinstance(outcome, netio.RequestError) for outcome in found.values())
        assert session.stats().idle <= len(table) - failed
        assert session.stats().created == len(table)
        assert peer.connections == len(table)  # nothing was sent twice
        assert (await session.get("/good")).content == b"hello"
    return [found[path] for path in table]


async def assert_refused(
    way: Way, answers: Iterable[bytes | Answer], *, phase: str = "head", match: str = "", method: str = "GET"
) -> None:
    """Each answer is a `ProtocolError` that says where and why."""
    answers = list(answers)
    for answer, outcome in zip(answers, await outcomes(way, answers, method), strict=True):
        assert type(outcome) is netio.ProtocolError, (answer, outcome)
        assert outcome.request is not None
        assert (outcome.phase, outcome.sent) == (phase, True), answer
        assert match in str(outcome), answer


async def contents(way: Way, answers: Iterable[bytes | Answer], method: str = "GET") -> list[bytes]:
    found = await outcomes(way, answers, method)
    assert [outcome for outcome in found if isinstance(outcome, netio.RequestError)] == []
    return [outcome.content for outcome in found if isinstance(outcome, netio.Response)]


async def test_h1_01_content_length_beside_transfer_encoding_is_refused(way: Way) -> None:
    lines = (b"HTTP/1.1 200 OK\r\n", b"HTTP/1.1 204 No Content\r\n", b"HTTP/1.1 103 Early Hints\r\n")
    answers = [line + fields + b"5\r\nhello\r\n0\r\n\r\n" for line in lines for fields in BOTH]
    await assert_refused(way, answers, match="Content-Length and Transfer-Encoding")
    await assert_refused(way, [OK + fields for fields in BOTH], method="HEAD")


async def test_h1_02_a_content_length_that_is_none_is_refused(way: Way) -> None:
    values = [
        "+5",
        "-1",
        "0x5",
        "5_0",
        "5 5",
        "5,6",
        "",
        ",",
        "5.0",
        "\u0665",
        "\xb2",
        "1" * 20,
        "5\r\nContent-Length: 6",
    ]
    answers = [OK + f"Content-Length: {value}\r\n\r\nhello".encode() for value in values]
    await assert_refused(way, answers)


async def test_h1_02_identical_content_lengths_are_one(way: Way) -> None:
    lines = (b"Content-Length: 5\r\ncontent-length: 5", b"Content-Length: 5, 5")
    assert await contents(way, [OK + line + b"\r\n\r\nhello" for line in lines]) == [b"hello"] * 2


async def test_h1_03_a_transfer_encoding_that_is_not_chunked_is_refused(way: Way) -> None:
    codings = [
        "gzip",
        "gzip, chunked",
        "chunked, identity",
        "chunked, chunked",
        "xchunked",
        "chunkedchunked",
        "identity",
    ]
    answers = [OK + f"Transfer-Encoding: {coding}\r\n\r\n0\r\n\r\n".encode() for coding in codings]
    doubled = OK + b"Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"
    await assert_refused(way, [*answers, doubled, CHUNKED.replace(b"HTTP/1.1", b"HTTP/1.0") + b"0\r\n\r\n"])


async def test_h1_04_a_malformed_chunk_is_refused(way: Way) -> None:
    chunks = [b"x\r\n", b"-1\r\n", b"+1\r\na\r\n", b"0x1\r\na\r\n", b" 1\r\na\r\n", b"1\r\nabc", b"1\na\n"]
    chunks += [b"f" * 30 + b"\r\n", b"\r\n", b";a=b\r\n", b"1_0\r\n" + b"a" * 16 + b"\r\n", b"1\r\na\rb", b"1\r\na\n"]
    await assert_refused(way, [CHUNKED + chunk + b"0\r\n\r\n" for chunk in chunks], phase="body")


async def test_h1_04_very_many_tiny_chunks_are_one_body(way: Way) -> None:
    body = pattern(800)
    framed = b"".join(b"1\r\n%c\r\n" % byte for byte in body) + b"0\r\n\r\n"
    assert await contents(way, [Answer(CHUNKED + framed, lead=4_000)]) == [body]


class Endless(Scripted):
    """Says what stands before the mark, and repeats what is behind it for as long as somebody listens."""

    async def say(self, stream: ByteStream, data: bytes, lead: int = 0) -> None:
        begin, _, again = data.partition(MARK)
        await super().say(stream, begin, lead)
        for turn in count():
            if not again:
                break
            # In single bytes now and then; the limits are many pieces away.
            await super().say(stream, again, 0 if turn % 60 == 1 else len(again))


MARK = b"(again)"
ENDLESS = {
    "/h1_05/extension": CHUNKED + b"1;(again)" + b"x" * 500,
    "/h1_05/extensions": CHUNKED + b"(again)1;" + b"x" * 500 + b"\r\na\r\n",
    "/h1_06/trailers": CHUNKED + b"0\r\n(again)X-Y: " + b"z" * 500 + b"\r\n",
    "/h1_06/many-trailers": CHUNKED + b"0\r\n(again)X-Y: z\r\n",
    "/h1_10/fields": OK + b"(again)X-Y: " + b"z" * 500 + b"\r\n",
    "/h1_10/line": OK + b"X-Y: (again)" + b"z" * 500,
    "/h1_10/reason": b"HTTP/1.1 200 (again)" + b"z" * 500,
    "/h1_11/interim": b"(again)HTTP/1.1 103 Early Hints\r\n\r\n",
}
NAMES = {"/h1_05": "MAX_CHUNK_OVERHEAD", "/h1_06": "", "/h1_10": "MAX_HEAD_BYTES", "/h1_11": "MAX_INFORMATIONAL"}


async def test_h1_05_h1_06_h1_10_h1_11_what_has_no_end_is_refused_at_a_limit(way: Way) -> None:
    peer = Endless(ENDLESS, way.step)
    async with scripted(way, peer=peer) as (session, _):

        async def one(path: str) -> None:
            outcome = await ask(session, path, "GET")
            assert type(outcome) is netio.ProtocolError, path
            assert NAMES[path[:6]] in str(outcome)
            assert (outcome.sent, outcome.request is not None) == (True, True)

        async with anyio.create_task_group() as group:
            for path in ENDLESS:
                group.start_soon(one, path)
        await until_quiet(session)
        if way.place == "memory":  # a network with buffers of 64 KiB; what the kernel takes is nobody's business
            assert peer.sent < len(ENDLESS) * 2 * 65_536 + 5_000
        assert (await session.get("/")).content == b"hello"


async def test_h1_06_trailers_never_become_headers(way: Way) -> None:
    forbidden = b"Content-Length: 5\r\nSet-Cookie: a=b\r\nTransfer-Encoding: chunked\r\nHost: b\r\nX-Sum: 1\r\n\r\n"
    (response,) = await outcomes(way, [CHUNKED + b"5\r\nhello\r\n0\r\n" + forbidden])
    assert isinstance(response, netio.Response)
    assert response.content == b"hello"
    assert list(response.headers.fields) == [("Transfer-Encoding", "chunked")]


async def test_h1_06_a_trailer_that_is_no_field_is_refused(way: Way) -> None:
    lines = [b"X", b"X : a", b" X: a", b": a", b"X: a\x00", b"X: a\rb"]
    await assert_refused(way, [CHUNKED + b"0\r\n" + line + b"\r\n\r\n" for line in lines], phase="body")


HEADS = (
    b"HTTP/1.1 200 O%bK\r\nContent-Length: 5\r\n\r\nhello",
    b"HTTP/1.1 200 OK\r\nX-A%b: b\r\nContent-Length: 5\r\n\r\nhello",
    b"HTTP/1.1 200 OK\r\nX-A: b%bb\r\nContent-Length: 5\r\n\r\nhello",
    b"HTTP/1.1 200 OK\r\nX-A: b\r\nContent-Length: 5%b\r\n\r\nhello",
)


async def test_h1_07_bare_line_ends_and_control_characters_are_refused(way: Way) -> None:
    faults = [b"\n", b"\r", b"\x00", b"\x0b", b"\x0c", b"\x1b", b"\x7f", b"\r\n\t", b"\r\n "]
    await assert_refused(way, [head % fault for head in HEADS for fault in faults])


async def test_h1_08_a_field_line_that_is_none_is_refused(way: Way) -> None:
    lines = [b"X : a", b" X: a", b"\tX: a", b": a", b"X", b"X\x80: a", b"(X): a", b"X-A: b\r\n c", b"X-A: b\r\n\tc"]
    await assert_refused(way, [OK + line + b"\r\nContent-Length: 0\r\n\r\n" for line in lines])


async def test_h1_09_a_status_line_that_is_none_is_refused(way: Way) -> None:
    lines = ["HTTP/1.2 200 OK", "HTTP/2.0 200 OK", "HTTP/0.9 200 OK", "http/1.1 200 OK", "HTP/1.1 200 OK", "ICY 200 OK"]
    lines += [
        "HTTP/1.1 20 OK",
        "HTTP/1.1 2000 OK",
        "HTTP/1.1 000 OK",
        "HTTP/1.1 999 OK",
        "HTTP/1.1  200 OK",
        "<html>",
        "",
    ]
    await assert_refused(way, [line.encode() + b"\r\nContent-Length: 0\r\n\r\n" for line in lines])


async def test_h1_09_a_status_line_needs_no_reason(way: Way) -> None:
    lines = (b"HTTP/1.1 200\r\n", b"HTTP/1.1 200 \r\n")
    assert await contents(way, [line + b"Content-Length: 5\r\n\r\nhello" for line in lines]) == [b"hello"] * 2


def padded_head(size: int) -> bytes:
    begin, end = OK + b"Content-Length: 5\r\nX: ", b"\r\n\r\n"
    return begin + b"x" * (size - len(begin) - len(end)) + end


async def test_h1_10_a_head_is_good_at_its_limits_and_refused_one_past_them(way: Way) -> None:
    lead = MAX_HEAD_BYTES - 50
    fields = OK + b"Content-Length: 5\r\n" + b"a: b\r\n" * (MAX_HEAD_FIELDS - 1)
    good: list[bytes | Answer] = [Answer(padded_head(MAX_HEAD_BYTES) + b"hello", lead=lead), fields + b"\r\nhello"]
    assert await contents(way, good) == [b"hello"] * 2
    await assert_refused(way, [Answer(padded_head(MAX_HEAD_BYTES + 1), lead=lead)], match="MAX_HEAD_BYTES")
    await assert_refused(way, [fields + b"a: b\r\n\r\n"], match="MAX_HEAD_FIELDS")


async def test_h1_11_informational_answers_are_passed_over_up_to_their_limit(way: Way) -> None:
    interim = b"HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n"
    good = [interim * MAX_INFORMATIONAL + HELLO, b"HTTP/1.1 100 Continue\r\n\r\n" + HELLO]
    assert await contents(way, good) == [b"hello"] * 2
    await assert_refused(way, [interim * (MAX_INFORMATIONAL + 1) + HELLO], match="MAX_INFORMATIONAL")


async def test_h1_11_a_switch_of_protocols_or_an_interim_body_is_refused(way: Way) -> None:
    switch = b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: upgrade\r\n\r\n"
    await assert_refused(way, [switch], match="101")
    await assert_refused(way, [b"HTTP/1.1 103 Early Hints\r\nContent-Length: 5\r\n\r\nhello" + HELLO])


BODILESS = {
    "GET": [b"HTTP/1.1 204 No Content\r\n\r\n", b"HTTP/1.1 304 Not Modified\r\nContent-Length: 5\r\n\r\n"],
    "HEAD": [OK + b"Content-Length: 5\r\n\r\n", CHUNKED, OK + b"\r\n"],
}


@pytest.mark.parametrize("method", BODILESS)
async def test_h1_12_an_answer_without_a_body_leaves_its_connection_usable(way: Way, method: str) -> None:
    answers = {f"/{number}": answer for number, answer in enumerate(BODILESS[method])}
    async with scripted(way, answers) as (session, _):
        for path in answers:
            assert (await session.request(method, path)).content == b""
        assert (await session.get("/")).content == b"hello"
        assert session.stats().created == 1


async def test_h1_12_bytes_behind_an_answer_are_nobodys_and_end_the_connection(way: Way) -> None:
    extras = [b"x", b"\r\n", b"HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\npoison"]
    full = [HELLO, CHUNKED + b"5\r\nhello\r\n0\r\n\r\n"]
    wishes = [("GET", answer, b"hello") for answer in full]
    wishes += [(method, answer, b"") for method, answers in BODILESS.items() for answer in answers]
    cases = [(method, answer + extra, content) for method, answer, content in wishes for extra in extras]
    table = {f"/{number}": answer for number, (_, answer, _) in enumerate(cases)}
    async with scripted(way, table) as (session, peer):

        async def one(path: str, method: str, content: bytes) -> None:
            assert (await session.request(method, path)).content == content

        async with anyio.create_task_group() as group:
            for path, (method, _, content) in zip(table, cases, strict=True):
                group.start_soon(one, path, method, content)
        # Single bytes come later than the answer; a stream in memory is read only when it is wanted again.
        whole = sum(map(len, table.values()))
        await until(lambda: peer.sent == whole if way.place == "memory" else peer.live_connections == 0)
        async with anyio.create_task_group() as group:
            for _ in table:
                group.start_soon(one, "/good", "GET", b"hello")
        assert peer.connections == 2 * len(table)


async def test_h1_19_memory_is_taken_for_what_has_come_only(way: Way) -> None:
    announced = [
        OK + b"Content-Length: 9223372036854775807\r\n\r\nhello",
        CHUNKED + b"7fffffffffffffff\r\nhello",
    ]
    answers = {f"/{number}": Answer(data, end="fin") for number, data in enumerate(announced)}
    async with scripted(way, answers) as (session, _):
        await session.get("/")
        tracemalloc.start()
        try:
            for path in answers:
                with pytest.raises(netio.IncompleteBody):
                    await session.get(path, max_body=None)
                async with session.stream("GET", path, max_body=None) as response:
                    with pytest.raises(netio.IncompleteBody):
                        await response.aread()
            assert tracemalloc.get_traced_memory()[1] < 1 << 20
        finally:
            tracemalloc.stop()
