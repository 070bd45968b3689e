"""Bodies on their way out: forms with files, files, trailers, progress, JSON by another library."""

from __future__ import annotations

import hashlib
import io
import json as jsonlib
import os
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import anyio
import msgspec
import orjson
import pytest
from multipart import MultipartParser  # type: ignore[import-untyped]

import netio
from netio.testing import cancel_everywhere
from netio.wire import EngineName
from tests.client.answering import Answer, Asked, answering
from tests.client.conftest import Version, make_house

pytestmark = pytest.mark.anyio

BOTH = pytest.mark.parametrize("engine", ["fast", "reference"])
DATA = os.urandom(700_000)


def echo(asked: Asked) -> Answer:
    return Answer(body=asked.body)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    found = tmp_path / "data.bin"
    found.write_bytes(DATA)
    return found


def files_in(asked: Asked) -> dict[str, bytes]:
    boundary = asked.fields["content-type"].removeprefix("multipart/form-data; boundary=")
    parser = MultipartParser(
        io.BytesIO(asked.body), boundary, len(asked.body), spool_limit=1 << 30, memory_limit=1 << 30
    )
    return {part.name: part.raw for part in parser}


# ---------------------------------------------------------------------- forms and files


@BOTH
async def test_a_form_with_files_arrives_with_its_length(version: Version, engine: EngineName, path: Path) -> None:
    async with answering(version, echo, engine=engine) as (house, site):
        with path.open("rb") as file:
            response = await house.session.post("/", data={"a": "1"}, files={"b": path, "c": file, "d": b"x"})
        asked = site.asked[0]
        assert files_in(asked) == {"a": b"1", "b": DATA, "c": DATA, "d": b"x"}
        assert int(asked.fields["content-length"]) == len(asked.body) == len(response.content)
        assert "transfer-encoding" not in asked.fields
        await house.assert_clean(connections=1)


@BOTH
async def test_a_form_with_a_part_of_unknown_length_arrives_too(version: Version, engine: EngineName) -> None:
    async def pieces() -> AsyncIterator[bytes]:
        for start in range(0, len(DATA), 10_000):
            yield DATA[start : start + 10_000]

    async with answering(version, echo, engine=engine) as (house, site):
        await house.session.post("/", files={"b": ("n", pieces())})
        assert files_in(site.asked[0]) == {"b": DATA}
        assert "content-length" not in site.asked[0].fields


async def test_a_file_is_sent_with_its_length_also_by_way_of_a_request_that_was_built(
    version: Version, path: Path
) -> None:
    async with answering(version, echo) as (house, site):
        with path.open("rb") as file:
            assert (await house.session.put("/", content=file)).content == DATA
        request = house.session.build_request("PUT", "/", content=path)
        assert (await house.session.send(request)).content == DATA
        async with house.session.stream("PUT", "/", content=path) as response:
            assert await response.aread() == DATA
        assert [asked.fields["content-length"] for asked in site.asked] == [str(len(DATA))] * 3


async def test_rt_04_a_file_is_sent_again_by_a_policy(version: Version, path: Path) -> None:
    async def twice(request: netio.Request, send: netio.Send) -> netio.Response:
        await send(request)
        return await send(request)

    async with answering(version, echo, policies=[twice]) as (house, site):
        with path.open("rb") as file:
            assert (await house.session.put("/", content=file)).content == DATA
        assert [asked.body == DATA for asked in site.asked] == [True, True]


async def test_a_path_that_leads_nowhere_fails_before_anything_is_sent(version: Version, tmp_path: Path) -> None:
    async with answering(version, echo) as (house, site):
        with pytest.raises(FileNotFoundError):
            await house.session.put("/", content=tmp_path / "missing")
        with pytest.raises(FileNotFoundError):
            await house.session.post("/", files={"a": tmp_path / "missing"})
        assert (site.asked, house.session.stats().created) == ([], 0)


@BOTH
async def test_req_04_a_file_that_shrinks_after_its_length_was_announced_fails_the_request(
    version: Version, engine: EngineName, path: Path
) -> None:
    async with answering(version, echo, engine=engine) as (house, site):
        request = house.session.build_request("PUT", "/", content=path)
        await request.body.prepare()
        path.write_bytes(DATA[:-1])
        with pytest.raises(netio.RequestBodyError, match="shorter than its declared length, by 1 bytes"):
            await house.session.send(request)
        assert site.asked == []
        await house.settle()
        await house.assert_clean()


