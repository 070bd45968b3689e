"""What lets a policy stand around anything awaitable: `await policy.call(function, ...)` and `@policy`."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Awaitable, Callable, Coroutine
from functools import wraps
from types import CoroutineType
from typing import Any, ParamSpec, TypeVar, overload

from netio.message import Request, Response, Send

P = ParamSpec("P")
T = TypeVar("T")


class AroundAnything(ABC):
    """The base of policies that are of use without a session.

    `around` is the policy proper; `compose` takes it from here, which saves each request the call of `__call__`.
    """

    __slots__ = ()

    @abstractmethod
    def around(self, request: Request, send: Send) -> Coroutine[Any, Any, Response]:
        """Do what the policy does around one request."""

    @abstractmethod
    def call(self, function: Callable[P, Awaitable[T]], *args: P.args, **kwargs: P.kwargs) -> Coroutine[Any, Any, T]:
        """Do what the policy does around one call of a function."""

    @overload
    def __call__(self, request: Request, send: Send) -> CoroutineType[Any, Any, Response]: ...

    @overload
    def __call__(self, request: Callable[P, Awaitable[T]]) -> Callable[P, Coroutine[Any, Any, T]]: ...

    def __call__(self, request: Any, send: Send | None = None) -> Any:
        """Be a policy around a request, or with one argument a decorator: `@policy`."""
        if send is not None:
            return self.around(request, send)
        return self._decorate(request)

    def _decorate(self, function: Callable[P, Awaitable[T]]) -> Callable[P, Coroutine[Any, Any, T]]:
        if not callable(function):
            raise TypeError(f"{type(self).__name__} decorates an async function, not {type(function).__name__}")

        @wraps(function)
        async def decorated(*args: P.args, **kwargs: P.kwargs) -> T:
            return await self.call(function, *args, **kwargs)

        return decorated
