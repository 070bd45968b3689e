"""Chaos: a policy that makes trouble, so that others can be seen to cope with it.

    chaos = Chaos(Latency(0.5, probability=0.1), Failure(netio.ConnectError, probability=0.05), seed=7)
    chaos = Chaos(script=[None, Answer(503), Latency(2.0), Cut(100)])

By probability each fault is drawn anew for each request, in the order in which they stand; several may meet one
request. By script each request has its own: none, one, or several in a list, and none when the script is over. The
last in the list of policies is where a fault looks as if the network had made it.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from random import Random

from netio.errors import IncompleteBody, RequestError, TotalTimeout
from netio.message import Request, Response, Send
from netio.reading import BodySource


@dataclass(frozen=True, slots=True)
class Latency:
    """Wait before the request is sent: `seconds`, and up to `spread` more."""

    seconds: float
    spread: float = 0.0
    probability: float = 1.0


@dataclass(frozen=True, slots=True)
class Failure:
    """Fail without sending. With `sent` the error says that the server may have processed it."""

    error: type[RequestError]
    sent: bool = False
    probability: float = 1.0


@dataclass(frozen=True, slots=True)
class Answer:
    """Answer with a status, without sending."""

    status: int
    headers: tuple[tuple[str, str], ...] = ()
    probability: float = 1.0


@dataclass(frozen=True, slots=True)
class Cut:
    """Send, but break off the response after so many bytes of its body."""

    after: int = 0
    probability: float = 1.0


Fault = Latency | Failure | Answer | Cut
Step = Fault | Sequence[Fault] | None


class Chaos:
    """Do to requests what a bad day would; the same seed does the same.

    Waiting stops at the deadline of the request, where a real connection would give up too. `faults` counts those that
    happened.
    """

    def __init__(self, *faults: Fault, script: Iterable[Step] = (), seed: int | None = None) -> None:
        for fault in faults:
            if not 0 <= fault.probability <= 1:
                raise ValueError(f"a probability is 0 to 1, not {fault.probability!r}")
        self._always = faults
        self._script = iter(script)
        self._random = Random(seed)
        self.requests = 0
        self.faults = 0

    async def __call__(self, request: Request, send: Send) -> Response:
        self.requests += 1
        cut: Cut | None = None
        for fault in self._faults():
            self.faults += 1
            if isinstance(fault, Latency):
                await self._wait(fault, request)
            elif isinstance(fault, Failure):
                raise fault.error("chaos", request=request, sent=fault.sent)
            elif isinstance(fault, Answer):
                return Response(fault.status, request=request, headers=fault.headers)
            else:
                cut = fault
        response = await send(request)
        return response if cut is None else await _cut(response, cut.after)

    def _faults(self) -> list[Fault]:
        step = next(self._script, None)
        planned: list[Fault] = [] if step is None else list(step) if isinstance(step, Sequence) else [step]
        return planned + [fault for fault in self._always if self._random.random() < fault.probability]

    async def _wait(self, fault: Latency, request: Request) -> None:
        seconds = fault.seconds + fault.spread * self._random.random()
        left = request.deadline - request.clock.now()
        await request.clock.sleep(max(min(seconds, left), 0.0))
        if seconds >= left:
            raise _late(request)


def _late(request: Request) -> RequestError:
    return TotalTimeout("the deadline of the request passed", request=request, phase="head", sent=True)


async def _cut(response: Response, after: int) -> Response:
    """Return the response with a body that breaks off; raise at once if the body was read already."""
    request = response.request
    if not request.is_streamed:
        size = len(await response.aread())
        if size <= after:
            return response
        raise IncompleteBody(f"chaos: cut after {after} of {size} bytes", request=request, sent=True)
    return Response(
        response.status_code,
        request=request,
        headers=response.headers,
        source=_CutSource(response, after),
        reason_phrase=response.reason_phrase,
        http_version=response.http_version,
    )


class _CutSource(BodySource):
    """The body of another response, up to the cut."""

    def __init__(self, response: Response, left: int) -> None:
        self._response = response
        self._chunks = response.aiter_raw()
        self._left = left
        self._is_cut = False

    async def receive(self) -> bytes:
        chunk = b"" if self._is_cut else await anext(self._chunks, b"")
        kept = chunk[: self._left]
        self._left -= len(kept)
        if len(kept) < len(chunk) and kept:
            self._is_cut = True  # which is said the next time
        elif self._is_cut or (chunk and not kept):
            await self.aclose()
            raise IncompleteBody("chaos: the body is cut", request=self._response.request, sent=True)
        return kept

    async def aclose(self) -> None:
        await self._response.aclose()
