"""Every kind of proxy, to http and https origins, with credentials right, wrong and absent; read on every side.

Real sockets on loopback; the proxies and the origin are `sides.py`. tests/live/test_proxies.py does the same with real
proxies, which do not tell what they have heard.
"""

from __future__ import annotations

from base64 import b64encode
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any, Literal

import anyio
import pytest
from anyio.abc import ByteStream

import netio
from netio import Network, Proxy
from netio.transport._proxy import Kind
from tests.transport.far_ends import TLSPeer, client_context
from tests.transport.proxy.sides import (
    LOOPBACK,
    ORIGIN_NAME,
    PROXY_NAME,
    OriginSide,
    ProxySide,
    certificate_for,
    serving,
)

pytestmark = pytest.mark.anyio

Scheme = Literal["http", "https"]
KINDS: tuple[Kind, ...] = ("http", "https", "socks5", "socks5h")
FOR_PROXY = ("gatekeeper", "t0-the-proxy")
FOR_ORIGIN = "Bearer t0-the-origin"
BY_HAND = "Basic bm9ib2R5OmJ5LWhhbmQ="
GUARD = 20.0

every_kind = pytest.mark.parametrize("kind", KINDS)
every_scheme = pytest.mark.parametrize("scheme", ["http", "https"])


def encoded(credentials: tuple[str, str]) -> bytes:
    return b64encode(":".join(credentials).encode())


@dataclass
class Street:
    """A session, the proxy that it goes through, and the origin behind that."""

    session: netio.Session
    proxy: ProxySide
    origin: OriginSide
    url: str
    proxy_url: str
    options: dict[str, Any]

    @property
    def is_forwarded(self) -> bool:
        return self.origin.scheme == "http" and not self.proxy.kind.startswith("socks")

    def another(self, proxy: str | Proxy | None, **options: Any) -> netio.Session:
        return netio.Session(proxy=proxy, **{**self.options, **options})

    def assert_no_secret_crossed(self) -> None:
        """Each had its own credentials, and the proxy those of the origin only where it had to carry them."""
        for secret in (FOR_PROXY[1].encode(), encoded(FOR_PROXY), BY_HAND.encode(), b"by-hand"):
            assert secret not in self.origin.heard
            assert secret not in self.proxy.passed
        assert BY_HAND.encode() not in self.proxy.heard
        if not self.is_forwarded:
            assert FOR_ORIGIN.encode() not in self.proxy.heard
        if self.origin.scheme == "https":
            assert FOR_ORIGIN.encode() not in self.proxy.passed


@asynccontextmanager
async def street(
    kind: Kind,
    scheme: Scheme,
    *,
    wants: tuple[str, str] | None = None,
    credentials: tuple[str, str] | None = None,
    in_http2: bool = False,
    **options: Any,
) -> AsyncIterator[Street]:
    proxy, origin = ProxySide(kind, wants), OriginSide(scheme, in_http2=in_http2)
    with anyio.fail_after(GUARD):
        async with serving(proxy.serve, origin.serve) as (proxy_port, origin_port):
            proxy_url = f"{kind}://{PROXY_NAME}:{proxy_port}"
            options = {
                "verify": client_context(),
                "network": Network(hosts={PROXY_NAME: LOOPBACK, ORIGIN_NAME: LOOPBACK}),
                **options,
            }
            given = Proxy(proxy_url, credentials=credentials, verify=client_context())
            async with netio.Session(proxy=given, **options) as session:
                url = f"{scheme}://{ORIGIN_NAME}:{origin_port}/count"
                yield Street(session, proxy, origin, url, proxy_url, options)


SECRETS = {"Authorization": FOR_ORIGIN, "Proxy-Authorization": BY_HAND}


# ------------------------------------------------------------------ the matrix


@every_kind
@every_scheme
@pytest.mark.parametrize("wants", [None, FOR_PROXY], ids=["open", "guarded"])
async def test_px_01_each_side_hears_what_is_for_it(kind: Kind, scheme: Scheme, wants: tuple[str, str] | None) -> None:
    async with street(kind, scheme, wants=wants, credentials=wants) as there:
        for number in range(3):
            response = await there.session.get(there.url, headers=SECRETS)
            assert (response.status_code, response.content) == (200, b"0"), number
        assert there.session.stats().created == there.proxy.connections == 1
        there.assert_no_secret_crossed()
        heads = [head for head in there.origin.heard.split(b"\r\n\r\n") if head]
        assert len(heads) == 3
        for head in heads:
            lines = head.split(b"\r\n")
            assert lines[0] == b"GET /count HTTP/1.1"
            assert b"Host: " + there.url.split("/")[2].encode() in lines
            assert b"Authorization: " + FOR_ORIGIN.encode() in lines
            assert not [line for line in lines if line.lower().startswith(b"proxy-")]
        told = {"socks5": LOOPBACK}.get(kind, ORIGIN_NAME)
        assert set(there.proxy.names) == {told}
        assert (encoded(FOR_PROXY) in there.proxy.heard or FOR_PROXY[1].encode() in there.proxy.heard) == (
            wants is not None
        )


