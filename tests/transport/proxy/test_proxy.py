"""What a `netio.Proxy` is, and that it shows no secret."""

from __future__ import annotations

import pickle
import sys
from base64 import b64encode
from dataclasses import FrozenInstanceError, replace
from typing import Any

import pytest

import netio
from netio import Origin, Proxy
from netio.transport import Forward, Proxies

SECRET = "s3cret-"


def basic(text: str) -> tuple[str, str]:
    return "Proxy-Authorization", f"Basic {b64encode(text.encode()).decode()}"


@pytest.mark.parametrize(
    ("url", "written", "kind", "port"),
    [
        ("http://proxy.test", "http://proxy.test:80", "http", 80),
        ("https://proxy.test/", "https://proxy.test:443", "https", 443),
        ("socks5://proxy.test", "socks5://proxy.test:1080", "socks5", 1080),
        ("socks5h://proxy.test", "socks5h://proxy.test:1080", "socks5h", 1080),
        ("HTTP://Proxy.Test:3128", "http://proxy.test:3128", "http", 3128),
        ("http://[2001:DB8::1]:3128", "http://[2001:db8::1]:3128", "http", 3128),
        ("http://bücher.test:3128", "http://xn--bcher-kva.test:3128", "http", 3128),
        ("http://user:secret@proxy.test:3128", "http://proxy.test:3128", "http", 3128),
    ],
)
def test_the_url_of_a_proxy(url: str, written: str, kind: str, port: int) -> None:
    proxy = Proxy(url)
    assert (proxy.url, str(proxy), repr(proxy)) == (written, written, f"Proxy({written!r})")
    assert (proxy.kind, proxy.port, proxy.origin) == (kind, port, Origin(kind, proxy.host, port))
    assert Proxy(written) == replace(proxy, credentials=None)


@pytest.mark.parametrize(
    "url",
    [
        "",
        "proxy.test",
        "proxy.test:3128",
        "ftp://proxy.test",
        "socks4://proxy.test",
        "http://",
        "http://proxy.test/x",
        "http://proxy.test?x",
        "http://proxy.test#x",
        "http://proxy.test:0",
        "http://proxy.test:99999",
        "socks5://",
        "http://proxy.test\r\nX: y",
        "http://a b",
        "http://a\x00b",
        "http://proxy.test:3128@",
    ],
)
def test_req_02_what_is_no_url_of_a_proxy_is_refused(url: str) -> None:
    with pytest.raises(netio.InvalidURL):
        Proxy(url)


@pytest.mark.parametrize(
    ("url", "credentials", "sent"),
    [
        ("http://proxy.test", None, None),
        ("http://proxy.test", ("user", "secret"), "user:secret"),
        ("http://user:secret@proxy.test", None, "user:secret"),
        ("http://us%3Ber:p%40ss%2F@proxy.test", None, "us;er:p@ss/"),
        ("http://user@proxy.test", None, "user:"),
        ("http://proxy.test", ("", "token"), ":token"),
        ("http://proxy.test", ("müller", "pässword"), "müller:pässword"),
    ],
)
def test_credentials_are_sent_by_basic(url: str, credentials: tuple[str, str] | None, sent: str | None) -> None:
    assert Proxy(url, credentials=credentials).fields == (() if sent is None else (basic(sent),))


@pytest.mark.parametrize(
    ("url", "options", "words"),
    [
        ("http://user:s3cret-@proxy.test", {"credentials": ("user", SECRET)}, "given twice"),
        ("http://proxy.test", {"credentials": ("us:er", SECRET)}, "no colon"),
        ("http://proxy.test", {"credentials": ("user", SECRET + "\r\n")}, "control character"),
        ("http://proxy.test", {"credentials": ("user\x00", SECRET)}, "control character"),
        ("socks5://proxy.test", {"credentials": ("user", SECRET * 40)}, "1 to 255 ASCII"),
        ("socks5://proxy.test", {"credentials": ("user", SECRET + "ü")}, "1 to 255 ASCII"),
        ("socks5://user:@proxy.test", {}, "1 to 255 ASCII"),
        ("http://proxy.test", {"headers": {"X": SECRET + "\r\nY: z"}}, "header X has a line break"),
        ("http://proxy.test", {"headers": {"Host": SECRET}}, "Host is set by netio"),
        ("http://proxy.test", {"headers": {"Content-Length": "3"}}, "Content-Length is set by netio"),
        ("http://proxy.test", {"headers": {"Connection": SECRET}}, "Connection is set by netio"),
        ("socks5://proxy.test", {"headers": {"X": SECRET}}, "takes no headers"),
        (
            "http://proxy.test",
            {"headers": {"proxy-authorization": SECRET}, "credentials": ("user", SECRET)},
            "either credentials or",
        ),
    ],
)
def test_req_02_what_cannot_be_sent_is_refused_without_showing_it(
    url: str, options: dict[str, Any], words: str
) -> None:
    with pytest.raises(ValueError, match=words) as caught:
        Proxy(url, **options)
    assert SECRET not in str(caught.value)


