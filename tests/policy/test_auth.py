"""Basic, userinfo, netrc and flows of one's own: what is sent where, that it ends, and that no secret shows."""

from __future__ import annotations

import base64
from collections.abc import AsyncGenerator, AsyncIterator, Generator
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import anyio
import pytest
from anyio.lowlevel import checkpoint

import netio
from netio.body import BytesBody, IteratorBody
from netio.errors import CredentialsError, InvalidURL, RequestBodyError
from netio.message import Request, Response
from netio.policy import Auth, BasicAuth, BearerAuth, DigestAuth, NetrcAuth, Redirects, UserinfoAuth
from netio.policy._auth import MAX_STEPS
from netio.testing import FakeClock, MemoryNetwork
from netio.url import URL
from tests.policy.web import Web, answer, ask, redirect, request

pytestmark = pytest.mark.anyio

A, B = "https://a.test", "https://b.test"


def open_site() -> Web:
    return Web({f"{origin}/": answer(body=b"in") for origin in (A, B, "http://a.test", "https://a.test:8443")})


def basic(text: str) -> str:
    return f"Basic {base64.b64encode(text.encode()).decode()}"


# ---------------------------------------------------------------------- Basic


async def test_basic_is_sent_with_every_request_to_its_origin() -> None:
    web, policy = open_site(), BasicAuth("Aladdin", "open sesame", origins=A)
    for url in (f"{A}/", f"{B}/", "http://a.test/", "https://a.test:8443/", f"{A}:443/"):
        await ask(web, [policy], url)
    expected = "Basic QWxhZGRpbjpvcGVuIHNlc2FtZQ=="  # RFC 7617 section 2
    assert web.sent("authorization") == [expected, None, None, None, expected]


async def test_basic_is_utf_8() -> None:
    web = open_site()
    await ask(web, [BasicAuth("test", "123\u00a3", origins=A)], f"{A}/")
    assert web.sent("authorization") == ["Basic dGVzdDoxMjPCow=="]  # RFC 7617 section 2.1


@pytest.mark.parametrize("origins", [A, URL(A), URL(A).origin, [A, URL(B)], (URL(B).origin, f"{A}/path?query")])
async def test_origins_are_given_as_urls_one_or_several(origins: Any) -> None:
    web = open_site()
    await ask(web, [BasicAuth("u", "p", origins=origins)], f"{A}/")
    assert web.sent("authorization") == [basic("u:p")]


@pytest.mark.parametrize("origins", ["a.test", "/path", ""])
def test_what_has_no_host_is_no_origin(origins: str) -> None:
    with pytest.raises(InvalidURL, match="no origin"):
        BasicAuth("u", "p", origins=origins)


@pytest.mark.parametrize("policy", [BasicAuth("u", "p"), BearerAuth("t"), DigestAuth("u", "p"), Auth()])
async def test_credentials_for_no_origin_are_sent_nowhere(policy: Any) -> None:
    web = open_site()
    with pytest.raises(ValueError, match=f"{type(policy).__name__} is for no origin"):
        await ask(web, [policy], f"{A}/")
    assert web.requests == []
    await ask(web, [policy.bound_to(A)], f"{A}/")
    assert len(web.requests) == 1
    assert policy.origins is None


async def test_a_field_of_the_request_comes_before_the_policy() -> None:
    web = open_site()
    for policy in (BasicAuth("u", "p", origins=A), BearerAuth("t", origins=A), DigestAuth("u", "p", origins=A)):
        await ask(web, [policy], f"{A}/", headers={"Authorization": "mine"})
    assert web.sent("authorization") == ["mine"] * 3


@pytest.mark.parametrize("pair", [("a:b", "c"), ("a\n", "c"), ("a", "c\0"), ("a", "\x7f")])
def test_req_01_names_and_passwords_that_basic_cannot_carry_are_refused(pair: tuple[str, str]) -> None:
    with pytest.raises(ValueError, match="RFC 7617") as caught:
        BasicAuth(*pair, origins=A)
    assert repr(pair[1]) not in str(caught.value)


@pytest.mark.parametrize("pair", [(b"a", "b"), ("a", None), (1, "b")])
def test_names_and_passwords_are_text(pair: Any) -> None:
    for kind in (BasicAuth, DigestAuth):
        with pytest.raises(TypeError):
            kind(*pair, origins=A)


async def test_auth_02_no_secret_shows_in_a_repr_an_error_or_a_url(tmp_path: Path) -> None:
    policies: list[Any] = [
        BasicAuth("user", "hunter2", origins=A),
        DigestAuth("user", "hunter2", origins=A),
        BearerAuth("hunter2", origins=A),
        NetrcAuth(tmp_path / "none"),
        UserinfoAuth(),
    ]
    assert not any("hunter2" in repr(policy) or "aHVu" in repr(policy) for policy in policies)
    assert repr(policies[0]) == "<BasicAuth for https://a.test>"

    async def fail(request: Request) -> Response:
        raise netio.ReadTimeout("slow", request=request)

    for policy in policies:
        with pytest.raises(netio.ReadTimeout) as caught:
            await ask(fail, [policy], "https://user:hunter2@a.test/?key=hunter2")
        request = caught.value.request
        assert request is not None
        shown = f"{caught.value}{caught.value!r}{request!r}{request.headers!r}{request.url!r}"
        assert "hunter2" not in shown
        assert base64.b64encode(b"user:hunter2").decode() not in shown


