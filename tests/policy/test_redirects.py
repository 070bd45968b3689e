"""Redirects: the table of methods and bodies, where they lead, what goes along, and what is left behind."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import pytest

import netio
from netio.body import NO_BODY, BytesBody, IteratorBody
from netio.deadline import NEVER
from netio.errors import RedirectError, RequestBodyError, TooManyRedirects
from netio.message import Request, Response
from netio.policy import Redirects
from netio.testing import FakeClock, MemoryNetwork
from tests.policy.web import Answer, Streamed, Web, answer, ask, redirect, request, two_pages

pytestmark = pytest.mark.anyio

A, B = "http://a.test", "http://b.test"


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
@pytest.mark.parametrize("method", ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "QUERY"])
async def test_red_07_method_and_body_go_on_by_the_table_of_fetch(status: int, method: str) -> None:
    web = two_pages(status)
    fields = {"content-type": "text/plain", "content-language": "en", "expect": "100-continue", "accept": "a/b"}
    response = await ask(web, [Redirects()], f"{A}/", method, headers=fields, body=BytesBody(b"body"))
    becomes_get = (status in (301, 302) and method == "POST") or (status == 303 and method not in ("GET", "HEAD"))
    assert response.status_code == 200
    assert [sent.method for sent in web.requests] == [method, "GET" if becomes_get else method]
    assert web.bodies == [b"body", b"" if becomes_get else b"body"]
    kept = {"accept": "a/b"} if becomes_get else fields
    assert dict(web.requests[1].headers) == kept
    assert (web.requests[1].body is NO_BODY) == becomes_get


@pytest.mark.parametrize("status", [200, 201, 300, 304, 305, 306, 404, 503])
async def test_other_statuses_are_answers_even_with_a_location(status: int) -> None:
    web = two_pages(status)
    response = await ask(web, [Redirects()], f"{A}/")
    assert (response.status_code, len(web.requests), response.history) == (status, 1, ())


@pytest.mark.parametrize("location", [None, "", " "])
async def test_red_06_a_redirect_that_says_not_whereto_is_the_answer(location: str | None) -> None:
    web = two_pages(302, location)
    response = await ask(web, [Redirects()], f"{A}/")
    assert (response.status_code, response.content, len(web.requests)) == (302, b"moved", 1)


@pytest.mark.parametrize(
    ("location", "url"),
    [
        ("next", "http://a.test/x/next"),
        ("/next", "http://a.test/next"),
        ("./next", "http://a.test/x/next"),
        ("../../next", "http://a.test/next"),
        ("?c=d", "http://a.test/x/y?c=d"),
        ("//b.test/next", "http://b.test/next"),
        ("//b.test", "http://b.test/"),
        ("http://b.test:81/next?x#y", "http://b.test:81/next?x"),
        ("HTTP://B.TEST/Next", "http://b.test/Next"),
        ("https://b.test/", "https://b.test/"),
        ("http://a.test:80/", "http://a.test/"),
        ("/a b", "http://a.test/a%20b"),
        ("/a%20b%2Fc", "http://a.test/a%20b%2Fc"),
        ("/caf\xe9", "http://a.test/caf%E9"),  # not UTF-8: byte by byte
        ("/caf\xc3\xa9?\xc3\xa9", "http://a.test/caf%C3%A9?%C3%A9"),  # UTF-8, as it arrives
        ("http://b\xc3\xbccher.test/", "http://xn--bcher-kva.test/"),
        ("/http://c.test/", "http://a.test/http://c.test/"),
    ],
)
async def test_red_06_relative_and_odd_locations_lead_where_they_should(location: str, url: str) -> None:
    web = Web({url: answer(body=b"here"), f"{A}/x/y?q": redirect(location)})
    assert (await ask(web, [Redirects()], f"{A}/x/y?q")).content == b"here"
    assert web.urls == [f"{A}/x/y?q", url]


@pytest.mark.parametrize(
    "location",
    [
        "data:text/plain,x",
        "file:///etc/passwd",
        "javascript:alert(1)",
        "ftp://a.test/",
        "mailto:a@b.test",
        "ws://a.test/",
        "http://",
        "http:///path",
        "https:b.test",
        "http://a.test:99999/",
        "http://a.test:0/",
        "//a.test\\@b.test/",
        "\\\\b.test/",
        "/\\b.test/",
        "http:/\\/b.test/",
        "http://[::1%25eth0]/",
        "http://a b.test/",
        "/tab\there",
        "http://\xff.test/",
    ],
)
async def test_red_06_a_redirect_to_what_is_no_http_url_is_an_error(location: str) -> None:
    web = two_pages(302, location)
    with pytest.raises(RedirectError) as caught:
        await ask(web, [Redirects()], f"{A}/")
    assert len(web.requests) == 1
    assert caught.value.response is not None
    assert caught.value.response.headers["location"] == location
    assert (caught.value.phase, caught.value.sent, caught.value.request) == ("head", True, web.requests[0])


async def test_red_06_locations_that_differ_are_an_error_and_equal_ones_are_one() -> None:
    web = Web({f"{A}/": answer(302, [("location", "/next"), ("Location", "/next")]), f"{A}/next": answer()})
    assert (await ask(web, [Redirects()], f"{A}/")).status_code == 200
    web = Web({f"{A}/": answer(302, [("location", "/next"), ("location", "/other")])})
    with pytest.raises(RedirectError, match="several Location"):
        await ask(web, [Redirects()], f"{A}/")


async def test_red_06_twenty_redirects_are_followed_and_not_one_more() -> None:
    def chain(length: int) -> Web:
        pages = {f"{A}/{number}": redirect(f"/{number + 1}") for number in range(length)}
        return Web(pages | {f"{A}/{length}": answer(body=b"end")})

    response = await ask(chain(20), [Redirects()], f"{A}/0")
    assert (response.content, len(response.history)) == (b"end", 20)
    web = chain(21)
    with pytest.raises(TooManyRedirects, match=r"more than 20 redirects \(Redirects.limit\)") as caught:
        await ask(web, [Redirects()], f"{A}/0")
    assert len(web.requests) == 21
    assert caught.value.response is not None
    assert len(caught.value.response.history) == 20


@pytest.mark.parametrize("pages", [{"/": "/"}, {"/": "#only"}, {"/": "?"}, {"/": "/b", "/b": "/"}])
async def test_red_06_a_loop_ends_at_the_limit(pages: dict[str, str]) -> None:
    web = Web({f"{A}{path}": redirect(location) for path, location in pages.items()})
    with pytest.raises(TooManyRedirects):
        await ask(web, [Redirects(3)], f"{A}/")
    assert len(web.requests) == 4


async def test_a_limit_of_none_at_all_refuses_the_first() -> None:
    with pytest.raises(TooManyRedirects):
        await ask(two_pages(302), [Redirects(0)], f"{A}/")
    assert (await ask(two_pages(200), [Redirects(0)], f"{A}/")).status_code == 200


async def test_a_page_that_sets_a_mark_and_leads_to_itself_is_no_loop() -> None:
    web = Web({})
    web.pages[f"{A}/"] = lambda sent: redirect("/") if len(web.requests) < 3 else answer(body=b"in")
    assert (await ask(web, [Redirects()], f"{A}/")).content == b"in"


async def test_history_has_the_redirects_in_their_order_closed() -> None:
    web = Web({f"{A}/": redirect("/2", 301), f"{A}/2": redirect(f"{B}/3", 307), f"{B}/3": answer(body=b"x")})
    response = await ask(web, [Redirects()], f"{A}/")
    assert [(each.status_code, str(each.url)) for each in response.history] == [(301, f"{A}/"), (307, f"{A}/2")]
    assert all(each.is_closed for each in response.history)
    assert str(response.url) == f"{B}/3"
    assert (await ask(web, [Redirects()], f"{B}/3")).history == ()


@pytest.mark.parametrize(
    ("asked", "location", "fragment"),
    [("/#one", "/next", "one"), ("/#one", "/next#two", "two"), ("/", "/next#two", "two"), ("/", "/next", "")],
)
async def test_the_fragment_is_inherited(asked: str, location: str, fragment: str) -> None:
    response = await ask(two_pages(302, location), [Redirects()], f"{A}{asked}")
    assert (response.url.fragment, response.url.path) == (fragment, "/next")


# ---------------------------------------------------------------------- bodies


async def pieces() -> AsyncIterator[bytes]:
    yield b"one "
    yield b"two"


@pytest.mark.parametrize("status", [307, 308])
async def test_red_07_a_body_that_cannot_be_sent_twice_is_an_error(status: int) -> None:
    web = two_pages(status)
    with pytest.raises(RequestBodyError, match="read already") as caught:
        await ask(web, [Redirects()], f"{A}/", "POST", body=IteratorBody(pieces()))
    assert (len(web.requests), caught.value.sent, caught.value.request) == (1, True, web.requests[0])


@pytest.mark.parametrize("status", [307, 308])
async def test_red_07_a_body_that_can_be_made_again_is_sent_again(status: int) -> None:
    web = two_pages(status)
    assert (await ask(web, [Redirects()], f"{A}/", "POST", body=IteratorBody(pieces))).status_code == 200
    assert web.bodies == [b"one two", b"one two"]


@pytest.mark.parametrize("status", [301, 302, 303])
async def test_red_07_a_body_that_is_dropped_need_not_be_sent_again(status: int) -> None:
    web = two_pages(status)
    assert (await ask(web, [Redirects()], f"{A}/", "POST", body=IteratorBody(pieces()))).status_code == 200
    assert web.bodies == [b"one two", b""]


# ---------------------------------------------------------------------- what is left behind


async def test_a_streamed_redirect_is_closed_and_its_short_body_read() -> None:
    web = two_pages(302)
    response = await ask(web, [Redirects()], f"{A}/", is_streamed=True)
    first, last = web.sources
    assert (first.taken, first.is_closed, last.is_closed) == (5, True, False)
    assert await response.aread() == b"here"


async def test_dec_03_the_long_body_of_a_redirect_is_not_read() -> None:
    web = Web({f"{A}/": redirect("/next", body=bytes(16_385)), f"{A}/next": answer()})
    response = await ask(web, [Redirects()], f"{A}/", is_streamed=True)
    assert (web.sources[0].taken, web.sources[0].is_closed) == (0, True)
    await response.aclose()


@pytest.mark.parametrize("length", [None, "-1", "1e3", "99999999999999999999999", "\xb2"])
async def test_dec_03_a_body_of_unknown_length_is_not_read(length: str | None) -> None:
    endless = Streamed(iter(lambda: b"x" * 1_000, b""))

    async def send(sent: Request) -> Response:
        if sent.url.path == "/next":
            return Response(200, request=sent)
        fields = {"location": "/next"} | ({} if length is None else {"content-length": length})
        return Response(302, request=sent, headers=fields, source=endless)

    assert (await ask(send, [Redirects()], f"{A}/", is_streamed=True)).status_code == 200
    assert (endless.taken, endless.is_closed) == (0, True)


@pytest.mark.parametrize("location", ["javascript:x", "/next"])
async def test_an_error_closes_the_response(location: str) -> None:
    web = two_pages(307, location)
    with pytest.raises((RedirectError, RequestBodyError)):
        await ask(web, [Redirects()], f"{A}/", "POST", body=IteratorBody(pieces()), is_streamed=True)
    assert web.sources[0].is_closed


@pytest.mark.parametrize("is_streamed", [False, True])
async def test_a_short_redirect_leaves_its_connection_for_the_next_hop(is_streamed: bool) -> None:
    web = two_pages(302)
    async with MemoryNetwork() as network:
        web.serve(network, A)
        options: dict[str, Any] = {"connect": network.connect, "clock": FakeClock(), "http2": False}
        async with netio.Session(policies=[Redirects()], **options) as session:
            if is_streamed:
                async with session.stream("GET", f"{A}/") as response:
                    assert await response.aread() == b"here"
            else:
                assert (await session.get(f"{A}/")).content == b"here"
            stats = session.stats()
            assert (stats.created, stats.idle, stats.active) == (1, 1, 0)


async def test_a_redirect_whose_body_never_comes_does_not_hold_up_the_next_hop() -> None:
    web = Web({f"{A}/": Answer(302, [("location", "/next"), ("content-length", "100")], b"x"), f"{A}/next": answer()})
    async with MemoryNetwork() as network:
        web.serve(network, A)
        async with netio.Session(policies=[Redirects()], connect=network.connect, http2=False) as session:
            async with session.stream("GET", f"{A}/") as response:
                assert response.status_code == 200
            assert session.stats().created == 2


# ---------------------------------------------------------------------- settings


@pytest.mark.parametrize("limit", [-1, 1.5, True, "20", None])
def test_the_limit_is_a_whole_number(limit: Any) -> None:
    with pytest.raises(ValueError, match="Redirects.limit"):
        Redirects(limit)


def test_secrets_are_a_list_of_names() -> None:
    with pytest.raises(TypeError):
        Redirects(secrets="x-key")


def test_a_request_has_not_been_redirected_until_it_is() -> None:
    made = request(f"{A}/")
    assert (made.redirected_by, made.with_deadline(NEVER).redirected_by) == ((), ())
    led = made.replace(redirected_by=(made.url.origin,))
    assert led.with_deadline(1.0).redirected_by == led.replace(method="PUT").redirected_by == (made.url.origin,)


def test_a_request_with_another_field_is_a_copy_that_has_it_once() -> None:
    made = request(f"{A}/", headers=[("a", "1"), ("A", "2"), ("b", "3")], is_streamed=True, deadline=5.0)
    changed = made.with_field("a", "4")
    assert (changed.fields, list(changed.headers.get_list("A"))) == ((("b", "3"), ("a", "4")), ["4"])
    assert (changed.url, changed.is_streamed, changed.deadline) == (made.url, True, 5.0)
    assert made.fields == (("a", "1"), ("A", "2"), ("b", "3"))
    with pytest.raises(netio.InvalidRequest):
        made.with_field("a", "x\r\ny: z")
