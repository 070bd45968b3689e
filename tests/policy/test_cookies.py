"""Cookies around requests, the cookies of a request, and the file of a jar."""

from __future__ import annotations

import json
import stat
import sys
from pathlib import Path
from typing import Any

import anyio
import pytest

import netio
from netio.message import Request, Response
from netio.policy import Cookie, CookieJar, Cookies, Redirects, cookie_field, load_cookies, save_cookies
from netio.policy._suffixes import Suffixes
from netio.testing import FakeClock, MemoryNetwork
from tests.policy.web import Streamed, Web, answer, ask

pytestmark = pytest.mark.anyio

A, B = "https://a.test", "https://b.test"


def setting(*lines: str, status: int = 200, location: str = "/next") -> Web:
    fields = [("set-cookie", line) for line in lines]
    return Web({f"{A}/": answer(status, [*fields, ("location", location)]), f"{A}/next": answer()})


async def test_what_a_response_sets_comes_with_the_next_request() -> None:
    web, policy = setting("a=1", "b=2; path=/next"), Cookies()
    await ask(web, [policy], f"{A}/")
    await ask(web, [policy], f"{A}/next")
    await ask(web, [policy], f"{B}/next")
    assert web.sent("cookie") == [None, "b=2; a=1", None]
    assert [cookie.name for cookie in policy.jar] == ["a", "b"]


async def test_each_hop_of_a_redirect_sets_and_gets_its_own() -> None:
    web = setting("a=1", status=302)
    await ask(web, [Redirects(), Cookies()], f"{A}/")
    assert web.sent("cookie") == [None, "a=1"]
    web = setting("a=1", "b=2; domain=test", status=302, location=f"{B}/")
    await ask(web, [Redirects(), Cookies()], f"{A}/")
    assert web.sent("cookie") == [None, None]


async def test_cookies_of_the_request_come_before_those_of_the_same_name_in_the_jar() -> None:
    web, jar = setting(), CookieJar()
    jar.add(Cookie(name="a", value="jar", domain="a.test"))
    jar.add(Cookie(name="b", value="jar", domain="a.test"))
    fields = [("cookie", "a=mine; c=mine"), ("Cookie", "d=mine")]
    await ask(web, [Cookies(jar)], f"{A}/", headers=fields)
    assert web.requests[0].headers.get_list("cookie") == ["b=jar; a=mine; c=mine; d=mine"]


async def test_the_request_that_was_given_is_not_changed() -> None:
    jar = CookieJar()
    jar.add(Cookie(name="a", value="b", domain="a.test"))
    given = Request("GET", f"{A}/", clock=FakeClock())
    await Cookies(jar)(given, setting())
    assert given.fields == ()


def test_cookies_of_a_request_as_a_field() -> None:
    assert cookie_field({"a": "1", "b": "x y"}) == "a=1; b=x y"
    assert cookie_field({}) == ""


@pytest.mark.parametrize(
    "pair", [("", "x"), ("a b", "x"), ("a=", "x"), ("a;", "x"), ("a", "x;y"), ("a", "x\r\n"), ("a", 1)]
)
def test_req_01_what_cannot_be_a_cookie_is_refused(pair: Any) -> None:
    with pytest.raises(ValueError, match="cannot be sent"):
        cookie_field(dict([pair]))


class Broken(CookieJar):
    def store(self, url: Any, lines: Any) -> None:
        raise RuntimeError("broken")


async def test_ck_04_an_error_in_the_jar_leaks_no_connection() -> None:
    web = setting("a=b")
    with pytest.raises(RuntimeError, match="broken"):
        await ask(web, [Cookies(Broken())], f"{A}/", is_streamed=True)
    assert web.sources[0].is_closed
    async with MemoryNetwork() as network:
        network_web = Web({"http://a.test/": answer(fields={"set-cookie": "a=b"})})
        network_web.serve(network, "http://a.test")
        policies = [Cookies(Broken())]
        async with netio.Session(policies=policies, connect=network.connect, clock=FakeClock(), http2=False) as session:
            for _ in range(3):
                with pytest.raises(RuntimeError, match="broken"):
                    async with session.stream("GET", "http://a.test/"):
                        raise AssertionError("there is no response")
                assert session.stats().active == 0


