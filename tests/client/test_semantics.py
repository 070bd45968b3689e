"""HTTP's own semantics as settings of a session: redirects, cookies, credentials, codings."""

from __future__ import annotations

import gzip
from collections.abc import AsyncGenerator, AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import Any

import anyio
import pytest

import netio
from netio import policy
from netio.errors import DecodeError, InvalidRequest, StatusError, TooManyRedirects
from netio.message import Request, Response, Send
from netio.observe import Event, Redirected
from netio.testing import FakeClock, MemoryNetwork
from netio.testing._clock import all_tasks_at_rest
from tests.policy.retries import Instant
from tests.policy.web import Answer, Page, Web, answer, redirect

pytestmark = pytest.mark.anyio

A, B = "http://a.test", "http://b.test"
BASIC = "Basic dXNlcjpwdw=="
TEXT = b"some text " * 100


@asynccontextmanager
async def site(pages: Mapping[str, Page], **options: Any) -> AsyncIterator[tuple[netio.Session, Web]]:
    """A session and a web in memory, with these pages, over HTTP/1.1."""
    web = Web(pages)
    async with MemoryNetwork() as network:
        web.serve(network, A, B)
        async with netio.Session(connect=network.connect, clock=FakeClock(), **options) as session:
            yield session, web


def anywhere(page: Page) -> dict[str, Page]:
    return {f"{A}/": page, f"{B}/": page}


# ---------------------------------------------------------------------- what is not asked for


async def test_by_default_nothing_is_followed_kept_or_sent() -> None:
    pages = {f"{A}/": answer(302, {"location": "/next", "set-cookie": "a=b"})}
    async with site(pages) as (session, web):
        for _ in range(2):
            response = await session.get(f"{A}/")
            assert (response.status_code, response.history) == (302, ())
        assert session.cookies is None
        assert (web.sent("cookie"), web.sent("authorization")) == ([None, None], [None, None])


@pytest.mark.parametrize(
    ("options", "error"),
    [
        ({"follow_redirects": 5}, "follow_redirects is True, False or a policy.Redirects"),
        ({"cookies": "a=b"}, "cookies is True, False, a CookieJar or a mapping, not str"),
        ({"auth": "user:pw"}, "auth is a user name and a password, or a policy, not str"),
        ({"auth": ("user",)}, "auth is a user name and a password, not 1 things"),
        ({"decode": "gzip"}, "decode is True, False or a policy.Decode, not str"),
    ],
)
async def test_settings_that_are_none_are_refused(options: dict[str, Any], error: str) -> None:
    with pytest.raises(TypeError, match=error):
        netio.Session(**options)


async def test_cookies_of_nobody_are_refused() -> None:
    with pytest.raises(ValueError, match="there is no base_url, so nobody knows whose they are"):
        netio.Session(cookies={"a": "b"})


async def test_two_users_of_one_base_are_refused() -> None:
    with pytest.raises(ValueError, match="which of them is meant"):
        netio.Session(base_url="http://user:pw@a.test", auth=("other", "pw"))


async def test_nothing_may_be_said_by_none() -> None:
    assert netio.Session(cookies=None, auth=None).cookies is None


# ---------------------------------------------------------------------- redirects


async def test_redirects_are_followed_by_session_and_by_request() -> None:
    pages: dict[str, Page] = {f"{A}/": redirect("/next"), f"{A}/next": answer(body=b"here")}
    async with site(pages, follow_redirects=True) as (session, _):
        response = await session.get(f"{A}/")
        assert (response.content, [each.status_code for each in response.history]) == (b"here", [302])
        assert (await session.get(f"{A}/", follow_redirects=False)).status_code == 302
    async with site(pages) as (session, _):
        assert (await session.get(f"{A}/", follow_redirects=True)).content == b"here"
        assert (await session.get(f"{A}/", follow_redirects=None)).status_code == 302
        async with session.stream("GET", f"{A}/", follow_redirects=True) as streamed:
            assert await streamed.aread() == b"here"
        sent = await session.send(session.build_request("GET", f"{A}/"), follow_redirects=True)
        assert sent.content == b"here"


