"""Chaos: faults by probability and by script."""

from __future__ import annotations

from typing import Any

import pytest

from netio.errors import ConnectError, IncompleteBody, ReadTimeout, TotalTimeout
from netio.message import Request, Response
from netio.testing import Answer, Chaos, Cut, Failure, FakeClock, Latency, Step

pytestmark = pytest.mark.anyio


class Instant(FakeClock):
    async def sleep(self, seconds: float) -> None:
        self._now += seconds


class Pieces:
    """The body of a response, in pieces."""

    def __init__(self, *pieces: bytes) -> None:
        self.pieces = list(pieces)
        self.is_closed = False

    async def receive(self) -> bytes:
        return self.pieces.pop(0) if self.pieces else b""

    async def aclose(self) -> None:
        self.is_closed = True


def make_request(**options: Any) -> Request:
    return Request("GET", "http://example.org/", **({"clock": Instant()} | options))


async def answer(request: Request) -> Response:
    return Response(200, request=request, content=b"0123456789")


async def outcome(chaos: Chaos, **options: Any) -> object:
    try:
        return (await chaos(make_request(**options), answer)).status_code
    except (ConnectError, ReadTimeout, IncompleteBody, TotalTimeout) as error:
        return type(error)


async def test_script_gives_each_request_its_own_fault() -> None:
    script: list[Step] = [None, Answer(503), Failure(ConnectError), Cut(3), Cut(10), [Latency(1.0), Answer(429)]]
    chaos = Chaos(script=script)
    outcomes = [await outcome(chaos) for _ in range(8)]
    assert outcomes == [200, 503, ConnectError, IncompleteBody, 200, 429, 200, 200]
    assert (chaos.requests, chaos.faults) == (8, 6)


async def test_faults_come_by_their_probability_and_the_seed_repeats_them() -> None:
    def make(seed: int) -> Chaos:
        return Chaos(Failure(ReadTimeout, probability=0.2), Answer(503, probability=0.5), seed=seed)

    runs = []
    for seed in (7, 7, 8):
        chaos = make(seed)
        runs.append([await outcome(chaos) for _ in range(1_000)])
    assert runs[0] == runs[1] != runs[2]
    assert 150 < runs[0].count(ReadTimeout) < 250
    assert 350 < runs[0].count(503) < 450  # half of what is left
    assert await outcome(Chaos(Answer(503, probability=0.0))) == 200


async def test_failure_says_whether_it_was_sent() -> None:
    for sent in (False, True):
        request = make_request()
        with pytest.raises(ReadTimeout) as caught:
            await Chaos(Failure(ReadTimeout, sent=sent))(request, answer)
        assert (caught.value.sent, caught.value.request) == (sent, request)


async def test_answer_has_the_fields_that_it_is_given() -> None:
    response = await Chaos(Answer(429, (("Retry-After", "5"),)))(make_request(), answer)
    assert response.headers["retry-after"] == "5"


async def test_latency_passes_on_the_clock_of_the_request() -> None:
    clock = Instant()
    begun = clock.now()
    await Chaos(Latency(2.0))(make_request(clock=clock), answer)
    assert clock.now() == begun + 2
    await Chaos(Latency(2.0, spread=1.0), seed=1)(make_request(clock=clock), answer)
    assert begun + 4 < clock.now() < begun + 5


async def test_latency_ends_at_the_deadline() -> None:
    clock = Instant()
    begun = clock.now()
    assert await outcome(Chaos(Latency(60.0)), clock=clock, deadline=begun + 3) is TotalTimeout
    assert clock.now() == begun + 3


@pytest.mark.parametrize(
    ("after", "seen", "is_cut"),
    [
        (0, b"", True),
        (3, b"012", True),
        (5, b"01234", True),
        (9, b"012345678", True),
        (10, b"0123456789", False),
        (99, b"0123456789", False),
    ],
)
async def test_streamed_body_is_cut_where_it_is_told(after: int, seen: bytes, is_cut: bool) -> None:
    pieces = Pieces(b"01234", b"56789")

    async def stream(request: Request) -> Response:
        return Response(200, request=request, source=pieces)

    response = await Chaos(Cut(after))(make_request(is_streamed=True), stream)
    got = b""
    try:
        async for chunk in response.aiter_raw():
            got += chunk
    except IncompleteBody:
        assert is_cut
    else:
        assert not is_cut
    assert (got, pieces.is_closed, response.is_closed) == (seen, True, True)


@pytest.mark.parametrize("probability", [-0.1, 1.1, float("nan")])
def test_probability_is_checked(probability: float) -> None:
    with pytest.raises(ValueError, match="probability"):
        Chaos(Cut(0, probability=probability))