@every_kind
@every_scheme
@pytest.mark.parametrize("credentials", [None, ("gatekeeper", "wrong")], ids=["absent", "wrong"])
async def test_px_01_without_the_right_credentials_nothing_passes(
    kind: Kind, scheme: Scheme, credentials: tuple[str, str] | None
) -> None:
    async with street(kind, scheme, wants=FOR_PROXY, credentials=credentials) as there:
        if there.is_forwarded:
            response = await there.session.post(there.url, headers=SECRETS, content=b"body")
            assert response.status_code == 407
            assert encoded(credentials or ("", "")) in there.proxy.heard or credentials is None
        else:
            with pytest.raises(netio.ProxyError) as caught:
                await there.session.post(there.url, headers=SECRETS, content=b"body")
            error = caught.value
            assert (error.phase, error.sent, error.proxy) == ("proxy", False, there.proxy_url)
            assert error.status_code == (None if kind.startswith("socks") else 407)
            assert ("does not accept" if credentials else "credentials") in str(error)
            assert "wrong" not in str(error)
            assert b"body" not in there.proxy.heard
            assert there.session.stats().dial_failures == there.proxy.connections == 1
        assert there.origin.heard == b""
        assert there.origin.connections == 0
        there.assert_no_secret_crossed()
        stats = there.session.stats()
        assert (stats.active, stats.dialing, stats.queued) == (0, 0, 0)


@every_kind
async def test_http2_is_agreed_on_with_the_origin_through_the_tunnel(kind: Kind) -> None:
    async with street(kind, "https", wants=FOR_PROXY, credentials=FOR_PROXY, in_http2=True) as there:
        responses = [await there.session.get(there.url, headers=SECRETS) for _ in range(3)]
        assert {(response.http_version, response.status_code) for response in responses} == {("HTTP/2", 200)}
        assert there.session.stats().created == 1
        there.assert_no_secret_crossed()
        assert FOR_ORIGIN.encode() in there.origin.heard
        assert b"proxy-authorization" not in there.origin.heard


@every_kind
async def test_http2_with_prior_knowledge_goes_through_a_tunnel_too(kind: Kind) -> None:
    async with street(kind, "http", in_http2=True, http2="prior-knowledge") as there:
        assert (await there.session.get(there.url)).http_version == "HTTP/2"
        assert there.proxy.passed.startswith(b"PRI * HTTP/2.0")


# ------------------------------------------------------------------ forwarded requests


@pytest.mark.parametrize("kind", ["http", "https"])
async def test_a_forwarded_request_has_the_whole_url_and_the_proxys_own_fields(kind: Kind) -> None:
    async with street(kind, "http", wants=FOR_PROXY) as there:
        headers = {"X-Token": "for CONNECT only", "Proxy-Tier": "gold"}
        proxy = Proxy(there.proxy_url, credentials=FOR_PROXY, headers=headers, verify=client_context())
        async with there.another(proxy) as session:
            url = there.url.replace("://", "://user:s3cret@") + "?q=%20x#fragment"
            await session.get(url, headers={"Host": "elsewhere.test"})
        lines = bytes(there.proxy.heard).split(b"\r\n")
        assert lines[0] == f"GET {there.url}?q=%20x HTTP/1.1".encode()
        # The one in the URL, which the proxy goes by (RFC 9112 section 3.2.2), whatever the request says.
        assert lines[1] == b"Host: " + there.url.split("/")[2].encode()
        assert b"Proxy-Authorization: Basic " + encoded(FOR_PROXY) in lines
        assert b"Proxy-Tier: gold" in lines
        assert b"X-Token" not in there.proxy.heard
        assert b"s3cret" not in there.proxy.heard
        assert b"fragment" not in there.proxy.heard
        assert b"Proxy-" not in there.origin.heard


