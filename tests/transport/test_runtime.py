"""What netio needs of an event loop: waiters, background tasks, and calls from elsewhere."""

from __future__ import annotations

import asyncio
import gc
import logging
import threading
from collections.abc import Callable, Iterator
from contextvars import ContextVar
from typing import Any

import anyio
import anyio.from_thread
import anyio.to_thread
import pytest
from anyio.lowlevel import checkpoint

from netio.testing import ways_to_cancel
from netio.transport import Runtime, Waiter, current_runtime

pytestmark = pytest.mark.anyio


async def turn() -> None:
    for _ in range(10):
        await checkpoint()


# ------------------------------------------------------------------ waiters


class Parked:
    """A task of its own, parked."""

    def __init__(self, runtime: Runtime) -> None:
        self.waiter = runtime.waiter()
        self.scope = anyio.CancelScope()
        self.end = ""

    async def run(self) -> None:
        with self.scope:
            await self.waiter.park()
            self.end = "woken"
        self.end = self.end or "cancelled"


async def test_a_parked_task_sleeps_until_it_is_woken(runtime: Runtime) -> None:
    parked = Parked(runtime)
    async with anyio.create_task_group() as group:
        group.start_soon(parked.run)
        await turn()
        assert (parked.end, parked.waiter.is_awake) == ("", False)
        parked.waiter.wake()
        assert (parked.end, parked.waiter.is_awake) == ("", True)  # wake runs nothing of the task
    assert parked.end == "woken"


async def test_a_wake_before_the_sleep_counts(runtime: Runtime) -> None:
    waiter = runtime.waiter()
    waiter.wake()
    with anyio.fail_after(1):
        await waiter.park()
    assert waiter.is_awake is True


async def test_a_task_may_be_woken_many_times(runtime: Runtime) -> None:
    parked = Parked(runtime)
    async with anyio.create_task_group() as group:
        group.start_soon(parked.run)
        await turn()
        parked.waiter.wake()
        parked.waiter.wake()
        await turn()
        parked.waiter.wake()
    assert parked.end == "woken"


async def test_a_wake_between_cancellation_and_its_delivery_is_harmless(runtime: Runtime) -> None:
    """By then trio has called the abort function, and asyncio cancelled the future: nothing is rescheduled twice."""
    parked = Parked(runtime)
    async with anyio.create_task_group() as group:
        group.start_soon(parked.run)
        await turn()
        parked.scope.cancel()
        parked.waiter.wake()
        await turn()
        parked.waiter.wake()
    assert parked.end == "cancelled"
    assert parked.waiter.is_awake is True


async def test_a_cancellation_between_wake_and_run_shows_that_it_was_woken(runtime: Runtime) -> None:
    """Whoever gave something with the wake finds out by its own books; the waiter only says that it was woken."""
    parked = Parked(runtime)
    async with anyio.create_task_group() as group:
        group.start_soon(parked.run)
        await turn()
        parked.waiter.wake()
        parked.scope.cancel()
    assert parked.end in ("woken", "cancelled")
    assert parked.waiter.is_awake is True


async def test_a_task_that_is_cancelled_already_does_not_sleep(runtime: Runtime) -> None:
    waiter = runtime.waiter()
    with anyio.CancelScope() as scope:
        scope.cancel()
        await waiter.park()
    assert scope.cancelled_caught is True
    waiter.wake()


async def test_native_cancellation_ends_a_sleep(runtime: Runtime) -> None:
    if "task" not in ways_to_cancel():
        return  # trio has scopes only
    parked = Parked(runtime)
    task = asyncio.create_task(parked.run())
    await turn()
    task.cancel()
    parked.waiter.wake()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert parked.end == ""


# ------------------------------------------------------------------ background tasks


async def test_a_background_task_runs_and_is_counted(runtime: Runtime) -> None:
    log: list[object] = []

    async def work(*arguments: object) -> None:
        log.append(arguments)
        await turn()
        log.append("end")

    runtime.spawn(work, 1, "two")
    assert (log, runtime.tasks) == ([], 1)
    await runtime.finish()
    assert (log, runtime.tasks) == ([(1, "two"), "end"], 0)