async def test_ck_04_hostile_ages_on_a_connection_end_nothing() -> None:
    lines = [f"c{number}=x; max-age={'9' * number}; expires=Fri, 31 Dec 9999 23:59:59 GMT" for number in range(1, 40)]
    async with MemoryNetwork() as network:
        web = Web({"http://a.test/": answer(fields=[("set-cookie", line) for line in lines], body=b"x")})
        web.serve(network, "http://a.test")
        policy = Cookies()
        async with netio.Session(policies=[policy], connect=network.connect, clock=FakeClock(), http2=False) as session:
            for _ in range(3):
                assert (await session.get("http://a.test/")).content == b"x"
            assert (session.stats().created, session.stats().active, len(policy.jar)) == (1, 0, 39)


async def test_the_list_of_suffixes_is_read_in_a_thread_and_only_when_a_cookie_is_set() -> None:
    suffixes = Suffixes()
    policy = Cookies(CookieJar(is_public_suffix=suffixes))
    await ask(setting(), [policy], f"{A}/")
    assert not suffixes.is_loaded
    await ask(setting("a=b; domain=a.test"), [policy], f"{A}/")
    assert (suffixes.is_loaded, len(policy.jar)) == (True, 1)


async def test_cancelled_while_the_list_is_read_the_response_is_closed(monkeypatch: pytest.MonkeyPatch) -> None:
    source = Streamed(b"x")

    async def send(request: Request) -> Response:
        scope.cancel()
        return Response(200, request=request, headers={"set-cookie": "a=b"}, source=source)

    with anyio.CancelScope() as scope:
        await ask(send, [Cookies(CookieJar(is_public_suffix=Suffixes()))], f"{A}/", is_streamed=True)
    assert scope.cancelled_caught
    assert source.is_closed


# ---------------------------------------------------------------------- the file


async def test_ck_05_a_saved_jar_is_loaded_as_it_was(tmp_path: Path) -> None:
    jar, path = Cookies().jar, tmp_path / "cookies.json"
    await ask(setting("a=1; httponly; secure", "b=2; domain=a.test; max-age=99", 'c="\xe9\\'), [Cookies(jar)], f"{A}/")
    await save_cookies(jar, path)
    loaded = await load_cookies(CookieJar(), path)
    assert list(loaded) == list(jar)
    assert [(cookie.is_secure, cookie.is_host_only) for cookie in loaded] == [
        (True, True),
        (False, False),
        (False, True),
    ]
    if sys.platform != "win32":
        assert stat.S_IMODE(path.stat().st_mode) == 0o600


async def test_ck_05_a_jar_that_cannot_be_written_leaves_the_old_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "cookies.json"
    await save_cookies(CookieJar(), path)
    before = path.read_text()

    def fail(*_: object) -> None:
        raise OSError("disk full")

    monkeypatch.setattr("os.fsync", fail)
    jar = CookieJar()
    jar.add(Cookie(name="a", value="b", domain="a.test"))
    with pytest.raises(OSError, match="disk full"):
        await save_cookies(jar, path)
    assert path.read_text() == before
    assert [entry.name for entry in tmp_path.iterdir()] == ["cookies.json"]


async def test_ck_05_a_file_that_is_no_jar_is_an_error(tmp_path: Path) -> None:
    path = tmp_path / "cookies.json"
    path.write_bytes(b"\x80\x04K\x01.")  # a pickle
    with pytest.raises(ValueError, match="decode|not a saved"):
        await load_cookies(CookieJar(), path)
    with pytest.raises(FileNotFoundError):
        await load_cookies(CookieJar(), tmp_path / "none.json")
    path.write_text(json.dumps({"format": 1, "cookies": []}))
    assert len(await load_cookies(CookieJar(), path)) == 0


def test_a_jar_is_a_cookie_jar() -> None:
    with pytest.raises(TypeError, match="CookieJar"):
        Cookies({"a": "b"})  # type: ignore[arg-type]
