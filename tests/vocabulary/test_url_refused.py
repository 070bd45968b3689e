"""What is no URL, and what an error about it may show (HAZARDS REQ-01, REQ-07, REQ-08)."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from netio.errors import InvalidURL
from netio.url import URL

LABEL = "a" * 63


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
