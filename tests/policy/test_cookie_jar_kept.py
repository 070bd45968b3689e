"""CookieJar: what holds whatever servers say, what a file may hold, and what the user may put in."""

from __future__ import annotations

import json
from http.cookiejar import CookieJar as StandardJar
from typing import Any
from urllib.request import Request as StandardRequest

import pytest
from hypothesis import given
from hypothesis import strategies as st

from netio.policy import Cookie, CookieJar
from netio.policy._cookie_text import MAX_AGE, read_date, read_set_cookie
from netio.policy._suffixes import Suffixes, is_common_suffix
from netio.url import URL
from tests.policy.test_cookie_jar import NOW, jar, sent

line_text = st.text(st.characters(max_codepoint=255), max_size=60)
piece = st.sampled_from(
    [
        "a",
        "b=c",
        "=",
        ";",
        " ",
        "__Host-x",
        "; secure",
        "; path=/",
        "; domain=example.com",
        "; max-age=9",
        "; expires=",
        "\t",
    ]
)
lines = st.one_of(line_text, st.lists(piece, max_size=8).map("".join))
urls = st.sampled_from(["http://example.com/", "https://a.example.com/x/y", "https://example.com", "http://127.0.0.1/"])


@given(st.lists(st.tuples(urls, lines), max_size=10))
def test_ck_02_whatever_servers_say_the_jar_sends_what_can_be_sent(said: list[tuple[str, str]]) -> None:
    kept = CookieJar(now=lambda: NOW, is_public_suffix=is_common_suffix)
    for url, line in said:
        kept.store(URL(url), [line])
    assert len(kept) == len(list(kept)) <= len(said)
    for url in ("http://example.com/", "https://a.example.com/x/y", "https://other.test/"):
        for name, value in kept.pairs_for(URL(url)):
            assert name
            assert "=" not in name
            assert not set(";\r\n\0") & set(name + value)
    assert kept.pairs_for(URL("https://other.test/")) == []


@given(st.lists(st.tuples(urls, lines), max_size=10))
def test_ck_05_a_jar_that_was_saved_and_loaded_is_the_same(said: list[tuple[str, str]]) -> None:
    kept = CookieJar(now=lambda: NOW, is_public_suffix=is_common_suffix)
    for url, line in said:
        kept.store(URL(url), [line])
    loaded = CookieJar(now=lambda: NOW).add_json(kept.to_json())
    assert list(loaded) == list(kept)
    for url in ("http://example.com/", "https://a.example.com/x/y", "https://example.com/", "http://127.0.0.1/"):
        assert loaded.pairs_for(URL(url)) == kept.pairs_for(URL(url))
    assert loaded.to_json() == kept.to_json()


@given(st.text(max_size=100))
def test_ck_04_no_date_and_no_line_raises(text: str) -> None:
    read_date(text)
    read_set_cookie(text, NOW)
    read_set_cookie(f"a=b; expires={text}; max-age={text}; domain={text}", NOW)


token = st.text(st.sampled_from("abcXYZ019-_"), min_size=1, max_size=8)


@given(
    st.lists(
        st.tuples(token, token, st.sampled_from(["", "; path=/", "; path=/x", "; secure", "; max-age=99"])), max_size=6
    )
)
def test_the_standard_library_keeps_the_same_of_plain_cookies(said: list[tuple[str, str, str]]) -> None:
    """Only where it is right: host-only cookies with valid tokens, on https; it has its own mind about all else."""
    kept = CookieJar(now=lambda: NOW)
    standard = StandardJar()
    asked = StandardRequest("https://a.example.com/x/y")
    for name, value, attribute in said:
        line = f"{name}={value}{attribute}"
        kept.store(URL("https://a.example.com/x/y"), [line])
        standard.extract_cookies(_StandardResponse(line), asked)  # type: ignore[arg-type]
    standard.add_cookie_header(asked)
    field = asked.get_header("Cookie") or ""
    assert sorted(sent(kept, "https://a.example.com/x/y").split("; ")) == sorted(field.split("; "))


