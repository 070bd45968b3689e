"""Redirects: what goes along to the next URL, and what stays with the first."""

from __future__ import annotations

import pytest

from netio.errors import ReadTimeout, RedirectError
from netio.message import Request, Response
from netio.policy import Redirects, Retry
from netio.testing import FakeClock
from tests.policy.retries import Instant
from tests.policy.web import Web, answer, ask, redirect, two_pages

pytestmark = pytest.mark.anyio

A, B = "http://a.test", "http://b.test"

SECRET_FIELDS = [
    ("Authorization", "Basic YTpi"),
    ("authorization", "Bearer second"),
    ("Proxy-Authorization", "Basic cDpx"),
    ("Cookie", "a=b"),
    ("cookie", "c=d"),
    ("X-Api-Key", "k"),
    ("x-auth-token", "t"),
    ("X-Amz-Security-Token", "s"),
    ("X-My-Company-Password", "p"),
    ("X-Session-Id", "i"),
    ("X-Access-Key", "a"),
    ("X-Mine", "given by name"),
]
PLAIN_FIELDS = [("Accept", "a/b"), ("User-Agent", "me"), ("X-Trace", "1"), ("Idempotency-Key", "2")]


@pytest.mark.parametrize(
    "target", ["http://b.test/", "http://a.test:81/", "https://a.test/", "http://sub.a.test/", "http://a.test./"]
)
async def test_red_01_all_secrets_stay_with_their_origin(target: str) -> None:
    web = Web({f"{A}/": redirect(target), target: answer()})
    await ask(web, [Redirects(secrets=["x-mine"])], f"{A}/", headers=[*SECRET_FIELDS, *PLAIN_FIELDS])
    assert list(web.requests[0].fields) == [*SECRET_FIELDS, *PLAIN_FIELDS]
    assert list(web.requests[1].fields) == PLAIN_FIELDS


async def test_red_01_the_same_origin_gets_everything_again() -> None:
    await ask(web := two_pages(302), [Redirects()], f"{A}/", headers=[*SECRET_FIELDS, *PLAIN_FIELDS])
    assert web.requests[1].fields == web.requests[0].fields


async def test_red_02_what_was_taken_off_does_not_come_back() -> None:
    web = Web(
        {f"{A}/": redirect(f"{B}/"), f"{B}/": redirect(f"{B}/2"), f"{B}/2": redirect(f"{A}/2"), f"{A}/2": answer()}
    )
    await ask(web, [Redirects()], f"{A}/", headers={"authorization": "x", "cookie": "a=b"})
    assert web.urls == [f"{A}/", f"{B}/", f"{B}/2", f"{A}/2"]
    assert web.sent("authorization") == ["x", None, None, None]
    assert web.sent("cookie") == ["a=b", None, None, None]


async def test_red_08_referer_and_host_stay_with_their_origin() -> None:
    web = Web({f"{A}/": redirect("/2"), f"{A}/2": redirect(f"{B}/"), f"{B}/": answer()})
    await ask(web, [Redirects()], f"{A}/", headers={"referer": f"{A}/?secret", "host": "virtual.test"})
    assert web.sent("referer") == [f"{A}/?secret", f"{A}/?secret", None]
    assert web.sent("host") == ["virtual.test", "virtual.test", None]


async def test_red_08_no_referer_is_made_up() -> None:
    await ask(web := two_pages(302), [Redirects()], "http://user:secret@a.test/#part")
    assert web.sent("referer") == [None, None]


@pytest.mark.parametrize("location", ["/next", "//a.test/next", "http://a.test/next", "http://evil:pw@a.test/next"])
async def test_red_05_userinfo_stays_with_the_origin_and_is_never_taken_from_a_location(location: str) -> None:
    web = two_pages(302, location)
    response = await ask(web, [Redirects()], "http://user:p%40ss@a.test/")
    assert str(response.url) == "http://user:p%40ss@a.test/next"
    web = Web({f"{A}/": redirect("http://evil:pw@b.test/"), f"{B}/": redirect(f"{A}/2"), f"{A}/2": answer()})
    response = await ask(web, [Redirects()], "http://user:pass@a.test/")
    assert [str(sent.url) for sent in web.requests[1:]] == [f"{B}/", f"{A}/2"]


async def test_red_03_https_does_not_lead_to_http_unless_told_so() -> None:
    def web() -> Web:
        return Web({"https://a.test/": redirect(f"{A}/"), f"{A}/": answer(body=b"plain")})

    first = web()
    with pytest.raises(RedirectError, match="from https to http://a.test/"):
        await ask(first, [Redirects()], "https://a.test/")
    assert len(first.requests) == 1
    second = web()
    response = await ask(second, [Redirects(allow_http=True)], "https://a.test/", headers={"cookie": "a=b"})
    assert (response.content, second.sent("cookie")) == (b"plain", ["a=b", None])


async def test_red_03_http_leads_to_https_without_the_credentials() -> None:
    web = Web({f"{A}/": redirect("https://a.test/"), "https://a.test/": answer(body=b"safe")})
    response = await ask(web, [Redirects()], f"{A}/", headers={"authorization": "x"})
    assert (response.content, web.sent("authorization")) == (b"safe", ["x", None])


async def test_time_and_the_rest_of_the_request_go_along() -> None:
    clock = FakeClock()
    web = two_pages(307)
    await ask(web, [Redirects()], f"{A}/", clock=clock, deadline=7.0, is_streamed=True, body_deadline=9.0, started=1.0)
    second = web.requests[1]
    assert (second.clock, second.deadline, second.body_deadline, second.started) == (clock, 7.0, 9.0, 1.0)
    assert (second.is_streamed, second.redirected_by) == (True, (web.requests[0].url.origin,))


async def test_each_hop_is_retried_by_itself() -> None:
    web = Web({f"{A}/": redirect(f"{B}/"), f"{B}/": answer(body=b"here")})
    failures = [ReadTimeout("slow", sent=True), None, ReadTimeout("slow", sent=True), None]

    async def send(sent: Request) -> Response:
        failure = failures.pop(0)
        if failure is not None:
            raise failure
        return await web(sent)

    response = await ask(send, [Redirects(), Retry()], f"{A}/", clock=Instant())
    assert (response.content, failures, len(response.history)) == (b"here", [], 1)
