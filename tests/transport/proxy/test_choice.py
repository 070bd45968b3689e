"""Which proxy an origin gets: mappings, NO_PROXY, the environment. All of it is tables."""

from __future__ import annotations

import os
from collections.abc import Mapping

import pytest

import netio
from netio.transport import Proxies, Proxy, find_proxies
from netio.url import URL, Origin

PROXY = "http://proxy.test:3128"
OTHER = "http://other.test:3128"
ENVIRONMENT = {"http_proxy": PROXY, "https_proxy": PROXY}


def chosen(proxies: Proxies | None, url: str) -> str | None:
    assert proxies is not None
    proxy = proxies.choose(URL(url).origin)
    return None if proxy is None else proxy.url


def environment(**variables: str) -> Proxies | None:
    return Proxies.from_environment(variables)


# ------------------------------------------------------------------ what the user gives


@pytest.mark.parametrize("given", [PROXY, Proxy(PROXY)])
def test_one_proxy_is_for_everything(given: str | Proxy) -> None:
    proxies = Proxies.of(given)
    assert [chosen(proxies, url) for url in ("http://a.test/", "https://b.test/", "http://127.0.0.1/")] == [PROXY] * 3


@pytest.mark.parametrize(
    ("keys", "url", "fits"),
    [
        ("all://", "http://a.test", True),
        ("http://", "http://a.test:8080", True),
        ("http://", "https://a.test", False),
        ("https://", "https://a.test", True),
        ("all://a.test", "https://a.test", True),
        ("all://A.Test.", "https://a.test", True),
        ("all://a.test", "https://a.test.", True),
        ("all://a.test", "https://b.a.test", False),
        ("all://a.test", "https://ba.test", False),
        ("all://*.a.test", "https://b.a.test", True),
        ("all://*.a.test", "https://c.b.a.test", True),
        ("all://*.a.test", "https://a.test", False),
        ("all://*.a.test", "https://ba.test", False),
        ("all://*a.test", "https://a.test", True),
        ("all://*a.test", "https://b.a.test", True),
        ("all://*a.test", "https://ba.test", False),
        ("all://a.test:8080", "http://a.test:8080", True),
        ("all://a.test:8080", "http://a.test", False),
        ("http://a.test:80", "http://a.test", True),
        ("https://a.test:80", "https://a.test", False),
        ("all://:8080", "http://a.test:8080", True),
        ("all://:8080", "http://a.test:8081", False),
        ("all://bücher.test", "https://bücher.test", True),
        ("all://[::1]", "http://[::1]:8080", True),
        ("all://[::1]:8080", "http://[::1]:8080", True),
        ("all://[::1]:8080", "http://[::1]", False),
        ("all://[0:0::1]", "http://[::1]", True),
        ("all://10.0.0.1", "http://10.0.0.1", True),
        ("all://10.0.0.1", "http://10.0.0.11", False),
    ],
)
def test_a_key_of_a_mapping_says_what_a_proxy_is_for(keys: str, url: str, fits: bool) -> None:
    assert chosen(Proxies.of({keys: PROXY}), url) == (PROXY if fits else None)


@pytest.mark.parametrize("swapped", [False, True])
@pytest.mark.parametrize(
    ("special", "general", "url"),
    [
        ("http://", "all://", "http://a.test"),
        ("all://a.test", "http://", "http://a.test"),
        ("all://a.test", "all://*.test", "http://a.test"),
        ("all://*.a.test", "all://*.test", "http://b.a.test"),
        ("http://a.test", "all://a.test", "http://a.test"),
        ("all://a.test:8080", "http://a.test", "http://a.test:8080"),
        ("all://10.0.0.1", "all://", "http://10.0.0.1"),
    ],
)
def test_the_more_special_key_counts_whatever_the_order(special: str, general: str, url: str, swapped: bool) -> None:
    rules: list[tuple[str, str | None]] = [(special, None), (general, PROXY)]
    assert chosen(Proxies.of(dict(reversed(rules) if swapped else rules)), url) is None
    rules = [(special, PROXY), (general, None)]
    assert chosen(Proxies.of(dict(reversed(rules) if swapped else rules)), url) == PROXY


@pytest.mark.parametrize(
    "key",
    [
        "",
        "a.test",
        "http",
        "http:",
        "ftp://",
        "all://a.test/path",
        "all://u@a.test",
        "all://*.10.0.0.1",
        "all://a b",
        3,
        "all://[::1",
        "all://a.test?q",
        "all://a..test",
        "all://a*.test",
        "all://a.test:999999",
        "all://*.",
        "all://*",
    ],
)
def test_a_key_that_says_nothing_is_refused(key: str) -> None:
    with pytest.raises(ValueError, match=r"proxy is for|possible host|no subdomains"):
        Proxies.of({key: PROXY})