@pytest.mark.parametrize("credentials", ["user:secret", ["user", "secret"], ("user",), ("user", b"secret"), 3])
def test_credentials_are_a_pair_of_text(credentials: Any) -> None:
    with pytest.raises(TypeError, match="tuple of user name and password"):
        Proxy("http://proxy.test", credentials=credentials)


@pytest.mark.parametrize("size", [1, 255])
def test_px_05_credentials_at_the_limit_of_socks(size: int) -> None:
    assert Proxy("socks5://proxy.test", credentials=("u" * size, "p" * size)).credentials == ("u" * size, "p" * size)


def test_px_01_no_secret_is_shown() -> None:
    proxy = Proxy(f"http://user:{SECRET}@proxy.test", headers={"X-Token": SECRET})
    forward = proxy.forward(Origin("http", "a.test", 80))
    for shown in (repr(proxy), str(proxy), f"{proxy}", proxy.url, repr(forward), repr({"all://": proxy})):
        assert SECRET not in shown
        assert basic(f"user:{SECRET}")[1] not in shown


def test_a_proxy_is_frozen_and_may_be_a_key_and_be_pickled() -> None:
    proxy = Proxy("http://user:secret@proxy.test", headers={"Proxy-X": "y"})
    with pytest.raises(FrozenInstanceError):
        proxy.url = "http://other.test"  # type: ignore[misc]
    again = pickle.loads(pickle.dumps(proxy))
    assert {proxy: 1}[again] == 1
    assert again.fields == proxy.fields
    assert proxy != replace(proxy, credentials=("user", "other"))


@pytest.mark.parametrize(
    ("url", "origin", "in_http2", "is_forwarded"),
    [
        ("http://proxy.test", Origin("http", "a.test", 80), False, True),
        ("https://proxy.test", Origin("http", "a.test", 80), False, True),
        ("http://proxy.test", Origin("https", "a.test", 443), False, False),
        ("https://proxy.test", Origin("https", "a.test", 443), False, False),
        ("http://proxy.test", Origin("http", "a.test", 80), True, False),
        ("socks5://proxy.test", Origin("http", "a.test", 80), False, False),
        ("socks5h://proxy.test", Origin("http", "a.test", 80), False, False),
    ],
)
def test_only_http_in_clear_text_is_forwarded(url: str, origin: Origin, in_http2: bool, is_forwarded: bool) -> None:
    assert (Proxy(url).forward(origin, in_http2=in_http2) is not None) == is_forwarded


def test_px_01_a_forwarded_request_has_only_what_a_proxy_keeps_to_itself() -> None:
    proxy = Proxy("http://u:p@proxy.test", headers={"X-Token": SECRET, "Proxy-Tier": "gold"})
    expected = Forward("http://proxy.test:80", (basic("u:p"), ("Proxy-Tier", "gold")))
    assert proxy.forward(Origin("http", "a.test", 80)) == expected
    assert proxy.fields == (basic("u:p"), ("X-Token", SECRET), ("Proxy-Tier", "gold"))


def test_socks_without_python_socks_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delitem(sys.modules, "netio.transport._proxy_socks", raising=False)
    monkeypatch.setitem(sys.modules, "python_socks", None)
    with pytest.raises(ImportError, match=r"pip install netio-http\[socks\]"):
        Proxy("socks5://proxy.test")
    with pytest.raises(ImportError, match=r"the environment variable all_proxy names a SOCKS proxy: .*pip install"):
        Proxies.from_environment({"all_proxy": "socks5://proxy.test"})
    assert Proxy("http://proxy.test").kind == "http"


def test_tls_07_an_unverified_https_proxy_is_warned_about() -> None:
    with pytest.warns(netio.InsecureWarning, match="certificates are not checked") as caught:
        Proxy("https://proxy.test", verify=False)
    assert caught[0].filename == __file__
    with pytest.raises(TypeError, match="verify is True, False, a path"):
        Proxy("https://proxy.test", verify=3)  # type: ignore[arg-type]
