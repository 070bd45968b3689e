"""Who sees which credentials when a session follows redirects: on connections, with TLS, and what really came.

Every kind of credentials that a session has a setting for, every way that a redirect can lead, every status. A
credential goes to a hop exactly if all of the way until there was at the origin that the request was made to; cookies
of the jar go by their own rules. tests/policy/test_credential_matrix.py has the same without a session.
"""

from __future__ import annotations

import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
import trustme

import netio
from netio import policy
from netio.testing import FakeClock, MemoryNetwork
from netio.url import URL
from tests.policy.web import Page, Web, answer, redirect

pytestmark = pytest.mark.anyio

STATUSES = [301, 302, 303, 307, 308]
HOSTS = ["a.test", "b.test", "sub.a.test"]
SERVERS = [
    *(f"{scheme}://{host}" for scheme in ("http", "https") for host in HOSTS),
    *("https://a.test:8443", "http://a.test:8080"),
]
SECRET = "s3cret"
BASIC = "Basic dXNlcjpzM2NyZXQ="

WAYS = {
    "same origin": ["/1"],
    "other port": ["https://a.test:8443/1"],
    "other host": ["https://b.test/1"],
    "subdomain": ["https://sub.a.test/1"],
    "https to http": ["http://a.test/1"],
    "https to http, other host": ["http://b.test/1"],
    "same origin and on": ["/1", "https://b.test/2"],
    "other port and back": ["https://a.test:8443/1", "https://a.test/2"],
    "other host and back": ["https://b.test/1", "https://a.test/2"],
    "subdomain and back": ["https://sub.a.test/1", "https://a.test/2"],
    "https to http and back": ["http://a.test/1", "https://a.test/2"],
    "around at the other": ["https://b.test/1", "https://b.test/2", "https://a.test/3", "https://a.test/4"],
}
FROM_HTTP = {
    "http to https": ["https://a.test/1"],
    "http to https and back": ["https://a.test/1", "http://a.test/2"],
    "http, other port and back": ["http://a.test:8080/1", "http://a.test/2"],
}

CREDENTIALS = [
    *("authorization field", "cookie field", "proxy-authorization field", "secret field of the session"),
    *("cookies of the request", "user and password", "user and password of the session", "auth of the session"),
    *("auth of the request", "bearer", "netrc", "userinfo", "userinfo of the base"),
]
FIELD_OF = {
    "cookie field": "cookie",
    "cookies of the request": "cookie",
    "proxy-authorization field": "proxy-authorization",
    "secret field of the session": "x-api-key",
}


def setting(kind: str, home: str, netrc: Path) -> tuple[dict[str, Any], str, dict[str, Any]]:
    """Return what the session is made with, the URL that is asked for, and with which options."""
    origin = str(URL(home).origin)
    user = ("user", SECRET)
    known = home.replace("://", f"://user:{SECRET}@")
    settings: dict[str, tuple[dict[str, Any], str, dict[str, Any]]] = {
        "authorization field": ({}, home, {"headers": {"Authorization": BASIC}}),
        "cookie field": ({}, home, {"headers": [("Cookie", f"a={SECRET}"), ("cookie", f"b={SECRET}")]}),
        "proxy-authorization field": ({}, home, {"headers": {"proxy-authorization": BASIC}}),
        "secret field of the session": ({"headers": {"x-api-key": SECRET}}, home, {}),
        "cookies of the request": ({"cookies": True}, home, {"cookies": {"a": SECRET}}),
        "user and password": ({}, home, {"auth": user}),
        "user and password of the session": ({"auth": user}, home, {}),
        "auth of the session": ({"auth": policy.BasicAuth(*user), "base_url": origin}, URL(home).path, {}),
        "auth of the request": ({}, home, {"auth": policy.BasicAuth(*user, origins=origin)}),
        "bearer": ({"auth": policy.BearerAuth(SECRET)}, home, {}),
        "netrc": ({"auth": policy.NetrcAuth(netrc)}, home, {}),
        "userinfo": ({}, known, {}),
        "userinfo of the base": ({"base_url": known.removesuffix("/0")}, "/0", {}),
    }
    return settings[kind]


