"""What a session sends, as httpbin has understood it: methods, fields, queries and bodies of every kind."""

from __future__ import annotations

import base64
import json
import re
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import pytest

from netio import policy
from tests.real.httpbin_origin import EVERY_METHOD, WAYS, Httpbin, exercises

pytestmark = [pytest.mark.anyio, pytest.mark.parametrize("way", WAYS)]

BINARY = bytes(range(256)) * 1_200
BODY_RULES = ("/post", "/put", "/patch", "/delete")


def as_data(content: bytes, media_type: str = "application/octet-stream") -> str:
    """Return what httpbin makes of bytes that are no text."""
    return f"data:{media_type};base64,{base64.b64encode(content).decode()}"


async def in_pieces(content: bytes, size: int = 70_000) -> AsyncIterator[bytes]:
    for start in range(0, len(content), size):
        yield content[start : start + size]


@exercises("/get", "HEAD /get", "OPTIONS /get")
async def test_a_query_arrives_and_head_and_options_have_no_body(httpbin: Httpbin, way: str) -> None:
    async with httpbin.session(way, params={"s": "1"}) as session:
        got = (await session.get("/get", params={"a": ["1", "2"], "ü": "b c&d", "none": None})).json()
        assert got["args"] == {"s": "1", "a": ["1", "2"], "ü": "b c&d"}
        assert got["url"] == f"{httpbin.base(way)}/get?s=1&a=1&a=2&ü=b+c%26d"
        head = await session.head("/get")
        assert (head.status_code, head.content) == (200, b"")
        assert int(head.headers["content-length"]) > 0
        options = await session.options("/get")
        assert set(options.headers["allow"].replace(" ", "").split(",")) == {"GET", "HEAD", "OPTIONS"}


@exercises("/headers", "/user-agent", "/ip")
async def test_fields_and_address_arrive(httpbin: Httpbin, way: str) -> None:
    async with httpbin.session(way, headers={"X-One": "1", "X-Two": "2"}) as session:
        sent = (await session.get("/headers", headers={"x-two": "zwei"})).json()["headers"]
        assert (sent["X-One"], sent["X-Two"], sent["User-Agent"], sent["Accept"]) == ("1", "zwei", "netio", "*/*")
        assert sent["Accept-Encoding"] == policy.Decode().accept_encoding
        assert sent["Host"] == httpbin.base(way).partition("//")[2]
        agent = await session.get("/user-agent", headers={"user-agent": "another/1"})
        assert agent.json() == {"user-agent": "another/1"}
        assert (await session.get("/ip")).json() == {"origin": "127.0.0.1"}


@exercises("* /anything", "* /anything/<path:anything>")
async def test_every_method_arrives(httpbin: Httpbin, way: str) -> None:
    async with httpbin.session(way) as session:
        for method in EVERY_METHOD:
            seen = (await session.request(method, "/anything", params={"n": 1})).json()
            assert (seen["method"], seen["args"], seen["data"]) == (method, {"n": "1"}, "")
            seen = (await session.request(method, "/anything/a/b%20c")).json()
            assert (seen["method"], seen["url"]) == (method, f"{httpbin.base(way)}/anything/a/b%20c")


@exercises("POST /post", "PUT /put", "PATCH /patch", "DELETE /delete")
async def test_json_and_bytes_arrive_by_every_method_that_has_a_body(httpbin: Httpbin, way: str) -> None:
    async with httpbin.session(way) as session:
        for rule in BODY_RULES:
            sent: Any = {"ü": [1, None, 2.5], "method": rule}
            seen = (await session.request(rule[1:].upper(), rule, json=sent)).raise_for_status().json()
            assert seen["json"] == sent
            assert seen["headers"]["Content-Type"] == "application/json"
            seen = (await session.request(rule[1:].upper(), rule, content=BINARY)).raise_for_status().json()
            assert seen["data"] == as_data(BINARY)
            assert seen["headers"]["Content-Length"] == str(len(BINARY))


