"""What the tests of name resolution share: a resolver that does as it is told, and names over it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Coroutine
from typing import Any, TypeVar

import anyio
from anyio.lowlevel import checkpoint

from netio.errors import ResolveError
from netio.transport import Answer

T = TypeVar("T")

ONE = Answer(("192.0.2.1",), 60.0)
OTHER = Answer(("192.0.2.2", "2001:db8::2"), 60.0)
MISSING = ResolveError("cannot resolve it: there is no such name", kind="missing")
FAILED = ResolveError("cannot resolve it: refused", kind="failed")


class ToldResolver:
    """Answers what `answers` says at that moment; while it is held, nothing."""

    def __init__(self, **answers: Answer | Exception) -> None:
        self.answers: dict[str, Answer | Exception] = dict(answers)
        self.asked: Counter[str] = Counter()
        self.under_way = 0
        self.is_closed = False
        self._held: anyio.Event | None = None

    def hold(self) -> None:
        self._held = anyio.Event()

    def let_go(self) -> None:
        assert self._held is not None
        self._held.set()
        self._held = None

    async def resolve(self, host: str) -> Answer:
        self.asked[host] += 1
        self.under_way += 1
        try:
            await checkpoint()
            if self._held is not None:
                await self._held.wait()
        finally:
            self.under_way -= 1
        answer = self.answers[host]
        if isinstance(answer, Exception):
            raise answer
        return answer

    async def aclose(self) -> None:
        self.is_closed = True
        await checkpoint()


class EarlyTold(ToldResolver):
    """Tells `first` before it answers."""

    first = Answer(("192.0.2.1",), 60.0, is_complete=False)

    async def resolve_early(self, host: str, early: Callable[[Answer], None]) -> Answer:
        await checkpoint()
        early(self.first)
        return await self.resolve(host)


def at_once(coroutine: Coroutine[Any, Any, T]) -> T:
    """Return what a coroutine returns without having waited; fail if it waits."""
    try:
        coroutine.send(None)
    except StopIteration as end:
        result: T = end.value
        return result
    coroutine.close()
    raise AssertionError("it waits")
