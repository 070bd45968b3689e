"""A progress bar on stderr, for a person who watches."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from importlib.util import find_spec

Advance = Callable[[int], None]
"""Told the size of each piece as it comes."""


@contextmanager
def progress_bar(total: int | None) -> Iterator[Advance]:
    """Show bytes, speed and remaining time; nothing if stderr is not a terminal or rich is not installed."""
    if not sys.stderr.isatty() or find_spec("rich") is None:
        yield _ignore
        return
    from rich.console import Console
    from rich.progress import BarColumn, DownloadColumn, Progress, TimeRemainingColumn, TransferSpeedColumn

    columns = (BarColumn(), DownloadColumn(), TransferSpeedColumn(), TimeRemainingColumn())
    with Progress(*columns, console=Console(stderr=True)) as progress:
        task = progress.add_task("", total=total)

        def advance(size: int) -> None:
            progress.advance(task, size)

        yield advance


def _ignore(size: int) -> None:
    pass
