"""URL: one reading of a text (HAZARDS REQ-01, REQ-07)."""

from __future__ import annotations

import copy
import pickle
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from netio.errors import InvalidURL
from netio.url import URL, Origin, parse_url

LABEL = "a" * 63


# ---------------------------------------------------------------------- what is read


@pytest.mark.parametrize(
    ("text", "scheme", "host", "port", "target"),
    [
        ("http://example.org", "http", "example.org", 80, "/"),
        ("https://example.org/", "https", "example.org", 443, "/"),
        ("HTTPS://EXAMPLE.ORG/Path", "https", "example.org", 443, "/Path"),
        ("http://example.org:8080/a?b=c", "http", "example.org", 8080, "/a?b=c"),
        ("http://example.org:80", "http", "example.org", 80, "/"),
        ("http://example.org:", "http", "example.org", 80, "/"),
        ("http://example.org:00080", "http", "example.org", 80, "/"),
        ("http://example.org:65535", "http", "example.org", 65_535, "/"),
        ("http://example.org?q=1", "http", "example.org", 80, "/?q=1"),
        ("http://example.org./", "http", "example.org.", 80, "/"),
        ("http://localhost", "http", "localhost", 80, "/"),
        ("http://a_b.example", "http", "a_b.example", 80, "/"),
        ("http://127.0.0.1:81", "http", "127.0.0.1", 81, "/"),
        ("http://[::1]", "http", "::1", 80, "/"),
        ("http://[0:0::0001]:8080/", "http", "::1", 8080, "/"),
        ("http://[2001:DB8::00A]", "http", "2001:db8::a", 80, "/"),
        ("http://bücher.example", "http", "xn--bcher-kva.example", 80, "/"),
        ("http://BÜCHER.example", "http", "xn--bcher-kva.example", 80, "/"),
        ("http://xn--bcher-kva.example", "http", "xn--bcher-kva.example", 80, "/"),
        ("http://faß.example", "http", "xn--fa-hia.example", 80, "/"),
        ("http://e\u3002com", "http", "e.com", 80, "/"),
        ("http://\uff45\uff58.com", "http", "ex.com", 80, "/"),
        (f"http://{LABEL}.com", "http", f"{LABEL}.com", 80, "/"),
        (f"http://{'.'.join([LABEL] * 3)}.{'a' * 61}", "http", f"{'.'.join([LABEL] * 3)}.{'a' * 61}", 80, "/"),
    ],
)
def test_url_has_scheme_host_port_and_target(text: str, scheme: str, host: str, port: int, target: str) -> None:
    url = URL(text)
    assert (url.scheme, url.host, url.port, url.target) == (scheme, host, port, target)
    assert url.origin == Origin(scheme, host, port)
    assert url.is_absolute


@pytest.mark.parametrize(
    ("written", "target"),
    [
        ("/a b", "/a%20b"),
        ("/é?é", "/%C3%A9?%C3%A9"),
        ("/%C3%A9?a=%26", "/%C3%A9?a=%26"),
        ("/a%2Fb%2fc", "/a%2Fb%2fc"),
        ("/%41%40%3D%7e?%41%2F%2f'%27", "/%41%40%3D%7e?%41%2F%2f'%27"),
        ("/a%2E%2e/%2e/b/%2E%2E/c", "/a%2E%2e/c"),
        ("/[a:b]:c", "/%5Ba:b%5D:c"),
        ("/%zz%", "/%25zz%25"),
        ('/"<>^`{|}', "/%22%3C%3E%5E%60%7B%7C%7D"),
        ("/?\"<>^`{|}'\\", "/?%22%3C%3E%5E%60%7B%7C%7D'%5C"),
        ("/[x]", "/%5Bx%5D"),
        ("/a;b=c,d:e@f$g!*'()~", "/a;b=c,d:e@f$g!*'()~"),
        ("/?a=b+c%20d%2B", "/?a=b+c%20d%2B"),
        ("/a?b?c", "/a?b?c"),
        ("//a//b", "//a//b"),
        ("/a/./b/../c", "/a/c"),
        ("/a/%2e%2E/b", "/b"),
        ("/../../a", "/a"),
        ("/%00%0D%0A", "/%00%0D%0A"),
        ("/\x80\ufffe", "/%C2%80%EF%BF%BE"),
    ],
)
def test_req_01_target_is_percent_encoded(written: str, target: str) -> None:
    url = URL(f"http://example.org{written}")
    assert url.target == target
    assert URL(str(url)) == url


TOKENS = st.one_of(st.sampled_from("aZ09-_~!$&'()*+,;=:@/"), st.integers(0, 255).map("%{:02x}".format))


