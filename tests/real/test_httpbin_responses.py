"""What httpbin answers, as a session reads it: statuses, formats, codings, streams, ranges, caching, and silence."""

from __future__ import annotations

import base64
import random
import re
import uuid
from pathlib import Path
from typing import Any
from xml.etree import ElementTree as ET

import anyio
import pytest
from anyio.abc import ByteStream

import netio
from netio import Timeouts
from netio.policy import Retry
from tests.real.httpbin_origin import EVERY_METHOD, WAYS, Httpbin, Statuses, exercises

pytestmark = [pytest.mark.anyio, pytest.mark.parametrize("way", WAYS)]

RANGE = "/range/<int:numbytes>"


def drawn(seed: int, size: int) -> bytes:
    """Return the bytes that httpbin draws."""
    draw = random.Random(seed)
    return bytes(draw.randint(0, 255) for _ in range(size))


def alphabet(start: int, end: int) -> bytes:
    """Return the bytes of /range."""
    return bytes(ord("a") + number % 26 for number in range(start, end))


# ---------------------------------------------------------------------- statuses and fields


@exercises("* /status/<codes>")
async def test_statuses_are_what_they_are(httpbin: Httpbin, way: str) -> None:
    async with httpbin.session(way) as session:
        for status in (200, 201, 204, 205, 301, 304, 400, 401, 404, 406, 407, 418, 429, 500, 503, 599):
            response = await session.get(f"/status/{status}")
            assert response.status_code == status
            if status < 400:
                assert response.raise_for_status() is response
                continue
            with pytest.raises(netio.StatusError, match=str(status)) as caught:
                response.raise_for_status()
            assert caught.value.response is response
        assert "teapot" in (await session.get("/status/418")).text
        for method in EVERY_METHOD:
            assert (await session.request(method, "/status/202")).status_code == 202
        assert session.stats().created == 1


@exercises("/status/<codes>")
async def test_retry_gets_through_statuses_by_chance(httpbin: Httpbin, way: str) -> None:
    statuses = Statuses()
    retry = Retry(attempts=30, base=0.000_1, cap=0.000_2)
    async with httpbin.session(way, policies=[retry, statuses]) as session:
        for _ in range(4):
            assert (await session.get("/status/200:1,503:2")).status_code == 200
    assert statuses.count(200) == 4
    assert set(statuses) <= {200, 503}


@exercises("/response-headers", "POST /response-headers")
async def test_fields_come_as_often_as_they_were_sent(httpbin: Httpbin, way: str) -> None:
    async with httpbin.session(way) as session:
        for method in ("GET", "POST"):
            response = await session.request(method, "/response-headers", params={"x-a": ["1", "2, 3"], "x-b": "é"})
            assert response.headers.get_list("X-A") == ["1", "2, 3"]
            assert response.headers["x-b"].encode("latin-1").decode("latin-1") == "é"
            assert response.json()["x-a"] == ["1", "2, 3"]


@exercises("/cache", "/cache/<int:value>", "/etag/<etag>")
async def test_conditions_are_answered(httpbin: Httpbin, way: str) -> None:
    async with httpbin.session(way) as session:
        first = await session.get("/cache")
        assert first.status_code == 200
        for name, field in (("if-none-match", "etag"), ("if-modified-since", "last-modified")):
            again = await session.get("/cache", headers={name: first.headers[field]})
            assert (again.status_code, again.content) == (304, b"")
        assert (await session.get("/cache/60")).headers["cache-control"] == "public, max-age=60"
        statuses = {
            name: (await session.get("/etag/mine", headers={name: value})).status_code
            for name, value in (("if-none-match", '"mine"'), ("if-match", '"other"'), ("x-none", ""))
        }
        assert statuses == {"if-none-match": 304, "if-match": 412, "x-none": 200}


# ---------------------------------------------------------------------- formats


@exercises("/json", "/xml", "/html", "/robots.txt", "/deny", "/encoding/utf8", "/uuid", "/base64/<value>")
async def test_formats_are_read(httpbin: Httpbin, way: str) -> None:
    async with httpbin.session(way) as session:
        slides: Any = (await session.get("/json")).json()
        assert slides["slideshow"]["title"] == "Sample Slide Show"
        xml = await session.get("/xml")
        assert xml.headers["content-type"] == "application/xml"
        assert ET.fromstring(xml.content).attrib["title"] == "Sample Slide Show"
        html = await session.get("/html")
        assert html.charset == "utf-8"
        assert "<h1>Herman Melville - Moby-Dick</h1>" in html.text
        assert (await session.get("/robots.txt")).text == "User-agent: *\nDisallow: /deny\n"
        assert "YOU SHOULDN'T BE HERE" in (await session.get("/deny")).text
        text = await session.get("/encoding/utf8")
        assert "∮ E⋅da = Q" in text.text
        assert text.text.encode() == text.content
        ids = [uuid.UUID((await session.get("/uuid")).json()["uuid"]) for _ in range(2)]
        assert [each.version for each in ids] == [4, 4]
        assert ids[0] != ids[1]
        coded = base64.urlsafe_b64encode("über netio".encode()).decode()
        assert (await session.get(f"/base64/{coded}")).text == "über netio"


