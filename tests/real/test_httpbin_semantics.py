"""Redirects, cookies and credentials, as httpbin asks for them."""

from __future__ import annotations

import pytest

import netio
from netio import policy
from tests.real.httpbin_origin import EVERY_METHOD, WAYS, Httpbin, Statuses, exercises

pytestmark = [pytest.mark.anyio, pytest.mark.parametrize("way", WAYS)]

DIGEST = "/digest-auth/<qop>/<user>/<passwd>"


# ---------------------------------------------------------------------- redirects


@exercises("/redirect/<int:n>", "/relative-redirect/<int:n>", "/absolute-redirect/<int:n>", "/get")
async def test_redirects_are_followed_to_the_end(httpbin: Httpbin, way: str) -> None:
    async with httpbin.session(way, follow_redirects=True) as session:
        for path, first in (
            ("/redirect/3", "/relative-redirect/2"),
            ("/redirect/3?absolute=true", f"{httpbin.base(way)}/absolute-redirect/2"),
            ("/relative-redirect/3", "/relative-redirect/2"),
            ("/absolute-redirect/3", f"{httpbin.base(way)}/absolute-redirect/2"),
        ):
            response = await session.get(path)
            assert [each.status_code for each in (*response.history, response)] == [302, 302, 302, 200]
            assert response.history[0].headers["location"] == first
            assert response.json()["url"] == str(response.url) == f"{httpbin.base(way)}/get"


@exercises("/redirect/<int:n>", "/relative-redirect/<int:n>", "/get")
async def test_redirects_end_where_they_are_not_wanted_or_too_many(httpbin: Httpbin, way: str) -> None:
    async with httpbin.session(way) as session:
        answer = await session.get("/redirect/1")
        assert (answer.status_code, answer.headers["location"], answer.history) == (302, "/get", ())
        allowed = await session.get("/redirect/4", follow_redirects=policy.Redirects(4))
        assert len(allowed.history) == 4
        with pytest.raises(netio.TooManyRedirects) as caught:
            await session.get("/redirect/5", follow_redirects=policy.Redirects(4))
        assert caught.value.response is not None
        assert caught.value.response.status_code == 302
        assert len(caught.value.response.history) == 4


@exercises("* /redirect-to", "* /anything")
async def test_each_status_redirects_each_method_as_fetch_says(httpbin: Httpbin, way: str) -> None:
    async with httpbin.session(way, follow_redirects=True) as session:
        for status in (301, 302, 303, 307, 308):
            for method in EVERY_METHOD:
                content = b"some" if method in ("POST", "PUT", "PATCH", "DELETE") else b""
                params = {"url": "/anything?x=1", "status_code": status}
                response = await session.request(method, "/redirect-to", params=params, content=content or None)
                becomes_get = (status == 303 and method != "GET") or (status in (301, 302) and method == "POST")
                assert [each.status_code for each in (*response.history, response)] == [status, 200]
                seen = response.json()
                assert (seen["method"], seen["data"], seen["args"]) == (
                    "GET" if becomes_get else method,
                    "" if becomes_get else content.decode(),
                    {"x": "1"},
                )


@exercises("/redirect-to")
async def test_other_statuses_redirect_nowhere(httpbin: Httpbin, way: str) -> None:
    async with httpbin.session(way, follow_redirects=True) as session:
        for status in (300, 304, 305, 306):
            response = await session.get("/redirect-to", params={"url": "/get", "status_code": status})
            assert (response.status_code, response.history) == (status, ())
            assert response.headers["location"] == "/get"


@exercises("/redirect-to", "/headers", "* /status/<codes>", "/redirect/<int:n>", "/get")
async def test_redirects_to_elsewhere_take_no_secrets_along(httpbin: Httpbin, way: str) -> None:
    other = httpbin.base("http1" if way == "http2-tls" else "http2-tls")
    redirects = policy.Redirects(allow_http=True)
    async with httpbin.session(way, follow_redirects=redirects, auth=("user", "pw")) as session:
        headers = {"cookie": "a=1", "x-api-key": "k", "x-plain": "p"}
        elsewhere = await session.get("/redirect-to", params={"url": f"{other}/headers"}, headers=headers)
        assert str(elsewhere.url) == f"{other}/headers"
        seen = elsewhere.json()["headers"]
        assert {"Authorization", "Cookie", "X-Api-Key"}.isdisjoint(seen)
        assert seen["X-Plain"] == "p"
        here = await session.get("/redirect-to", params={"url": "/headers"}, headers=headers)
        seen = here.json()["headers"]
        assert (seen["Authorization"], seen["Cookie"], seen["X-Api-Key"]) == ("Basic dXNlcjpwdw==", "a=1", "k")
        for method in EVERY_METHOD:
            final = await session.request(method, "/status/303", follow_redirects=redirects)
            assert [each.status_code for each in final.history] == [303, 302]
            assert final.json()["url"] == f"{httpbin.base(way)}/get"


@exercises("/redirect-to")
async def test_a_redirect_to_http_or_to_no_url_of_http_is_an_error(httpbin: Httpbin, way: str) -> None:
    targets = ["ftp://localhost/", "data:,x"] + [f"{httpbin.http}/get"] * (way == "http2-tls")
    async with httpbin.session(way, follow_redirects=True) as session:
        for target in targets:
            with pytest.raises(netio.RedirectError) as caught:
                await session.get("/redirect-to", params={"url": target})
            assert caught.value.response is not None
            assert caught.value.response.headers["location"] == target
        assert session.stats().active == 0


# ---------------------------------------------------------------------- cookies


