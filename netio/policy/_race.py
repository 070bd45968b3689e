"""A race of two attempts: the first one, in the caller's task, and the hedge that was sent after it.

    both fly   the first ends well      -> the hedge is cancelled
               the hedge ends well      -> the first is interrupted
               one ends badly           -> the other one may still do better
    one flies  it ends                  -> the better of the two outcomes; of equals the one that came first
    cancelled from outside              -> the hedge is cancelled too

The caller leaves when the hedge has ended, and what is not returned is closed. Nobody waits for a hedge that is
cancelled before it has begun: it never will.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from contextvars import Context
from typing import Any

import anyio
from anyio.lowlevel import checkpoint_if_cancelled

from netio.errors import RequestError
from netio.message import Response
from netio.transport import INTERRUPTED, RunningTask, current_runtime

_NOTHING = object()
_GOOD = 2


class Race:
    """Sends the hedge. The first attempt is under way in `task`, which had been cancelled `before` times when it began.

    When that has ended, by whatever, `settle` must be called, without an await in between.
    """

    def __init__(self, task: RunningTask, before: int, attempt: Callable[[], Awaitable[Any]], context: Context) -> None:
        self._task = task
        self._before = before
        self._attempt = attempt
        self._outcome: Any = _NOTHING
        self._is_first_under_way = True
        self._has_interrupted = False
        self._is_abandoned = False
        self._has_begun = False
        self._ended = anyio.Event()
        # In the context of the caller, not in that of the timer which calls here.
        self._hedge = context.run(current_runtime().spawn, self._fly)

    async def _fly(self) -> None:
        if self._is_abandoned:
            return
        self._has_begun = True
        outcome: Any = None
        try:
            try:
                outcome = await self._attempt()
            except Exception as error:
                outcome = error
            except BaseException as error:  # the caller's affair, not that of a background task
                if self._is_abandoned or isinstance(error, anyio.get_cancelled_exc_class()):
                    raise
                outcome = error
            if self._is_abandoned:
                await _discard(outcome)
                return
            self._outcome = outcome
            if self._is_first_under_way and _rank(outcome) == _GOOD:
                self._has_interrupted = True
                self._task.cancel()
        finally:
            del outcome  # an error holds this frame
            self._ended.set()

    async def settle(self, first: Any) -> Any:
        """Return the better outcome, or raise it; `first` is what the first attempt returned or raised."""
        self._is_first_under_way = False
        was_us = self._has_interrupted and self._task.uncancel() <= self._before
        try:
            if was_us and isinstance(first, INTERRUPTED):
                return self._outcome_of_hedge()
            if isinstance(first, GeneratorExit):  # in which nothing can be awaited
                self._abandon()
                raise first
            return await self._better_of(first)
        finally:
            self._outcome = _NOTHING
            del first  # an error that is raised holds this frame

    def _outcome_of_hedge(self) -> Any:
        outcome = self._outcome
        if not isinstance(outcome, BaseException):
            return outcome
        try:
            raise outcome
        finally:
            del outcome

    async def _better_of(self, first: Any) -> Any:
        came_later = first if self._outcome is not _NOTHING else None
        better = worse = _NOTHING
        try:
            await self._end(first)
            better, worse = first, self._outcome
            if _rank(worse) > _rank(better) or (_rank(worse) == _rank(better) and better is came_later):
                better, worse = worse, better
            await _discard(worse)
            if not isinstance(better, BaseException):
                return better
            if isinstance(better, RequestError) and isinstance(worse, RequestError) and worse.sent:
                better.sent = True  # if not this attempt, then the other one
            raise better
        except BaseException:
            with anyio.CancelScope(shield=True):
                await _discard(first)
                await _discard(self._outcome)
            raise
        finally:
            del first, came_later, better, worse

    async def _end(self, first: Any) -> None:
        """Wait for the hedge if it may do better than the first attempt, end it if not."""
        try:
            if isinstance(first, BaseException) and not isinstance(first, Exception):
                raise first
            if _rank(first) == _GOOD:
                return await self._cancel()
            await self._ended.wait()
        except BaseException as error:
            await self._cancel()
            if self._has_interrupted and isinstance(error, INTERRUPTED):
                # Of two cancellations in one turn of asyncio one is seen. If that is ours, and the other came from a
                # scope, the scope would not know its own: it has to cancel again.
                await checkpoint_if_cancelled()
            raise
        finally:
            del first

    def _abandon(self) -> None:
        self._is_abandoned = True
        self._hedge.cancel()

    async def _cancel(self) -> None:
        self._abandon()
        if self._has_begun:
            with anyio.CancelScope(shield=True):
                await self._ended.wait()


def _rank(outcome: object) -> int:
    """Say how good an outcome is: even a bad answer says more than an error."""
    if outcome is _NOTHING:
        return -1
    if isinstance(outcome, Exception):
        return 0
    is_bad = isinstance(outcome, Response) and (outcome.status_code >= 500 or outcome.status_code == 429)
    return 1 if is_bad else _GOOD


async def _discard(outcome: object) -> None:
    if isinstance(outcome, Response):
        await outcome.aclose()