@exercises("/image", "/image/png", "/image/jpeg", "/image/webp", "/image/svg")
async def test_images_come_as_asked_for(httpbin: Httpbin, way: str) -> None:
    marks = {"png": b"\x89PNG", "jpeg": b"\xff\xd8\xff", "webp": b"RIFF", "svg": b"<svg"}
    async with httpbin.session(way) as session:
        for name, mark in marks.items():
            media_type = "image/svg+xml" if name == "svg" else f"image/{name}"
            direct = await session.get(f"/image/{name}")
            chosen = await session.get("/image", headers={"accept": media_type})
            assert direct.headers["content-type"] == chosen.headers["content-type"] == media_type
            assert direct.content.startswith(mark)
            assert direct.content == chosen.content
            assert len(direct.content) == direct.content_length
        assert (await session.get("/image", headers={"accept": "text/plain"})).status_code == 406


@exercises("/links/<int:n>", "/links/<int:n>/<int:offset>")
async def test_links_lead_from_page_to_page(httpbin: Httpbin, way: str) -> None:
    async with httpbin.session(way, follow_redirects=True) as session:
        page = await session.get("/links/3")
        assert str(page.url) == f"{httpbin.base(way)}/links/3/0"
        links = re.findall(r"href='([^']+)'", page.text)
        assert links == ["/links/3/1", "/links/3/2"]
        following = await session.get(page.url.join(links[1]))
        assert re.findall(r"href='([^']+)'", following.text) == ["/links/3/0", "/links/3/1"]


@exercises("/gzip", "/deflate", "/brotli")
async def test_codings_are_undone_or_left(httpbin: Httpbin, way: str) -> None:
    async with httpbin.session(way) as session, httpbin.session(way, decode=False) as plain:
        for path, coding, key in (
            ("/gzip", "gzip", "gzipped"),
            ("/deflate", "deflate", "deflated"),
            ("/brotli", "br", "brotli"),
        ):
            response = await session.get(path)
            assert response.headers["content-encoding"] == coding
            assert response.json()[key] is True
            assert response.json()["headers"]["Accept-Encoding"].startswith("gzip")
            raw = b"".join([piece async for piece in response.aiter_raw()])
            assert len(raw) == response.content_length
            as_sent = await plain.get(path)
            assert len(as_sent.content) == as_sent.content_length
            assert b"origin" not in as_sent.content
            async with session.stream("GET", path) as streamed:
                assert b'"origin": "127.0.0.1"' in b"".join([piece async for piece in streamed.aiter_bytes()])


# ---------------------------------------------------------------------- bytes, streams, ranges


@exercises("/bytes/<int:n>", "/stream-bytes/<int:n>")
async def test_bytes_come_through(httpbin: Httpbin, way: str) -> None:
    async with httpbin.session(way) as session:
        for size in (0, 1, 20_000):
            whole = await session.get(f"/bytes/{size}", params={"seed": size})
            assert whole.content == drawn(size, size)
            assert whole.content_length == size
            streamed = await session.get(f"/stream-bytes/{size}", params={"seed": size, "chunk_size": 1_000})
            assert streamed.content == drawn(size, size)
            assert streamed.content_length is None
            assert streamed.headers.get("transfer-encoding") == (None if way == "http2-tls" else "chunked")


@exercises("/stream/<int:n>")
async def test_lines_of_json_come_one_by_one(httpbin: Httpbin, way: str) -> None:
    async with httpbin.session(way) as session:
        async with session.stream("GET", "/stream/20", params={"a": 1}) as response:
            seen = [(value["id"], value["args"]) async for value in response.aiter_json_lines()]
        assert seen == [(number, {"a": "1"}) for number in range(20)]
        async with session.stream("GET", "/stream/20") as response:
            assert len([line async for line in response.aiter_lines()]) == 20