async def test_the_reference_engine_forwards_as_well() -> None:
    async with street("http", "http", wants=FOR_PROXY, credentials=FOR_PROXY, engine="reference") as there:
        for _ in range(2):
            assert (await there.session.get(there.url, headers=SECRETS)).content == b"0"
        assert there.proxy.heard.count(f"GET {there.url} HTTP/1.1\r\n".encode()) == 2
        there.assert_no_secret_crossed()


async def test_requests_to_several_origins_share_nothing_but_the_proxy() -> None:
    async with street("http", "http") as there:
        other = there.url.replace(ORIGIN_NAME, "other.test")
        for url in (there.url, other, there.url, other):
            assert (await there.session.get(url)).status_code == 200
        targets = [line for line in bytes(there.proxy.heard).split(b"\r\n") if line.startswith(b"GET ")]
        assert targets == [f"GET {url} HTTP/1.1".encode() for url in (there.url, other, there.url, other)]
        assert there.session.stats().created == 2


async def test_a_direct_request_and_a_forwarded_one_have_heads_of_their_own() -> None:
    async with street("http", "http", wants=FOR_PROXY, credentials=FOR_PROXY) as there:
        given = Proxy(there.proxy_url, credentials=FOR_PROXY)
        direct = there.url.replace(ORIGIN_NAME, LOOPBACK)
        async with netio.Session(proxy={"all://": given, f"all://{LOOPBACK}": None}, **there.options) as session:
            for url in (there.url, direct, there.url, direct):
                assert (await session.get(url, headers=SECRETS)).status_code == 200
        starts = [head.split(b"\r\n")[0] for head in bytes(there.origin.heard).split(b"\r\n\r\n") if head]
        assert starts == [b"GET /count HTTP/1.1"] * 4
        there.assert_no_secret_crossed()
        assert there.proxy.heard.count(b"GET ") == 2


async def test_px_01_by_hand_nothing_is_said_to_a_proxy_even_without_one() -> None:
    async with street("http", "http") as there:
        async with there.another(None) as session:
            await session.get(there.url, headers=SECRETS)
        assert b"t0-the-origin" in there.origin.heard
        assert b"Proxy-" not in there.origin.heard
        assert there.proxy.connections == 0


# ------------------------------------------------------------------ sessions, names, certificates


@every_kind
@every_scheme
async def test_px_02_sessions_with_other_credentials_share_no_connection(kind: Kind, scheme: Scheme) -> None:
    async with street(kind, scheme, wants=FOR_PROXY, credentials=FOR_PROXY) as there:
        assert (await there.session.get(there.url)).status_code == 200
        wrong = Proxy(there.proxy_url, credentials=("gatekeeper", "wrong"), verify=client_context())
        async with there.another(wrong) as session:
            if there.is_forwarded:
                assert (await session.get(there.url)).status_code == 407
            else:
                with pytest.raises(netio.ProxyError):
                    await session.get(there.url)
        async with there.another(None) as session:
            assert (await session.get(there.url)).status_code == 200
        assert (await there.session.get(there.url)).status_code == 200
        assert there.proxy.connections == 2


@pytest.mark.parametrize("kind", ["http", "https", "socks5h"])
@every_scheme
async def test_the_name_of_the_origin_is_looked_up_by_the_proxy_alone(kind: Kind, scheme: Scheme) -> None:
    async with street(kind, scheme, network=Network(hosts={PROXY_NAME: LOOPBACK})) as there:
        assert (await there.session.get(there.url)).status_code == 200


@every_scheme
async def test_with_socks5_a_name_that_is_not_found_here_is_not_found(scheme: Scheme) -> None:
    async with street("socks5", scheme, network=Network(hosts={PROXY_NAME: LOOPBACK})) as there:
        with pytest.raises(netio.ResolveError, match=r"origin\.test"):
            await there.session.get(there.url)
        assert there.proxy.heard == b""


@every_scheme
async def test_tls_07_the_certificate_of_the_proxy_is_checked(scheme: Scheme) -> None:
    async with street("https", scheme, wants=FOR_PROXY) as there:
        for proxy in (
            Proxy(there.proxy_url, credentials=FOR_PROXY),
            Proxy(there.proxy_url.replace(PROXY_NAME, ORIGIN_NAME), credentials=FOR_PROXY, verify=client_context()),
        ):
            async with there.another(proxy) as session:
                with pytest.raises(netio.CertificateError, match=f"the proxy {proxy}: ") as caught:
                    await session.get(there.url, headers=SECRETS)
                assert (caught.value.phase, caught.value.sent) == ("proxy", False)
        assert there.proxy.connections == 2
        assert there.proxy.heard == there.origin.heard == b""