@given(st.lists(TOKENS), st.lists(TOKENS))
def test_what_may_stand_in_a_url_stays_as_it_is_written(path: list[str], query: list[str]) -> None:
    parts = [part for part in path if part != "%2e"]  # which may be a dot between slashes
    target = f"/{''.join(parts)}" + (f"?{''.join(query)}" if query else "")
    url = URL(f"http://h.test{target}")
    assert url.target == target
    assert URL("http://h.test/x/y?z").join(target if not target.startswith("//") else str(url)).target == target
    assert URL(str(url)) == url


@pytest.mark.parametrize(
    "text", ["http://e/a b?c d#e f", "http://ü/ü?ü#ü", "//h/p", "/a%2fb", "?x", "x:y", "http://[::1]:1/"]
)
def test_text_of_a_url_is_read_as_the_same_url(text: str) -> None:
    url = URL(text)
    again = URL(str(url))
    assert (again, again.target, again.origin, str(again)) == (url, url.target, url.origin, str(url))


def test_req_07_userinfo_and_fragment_never_reach_the_wire() -> None:
    url = URL("https://us%40er:p%3Aw@example.org:444/path?q#part")
    assert (url.username, url.password, url.fragment) == ("us@er", "p:w", "part")
    assert (url.host, url.origin.authority, url.target) == ("example.org", "example.org:444", "/path?q")
    assert str(url.origin) == "https://example.org:444"
    assert str(url) == "https://us%40er:p%3Aw@example.org:444/path?q#part"


def test_req_07_last_at_sign_ends_the_userinfo() -> None:
    assert URL("http://good.example@bad.example/").host == "bad.example"
    assert URL("http://a@b@c/").host == "c"


@pytest.mark.parametrize(
    ("origin", "authority"),
    [
        (Origin("http", "e", 80), "e"),
        (Origin("https", "e", 443), "e"),
        (Origin("http", "e", 443), "e:443"),
        (Origin("https", "e", 80), "e:80"),
        (Origin("http", "::1", 80), "[::1]"),
        (Origin("https", "::1", 8443), "[::1]:8443"),
    ],
)
def test_authority_leaves_out_the_default_port_of_the_scheme(origin: Origin, authority: str) -> None:
    assert origin.authority == authority
    assert str(origin) == f"{origin.scheme}://{authority}"
    assert origin.is_tls == (origin.scheme == "https")


@pytest.mark.parametrize(
    ("text", "path", "query", "fragment"),
    [("", "", "", ""), ("a/b?c#d", "a/b", "c", "d"), ("?é", "", "%C3%A9", ""), ("/é", "/%C3%A9", "", "")],
)
def test_relative_url_has_parts(text: str, path: str, query: str, fragment: str) -> None:
    url = URL(text)
    assert (url.path, url.query, url.fragment) == (path, query, fragment)
    assert (url.scheme, url.host, url.port, url.is_absolute) == ("", "", None, False)


# ---------------------------------------------------------------------- parameters


@pytest.mark.parametrize(
    ("params", "query"),
    [
        ({"a": "b"}, "a=b"),
        ({"a": 1, "b": 1.5}, "a=1&b=1.5"),
        ({"a": True, "b": False}, "a=true&b=false"),
        ({"a": None, "b": ""}, "b="),
        ({"a": ["x", 2, None, True]}, "a=x&a=2&a=true"),
        ({"a": ("x", "y")}, "a=x&a=y"),
        ({"a": []}, ""),
        ([("a", "1"), ("b", "2"), ("a", "3")], "a=1&b=2&a=3"),
        ({"a b": "é &=+#?%/:@'()*~"}, "a+b=%C3%A9+%26%3D%2B%23%3F%25%2F%3A%40%27%28%29%2A~"),  # as httpx2 has it
        ({"a": "x\r\ny\x00"}, "a=x%0D%0Ay%00"),
        ({}, ""),
    ],
)
def test_req_01_parameters_become_a_query(params: Any, query: str) -> None:
    assert URL("http://e/").with_params(params).query == query


def test_parameters_are_added_to_the_query_and_keep_the_fragment() -> None:
    url = URL("http://u:p@e:81/p%2f?x=1%20+%2F%41#f")
    assert str(url.with_params({"x": "2"})) == "http://u:p@e:81/p%2f?x=1%20+%2F%41&x=2#f"
    assert str(url) == "http://u:p@e:81/p%2f?x=1%20+%2F%41#f"
    assert str(URL("?").with_params({"x": "2"})) == "?x=2"
    assert url.with_params({"x": None}) is url


@pytest.mark.parametrize(
    "params",
    [
        {"a": b"bytes"},
        {"a": bytearray(b"x")},
        {"a": {"b": "c"}},
        {"a": [["b"]]},
        {"a": "\ud800"},
        {"\ud800": "a"},
        "a=b",
        5,
        [1],
        [("a",)],
        [("a", "b", "c")],
    ],
)
def test_parameters_that_are_none_are_refused(params: Any) -> None:
    with pytest.raises(InvalidURL, match="not parameters"):
        URL("http://e/").with_params(params)


