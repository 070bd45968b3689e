"""Request bodies: what they are made of, and whether they can be sent twice (HAZARDS RT-04)."""

from __future__ import annotations

import json as jsonlib
from array import array
from collections.abc import AsyncIterator, Callable, Iterator
from typing import Any
from urllib.parse import parse_qsl

import pytest
from hypothesis import given
from hypothesis import strategies as st

from netio.body import NO_BODY, BytesBody, IteratorBody, RequestBody, measured
from netio.encoding import encode_body
from netio.errors import InvalidRequest, RequestBodyError

pytestmark = pytest.mark.anyio

FORM = "application/x-www-form-urlencoded"
TEXT = "text/plain; charset=utf-8"


async def read(body: RequestBody) -> list[bytes]:
    return [chunk async for chunk in body.chunks()]


def generate(*chunks: Any) -> Iterator[Any]:
    yield from chunks


async def generate_async(*chunks: Any) -> AsyncIterator[Any]:
    for chunk in chunks:
        yield chunk


class Again:
    """An iterable that begins anew each time, sync or async."""

    def __iter__(self) -> Iterator[bytes]:
        return generate(b"a", b"b")


class AgainAsync:
    def __aiter__(self) -> AsyncIterator[bytes]:
        return generate_async(b"a", b"b")


class Once:
    """An iterable that is not an iterator itself, but always hands out the same one."""

    def __init__(self) -> None:
        self.chunks = generate(b"a", b"b")

    def __iter__(self) -> Iterator[bytes]:
        return self.chunks


# ---------------------------------------------------------------------- kinds


@pytest.mark.parametrize(
    ("arguments", "data", "content_type"),
    [
        ({"content": b"bytes"}, b"bytes", None),
        ({"content": b""}, b"", None),
        ({"content": bytearray(b"bytes")}, b"bytes", None),
        ({"content": memoryview(b"bytes")[1:]}, b"ytes", None),
        ({"content": memoryview(array("i", [1]))}, array("i", [1]).tobytes(), None),
        ({"content": "tëxt"}, "tëxt".encode(), TEXT),
        ({"content": ""}, b"", TEXT),
        ({"json": {"a": [1, None, "ü"]}}, '{"a":[1,null,"ü"]}'.encode(), "application/json"),
        ({"json": []}, b"[]", "application/json"),
        ({"json": 0}, b"0", "application/json"),
        ({"json": False}, b"false", "application/json"),
        ({"json": ""}, b'""', "application/json"),
        ({"data": {"a": "1", "b": "x y&ü"}}, b"a=1&b=x+y%26%C3%BC", FORM),
        ({"data": [("a", "1"), ("a", "2")]}, b"a=1&a=2", FORM),
        ({"data": {"a": ["1", 2]}}, b"a=1&a=2", FORM),
        ({"data": {"a": True, "b": None, "c": 1.5}}, b"a=true&c=1.5", FORM),
        ({"data": {}}, b"", FORM),
    ],
)
async def test_body_in_memory_knows_its_length_and_type(arguments: Any, data: bytes, content_type: str | None) -> None:
    body = encode_body(**arguments)
    assert (body.data, body.length, body.content_type, body.is_replayable) == (data, len(data), content_type, True)
    assert b"".join(await read(body)) == data
    assert b"".join(await read(body)) == data


def test_without_arguments_there_is_no_body() -> None:
    assert encode_body() is NO_BODY
    assert (NO_BODY.data, NO_BODY.length, NO_BODY.content_type) == (b"", 0, None)


def test_body_does_not_change_with_the_buffer_it_was_made_of() -> None:
    buffer = bytearray(b"before")
    body = encode_body(content=buffer)
    buffer[:] = b"after!"
    assert body.data == b"before"


@given(
    st.dictionaries(
        st.text(st.characters(exclude_categories=["Cs"])), st.text(st.characters(exclude_categories=["Cs"]))
    )
)
def test_any_form_can_be_read_back(data: dict[str, str]) -> None:
    body = encode_body(data=data)
    assert body.data is not None
    assert dict(parse_qsl(body.data.decode("ascii"), keep_blank_values=True)) == data


