"""Python refuses to read a number of more than 4,300 digits, by a ValueError: no number of a peer may lead to that."""

from __future__ import annotations

import pytest
from anyio.abc import ByteStream

import netio
from netio import policy
from netio.testing import MemoryNetwork
from netio.wire import EngineName

pytestmark = pytest.mark.anyio

DIGITS = "9" * 5_000
FIELDS = [
    f"Content-Length: {DIGITS}",
    f"Retry-After: {DIGITS}",
    f"Retry-After: Wed, 21 Oct {DIGITS} 07:28:00 GMT",
    f"Set-Cookie: a=b; Max-Age={DIGITS}",
    f"Set-Cookie: a=b; Expires=Wed, 21 Oct {DIGITS} 07:28:00 GMT",
    f'RateLimit: "default";r=0;t={DIGITS}',
    f"X-RateLimit-Remaining: 0\r\nX-RateLimit-Reset: {DIGITS}",
    f"Keep-Alive: timeout={DIGITS}",
    f"Location: http://peer.test:{DIGITS}/",
    f"Location: http://{DIGITS}/",
    f'WWW-Authenticate: Digest realm="r", nonce="n", nc={DIGITS}',
]


@pytest.mark.parametrize("engine", ["fast", "reference"])
@pytest.mark.parametrize("status", [200, 302, 401, 503])
async def test_int_01_no_number_of_a_peer_is_too_long_for_python(engine: EngineName, status: int) -> None:
    left = list(FIELDS)

    async def peer(stream: ByteStream) -> None:
        await stream.receive()
        field = left[0]
        await stream.send(f"HTTP/1.1 {status} X\r\n{field}\r\nContent-Length: 0\r\nConnection: close\r\n\r\n".encode())

    retry = policy.Retry(attempts=2, base=0.001, retry_after_cap=0.0)
    digest = policy.DigestAuth("user", "password", origins=["http://peer.test"])
    outcomes: list[int | str] = []
    async with MemoryNetwork() as network:
        network.listen("peer.test", 80, peer)
        while left:
            policies = [policy.RateLimit(1_000, follow="answers", longest_wait=0), retry]
            async with netio.Session(
                connect=network.connect,
                engine=engine,
                policies=policies,
                cookies=True,
                follow_redirects=True,
                auth=digest,
            ) as session:
                try:
                    outcomes.append((await session.get("http://peer.test/")).status_code)
                except netio.RequestError as error:
                    outcomes.append(type(error).__name__)
            left.pop(0)
    assert outcomes[0] == "ProtocolError"
    # A rate limit obeys what it can: it refuses the second attempt, or the one with credentials.
    assert set(outcomes[1:]) <= {status, "RedirectError", "RateLimited"}
    assert status in outcomes


@pytest.mark.parametrize("url", [f"http://peer.test:{DIGITS}/", f"http://{DIGITS}/", f"http://1.2.3.{DIGITS}/"])
async def test_int_01_a_url_with_such_a_number_is_invalid(url: str) -> None:
    with pytest.raises(netio.InvalidURL):
        netio.URL(url)