async def test_a_task_that_is_cancelled_at_once_still_begins_and_cleans_up(runtime: Runtime) -> None:
    log: list[str] = []

    async def work() -> None:
        log.append("begun")
        try:
            await checkpoint()
            log.append("went on")
        finally:
            log.append("cleaned up")

    runtime.spawn(work).cancel()
    with anyio.fail_after(1):
        await runtime.finish()
    assert log == ["begun", "cleaned up"]


async def test_spawn_runs_nothing_before_it_returns_whatever_the_task_factory(runtime: Runtime) -> None:
    """As asyncio.eager_task_factory would."""
    log: list[str] = []

    async def work() -> None:
        log.append("work")

    def eager(loop: Any, coroutine: Any, **options: Any) -> Any:
        with pytest.raises(StopIteration):
            coroutine.send(None)
        return asyncio.Task(nothing(), loop=loop)

    async def nothing() -> None: ...

    if "task" in ways_to_cancel():
        asyncio.get_running_loop().set_task_factory(eager)
    try:
        runtime.spawn(work)
        assert log == []
    finally:
        if "task" in ways_to_cancel():
            asyncio.get_running_loop().set_task_factory(None)
    await runtime.finish()
    assert log == ["work"]


async def test_a_task_runs_in_a_copy_of_the_spawning_context(runtime: Runtime) -> None:
    variable: ContextVar[str] = ContextVar("variable", default="unset")
    seen: list[str] = []

    async def work() -> None:
        seen.append(variable.get())
        variable.set("inside")

    variable.set("outside")
    runtime.spawn(work)
    variable.set("later")
    await runtime.finish()
    assert (seen, variable.get()) == (["outside"], "later")


async def test_a_task_outlives_who_spawned_it(runtime: Runtime) -> None:
    log: list[str] = []

    async def work() -> None:
        await turn()
        log.append("done")

    with anyio.CancelScope() as scope:
        async with anyio.create_task_group() as group:
            group.start_soon(sync_in_task, runtime.spawn, work)
            await checkpoint()
            await checkpoint()
            scope.cancel()
    gc.collect()  # the loop alone holds tasks weakly
    assert runtime.tasks == 1
    await runtime.finish()
    assert log == ["done"]


async def sync_in_task(function: Callable[..., object], *arguments: object) -> None:
    function(*arguments)


async def test_aclose_ends_all_tasks_also_those_spawned_while_they_end(runtime: Runtime) -> None:
    log: list[str] = []

    async def farewell() -> None:
        await checkpoint()
        log.append("farewell")

    async def work() -> None:
        try:
            await anyio.sleep_forever()
        finally:
            log.append("end")
            runtime.spawn(farewell)

    for _ in range(3):
        runtime.spawn(work)
    await turn()
    with anyio.fail_after(1):
        await runtime.aclose()
    assert sorted(log) == ["end"] * 3 + ["farewell"] * 3
    assert runtime.tasks == 0
    await runtime.aclose()


