"""A response body as it arrives: however it is cut, the text and the lines are the same (HAZARDS POOL-02, DEC-08)."""

from __future__ import annotations

from collections.abc import AsyncIterator
from encodings.aliases import aliases
from itertools import pairwise
from typing import Any

import anyio
import anyio.lowlevel
import pytest
from hypothesis import given
from hypothesis import strategies as st

from netio.errors import BodyUnavailable
from netio.message import Request, Response

pytestmark = pytest.mark.anyio

REQUEST = Request("GET", "http://user:secret@example.org/path?secret")
READERS = ["aiter_raw", "aiter_bytes", "aiter_text", "aiter_lines"]
CHARSETS = sorted({*aliases, *aliases.values(), "cp874", "koi8_u", "utf_8_sig"})


class Source:
    """A response body in pieces, which may end in an error."""

    def __init__(self, *chunks: bytes, error: BaseException | None = None) -> None:
        self.chunks = list(chunks)
        self.error = error
        self.closings = 0

    async def receive(self) -> bytes:
        await anyio.lowlevel.checkpoint()
        if self.closings:
            raise RuntimeError("the source was closed")
        if self.chunks:
            return self.chunks.pop(0)
        if self.error is not None:
            raise self.error
        return b""

    async def aclose(self) -> None:
        self.closings += 1


def streamed(
    *chunks: bytes, content_type: str = "text/plain", error: BaseException | None = None
) -> tuple[Response, Source]:
    source = Source(*chunks, error=error)
    return Response(200, request=REQUEST, headers={"content-type": content_type}, source=source), source


def answer(content: bytes | str, content_type: str = "text/plain") -> Response:
    return Response(200, request=REQUEST, headers={"content-type": content_type}, content=content)


async def collect(pieces: AsyncIterator[Any]) -> list[Any]:
    return [piece async for piece in pieces]


def cut(content: bytes, places: list[int]) -> list[bytes]:
    """Cut a body into pieces, none of which is empty."""
    bounds = [0, *sorted({place for place in places if 0 < place < len(content)}), len(content)]
    return [content[start:end] for start, end in pairwise(bounds) if start < end]


# ---------------------------------------------------------------------- text


@given(charset=st.sampled_from(CHARSETS), content=st.binary(max_size=40), cuts=st.lists(st.integers(0, 40)))
async def test_dec_08_text_in_pieces_is_the_text_as_a_whole(charset: str, content: bytes, cuts: list[int]) -> None:
    content_type = f"text/plain; charset={charset}"
    response, _ = streamed(*cut(content, cuts), content_type=content_type)
    pieces = await collect(response.aiter_text())
    assert "".join(pieces) == answer(content, content_type).text
    assert all(pieces)


# ---------------------------------------------------------------------- lines


@pytest.mark.parametrize(
    ("text", "lines"),
    [
        ("", []),
        ("a", ["a"]),
        ("a\n", ["a"]),
        ("a\nb", ["a", "b"]),
        ("a\r\nb\rc\nd", ["a", "b", "c", "d"]),
        ("\n", [""]),
        ("\r", [""]),
        ("\r\n", [""]),
        ("\n\r", ["", ""]),
        ("\r\r\n\n", ["", "", ""]),
        ("a\n\nb\r\r", ["a", "", "b", ""]),
        ("a\u2028b\u2029c\x85d\x0be\x0cf\x1cg\x1dh\x1ei", ["a\u2028b\u2029c\x85d\x0be\x0cf\x1cg\x1dh\x1ei"]),
    ],
)
async def test_lines_end_with_lf_crlf_or_cr_and_nothing_else(text: str, lines: list[str]) -> None:
    content = text.encode()
    for size in range(1, len(content) + 2):
        pieces = [content[start : start + size] for start in range(0, len(content), size)]
        response, _ = streamed(*pieces)
        assert await collect(response.aiter_lines()) == lines


@given(
    text=st.text(st.sampled_from("ab\r\n\u2028é€😀\x85\t")),
    cuts=st.lists(st.integers(0, 60)),
    charset=st.sampled_from(["utf-8", "utf-16", "utf-16-be"]),
)
async def test_lines_do_not_depend_on_how_the_body_is_cut(text: str, cuts: list[int], charset: str) -> None:
    content = text.encode(charset)
    whole, _ = streamed(*cut(content, []), content_type=f"text/plain; charset={charset}")
    pieces, _ = streamed(*cut(content, cuts), content_type=f"text/plain; charset={charset}")
    expected = text.replace("\r\n", "\n").replace("\r", "\n").split("\n")
    if expected[-1] == "":
        expected.pop()
    assert await collect(whole.aiter_lines()) == expected
    assert await collect(pieces.aiter_lines()) == expected


