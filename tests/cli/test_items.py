"""What the items after a URL mean; HTTPie's documentation is the model."""

from __future__ import annotations

from pathlib import Path

import pytest

from netio.cli._exits import Usage
from netio.cli._items import read_items


def test_each_separator_has_its_meaning() -> None:
    items = read_items(["X-A:1", "q==a b", "name=Ada", "age:=36", 'tags:=["x", null]', "Empty;", "Accept:"])
    assert items.headers == [("X-A", "1"), ("Empty", "")]
    assert items.without == ["Accept"]
    assert items.params == [("q", "a b")]
    assert items.data == {"name": "Ada", "age": 36, "tags": ["x", None]}
    assert items.has_body


def test_header_fields_and_parameters_make_no_body() -> None:
    assert not read_items(["X-A:1", "q==1"]).has_body


@pytest.mark.parametrize(
    ("text", "data"),
    [
        ("a=b=c", {"a": "b=c"}),
        ("a=b@c", {"a": "b@c"}),
        (r"a\=b=c", {"a=b": "c"}),
        (r"a\:b=c", {"a:b": "c"}),
        ("a=", {"a": ""}),
    ],
)
def test_the_first_separator_counts_unless_a_backslash_stands_before_it(text: str, data: dict[str, str]) -> None:
    assert read_items([text]).data == data


def test_the_longest_of_the_separators_that_begin_at_a_place_counts() -> None:
    assert read_items(["a==b"]).params == [("a", "b")]
    assert read_items(["url:=1"]).data == {"url": 1}


def test_files_are_read_or_sent_as_parts(tmp_path: Path) -> None:
    text, value = tmp_path / "text", tmp_path / "value.json"
    text.write_text("content\n")
    value.write_text('{"deep": [1]}')
    items = read_items([f"part@{text}", f"a=@{text}", f"b:=@{value}", f"q==@{text}", f"X:@{text}"])
    assert items.files == [("part", text)]
    assert items.data == {"a": "content\n", "b": {"deep": [1]}}
    assert items.params == [("q", "content\n")]
    assert items.headers == [("X", "content")]


@pytest.mark.parametrize("text", ["word", "", "=value", ":value"])
def test_what_is_no_item_is_refused_by_its_position(text: str) -> None:
    with pytest.raises(Usage, match="item 2 is none of"):
        read_items(["a=1", text])


def test_a_secret_in_an_item_is_not_repeated() -> None:
    with pytest.raises(Usage, match="item 1 \\('token'\\) is not JSON") as caught:
        read_items(["token:=hunter2"])
    assert "hunter2" not in str(caught.value)


@pytest.mark.parametrize("separator", ["@", "=@", ":=@"])
def test_a_file_that_is_not_there_is_refused(separator: str, tmp_path: Path) -> None:
    with pytest.raises(Usage, match="the file of item 1"):
        read_items([f"a{separator}{tmp_path / 'none'}"])