@every_kind
async def test_tls_07_the_certificate_of_the_origin_is_checked_through_the_tunnel(kind: Kind) -> None:
    async with street(kind, "https", verify=True) as there:
        with pytest.raises(netio.CertificateError) as caught:
            await there.session.get(there.url, headers=SECRETS)
        assert (caught.value.phase, caught.value.sent) == ("tls", False)
        assert there.origin.heard == b""


@pytest.mark.parametrize("kind", ["http", "https", "socks5h"])
async def test_dns_04_the_address_of_a_proxy_is_subject_to_the_address_policy(kind: Kind) -> None:
    asked: list[str] = []

    def policy(address: netio.Address) -> str | None:
        asked.append(str(address.ip))
        return "not this one" if len(asked) > 1 else None

    network = Network(hosts={PROXY_NAME: LOOPBACK}, address_policy=policy)
    async with street(kind, "https", network=network) as there:
        assert (await there.session.get(there.url)).status_code == 200
        async with there.another(there.proxy_url) as session:
            with pytest.raises(netio.AddressRefused, match="not this one"):
                await session.get(there.url)
        assert asked == [LOOPBACK, LOOPBACK]
        assert there.proxy.connections == 1


@every_kind
async def test_a_proxy_that_hangs_up_after_its_answer_is_an_error_before_the_request(kind: Kind) -> None:
    answers = {"socks5": b"\x05\x00\x05\x00\x00\x01\x00\x00\x00\x00\x00\x00"}
    answer = answers.get(kind.removesuffix("h"), b"HTTP/1.1 200 OK\r\n\r\n")
    heard = bytearray()

    async def hang_up(stream: ByteStream) -> None:
        if kind == "https":
            await (peer := TLSPeer(stream, certificate_for(PROXY_NAME))).handshake()
            stream = peer
        heard.extend(await stream.receive())
        await stream.send(answer)

    with anyio.fail_after(GUARD):
        async with serving(hang_up) as (port,):
            proxy = Proxy(f"{kind}://{LOOPBACK}:{port}", verify=client_context())
            async with netio.Session(proxy=proxy, verify=client_context()) as session:
                with pytest.raises(netio.ConnectError) as caught:
                    await session.post("https://10.0.0.1/", headers=SECRETS, content=b"body")
    assert caught.value.sent is False
    assert caught.value.phase in ("proxy", "tls")
    assert b"t0-the-origin" not in heard


async def test_a_proxy_that_is_not_there_is_named(unused_port: int) -> None:
    proxy = Proxy(f"http://user:s3cret@{LOOPBACK}:{unused_port}")
    async with netio.Session(proxy=proxy) as session:
        for url in ("http://origin.test/", "https://origin.test/"):
            with pytest.raises(netio.ConnectError, match="proxy") as caught:
                await session.get(url)
            assert f"{LOOPBACK}:{unused_port}" in str(caught.value)
            assert "s3cret" not in str(caught.value)
            assert caught.value.sent is False


@pytest.fixture
async def unused_port() -> int:
    async with serving(OriginSide("http").serve) as (port,):
        return port


async def test_an_http_proxy_taken_for_an_https_one_says_so() -> None:
    async with street("http", "https") as there:
        proxy = Proxy(there.proxy_url.replace("http://", "https://"), verify=client_context())
        async with there.another(proxy) as session:
            with pytest.raises(netio.TLSError, match="the proxy https://.*: the server does not speak TLS"):
                await session.get(there.url)


# ------------------------------------------------------------------ cancellation and end


@every_kind
@every_scheme
async def test_large_bodies_pass_both_ways(kind: Kind, scheme: Scheme) -> None:
    async with street(kind, scheme) as there:
        if not there.is_forwarded:
            url = there.url.replace("/count", "/echo")
            body = b"0123456789abcdef" * 65_536
            response = await there.session.post(url, content=body)
            assert response.content == body
        response = await there.session.get(there.url.replace("/count", "/bytes/300000"))
        assert len(response.content) == 300_000


@every_kind
async def test_a_request_cancelled_on_its_way_leaves_nothing(kind: Kind) -> None:
    async with street(kind, "https", limits=netio.Limits(connections=1)) as there:
        with anyio.CancelScope() as scope:
            scope.cancel()
            await there.session.get(there.url)
        assert (await there.session.get(there.url)).status_code == 200
        stats = there.session.stats()
        assert (stats.active, stats.dialing, stats.queued, stats.idle) == (0, 0, 0, 1)
