"""The file of -o raises the command's errors; what it writes and where, tests/client/test_saving.py tells."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from netio.cli._exits import NotWritten
from netio.cli._file import OutputFile

pytestmark = pytest.mark.anyio


@pytest.mark.parametrize(
    ("name", "reason"), [("none/page", "No such file or directory"), ("", "Is a directory"), ("a" * 300, "too long")]
)
async def test_a_file_that_cannot_be_opened_is_said_so(tmp_path: Path, name: str, reason: str) -> None:
    with pytest.raises(NotWritten, match=reason):
        async with OutputFile(os.path.join(tmp_path, name)):
            pass
    assert os.listdir(tmp_path) == []


async def test_a_device_that_is_full_is_said_so() -> None:
    async with OutputFile("/dev/full") as file:
        with pytest.raises(NotWritten, match="/dev/full cannot be written: No space left on device"):
            await file.write(b"page")


async def test_a_pipe_that_has_lost_its_reader_is_said_so(tmp_path: Path) -> None:
    path = tmp_path / "pipe"
    os.mkfifo(path)
    reader = os.open(path, os.O_RDONLY | os.O_NONBLOCK)
    async with OutputFile(str(path)) as file:
        os.close(reader)
        with pytest.raises(NotWritten, match="Broken pipe"):
            await file.write(b"page")