async def test_a_request_uses_the_limit_of_the_session() -> None:
    pages = {f"{A}/": redirect("/")}
    async with site(pages, follow_redirects=policy.Redirects(3)) as (session, web):
        for wish in (None, True):
            web.requests.clear()
            with pytest.raises(TooManyRedirects, match=r"more than 3 redirects \(Redirects.limit\)"):
                await session.get(f"{A}/", follow_redirects=wish)
            assert len(web.requests) == 4
        with pytest.raises(TooManyRedirects, match="more than 1 redirects"):
            await session.get(f"{A}/", follow_redirects=policy.Redirects(1))


async def test_red_06_twenty_redirects_are_the_limit() -> None:
    async with site({f"{A}/": redirect("/")}, follow_redirects=True) as (session, web):
        with pytest.raises(TooManyRedirects, match="more than 20 redirects"):
            await session.get(f"{A}/")
        assert len(web.requests) == 21


async def test_each_redirect_is_told() -> None:
    events: list[Event] = []
    pages: dict[str, Page] = {f"{A}/": redirect(f"{B}/", 307), f"{B}/": answer()}
    async with site(pages, follow_redirects=True, observer=events.append) as (session, _):
        await session.get(f"{B}/")
        assert not [event for event in events if isinstance(event, Redirected)]
        await session.get(f"{A}/")
    (event,) = (event for event in events if isinstance(event, Redirected))
    assert (str(event.request.url), event.status, str(event.following.url)) == (f"{A}/", 307, f"{B}/")


async def test_policies_of_a_request_leave_the_semantics_in_place() -> None:
    seen: list[str] = []

    async def note(request: Request, send: Send) -> Response:
        seen.append(f"{request.url.path} {request.headers.get('cookie')} {request.headers.get('authorization')}")
        return await send(request)

    pages: dict[str, Page] = {
        f"{A}/": answer(302, {"location": "/next", "set-cookie": "a=b"}),
        f"{A}/next": answer(fields={"content-encoding": "gzip"}, body=gzip.compress(TEXT)),
    }
    settings: dict[str, Any] = {"follow_redirects": True, "cookies": True, "auth": ("user", "pw")}
    async with site(pages, **settings) as (session, _):
        response = await session.get(f"{A}/", policies=[note])
    assert response.content == TEXT
    assert seen == [f"/ None {BASIC}", f"/next a=b {BASIC}"]


async def test_each_hop_is_repeated_by_itself() -> None:
    failing = {"/": 1, "/next": 1}

    def sometimes(page: Answer) -> Any:
        def say(request: Request) -> Answer:
            failing[request.url.path] -= 1
            return answer(503, {"retry-after": "0"}) if failing[request.url.path] >= 0 else page

        return say

    pages = {f"{A}/": sometimes(redirect("/next")), f"{A}/next": sometimes(answer())}
    retry = policy.Retry(random=lambda: 0.0)
    web = Web(pages)
    async with netio.Session(send=web, clock=Instant(), follow_redirects=True, policies=[retry]) as session:
        assert (await session.get(f"{A}/")).status_code == 200
    assert web.urls == [f"{A}/", f"{A}/", f"{A}/next", f"{A}/next"]


# ---------------------------------------------------------------------- cookies


async def test_a_jar_keeps_what_servers_set() -> None:
    pages = anywhere(answer(fields={"set-cookie": "a=b"}))
    async with site(pages, cookies=True) as (session, web):
        for url in (f"{A}/", f"{A}/", f"{B}/"):
            await session.get(url)
        assert web.sent("cookie") == [None, "a=b", None]
        assert session.cookies is not None
        assert [cookie.domain for cookie in session.cookies] == ["a.test", "b.test"]
    jar = policy.CookieJar()
    async with site(pages, cookies=jar) as (session, _):
        await session.get(f"{A}/")
        assert session.cookies is jar
        assert len(jar) == 1


async def test_cookies_of_a_mapping_go_to_the_base_alone() -> None:
    async with site(anywhere(answer()), base_url=A, cookies={"a": "1", "b": "2"}) as (session, web):
        for url in ("/", f"{B}/"):
            await session.get(url)
    assert web.sent("cookie") == ["a=1; b=2", None]


