"""Fakes around a policy: a send that does as it is told, and a clock on which sleeping takes no time."""

from __future__ import annotations

from typing import Any

from anyio.lowlevel import checkpoint

from netio.body import BytesBody, RequestBody
from netio.deadline import NEVER, Clock
from netio.errors import RequestError
from netio.headers import HeaderInput
from netio.message import Request, Response
from netio.observe import Observer
from netio.policy import Retry, RetryBudget
from netio.testing import FakeClock


class Scripted:
    """A send that fails or answers as it is told, and keeps count."""

    def __init__(self, *outcomes: RequestError | int) -> None:
        self.outcomes = list(outcomes)
        self.requests: list[Request] = []
        self.responses: list[Response] = []
        self.bodies: list[bytes] = []

    async def __call__(self, request: Request) -> Response:
        self.requests.append(request)
        self.bodies.append(b"".join([chunk async for chunk in request.body.chunks()]))
        outcome = self.outcomes.pop(0)
        if isinstance(outcome, RequestError):
            raise outcome
        response = Response(outcome, request=request, source=Pending())
        self.responses.append(response)
        return response


class Pending:
    """A response body that nobody reads."""

    async def receive(self) -> bytes:
        raise AssertionError("the body of a response that is not returned is not read")

    async def aclose(self) -> None:
        pass


class Instant(FakeClock):
    """A clock on which sleeping moves the time at once."""

    def __init__(self, start: float = 1_000.0) -> None:
        super().__init__(start)
        self.naps: list[float] = []

    async def sleep(self, seconds: float) -> None:
        self.naps.append(seconds)
        self._now += seconds


class Hasty(FakeClock):
    """A clock on which sleeping takes one checkpoint."""

    async def sleep(self, seconds: float) -> None:
        due = self._now + seconds
        await checkpoint()
        self._now = max(self._now, due)


def make_retry(**options: Any) -> tuple[Retry, Instant]:
    clock = Instant()
    options.setdefault("random", lambda: 1.0)
    options.setdefault("budget", RetryBudget.unlimited())
    return Retry(clock=clock, **options), clock


def make_request(
    method: str = "GET",
    *,
    url: str = "http://example.org/",
    body: RequestBody | None = None,
    deadline: float = NEVER,
    clock: Clock | None = None,
    headers: HeaderInput = (),
    observer: Observer | None = None,
    is_streamed: bool = False,
) -> Request:
    return Request(
        method,
        url,
        body=body or BytesBody(b"body"),
        deadline=deadline,
        clock=clock or Instant(),
        headers=headers,
        observer=observer,
        is_streamed=is_streamed,
    )


async def attempts_for(request: Request, *outcomes: RequestError | int, **options: Any) -> int:
    retry, _ = make_retry(**options)
    send = Scripted(*outcomes)
    try:
        await retry(request, send)
    except RequestError:
        pass
    return len(send.requests)
