"""What of a URL reaches the network, and what of a request the wire: HAZARDS REQ-02, REQ-04, REQ-07, REQ-08."""

from __future__ import annotations

import pytest
from anyio.abc import ByteStream

import netio
from netio.testing import FakeClock, MemoryNetwork, MemoryStream
from tests.client.conftest import Version, make_house
from tests.peers import Http1Peer

pytestmark = pytest.mark.anyio

# A URL, and the host and port to connect to, the Host field, and the target that it must become.
ONE_READING = {
    "http://user:secret@peer.test/a?b#f": ("peer.test", 80, b"peer.test", b"/a?b"),
    "HTTP://PEER.TEST:8080": ("peer.test", 8080, b"peer.test:8080", b"/"),
    "http://peer.test:80/#": ("peer.test", 80, b"peer.test", b"/"),
    "http://evil.test@peer.test/": ("peer.test", 80, b"peer.test", b"/"),
    "http://[::1]:81/x": ("::1", 81, b"[::1]:81", b"/x"),
    "http://peer.test?q=a b": ("peer.test", 80, b"peer.test", b"/?q=a%20b"),
    "http://b\u00fccher.test/\u00fc": ("xn--bcher-kva.test", 80, b"xn--bcher-kva.test", b"/%C3%BC"),
    "http://peer.test//a/../b": None,  # whatever it is read as, all parts say the same
}
NO_READING = [
    "http://peer.test\\@evil.test/",
    "http:/\\/peer.test/",
    "http://peer.test\t.evil/",
    "http://peer.test\r\n/",
    "http://a@b@peer.test:x/",
    "http://[::1/",
    "http://pe er.test/",
    "http://peer.test:99999/",
]


@pytest.mark.parametrize("url", ONE_READING)
async def test_req_07_req_08_a_url_is_read_once_for_all_that_is_made_of_it(url: str) -> None:
    dialed: list[tuple[str, int]] = []

    async def connect(host: str, port: int) -> MemoryStream:
        dialed.append((host, port))
        return await network.connect("any.test", 80)

    peer = Http1Peer()
    async with MemoryNetwork() as network:
        network.listen("any.test", 80, peer.serve)
        async with netio.Session(connect=connect, http2=False, clock=FakeClock()) as session:
            response = await session.get(url)
        lines = peer.requests[0].split(b"\r\n")
        host = next(line for line in lines if line.lower().startswith(b"host:")).partition(b":")[2].strip()
        target = lines[0].split(b" ")[1]
        assert [b"secret" in peer.requests[0], b"#" in peer.requests[0], b"@" in peer.requests[0]] == [False] * 3
        found = (*dialed[0], host, target)
        expected = ONE_READING[url]
        if expected is not None:
            assert found == expected
        assert host.decode() == response.url.origin.authority
        assert (dialed[0][0], dialed[0][1]) == (response.url.origin.host, response.url.origin.port)


@pytest.mark.parametrize("url", NO_READING)
async def test_req_08_a_url_that_two_parsers_would_read_differently_is_refused(version: Version, url: str) -> None:
    async with make_house(version) as house:
        with pytest.raises(netio.InvalidURL) as caught:
            await house.session.get(url)
        assert (caught.value.phase, caught.value.sent) == ("build", False)
        assert house.network.streams == []


async def test_req_07_the_host_field_of_the_caller_is_the_only_authority_on_the_wire(version: Version) -> None:
    async with make_house(version) as house:
        assert (await house.session.get("/", headers={"Host": "other.test"})).content == b"hello"
        assert (await house.session.get("http://user:pw@peer.test/#x")).content == b"hello"
        if version == "HTTP/1.1":
            hosts = [
                [line for line in head.split(b"\r\n") if line.lower().startswith(b"host")]
                for head in house.peer.requests
            ]
            assert hosts == [[b"Host: other.test"], [b"Host: peer.test"]]
        assert house.session.stats().created == 1


@pytest.mark.parametrize("url", ["/", "http://peer.test:80/x", "http://peer.test\r\nX: y/", "http://peer.test:1\r\nX/"])
async def test_req_02_a_tunnel_is_not_the_business_of_a_request(version: Version, url: str) -> None:
    """CONNECT is for proxies, which netio speaks to by itself; what would be injected there never leaves."""
    async with make_house(version) as house:
        with pytest.raises(netio.InvalidRequest) as caught:
            await house.session.request("CONNECT", url)
        assert (caught.value.phase, caught.value.sent) == ("build", False)
        assert house.peer.requests == []


@pytest.mark.parametrize("method", ["GET", "HEAD", "DELETE", "OPTIONS"])
async def test_req_04_a_body_is_never_sent_without_its_framing(method: str) -> None:
    async with make_house("HTTP/1.1") as house:
        house.network.listen("peer.test", 80, (peer := Bodiless()).serve)
        for content in (b"four", iter([b"12", b"345"]), None):
            assert (await house.session.request(method, "/", content=content)).status_code == 204
        assert peer.bodies == [b"four", b"12345", b""]
        fields = [line.lower() for head in peer.requests for line in head.split(b"\r\n")]
        framing = [line for line in fields if line.startswith((b"content-length", b"transfer-encoding"))]
        assert framing == [b"content-length: 4", b"transfer-encoding: chunked"]


class Bodiless(Http1Peer):
    async def respond(self, stream: ByteStream, path: str, body: bytes) -> None:
        await stream.send(b"HTTP/1.1 204 No Content\r\n\r\n")
