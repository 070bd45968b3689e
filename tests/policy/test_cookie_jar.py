"""CookieJar: who may set what for whom, how much is kept, and that a file gives back what was saved."""

from __future__ import annotations

from typing import Any

import pytest

from netio.policy import CookieJar
from netio.policy._cookie_jar import (
    MAX_PER_DOMAIN,
    MAX_SENT,
    MAX_TOTAL,
    default_path,
    domain_matches,
    path_matches,
)
from netio.policy._cookie_text import LONG_AGO, MAX_AGE, MAX_LINE, read_date
from netio.policy._suffixes import is_common_suffix
from netio.url import URL

NOW = 1_700_000_000.0


class Time:
    def __init__(self) -> None:
        self.now = NOW

    def __call__(self) -> float:
        return self.now


def jar(*lines: str, url: str = "https://a.example.com/", **options: Any) -> CookieJar:
    options.setdefault("now", lambda: NOW)
    made = CookieJar(**options)
    made.store(URL(url), lines)
    return made


def sent(of: CookieJar, url: str) -> str:
    return "; ".join(f"{name}={value}" for name, value in of.pairs_for(URL(url)))


# ---------------------------------------------------------------------- domains


@pytest.mark.parametrize(
    "domain",
    [
        *("com", ".com", "COM", "co.uk", "Co.UK", ".co.uk", "com.au", "example.com.", "..com", "org"),
        *(
            "b.example.com",
            "sub.a.example.com",
            "xample.com",
            "ample.com",
            "example.com:443",
            "*.example.com",
            "%2e.com",
        ),
        *("\xff\xfe", "\xc3\xbc" * 400, "xn--", "a..example.com"),
    ],
)
def test_ck_01_a_cookie_for_a_public_suffix_or_another_domain_is_refused(domain: str) -> None:
    for url in ("https://a.example.com/", "https://a.example.co.uk/", "https://a.example.com.au/"):
        assert len(jar(f"a=b; domain={domain}", url=url)) == 0


@pytest.mark.parametrize("suffix", ["co.uk", "github.io", "xn--55qx5d.cn", "\xe5\x85\xac\xe5\x8f\xb8.cn", "x.kobe.jp"])
def test_ck_01_the_list_of_public_suffixes_knows_more(suffix: str) -> None:
    pytest.importorskip("publicsuffixlist", reason="publicsuffixlist is not installed (extra `cookies`)")
    canonical = URL(f"https://{suffix.encode('latin-1').decode()}/").host
    assert len(jar(f"a=b; domain={suffix}", url=f"https://evil.{canonical}/")) == 0
    assert len(jar(f"a=b; domain=evil.{suffix}", url=f"https://x.evil.{canonical}/")) == 1


def test_ck_01_a_public_suffix_may_have_cookies_of_its_own() -> None:
    kept = jar("a=b; domain=co.uk", url="https://co.uk/", is_public_suffix=is_common_suffix)
    assert sent(kept, "https://co.uk/") == "a=b"
    assert sent(kept, "https://evil.co.uk/") == ""


def test_ck_01_without_the_list_single_labels_and_usual_second_levels_are_suffixes() -> None:
    suffixes = ["com", "localhost", "co.uk", "com.au", "or.jp", "ac.at"]
    others = ["example.com", "bbc.co.uk", "t.co", "example.de", "co.example"]
    assert [domain for domain in suffixes + others if is_common_suffix(domain)] == suffixes


def test_ck_01_the_host_is_the_same_with_and_without_the_dot_of_the_root() -> None:
    kept = jar("a=b", "c=d; domain=example.com", url="https://a.example.com./")
    assert sent(kept, "https://a.example.com/") == sent(kept, "https://a.example.com./") == "a=b; c=d"
    assert len(jar("a=b; domain=com.", "a=b; domain=com", url="https://example.com./")) == 0


@pytest.mark.parametrize("domain", ["", ".", " "])
def test_a_domain_that_says_nothing_is_the_host_alone(domain: str) -> None:
    assert [cookie.is_host_only for cookie in jar(f"a=b; domain={domain}")] == [True]


def test_ck_01_a_domain_is_compared_by_its_a_labels_in_lower_case() -> None:
    kept = jar(
        "a=b; Domain=B\xc3\xbcCHER.example", url="https://x.b\xfccher.example/", is_public_suffix=is_common_suffix
    )
    assert sent(kept, "https://y.xn--bcher-kva.example/") == "a=b"