async def test_aclose_is_bounded_and_goes_on_when_cancelled(runtime: Runtime, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("netio.transport._runtime.CLOSE_GRACE", 0.05)
    release = anyio.Event()

    async def stubborn() -> None:
        with anyio.CancelScope(shield=True):
            await release.wait()

    runtime.spawn(stubborn)
    await turn()
    with anyio.fail_after(5):
        with anyio.CancelScope() as scope:
            scope.cancel()
            await runtime.aclose()
    assert runtime.tasks == 1
    release.set()
    await runtime.finish()


async def test_many_may_wait_for_the_end(runtime: Runtime) -> None:
    release = anyio.Event()
    runtime.spawn(release.wait)
    with anyio.fail_after(1):
        async with anyio.create_task_group() as group:
            for _ in range(3):
                group.start_soon(runtime.finish)
            with anyio.move_on_after(0):
                await runtime.finish()
            await turn()
            release.set()
    assert runtime.tasks == 0


class Records(logging.Handler):
    def __init__(self) -> None:
        super().__init__()
        self.records: list[logging.LogRecord] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.records.append(record)


@pytest.fixture
def expected_errors(nothing_is_logged_as_error: None) -> Iterator[list[logging.LogRecord]]:
    """Take netio's log away from the check that nothing is logged as an error, since here something must be."""
    logger = logging.getLogger("netio")
    before, records = list(logger.handlers), Records()
    logger.handlers[:] = [records]
    yield records.records
    logger.handlers[:] = before


async def test_an_exception_in_a_task_is_logged_and_hurts_nobody(
    runtime: Runtime, expected_errors: list[logging.LogRecord]
) -> None:
    async def fail() -> None:
        await checkpoint()
        raise ZeroDivisionError("by zero")

    async def work() -> None:
        await turn()
        ends.append("work")

    ends: list[str] = []
    runtime.spawn(fail)
    runtime.spawn(work)
    with anyio.fail_after(1):
        await runtime.finish()
    assert ends == ["work"]
    (record,) = expected_errors
    assert (record.name, record.levelno) == ("netio", logging.ERROR)
    assert "fail failed" in record.getMessage()
    assert record.exc_info is not None
    assert isinstance(record.exc_info[1], ZeroDivisionError)


# ------------------------------------------------------------------ the loop


async def test_soon_calls_from_another_thread(runtime: Runtime) -> None:
    waiter = runtime.waiter()
    threads: list[int] = []

    def called() -> None:
        threads.append(threading.get_ident())
        waiter.wake()

    thread = threading.Thread(target=runtime.soon, args=(called,))
    thread.start()
    with anyio.fail_after(5):
        await waiter.park()
    thread.join()
    assert threads == [threading.get_ident()]


async def test_soon_calls_from_the_loop_itself_but_not_at_once(runtime: Runtime) -> None:
    calls: list[int] = []
    for number in range(3):
        runtime.soon(lambda number=number: calls.append(number))  # type: ignore[misc]
    assert calls == []
    with anyio.fail_after(1):
        while len(calls) < 3:
            await checkpoint()
    assert calls == [0, 1, 2]


def run_elsewhere(function: Callable[[], Any], backend: tuple[str, dict[str, Any]]) -> Any:
    """Run a function on another event loop, in another thread; return what it returns and that loop's runtime."""

    async def main() -> tuple[Any, Runtime]:
        return function(), current_runtime()

    results: list[Any] = []
    thread = threading.Thread(
        target=lambda: results.append(anyio.run(main, backend=backend[0], backend_options=backend[1]))
    )
    thread.start()
    thread.join()
    return results[0]


async def test_pool_07_a_runtime_knows_its_own_loop(
    runtime: Runtime, anyio_backend: tuple[str, dict[str, Any]]
) -> None:
    assert runtime.is_current() is True
    in_a_thread: list[bool] = []
    thread = threading.Thread(target=lambda: in_a_thread.append(runtime.is_current()))
    thread.start()
    thread.join()
    assert in_a_thread == [False]
    for other in (anyio_backend, ("asyncio", {})):
        assert run_elsewhere(runtime.is_current, other)[0] is False


async def test_soon_does_nothing_on_a_dead_loop(anyio_backend: tuple[str, dict[str, Any]]) -> None:
    calls: list[str] = []
    _, dead = run_elsewhere(lambda: None, anyio_backend)
    dead.soon(lambda: calls.append("called"))
    assert (calls, dead.is_current()) == ([], False)


async def test_each_runtime_makes_waiters_of_its_own_loop(runtime: Runtime) -> None:
    assert isinstance(runtime.waiter(), Waiter)
    assert type(runtime) is type(current_runtime())
    assert runtime.waiter() is not runtime.waiter()
