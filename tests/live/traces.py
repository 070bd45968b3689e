"""What a session could leave behind in this process: sockets, tasks, memory. Linux only, as the live tests are."""

from __future__ import annotations

import asyncio
import os
import re
import sys
from pathlib import Path

from anyio.lowlevel import checkpoint

_TURNS = 10
"""How many turns of the loop a closed socket has to be gone: asyncio and uvloop close it a turn later."""


class Traces:
    """Takes stock when it is made; `left` is what there is more of later."""

    def __init__(self) -> None:
        self._sockets = _sockets()
        self._tasks = _tasks()

    async def left(self) -> dict[str, int]:
        for _ in range(_TURNS):
            if not any(self._now().values()):
                break
            await checkpoint()
        return self._now()

    def _now(self) -> dict[str, int]:
        return {"sockets": len(_sockets() - self._sockets), "tasks": _tasks() - self._tasks}


NOTHING = {"sockets": 0, "tasks": 0}


def _sockets() -> set[str]:
    links: set[str] = set()
    for descriptor in os.listdir("/proc/self/fd"):
        try:
            links.add(os.readlink(f"/proc/self/fd/{descriptor}"))
        except FileNotFoundError:  # the one that listdir itself had open
            continue
    return {link for link in links if link.startswith("socket:")}


def _tasks() -> int:
    if "trio" in sys.modules:
        import trio

        if trio.lowlevel.in_trio_task():
            return trio.lowlevel.current_statistics().tasks_living
    return len(asyncio.all_tasks())


class PeakMemory:
    """How far the resident memory of this process rises above where it was when this was made."""

    def __init__(self) -> None:
        Path("/proc/self/clear_refs").write_text("5")  # proc(5): reset the peak to what there is now
        self._before = _status("VmRSS")

    def growth(self) -> int:
        return _status("VmHWM") - self._before


def _status(field: str) -> int:
    """Return a field of /proc/self/status in bytes."""
    found = re.search(rf"^{field}:\s+(\d+) kB$", Path("/proc/self/status").read_text(), re.MULTILINE)
    assert found is not None
    return int(found.group(1)) * 1_024
