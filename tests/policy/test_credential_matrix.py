"""Who sees which credentials: every kind of them, every way that a redirect can lead, every status that redirects.

Each cell asserts what each server on the way received. A credential goes to a hop exactly if all of the way until there
has been at the origin of the first URL; a way that leads back there makes no difference: what is gone is gone for good.
"""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise
from pathlib import Path

import pytest

from netio.message import Policy, Request
from netio.policy import BasicAuth, BearerAuth, Cookie, CookieJar, Cookies, NetrcAuth, Redirects, UserinfoAuth
from netio.url import URL
from tests.policy.web import Page, Web, answer, ask, redirect

pytestmark = pytest.mark.anyio

STATUSES = [301, 302, 303, 307, 308]
HOME = "https://a.test/0"

WAYS = {
    "same origin": ["https://a.test/1"],
    "same origin, port written out": ["https://a.test:443/1"],
    "other port": ["https://a.test:8443/1"],
    "other host": ["https://b.test/1"],
    "subdomain": ["https://sub.a.test/1"],
    "parent": ["https://test/1"],
    "https to http": ["http://a.test/1"],
    "https to http, same port": ["http://a.test:443/1"],
    "other host and back": ["https://b.test/1", "https://a.test/2"],
    "other port and back": ["https://a.test:8443/1", "https://a.test/2"],
    "http and back": ["http://a.test/1", "https://a.test/2"],
    "around at the other": ["https://b.test/1", "https://b.test/2", "https://a.test/3", "https://a.test/4"],
    "later": ["https://a.test/1", "https://a.test/2", "https://b.test/3"],
}
FROM_HTTP = {"http to https": ["https://a.test/1"], "http to https and back": ["https://a.test/1", "http://a.test/2"]}

FIELD_OF = {"cookie field": "cookie", "proxy-authorization field": "proxy-authorization", "secret field": "x-api-key"}

NETRC = (
    "machine a.test login user password secret\nmachine b.test login other password other\ndefault login d password d\n"
)


def setting(kind: str, home: str, netrc: Path) -> tuple[str, dict[str, str], list[Policy]]:
    """Return the URL to ask for, the header fields and the policies that make one kind of credentials."""
    field = FIELD_OF.get(kind, "authorization")
    if kind.endswith(" field"):
        return home, {field: "secret"}, []
    policies: dict[str, Callable[[], Policy]] = {
        "basic": lambda: BasicAuth("user", "secret", origins=home),
        "bearer": lambda: BearerAuth("secret", origins=home),
        "netrc": lambda: NetrcAuth(netrc),
        "userinfo": UserinfoAuth,
    }
    url = home.replace("://", "://user:secret@") if kind == "userinfo" else home
    return url, {}, [policies[kind]()]


KINDS = ["authorization field", *FIELD_OF, "basic", "bearer", "netrc", "userinfo"]


@pytest.mark.parametrize("way", [*WAYS, *FROM_HTTP])
@pytest.mark.parametrize("kind", KINDS)
async def test_red_01_credentials_stay_at_their_origin(kind: str, way: str, tmp_path: Path) -> None:
    home = HOME if way in WAYS else HOME.replace("https", "http")
    netrc = tmp_path / "netrc"
    netrc.write_text(NETRC)
    urls = [home, *{**WAYS, **FROM_HTTP}[way]]
    for status in STATUSES:
        web = chain(urls, status)
        url, fields, policies = setting(kind, home, netrc)
        response = await ask(web, [Redirects(allow_http=True), *policies], url, headers=fields)
        assert response.content == b"end"
        has = [sent is not None for sent in web.sent(FIELD_OF.get(kind, "authorization"))]
        assert has == at_home(urls)
        assert not any(
            "secret" in str(sent.url) for sent, is_home in zip(web.requests, has, strict=True) if not is_home
        )


@pytest.mark.parametrize("way", WAYS)
async def test_red_03_cookies_of_the_jar_go_by_their_own_rules_on_every_hop(way: str) -> None:
    urls = [HOME, *WAYS[way]]
    for status in STATUSES:
        jar = CookieJar()
        jar.add(Cookie(name="secure", value="1", domain="a.test"))
        jar.add(Cookie(name="plain", value="2", domain="a.test", is_secure=False))
        web = chain(urls, status)
        await ask(web, [Redirects(allow_http=True), Cookies(jar)], HOME)
        assert web.sent("cookie") == [cookies_for(URL(url)) for url in urls]


@pytest.mark.parametrize("way", WAYS)
async def test_ck_07_cookies_of_the_request_are_gone_once_it_was_led_away(way: str) -> None:
    urls = [HOME, *WAYS[way]]
    jar = CookieJar()
    jar.add(Cookie(name="secure", value="1", domain="a.test"))
    web = chain(urls, 302)
    await ask(web, [Redirects(allow_http=True), Cookies(jar)], HOME, headers={"cookie": "mine=3"})
    assert ["mine=3" in (sent or "") for sent in web.sent("cookie")] == at_home(urls)


@pytest.mark.parametrize("way", WAYS)
async def test_red_04_credentials_for_two_origins_go_to_both_and_not_past_a_third(way: str) -> None:
    both = ["https://a.test", "https://b.test"]
    urls = [HOME, *WAYS[way]]
    web = chain(urls, 307)
    await ask(web, [Redirects(allow_http=True), BasicAuth("user", "secret", origins=both)], HOME)
    hosts = [str(URL(url).origin) in both for url in urls]
    assert [sent is not None for sent in web.sent("authorization")] == [all(hosts[: i + 1]) for i in range(len(hosts))]


def chain(urls: list[str], status: int) -> Web:
    pages: dict[str, Page] = {url: redirect(following, status) for url, following in pairwise(urls)}
    return Web(pages | {urls[-1]: answer(body=b"end")})


def at_home(urls: list[str]) -> list[bool]:
    """Say of each hop whether the way has not left the first origin."""
    is_home = [URL(url).origin == URL(urls[0]).origin for url in urls]
    return [all(is_home[: i + 1]) for i in range(len(urls))]


def cookies_for(url: URL) -> str | None:
    if url.host != "a.test":
        return None
    return "secure=1; plain=2" if url.scheme == "https" else "plain=2"


async def test_red_05_a_netrc_entry_of_the_target_is_not_used(tmp_path: Path) -> None:
    netrc = tmp_path / "netrc"
    netrc.write_text(NETRC)
    web = chain([HOME, "https://b.test/1"], 302)
    await ask(web, [Redirects(), NetrcAuth(netrc)], HOME)
    assert [sent is None for sent in web.sent("authorization")] == [False, True]
    direct = Web({"https://b.test/1": answer()})
    await ask(direct, [Redirects(), NetrcAuth(netrc)], "https://b.test/1")
    assert direct.sent("authorization") == ["Basic b3RoZXI6b3RoZXI="]


async def test_red_04_a_challenge_of_the_target_is_not_answered() -> None:
    def challenged(_: Request) -> object:
        return answer(401, {"www-authenticate": 'Basic realm="a.test"'})

    web = Web({HOME: redirect("https://b.test/1"), "https://b.test/1": challenged})  # type: ignore[dict-item]
    response = await ask(web, [Redirects(), BasicAuth("user", "secret", origins=HOME)], HOME)
    assert (response.status_code, web.sent("authorization")[1:]) == (401, [None])
