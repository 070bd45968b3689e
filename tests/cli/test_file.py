from __future__ import annotations

import os
import stat
from pathlib import Path

import pytest

from netio.cli._exits import NotWritten
from netio.cli._file import WholeFile


class Interruption(BaseException):
    """Stands for whatever may end a download."""


def names_in(folder: Path) -> list[str]:
    return sorted(os.listdir(folder))


def write_half(path: Path) -> None:
    with WholeFile(str(path)) as file:
        file.write(b"half")
        raise Interruption


def test_the_file_appears_only_when_it_is_complete(tmp_path: Path) -> None:
    with WholeFile(str(tmp_path / "page")) as file:
        file.write(b"one ")
        assert "page" not in names_in(tmp_path)
        file.write(b"two")
    assert names_in(tmp_path) == ["page"]
    assert (tmp_path / "page").read_bytes() == b"one two"


def test_an_interrupted_file_leaves_nothing_behind(tmp_path: Path) -> None:
    with pytest.raises(Interruption):
        write_half(tmp_path / "page")
    assert names_in(tmp_path) == []


def test_an_interrupted_file_leaves_the_old_one_as_it_was(tmp_path: Path) -> None:
    (tmp_path / "page").write_bytes(b"old")
    with pytest.raises(Interruption):
        write_half(tmp_path / "page")
    assert names_in(tmp_path) == ["page"]
    assert (tmp_path / "page").read_bytes() == b"old"


def test_a_replaced_file_keeps_its_permissions(tmp_path: Path) -> None:
    (tmp_path / "secret").touch(mode=0o600)
    with WholeFile(str(tmp_path / "secret")) as file:
        file.write(b"new")
    assert stat.S_IMODE((tmp_path / "secret").stat().st_mode) == 0o600
    assert (tmp_path / "secret").read_bytes() == b"new"


def test_a_symbolic_link_stays_and_what_it_points_to_is_replaced(tmp_path: Path) -> None:
    (tmp_path / "real").write_bytes(b"old")
    (tmp_path / "link").symlink_to("real")
    with WholeFile(str(tmp_path / "link")) as file:
        file.write(b"new")
    assert (tmp_path / "link").is_symlink()
    assert (tmp_path / "real").read_bytes() == b"new"


def test_a_device_is_written_to_and_not_replaced(tmp_path: Path) -> None:
    read_end, write_end = os.pipe()
    try:
        with WholeFile(f"/dev/fd/{write_end}") as file:
            file.write(b"through")
        assert os.read(read_end, 100) == b"through"
    finally:
        os.close(read_end)
        os.close(write_end)


@pytest.mark.parametrize(
    ("name", "reason"), [("none/page", "No such file or directory"), ("", "Is a directory"), ("a" * 300, "too long")]
)
def test_a_file_that_cannot_be_written_is_said_so(tmp_path: Path, name: str, reason: str) -> None:
    with pytest.raises(NotWritten, match=reason), WholeFile(os.path.join(tmp_path, name)):
        pass
    assert names_in(tmp_path) == []