async def test_ck_07_cookies_of_a_request_are_for_it_alone() -> None:
    pages: dict[str, Page] = {
        f"{A}/": redirect(f"{B}/"), f"{B}/": redirect(f"{A}/2"), f"{A}/2": answer(fields={"set-cookie": "jar=1"})
    }  # fmt: skip
    async with site(pages, cookies=True, follow_redirects=True) as (session, web):
        await session.get(f"{A}/", cookies={"mine": "2"})
        await session.get(f"{A}/2", cookies={"mine": "2", "jar": "3"}, headers={"cookie": "own=4"})
        await session.get(f"{A}/2", cookies={})
    assert web.sent("cookie") == ["mine=2", None, None, "own=4; mine=2; jar=3", "jar=1"]


@pytest.mark.parametrize("cookies", [{"a b": "c"}, {"a": "b\r\nc"}, {"a": "b;c"}, {"": "x"}, {"a": 1}])
async def test_req_01_cookies_that_cannot_be_sent_are_refused(cookies: Any) -> None:
    async with site(anywhere(answer())) as (session, web):
        with pytest.raises(InvalidRequest, match="cannot be sent as it is"):
            await session.get(f"{A}/", cookies=cookies)
        assert web.requests == []


# ---------------------------------------------------------------------- credentials


async def test_user_and_password_go_to_the_base_or_where_the_request_goes() -> None:
    async with site(anywhere(answer()), base_url=A, auth=("user", "pw")) as (session, web):
        for url in ("/", f"{B}/"):
            await session.get(url)
        assert web.sent("authorization") == [BASIC, None]
    async with site(anywhere(answer()), auth=("user", "pw")) as (session, web):
        for url in (f"{A}/", f"{B}/"):
            await session.get(url)
        assert web.sent("authorization") == [BASIC, BASIC]


async def test_auth_of_a_request_takes_the_place_of_the_sessions() -> None:
    async with site(anywhere(answer()), base_url=A, auth=("user", "pw")) as (session, web):
        await session.get("/", auth=("you", "pw"))
        await session.get("/", auth=None)
        await session.get(f"{B}/", auth=policy.BearerAuth("abc"))
        await session.get("/", auth=policy.BasicAuth("user", "pw", origins=B))
        await session.get("/", headers={"authorization": "mine"})
    assert web.sent("authorization") == ["Basic eW91OnB3", None, "Bearer abc", None, "mine"]


async def test_what_digest_learns_it_keeps_between_requests() -> None:
    def challenged(request: Request) -> Answer:
        if "authorization" in request.headers:
            return answer()
        return answer(401, {"www-authenticate": 'Digest realm="r", nonce="n", qop="auth", algorithm=SHA-256'})

    async with site(anywhere(challenged), auth=policy.DigestAuth("user", "pw")) as (session, web):
        for url in (f"{A}/", f"{A}/", f"{B}/"):
            assert (await session.get(url)).status_code == 200
    assert [(sent or "none").partition(" ")[0] for sent in web.sent("authorization")] == [
        *("none", "Digest", "Digest", "none", "Digest")
    ]
    counts = [sent.partition("nc=")[2][:8] for sent in web.sent("authorization") if sent]
    assert counts == ["00000001", "00000002", "00000001"]


async def test_a_flow_may_await_and_runs_once_for_each_origin_that_is_asked() -> None:
    class Ticket(policy.Auth):
        async def async_auth_flow(self, request: Request) -> AsyncGenerator[Request, Response]:
            await all_tasks_at_rest()
            request.headers["authorization"] = f"Ticket {request.url.host}"
            yield request

    async with site(anywhere(answer()), auth=Ticket()) as (session, web):
        for url in (f"{A}/", f"{B}/"):
            await session.get(url)
    assert web.sent("authorization") == ["Ticket a.test", "Ticket b.test"]