@given(
    st.dictionaries(
        st.text(st.characters(exclude_categories=["Cs"])), st.text(st.characters(exclude_categories=["Cs"]))
    )
)
def test_req_01_any_parameters_are_safe_in_the_target(params: dict[str, str]) -> None:
    target = URL("http://e/").with_params(params).target
    assert all("!" <= character <= "~" and character != "#" for character in target)
    assert target.count("=") == len(params)
    assert target.count("&") == max(0, len(params) - 1)


# ---------------------------------------------------------------------- joining


RFC_3986_5_4 = {
    "g:h": "g:h",
    "g": "http://a/b/c/g",
    "./g": "http://a/b/c/g",
    "g/": "http://a/b/c/g/",
    "/g": "http://a/g",
    "//g": "http://g",
    "?y": "http://a/b/c/d;p?y",
    "g?y": "http://a/b/c/g?y",
    "#s": "http://a/b/c/d;p?q#s",
    "g#s": "http://a/b/c/g#s",
    "g?y#s": "http://a/b/c/g?y#s",
    ";x": "http://a/b/c/;x",
    "g;x": "http://a/b/c/g;x",
    "g;x?y#s": "http://a/b/c/g;x?y#s",
    "": "http://a/b/c/d;p?q",
    ".": "http://a/b/c/",
    "./": "http://a/b/c/",
    "..": "http://a/b/",
    "../": "http://a/b/",
    "../g": "http://a/b/g",
    "../..": "http://a/",
    "../../": "http://a/",
    "../../g": "http://a/g",
    "../../../g": "http://a/g",
    "../../../../g": "http://a/g",
    "/./g": "http://a/g",
    "/../g": "http://a/g",
    "g.": "http://a/b/c/g.",
    ".g": "http://a/b/c/.g",
    "g..": "http://a/b/c/g..",
    "..g": "http://a/b/c/..g",
    "./../g": "http://a/b/g",
    "./g/.": "http://a/b/c/g/",
    "g/./h": "http://a/b/c/g/h",
    "g/../h": "http://a/b/c/h",
    "g;x=1/./y": "http://a/b/c/g;x=1/y",
    "g;x=1/../y": "http://a/b/c/y",
    "g?y/./x": "http://a/b/c/g?y/./x",
    "g?y/../x": "http://a/b/c/g?y/../x",
    "g#s/./x": "http://a/b/c/g#s/./x",
    "g#s/../x": "http://a/b/c/g#s/../x",
}
"""All but "http:g", which RFC 9110 section 4.2.1 forbids: the test below."""


@pytest.mark.parametrize(("reference", "expected"), RFC_3986_5_4.items())
def test_reference_is_resolved_as_rfc_3986_has_it(reference: str, expected: str) -> None:
    joined = URL("http://a/b/c/d;p?q").join(reference)
    assert str(joined) == expected
    assert joined == URL(expected)


@pytest.mark.parametrize("reference", ["http:g", "http:/g", "http:///g", "//h:x/", "//h\\@x", "/\r\n", "/ ", "\\\\g"])
def test_req_08_reference_is_checked_before_it_is_joined(reference: str) -> None:
    with pytest.raises(InvalidURL):
        URL("http://a/b").join(reference)


def test_reference_with_an_origin_of_its_own_takes_it_over() -> None:
    joined = URL("http://user:pw@a:81/").join(URL("//b/x"))
    assert (joined.origin, joined.username) == (Origin("http", "b", 80), None)


# ---------------------------------------------------------------------- as a value


def test_equal_urls_have_equal_hashes_also_as_text() -> None:
    url = URL("http://EXAMPLE.org:80/a%2Fb")
    assert url == URL("http://example.org/a%2Fb")
    assert url != URL("http://example.org/a%2fb")
    assert url == "http://example.org/a%2Fb"
    assert len({url, URL("http://example.org/a%2Fb"), "http://example.org/a%2Fb"}) == 1
    assert url != URL("http://example.org/a/b")
    assert url != "http://EXAMPLE.org:80/a%2fb"
    assert url != 5


def test_url_of_a_url_is_the_same() -> None:
    url = URL("http://user@e/x")
    assert (URL(url), URL(url).target, str(URL(url))) == (url, url.target, str(url))


def test_url_can_be_copied_and_pickled() -> None:
    url = URL("http://user:pw@e/x?y#z")
    for again in (copy.copy(url), copy.deepcopy(url), pickle.loads(pickle.dumps(url))):
        assert (again, again.origin, again.target, again.password) == (url, url.origin, url.target, "pw")


def test_parsed_urls_are_remembered() -> None:
    parse_url.cache_clear()
    assert parse_url("http://e/remembered") is parse_url("http://e/remembered")
    with pytest.raises(InvalidURL):
        parse_url("http://e:x/")
    assert parse_url.cache_info().currsize == 1