class _StandardResponse:
    def __init__(self, line: str) -> None:
        self._line = line

    def info(self) -> _StandardResponse:
        return self

    def get_all(self, name: str, default: list[str]) -> list[str]:
        return [self._line] if name == "Set-Cookie" else default


# ---------------------------------------------------------------------- what the user puts in


def test_a_cookie_of_the_user_is_sent_over_https_to_its_host_alone() -> None:
    kept = CookieJar(now=lambda: NOW)
    kept.add(Cookie(name="a", value="b", domain="example.com"))
    kept.add(Cookie(name="c", value="d", domain="example.com", is_host_only=False, is_secure=False, path="/x"))
    assert sent(kept, "https://example.com/x") == "c=d; a=b"
    assert sent(kept, "http://sub.example.com/x/") == "c=d"
    kept.clear("example.com")
    assert (len(kept), repr(kept)) == (0, "<CookieJar of 0 cookies>")


@pytest.mark.parametrize(
    "bad",
    [
        *(
            {"name": ""},
            {"name": "a=b"},
            {"name": "a;b"},
            {"name": "a\n"},
            {"name": " a"},
            {"name": "\u0100"},
            {"name": 1},
        ),
        *(
            {"value": "a;b"},
            {"value": "a\r\nb"},
            {"value": None},
            {"value": "x" * 4_096},
            {"value": "a "},
            {"value": "€"},
        ),
        *({"domain": ""}, {"domain": ".a.test"}, {"domain": "A.test"}, {"domain": "a.test."}, {"domain": "a b"}),
        *({"path": ""}, {"path": "x"}, {"is_secure": 1}, {"expires": "soon"}, {"expires": float("nan")}),
    ],
)
def test_ck_05_an_impossible_cookie_is_refused_alone_and_in_a_file(bad: dict[str, Any]) -> None:
    good = {"name": "a", "value": "b", "domain": "a.test"}
    with pytest.raises(ValueError, match="cookie"):
        CookieJar().add(Cookie(**(good | bad)))
    kept = CookieJar()
    with pytest.raises(ValueError, match="not a saved cookie jar"):
        kept.add_json(json.dumps({"format": 1, "cookies": [good, good | bad]}))
    assert len(kept) == 0


@pytest.mark.parametrize(
    "text",
    [
        *(
            "",
            "[]",
            "null",
            "{}",
            '{"format": 2, "cookies": []}',
            '{"format": 1, "cookies": [{}]}',
            "[" * 100_000,
            "\udcff",
        ),
        '{"format": 1, "cookies": [{"name": "a", "value": "b", "domain": "a.test", "evil": 1}]}',
        '{"format": 1, "cookies": 1}',
    ],
)
def test_ck_05_what_is_no_jar_is_a_value_error(text: str) -> None:
    with pytest.raises(ValueError, match="not a saved cookie jar"):
        CookieJar().add_json(text)


def test_ck_05_a_time_in_a_file_is_clamped_and_what_is_over_is_left_out() -> None:
    entries = [
        {"name": name, "value": "v", "domain": "a.test", "expires": end} for name, end in [("a", 1e300), ("b", 1.0)]
    ]
    kept = CookieJar(now=lambda: NOW).add_json(json.dumps({"format": 1, "cookies": entries}))
    assert [(cookie.name, cookie.expires) for cookie in kept] == [("a", NOW + MAX_AGE)]


def test_auth_02_a_cookie_shows_its_value_nowhere() -> None:
    kept = jar("name=secret")
    assert "secret" not in repr(kept) + repr(list(kept))


def test_the_list_of_suffixes_is_read_once_it_is_needed() -> None:
    suffixes = Suffixes()
    assert not suffixes.is_loaded
    assert suffixes("com")
    assert not suffixes("example.com")
    assert suffixes.is_loaded
