"""Certificates that do not fit, and the choice of the protocol by ALPN."""

from __future__ import annotations

import anyio
import pytest

import netio
from netio.transport._tls_client import TLSClient
from tests.live.conftest import Certificates
from tests.live.servers import HOST, Nginx
from tests.live.traces import NOTHING, Traces

HTTP2_PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + b"\0\0\0\4\0\0\0\0\0"  # with empty SETTINGS

pytestmark = [pytest.mark.anyio, pytest.mark.live]


async def _refused(session: netio.Session, url: str) -> netio.TLSError:
    with pytest.raises(netio.TLSError) as caught:
        await session.post(url, content=b"secret")
    error = caught.value
    assert error.request is not None
    assert (str(error.request.url), error.phase, error.sent) == (url, "tls", False)
    stats = session.stats()
    assert (stats.active, stats.idle, stats.dialing, stats.queued, stats.created) == (0, 0, 0, 0, 0)
    return error


async def test_certificate_for_another_name_is_refused(nginx: Nginx, certificates: Certificates) -> None:
    traces = Traces()
    async with netio.Session(verify=certificates.trusted) as session:
        error = await _refused(session, f"https://{HOST}:{nginx.misnamed}/answer")
        assert isinstance(error, netio.CertificateError)
        assert "127.0.0.1" in str(error)
        fitting = await session.get(f"https://{HOST}:{nginx.http2_tls}/answer")
        assert fitting.status_code == 200
    assert await traces.left() == NOTHING


@pytest.mark.parametrize("trust", ["unrelated authority", "system"])
async def test_certificate_of_an_unknown_authority_is_refused(
    nginx: Nginx, certificates: Certificates, trust: str
) -> None:
    traces = Traces()
    async with netio.Session(verify=True if trust == "system" else certificates.unrelated) as session:
        for port in (nginx.http1_tls, nginx.http2_tls):
            error = await _refused(session, f"https://{HOST}:{port}/answer")
            assert isinstance(error, netio.CertificateError)
        assert session.stats().dial_failures == 2
    assert await traces.left() == NOTHING


async def test_certificate_is_not_looked_at_if_the_user_says_so(nginx: Nginx) -> None:
    with pytest.warns(netio.InsecureWarning):
        session = netio.Session(verify=False)
    async with session:
        response = await session.get(f"https://{HOST}:{nginx.misnamed}/answer")
    assert response.status_code == 200


async def test_https_to_a_port_that_speaks_clear_text_is_a_tls_error(nginx: Nginx, certificates: Certificates) -> None:
    traces = Traces()
    async with netio.Session(verify=certificates.trusted) as session:
        error = await _refused(session, f"https://{HOST}:{nginx.http1}/answer")
    assert not isinstance(error, netio.CertificateError)
    assert "does not speak TLS" in str(error)
    assert await traces.left() == NOTHING


@pytest.mark.parametrize(("http2", "version"), [(True, "HTTP/2"), (False, "HTTP/1.1")])
async def test_protocol_is_chosen_by_alpn(nginx: Nginx, certificates: Certificates, http2: bool, version: str) -> None:
    async with netio.Session(verify=certificates.trusted, http2=http2) as session:
        response = await session.get(f"https://{HOST}:{nginx.http2_tls}/answer")
    assert (response.status_code, response.http_version) == (200, version)


@pytest.mark.parametrize("alpn", [("h2", "http/1.1"), ("http/1.1",)])
async def test_the_server_resumes_tls_sessions(nginx: Nginx, certificates: Certificates, alpn: tuple[str, ...]) -> None:
    client = TLSClient(certificates.trusted, anyio.CapacityLimiter(1))
    for _ in range(3):
        async with await anyio.connect_tcp(HOST, nginx.http2_tls) as stream:
            channel = await client.secure(stream, HOST, nginx.http2_tls, alpn=alpn)
            assert channel.alpn == alpn[0]
            request = HTTP2_PREFACE if alpn[0] == "h2" else b"GET /answer HTTP/1.1\r\nhost: a\r\n\r\n"
            await stream.send(channel.encrypt(request))
            while not channel.decrypt(await stream.receive()):
                pass
            await stream.send(channel.close())
    assert (client.full, client.resumed) == (1, 2)