async def test_credentials_for_the_first_origin_are_for_no_other() -> None:
    web = Web({f"{A}/": redirect("https://b.test/"), "https://b.test/": redirect(f"{A}/2"), f"{A}/2": answer()})
    first = BasicAuth("user", "secret").bound_to_first()
    await ask(web, [Redirects(), first], f"{A}/")
    assert [sent is not None for sent in web.sent("authorization")] == [True, False, False]
    assert repr(first) == "<BasicAuth for the first origin>"
    bound = first.bound_to("https://b.test")
    assert repr(bound) == "<BasicAuth for https://b.test>"
    await ask(web, [bound], f"{A}/2")
    assert web.sent("authorization")[-1] is None


# ---------------------------------------------------------------------- userinfo


@pytest.mark.parametrize(
    ("url", "pair"),
    [
        ("https://user:pa%3Ass%40@a.test/", "user:pa:ss@"),
        ("https://user@a.test/", "user:"),
        ("https://:key@a.test/", ":key"),
        ("https://a.test/", None),
    ],
)
async def test_userinfo_is_sent_by_basic(url: str, pair: str | None) -> None:
    web = open_site()
    await ask(web, [UserinfoAuth()], url)
    assert web.sent("authorization") == [None if pair is None else basic(pair)]


async def test_req_07_userinfo_is_never_in_the_target() -> None:
    async with MemoryNetwork() as network:
        web = Web({"http://a.test/": answer()})
        web.serve(network, "http://a.test")
        options: dict[str, Any] = {"connect": network.connect, "clock": FakeClock(), "http2": False}
        for policies in ([], [UserinfoAuth()]):
            async with netio.Session(policies=policies, **options) as session:
                assert (await session.get("http://user:secret@a.test/")).status_code == 200
    assert web.urls == ["http://a.test/"] * 2
    assert web.sent("authorization") == [basic("user:secret")] * 2
    assert not any("secret" in str(sent.url) for sent in web.requests)


# ---------------------------------------------------------------------- netrc


def write(path: Path, text: str) -> Path:
    path.write_text(text)
    path.chmod(0o600)
    return path


NETRC = """
machine a.test login user password "se cret" account ignored
machine A2.Test login second password 2
machine login-only.test login user
default login anybody password everybody
"""


async def test_red_05_netrc_is_asked_by_the_exact_host(tmp_path: Path) -> None:
    policy = NetrcAuth(write(tmp_path / "netrc", NETRC))
    web = open_site()
    for url in (
        f"{A}/",
        "https://a.test:8443/",
        "https://a2.test/",
        "https://sub.a.test/",
        "https://login-only.test/",
        f"{B}/",
    ):
        await ask(web, [policy], url)
    user = basic("user:se cret")
    assert web.sent("authorization") == [user, user, basic("second:2"), None, None, None]


async def test_netrc_comes_after_what_the_request_has_itself(tmp_path: Path) -> None:
    policy, web = NetrcAuth(write(tmp_path / "netrc", NETRC)), open_site()
    await ask(web, [policy], f"{A}/", headers={"authorization": "mine"})
    await ask(web, [policy], "https://other@a.test/")
    assert web.sent("authorization") == ["mine", None]


async def test_netrc_is_read_once_and_none_is_none(tmp_path: Path) -> None:
    path = write(tmp_path / "netrc", NETRC)
    policy, web = NetrcAuth(path), open_site()
    await ask(web, [policy], f"{A}/")
    path.unlink()
    await ask(web, [policy], f"{A}/")
    await ask(web, [NetrcAuth(path)], f"{A}/")
    assert [sent is None for sent in web.sent("authorization")] == [False, False, True]