@given(
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.text(st.characters(exclude_categories=["Cs"])), st.lists
    )
)
def test_any_json_can_be_read_back(value: Any) -> None:
    body = encode_body(json=[value])
    assert body.data is not None
    assert jsonlib.loads(body.data) == [value]


def test_repr_shows_no_content() -> None:
    assert repr(encode_body(content=b"secret")) == "<BytesBody of 6 bytes>"
    assert repr(encode_body(content=[b"secret"])) == "<IteratorBody over list>"


# ---------------------------------------------------------------------- what is refused


@pytest.mark.parametrize(
    "arguments",
    [
        {"content": b"", "data": {}},
        {"content": "", "json": 0},
        {"data": [], "json": ""},
        {"content": b"a", "data": {"a": "b"}, "json": {}},
    ],
)
def test_content_data_and_json_exclude_each_other(arguments: Any) -> None:
    with pytest.raises(InvalidRequest, match="exclude each other"):
        encode_body(**arguments)


@pytest.mark.parametrize("content", [5, 1.5, object(), True, {"a": "b"}, "\ud800"])
def test_content_of_another_type_is_refused(content: Any) -> None:
    with pytest.raises(InvalidRequest, match="content"):
        encode_body(content=content)


@pytest.mark.parametrize(
    "value", [object(), float("nan"), float("inf"), {1, 2}, b"bytes", {"a": object()}, "\ud800", {(1, 2): 3}]
)
def test_what_is_no_json_is_refused(value: Any) -> None:
    with pytest.raises(InvalidRequest, match="as JSON"):
        encode_body(json=value)


def test_json_that_contains_itself_is_refused() -> None:
    circle: list[Any] = []
    circle.append(circle)
    with pytest.raises(InvalidRequest, match="as JSON"):
        encode_body(json=circle)


def test_json_nested_too_deeply_is_refused() -> None:
    value: list[Any] = []
    for _ in range(100_000):
        value = [value]
    with pytest.raises(InvalidRequest, match="as JSON"):
        encode_body(json=value)
    while value:  # or the interpreter would take its time, and its stack, to free it
        value = value.pop()


@pytest.mark.parametrize(
    "data",
    [
        "a=b",
        b"a=b",
        5,
        ["abc"],
        [("a",)],
        [("a", "b", "c")],
        [5],
        {"a": {"b": "c"}},
        {"a": b"x"},
        {"a": [["b"]]},
        {"a": "\ud800"},
    ],
)
def test_what_is_no_form_is_refused(data: Any) -> None:
    with pytest.raises(InvalidRequest, match="as a form"):
        encode_body(data=data)


# ---------------------------------------------------------------------- iterators

SOURCES: dict[str, tuple[Callable[[], Any], bool]] = {
    "list": (lambda: [b"a", b"b"], True),
    "tuple": (lambda: (b"a", b"b"), True),
    "dict": (lambda: {b"a": 1, b"b": 2}.keys(), True),
    "iterable": (Again, True),
    "async iterable": (AgainAsync, True),
    "function": (lambda: lambda: [b"a", b"b"], True),
    "generator function": (lambda: lambda: generate(b"a", b"b"), True),
    "async generator function": (lambda: lambda: generate_async(b"a", b"b"), True),
    "generator": (lambda: generate(b"a", b"b"), False),
    "async generator": (lambda: generate_async(b"a", b"b"), False),
    "iterator": (lambda: iter([b"a", b"b"]), False),
    "map": (lambda: map(bytes, [b"a", b"b"]), False),
    "one iterator": (Once, False),
}


@pytest.mark.parametrize("name", SOURCES)
async def test_rt_04_only_what_begins_anew_can_be_sent_twice(name: str) -> None:
    make, is_replayable = SOURCES[name]
    body = encode_body(content=make())
    assert (body.data, body.length, body.content_type) == (None, None, None)
    assert body.is_replayable
    assert await read(body) == [b"a", b"b"]
    assert body.is_replayable is is_replayable
    if is_replayable:
        assert await read(body) == [b"a", b"b"]
        return
    with pytest.raises(RequestBodyError, match="has been read already"):
        await read(body)


async def test_rt_04_generator_that_has_begun_is_gone() -> None:
    body = IteratorBody(generate(b"a", b"b"))
    chunks = body.chunks()
    assert body.is_replayable
    assert await anext(chunks) == b"a"
    assert not body.is_replayable
    await chunks.aclose()
    with pytest.raises(RequestBodyError):
        await read(body)


