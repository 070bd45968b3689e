"""Files as request bodies: their length, and that they can be sent again (HAZARDS RT-04)."""

from __future__ import annotations

import gzip
import io
import os
import tempfile
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import anyio
import pytest

from netio.body import RequestBody, measured
from netio.encoding import encode_body
from netio.errors import InvalidRequest, RequestBodyError
from netio.files import PIECE, FileBody, PathBody

pytestmark = pytest.mark.anyio

SIZE = 2 * PIECE + 17
DATA = os.urandom(SIZE)


async def read(body: RequestBody) -> bytes:
    await body.prepare()
    return b"".join([chunk async for chunk in body.chunks()])


class Reader:
    """A file-like object that cannot be put back."""

    def __init__(self, data: bytes) -> None:
        self.file = io.BytesIO(data)
        self.threads: set[int] = set()

    def read(self, size: int) -> bytes:
        self.threads.add(threading.get_ident())
        return self.file.read(size)

    def __iter__(self) -> Iterator[bytes]:
        raise AssertionError("a file is read by pieces, and not by lines")


@pytest.fixture
def path(tmp_path: Path) -> Path:
    found = tmp_path / "data.bin"
    found.write_bytes(DATA)
    return found


OPENED: dict[str, Callable[[Path], Any]] = {
    "buffered": lambda path: path.open("rb"),
    "unbuffered": lambda path: path.open("rb", buffering=0),
    "for update": lambda path: path.open("r+b"),
    "in memory": lambda path: io.BytesIO(path.read_bytes()),
    "path": lambda path: path,
}


@pytest.mark.parametrize("kind", OPENED)
async def test_a_file_has_a_length_and_can_be_sent_twice_and_at_the_same_time(path: Path, kind: str) -> None:
    content = OPENED[kind](path)
    body = encode_body(content=content)
    await body.prepare()
    assert (body.length, body.content_type, body.is_replayable) == (SIZE, None, True)
    first, second = body.chunks(), body.chunks()
    got = [await anext(first), await anext(second)]
    assert got[0] == got[1] == DATA[: len(got[0])]
    for chunks in (first, second):
        assert got[0] + b"".join([chunk async for chunk in chunks]) == DATA
    assert await read(body) == DATA
    if content is not path:
        content.close()


@pytest.mark.parametrize("kind", [kind for kind in OPENED if kind != "path"])
async def test_a_file_is_sent_from_where_it_stands(path: Path, kind: str) -> None:
    with OPENED[kind](path) as file:
        file.seek(PIECE + 5)
        body = encode_body(content=file)
        assert body.length == SIZE - PIECE - 5
        assert await read(body) == DATA[PIECE + 5 :]
        file.seek(SIZE + 10)
        assert encode_body(content=file).length == 0


@pytest.mark.parametrize("make", [tempfile.NamedTemporaryFile, tempfile.TemporaryFile])
async def test_a_temporary_file_is_a_file_like_others(make: Callable[[], Any]) -> None:
    with make() as file:
        file.write(DATA)
        file.seek(3)
        body = encode_body(content=file)
        assert body.length == SIZE - 3
        assert [await read(body), await read(body)] == [DATA[3:], DATA[3:]]


def zipped(path: Path) -> Any:
    packed = path.with_suffix(".gz")
    packed.write_bytes(gzip.compress(path.read_bytes()))
    return gzip.open(packed)


def spooled(path: Path) -> Any:
    file = tempfile.SpooledTemporaryFile()  # noqa: SIM115  # closed by the test
    file.write(path.read_bytes())
    file.seek(0)
    return file


@pytest.mark.parametrize("make", [zipped, spooled])
async def test_rt_04_what_decides_itself_what_to_read_has_no_length_and_is_put_back(
    path: Path, make: Callable[[Path], Any]
) -> None:
    with make(path) as file:
        body = encode_body(content=file)
        assert (type(body), body.length) == (FileBody, None)
        assert [await read(body), await read(body)] == [DATA, DATA]


async def test_rt_04_a_file_with_one_position_is_not_sent_twice_at_a_time() -> None:
    with tempfile.SpooledTemporaryFile() as file:
        file.write(DATA)
        file.seek(0)
        body = encode_body(content=file)
        first = body.chunks()
        await anext(first)
        assert not body.is_replayable
        with pytest.raises(RequestBodyError, match="being read already"):
            await read(body)
        await first.aclose()
        assert body.is_replayable
        assert await read(body) == DATA