async def test_netrc_is_where_the_environment_says(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NETRC", str(write(tmp_path / "elsewhere", NETRC)))
    web = open_site()
    await ask(web, [NetrcAuth()], f"{A}/")
    assert web.sent("authorization") == [basic("user:se cret")]


@pytest.mark.parametrize("text", ["nonsense secret", "machine a.test login a:b password secret"])
async def test_auth_02_a_netrc_that_cannot_be_read_does_not_show_what_is_in_it(tmp_path: Path, text: str) -> None:
    policy = NetrcAuth(write(tmp_path / "netrc", text))
    with pytest.raises(CredentialsError, match="cannot be read as a netrc file") as caught:
        await ask(open_site(), [policy], f"{A}/")
    assert "secret" not in str(caught.value)
    assert (caught.value.sent, caught.value.phase, caught.value.__cause__) == (False, "build", None)


# ---------------------------------------------------------------------- flows


class Ticket(Auth):
    """Fetches a ticket where it is told, and comes back with it."""

    def auth_flow(self, request: Request) -> Generator[Request, Response, None]:
        response = yield request
        if response.status_code == 401:
            ticket = yield request.replace(method="POST", url=URL(response.headers["x-office"]), headers=())
            request.headers["authorization"] = f"Ticket {ticket.headers['x-ticket']}"
            yield request


def ticket_site() -> Web:
    def door(sent: Request) -> Any:
        if sent.headers.get("authorization") == "Ticket 7":
            return answer(body=b"in")
        return answer(401, {"x-office": f"{B}/office"})

    return Web({f"{A}/": door, f"{B}/office": answer(fields={"x-ticket": "7"})})


@pytest.mark.parametrize("is_streamed", [False, True])
async def test_a_flow_is_a_generator_of_requests(is_streamed: bool) -> None:
    web = ticket_site()
    given = Request("GET", f"{A}/", headers={"x": "y"}, clock=FakeClock(), is_streamed=is_streamed)
    response = await Ticket(origins=A)(given, web)
    assert await response.aread() == b"in"
    assert web.urls == [f"{A}/", f"{B}/office", f"{A}/"]
    assert [sent.headers.get("authorization") for sent in web.requests] == [None, None, "Ticket 7"]
    assert given.fields == (("x", "y"),)
    assert [source.is_closed for source in web.sources] == [True, True, True] * is_streamed


async def test_a_flow_with_await_and_the_body_of_a_response() -> None:
    class Awaiting(Auth):
        requires_response_body = True

        async def async_auth_flow(self, request: Request) -> AsyncGenerator[Request, Response]:
            response = yield request
            request.headers["authorization"] = response.text
            yield request

    web = Web({f"{A}/": lambda sent: answer(body=b"word" if "authorization" not in sent.headers else b"in")})
    response = await ask(web, [Awaiting(origins=A)], f"{A}/", is_streamed=True)
    assert (await response.aread(), web.sent("authorization")) == (b"in", [None, "word"])


async def test_auth_03_a_flow_that_never_ends_is_ended() -> None:
    has_ended = False

    class Stubborn(Auth):
        def auth_flow(self, request: Request) -> Generator[Request, Response, None]:
            nonlocal has_ended
            try:
                while True:
                    yield request
            finally:
                has_ended = True

    web = Web({f"{A}/": answer(401)})
    response = await ask(web, [Stubborn(origins=A)], f"{A}/")
    assert (response.status_code, len(web.requests), has_ended) == (401, MAX_STEPS, True)


async def test_a_flow_that_sends_nothing_lets_the_request_through() -> None:
    class Silent(Auth):
        def auth_flow(self, request: Request) -> Generator[Request, Response, None]:
            yield from ()

    assert (await ask(open_site(), [Silent(origins=A)], f"{A}/")).content == b"in"


async def test_an_error_in_a_flow_closes_the_response() -> None:
    class Broken(Auth):
        def auth_flow(self, request: Request) -> Generator[Request, Response, None]:
            yield request
            raise LookupError("no such field")

    web = open_site()
    with pytest.raises(LookupError, match="no such field"):
        await ask(web, [Broken(origins=A)], f"{A}/", is_streamed=True)
    assert web.sources[0].is_closed


async def pieces() -> AsyncIterator[bytes]:
    yield b"once"


class Mine(Exception):
    pass


class EndsBadly(Auth):
    """Goes on for ever, and raises when it is ended."""

    def auth_flow(self, request: Request) -> Generator[Request, Response, None]:
        try:
            while True:
                yield request
        finally:
            raise Mine


class EndsSlowly(Auth):
    """Goes on for ever, and has something to wait for when it is ended."""

    async def async_auth_flow(self, request: Request) -> AsyncGenerator[Request, Response]:
        try:
            while True:
                yield request
        finally:
            await checkpoint()


@pytest.mark.parametrize("flow", [EndsBadly, EndsSlowly])
async def test_pool_10_a_flow_that_fails_or_is_cancelled_when_it_is_ended_closes_the_response(flow: type[Auth]) -> None:
    web = open_site()

    async def send(given: Request) -> Response:
        if len(web.requests) == MAX_STEPS - 1 and flow is EndsSlowly:
            scope.cancel()
        return await web(given)

    with anyio.CancelScope() as scope:
        with pytest.raises(Mine) if flow is EndsBadly else nullcontext():
            await flow(origins="http://a.test")(request("http://a.test/", is_streamed=True), send)
    assert scope.cancelled_caught == (flow is EndsSlowly)
    assert [source.is_closed for source in web.sources] == [True] * MAX_STEPS


async def test_a_body_that_cannot_be_sent_twice_is_an_error() -> None:
    web = ticket_site()
    with pytest.raises(RequestBodyError, match="wants credentials first"):
        await ask(web, [Ticket(origins=A)], f"{A}/", "POST", body=IteratorBody(pieces()), is_streamed=True)
    assert (len(web.requests), web.sources[0].is_closed) == (1, True)


async def test_a_body_is_sent_with_each_request_of_a_flow() -> None:
    web = ticket_site()
    await ask(web, [Ticket(origins=A)], f"{A}/", "PUT", body=BytesBody(b"body"))
    assert web.bodies == [b"body", b"body", b"body"]
