"""URL: one reading of a text, or none (HAZARDS REQ-01, REQ-07, REQ-08)."""

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
        ("http://[::FFFF:1.2.3.4]", "http", "::ffff:102:304", 80, "/"),
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
        ("/a%2Fb%2fc", "/a%2Fb%2Fc"),
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


# ---------------------------------------------------------------------- what is refused


@pytest.mark.parametrize("character", [*map(chr, range(0x20)), "\x7f", chr(0xD800), chr(0xDFFF)])
@pytest.mark.parametrize(
    "place",
    [
        "{}http://e/",
        "ht{}tp://e/",
        "http:{}//e/",
        "http://{}e/",
        "http://e{}/",
        "http://e/a{}b",
        "http://e/?{}",
        "http://e/#{}",
        "{}",
    ],
)
def test_req_01_control_characters_and_lone_surrogates_are_refused_everywhere(place: str, character: str) -> None:
    with pytest.raises(InvalidURL):
        URL(place.format(character))


@pytest.mark.parametrize(
    "text",
    [
        " http://e/",
        "http://e/ ",
        "http://e /",
        "http:// e/",
        "http://a b/",
        "http://a\u00a0b/",
        "http://\u3000e/",
        "http://a%20b/",
        "http://a\u2028/",
        "http://e\u200b.com/",
        "http://e\u00ad.com/",
    ],
)
def test_req_08_blanks_around_and_in_the_host_are_refused(text: str) -> None:
    with pytest.raises(InvalidURL):
        URL(text)


@pytest.mark.parametrize(
    "text", ["http:/\\/e/", "http:\\\\e\\", "http://e\\@x/", "http://e\\.x/", "http://e/\\", "\\\\e", "http://x\\:@e/"]
)
def test_req_08_backslash_before_the_query_is_refused(text: str) -> None:
    with pytest.raises(InvalidURL, match="backslash"):
        URL(text)


@pytest.mark.parametrize(
    "text", ["http:", "http:/", "http://", "http:///", "http:///e/", "http:/e/", "http:e/", "https:?q", "http://#f"]
)
def test_req_08_http_url_without_a_host_is_refused(text: str) -> None:
    with pytest.raises(InvalidURL):
        URL(text)


@pytest.mark.parametrize(
    "text", ["http://:80/", "http://@/", "http://[]@/", "http://user@/", "http://user@:80/", "http://:@/", "https://?q"]
)
def test_req_08_empty_host_beside_something_is_refused(text: str) -> None:
    with pytest.raises(InvalidURL):
        URL(text)


@pytest.mark.parametrize(
    "port",
    [
        "0",
        "00",
        "65536",
        "99999",
        "123456",
        "-1",
        "+80",
        " 80",
        "80 ",
        "8_0",
        "x",
        "8x",
        "0x50",
        "1e1",
        "\u0663",
        "\uff18\uff10",
        "80:90",
        "\u00b2",
    ],
)
def test_req_08_impossible_ports_are_refused(port: str) -> None:
    with pytest.raises(InvalidURL):
        URL(f"http://example.org:{port}/")


@pytest.mark.parametrize(
    "host",
    [
        "a..b",
        ".a",
        "a..",
        "...",
        "%61.com",
        "a%00b",
        "a%2fb",
        "a;b",
        "a,b",
        "a*b",
        "a!b",
        "a$b",
        "(a)",
        "a'b",
        'a"b',
        "<a>",
        "a|b",
        "a^b",
        "{a}",
        "a`b",
        "a&b=c",
        "a+b",
        LABEL + "a",
        f"{LABEL}a.com",
        f"{'.'.join([LABEL] * 3)}.{'a' * 62}",
        "a." * 200 + "com",
        "ü" * 60,
        "é" * 65_000,
        "1:2:3",
        "::1",
    ],
)
def test_req_08_impossible_hosts_are_refused(host: str) -> None:
    with pytest.raises(InvalidURL):
        URL(f"http://{host}/")


@pytest.mark.parametrize(
    "host",
    [
        "[::1",
        "::1]",
        "[]",
        "[::1]x",
        "x[::1]",
        "[[::1]]",
        "[1.2.3.4]",
        "[v1.x]",
        "[v1.fe80::a]",
        "[:::]",
        "[g::]",
        "[1:2]",
        "[::1]:80:90",
    ],
)
def test_req_08_what_is_no_ipv6_address_between_brackets_is_refused(host: str) -> None:
    with pytest.raises(InvalidURL):
        URL(f"http://{host}/")


@pytest.mark.parametrize("host", ["[::1%25eth0]", "[fe80::1%eth0]", "[fe80::1%]", "[::1%25]"])
def test_req_08_ipv6_zones_are_refused(host: str) -> None:
    with pytest.raises(InvalidURL, match="IPv6 zone"):
        URL(f"http://{host}/")


@pytest.mark.parametrize("host", ["a\u2100b", "a\uff0fb", "a\uff1a80", "a\uff20b", "a\uff03b", "a\uff1fb", "a\u2106b"])
def test_req_08_characters_that_become_delimiters_are_refused(host: str) -> None:
    with pytest.raises(InvalidURL):
        URL(f"http://{host}/")