@exercises("POST /post")
async def test_a_form_arrives(httpbin: Httpbin, way: str) -> None:
    async with httpbin.session(way) as session:
        seen = (await session.post("/post", data={"a": ["1", "2"], "b": "ü & ;=+", "empty": ""})).json()
        assert seen["form"] == {"a": ["1", "2"], "b": "ü & ;=+", "empty": ""}
        assert seen["headers"]["Content-Type"] == "application/x-www-form-urlencoded"


@exercises("/forms/post", "POST /post")
async def test_a_page_with_a_form_is_filled_in(httpbin: Httpbin, way: str) -> None:
    async with httpbin.session(way) as session:
        page = (await session.get("/forms/post")).raise_for_status()
        assert page.headers["content-type"].startswith("text/html")
        found = re.search(r'<form method="(\w+)" action="([^"]+)"', page.text)
        assert found is not None
        names = set(re.findall(r'name="?(\w+)"?', page.text))
        assert {"custname", "size", "topping", "comments"} <= names
        filled = {name: ["bacon", "onion"] if name == "topping" else f"my {name}" for name in sorted(names)}
        answer = await session.request(found[1], page.url.join(found[2]), data=filled)
        assert answer.json()["form"] == filled


@exercises("POST /post")
async def test_files_arrive(httpbin: Httpbin, way: str, tmp_path: Path) -> None:
    path = tmp_path / "ü.bin"
    path.write_bytes(BINARY)
    files = {
        "text": ("a.txt", "ünicode", "text/plain"),
        "file": path,
        "several": [("1.json", b"1", "application/json"), b"two"],
        "streamed": ("s.bin", in_pieces(BINARY), "application/x-binary"),
    }
    async with httpbin.session(way) as session:
        seen = (await session.post("/post", data={"field": "value"}, files=files)).raise_for_status().json()
    assert seen["form"] == {"field": "value"}
    assert seen["files"]["text"] == "ünicode"
    assert seen["files"]["file"] == as_data(BINARY)
    assert seen["files"]["streamed"] == as_data(BINARY, "application/x-binary")
    assert seen["files"]["several"] == "1"  # of several files of a name httpbin shows the first
    assert re.fullmatch(r"multipart/form-data; boundary=\S+", seen["headers"]["Content-Type"])


@exercises("POST /post")
async def test_files_of_known_length_have_it_announced(httpbin: Httpbin, way: str, tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_bytes(b"x" * 10_000)
    async with httpbin.session(way) as session:
        response = await session.post("/post", files={"a": path})
        assert response.json()["files"] == {"a": "x" * 10_000}
        assert int(response.json()["headers"]["Content-Length"]) == response.request.body.length


@exercises("POST /post", "PUT /put")
async def test_streamed_bodies_arrive_whole(httpbin: Httpbin, way: str, tmp_path: Path) -> None:
    def lines() -> Iterator[bytes]:
        for number in range(1_000):
            yield json.dumps({"number": number}).encode() + b"\n"

    path = tmp_path / "file"
    path.write_bytes(BINARY)
    progress: list[tuple[int, int | None]] = []
    async with httpbin.session(way) as session:
        seen = (await session.post("/post", content=in_pieces(BINARY))).raise_for_status().json()
        assert seen["data"] == as_data(BINARY)
        assert "Content-Length" not in seen["headers"]
        assert seen["headers"].get("Transfer-Encoding") == (None if way == "http2-tls" else "chunked")
        assert (await session.post("/post", content=lines())).json()["data"] == b"".join(lines()).decode()
        with path.open("rb") as file:
            seen = (await session.put("/put", content=file, progress=lambda *at: progress.append(at))).json()
        assert seen["data"] == as_data(BINARY)
        assert seen["headers"]["Content-Length"] == str(len(BINARY))
    assert progress[-1] == (len(BINARY), len(BINARY))
