"""Response.save: a file is there whole, or not at all."""

from __future__ import annotations

import gzip
import os
import threading
from pathlib import Path
from typing import Any

import pytest
from anyio.to_thread import current_default_thread_limiter, run_sync

import netio
from netio.saving import PIECE, FileWriter
from netio.testing import cancel_everywhere
from netio.wire import EngineName
from tests.client.answering import Answer, answering
from tests.client.conftest import Version
from tests.peers import pattern

pytestmark = pytest.mark.anyio

DATA = pattern(2 * PIECE + 12_345)


@pytest.mark.parametrize("engine", ["fast", "reference"])
@pytest.mark.parametrize("durable", [False, True])
async def test_a_streamed_response_is_saved(
    version: Version, engine: EngineName, tmp_path: Path, durable: bool
) -> None:
    told: list[tuple[int, int | None]] = []
    path = tmp_path / "file"
    path.write_bytes(b"old")
    async with answering(version, lambda _: Answer(body=DATA), engine=engine) as (house, _):
        async with house.session.stream("GET", "/") as response:
            size = await response.save(path, durable=durable, progress=lambda got, total: told.append((got, total)))
            assert response.is_closed
        assert (size, path.read_bytes() == DATA, os.listdir(tmp_path)) == (len(DATA), True, ["file"])
        assert told[-1] == (len(DATA), len(DATA))
        assert [got for got, _ in told] == sorted({got for got, _ in told})
        await house.assert_clean(connections=1)


async def test_a_response_that_was_read_is_saved_too_and_an_empty_one(version: Version, tmp_path: Path) -> None:
    async with answering(version, lambda asked: Answer(body=DATA if asked.path == "/" else b"")) as (house, _):
        response = await house.session.get("/")
        assert await response.save(str(tmp_path / "whole")) == len(DATA)
        assert await response.save(tmp_path / "twice") == len(DATA)
        assert await (await house.session.get("/empty")).save(tmp_path / "empty") == 0
    assert {path.name: path.stat().st_size for path in tmp_path.iterdir()} == {
        "whole": len(DATA),
        "twice": len(DATA),
        "empty": 0,
    }


async def test_what_is_saved_is_decoded_and_its_size_is_not_known_before(version: Version, tmp_path: Path) -> None:
    told: list[tuple[int, int | None]] = []
    answer = Answer(body=gzip.compress(DATA), fields=[("content-encoding", "gzip")])
    async with answering(version, lambda _: answer) as (house, _):
        async with house.session.stream("GET", "/") as response:
            await response.save(tmp_path / "file", progress=lambda got, total: told.append((got, total)))
    assert (tmp_path / "file").read_bytes() == DATA
    assert told[-1] == (len(DATA), None)


async def test_a_body_that_is_cut_leaves_the_old_file_and_nothing_else(version: Version, tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_bytes(b"old")
    async with answering(version, lambda _: Answer(body=DATA, cut=PIECE + 7)) as (house, _):
        async with house.session.stream("GET", "/") as response:
            with pytest.raises(netio.RequestError):
                await response.save(path)
            assert response.is_closed
        await house.settle()
        await house.assert_clean()
    assert (path.read_bytes(), os.listdir(tmp_path)) == (b"old", ["file"])


async def test_pool_10_what_the_progress_function_raises_comes_out(version: Version, tmp_path: Path) -> None:
    def progress(got: int, total: int | None) -> None:
        raise KeyError("mine")

    async with answering(version, lambda _: Answer(body=DATA)) as (house, _):
        async with house.session.stream("GET", "/") as response:
            with pytest.raises(KeyError, match="mine"):
                await response.save(tmp_path / "file", progress=progress)
            assert response.is_closed
        await house.settle()
        await house.assert_clean()
    assert os.listdir(tmp_path) == []


@pytest.mark.parametrize("place", ["missing/file", "folder"])
async def test_errors_of_the_file_system_come_out_and_close_the_response(
    version: Version, tmp_path: Path, place: str
) -> None:
    (tmp_path / "folder").mkdir()
    async with answering(version, lambda _: Answer(body=DATA)) as (house, _):
        async with house.session.stream("GET", "/") as response:
            with pytest.raises(OSError):
                await response.save(tmp_path / place)
            assert response.is_closed
        await house.settle()
        await house.assert_clean()
    assert os.listdir(tmp_path) == ["folder"]


async def test_a_disk_that_is_full_leaves_nothing(
    version: Version, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(writer: FileWriter, pieces: list[bytes]) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(FileWriter, "_write", full)
    async with answering(version, lambda _: Answer(body=DATA)) as (house, _):
        async with house.session.stream("GET", "/") as response:
            with pytest.raises(OSError, match="No space left"):
                await response.save(tmp_path / "file")
    assert os.listdir(tmp_path) == []


async def test_pool_01_a_save_that_is_cancelled_anywhere_leaves_nothing_or_all(
    version: Version, tmp_path: Path
) -> None:
    path, short = tmp_path / "file", DATA[:100_000]
    async with answering(version, lambda _: Answer(body=short)) as (house, _):

        async def scenario() -> None:
            async with house.session.stream("GET", "/") as response:
                await response.save(path)

        async def after() -> None:
            await house.settle()
            await no_threads_at_work()
            assert house.session.stats().active == 0
            await run_sync(whole_or_not_there, path, short)

        assert await cancel_everywhere(scenario, after) > 0


def whole_or_not_there(path: Path, data: bytes) -> None:
    """Check that a folder has the whole file and nothing else, or nothing; and clear it."""
    assert set(os.listdir(path.parent)) <= {path.name}
    if path.exists():
        assert path.read_bytes() == data
        path.unlink()


async def no_threads_at_work() -> None:
    """Wait for what a thread still does of which the task was cancelled."""
    while current_default_thread_limiter().borrowed_tokens:
        await run_sync(lambda: None)


# ---------------------------------------------------------------------- the writer


async def test_the_file_is_written_in_large_pieces_and_in_other_threads(tmp_path: Path) -> None:
    writes: list[tuple[int, int]] = []
    path = tmp_path / "file"
    async with FileWriter(path) as writer:
        inner: Any = writer._write

        def write(pieces: list[bytes]) -> None:
            writes.append((threading.get_ident(), sum(map(len, pieces))))
            inner(pieces)

        writer._write = write  # type: ignore[assignment, method-assign]
        for start in range(0, len(DATA), 10_000):
            await writer.write(DATA[start : start + 10_000])
        assert not path.exists()
        await writer.commit()
    assert path.read_bytes() == DATA
    assert threading.get_ident() not in {ident for ident, _ in writes}
    assert [size >= PIECE for _, size in writes] == [True, True, False]


async def test_a_file_begun_again_has_only_what_came_then(tmp_path: Path) -> None:
    async with FileWriter(tmp_path / "file") as writer:
        await writer.write(DATA)
        await writer.begin_again()
        await writer.write(b"new")
        await writer.commit()
    assert ((tmp_path / "file").read_bytes(), writer.size) == (b"new", 3)


async def test_a_file_may_be_read_by_whom_files_may_be_read(tmp_path: Path) -> None:
    async with FileWriter(tmp_path / "file") as writer:
        await writer.commit()
    (tmp_path / "other").write_bytes(b"")
    assert (tmp_path / "file").stat().st_mode == (tmp_path / "other").stat().st_mode


async def test_a_very_long_name_has_room_for_the_end_of_the_other(tmp_path: Path) -> None:
    path = tmp_path / ("n" * 255)
    async with FileWriter(path) as writer:
        await writer.commit()
    assert path.exists()