@pytest.mark.parametrize("host", ["☃.example", "straße.❤.example", "faß☃.example", "\u0661.example"])
def test_tls_01_names_outside_of_idna_2008_are_refused(host: str) -> None:
    with pytest.raises(InvalidURL):
        URL(f"http://{host}/")


def test_url_has_a_limit_of_length() -> None:
    start = "http://e/"
    assert len(URL(start + "a" * (65_536 - len(start))).target) == 65_536 - len("http://e")
    with pytest.raises(InvalidURL, match="65537 characters long"):
        URL(start + "a" * (65_537 - len(start)))


@given(
    st.text()
    | st.builds("http://{}{}".format, st.text(), st.sampled_from(["", "/", "/x"]))
    | st.builds(
        "https://{}/{}?{}#{}".format, st.from_regex(r"[a-z0-9.@:\[\]%-]{1,12}"), st.text(), st.text(), st.text()
    )
    | st.text(st.sampled_from("htps:/?#@[]%.0a1f_-\\ \u3002é℀\u0661"), max_size=20)
)
def test_req_08_any_text_is_a_url_that_is_safe_on_the_wire_or_invalid(text: str) -> None:
    try:
        url = URL(text)
    except InvalidURL as error:
        assert str(error).isascii()
        return
    for part in (url.target, url.host, url.origin.authority):
        assert part.isascii()
        assert not any(character <= " " or character == "\x7f" for character in part)
    assert not set(url.host) & set("/?#@[]\\%")
    assert "#" not in url.target
    assert url.port is None or 0 < url.port < 65_536
    assert url.host or url.scheme not in ("http", "https")
    again = URL(str(url))
    assert (again.origin, again.target, str(again)) == (url.origin, url.target, str(url))


# ---------------------------------------------------------------------- secrets


@pytest.mark.parametrize(
    ("text", "redacted"),
    [
        ("https://user:secret@example.org/path?secret#secret", "https://example.org/path?..."),
        ("https://example.org:444?secret", "https://example.org:444/?..."),
        ("http://[::1]:8080/x", "http://[::1]:8080/x"),
        ("http://example.org", "http://example.org/"),
        ("/path?secret#secret", "/path?..."),
        ("//user:secret@example.org/path", "/path"),
        ("user:secret@example.org/path", "user:..."),
        ("localhost:8080/path", "localhost:8080/path"),
        ("ws://user:secret@example.org/path", "ws://example.org:80/path"),
        ("gopher://user:secret@example.org/path", "gopher://example.org/path"),
        ("", ""),
    ],
)
def test_req_07_redacted_shows_no_secret(text: str, redacted: str) -> None:
    url = URL(text)
    assert url.redacted == redacted
    assert repr(url) == f"URL({redacted!r})"


@pytest.mark.parametrize(
    "text",
    [
        "http://user:secret@exa mple/",
        "http://user:secret@example.org:x/",
        "http://user:secret@[::1/",
        "http://user:secret@a℀b/",
        "http://user:sec/secret@example.org:/",
        "http://user:x?secret@example.org/",
        "http://user:x#secret@example.org/",
        "http://user:secret@x@\n/",
        "http://user:secret@example.org/\n",
        "//user:secret@example.org:x/",
        "user:secret@\\example.org",
        "http:user:secret@example.org",
        "http://example.org:x/?secret",
        "http://example.org:x/#secret",
        "http://example.org:x/?a@secret",
        "http://user:secret@☃/",
        " http://user:secret@example.org/",
        "http://user:secret@" + "a" * 254 + "/",
    ],
)
def test_req_07_error_about_a_url_shows_no_secret(text: str) -> None:
    with pytest.raises(InvalidURL) as caught:
        URL(text)
    error: BaseException | None = caught.value
    assert "secret" not in str(error)
    assert error is not None
    assert "secret" not in repr(error.__cause__)


@given(st.text(st.characters(exclude_characters="\\", exclude_categories=["Cs"]), min_size=1), st.text(max_size=5))
def test_req_07_no_userinfo_is_shown_whatever_stands_in_it(password: str, host: str) -> None:
    text = f"http://user:{password}~secret~@{host}/"
    try:
        shown = URL(text).redacted
    except InvalidURL as error:
        shown = str(error)
    else:
        if set(password) & set("/?#"):
            return  # then it was none: the authority ended before it
    assert "~secret~" not in shown


def test_long_url_is_cut_in_an_error() -> None:
    with pytest.raises(InvalidURL) as caught:
        URL("http://example.org:x/" + "a" * 1_000)
    assert len(str(caught.value)) < 150


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
        ({"a b": "é &=+#?%/"}, "a+b=%C3%A9+%26%3D%2B%23?%25/"),
        ({"a": "x\r\ny\x00"}, "a=x%0D%0Ay%00"),
        ({}, ""),
    ],
)
def test_req_01_parameters_become_a_query(params: Any, query: str) -> None:
    assert URL("http://e/").with_params(params).query == query


def test_parameters_are_added_to_the_query_and_keep_the_fragment() -> None:
    url = URL("http://e/p?x=1%20+#f")
    assert str(url.with_params({"x": "2"})) == "http://e/p?x=1%20+&x=2#f"
    assert str(url) == "http://e/p?x=1%20+#f"
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
    url = URL("http://EXAMPLE.org:80/a%2fb")
    assert url == URL("http://example.org/a%2Fb")
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
