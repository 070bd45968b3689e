"""A redirect, a challenge, a cookie and a coded body, cancelled at every await: nothing is left behind."""

from __future__ import annotations

from typing import Any

import anyio
import pytest

import netio
from netio.message import Policy, Request
from netio.policy import BearerAuth, CookieJar, Cookies, Decode, DigestAuth, Redirects
from netio.policy._codings import STEP
from netio.policy._suffixes import is_common_suffix
from netio.testing import FakeClock, MemoryNetwork, cancel_everywhere
from tests.policy.compressed import encode
from tests.policy.web import Answer, Web, answer

pytestmark = pytest.mark.anyio

A, B = "http://a.test", "http://b.test"
BODY = bytes(range(256)) * (STEP * 3 // 256)


def door(sent: Request) -> Answer:
    if "authorization" not in sent.headers:
        return answer(401, {"www-authenticate": 'Digest realm="r", nonce="n", qop="auth"'}, b"no")
    return answer(302, [("location", f"{B}/in"), ("set-cookie", "a=b; domain=a.test")], b"moved")


async def renew() -> str:
    await anyio.lowlevel.checkpoint()
    return "token"


@pytest.mark.parametrize("is_streamed", [False, True])
async def test_pool_01_http_semantics_cancelled_at_every_checkpoint(is_streamed: bool) -> None:
    web = Web({f"{A}/": door, f"{B}/in": Answer(200, [("content-encoding", "gzip")], encode(BODY, "gzip"))})
    async with MemoryNetwork() as network:
        web.serve(network, A, B)
        bearer = BearerAuth(renew, origins="http://c.test")
        cookies, digest = Cookies(), DigestAuth("u", "p", origins=A)
        policies: list[Policy] = [Decode(), Redirects(), cookies, digest, bearer]
        options: dict[str, Any] = {"connect": network.connect, "clock": FakeClock(), "http2": False}
        async with netio.Session(policies=policies, limits=netio.Limits(connections=2), **options) as session:

            async def scenario() -> None:
                digest._nonces.clear()
                cookies.jar = CookieJar(is_public_suffix=is_common_suffix)
                if is_streamed:
                    async with session.stream("GET", f"{A}/") as response:
                        body = b"".join([piece async for piece in response.aiter_bytes()])
                else:
                    body = (await session.get(f"{A}/")).content
                assert body == BODY

            async def after() -> None:
                await anyio.wait_all_tasks_blocked()
                stats = session.stats()
                assert (stats.active, stats.queued, stats.dialing) == (0, 0, 0)
                assert network.open_connections == stats.idle

            assert await cancel_everywhere(scenario, after) > 0
            await scenario()


async def test_auth_03_renewing_a_token_cancelled_at_every_checkpoint() -> None:
    web = Web({f"{A}/": answer(body=b"in")})
    async with MemoryNetwork() as network:
        web.serve(network, A)
        options: dict[str, Any] = {"connect": network.connect, "clock": FakeClock(), "http2": False}
        policy: BearerAuth

        async def scenario() -> None:
            assert (await session.get(f"{A}/", policies=[policy])).content == b"in"

        async def after() -> None:
            nonlocal policy
            await anyio.wait_all_tasks_blocked()
            assert session.stats().active == 0
            with anyio.fail_after(5):
                await scenario()
            policy = BearerAuth(renew, origins=A)

        async with netio.Session(**options) as session:
            policy = BearerAuth(renew, origins=A)
            assert await cancel_everywhere(scenario, after) > 0