@pytest.mark.parametrize("host", ["192.168.0.1", "[::1]", "[2001:db8::1]"])
def test_ck_01_an_address_has_cookies_for_itself_alone(host: str) -> None:
    kept = jar("a=b", f"c=d; domain={host.strip('[]')}", "e=f; domain=0.1", "g=h; domain=1", url=f"https://{host}/")
    assert [(cookie.name, cookie.is_host_only) for cookie in kept] == [("a", True), ("c", True)]
    assert sent(kept, f"https://{host}:8443/") == "a=b; c=d"
    assert sent(kept, "https://1.192.168.0.1.example.com/") == ""


@pytest.mark.parametrize(
    ("host", "domain", "matches"),
    [
        ("example.com", "example.com", True),
        ("a.example.com", "example.com", True),
        ("badexample.com", "example.com", False),
        ("example.com", "a.example.com", False),
        ("1.2.3.4", "3.4", False),
        ("x1.2.3.4a", "2.3.4a", True),
    ],
)
def test_domain_match(host: str, domain: str, matches: bool) -> None:
    assert domain_matches(host, domain) == matches


@pytest.mark.parametrize(
    ("path", "prefix", "matches"),
    [("/a", "/a", True), ("/a/b", "/a", True), ("/ab", "/a", False), ("/a/b", "/a/", True), ("/a", "/a/", False)],
)
def test_path_match(path: str, prefix: str, matches: bool) -> None:
    assert path_matches(path, prefix) == matches


@pytest.mark.parametrize(
    ("path", "folder"), [("", "/"), ("/", "/"), ("/a", "/"), ("/a/", "/a"), ("/a/b", "/a"), ("x", "/")]
)
def test_default_path(path: str, folder: str) -> None:
    assert default_path(path) == folder


# ---------------------------------------------------------------------- secure cookies, prefixes


def test_ck_02_secure_cookies_are_neither_set_nor_sent_nor_replaced_over_http() -> None:
    assert len(jar("a=b; secure", url="http://a.example.com/")) == 0
    kept = jar("a=safe; secure; path=/x")
    assert sent(kept, "http://a.example.com/x") == ""
    for line in ("a=evil; path=/x", "a=evil; path=/x/y", "a=evil; domain=example.com; path=/x"):
        kept.store(URL("http://a.example.com/"), [line])
    kept.store(URL("http://sub.a.example.com/"), ["a=evil; domain=a.example.com; path=/x"])
    assert sent(kept, "https://a.example.com/x/y") == "a=safe"
    kept.store(URL("http://a.example.com/"), ["a=other; path=/z", "b=plain"])
    assert sent(kept, "https://a.example.com/z") == "a=other; b=plain"


@pytest.mark.parametrize(
    ("line", "is_kept"),
    [
        ("__Secure-a=b; secure", True),
        ("__Secure-a=b", False),
        ("__SECURE-a=b", False),
        ("__Host-a=b; secure; path=/", True),
        ("__host-a=b; secure; path=/", True),
        ("__Host-a=b; secure", False),
        ("__Host-a=b; path=/", False),
        ("__Host-a=b; secure; path=/x", False),
        ("__Host-a=b; secure; path=/; domain=a.example.com", False),
        ("__hOsT-a=b; secure; path=/; domain=example.com", False),
        ("=__Host-a=b; secure; path=/", False),
        ("__Hosta=b", True),
    ],
)
def test_ck_02_prefixes_promise_what_they_say(line: str, is_kept: bool) -> None:
    assert len(jar(line)) == is_kept
    assert len(jar(line, url="http://a.example.com/")) == (line == "__Hosta=b")


def test_ck_02_a_cookie_keeps_its_place_when_it_is_set_again_and_goes_when_it_is_over() -> None:
    time = Time()
    kept = jar("a=1", "b=2; max-age=10", "a=3", now=time)
    assert sent(kept, "https://a.example.com/") == "a=3; b=2"
    time.now += 10
    assert sent(kept, "https://a.example.com/") == "a=3"
    assert [cookie.name for cookie in kept] == ["a"]
    kept.store(URL("https://a.example.com/"), ["a=; max-age=0"])
    assert (sent(kept, "https://a.example.com/"), len(list(kept))) == ("", 0)


def test_ck_06_who_is_asked_is_the_url_and_nothing_else() -> None:
    kept = jar("a=b; path=/x", url="https://a.example.com:8443/x")
    assert [
        sent(kept, url) for url in ("https://a.example.com/x", "https://a.example.com:9/x", "https://b.example.com/x")
    ] == [
        "a=b",
        "a=b",
        "",
    ]


# ---------------------------------------------------------------------- amounts