@BOTH
@pytest.mark.parametrize("method", ["GET", "DELETE", "POST"])
async def test_req_04_a_body_is_framed_whatever_the_method(version: Version, engine: EngineName, method: str) -> None:
    async with answering(version, echo, engine=engine) as (house, site):
        assert (await house.session.request(method, "/", content=b"body")).content == b"body"
        assert (await house.session.request(method, "/", content=iter([b"bo", b"dy"]))).content == b"body"
        assert site.asked[0].fields["content-length"] == "4"
        if version == "HTTP/1.1":
            assert site.asked[1].fields["transfer-encoding"] == "chunked"
        await house.assert_clean(connections=1)


async def test_req_05_the_type_of_a_form_with_files_cannot_be_given(version: Version) -> None:
    async with answering(version, echo) as (house, site):
        with pytest.raises(netio.InvalidRequest, match="names the boundary"):
            await house.session.post("/", files={"a": b"x"}, headers={"Content-Type": "multipart/form-data"})
        assert site.asked == []


async def test_a_form_waits_for_100_continue_like_any_body(version: Version) -> None:
    async with make_house(version) as house:
        # This server says nothing before the end of the body; a second later it is sent all the same.
        async with anyio.create_task_group() as group:

            async def post() -> None:
                response = await house.session.post("/count", files={"a": DATA}, headers={"Expect": "100-continue"})
                assert int(response.text) > len(DATA)

            group.start_soon(post)
            await house.settle()
            assert house.peer.bodies == []
            clock: Any = house.session._clock
            await clock.advance(1.1)
        assert len(house.peer.bodies) == 1


async def test_pool_01_a_form_that_is_cancelled_anywhere_leaves_nothing(version: Version, tmp_path: Path) -> None:
    path = tmp_path / "small"
    path.write_bytes(b"x" * 20_000)
    async with answering(version, echo) as (house, _):

        async def scenario() -> None:
            assert len((await house.session.post("/", files={"a": path, "b": path})).content) > 40_000

        async def after() -> None:
            await house.settle()
            stats = house.session.stats()
            assert (stats.active, stats.dialing, stats.queued) == (0, 0, 0)
            assert (await house.session.get("/")).status_code == 200

        assert await cancel_everywhere(scenario, after) > 0


# ---------------------------------------------------------------------- trailers

SUM = hashlib.sha256(DATA).hexdigest()


@BOTH
async def test_trailers_follow_the_body(version: Version, engine: EngineName) -> None:
    async with answering(version, echo, engine=engine) as (house, site):
        for body in (b"small", DATA):
            response = await house.session.post("/", content=body, trailers={"X-Sum": "7", "x-more": "8"})
            assert response.content == body
        for asked in site.asked:
            assert asked.trailers == {"x-sum": "7", "x-more": "8"}
            assert asked.fields["trailer"] == "X-Sum, x-more"
            assert "content-length" not in asked.fields
        await house.assert_clean(connections=1)


@BOTH
async def test_trailers_may_be_found_out_while_the_body_is_sent(version: Version, engine: EngineName) -> None:
    digest = hashlib.sha256()

    async def pieces() -> AsyncIterator[bytes]:
        for start in range(0, len(DATA), 100_000):
            digest.update(DATA[start : start + 100_000])
            yield DATA[start : start + 100_000]

    async with answering(version, echo, engine=engine) as (house, site):
        fields = {"Trailer": "x-sum"}
        await house.session.post("/", content=pieces(), trailers=lambda: {"x-sum": digest.hexdigest()}, headers=fields)
        assert site.asked[0].trailers == {"x-sum": SUM}
        assert site.asked[0].fields["trailer"] == "x-sum"


@pytest.mark.parametrize(
    "trailers", [{"Content-Length": "1"}, {"transfer-encoding": "chunked"}, {"a b": "1"}, {"a": "1\r\nb: 2"}, {"a": 1}]
)
async def test_req_01_trailers_that_cannot_be_sent_are_refused(version: Version, trailers: Any) -> None:
    async with answering(version, echo) as (house, site):
        with pytest.raises(netio.InvalidRequest):
            await house.session.post("/", content=b"x", trailers=trailers)
        with pytest.raises(netio.InvalidRequest):
            await house.session.post("/", content=b"x", trailers=lambda: trailers)
        assert site.asked == []
        await house.settle()
        await house.assert_clean()


@pytest.mark.parametrize("options", [{}, {"content": b"x", "headers": {"Content-Length": "1"}}])
async def test_req_03_trailers_need_a_body_without_announced_length(version: Version, options: Any) -> None:
    async with answering(version, echo) as (house, site):
        with pytest.raises(netio.InvalidRequest):
            await house.session.post("/", trailers={"a": "1"}, **options)
        with pytest.raises(netio.InvalidRequest):
            await house.session.post("/", content=b"x", headers={"Trailer": "a"})
        assert site.asked == []


