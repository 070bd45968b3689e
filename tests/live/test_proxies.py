"""Every kind of proxy, by other people's hands: http and https origins, credentials right, wrong and absent.

The origin is ours and writes down all that it hears; squid writes down what it has heard.
"""

from __future__ import annotations

from base64 import b64encode
from collections.abc import AsyncIterator, Iterator
from contextlib import AbstractContextManager, asynccontextmanager
from pathlib import Path
from typing import Literal

import anyio
import pytest

import netio
from netio import Proxy
from tests.live.conftest import Certificates
from tests.live.proxies import (
    CREDENTIALS,
    RealProxy,
    running_dante,
    running_microsocks,
    running_squid,
    running_tinyproxy,
)
from tests.live.traces import NOTHING, Traces
from tests.transport.far_ends import client_context
from tests.transport.proxy.sides import OriginSide, serving

pytestmark = [pytest.mark.anyio, pytest.mark.live]

HOST = "localhost"  # a name, so that somebody has to look it up
FOR_ORIGIN = "Bearer t0-the-origin"
BY_HAND = "Basic bm9ib2R5OmJ5LWhhbmQ="
SECRETS = {"Authorization": FOR_ORIGIN, "Proxy-Authorization": BY_HAND}
WRONG = (CREDENTIALS[0], "wr0ng")
GUARD = 30.0

Scheme = Literal["http", "https"]
SCHEMES: tuple[Scheme, ...] = ("http", "https")
every_scheme = pytest.mark.parametrize("scheme", SCHEMES)


def _running(name: str, folder: Path, certificates: Certificates) -> AbstractContextManager[RealProxy]:
    if name == "squid":
        return running_squid(certificates)
    return {"tinyproxy": running_tinyproxy, "microsocks": running_microsocks, "dante": running_dante}[name](folder)


@pytest.fixture(scope="module", params=["squid", "tinyproxy", "microsocks", "dante"])
def real(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory, certificates: Certificates
) -> Iterator[RealProxy]:
    with _running(request.param, tmp_path_factory.mktemp(request.param), certificates) as proxy:
        yield proxy


@asynccontextmanager
async def origin(scheme: Scheme, *, in_http2: bool = False) -> AsyncIterator[tuple[OriginSide, str]]:
    side, traces = OriginSide(scheme, in_http2=in_http2), Traces()
    with anyio.fail_after(GUARD):
        async with serving(side.serve, host=HOST) as (port,):
            yield side, f"{scheme}://{HOST}:{port}/bytes/100000"
    for secret in (CREDENTIALS[1].encode(), b64encode(":".join(CREDENTIALS).encode()), BY_HAND.encode(), b"wr0ng"):
        assert secret not in side.heard
    assert b"proxy-authorization" not in side.heard.lower()
    assert await traces.left() == NOTHING


def session_through(url: str, credentials: tuple[str, str] | None, certificates: Certificates) -> netio.Session:
    proxy = Proxy(url, credentials=credentials, verify=certificates.trusted)
    return netio.Session(proxy=proxy, verify=client_context())


@every_scheme
async def test_px_01_with_the_right_credentials_requests_pass(
    real: RealProxy, scheme: Scheme, certificates: Certificates
) -> None:
    for url in real.urls:
        async with origin(scheme) as (side, target), session_through(url, real.accepts, certificates) as session:
            for _ in range(3):
                response = await session.get(target, headers=SECRETS)
                assert (response.status_code, len(response.content)) == (200, 100_000)
            if real.name != "tinyproxy" or scheme == "https":  # which closes the connection after each answer
                assert session.stats().created == 1
        assert side.heard.count(b"Authorization: " + FOR_ORIGIN.encode()) == 3


async def test_px_01_squid_has_heard_what_was_for_it(certificates: Certificates) -> None:
    with running_squid(certificates) as squid:
        for scheme in SCHEMES:
            for url in squid.urls:
                async with origin(scheme) as (_, target), session_through(url, CREDENTIALS, certificates) as session:
                    assert (await session.get(target, headers=SECRETS)).status_code == 200
        heard = squid.requests_heard()
    ours = "Basic%20" + b64encode(":".join(CREDENTIALS).encode()).decode()
    assert sorted(heard) == [("CONNECT", "-", ours)] * 2 + [("GET", FOR_ORIGIN.replace(" ", "%20"), ours)] * 2


@every_scheme
@pytest.mark.parametrize("credentials", [None, WRONG], ids=["absent", "wrong"])
async def test_px_01_without_the_right_credentials_nothing_passes(
    real: RealProxy, scheme: Scheme, credentials: tuple[str, str] | None, certificates: Certificates
) -> None:
    for url in real.urls:
        is_socks = url.startswith("socks")
        async with origin(scheme) as (side, target), session_through(url, credentials, certificates) as session:
            if real.accepts is None:  # it lets in everybody, and never asks for what we could tell
                assert (await session.get(target, headers=SECRETS)).status_code == 200
                continue
            if scheme == "http" and not is_socks:
                # tinyproxy says 401 to wrong credentials, which no standard knows of.
                assert (await session.get(target, headers=SECRETS)).status_code in (401, 407)
            else:
                with pytest.raises(netio.ProxyError) as caught:
                    await session.get(target, headers=SECRETS)
                assert (caught.value.phase, caught.value.sent) == ("proxy", False)
                assert caught.value.status_code in ((None,) if is_socks else (401, 407))
                assert "wr0ng" not in str(caught.value)
            assert (side.connections, bytes(side.heard)) == (0, b"")


async def test_http2_is_agreed_on_with_the_origin_through_the_tunnel(
    real: RealProxy, certificates: Certificates
) -> None:
    for url in real.urls:
        async with (
            origin("https", in_http2=True) as (_, target),
            session_through(url, real.accepts, certificates) as session,
        ):
            response = await session.get(target)
            assert (response.http_version, len(response.content)) == ("HTTP/2", 100_000)


@every_scheme
async def test_bodies_pass_both_ways(real: RealProxy, scheme: Scheme, certificates: Certificates) -> None:
    body = b"0123456789abcdef" * 65_536
    for url in real.urls:
        async with origin(scheme) as (_, target), session_through(url, real.accepts, certificates) as session:
            response = await session.post(target.replace("/bytes/100000", "/echo"), content=body)
            assert response.content == body


async def test_an_origin_that_is_not_there_is_told_in_words(real: RealProxy, certificates: Certificates) -> None:
    async with origin("https") as (_, target):
        pass
    for url in real.urls:
        async with session_through(url, real.accepts, certificates) as session:
            with pytest.raises(netio.ProxyError, match=f"the proxy {url} did not connect to ") as caught:
                await session.get(target)
            assert (caught.value.phase, caught.value.sent) == ("proxy", False)


async def test_tls_07_the_certificate_of_the_proxy_is_checked(real: RealProxy, certificates: Certificates) -> None:
    for url in real.urls:
        if not url.startswith("https://"):
            continue
        proxy = Proxy(url, credentials=CREDENTIALS, verify=certificates.unrelated)
        async with origin("https") as (_, target), netio.Session(proxy=proxy, verify=client_context()) as session:
            with pytest.raises(netio.CertificateError, match="the proxy https://"):
                await session.get(target)
