"""A progress bar on stderr, for a person who watches."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.util import find_spec

from netio.body import Progress


@contextmanager
def progress_bar() -> Iterator[Progress]:
    """Show bytes, speed and remaining time; nothing if stderr is not a terminal or rich is not installed."""
    if not sys.stderr.isatty() or find_spec("rich") is None:
        yield _ignore
        return
    from rich import progress as bars
    from rich.console import Console

    columns = (bars.BarColumn(), bars.DownloadColumn(), bars.TransferSpeedColumn(), bars.TimeRemainingColumn())
    with bars.Progress(*columns, console=Console(stderr=True)) as shown:
        task = shown.add_task("", total=None)

        def progress(size: int, total: int | None) -> None:
            shown.update(task, completed=size, total=total)

        yield progress


def _ignore(size: int, total: int | None) -> None:
    pass