async def test_rt_04_a_file_that_is_being_put_back_is_not_sent_by_another_one_meanwhile() -> None:
    outcomes: list[bytes | RequestBodyError] = []

    async def send() -> None:
        try:
            outcomes.append(await read(body))
        except RequestBodyError as error:
            outcomes.append(error)

    with tempfile.SpooledTemporaryFile() as file:
        file.write(DATA)
        file.seek(0)
        body = encode_body(content=file)
        assert await read(body) == DATA
        async with anyio.create_task_group() as group:
            for _ in range(2):
                group.start_soon(send)
    assert [outcome for outcome in outcomes if isinstance(outcome, bytes)] == [DATA]
    assert len(outcomes) == 2


async def test_rt_04_a_reader_that_cannot_be_put_back_is_sent_once_and_read_in_a_thread() -> None:
    reader = Reader(DATA)
    body = encode_body(content=reader)
    assert (body.length, body.is_replayable) == (None, True)
    assert await read(body) == DATA
    assert threading.get_ident() not in reader.threads
    assert not body.is_replayable
    with pytest.raises(RequestBodyError):
        await read(body)


async def test_a_pipe_that_has_nothing_to_say_does_not_hold_up_who_gives_it_up() -> None:
    reading, writing = os.pipe()
    with open(reading, "rb", buffering=0) as file:
        body = encode_body(content=file)
        assert body.length is None
        with anyio.move_on_after(0.05) as scope:
            await read(body)
        assert scope.cancelled_caught
        os.close(writing)  # ends the thread that was left behind


@pytest.mark.parametrize("kind", ["text", "StringIO"])
def test_a_file_that_is_read_as_text_is_refused(path: Path, kind: str) -> None:
    path.write_text("x")
    with open(path) if kind == "text" else io.StringIO("x") as file:
        with pytest.raises(InvalidRequest, match="binary mode"):
            encode_body(content=file)  # type: ignore[arg-type]
        with pytest.raises(InvalidRequest, match="binary mode"):
            encode_body(files={"a": file})


async def test_req_04_a_file_that_grows_or_shrinks_meanwhile_does_not_pass_for_what_was_announced(path: Path) -> None:
    body = encode_body(content=path)
    await body.prepare()
    for size in (SIZE - 1, SIZE + 1):
        path.write_bytes(DATA[:size].ljust(size, b"x"))
        with pytest.raises(RequestBodyError, match="declared length"):
            assert body.length is not None
            async for _ in measured(body.chunks(), body.length):
                pass


async def test_a_path_that_leads_nowhere_says_so_as_the_system_does(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        await encode_body(content=tmp_path / "missing").prepare()
    with pytest.raises(RequestBodyError, match="no regular file"):
        await encode_body(content=tmp_path).prepare()


async def test_a_path_is_closed_by_who_gives_up_its_body_half_read(path: Path) -> None:
    body = encode_body(content=path)
    before = len(os.listdir("/proc/self/fd")) if os.path.isdir("/proc/self/fd") else 0
    chunks = body.chunks()
    await anext(chunks)
    await chunks.aclose()
    after = len(os.listdir("/proc/self/fd")) if os.path.isdir("/proc/self/fd") else 0
    assert (type(body), after) == (PathBody, before)


async def test_pool_10_what_a_reader_raises_comes_through() -> None:
    class Broken:
        def read(self, size: int) -> bytes:
            raise KeyError("mine")

    with pytest.raises(KeyError, match="mine"):
        await read(encode_body(content=Broken()))  # type: ignore[arg-type]


async def test_a_reader_that_returns_text_is_refused_when_it_does() -> None:
    class Talking:
        def read(self, size: int) -> str:
            return "text"

    with pytest.raises(RequestBodyError, match="must yield bytes, not str"):
        await read(encode_body(content=Talking()))  # type: ignore[arg-type]


def test_repr_of_a_file_shows_no_content(path: Path) -> None:
    assert repr(encode_body(content=path)) == f"<PathBody of {str(path)!r}>"
    with open(path, "rb") as file:
        assert repr(encode_body(content=file)) == f"<RegularFileBody of {SIZE} bytes>"
    assert repr(encode_body(content=Reader(b""))) == "<FileBody over Reader>"
