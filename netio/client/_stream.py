"""StreamContext: a response whose body is left to the caller."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from types import TracebackType

from netio.message import Request, Response

OpenStream = Callable[[Request], Awaitable[Response]]


class StreamContext:
    """`async with` around a streamed response: sends the request on entry, closes the response on exit."""

    __slots__ = ("_open_stream", "_request", "_response")

    def __init__(self, request: Request, open_stream: OpenStream) -> None:
        self._request = request
        self._open_stream = open_stream
        self._response: Response | None = None

    async def __aenter__(self) -> Response:
        self._response = await self._open_stream(self._request)
        return self._response

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if self._response is not None:
            await self._response.aclose()
