"""Many requests, some at a time, answers as they come.

An async generator with a task group inside would hold a cancel scope across its yields ("exit cancel scope in a
different task", vllm#25697). So a batch is an object: its tasks belong to the session's event loop, not to whoever
iterates, and it may be iterated from any task, left early, and closed anywhere.

    feeder    one background task: takes the next request when there is a place, starts a worker for it
    worker    one background task a request: sends it, files the outcome
    place     is taken by a request and given back when its outcome is fetched, so that nothing piles up
"""

from __future__ import annotations

from collections import deque
from collections.abc import AsyncIterable, AsyncIterator, Awaitable, Callable, Iterable
from contextlib import aclosing
from dataclasses import dataclass
from types import TracebackType
from typing import Self

from netio.body import each
from netio.errors import NetioError, SessionClosed
from netio.message import Request, Response
from netio.transport import Background, Runtime, Waiter, wake

Requests = Iterable[Request | str] | AsyncIterable[Request | str]


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of one request of a batch: `index` is its place in the input."""

    index: int
    request: Request | str
    response: Response | None = None
    error: Exception | None = None

    def unwrap(self) -> Response:
        """Return the response, or raise the error."""
        if self.response is not None:
            return self.response
        assert self.error is not None
        raise self.error


class Batch:
    """An async iterator of `Outcome`s. Leave it early inside `async with`, or call `aclose`."""

    def __init__(
        self,
        requests: Requests,
        send: Callable[[Request | str], Awaitable[Response]],
        *,
        concurrency: int,
        runtime: Callable[[], Runtime],
    ) -> None:
        if concurrency < 1:
            raise ValueError(f"concurrency must be at least 1, not {concurrency!r}")
        self._requests = requests
        self._send = send
        self._places = concurrency
        self._runtime = runtime
        self._outcomes: deque[Outcome] = deque()
        self._tasks: set[Background] = set()
        self._running = 0
        self._is_started = False
        self._is_fed = False
        self._is_closed = False
        self._failure: Exception | None = None
        self._feeder: Waiter | None = None
        self._readers: list[Waiter] = []

    def __aiter__(self) -> AsyncIterator[Outcome]:
        return self

    async def __anext__(self) -> Outcome:
        if not self._is_started:
            self._spawn(self._feed)
            self._is_started = True
        while not self._outcomes:
            if self._is_closed or (self._is_fed and not self._running):
                if self._failure is not None:
                    failure, self._failure = self._failure, None
                    raise failure
                raise StopAsyncIteration
            waiter = self._runtime().waiter()
            self._readers.append(waiter)
            try:
                await waiter.park()
            finally:
                self._readers.remove(waiter)
        self._places += 1
        wake(self._feeder)
        return self._outcomes.popleft()

    async def _feed(self) -> None:
        try:
            async with aclosing(each(self._requests)) as requests:
                await self._start_workers(requests)
        except Exception as error:  # the user's own, out of the requests; raised when the other outcomes are fetched
            self._failure = error
        except BaseException:
            if not self._is_closed:
                self._failure = SessionClosed("the session was closed before the batch was through")
            raise
        finally:
            self._is_fed = True
            self._wake_readers()

    async def _start_workers(self, requests: AsyncIterable[Request | str]) -> None:
        index = 0
        async for request in requests:
            while not self._places:
                self._feeder = self._runtime().waiter()
                await self._feeder.park()
            if self._is_closed:  # this task was woken, or had not begun, when it was cancelled
                return
            self._places -= 1
            self._running += 1
            self._spawn(self._work, index, request)
            index += 1

    async def _work(self, index: int, request: Request | str) -> None:
        response: Response | None = None
        error: Exception | None = None
        try:
            response = await self._send(request)
        except Exception as raised:
            error = raised
        except BaseException as raised:  # the session was closed; or on asyncio, awaiting a task that was cancelled
            error = NetioError("the request was cancelled")
            error.__cause__ = raised
            raise
        finally:
            self._running -= 1
            if not self._is_closed:
                self._outcomes.append(Outcome(index, request, response, error))
            self._wake_readers()

    def _wake_readers(self) -> None:
        for waiter in self._readers:
            waiter.wake()

    def _spawn(self, function: Callable[..., Awaitable[None]], *arguments: object) -> None:
        async def run() -> None:
            try:
                await function(*arguments)
            finally:
                self._tasks.discard(task)

        task = self._runtime().spawn(run)
        self._tasks.add(task)

    def _cancel(self) -> None:
        for task in list(self._tasks):
            task.cancel()

    async def aclose(self) -> None:
        """Cancel the requests under way, and drop the outcomes that were not fetched."""
        self._is_closed = self._is_started = True
        self._cancel()
        self._outcomes.clear()
        self._failure = None
        self._wake_readers()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self.aclose()