@pytest.mark.parametrize("given", [3, {"all://": 3}, [PROXY]])
def test_what_is_no_proxy_is_refused(given: object) -> None:
    with pytest.raises(TypeError, match=r"a proxy is a URL or a netio\.Proxy, not"):
        Proxies.of(given)  # type: ignore[arg-type]


def test_a_session_refuses_nonsense_at_once() -> None:
    with pytest.raises(netio.InvalidURL, match="is not the URL of a proxy"):
        netio.Session(proxy="ftp://proxy.test")
    with pytest.raises(ValueError, match="what a proxy is for"):
        netio.Session(proxy={"a.test": PROXY})


# ------------------------------------------------------------------ NO_PROXY


@pytest.mark.parametrize(
    ("entries", "url", "is_direct"),
    [
        # names: with subdomains, unless a dot or a star stands before
        ("a.test", "http://a.test", True),
        ("a.test", "http://b.a.test", True),
        ("a.test", "http://ba.test", False),
        ("a.test", "http://a.test.evil.example", False),
        ("a.test", "http://test", False),
        (".a.test", "http://a.test", False),
        (".a.test", "http://b.a.test", True),
        (".a.test", "http://ba.test", False),
        ("*.a.test", "http://a.test", False),
        ("*.a.test", "http://c.b.a.test", True),
        ("*a.test", "http://ba.test", False),
        ("A.TEST", "http://a.test", True),
        ("a.test", "http://A.TEST", True),
        ("a.test.", "http://a.test", True),
        ("a.test", "http://a.test.", True),
        ("BÜCHER.test", "http://bücher.test", True),
        ("xn--bcher-kva.test", "http://bücher.test", True),
        # everything
        ("*", "https://a.test", True),
        ("b.test, *", "https://a.test", True),
        # ports
        ("a.test:8080", "http://a.test:8080", True),
        ("a.test:8080", "http://a.test", False),
        ("a.test:80", "http://a.test", True),
        ("a.test:443", "https://b.a.test", True),
        (".a.test:80", "http://b.a.test", True),
        ("10.0.0.1:8080", "http://10.0.0.1:8080", True),
        ("10.0.0.1:8080", "http://10.0.0.1", False),
        ("[2001:db8::1]:8080", "http://[2001:db8::1]:8080", True),
        ("[2001:db8::1]:8080", "http://[2001:db8::1]", False),
        # addresses, in whatever way they are written
        ("10.0.0.1", "http://10.0.0.1", True),
        ("10.0.0.1", "http://110.0.0.1", False),
        ("10.0.0.1", "http://10.0.0.10", False),
        ("2001:db8::1", "http://[2001:db8::1]", True),
        ("2001:DB8:0:0::1", "http://[2001:db8::1]", True),
        ("[2001:db8::1]", "http://[2001:db8::1]", True),
        ("10.0.0.1", "http://[::ffff:10.0.0.1]", True),
        ("::ffff:10.0.0.1", "http://10.0.0.1", True),
        # networks
        ("10.0.0.0/8", "http://10.255.0.1", True),
        ("10.1.2.3/8", "http://10.255.0.1", True),
        ("10.0.0.0/8", "http://11.0.0.1", False),
        ("10.0.0.0/8", "http://10.a.test", False),
        ("10.0.0.0/8", "http://[::ffff:10.0.0.1]", True),
        ("::ffff:10.0.0.0/104", "http://10.1.1.1", True),
        ("2001:db8::/32", "http://[2001:db8:1::1]", True),
        ("[2001:db8::]/32", "http://[2001:db8:1::1]", True),
        ("2001:db8::/32", "http://[2001:db9::1]", False),
        ("0.0.0.0/0", "http://10.0.0.1", True),
        ("0.0.0.0/0", "http://a.test", False),
        ("::/0", "http://10.0.0.1", False),
        # a name is not an address, nor the end of one
        ("1", "http://10.0.0.1", False),
        ("0.1", "http://10.0.0.1", False),
        (":1", "http://[2001:db8::1]", False),
        # what cannot be read means nothing
        ("10.0.0.0/33", "http://10.0.0.1", False),
        ("10.0.0.0/a", "http://10.0.0.1", False),
        ("a*.test", "http://ab.test", False),
        ("*.*", "http://a.test", False),
        (".", "http://a.test", False),
        ("", "http://a.test", False),
        ("http://a.test", "http://a.test", False),
        ("\N{SNOWMAN}" * 70, "http://a.test", False),
        # several
        ("b.test,a.test", "http://a.test", True),
        (" b.test ,\ta.test ", "http://a.test", True),
        ("b.test a.test", "http://a.test", True),
        (",,b.test,,", "http://a.test", False),
        ("b.test\na.test", "http://a.test", True),
    ],
)
@pytest.mark.parametrize("variable", ["no_proxy", "NO_PROXY"])
def test_px_03_no_proxy(variable: str, entries: str, url: str, is_direct: bool) -> None:
    proxies = environment(**ENVIRONMENT, **{variable: entries})
    assert chosen(proxies, url) == (None if is_direct else PROXY)


