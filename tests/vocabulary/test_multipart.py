"""multipart/form-data: what goes in comes out at a parser that is not ours, and nothing else (RFC 7578)."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from multipart import MultipartParser  # type: ignore[import-untyped]

from netio.body import BytesBody, RequestBody
from netio.encoding import encode_body
from netio.errors import InvalidRequest, RequestBodyError
from netio.multipart import SMALL, MultipartBody

pytestmark = pytest.mark.anyio

Row = tuple[str, str | None, str, bytes]
"""Name, file name, media type, content."""


async def read(body: RequestBody) -> bytes:
    await body.prepare()
    data = b"".join([chunk async for chunk in body.chunks()])
    assert body.length in (None, len(data))
    return data


def boundary_of(body: RequestBody) -> str:
    assert body.content_type is not None
    return body.content_type.removeprefix("multipart/form-data; boundary=")


async def parsed(body: RequestBody) -> list[Row]:
    data = await read(body)
    parser = MultipartParser(io.BytesIO(data), boundary_of(body), len(data), spool_limit=1 << 30, memory_limit=1 << 30)
    return [(part.name, part.filename, part.content_type, part.raw) for part in parser]


# Without "%": the parser undoes the percent-encoding of browsers, which does not encode itself. And without what looks
# like a path of Windows, of which it keeps the end.
NAMES = st.text(
    st.characters(exclude_categories=["Cs"], exclude_characters=[*"%\\\x7f", *map(chr, {*range(32)} - {9, 10, 13})]),
    max_size=40,
)
ODD = st.text(st.sampled_from('ab"\r\n; =/\tü-'), max_size=12)


@given(st.lists(st.tuples(NAMES, st.none() | NAMES, st.binary(max_size=300)), min_size=1, max_size=5))
async def test_req_05_any_form_arrives_as_it_was(parts: list[tuple[str, str | None, bytes]]) -> None:
    files: Any = [(name, (filename, content, "application/x-test")) for name, filename, content in parts]
    expected = [(name, filename, "application/x-test", content) for name, filename, content in parts]
    assert await parsed(encode_body(files=files)) == expected


@given(ODD, ODD)
async def test_req_05_no_name_ends_the_field_it_stands_in(name: str, filename: str) -> None:
    body = encode_body(files=[(name, (filename, b"content")), ("next", (None, b"2"))])
    rows = await parsed(body)
    assert [row[0] for row in rows] == [name, "next"]
    assert (rows[0][1], rows[0][3]) == (filename, b"content")
    head = (await read(body)).partition(b"\r\n\r\n")[0]
    assert head.count(b"\r\n") == 2  # the boundary, the disposition, the media type


@pytest.mark.parametrize("text", ["\x00", "a\x01b", "\x1f", "\x7f", "\x0b"])
def test_req_05_other_control_characters_are_refused_in_names(text: str) -> None:
    with pytest.raises(InvalidRequest, match="the name .* control character"):
        encode_body(files={text: b""})
    with pytest.raises(InvalidRequest, match="the file name .* control character"):
        encode_body(files={"a": (text, b"")})
    with pytest.raises(InvalidRequest, match="control character"):
        encode_body(files={"a": b""}, data={text: "1"})


@pytest.mark.parametrize(
    "kind", ["text/plain\r\nX-Evil: 1", "text/plain\n", "\x00", "text", "", "a/b\x00", "té/xt", "a b/c"]
)
def test_req_05_a_media_type_that_is_none_is_refused(kind: str) -> None:
    with pytest.raises(InvalidRequest):
        encode_body(files={"a": ("n", b"", kind)}) if kind else encode_body(files={"a": (None, b"", " ")})


class Sly(str):
    """Text that would say something else each time it is asked."""

    def __str__(self) -> str:
        return "a/b\r\nX-Evil: 1"


async def test_req_05_text_that_is_more_than_text_is_taken_as_the_text_it_is() -> None:
    assert await parsed(encode_body(files={"a": (Sly("n"), b"", Sly("x/y"))})) == [("a", "n", "x/y", b"")]


@pytest.mark.parametrize(
    "fields", [{"X-A": "1\r\nX-B: 2"}, {"X A": "1"}, {"Content-Type": "a/b"}, {"content-disposition": "x"}]
)
def test_req_05_fields_of_a_part_are_checked_like_those_of_a_request(fields: dict[str, str]) -> None:
    with pytest.raises(InvalidRequest):
        encode_body(files={"a": ("n", b"", "a/b", fields)})


async def test_req_05_a_part_may_have_fields_of_its_own() -> None:
    body = encode_body(files={"a": ("n", b"x", "a/b", {"X-One": "1"})})
    assert b'name="a"; filename="n"\r\nContent-Type: a/b\r\nX-One: 1\r\n\r\nx\r\n' in await read(body)


def test_req_06_boundaries_are_drawn_anew_and_from_secrets(monkeypatch: pytest.MonkeyPatch) -> None:
    drawn = {boundary_of(encode_body(files={"a": b"x"})) for _ in range(100)}
    assert len(drawn) == 100
    assert all(len(one) == len("netio-") + 32 for one in drawn)
    monkeypatch.setattr("secrets.token_hex", lambda size: "ab" * size)
    assert boundary_of(encode_body(files={"a": b"x"})) == "netio-" + "ab" * 16


# ---------------------------------------------------------------------- what may be given


@pytest.mark.parametrize(
    ("files", "row"),
    [
        ({"a": b"x"}, ("a", "upload", "application/octet-stream", b"x")),
        ({"a": "tëxt"}, ("a", "upload", "application/octet-stream", "tëxt".encode())),
        ({"a": bytearray(b"x")}, ("a", "upload", "application/octet-stream", b"x")),
        ({"a": io.BytesIO(b"x")}, ("a", "upload", "application/octet-stream", b"x")),
        ({"a": ("n.png", b"x")}, ("a", "n.png", "image/png", b"x")),
        ({"a": ("N.TXT", "x")}, ("a", "N.TXT", "text/plain", b"x")),
        ({"a": ("n.unheard", b"x")}, ("a", "n.unheard", "application/octet-stream", b"x")),
        ({"a": ("png", b"x")}, ("a", "png", "application/octet-stream", b"x")),
        ({"a": ("n.png", b"x", "x/y")}, ("a", "n.png", "x/y", b"x")),
        ({"a": ("n.png", b"x", None)}, ("a", "n.png", "image/png", b"x")),
        ({"a": (None, b"x")}, ("a", None, "text/plain", b"x")),
        ({"a": (None, b"{}", "application/json")}, ("a", None, "application/json", b"{}")),
        ([("a", [b"x"][0])], ("a", "upload", "application/octet-stream", b"x")),
        ({"a": ("n", [b"x", b"y"])}, ("a", "n", "application/octet-stream", b"xy")),
        ({"ü": ("ü.txt", b"x")}, ("ü", "ü.txt", "text/plain", b"x")),
    ],
)
async def test_a_file_may_be_given_in_many_ways(files: Any, row: Row) -> None:
    assert await parsed(encode_body(files=files)) == [row]


async def test_a_file_is_named_for_where_it_lies_without_its_folders(tmp_path: Path) -> None:
    path = tmp_path / "photo.jpg"
    path.write_bytes(b"x")
    with path.open("rb") as file:
        rows = await parsed(encode_body(files={"path": path, "open": file, "named": ("n", path)}))
    assert rows == [
        ("path", "photo.jpg", "image/jpeg", b"x"),
        ("open", "photo.jpg", "image/jpeg", b"x"),
        ("named", "n", "application/octet-stream", b"x"),
    ]
    with path.open("rb") as file, open(file.fileno(), "rb", closefd=False) as nameless:
        assert (await parsed(encode_body(files={"a": nameless})))[0][1] == "upload"


async def test_fields_come_first_and_several_files_may_have_one_name() -> None:
    body = encode_body(data={"b": ["1", 2], "c": None, "d": True}, files=[("a", b"x"), ("a", b"y")])
    assert [(row[0], row[1], row[3]) for row in await parsed(body)] == [
        ("b", None, b"1"),
        ("b", None, b"2"),
        ("d", None, b"true"),
        ("a", "upload", b"x"),
        ("a", "upload", b"y"),
    ]
    assert [row[0] for row in await parsed(encode_body(files={"a": [b"x", ("n", b"y")], "b": b"z"}))] == ["a", "a", "b"]


async def test_a_form_without_files_is_url_encoded_as_ever() -> None:
    nothing: list[Any] = [{}, []]
    for files in nothing:
        assert await read(encode_body(data={"a": "1"}, files=files)) == b"a=1"
        assert encode_body(files=files).length == 0


@pytest.mark.parametrize(
    "arguments",
    [
        {"files": {"a": b""}, "content": b""},
        {"files": {"a": b""}, "json": {}},
        {"files": {"a": {"b": "c"}}},
        {"files": {"a": 5}},
        {"files": {"a": None}},
        {"files": {"a": ("n",)}},
        {"files": {"a": ("n", b"", "a/b", {}, 5)}},
        {"files": {"a": (5, b"")}},
        {"files": {5: b""}},
        {"files": "text"},
        {"files": [b"x"]},
        {"files": [("a", b"x", "y")]},
        {"files": {"a": ("\ud800", b"")}},
        {"files": {"a": b""}, "data": {"a": {"b": 1}}},
    ],
)
def test_what_is_no_form_is_refused(arguments: Any) -> None:
    with pytest.raises(InvalidRequest):
        encode_body(**arguments)


# ---------------------------------------------------------------------- length, and sending it again


async def test_a_small_form_is_in_memory_and_a_large_one_is_put_together_as_it_is_sent() -> None:
    assert isinstance(encode_body(files={"a": b"x" * 100}), BytesBody)
    large = encode_body(files={"a": b"x" * SMALL, "b": b"y" * 3 * SMALL, "c": b"z"})
    assert isinstance(large, MultipartBody)
    assert (large.data, large.is_replayable) == (None, True)
    assert [row[3] for row in await parsed(large)] == [b"x" * SMALL, b"y" * 3 * SMALL, b"z"]


async def test_the_length_of_a_form_of_files_is_known_once_they_were_looked_at(tmp_path: Path) -> None:
    path = tmp_path / "data"
    path.write_bytes(b"x" * 100_000)
    body = encode_body(files={"a": path, "b": path})
    assert (body.length, body.is_prepared) == (None, False)
    data = await read(body)
    assert (body.length, body.is_prepared) == (len(data), True)
    assert await read(body) == data


async def test_rt_04_a_form_can_be_sent_again_if_each_of_its_parts_can() -> None:
    body = encode_body(files={"a": iter([b"x"]), "b": b"y"})
    assert (body.length, body.is_replayable) == (None, True)
    assert [row[3] for row in await parsed(body)] == [b"x", b"y"]
    assert not body.is_replayable
    with pytest.raises(RequestBodyError):
        await read(body)


async def test_req_04_a_part_that_changes_its_length_ends_the_form(tmp_path: Path) -> None:
    path = tmp_path / "data"
    path.write_bytes(b"x" * 10)
    body = encode_body(files={"a": path, "b": b"y"})
    await body.prepare()
    path.write_bytes(b"x" * 11)
    with pytest.raises(RequestBodyError, match="longer than its declared length"):
        await read(body)


def test_repr_shows_no_content() -> None:
    assert repr(encode_body(files={"a": iter([b"secret"])})) == "<MultipartBody of 1 parts>"
