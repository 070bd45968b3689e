"""What every test gets: the event loops, and the checks that hold for each of them.

Every async test runs on asyncio, uvloop and trio, by way of anyio's pytest plugin: a module says
`pytestmark = pytest.mark.anyio`. NETIO_TEST_LOOPS=asyncio,uvloop leaves the others out (tox.ini).
"""

from __future__ import annotations

import functools
import inspect
import logging
import os
import sys
import traceback
from collections.abc import Awaitable, Callable, Generator, Iterator
from typing import Any

import anyio
import pytest
from blockbuster import blockbuster_ctx
from hypothesis import settings

LOOPS: dict[str, tuple[str, dict[str, Any]]] = {
    "asyncio": ("asyncio", {"use_uvloop": False}),
    "uvloop": ("asyncio", {"use_uvloop": True}),
    "trio": ("trio", {}),
}
if sys.platform == "win32":
    del LOOPS["uvloop"]

# No deadline: a shared machine is slow at times. In CI the same examples every time: `make fuzz` looks for new ones.
settings.register_profile("netio", deadline=None, derandomize="CI" in os.environ)
settings.register_profile("fuzz", deadline=None, max_examples=20_000, derandomize=False)
settings.load_profile("netio")


def chosen_loops(wish: str) -> list[str]:
    """Read NETIO_TEST_LOOPS: names with commas between them, all loops if there is none."""
    names = [name.strip() for name in wish.split(",") if name.strip()]
    unknown = [name for name in names if name not in LOOPS]
    if unknown:
        raise pytest.UsageError(f"NETIO_TEST_LOOPS knows {', '.join(LOOPS)}, not {', '.join(unknown)}")
    return names or list(LOOPS)


# The scope allows servers that are started once a module; each test without such a fixture gets its own loop.
@pytest.fixture(scope="module", params=chosen_loops(os.environ.get("NETIO_TEST_LOOPS", "")))
def anyio_backend(request: pytest.FixtureRequest) -> tuple[str, dict[str, Any]]:
    return LOOPS[request.param]


@pytest.hookimpl(wrapper=True)
def pytest_pyfunc_call(pyfuncitem: pytest.Function) -> Generator[None, object, object]:
    """Cancel an async test that hangs, so that it fails and the rest can run."""
    if inspect.iscoroutinefunction(pyfuncitem.obj) and not hasattr(pyfuncitem.obj, "hypothesis"):
        pyfuncitem.obj = _guarded(pyfuncitem.obj, seconds=_time_limit(pyfuncitem) * 0.8)
    return (yield)


def _time_limit(item: pytest.Function) -> float:
    """Return what pytest-timeout allows the test."""
    mark = item.get_closest_marker("timeout")
    if mark and mark.args:
        return float(mark.args[0])
    return float(item.config.getoption("timeout") or item.config.getini("timeout"))


def _guarded(test: Callable[..., Awaitable[None]], *, seconds: float) -> Callable[..., Awaitable[None]]:
    @functools.wraps(test)
    async def guarded(**arguments: Any) -> None:
        place = ""
        with anyio.move_on_after(seconds) as scope:
            try:
                await test(**arguments)
            except anyio.get_cancelled_exc_class():
                place = traceback.format_exc()
                raise
        if scope.cancelled_caught:
            pytest.fail(f"the test hangs; after {seconds:g} s it was cancelled here:\n{place}", pytrace=False)

    return guarded


class _Errors(logging.Handler):
    def __init__(self) -> None:
        super().__init__(logging.ERROR)
        self.messages: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.messages.append(f"{record.name}: {record.getMessage()}")


@pytest.fixture(autouse=True)
def nothing_is_logged_as_error() -> Iterator[None]:
    """netio logs an error only where there is nobody left to raise it to, so each one is a bug."""
    errors = _Errors()
    logger = logging.getLogger("netio")
    logger.addHandler(errors)
    yield
    logger.removeHandler(errors)
    assert errors.messages == []


@pytest.fixture(scope="session", autouse=True)
def nothing_blocks_the_loop() -> Iterator[None]:
    """Let a call of netio that would block the event loop (a file, a lock, a sleep) raise, on asyncio and uvloop.

    The command may: nobody else uses its loop.
    """
    with blockbuster_ctx("netio", excluded_modules=["netio.cli"]):
        yield
