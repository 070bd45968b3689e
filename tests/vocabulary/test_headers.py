"""Headers: ordered, case-insensitive, and nothing in them that could begin another line (HAZARDS REQ-01)."""

from __future__ import annotations

import copy
import pickle
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from netio.errors import InvalidRequest
from netio.headers import Headers, checked_field

TOKENS = st.text(st.sampled_from("abcXYZ09!#$%&'*+-.^_`|~"), min_size=1, max_size=8)
VALUES = st.text(st.characters(min_codepoint=0x20, max_codepoint=0xFF, exclude_categories=["Cc"]), max_size=8).map(
    lambda value: value.strip(" \t")
)
FIELDS = st.lists(st.tuples(TOKENS, VALUES), max_size=8)


# ---------------------------------------------------------------------- reading


def test_names_are_compared_without_case() -> None:
    headers = Headers({"Content-Type": "text/plain"})
    for name in ("content-type", "CONTENT-TYPE", "Content-Type"):
        assert headers[name] == "text/plain"
        assert headers.get(name) == "text/plain"
        assert name in headers
        assert headers.get_list(name) == ["text/plain"]


def test_missing_name_is_a_key_error() -> None:
    headers = Headers({"a": "1"})
    with pytest.raises(KeyError):
        headers["b"]
    with pytest.raises(KeyError):
        del headers["b"]
    other: object = 5
    assert (headers.get("b"), headers.get_list("b"), "b" in headers, other in headers) == (None, [], False, False)


def test_fields_keep_their_order_and_their_case() -> None:
    fields = (("B", "1"), ("a", "2"), ("b", "3"), ("A", "4"))
    headers = Headers(fields)
    assert headers.fields == fields
    assert list(headers) == ["b", "a"]
    assert len(headers) == 2


def test_repeated_fields_are_joined_by_a_comma_and_listed_one_by_one() -> None:
    headers = Headers([("Set-Cookie", "a=1"), ("x", "y"), ("set-cookie", "b=2")])
    assert headers["set-cookie"] == "a=1, b=2"
    assert headers.get_list("Set-Cookie") == ["a=1", "b=2"]
    assert dict(headers) == {"set-cookie": "a=1, b=2", "x": "y"}


def test_empty_value_is_a_value() -> None:
    headers = Headers({"x": ""})
    assert "x" in headers
    assert headers["x"] == ""


# ---------------------------------------------------------------------- writing


def test_setting_a_name_replaces_all_its_fields_at_the_place_of_the_first() -> None:
    headers = Headers([("a", "1"), ("B", "2"), ("c", "3"), ("b", "4")])
    headers["b"] = "new"
    assert headers.fields == (("a", "1"), ("b", "new"), ("c", "3"))


def test_setting_a_new_name_appends_it() -> None:
    headers = Headers([("a", "1")])
    assert "b" not in headers
    headers["b"] = "2"
    assert headers.fields == (("a", "1"), ("b", "2"))
    assert headers["b"] == "2"


def test_adding_appends_whatever_is_there() -> None:
    headers = Headers([("a", "1")])
    assert headers["a"] == "1"
    headers.add("A", "2")
    assert headers.fields == (("a", "1"), ("A", "2"))
    assert headers["a"] == "1, 2"


def test_deleting_a_name_removes_all_its_fields() -> None:
    headers = Headers([("a", "1"), ("B", "2"), ("b", "3")])
    assert headers["b"] == "2, 3"
    del headers["B"]
    assert headers.fields == (("a", "1"),)
    assert "b" not in headers


def test_default_is_set_only_where_nothing_is() -> None:
    headers = Headers({"Accept": "text/html"})
    assert headers.setdefault("accept", "*/*") == "text/html"
    assert headers.setdefault("user-agent", "x") == "x"
    assert headers.fields == (("Accept", "text/html"), ("user-agent", "x"))


def test_copy_and_original_are_independent() -> None:
    original = Headers({"a": "1"})
    copies = [original.copy(), Headers(original), copy.copy(original), copy.deepcopy(original)]
    original["a"] = "2"
    original.add("b", "3")
    for each in copies:
        assert each.fields == (("a", "1"),)
    copies[0].add("c", "4")
    assert original.fields == (("a", "2"), ("b", "3"))
    assert copies[1].fields == (("a", "1"),)


def test_copy_made_after_a_look_up_is_independent_too() -> None:
    original = Headers({"a": "1"})
    assert original["a"] == "1"
    other = copy.copy(original)
    other["a"] = "2"
    assert (original["a"], other["a"]) == ("1", "2")


@given(FIELDS)
def test_received_fields_survive_pickling(fields: list[tuple[str, str]]) -> None:
    headers = Headers.received(tuple(fields))
    len(headers.get_list("a"))
    assert pickle.loads(pickle.dumps(headers)).fields == tuple(fields)


# ---------------------------------------------------------------------- equality


def test_equality_sees_neither_the_case_of_names_nor_their_order() -> None:
    headers = Headers([("A", "1"), ("b", "2"), ("a", "3")])
    assert headers == Headers([("B", "2"), ("a", "1"), ("a", "3")])
    assert headers == [("b", "2"), ("A", "1"), ("A", "3")]
    assert Headers({"A": "1"}) == {"a": "1"}
    assert headers != Headers([("a", "1"), ("b", "2")])
    assert Headers({"a": "x"}) != Headers({"a": "X"})


