"""FileWriter: where the bytes go, and what is at the path then."""

from __future__ import annotations

import os
import stat
from pathlib import Path

import anyio
import pytest
from anyio.to_thread import run_sync

from netio.saving import PIECE, FileWriter
from netio.testing import cancel_everywhere
from tests.peers import pattern

pytestmark = pytest.mark.anyio


class Interruption(BaseException):
    """Stands for whatever may end a download."""


async def write(path: Path, *chunks: bytes) -> None:
    async with FileWriter(path) as writer:
        for chunk in chunks:
            await writer.write(chunk)
        await writer.commit()


async def test_an_interrupted_file_leaves_the_old_one_as_it_was(tmp_path: Path) -> None:
    (tmp_path / "page").write_bytes(b"old")
    with pytest.raises(Interruption):
        async with FileWriter(tmp_path / "page") as writer:
            await writer.write(bytes(2 * PIECE))
            raise Interruption
    assert os.listdir(tmp_path) == ["page"]
    assert (tmp_path / "page").read_bytes() == b"old"


@pytest.mark.parametrize("mode", [0o600, 0o640, 0o777])
async def test_a_replaced_file_keeps_its_permissions(tmp_path: Path, mode: int) -> None:
    (tmp_path / "secret").touch()
    (tmp_path / "secret").chmod(mode)
    await write(tmp_path / "secret", b"new")
    assert stat.S_IMODE((tmp_path / "secret").stat().st_mode) == mode
    assert (tmp_path / "secret").read_bytes() == b"new"


async def test_what_came_from_the_network_does_not_inherit_the_right_to_run_as_another(tmp_path: Path) -> None:
    (tmp_path / "program").touch()
    (tmp_path / "program").chmod(0o6755)
    await write(tmp_path / "program", b"new")
    assert stat.S_IMODE((tmp_path / "program").stat().st_mode) == 0o755


async def test_a_symbolic_link_stays_and_what_it_points_to_is_replaced(tmp_path: Path) -> None:
    (tmp_path / "folder").mkdir()
    (tmp_path / "folder" / "real").write_bytes(b"old")
    (tmp_path / "link").symlink_to("folder/real")
    await write(tmp_path / "link", b"new")
    assert (tmp_path / "link").is_symlink()
    assert (tmp_path / "folder" / "real").read_bytes() == b"new"
    assert os.listdir(tmp_path / "folder") == ["real"]


async def test_a_symbolic_link_to_nothing_gets_something_to_point_to(tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to("real")
    await write(tmp_path / "link", b"new")
    assert (tmp_path / "link").is_symlink()
    assert (tmp_path / "real").read_bytes() == b"new"


async def test_a_device_is_written_to_and_not_replaced(tmp_path: Path) -> None:
    device = tmp_path / "null"
    try:
        os.mknod(device, 0o666 | stat.S_IFCHR, os.makedev(1, 3))
        os.close(os.open(device, os.O_WRONLY))
    except OSError:  # only root may make devices, and not everywhere
        device = Path("/dev/null")
    before = os.stat(device)
    await write(device, b"one", b"two")
    after = os.stat(device)
    assert (after.st_mode, after.st_ino, after.st_rdev) == (before.st_mode, before.st_ino, before.st_rdev)
    assert set(os.listdir(tmp_path)) <= {"null"}


async def read_to_the_end(reader: int) -> bytes:
    seen = b""
    while True:
        await anyio.wait_readable(reader)
        try:
            piece = os.read(reader, 65_536)
        except BlockingIOError:
            continue
        if not piece:
            return seen
        seen += piece


async def test_a_named_pipe_gets_each_chunk_as_it_comes_and_more_than_it_has_room_for(tmp_path: Path) -> None:
    path, data = tmp_path / "pipe", pattern(PIECE)
    os.mkfifo(path)
    reader = os.open(path, os.O_RDONLY | os.O_NONBLOCK)
    seen: list[bytes] = []

    async def read() -> None:
        seen.append(await read_to_the_end(reader))

    try:
        async with FileWriter(path) as writer:
            await writer.write(b"event")
            assert os.read(reader, 100) == b"event"
            async with anyio.create_task_group() as group:
                group.start_soon(read)
                await writer.write(data)
                await writer.commit()
    finally:
        os.close(reader)
    assert seen == [data]
    assert stat.S_ISFIFO(path.stat().st_mode)


async def test_a_pipe_that_nobody_reads_can_be_given_up(tmp_path: Path) -> None:
    """No thread waits in open() or write() for a reader: it could not be cancelled."""
    path = tmp_path / "pipe"
    os.mkfifo(path)
    with anyio.move_on_after(0.1) as scope:
        await write(path, b"nobody")
    assert scope.cancelled_caught
    reader = os.open(path, os.O_RDONLY | os.O_NONBLOCK)
    try:
        with anyio.move_on_after(0.1) as scope:
            await write(path, bytes(PIECE))
    finally:
        os.close(reader)
    assert scope.cancelled_caught
    assert os.listdir(tmp_path) == ["pipe"]


async def test_a_pipe_is_waited_for_until_it_has_a_reader(tmp_path: Path) -> None:
    path = tmp_path / "pipe"
    os.mkfifo(path)
    async with anyio.create_task_group() as group:
        group.start_soon(write, path, b"hello")
        assert await run_sync(path.read_bytes) == b"hello"


async def test_what_went_into_a_pipe_cannot_be_taken_back(tmp_path: Path) -> None:
    path = tmp_path / "pipe"
    os.mkfifo(path)
    reader = os.open(path, os.O_RDONLY | os.O_NONBLOCK)
    try:
        async with FileWriter(path) as writer:
            assert writer.can_begin_again
            await writer.begin_again()
            await writer.write(b"one")
            assert not writer.can_begin_again
            with pytest.raises(OSError, match="taken back"):
                await writer.begin_again()
    finally:
        os.close(reader)


async def test_a_writer_that_is_cancelled_anywhere_keeps_nothing_open(tmp_path: Path) -> None:
    path = tmp_path / "pipe"
    os.mkfifo(path)
    reader = os.open(path, os.O_RDONLY | os.O_NONBLOCK)
    try:

        async def scenario() -> None:
            await write(path, b"one", b"two")

        async def after() -> None:
            while True:  # what a thread still writes of which the task was cancelled
                try:
                    if not os.read(reader, 100):
                        return  # the end of the pipe: nobody has it open for writing
                except BlockingIOError:
                    await anyio.lowlevel.checkpoint()

        assert await cancel_everywhere(scenario, after) > 0
    finally:
        os.close(reader)


async def test_a_name_of_255_bytes_has_room_for_the_end_of_the_other(tmp_path: Path) -> None:
    path = tmp_path / ("ü" * 127)
    await write(path, b"1")
    assert path.read_bytes() == b"1"