@exercises("/cookies", "/cookies/set", "/cookies/set/<name>/<value>", "/cookies/delete")
async def test_cookies_are_kept_and_deleted(httpbin: Httpbin, way: str) -> None:
    async def cookies_after(path: str) -> dict[str, str]:
        found: dict[str, str] = (await session.get(path)).raise_for_status().json()["cookies"]
        return found

    async with httpbin.session(way, cookies=True, follow_redirects=True) as session:
        assert await cookies_after("/cookies") == {}
        assert await cookies_after("/cookies/set/a/1") == {"a": "1"}
        assert await cookies_after("/cookies/set?b=2&c=x%20y") == {"a": "1", "b": "2", "c": "x y"}
        assert await cookies_after("/cookies/set/a/3") == {"a": "3", "b": "2", "c": "x y"}
        assert await cookies_after("/cookies/delete?a=&c=") == {"b": "2"}
        assert session.cookies is not None
        assert [(kept.name, kept.is_secure) for kept in session.cookies] == [("b", way == "http2-tls")]


@exercises("/cookies", "/cookies/set/<name>/<value>")
async def test_without_a_jar_only_cookies_of_the_request_are_sent(httpbin: Httpbin, way: str) -> None:
    async with httpbin.session(way, follow_redirects=True) as session:
        assert (await session.get("/cookies/set/a/1")).json() == {"cookies": {}}
        assert (await session.get("/cookies", cookies={"own": "1"})).json() == {"cookies": {"own": "1"}}
        assert (await session.get("/cookies")).json() == {"cookies": {}}


# ---------------------------------------------------------------------- credentials


@exercises("/basic-auth/<user>/<passwd>", "/hidden-basic-auth/<user>/<passwd>")
async def test_basic_is_sent_unasked(httpbin: Httpbin, way: str) -> None:
    statuses = Statuses()
    async with httpbin.session(way, auth=("us", "p:ü"), policies=[statuses]) as session:
        for kind in ("basic", "hidden-basic"):
            answer = await session.get(f"/{kind}-auth/us/p:ü")
            assert answer.json() == {"authenticated": True, "user": "us"}
        assert statuses == [200, 200]
        refused = await session.get("/basic-auth/us/another")
        assert refused.status_code == 401
        assert refused.headers["www-authenticate"] == 'Basic realm="Fake Realm"'
        with pytest.raises(netio.StatusError, match="404"):
            (await session.get("/hidden-basic-auth/us/p:ü", auth=None)).raise_for_status()
    named = httpbin.base(way).replace("://", "://us:pw@")
    async with netio.Session(verify=httpbin.authority_file) as session:
        assert (await session.get(f"{named}/basic-auth/us/pw")).status_code == 200


@exercises("/bearer")
async def test_a_bearer_token_is_sent_and_renewed(httpbin: Httpbin, way: str) -> None:
    async def renewed() -> str:
        return "second"

    async with httpbin.session(way) as session:
        refused = await session.get("/bearer")
        assert (refused.status_code, refused.headers["www-authenticate"]) == (401, "Bearer")
        for token in ("first", renewed):
            seen = (await session.get("/bearer", auth=policy.BearerAuth(token))).json()
            assert seen == {"authenticated": True, "token": "first" if token == "first" else "second"}


@exercises(DIGEST, f"{DIGEST}/<algorithm>")
async def test_digest_is_answered_once_and_its_nonce_is_used_again(httpbin: Httpbin, way: str) -> None:
    for path in (
        "auth/user/pw",
        "auth/user/pw/MD5",
        "auth/user/pw/SHA-256",
        "both/user/pw/MD5",
        "both/user/pw/SHA-256",
    ):
        statuses = Statuses()
        credentials = policy.DigestAuth("user", "pw")
        async with httpbin.session(way, auth=credentials, policies=[statuses]) as session:
            for _ in range(3):
                assert (await session.get(f"/digest-auth/{path}")).json() == {"authenticated": True, "user": "user"}
        assert statuses == [401, 200, 200, 200], path


@exercises(DIGEST, f"{DIGEST}/<algorithm>")
async def test_a_digest_that_netio_does_not_speak_stays_unanswered(httpbin: Httpbin, way: str) -> None:
    """SHA-512 is no algorithm of RFC 7616, which has SHA-512-256; "auth-int" would need the whole body beforehand."""
    for path in ("auth/user/pw/SHA-512", "auth-int/user/pw", "auth-int/user/pw/SHA-256"):
        statuses = Statuses()
        async with httpbin.session(way, auth=policy.DigestAuth("user", "pw"), policies=[statuses]) as session:
            assert (await session.get(f"/digest-auth/{path}")).headers["www-authenticate"].startswith("Digest ")
        assert statuses == [401], path


@exercises(DIGEST)
async def test_a_wrong_password_is_tried_once(httpbin: Httpbin, way: str) -> None:
    statuses = Statuses()
    async with httpbin.session(way, auth=policy.DigestAuth("user", "no"), policies=[statuses]) as session:
        assert (await session.get("/digest-auth/auth/user/pw")).status_code == 401
    assert statuses == [401, 401]


@exercises(f"{DIGEST}/<algorithm>/<stale_after>")
async def test_a_stale_nonce_is_replaced(httpbin: Httpbin, way: str) -> None:
    """httpbin counts by a cookie that its 401 sets: whoever answers that has to send the cookie along."""
    statuses = Statuses()
    credentials = policy.DigestAuth("user", "pw")
    async with httpbin.session(way, auth=credentials, cookies=True, policies=[statuses]) as session:
        for _ in range(3):
            answer = await session.get("/digest-auth/auth/user/pw/SHA-256/2")
            assert answer.json() == {"authenticated": True, "user": "user"}
    assert statuses == [401, 200, 200, 401, 200]