async def test_pool_10_what_the_function_for_trailers_raises_comes_out(version: Version) -> None:
    def trailers() -> dict[str, str]:
        raise KeyError("mine")

    async with answering(version, echo) as (house, site):
        with pytest.raises(KeyError, match="mine"):
            await house.session.post("/", content=DATA, trailers=trailers)
        assert site.asked == []
        await house.settle()
        await house.assert_clean()


# ---------------------------------------------------------------------- progress


@BOTH
@pytest.mark.parametrize("kind", ["small", "bytes", "file", "iterator"])
async def test_progress_is_told_what_has_been_sent(version: Version, engine: EngineName, path: Path, kind: str) -> None:
    contents: dict[str, Any] = {"small": b"small", "bytes": DATA * 4, "file": path, "iterator": iter([DATA, b"x"])}
    told: list[tuple[int, int | None]] = []
    async with answering(version, echo, engine=engine) as (house, _):
        response = await house.session.post(
            "/", content=contents[kind], progress=lambda sent, total: told.append((sent, total))
        )
    size = len(response.content)
    assert {total for _, total in told} == {None if kind == "iterator" else size}
    sents = [sent for sent, _ in told]
    assert sents == sorted(set(sents))
    assert sents[-1] == size
    assert len(sents) > 1 or kind == "small"


async def test_pool_10_what_the_progress_function_raises_comes_out(version: Version) -> None:
    def progress(sent: int, total: int | None) -> None:
        raise KeyError("mine")

    async with answering(version, echo) as (house, site):
        with pytest.raises(KeyError, match="mine") as caught:
            await house.session.post("/", content=DATA, progress=progress)
        assert "raised by the body of" in caught.value.__notes__[0]
        assert site.asked == []
        await house.settle()
        await house.assert_clean()
        assert (await house.session.get("/")).status_code == 200


async def test_progress_of_a_request_without_a_body_is_never_called(version: Version) -> None:
    told: list[int] = []
    async with answering(version, echo) as (house, _):
        await house.session.get("/", progress=lambda sent, total: told.append(sent))
    assert told == []


# ---------------------------------------------------------------------- JSON

LIBRARIES: dict[str, tuple[Any, Any]] = {
    "json": (jsonlib.dumps, jsonlib.loads),
    "orjson": (orjson.dumps, orjson.loads),
    "msgspec": (msgspec.json.encode, msgspec.json.decode),
}


@pytest.mark.parametrize("library", LIBRARIES)
async def test_json_is_written_and_read_by_the_library_that_a_session_is_given(library: str) -> None:
    encode, decode = LIBRARIES[library]
    calls: list[Any] = []

    def encoder(value: Any) -> Any:
        calls.append(value)
        return encode(value)

    def decoder(data: bytes) -> Any:
        calls.append(data)
        return decode(data)

    value = {"a": [1, 2.5, None, "ü"]}
    async with answering("HTTP/1.1", echo, json_encoder=encoder, json_decoder=decoder) as (house, site):
        response = await house.session.post("/", json=value)
        assert (response.json(), site.asked[0].fields["content-type"]) == (value, "application/json")
        assert calls == [value, response.content]
        async with house.session.stream("POST", "/", json=value) as streamed:
            await streamed.aread()
            assert streamed.json() == value


async def test_pool_10_what_the_json_hooks_raise_comes_out() -> None:
    def broken(value: Any) -> Any:
        raise KeyError("mine")

    async with answering("HTTP/1.1", echo, json_encoder=broken, json_decoder=broken) as (house, site):
        with pytest.raises(KeyError, match="mine"):
            await house.session.post("/", json=1)
        assert site.asked == []
        with pytest.raises(KeyError, match="mine"):
            (await house.session.post("/", content=b"1")).json()


async def test_a_json_encoder_has_to_return_bytes_or_text() -> None:
    encoder: Any = lambda value: value  # noqa: E731
    async with answering("HTTP/1.1", echo, json_encoder=encoder) as (house, _):
        with pytest.raises(netio.InvalidRequest, match="returned list, neither bytes nor str"):
            await house.session.post("/", json=[1])


async def test_pool_10_a_part_that_fails_fails_the_request(version: Version) -> None:
    def broken() -> Iterator[bytes]:
        yield b"x" * 100_000
        raise KeyError("mine")

    async with answering(version, echo) as (house, site):
        with pytest.raises(KeyError, match="mine"):
            await house.session.post("/", files={"a": b"first", "b": broken})
        assert site.asked == []
        await house.settle()
        await house.assert_clean()