@exercises("/drip")
async def test_drops_come_as_they_fall(httpbin: Httpbin, way: str) -> None:
    async with httpbin.session(way) as session:
        params = {"numbytes": 5, "duration": 0.1, "delay": 0.01, "code": 203}
        async with session.stream("GET", "/drip", params=params) as response:
            assert (response.status_code, response.content_length) == (203, 5)
            pieces = [piece async for piece in response.aiter_bytes()]
        assert b"".join(pieces) == b"*****"
        assert len(pieces) > 1
        assert (await session.get("/drip", params={"numbytes": 0})).status_code == 400
        async with session.stream("GET", "/drip", params={"numbytes": 50, "duration": 0.5}) as response:
            assert await anext(response.aiter_bytes())
        assert session.stats().active == 0


@exercises(RANGE)
async def test_ranges_come_as_asked_for(httpbin: Httpbin, way: str) -> None:
    async with httpbin.session(way) as session:
        for wish, start, end in (("0-9", 0, 10), ("990-", 990, 1_000), ("-7", 993, 1_000)):
            part = await session.get("/range/1000", headers={"range": f"bytes={wish}"})
            assert (part.status_code, part.content) == (206, alphabet(start, end))
            assert part.headers["content-range"] == f"bytes {start}-{end - 1}/1000"
        assert (await session.get("/range/1000")).content == alphabet(0, 1_000)
        beyond = await session.get("/range/1000", headers={"range": "bytes=1000-"})
        assert (beyond.status_code, beyond.headers["content-range"]) == (416, "bytes */1000")
        with pytest.raises(netio.StatusError, match="404"):
            (await session.get("/range/102401")).raise_for_status()


class Cut(ByteStream):
    """A connection that ends without a word after so many bytes from the server, which come in small pieces."""

    def __init__(self, stream: ByteStream, left: int) -> None:
        self._stream = stream
        self._left = left

    async def receive(self, max_bytes: int = 65_536) -> bytes:
        if self._left <= 0:
            raise anyio.EndOfStream
        data = await self._stream.receive(min(max_bytes, self._left, 1_024))
        self._left -= len(data)
        return data

    async def send(self, item: bytes) -> None:
        await self._stream.send(item)

    async def send_eof(self) -> None:
        await self._stream.send_eof()

    async def aclose(self) -> None:
        await self._stream.aclose()


@pytest.mark.parametrize("is_quoted", [True, False])
@exercises(RANGE)
async def test_a_download_outlives_cut_connections(httpbin: Httpbin, way: str, is_quoted: bool, tmp_path: Path) -> None:
    """Where httpbin's ETag is one, the rest is asked for. As httpbin writes it, it is none: all is asked for again."""
    lengths = [30_000, 30_000, 1_000_000]
    ranges: list[str | None] = []

    async def connect(host: str, port: int) -> ByteStream:
        return Cut(await anyio.connect_tcp(host, port), lengths.pop(0))

    async def note(request: netio.Request, send: netio.Send) -> netio.Response:
        ranges.append(request.headers.get("range"))
        return await send(request)

    async with httpbin.session(way, connect=connect, policies=[note]) as session:
        params = {"quoted": "1"} if is_quoted else {}
        response = await session.download("/range/100000", tmp_path / "file", params=params)
    assert (tmp_path / "file").read_bytes() == alphabet(0, 100_000)
    assert len(ranges) == 3
    assert ranges[0] is None
    assert response.status_code == (206 if is_quoted else 200)
    if is_quoted:
        starts = [int(wish[6:-1]) for wish in ranges[1:] if wish is not None]
        assert 0 < starts[0] < starts[1] < 100_000
    else:
        assert ranges[1:] == [None, None]


# ---------------------------------------------------------------------- silence


@exercises("* /delay/<delay>")
async def test_every_method_waits_for_a_late_answer(httpbin: Httpbin, way: str) -> None:
    async with httpbin.session(way) as session:
        for method in EVERY_METHOD:
            response = await session.request(method, "/delay/0.01", params={"m": method})
            assert response.json()["args"] == {"m": method}
            assert response.elapsed_seconds >= 0.01


@exercises("/delay/<delay>", "/uuid")
async def test_silence_ends_in_the_timeout_that_was_given(httpbin: Httpbin, way: str) -> None:
    async with httpbin.session(way) as session:
        await session.get("/uuid")
        for timeouts, expected in (
            (Timeouts(read=0.05), netio.ReadTimeout),
            (Timeouts(total=0.05), netio.TotalTimeout),
            (0.05, netio.TotalTimeout),
        ):
            with pytest.raises(expected) as caught:
                await session.get("/delay/1", timeout=timeouts)
            assert caught.value.phase == "head"
            assert caught.value.sent
        assert session.stats().active == 0
        assert (await session.get("/uuid")).status_code == 200