async def test_rt_04_second_reader_of_a_generator_gets_an_error_and_the_first_all_of_it() -> None:
    body = IteratorBody(generate_async(b"a", b"b"))
    first, second = body.chunks(), body.chunks()
    assert await anext(first) == b"a"
    with pytest.raises(RequestBodyError):
        await anext(second)
    assert [chunk async for chunk in first] == [b"b"]


async def test_buffers_are_sent_as_bytes() -> None:
    body = IteratorBody([b"a", bytearray(b"b"), memoryview(b"c")])  # type: ignore[list-item]
    assert await read(body) == [b"a", b"b", b"c"]


@pytest.mark.parametrize("chunk", ["text", 97, None, ["a"], {}])
@pytest.mark.parametrize("source", [generate, generate_async, lambda *chunks: lambda: chunks])
async def test_chunk_that_is_no_bytes_is_refused(source: Callable[..., Any], chunk: Any) -> None:
    chunks = IteratorBody(source(b"a", chunk)).chunks()
    assert await anext(chunks) == b"a"
    with pytest.raises(RequestBodyError, match=f"must yield bytes, not {type(chunk).__name__}"):
        await anext(chunks)


@pytest.mark.parametrize("result", [None, 5, object()])
async def test_function_that_returns_no_iterable_is_refused(result: Any) -> None:
    with pytest.raises(RequestBodyError, match="must return an iterable of bytes"):
        await read(encode_body(content=lambda: result))


@pytest.mark.parametrize("result", [b"bytes", "text"])
async def test_function_that_returns_bytes_or_text_instead_of_an_iterable_is_refused(
    anyio_backend: Any, result: Any
) -> None:
    with pytest.raises(RequestBodyError, match="must yield bytes"):
        await read(encode_body(content=lambda: result))


async def test_pool_10_error_of_the_iterator_comes_through() -> None:
    def broken() -> Iterator[bytes]:
        yield b"a"
        raise KeyError("mine")

    with pytest.raises(KeyError, match="mine"):
        await read(encode_body(content=broken()))


async def test_async_generator_is_closed_with_the_body_that_was_not_read_to_its_end() -> None:
    events: list[str] = []

    async def source() -> AsyncIterator[bytes]:
        try:
            yield b"a"
            yield b"b"
        finally:
            events.append("closed")

    chunks = IteratorBody(source).chunks()
    assert await anext(chunks) == b"a"
    await chunks.aclose()
    assert events == ["closed"]


async def test_empty_iterator_is_an_empty_body() -> None:
    assert await read(encode_body(content=[])) == []
    assert encode_body(content=[]).length is None


@pytest.mark.parametrize(
    "chunks", [[], [b""], [b"abc"], [b"a", b"bc"], [b"abc", b""], [b"", b"a", b"", b"bc", b"", b""]]
)
async def test_req_04_body_of_the_declared_length_passes_whole(chunks: list[bytes]) -> None:
    length = sum(map(len, chunks))
    assert b"".join([chunk async for chunk in measured(IteratorBody(chunks).chunks(), length)]) == b"".join(chunks)


@pytest.mark.parametrize(("length", "sent"), [(0, b""), (1, b""), (2, b"a"), (3, b"a")])
async def test_req_04_longer_body_fails_before_the_declared_length_is_complete(length: int, sent: bytes) -> None:
    chunks = measured(IteratorBody([b"a", b"bc", b"d"]).chunks(), length)
    passed = b""
    with pytest.raises(RequestBodyError, match="longer than its declared length"):
        async for chunk in chunks:
            passed += chunk
    assert passed == sent


async def test_req_04_shorter_body_fails_at_its_end() -> None:
    chunks = measured(IteratorBody([b"a", b"bc"]).chunks(), 5)
    assert [await anext(chunks), await anext(chunks)] == [b"a", b"bc"]
    with pytest.raises(RequestBodyError, match="shorter than its declared length, by 2 bytes"):
        await anext(chunks)


def test_bytes_body_has_the_type_it_is_given() -> None:
    body = BytesBody(b"x", "image/png")
    assert (body.data, body.length, body.content_type) == (b"x", 1, "image/png")