@pytest.mark.parametrize("host", ["fe80::1%25.a.test", "fe80::1%a.test", "[::1].a.test", "::1.a.test"])
def test_px_03_an_ipv6_zone_is_not_the_end_of_a_name(host: str) -> None:
    proxies = environment(**ENVIRONMENT, no_proxy=".a.test,a.test")
    assert proxies is not None
    assert proxies.choose(Origin("http", host, 80)) == Proxy(PROXY)


@pytest.mark.parametrize(
    "url", ["http://localhost", "http://LOCALHOST.:8080", "http://127.0.0.1", "http://127.8.8.8", "http://[::1]"]
)
def test_what_the_environment_says_is_not_for_this_machine(url: str) -> None:
    proxies = environment(**ENVIRONMENT)
    assert chosen(proxies, url) is None
    assert chosen(proxies, "http://localhost.evil.example") == PROXY


# ------------------------------------------------------------------ the environment


@pytest.mark.parametrize(
    ("variables", "http", "https"),
    [
        ({"http_proxy": PROXY}, PROXY, None),
        ({"HTTP_PROXY": PROXY}, PROXY, None),
        ({"https_proxy": PROXY}, None, PROXY),
        ({"HTTPS_PROXY": PROXY}, None, PROXY),
        ({"all_proxy": PROXY}, PROXY, PROXY),
        ({"ALL_PROXY": PROXY}, PROXY, PROXY),
        ({"all_proxy": PROXY, "https_proxy": OTHER}, PROXY, OTHER),
        ({"http_proxy": PROXY, "HTTP_PROXY": OTHER}, PROXY, None),
        ({"http_proxy": "", "HTTP_PROXY": OTHER}, OTHER, None),
        ({"http_proxy": " ", "all_proxy": OTHER}, OTHER, OTHER),
        ({"https_proxy": "proxy.test:3128"}, None, PROXY),
        ({"all_proxy": "socks5h://proxy.test"}, *["socks5h://proxy.test:1080"] * 2),
    ],
)
def test_variables_of_the_environment(variables: Mapping[str, str], http: str | None, https: str | None) -> None:
    proxies = Proxies.from_environment(variables)
    assert (chosen(proxies, "http://a.test"), chosen(proxies, "https://a.test")) == (http, https)


@pytest.mark.parametrize("variables", [{}, {"no_proxy": "*"}, {"http_proxy": ""}, {"HTTP_PROXY": "  "}])
def test_an_environment_without_proxies(variables: Mapping[str, str]) -> None:
    assert Proxies.from_environment(variables) is None


@pytest.mark.parametrize(
    ("variables", "expected"),
    [
        ({"HTTP_PROXY": OTHER}, None),
        ({"HTTP_PROXY": OTHER, "http_proxy": PROXY}, PROXY),
        ({"HTTP_PROXY": OTHER, "ALL_PROXY": PROXY}, PROXY),
        ({"http_proxy": PROXY}, PROXY),
    ],
)
def test_px_06_a_header_of_a_cgi_request_is_no_proxy(variables: dict[str, str], expected: str | None) -> None:
    proxies = Proxies.from_environment({**variables, "REQUEST_METHOD": "GET"})
    assert (None if proxies is None else chosen(proxies, "http://a.test")) == expected


def test_px_06_the_environment_counts_only_if_it_is_trusted(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in list(os.environ):
        if name.lower().endswith("_proxy") or name == "REQUEST_METHOD":
            monkeypatch.delenv(name)
    monkeypatch.setenv("HTTPS_PROXY", OTHER)
    assert netio.Session()._proxies is None
    assert chosen(netio.Session(trust_env=True)._proxies, "https://a.test") == OTHER
    assert chosen(netio.Session(trust_env=True, proxy=PROXY)._proxies, "https://a.test") == PROXY
    assert chosen(netio.Session(trust_env=True, proxy={})._proxies, "https://a.test") is None


def test_the_environment_is_read_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("https_proxy", PROXY)
    proxies = find_proxies(None, trust_env=True)
    monkeypatch.setenv("https_proxy", OTHER)
    assert chosen(proxies, "https://a.test") == PROXY


def test_a_variable_that_is_no_proxy_is_named_without_its_secret() -> None:
    with pytest.raises(netio.InvalidURL, match="the environment variable HTTPS_PROXY names no proxy") as caught:
        environment(HTTPS_PROXY="ftp://user:secret@proxy.test")
    assert "secret" not in str(caught.value)
