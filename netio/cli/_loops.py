"""The event loops that a command can run on."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import TypeVar

import anyio

from netio.cli._arguments import Loop
from netio.cli._exits import require

T = TypeVar("T")

_EXTRA_OF_LOOP = {"uvloop": "fast", "trio": "trio"}


def run_on(loop: Loop, function: Callable[[], Awaitable[T]]) -> T:
    """Run an async function on this loop. Raises `Usage` if it is not installed."""
    if loop in _EXTRA_OF_LOOP:
        require(loop, _EXTRA_OF_LOOP[loop])
    return anyio.run(
        function,
        backend="trio" if loop == "trio" else "asyncio",
        backend_options={} if loop == "trio" else {"use_uvloop": loop == "uvloop"},
    )
