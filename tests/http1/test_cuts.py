"""A response that is cut, at whichever byte and however, never looks like a success: HAZARDS H1-14 and H1-15.

All cuts of one shape run at the same time, each on a connection of its own; a stall is told by one step of the clock.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import anyio
import anyio.lowlevel
import pytest
from anyio.abc import ByteStream

import netio
from netio.testing import FakeClock
from netio.wire import EngineName
from tests.http1.cuts import ENDS, OK, SECURE_ENDS, SHAPES, End, Outcome, Shape, judge
from tests.http1.sites import Site, open_site, server_context, until, until_quiet
from tests.transport.far_ends import TLSPeer
from tests.transport.kit_tools import reset

pytestmark = pytest.mark.anyio

SILENCE = netio.Timeouts(total=None, pool=None, connect=None, read=1, write=None)
LIMITS = netio.Limits(connections=10_000, idle=10_000)


class Cutter:
    """Answers /CUT with the first CUT bytes of a shape, and then ends as told."""

    def __init__(self, shape: Shape, end: End) -> None:
        self.shape = shape
        self.end: End = end
        self.stalled = 0

    async def serve(self, stream: ByteStream) -> None:
        request = b""
        while b"\r\n\r\n" not in request:
            request += await stream.receive()
        cut = int(request.split(b" ", 2)[1][1:])
        if cut:
            await stream.send(self.shape.whole[:cut])
        await self.finish(stream)

    async def finish(self, stream: ByteStream) -> None:
        if self.end == "fin":
            await stream.aclose()
        elif self.end == "reset":
            # In memory, what was not read by then is lost; the rest of a response is then lost as well.
            for _ in range(10):
                await anyio.lowlevel.checkpoint()
            await reset(stream)
        else:
            self.stalled += 1
            await stream.receive()


async def whole(session: netio.Session, method: str, path: str) -> Outcome:
    try:
        return Outcome((await session.request(method, path)).content)
    except netio.RequestError as error:
        return Outcome(error=error)


async def streamed(session: netio.Session, method: str, path: str) -> Outcome:
    outcome = Outcome()
    try:
        async with session.stream(method, path) as response:
            async for piece in response.aiter_bytes():
                outcome.content += piece
    except netio.RequestError as error:
        outcome.error = error
    return outcome


async def judge_cuts(
    site: Site, cutter: Cutter, cuts: list[int], *, engine: EngineName, read: Callable[..., Any]
) -> None:
    shape = cutter.shape
    end = cutter.end
    outcomes: dict[int, Outcome] = {}
    clock = FakeClock()

    async def one(cut: int) -> None:
        outcomes[cut] = await read(session, shape.method, f"/{cut}")

    async with site.session(clock=clock, engine=engine, timeout=SILENCE, limits=LIMITS, decode=False) as session:
        async with anyio.create_task_group() as group:
            for cut in cuts:
                group.start_soon(one, cut)
            if end == "stall":
                await until(lambda: cutter.stalled == len(cuts))
                stalled = [cut for cut in cuts if not shape.is_complete(cut, end)]
                await until(lambda: received(session) == (len(stalled), sum(stalled)))
                assert not any(outcome.error for outcome in outcomes.values())
                await clock.advance(1.2)
        await until_quiet(session)
        good = sum(outcome.error is None for outcome in outcomes.values())
        assert session.stats().idle <= good
    for cut, outcome in outcomes.items():
        judge(shape, cut, end, outcome)
    assert len(outcomes) == len(cuts)


def received(session: netio.Session) -> tuple[int, int]:
    """How many connections wait for an answer, and how many bytes they have taken in."""
    assert session._pool is not None
    members: list[Any] = list(session._pool._ledger._members)
    waiting = [member.bytes_received for member in members if member._exchange is not None]
    return len(waiting), sum(waiting)


async def judge_shape(shape: Shape, place: str, cuts: Iterable[int], engine: EngineName = "fast") -> None:
    edges = {0, len(shape.head), len(shape.message) - 1, len(shape.whole)}
    cuts = sorted({*cuts, *edges})
    for end in ENDS:
        cutter = Cutter(shape, end)
        async with open_site(place, cutter.serve) as site:
            for turn, read in enumerate((whole, streamed)):
                # A clean end at each cut both ways; the others in turn, which is as telling and takes half the time.
                chosen = cuts if end == "fin" else sorted({*cuts[turn::2], *edges})
                cutter.stalled = 0
                await judge_cuts(site, cutter, chosen, engine=engine, read=read)
            assert site.network is None or site.network.open_connections == 0


@pytest.mark.parametrize("name", SHAPES)
async def test_h1_14_a_response_cut_at_any_byte_never_looks_like_a_success(name: str) -> None:
    await judge_shape(SHAPES[name], "memory", range(len(SHAPES[name].whole)))


@pytest.mark.parametrize("name", SHAPES)
async def test_h1_14_a_response_cut_by_the_reference_engine_never_looks_like_a_success(name: str) -> None:
    await judge_shape(SHAPES[name], "memory", range(3, len(SHAPES[name].whole), 7), "reference")


async def test_h1_14_a_response_cut_on_a_socket_never_looks_like_a_success() -> None:
    for shape in SHAPES.values():
        await judge_shape(shape, "socket", range(5, len(shape.whole), 11))


class SecureCutter(Cutter):
    """The same under TLS, where FIN alone is no clean end."""

    async def finish(self, stream: ByteStream) -> None:
        assert isinstance(stream, TLSPeer)
        if self.end == "fin":
            await stream.send_eof()
        await (stream.aclose() if self.end == "cut" else super().finish(stream))


@pytest.mark.parametrize("name", ["length", "chunked", "to the end", "204", "gzip"])
@pytest.mark.parametrize("place", ["memory", "socket"])
async def test_h1_15_under_tls_only_close_notify_is_a_clean_end(name: str, place: str) -> None:
    shape = SHAPES[name]
    cuts = sorted({0, *range(3, len(shape.head), 9), *range(len(shape.head) - 1, len(shape.whole) + 1)})
    for end in SECURE_ENDS:
        cutter = SecureCutter(shape, end)
        async with open_site(place, cutter.serve, is_secure=True) as site:
            await judge_cuts(site, cutter, cuts, engine="fast", read=whole if end == "cut" else streamed)


async def test_h1_15_a_record_that_is_cut_is_nothing_of_the_body() -> None:
    """Cut in the middle of the ciphertext: what was not sealed has not come."""
    whole_answer, context = OK + b"\r\nhello", server_context()
    cut = 0

    async def serve(stream: ByteStream) -> None:
        below = _Cutting(stream)
        peer = TLSPeer(below, context)
        await peer.handshake()
        await peer.receive()
        below.left = cut
        await peer.send(whole_answer)
        await peer.send_eof()

    size = len(whole_answer) + 22 + 24  # with the frames of the record, and close_notify
    async with open_site("memory", serve, is_secure=True, is_wrapped=False) as site, site.session() as session:
        for cut in range(0, size, 5):
            with pytest.raises(netio.ConnectionLost) as caught:
                await session.get("/")
            assert caught.value.phase == ("head" if cut < len(whole_answer) + 22 else "body")
        cut = 10_000
        assert (await session.get("/")).content == b"hello"


class _Cutting(ByteStream):
    """Passes on so many bytes, and drops the rest."""

    def __init__(self, stream: ByteStream) -> None:
        self._stream = stream
        self.left = 1_000_000

    async def receive(self, max_bytes: int = 65_536) -> bytes:
        return await self._stream.receive(max_bytes)

    async def send(self, item: bytes) -> None:
        kept, self.left = item[: self.left], max(0, self.left - len(item))
        if kept:
            await self._stream.send(kept)

    async def send_eof(self) -> None:
        await self._stream.send_eof()

    async def aclose(self) -> None:
        await self._stream.aclose()