def test_ck_03_a_domain_keeps_so_many_and_the_plain_ones_go_first() -> None:
    kept = jar("safe=1; secure", *(f"c{number}={number}" for number in range(MAX_PER_DOMAIN)))
    names = [cookie.name for cookie in kept]
    assert (len(kept), names[0], names[1], names[-1]) == (MAX_PER_DOMAIN, "safe", "c1", f"c{MAX_PER_DOMAIN - 1}")


def test_ck_03_a_flood_washes_itself_away() -> None:
    kept = jar("mine=1", url="https://mine.test/", is_public_suffix=is_common_suffix)
    hosts = MAX_TOTAL // 100 + 5
    for host in range(hosts):
        kept.store(URL(f"https://h{host}.test/"), [f"c{number}=x" for number in range(100)])
    assert len(kept) == MAX_TOTAL
    assert sent(kept, "https://mine.test/") == "mine=1"


def test_ck_03_giant_cookies_and_attributes_are_ignored() -> None:
    assert len(jar(f"a={'b' * 4_095}")) == 1
    assert len(jar(f"a={'b' * 4_096}")) == 0
    assert len(jar(f"{'a' * 4_097}=")) == 0
    long_path = f"/{'p' * 1_024}"
    (cookie,) = jar(f"a=b; path={long_path}")
    assert cookie.path == "/"
    assert len(jar("a=b" + "; x" * (MAX_LINE // 3))) == 0
    assert len(jar("a=b" + ";" * (MAX_LINE - 3))) == 1


def test_ck_03_no_more_is_sent_than_a_server_takes() -> None:
    kept = jar(*(f"c{number:03}={'x' * 1_000}" for number in range(20)))
    field = sent(kept, "https://a.example.com/")
    assert MAX_SENT - 1_010 < len(field) <= MAX_SENT
    assert field.startswith("c000=")


@pytest.mark.parametrize(
    ("age", "expires"),
    [
        ("10", NOW + 10),
        ("0", None),
        ("-1", None),
        ("-" + "9" * 1_000, None),
        ("000000000000000000010", NOW + 10),
        ("999999999", NOW + MAX_AGE),
        ("9" * 1_000, NOW + MAX_AGE),
        (str(2**63), NOW + MAX_AGE),
    ],
)
def test_ck_04_an_age_is_at_most_400_days(age: str, expires: float | None) -> None:
    kept = list(jar(f"a=b; max-age={age}"))
    assert [cookie.expires for cookie in kept] == ([] if expires is None else [expires])


@pytest.mark.parametrize("age", ["", "1.5", "1e9", "+5", "--1", "-", "\xb2", "x", "5 5"])
def test_ck_04_an_age_that_is_none_is_ignored(age: str) -> None:
    (cookie,) = jar(f"a=b; max-age=7; max-age={age}")
    assert cookie.expires == NOW + 7


def test_ck_04_max_age_comes_before_expires_and_the_last_of_each_counts() -> None:
    line = "a=b; max-age=5; max-age=6; expires=Fri, 01 Jan 2100 00:00:00 GMT; expires=nonsense"
    assert [cookie.expires for cookie in jar(line)] == [NOW + 6]
    assert len(jar("a=b; expires=Fri, 01 Jan 2100 00:00:00 GMT; expires=Thu, 01 Jan 1970 00:00:00 GMT")) == 0


@pytest.mark.parametrize(
    ("date", "seconds"),
    [
        ("Thu, 01 Jan 1970 00:00:00 GMT", 0),
        ("01 jan 70 00:00:00", 0),
        ("1-jANUARY-1970 0:0:0", 0),
        ("Thu, 29 Feb 2024 23:59:59 GMT", 1_709_251_199),
        ("Sat, 29 Feb 2025 00:00:00 GMT", None),
        ("31 Apr 2025 00:00:00", None),
        ("00 Jan 2025 00:00:00", None),
        ("32 Jan 2025 00:00:00", None),
        ("01 Jan 2025 24:00:00", None),
        ("01 Jan 2025 00:60:00", None),
        ("01 Jan 2025 00:00:60", None),
        ("01 Jan 1600 00:00:00", None),
        ("01 Jan 1601 00:00:00", LONG_AGO),
        ("01 Jan 99999 00:00:00", None),
        ("01 Jan 9999 00:00:00", 253_370_764_800),
        ("01 Foo 2025 00:00:00", None),
        ("\uff11 Jan 2025 00:00:00", None),
        ("", None),
    ],
)
def test_ck_04_dates(date: str, seconds: float | None) -> None:
    assert read_date(date) == seconds