def test_equality_sees_the_order_of_repeated_fields() -> None:
    assert Headers([("a", "1"), ("a", "2")]) != Headers([("a", "2"), ("a", "1")])


@pytest.mark.parametrize("other", ["ab", "abc", [1, 2], {"bad name": "x"}, {"a": 1}, [("a", "b", "c")], 5, None, b"ab"])
def test_what_is_no_headers_is_unequal_and_no_error(other: object) -> None:
    assert Headers({"a": "1"}) != other
    assert (Headers() == other) is False


def test_headers_cannot_be_hashed() -> None:
    with pytest.raises(TypeError):
        hash(Headers())


# ---------------------------------------------------------------------- what is refused

BAD_NAMES = [
    "",
    " ",
    "a b",
    " a",
    "a ",
    "a:",
    ":path",
    "a\r",
    "a\n",
    "a\r\nb",
    "\x00",
    "a\x7f",
    "a\t",
    "é",
    "a(b",
    "a@b",
    "a/b",
    'a"',
]
BAD_VALUES = [
    "\r",
    "\n",
    "a\r\nb: c",
    "a\nb",
    "a\rb",
    "\x00",
    "a\x00b",
    "\x1b[2J",
    "\x7f",
    "a\x0bb",
    "\x0c",
    "\x08",
    "€",
    "\u2028",
    "\ud800",
]


@pytest.mark.parametrize("name", BAD_NAMES)
def test_req_01_names_that_are_no_token_are_refused(name: str) -> None:
    with pytest.raises(InvalidRequest, match="not a header name"):
        Headers([(name, "x")])


@pytest.mark.parametrize("value", BAD_VALUES)
def test_req_01_values_that_end_a_line_or_have_no_latin_1_form_are_refused(value: str) -> None:
    with pytest.raises(InvalidRequest, match="the value of header x has"):
        Headers([("x", f"a{value}b")])


@pytest.mark.parametrize("way", ["make", "set", "add", "setdefault", "update"])
@pytest.mark.parametrize(("name", "value"), [("a b", "x"), ("a\r\n", "x"), ("a", "x\r\ny"), ("a", "\x00")])
def test_req_01_every_way_of_writing_checks_and_a_refusal_changes_nothing(way: str, name: str, value: str) -> None:
    headers = Headers({"k": "v"})
    with pytest.raises(InvalidRequest):
        match way:
            case "make":
                Headers({name: value})
            case "set":
                headers[name] = value
            case "add":
                headers.add(name, value)
            case "setdefault":
                headers.setdefault(name, value)
            case _:
                headers.update({name: value})
    assert headers.fields == (("k", "v"),)


@pytest.mark.parametrize(("name", "value"), [(b"a", "x"), ("a", b"x"), ("a", 1), ("a", None), (1, "x"), ("a", ["x"])])
def test_req_01_names_and_values_that_are_no_text_are_refused(name: Any, value: Any) -> None:
    with pytest.raises(InvalidRequest, match="header names and values are str"):
        Headers([(name, value)])


def test_req_01_error_does_not_show_the_value() -> None:
    with pytest.raises(InvalidRequest) as caught:
        Headers({"authorization": "Bearer secret\n"[:-1] + "\x00"})
    assert "secret" not in str(caught.value)


def test_req_01_error_about_a_long_name_is_short() -> None:
    with pytest.raises(InvalidRequest) as caught:
        Headers({"\x1b" * 100_000: "x"})
    assert len(str(caught.value)) < 500
    assert str(caught.value).isprintable()


@given(st.text(max_size=6), st.text(max_size=6))
def test_req_01_any_field_is_safe_on_the_wire_or_refused(name: str, value: str) -> None:
    try:
        fields = Headers([(name, value)]).fields
    except InvalidRequest:
        return
    line = b"%s: %s" % (fields[0][0].encode("ascii"), fields[0][1].encode("latin-1"))
    assert not set(line) & {*range(0x09), *range(0x0A, 0x20), 0x7F}
    assert line.count(b":") >= 1
    assert b" " not in line.split(b":")[0]


@given(FIELDS)
def test_any_valid_fields_are_kept_as_they_are(fields: list[tuple[str, str]]) -> None:
    headers = Headers(fields)
    assert headers.fields == tuple(fields)
    for name, _ in fields:
        expected = [value for other, value in fields if other.lower() == name.lower()]
        assert headers.get_list(name.upper()) == expected
        assert headers[name] == ", ".join(expected)


def test_blanks_around_a_value_are_dropped() -> None:
    assert checked_field("a", " \t x y\t ") == ("a", "x y")


def test_latin_1_goes_both_ways() -> None:
    text = bytes(range(0xA0, 0x100)).decode("latin-1")
    assert Headers({"x": text})["x"] == text
    assert Headers.received((("x", text),))["X"] == text


# ---------------------------------------------------------------------- secrets


@pytest.mark.parametrize("name", ["Authorization", "PROXY-AUTHORIZATION", "cookie", "Set-Cookie"])
def test_auth_02_repr_hides_secrets(name: str) -> None:
    headers = Headers([("a", "shown"), (name, "secret"), (name, "secret")])
    assert repr(headers) == f"Headers([('a', 'shown'), ('{name}', '[secret]'), ('{name}', '[secret]')])"
    assert "secret'" not in str(headers).replace("[secret]", "")
