"""Digest: the examples of the RFCs, challenges of every kind, counts under concurrency, and that it ends."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable
from typing import Any

import anyio
import pytest
from anyio.lowlevel import checkpoint
from hypothesis import given
from hypothesis import strategies as st

from netio.body import BytesBody
from netio.message import Request, Response
from netio.policy import DigestAuth
from netio.policy._challenges import MAX_CHALLENGES, Challenge, challenges, parameters_at, quoted
from netio.policy._digest import MAX_NONCES, Nonce, strongest
from tests.policy.web import Answer, Web, answer, ask, request

pytestmark = pytest.mark.anyio

A = "https://a.test"

# ---------------------------------------------------------------------- the examples of the RFCs

RFC_7616 = {
    "realm": "http-auth@example.org",
    "qop": "auth, auth-int",
    "nonce": "7ypf/xlj9XXwfDPEoM4URrv/xwf94BcCAzFZH4GiTo0v",
    "opaque": "FQhe/qaU925kfnzjCev0ciny7QMkPqMAFRtzCUYo5tdS",
}
CNONCE = "f2/wE4q74E6zIJEtWaHKaf5wv/H5QzzpXusqGemxURZJ"


@pytest.mark.parametrize(
    ("algorithm", "response"),
    [
        ("MD5", "8ca523f5e9506fed4657c9700eebdbec"),
        ("SHA-256", "753927fa0e85d155564e2e272a28d1802ca10daf4496794697cf8db5856cb6c1"),
    ],
)
def test_the_example_of_rfc_7616(algorithm: str, response: str) -> None:
    nonce = Nonce(Challenge("digest", {**RFC_7616, "algorithm": algorithm}), CNONCE)
    field = nonce.field("Mufasa", "Circle of Life", "GET", "/dir/index.html")
    assert fields_of(field) == {
        "username": "Mufasa",
        "realm": RFC_7616["realm"],
        "nonce": RFC_7616["nonce"],
        "uri": "/dir/index.html",
        "response": response,
        "algorithm": algorithm,
        "opaque": RFC_7616["opaque"],
        "qop": "auth",
        "nc": "00000001",
        "cnonce": CNONCE,
    }
    assert re.search(rf"algorithm={algorithm}, .*qop=auth, nc=00000001, ", field)  # section 3.4: these without quotes


def test_the_example_of_rfc_2617_and_its_older_form_without_qop() -> None:
    parameters = {
        "realm": "testrealm@host.com",
        "nonce": "dcd98b7102dd2f0e8b11d0f600bfb0c093",
        "opaque": "5ccc069c403ebaf9f0171e9517f40e41",
    }
    with_qop = Nonce(Challenge("digest", {**parameters, "qop": "auth,auth-int"}), "0a4f113b")
    without = Nonce(Challenge("digest", parameters), "0a4f113b")
    said = [
        fields_of(nonce.field("Mufasa", "Circle Of Life", "GET", "/dir/index.html")) for nonce in (with_qop, without)
    ]
    assert [each["response"] for each in said] == [
        "6629fae49393a05397450978507c4ef1",
        "670fd8c2df070c60b045671b8b24ff02",
    ]
    assert not {"qop", "nc", "cnonce", "algorithm"} & said[1].keys()


def test_a_session_key_is_made_of_nonce_and_cnonce() -> None:
    def digest(text: str) -> str:
        return hashlib.sha256(text.encode()).hexdigest()

    nonce = Nonce(Challenge("digest", {"realm": "r", "nonce": "n", "qop": "auth", "algorithm": "SHA-256-sess"}), "c")
    key = digest(f"{digest('u:r:p')}:n:c")
    for count in (1, 2):
        said = fields_of(nonce.field("u", "p", "POST", "/x"))
        assert said["response"] == digest(f"{key}:n:{count:08x}:c:auth:{digest('POST:/x')}")
        assert (said["algorithm"], said["nc"]) == ("SHA-256-sess", f"{count:08x}")


def test_the_user_name_is_hashed_if_the_server_wants_that() -> None:
    """RFC 7616 section 3.9.2, with the algorithm that everybody has."""
    parameters = {"realm": "api@example.org", "nonce": "n", "qop": "auth", "algorithm": "SHA-256", "userhash": "true"}
    said = fields_of(Nonce(Challenge("digest", parameters), "c").field("J\u00e4s\u00f8n Doe", "p", "GET", "/"))
    assert said["username"] == hashlib.sha256("J\u00e4s\u00f8n Doe:api@example.org".encode()).hexdigest()
    assert said["userhash"] == "true"


def test_a_user_name_beyond_ascii_is_sent_as_the_charset_allows() -> None:
    def field(**more: str) -> str:
        return Nonce(Challenge("digest", {"realm": "r", "nonce": "n", **more}), "c").field("J\u00e4s", "p", "GET", "/")

    assert "username*=UTF-8''J%C3%A4s, " in field(charset="UTF-8")
    assert 'username="J\xc3\xa4s", ' in field()


def test_auth_01_quotes_and_backslashes_are_read_and_written_with_their_escapes() -> None:
    (challenge,) = challenges([r'Digest realm="a \"quoted\" \\ realm, b=\"c\"", nonce="n\\", opaque=""'])
    assert challenge.parameters == {"realm": 'a "quoted" \\ realm, b="c"', "nonce": "n\\", "opaque": ""}
    field = Nonce(challenge, "c").field('us"er\\', "p", "GET", '/"')
    said = fields_of(field)
    assert (said["realm"], said["nonce"]) == (challenge.parameters["realm"], "n\\")
    assert (said["username"], said["uri"], said["opaque"]) == ('us"er\\', '/"', "")


def fields_of(field: str) -> dict[str, str]:
    assert field.startswith("Digest ")
    parameters, end = parameters_at(field, 7)
    assert end == len(field)
    return parameters


# ---------------------------------------------------------------------- challenges


@pytest.mark.parametrize(
    ("values", "found"),
    [
        ([], []),
        ([""], []),
        (["Basic realm=x"], [("basic", {"realm": "x"})]),
        (['BASIC Realm = "x y"'], [("basic", {"realm": "x y"})]),
        (["Basic"], [("basic", {})]),
        (["Negotiate"], [("negotiate", {})]),
        (["Negotiate YII=, Basic realm=x"], [("negotiate", {}), ("basic", {"realm": "x"})]),
        (["Negotiate, Basic realm=x"], [("negotiate", {}), ("basic", {"realm": "x"})]),
        (
            ["Basic realm=x, Digest realm=y, nonce=z, NTLM"],
            [("basic", {"realm": "x"}), ("digest", {"realm": "y", "nonce": "z"}), ("ntlm", {})],
        ),
        (["Basic realm=x", "Digest realm=y"], [("basic", {"realm": "x"}), ("digest", {"realm": "y"})]),
        ([", , Basic realm=x , ,"], [("basic", {"realm": "x"})]),
        (["Basic realm=x, realm=y"], [("basic", {"realm": "x"})]),
        (['Digest realm="x", nonce="unfinished'], [("digest", {"realm": "x"})]),
        (["Digest realm=x nonce=y"], [("digest", {})]),
        (["=broken, Basic realm=x"], []),
        (['Basic realm="a, Digest nonce=b"'], [("basic", {"realm": "a, Digest nonce=b"})]),
    ],
)
def test_challenges_are_read_as_rfc_9110_writes_them(values: list[str], found: list[tuple[str, Any]]) -> None:
    assert [tuple(challenge) for challenge in challenges(values)] == found


@given(st.text(st.sampled_from(' \t,="\\aB1/~'), max_size=80))
def test_rx_01_reading_challenges_ends_and_writes_nothing_new(text: str) -> None:
    for challenge in challenges([text] * 3):
        assert challenge.scheme in text.lower()


@given(st.text(st.characters(min_codepoint=32, max_codepoint=255, exclude_characters="\x7f")))
def test_what_is_quoted_is_read_back(text: str) -> None:
    assert parameters_at(f"a={quoted(text)}", 0)[0] == {"a": text}


def test_rx_01_long_fields_take_time_in_proportion() -> None:
    for text in (
        'Digest realm="' + "\\" * 60_000,
        "a" * 60_000,
        "Digest " + "a=b," * 15_000,
        "a " * 30_000,
        "," * 60_000,
    ):
        assert len(challenges([text])) <= MAX_CHALLENGES


def test_auth_01_the_strongest_algorithm_is_answered_wherever_it_stands() -> None:
    def one(algorithm: str, **more: str) -> str:
        rest = "".join(f', {name}="{value}"' for name, value in more.items())
        return f'Digest realm="r", nonce="{algorithm}", algorithm={algorithm}{rest}'

    def chosen(*values: str) -> str | None:
        challenge = strongest(values)
        return None if challenge is None else challenge.parameters["nonce"]

    assert chosen(one("MD5"), one("SHA-256")) == chosen(one("SHA-256"), one("MD5")) == "SHA-256"
    assert chosen(f"{one('MD5')}, {one('sha-256-sess')}, Basic realm=x") == "sha-256-sess"
    assert chosen(one("SHA-512-256"), one("MD5-sess")) == "MD5-sess"
    assert chosen(one("SHA-256", qop="auth-int"), one("MD5", qop="auth-int, auth")) == "MD5"
    assert chosen(one("SHA-1"), one("MD5", qop="auth-int"), "Basic realm=x", "Digest realm=r") is None


# ---------------------------------------------------------------------- conversations


class Server:
    """Checks Digest credentials as a server does; `life` is how many requests a nonce is good for."""

    def __init__(self, *, life: int = 1_000_000, algorithm: str = "SHA-256", password: str = "p") -> None:
        self.life = life
        self.algorithm = algorithm
        self.password = password
        self.issued = 0
        self.counts: dict[str, list[int]] = {}
        self.next_nonce = ""
        self.says_stale = True

    def challenge(self, *, stale: bool = False) -> Answer:
        self.issued += 1
        nonce = f"nonce{self.issued}"
        self.counts[nonce] = []
        stale_text = ", stale=TRUE" if stale and self.says_stale else ""
        value = f'Digest realm="r", qop="auth", algorithm={self.algorithm}, nonce="{nonce}", opaque="o"{stale_text}'
        return answer(401, {"www-authenticate": value})

    def __call__(self, sent: Request) -> Answer:
        given = sent.headers.get("authorization")
        if given is None:
            return self.challenge()
        said = fields_of(given)
        counts = self.counts.get(said["nonce"])
        if counts is None or len(counts) >= self.life:
            return self.challenge(stale=True)
        counts.append(int(said["nc"], 16))
        check = Nonce(Challenge("digest", said), said["cnonce"])
        check.count = int(said["nc"], 16) - 1
        expected = fields_of(check.field("u", self.password, sent.method, sent.url.target))
        if said != expected or said["uri"] != sent.url.target:
            return self.challenge()
        fields = {"authentication-info": f'nextnonce="{self.next_nonce}"'} if self.next_nonce else {}
        if self.next_nonce:
            self.counts.setdefault(self.next_nonce, [])
        return answer(200, fields, b"in")


def door(server: Callable[[Request], Answer]) -> Web:
    return Web({f"{A}{path}": server for path in ("/", "/x?y=z")})


@pytest.mark.parametrize("algorithm", ["SHA-256", "SHA-256-sess", "MD5", "MD5-sess"])
async def test_a_challenge_is_answered_and_later_requests_bring_the_answer_with_them(algorithm: str) -> None:
    server = Server(algorithm=algorithm)
    web, policy = door(server), DigestAuth("u", "p", origins=A)
    for url in (f"{A}/", f"{A}/x?y=z", f"{A}/"):
        assert (await ask(web, [policy], url, "POST", body=BytesBody(b"body"))).content == b"in"
    assert [sent is None for sent in web.sent("authorization")] == [True, False, False, False]
    assert server.counts == {"nonce1": [1, 2, 3]}
    assert web.bodies == [b"body"] * 4


async def test_auth_01_a_count_is_used_once_however_many_requests_there_are_at_a_time() -> None:
    server = Server()
    web, policy = door(server), DigestAuth("u", "p", origins=A)
    await ask(web, [policy], f"{A}/")
    answers: list[bytes] = []

    async def send(request: Request) -> Response:
        await checkpoint()
        return await web(request)

    async def one() -> None:
        answers.append((await ask(send, [policy], f"{A}/")).content)

    async with anyio.create_task_group() as group:
        for _ in range(50):
            group.start_soon(one)
    assert answers == [b"in"] * 50
    assert sorted(server.counts["nonce1"]) == list(range(1, 52))


@pytest.mark.parametrize("says_stale", [True, False])
async def test_auth_01_a_nonce_that_is_over_is_replaced_once(says_stale: bool) -> None:
    server = Server(life=2)
    server.says_stale = says_stale
    web, policy = door(server), DigestAuth("u", "p", origins=A)
    for _ in range(3):
        assert (await ask(web, [policy], f"{A}/")).status_code == 200
    assert server.counts == {"nonce1": [1, 2], "nonce2": [1]}
    assert len(web.requests) == 5


async def test_auth_01_a_server_that_finds_every_nonce_stale_is_given_up() -> None:
    server = Server(life=0)
    web, policy = door(server), DigestAuth("u", "p", origins=A)
    assert (await ask(web, [policy], f"{A}/")).status_code == 401
    assert len(web.requests) == 3
    await ask(web, [policy], f"{A}/")
    assert len(web.requests) == 6


async def test_auth_03_wrong_credentials_are_sent_once() -> None:
    server = Server(password="other")
    web, policy = door(server), DigestAuth("u", "p", origins=A)
    for count in (2, 4):
        assert (await ask(web, [policy], f"{A}/")).status_code == 401
        assert len(web.requests) == count


async def test_auth_03_credentials_that_were_right_and_are_not_any_more_are_given_up() -> None:
    server = Server()
    web, policy = door(server), DigestAuth("u", "p", origins=A)
    await ask(web, [policy], f"{A}/")
    server.password = "changed"
    assert (await ask(web, [policy], f"{A}/")).status_code == 401
    assert len(web.requests) == 4


@pytest.mark.parametrize(
    "value",
    ["Basic realm=x", 'Digest realm="r"', 'Digest realm="r", nonce="n", qop="auth-int"', "Digest", "nonsense", None],
)
async def test_a_challenge_that_cannot_be_answered_is_the_answer(value: str | None) -> None:
    web = Web({f"{A}/": answer(401, {} if value is None else {"www-authenticate": value}, b"no")})
    response = await ask(web, [DigestAuth("u", "p", origins=A)], f"{A}/")
    assert (response.status_code, response.content, len(web.requests)) == (401, b"no", 1)


async def test_the_server_names_the_next_nonce() -> None:
    server = Server()
    web, policy = door(server), DigestAuth("u", "p", origins=A)
    server.next_nonce = "second"
    await ask(web, [policy], f"{A}/")
    server.next_nonce = "third"
    await ask(web, [policy], f"{A}/")
    server.next_nonce = ""
    await ask(web, [policy], f"{A}/")
    await ask(web, [policy], f"{A}/")
    assert {nonce: counts for nonce, counts in server.counts.items() if counts} == {
        "nonce1": [1],
        "second": [1],
        "third": [1, 2],
    }


async def test_what_is_learned_is_shared_by_all_that_is_bound_from_one() -> None:
    server = Server()
    web, policy = door(server), DigestAuth("u", "p")
    for _ in range(2):
        await ask(web, [policy.bound_to(A)], f"{A}/")
    assert server.counts == {"nonce1": [1, 2]}


async def test_nonces_of_so_many_origins_are_remembered_and_the_oldest_are_forgotten() -> None:
    digest = DigestAuth("u", "p").bound_to_first()
    asked: list[Request] = []

    async def send(sent: Request) -> Response:
        asked.append(sent)
        if "authorization" in sent.headers:
            return Response(200, request=sent)
        return Response(401, request=sent, headers={"www-authenticate": 'Digest realm="r", nonce="n", qop="auth"'})

    for number in range(MAX_NONCES + 1):
        await digest(request(f"http://{number}.test/"), send)
    assert len(digest._nonces) == MAX_NONCES
    asked.clear()
    for number in (MAX_NONCES, 0):
        assert (await digest(request(f"http://{number}.test/"), send)).status_code == 200
    assert ["authorization" in sent.headers for sent in asked] == [True, False, True]
