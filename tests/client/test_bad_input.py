"""What goes wrong gives the exception that DESIGN names, leaves the pool whole, and loses nothing."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator

import anyio
import anyio.lowlevel
import pytest

import netio
from netio.testing import MemoryStream
from tests.client.conftest import House, Version, make_house

pytestmark = pytest.mark.anyio


async def still_works(house: House) -> None:
    await house.settle()
    await house.assert_clean()
    assert (await house.session.get("/")).content == b"hello"


BAD_REQUESTS = {
    "empty method": {"method": ""},
    "blank in method": {"method": "GE T"},
    "line break in method": {"method": "GET / HTTP/1.1\r\nX: y\r\n\r\n"},
    "umlaut in method": {"method": "GËT"},
    "line break in path": {"url": "/a\r\nX: y"},
    "line feed in path": {"url": "/a\nb"},
    "NUL in path": {"url": "/a\0b"},
    "line break in query": {"url": "/?q=a\r\nb"},
    "line break in host": {"url": "http://peer.test\r\nX: y/"},
    "blank in host": {"url": "http://peer test/"},
    "no host": {"url": "http:///path"},
    "unknown scheme": {"url": "ftp://peer.test/"},
    "file": {"url": "file:///etc/passwd"},
    "port too high": {"url": "http://peer.test:65536/"},
    "port no number": {"url": "http://peer.test:x/"},
    "backslash": {"url": "http://peer.test\\@evil.test/"},
    "line break in header value": {"headers": {"X-A": "a\r\nX-B: b"}},
    "line feed in header value": {"headers": {"X-A": "a\nb"}},
    "carriage return in header value": {"headers": {"X-A": "a\rb"}},
    "NUL in header value": {"headers": {"X-A": "a\0b"}},
    "DEL in header value": {"headers": {"X-A": "a\x7fb"}},
    "no latin-1 in header value": {"headers": {"X-A": "\u20ac"}},
    "line break in header name": {"headers": {"X-A\r\nX-B": "b"}},
    "blank in header name": {"headers": {"X A": "b"}},
    "colon in header name": {"headers": {"X:A": "b"}},
    "empty header name": {"headers": {"": "b"}},
    "pseudo header": {"headers": {":path": "/other"}},
    "line break in Host": {"headers": {"Host": "peer.test\r\nX: y"}},
    "slash in Host": {"headers": {"Host": "peer.test/x"}},
    "upgrade": {"headers": {"Upgrade": "websocket"}},
    "line break in upgrade": {"headers": {"Upgrade": "a\r\nX: y"}},
}


@pytest.mark.parametrize("bad", BAD_REQUESTS.values(), ids=BAD_REQUESTS.keys())
async def test_req_01_what_would_break_the_message_is_refused(version: Version, bad: dict[str, str]) -> None:
    async with make_house(version) as house:
        before = await house.session.get("/")
        sent = len(house.peer.requests)
        with pytest.raises(netio.InvalidRequest) as caught:
            await house.session.request(**{"method": "GET", "url": "/", **bad})  # type: ignore[arg-type]
        assert (caught.value.phase, caught.value.sent) == ("build", False)
        assert isinstance(caught.value, ValueError)
        assert len(house.peer.requests) == sent
        assert before.status_code == 200
        await still_works(house)
        assert house.session.stats().created == 1


BAD_FRAMING = {
    "length too small": ({"Content-Length": "4"}, b"hello"),
    "length too large": ({"Content-Length": "6"}, b"hello"),
    "length no number": ({"Content-Length": "+5"}, b"hello"),
    "length in hex": ({"Content-Length": "0x5"}, b"hello"),
    "two lengths": ([("Content-Length", "5"), ("content-length", "5")], b"hello"),
    "two different lengths": ([("Content-Length", "5"), ("content-length", "6")], b"hello"),
    "chunked with a known length": ({"Transfer-Encoding": "chunked"}, b"hello"),
    "length and chunked": ({"Content-Length": "5", "Transfer-Encoding": "chunked"}, b"hello"),
    "gzip, chunked": ({"Transfer-Encoding": "gzip, chunked"}, b"hello"),
    "length without a body": ({"Content-Length": "5"}, None),
    "two hosts": ([("Host", "a.test"), ("host", "b.test")], None),
}


@pytest.mark.parametrize(("headers", "content"), BAD_FRAMING.values(), ids=BAD_FRAMING.keys())
async def test_req_03_framing_is_decided_once(version: Version, headers: dict[str, str], content: bytes | None) -> None:
    async with make_house(version) as house:
        with pytest.raises(netio.InvalidRequest) as caught:
            await house.session.post("/echo", headers=headers, content=content)
        assert (caught.value.phase, caught.value.sent) == ("build", False)
        assert caught.value.request is not None
        await still_works(house)


async def test_req_03_framing_that_says_what_netio_does_anyway_is_accepted(version: Version) -> None:
    async with make_house(version) as house:
        response = await house.session.post("/echo", headers={"content-length": "5"}, content=b"hello")
        assert response.content == b"hello"
        chunked = await house.session.post("/echo", headers={"transfer-encoding": "chunked"}, content=iter([b"hello"]))
        assert chunked.content == b"hello"
        kept = await house.session.get("/", headers={"Connection": "keep-alive", "Keep-Alive": "timeout=5"})
        assert kept.status_code == 200
        await still_works(house)


async def test_req_03_one_length_is_on_the_wire_and_no_other_framing() -> None:
    async with make_house("HTTP/1.1") as house:
        await house.session.post("/echo", headers={"content-length": "5"}, content=b"hello")
        await house.session.post("/echo", content=iter([b"hello"]))
        await house.session.get("/")
        await house.session.post("/echo")
        framing = [
            [line.lower() for line in head.split(b"\r\n") if line.lower().startswith((b"content-l", b"transfer-e"))]
            for head in house.peer.requests
        ]
        assert framing == [[b"content-length: 5"], [b"transfer-encoding: chunked"], [], [b"content-length: 0"]]


@pytest.mark.parametrize("sizes", [(3, 1), (3, 3), (100_000, 1)], ids=str)
@pytest.mark.parametrize("declared", ["more", "less"])
async def test_req_04_a_body_of_another_length_than_declared_is_an_error(
    version: Version, sizes: tuple[int, ...], declared: str
) -> None:
    def chunks() -> Iterator[bytes]:
        for size in sizes:
            yield b"x" * size

    length = sum(sizes) + (1 if declared == "more" else -1)
    async with make_house(version) as house:
        with pytest.raises(netio.RequestBodyError) as caught:
            await house.session.post("/echo", headers={"Content-Length": str(length)}, content=chunks())
        assert caught.value.request is not None
        assert (caught.value.phase, caught.value.sent) == ("send", True)
        assert house.peer.bodies == []
        await still_works(house)


async def test_req_04_a_body_of_the_declared_length_is_sent_with_it() -> None:
    async with make_house("HTTP/1.1") as house:
        content = iter([b"abc", b"de"])
        response = await house.session.post("/echo", headers={"Content-Length": "5"}, content=content)
        assert response.content == b"abcde"
        assert b"transfer-encoding" not in house.peer.requests[0].lower()


@pytest.mark.parametrize("after", [0, 1, 3])
async def test_pool_10_what_a_body_iterator_raises_comes_out_unchanged(version: Version, after: int) -> None:
    class Mine(Exception):
        pass

    closed = []

    async def chunks() -> AsyncIterator[bytes]:
        try:
            for _ in range(after):
                yield b"x" * 30_000
                await anyio.lowlevel.checkpoint()
            raise Mine("my own")
        finally:
            closed.append(True)

    async with make_house(version) as house:
        with pytest.raises(Mine) as caught:
            await house.session.post("/echo", content=chunks())
        assert "POST http://peer.test/echo" in caught.value.__notes__[0]
        assert closed == [True]
        assert house.peer.bodies == []
        await still_works(house)


async def test_a_chunk_of_the_wrong_type_is_an_error(version: Version) -> None:
    async with make_house(version) as house:
        with pytest.raises(netio.RequestBodyError, match="str"):
            await house.session.post("/echo", content=iter(["text"]))  # type: ignore[arg-type]
        await still_works(house)


async def test_rt_04_a_generator_is_sent_once_and_never_as_an_empty_body(version: Version) -> None:
    async with make_house(version) as house:
        request = house.session.build_request("POST", "/echo", content=iter([b"once"]))
        assert (await house.session.send(request)).content == b"once"
        with pytest.raises(netio.RequestBodyError, match="read already"):
            await house.session.send(request)
        assert house.peer.bodies == [b"once"]
        await still_works(house)


async def test_a_refused_connection_is_a_connect_error(version: Version) -> None:
    async with make_house(version) as house:
        with pytest.raises(netio.ConnectError) as caught:
            await house.session.get("http://nobody.test/")
        error = caught.value
        assert error.request is not None
        assert (str(error.request.url), error.phase, error.sent) == ("http://nobody.test/", "connect", False)
        assert isinstance(error.__cause__, ConnectionRefusedError)
        await still_works(house)


async def test_all_that_wait_for_a_refused_connection_learn_of_it(version: Version) -> None:
    async with make_house(version) as house:
        errors = []

        async def one(number: int) -> None:
            try:
                await house.session.get(f"http://nobody.test/{number}")
            except netio.ConnectError as error:
                errors.append(error)

        async with anyio.create_task_group() as group:
            for number in range(50):
                group.start_soon(one, number)
        assert sorted(str(error.request.url) for error in errors) == sorted(  # type: ignore[union-attr]
            f"http://nobody.test/{number}" for number in range(50)
        )
        assert len(set(map(id, errors))) == 50
        await still_works(house)


async def test_pool_10_what_a_connect_hook_raises_comes_out_unchanged() -> None:
    class Mine(Exception):
        pass

    async def connect(host: str, port: int) -> MemoryStream:
        raise Mine(host)

    async with netio.Session(connect=connect) as session:
        with pytest.raises(Mine, match=r"some\.test"):
            await session.get("http://some.test/")
        assert session.stats().dialing == 0


ANSWER = b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nX-Y: z\r\n\r\nhello"
CHUNKED = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nhel\r\n2;x=y\r\nlo\r\n0\r\nX-Y: z\r\n\r\n"


@pytest.mark.parametrize("end", ["fin", "reset"])
@pytest.mark.parametrize("whole", [ANSWER, CHUNKED], ids=["length", "chunked"])
async def test_h1_14_a_response_cut_at_any_byte_is_never_a_success(whole: bytes, end: str) -> None:
    cut = 0

    async def serve(stream: MemoryStream) -> None:
        await stream.receive()
        await stream.send(whole[:cut])
        if end == "reset":
            for _ in range(20):  # what was sent has arrived by then
                await anyio.lowlevel.checkpoint()
            stream.reset()

    async with make_house("HTTP/1.1") as house:
        house.network.listen("cut.test", 80, serve)
        for cut in range(len(whole)):
            with pytest.raises(netio.ConnectionLost) as caught:
                await house.session.get("http://cut.test/")
            assert caught.value.request is not None
            assert caught.value.sent is True
            assert caught.value.unanswered is (cut == 0)
            is_body = cut >= whole.index(b"\r\n\r\n") + 4
            assert isinstance(caught.value, netio.IncompleteBody) is is_body
            assert caught.value.phase == ("body" if is_body else "head")
        cut = len(whole)
        assert (await house.session.get("http://cut.test/")).content == b"hello"
        await still_works(house)


async def test_h1_14_a_streamed_response_cut_short_raises_after_its_pieces() -> None:
    async def serve(stream: MemoryStream) -> None:
        await stream.receive()
        await stream.send(ANSWER[:-2])

    async with make_house("HTTP/1.1") as house:
        house.network.listen("cut.test", 80, serve)
        pieces = []
        async with house.session.stream("GET", "http://cut.test/") as response:
            with pytest.raises(netio.IncompleteBody) as caught:
                async for piece in response.aiter_bytes():
                    pieces.append(piece)  # noqa: PERF401
        assert b"".join(pieces) == b"hel"
        assert (caught.value.phase, caught.value.sent) == ("body", True)
        await still_works(house)


@pytest.mark.parametrize(
    "nonsense",
    [
        b"SSH-2.0-OpenSSH_9.2\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n",
        b"\x16\x03\x01",
    ],
    ids=["ssh", "smuggling", "tls"],
)
async def test_what_is_not_http_is_a_protocol_error(nonsense: bytes) -> None:
    async def serve(stream: MemoryStream) -> None:
        await stream.receive()
        await stream.send(nonsense)
        await anyio.sleep_forever()

    async with make_house("HTTP/1.1") as house:
        house.network.listen("odd.test", 80, serve)
        with pytest.raises(netio.ProtocolError) as caught:
            await house.session.get("http://odd.test/", timeout=5)
        assert (caught.value.sent, caught.value.phase) == (True, "head")
        await still_works(house)


async def test_an_http1_answer_to_http2_is_a_protocol_error() -> None:
    async def serve(stream: MemoryStream) -> None:
        await stream.receive()
        await stream.send(b"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n")
        await anyio.sleep_forever()

    async with make_house("HTTP/2") as house:
        house.network.listen("odd.test", 80, serve)
        with pytest.raises(netio.ProtocolError) as caught:
            await house.session.get("http://odd.test/", timeout=5)
        assert caught.value.request is not None
        await still_works(house)


async def test_a_misspelt_option_is_a_type_error(version: Version) -> None:
    async with make_house(version) as house:
        with pytest.raises(TypeError, match="no option parms"):
            await house.session.get("/", parms={"a": 1})  # type: ignore[call-arg]
        with pytest.raises(TypeError, match="no option stream"):
            house.session.stream("GET", "/", stream=True)  # type: ignore[call-arg]
        await still_works(house)


async def test_a_request_of_ones_own_needs_an_absolute_url(version: Version) -> None:
    async with make_house(version) as house:
        with pytest.raises(netio.InvalidURL, match="base_url"):
            await house.session.send(netio.Request("GET", "/books"))
        await still_works(house)


@pytest.mark.parametrize("url", [None, b"http://peer.test/", 7])
async def test_a_url_of_another_type_is_invalid(version: Version, url: object) -> None:
    async with make_house(version) as house:
        with pytest.raises(netio.InvalidURL, match="not"):
            await house.session.get(url)  # type: ignore[arg-type]


async def test_arguments_that_cannot_be_meant_are_refused_at_once() -> None:
    with pytest.raises(TypeError, match="list of policies"):
        netio.Session(policies=netio.policy.Retry())  # type: ignore[arg-type]
    with pytest.raises(TypeError, match="not one str"):
        netio.Session().batch("http://peer.test/")
    with pytest.raises(ValueError, match="http2"):
        netio.Session(http2="yes")  # type: ignore[arg-type]