async def test_req_07_userinfo_becomes_basic_and_is_never_on_the_wire() -> None:
    async with site(anywhere(redirect(f"{B}/2")), follow_redirects=True) as (session, web):
        response = await session.get("http://user:pw@a.test/")
        assert (response.status_code, str(response.url)) == (404, f"{B}/2")
        await session.get("http://user:pw@b.test/x", auth=("you", "pw"))
        await session.get("http://user:pw@b.test/x", headers={"authorization": "mine"})
        await session.get("http://user:pw@b.test/x", auth=None)
    assert web.sent("authorization") == [BASIC, None, "Basic eW91OnB3", "mine", BASIC]
    assert not any("user" in f"{sent.url} {sent.headers.get('host')}" for sent in web.requests)
    with pytest.raises(StatusError) as caught:
        response.raise_for_status()
    assert "pw" not in str(caught.value)


async def test_userinfo_of_the_base_goes_to_the_base() -> None:
    async with site(anywhere(answer()), base_url="http://user:pw@a.test") as (session, web):
        for url in ("/", f"{A}/", f"{B}/"):
            await session.get(url)
    assert web.sent("authorization") == [BASIC, None, None]


async def test_userinfo_that_cannot_be_sent_is_an_invalid_request() -> None:
    async with site(anywhere(answer())) as (session, web):
        with pytest.raises(InvalidRequest, match="the user name and password of the URL") as caught:
            await session.get("http://us%0Aer:secret@a.test/")
        assert "secret" not in str(caught.value)
        assert web.requests == []


# ---------------------------------------------------------------------- codings


async def test_codings_are_asked_for_and_decoded_by_default() -> None:
    coded = answer(fields={"content-encoding": "gzip"}, body=gzip.compress(TEXT))
    async with site(anywhere(coded)) as (session, web):
        assert (await session.get(f"{A}/")).content == TEXT
        async with session.stream("GET", f"{A}/") as response:
            assert await response.aread() == TEXT
        async with session.stream("GET", f"{A}/") as response:
            assert gzip.decompress(b"".join([piece async for piece in response.aiter_raw()])) == TEXT
        wish = policy.Decode().accept_encoding
        assert web.sent("accept-encoding") == [wish] * 3
        assert session.headers["accept-encoding"] == wish


async def test_decoding_can_be_switched_off_and_limited() -> None:
    body = gzip.compress(bytes(1_000))
    coded = answer(fields={"content-encoding": "gzip"}, body=body)
    async with site(anywhere(coded), decode=False) as (session, web):
        assert (await session.get(f"{A}/")).content == body
        assert web.sent("accept-encoding") == [None]
    async with site(anywhere(coded), decode=policy.Decode(max_body=999)) as (session, _):
        with pytest.raises(DecodeError, match=r"larger than 999 bytes \(Decode.max_body\)"):
            await session.get(f"{A}/")
        assert session.stats().failed == 1
        assert session.stats().active == 0


async def test_dec_07_a_range_is_asked_for_without_a_coding() -> None:
    async with site(anywhere(answer())) as (session, web):
        await session.get(f"{A}/", headers={"Range": "bytes=1-"})
        await session.get(f"{A}/", headers={"range": "bytes=1-", "accept-encoding": "gzip"})
        await session.get(f"{A}/", headers={"accept-encoding": "br"})
    assert web.sent("accept-encoding") == ["identity", "gzip", "br"]


async def test_what_a_policy_of_the_user_has_decoded_is_not_decoded_again() -> None:
    coded = answer(fields={"content-encoding": "gzip"}, body=gzip.compress(TEXT))
    async with site(anywhere(coded), policies=[policy.Decode()]) as (session, _):
        assert (await session.get(f"{A}/")).content == TEXT


async def test_shared_answers_are_decoded_for_each_who_waits() -> None:
    answers: list[Response] = []

    async def origin(request: Request) -> Response:
        await all_tasks_at_rest()
        answers.append(
            Response(200, request=request, headers={"content-encoding": "gzip"}, content=gzip.compress(TEXT))
        )
        return answers[-1]

    bodies: list[bytes] = []
    async with netio.Session(send=origin, clock=FakeClock(), policies=[policy.SingleFlight()]) as session:

        async def ask() -> None:
            bodies.append((await session.get(f"{A}/")).content)

        async with anyio.create_task_group() as group:
            for _ in range(3):
                group.start_soon(ask)
    assert bodies == [TEXT] * 3
    assert len(answers) == 1