async def test_line_is_yielded_as_soon_as_its_end_is_there() -> None:
    response, source = streamed(b"one\ntwo\nth", b"ree\n")
    lines = response.aiter_lines()
    assert [await anext(lines), await anext(lines)] == ["one", "two"]
    assert source.chunks == [b"ree\n"]


# ---------------------------------------------------------------------- a streamed body


@pytest.mark.parametrize("reader", READERS)
async def test_streamed_body_is_read_in_pieces_and_closed_at_its_end(reader: str) -> None:
    response, source = streamed(b"one\n", b"two\n")
    assert not response.is_closed
    pieces = await collect(getattr(response, reader)())
    assert [piece if isinstance(piece, bytes) else piece.encode() for piece in pieces] in (
        [b"one\n", b"two\n"],
        [b"one", b"two"],
    )
    assert (response.is_closed, source.closings) == (True, 1)


@pytest.mark.parametrize("reader", READERS)
async def test_iterator_that_has_ended_stays_so(reader: str) -> None:
    response, _ = streamed(b"one\n")
    pieces = getattr(response, reader)()
    assert len(await collect(pieces)) == 1
    assert await collect(pieces) == []


async def test_streamed_body_can_be_read_at_once() -> None:
    response, source = streamed(b"one ", b"two")
    assert await response.aread() == b"one two"
    assert (response.content, response.text, response.is_closed, source.closings) == (b"one two", "one two", True, 1)
    assert await response.aread() == b"one two"
    assert source.closings == 1


@pytest.mark.parametrize("reader", READERS)
async def test_body_that_was_read_can_be_iterated_again_and_again(reader: str) -> None:
    response, _ = streamed(b"one\n", b"two\n")
    await response.aread()
    first = await collect(getattr(response, reader)())
    assert first
    assert await collect(getattr(response, reader)()) == first


@pytest.mark.parametrize("reader", READERS)
async def test_empty_body_has_no_pieces(reader: str) -> None:
    assert await collect(getattr(answer(""), reader)()) == []


def test_content_of_a_streamed_response_is_not_there_before_it_is_read() -> None:
    response, _ = streamed(b"one")
    for read in (lambda: response.content, lambda: response.text, response.json):
        with pytest.raises(BodyUnavailable, match="aread"):
            read()


@pytest.mark.parametrize("first", READERS)
@pytest.mark.parametrize("second", [*READERS, "aread"])
async def test_body_cannot_be_iterated_twice(first: str, second: str) -> None:
    response, _ = streamed(b"one\n", b"two\n")
    assert await anext(getattr(response, first)())
    with pytest.raises(BodyUnavailable, match="already"):
        await read_by(response, second)


@pytest.mark.parametrize("reader", [*READERS, "aread"])
async def test_body_of_a_closed_response_is_gone(reader: str) -> None:
    response, source = streamed(b"one\n")
    await response.aclose()
    with pytest.raises(BodyUnavailable, match="closed"):
        await read_by(response, reader)
    assert source.closings == 1


async def read_by(response: Response, reader: str) -> Any:
    return await (response.aread() if reader == "aread" else collect(getattr(response, reader)()))


@pytest.mark.parametrize("reader", READERS)
async def test_response_closed_in_the_middle_of_its_body_does_not_look_complete(reader: str) -> None:
    response, _ = streamed(b"one\n", b"two\n")
    pieces = getattr(response, reader)()
    assert await anext(pieces)
    await response.aclose()
    with pytest.raises(BodyUnavailable, match="before the end"):
        await collect(pieces)


@pytest.mark.parametrize("reader", READERS)
async def test_h1_14_error_in_the_body_comes_through_and_closes_the_response(reader: str) -> None:
    error = KeyError("mine")
    response, source = streamed(b"one\n", b"tw", error=error)
    with pytest.raises(KeyError) as caught:
        await read_by(response, reader)
    assert caught.value is error
    assert (response.is_closed, source.closings) == (True, 1)
    with pytest.raises(BodyUnavailable):
        await response.aread()


@pytest.mark.parametrize("reader", READERS)
async def test_pool_02_iterator_that_is_left_leaves_the_response_to_its_owner(reader: str) -> None:
    response, source = streamed(b"one\n", b"two\n")
    async with response:
        async for _ in getattr(response, reader)():
            break
        assert not response.is_closed
    assert (response.is_closed, source.closings) == (True, 1)


async def test_closing_twice_closes_once() -> None:
    response, source = streamed(b"one")
    await response.aclose()
    await response.aclose()
    assert source.closings == 1


async def test_pool_01_cancelled_reader_closes_the_response() -> None:
    class Stuck(Source):
        async def receive(self) -> bytes:
            await anyio.sleep_forever()
            return b""

    source = Stuck()
    response = Response(200, request=REQUEST, source=source)
    with anyio.move_on_after(0) as scope:
        await response.aread()
    assert scope.cancelled_caught
    assert (response.is_closed, source.closings) == (True, 1)
