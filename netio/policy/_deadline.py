"""Deadline and AttemptTimeout: less time than the request was given.

Neither opens a cancel scope: they pass on a copy of the request with an earlier deadline, and whatever waits further
inside (the queue, the dial, the connection, a back-off) obeys it. So they are of no use around other things than
requests, for which there are `asyncio.timeout` and `anyio.fail_after`.

The server can be told how much time is left, so that it does not work on what nobody waits for any more.
"""

from __future__ import annotations

from netio.deadline import NEVER
from netio.errors import AttemptTimedOut, TotalTimeout
from netio.message import Request, Response, Send
from netio.policy._check import positive


class Deadline:
    """Give a request at most `seconds`, from here on and with everything inside; it fails with `TotalTimeout`.

    With `header` the time that is left is sent in a field of this name: in whole milliseconds, as Envoy's
    X-Envoy-Expected-Rq-Timeout-Ms has it, or for "grpc-timeout" in gRPC's form ("250m"). Who is told too late does the
    work in vain, so it belongs inside of `Retry`.
    """

    def __init__(self, seconds: float, *, header: str | None = None) -> None:
        self._seconds = positive(f"{type(self).__name__}.seconds", seconds)
        self._header = header

    async def around(self, request: Request, send: Send) -> Response:
        now = request.clock.now()
        deadline = now + self._seconds
        if deadline < request.deadline:
            request = request.with_deadline(deadline)
        return await send(request if self._header is None else _telling(request, self._header, now))

    async def __call__(self, request: Request, send: Send) -> Response:
        return await self.around(request, send)


class AttemptTimeout(Deadline):
    """Give each attempt at most `seconds`; one that takes longer fails with `AttemptTimedOut`, which `Retry` repeats.

    It belongs inside of `Retry`. If the deadline of the whole request comes first, it is `TotalTimeout` as without. Of
    a streamed response it covers the time until the head. `header`: as for `Deadline`.
    """

    async def around(self, request: Request, send: Send) -> Response:
        now = request.clock.now()
        deadline = now + self._seconds
        if deadline >= request.deadline:
            return await send(request if self._header is None else _telling(request, self._header, now))
        attempt = request.with_deadline(deadline)
        try:
            return await send(attempt if self._header is None else _telling(attempt, self._header, now))
        except TotalTimeout as error:
            late = AttemptTimedOut(f"the attempt took longer than {self._seconds:g} s")
            raise late.during(request, error.phase, sent=error.sent) from error


def _telling(request: Request, header: str, now: float) -> Request:
    """Return the request with a field that tells the server how much time is left."""
    if request.deadline == NEVER:
        return request
    milliseconds = max(int((request.deadline - now) * 1_000), 0)
    unit = "m" if header.lower() == "grpc-timeout" else ""
    telling = request.replace()
    telling.headers[header] = f"{min(milliseconds, 99_999_999)}{unit}"  # gRPC: at most eight digits
    return telling
