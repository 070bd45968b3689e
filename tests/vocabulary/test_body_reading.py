"""How a body is read: the same whatever the pieces it came in, and never more of it than a limit allows."""

from __future__ import annotations

import json as jsonlib
from collections.abc import AsyncIterator
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from netio.errors import BodyTooLarge, BodyUnavailable
from netio.message import Request, Response
from netio.reading import MAX_BODY, Reading, joined

pytestmark = pytest.mark.anyio

VALUES = st.lists(st.none() | st.booleans() | st.integers() | st.text() | st.lists(st.text()), max_size=6)
SIZES = st.lists(st.integers(1, 9), max_size=40)


class Pieces:
    """A body in pieces of sizes that a test chooses."""

    def __init__(self, data: bytes, sizes: list[int]) -> None:
        self.pieces: list[bytes] = []
        for size in sizes:
            self.pieces.append(data[:size])
            data = data[size:]
        self.pieces = [piece for piece in [*self.pieces, data] if piece]
        self.is_closed = False

    async def receive(self) -> bytes:
        return self.pieces.pop(0) if self.pieces else b""

    async def aclose(self) -> None:
        self.is_closed = True


def response(data: bytes, sizes: list[int], reading: Reading | None = None, **fields: str) -> Response:
    request = Request("GET", "http://peer.test/", reading=reading)
    headers = {name.replace("_", "-"): value for name, value in fields.items()}
    return Response(200, request=request, headers=headers, source=Pieces(data, sizes))


async def values(lines: AsyncIterator[Any]) -> list[Any]:
    return [value async for value in lines]


@given(VALUES, SIZES, st.sampled_from(["\n", "\r\n", "\n\n", " \n"]), st.booleans())
async def test_json_lines_are_the_same_in_any_pieces(
    given_values: list[Any], sizes: list[int], end: str, ends: bool
) -> None:
    text = end.join(jsonlib.dumps(value, ensure_ascii=False) for value in given_values) + (end if ends else "")
    assert await values(response(text.encode("utf-8", "surrogatepass"), sizes).aiter_json_lines()) == given_values


@pytest.mark.parametrize("sizes", [[], [1] * 30, [7]])
async def test_what_is_no_json_says_on_which_line(sizes: list[int]) -> None:
    body = response(b'{"a": 1}\n\n{"a": \n3\n', sizes)
    lines = body.aiter_json_lines()
    assert await anext(lines) == {"a": 1}
    with pytest.raises(ValueError) as caught:
        await anext(lines)
    assert caught.value.__notes__ == ["line 3 of the response body"]
    assert await anext(lines) == 3


async def test_json_lines_are_utf_8_whatever_the_charset_says() -> None:
    assert await values(response('"ü"\n'.encode(), [], content_type="x/y; charset=latin-1").aiter_json_lines()) == ["ü"]


@given(st.integers(2, 30), SIZES, st.sampled_from(["\n", "\r\n", "\r"]))
async def test_a_line_at_the_limit_is_taken_and_one_past_it_is_not(limit: int, sizes: list[int], end: str) -> None:
    line = "1" * limit
    for method, text in (("aiter_lines", f"2{end}{line}{end}3"), ("aiter_json_lines", f"2\n{line}\n3")):
        body = response(text.encode(), sizes)
        assert [str(one) for one in await values(getattr(body, method)(max_line=limit))] == ["2", line, "3"]
        body = response(text.encode(), sizes)
        with pytest.raises(BodyTooLarge, match=rf"longer than {limit - 1} \w+ \(max_line\) \[GET http://peer.test/"):
            await values(getattr(body, method)(max_line=limit - 1))
        assert body.is_closed


async def test_a_line_that_does_not_end_takes_no_more_memory_than_its_limit() -> None:
    body = response(b"x" * 1_000, [10] * 100)
    source = body._source
    assert isinstance(source, Pieces)
    with pytest.raises(BodyTooLarge):
        await values(body.aiter_lines(max_line=100))
    assert 88 <= len(source.pieces) <= 90
    assert source.is_closed


# ---------------------------------------------------------------------- how much of it


@pytest.mark.parametrize("sizes", [[], [1, 1, 1], [3]])
@pytest.mark.parametrize("length", [None, "6"])
async def test_h1_19_a_whole_body_is_limited_as_the_request_says(sizes: list[int], length: str | None) -> None:
    fields = {} if length is None else {"content_length": length}
    assert await response(b"sechse", sizes, Reading(max_body=6), **fields).aread() == b"sechse"
    body = response(b"sechse", sizes, Reading(max_body=5), **fields)
    with pytest.raises(BodyTooLarge, match="larger than 5 bytes"):
        await body.aread()
    assert body.is_closed
    with pytest.raises(BodyUnavailable):
        await body.aread()


async def test_a_limit_for_whole_bodies_is_none_for_streams_and_the_other_way_round() -> None:
    assert await values(response(b"sechse", [2], Reading(max_body=1)).aiter_bytes()) == [b"se", b"chse"]
    assert await response(b"sechse", [2], Reading(max_stream=1)).aread() == b"sechse"
    with pytest.raises(BodyTooLarge):
        await values(response(b"sechse", [2], Reading(max_stream=5)).aiter_text())


async def test_h1_19_what_is_announced_is_refused_before_a_piece_is_taken() -> None:
    body = response(b"x", [], content_length=str(MAX_BODY + 1))
    source = body._source
    assert isinstance(source, Pieces)
    with pytest.raises(BodyTooLarge):
        await body.aread()
    assert (len(source.pieces), source.is_closed) == (1, True)


@pytest.mark.parametrize("length", ["", "x", "-1", "1" * 20, "²"])
async def test_a_length_that_is_none_announces_nothing(length: str) -> None:
    body = response(b"x", [], content_length=length)
    assert body.content_length is None
    assert await body.aread() == b"x"


@given(st.lists(st.binary(max_size=20), max_size=8))
async def test_pieces_are_joined(pieces: list[bytes]) -> None:
    async def chunks() -> AsyncIterator[bytes]:
        for piece in pieces:
            yield piece

    assert await joined(chunks()) == b"".join(pieces)


def test_json_by_another_library_is_that_of_the_request() -> None:
    reading = Reading(json_decoder=lambda data: ("mine", data))
    request = Request("GET", "http://peer.test/", reading=reading)
    assert Response(200, request=request, content=b"1").json() == ("mine", b"1")
    assert Response(200, request=request.replace(reading=None), content=b"1").json() == 1
    assert request.with_field("a", "b").reading is reading