@pytest.fixture(scope="module")
def tls() -> tuple[ssl.SSLContext, ssl.SSLContext]:
    """TLS as the servers and the clients have it."""
    authority = trustme.CA()
    server, client = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER), ssl.create_default_context()
    authority.issue_cert(*HOSTS).configure_cert(server)
    authority.configure_trust(client)
    return server, client


@asynccontextmanager
async def session_on(
    web: Web, tls: tuple[ssl.SSLContext, ssl.SSLContext], **options: Any
) -> AsyncIterator[netio.Session]:
    async with MemoryNetwork() as network:
        web.serve(network, *SERVERS, tls=tls[0])
        redirects = policy.Redirects(allow_http=True)
        async with netio.Session(
            connect=network.connect, verify=tls[1], clock=FakeClock(), follow_redirects=redirects, **options
        ) as session:
            yield session


def lead(web: Web, urls: list[str], status: int) -> None:
    """Make the pages of a way, at the places of the way before."""
    pages: dict[str, Page] = {url: redirect(following, status) for url, following in pairwise(urls)}
    web.pages = {str(URL(url)): page for url, page in (pages | {urls[-1]: answer(body=b"end")}).items()}
    web.requests.clear()


def at_home(urls: list[str]) -> list[bool]:
    """Say of each hop whether the way has not left the first origin."""
    is_home = [URL(url).origin == URL(urls[0]).origin for url in urls]
    return [all(is_home[: i + 1]) for i in range(len(urls))]


def way_of(name: str) -> list[str]:
    home = "https://a.test/0" if name in WAYS else "http://a.test/0"
    return [str(URL(home).join(url)) for url in (home, *{**WAYS, **FROM_HTTP}[name])]


@pytest.mark.parametrize("way", [*WAYS, *FROM_HTTP])
@pytest.mark.parametrize("kind", CREDENTIALS)
async def test_red_01_a_session_sends_credentials_to_their_origin_alone(
    kind: str, way: str, tmp_path: Path, tls: tuple[ssl.SSLContext, ssl.SSLContext]
) -> None:
    netrc = tmp_path / "netrc"
    netrc.write_text(
        "".join(f"machine {host} login user password {SECRET if host == 'a.test' else 'other'}\n" for host in HOSTS)
    )
    netrc.chmod(0o600)
    urls = way_of(way)
    field = FIELD_OF.get(kind, "authorization")
    options, url, request_options = setting(kind, urls[0], netrc)
    web = Web({})
    async with session_on(web, tls, **options) as session:
        for status in STATUSES:
            lead(web, urls, status)
            response = await session.get(url, **request_options)
            assert (response.content, len(response.history)) == (b"end", len(urls) - 1)
            assert web.urls == urls
            received = [[value for name, value in sent.fields if name.lower() == field] for sent in web.requests]
            # Proxy-Authorization is for a proxy: no origin gets it, not even the first (PX-01).
            has = [False] * len(urls) if field == "proxy-authorization" else at_home(urls)
            assert [bool(values) for values in received] == has, status
            assert all(SECRET in value or value == BASIC for values in received for value in values)
            leaks = [
                sent.url for sent, home in zip(web.requests, at_home(urls), strict=True) if not home and leaked(sent)
            ]
            assert leaks == [], status


def leaked(sent: netio.Request) -> bool:
    """Whether a secret is anywhere in what came, or anything at all that is for credentials."""
    text = f"{sent.url} {sent.fields}"
    return SECRET in text or BASIC in text or any("authorization" in name.lower() for name, _ in sent.fields)


@pytest.mark.parametrize("way", [*WAYS, *FROM_HTTP])
async def test_red_03_the_jar_of_a_session_goes_by_its_own_rules_on_every_hop(
    way: str, tls: tuple[ssl.SSLContext, ssl.SSLContext]
) -> None:
    urls = way_of(way)
    jar = policy.CookieJar()
    jar.add(policy.Cookie(name="secure", value="1", domain="a.test"))
    jar.add(policy.Cookie(name="plain", value="2", domain="a.test", is_secure=False))
    web = Web({})
    async with session_on(web, tls, cookies=jar) as session:
        for status in STATUSES:
            lead(web, urls, status)
            await session.get(urls[0])
            assert web.sent("cookie") == [cookies_for(URL(url)) for url in urls], status


def cookies_for(url: URL) -> str | None:
    if url.host != "a.test":
        return None
    return "secure=1; plain=2" if url.scheme == "https" else "plain=2"
