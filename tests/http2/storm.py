"""A server that leaves every few requests, and refuses some, as a busy one behind a load balancer does."""

from __future__ import annotations

from collections import Counter
from random import Random

import anyio

import netio
from tests.http2.raw import (
    LAST_ID,
    PING,
    RawPeer,
    RawSide,
    answer,
    code_of,
    frame,
    goaway,
    reset,
)

REFUSED = code_of("REFUSED_STREAM")


class StormPeer(RawPeer):
    """Says GOAWAY after every so many requests of a connection: at once, or gracefully, in two steps.

    Refuses requests with that probability, before it looks at them. What it has answered is counted, so that a
    request which was processed twice shows.
    """

    def __init__(self, every: int, *, refuses: float = 0.0, is_graceful: bool = False, seed: int = 1) -> None:
        super().__init__()
        self.every = every
        self.refuses = refuses
        self.is_graceful = is_graceful
        self.random = Random(seed)
        self.answered: Counter[str] = Counter()
        self.last_id: dict[RawSide, int] = {}
        self.is_leaving: set[RawSide] = set()

    async def respond(self, side: RawSide, stream_id: int, request: str, body: bytes) -> None:
        last_id = self.last_id.get(side, LAST_ID)
        if stream_id > last_id:
            side.open.pop(stream_id, None)  # was under way when we said goodbye
            return
        if self.random.random() < self.refuses:
            await side.say(reset(stream_id, REFUSED))
        else:
            self.answered[request] += 1
            await side.say(answer(stream_id))
        if stream_id < 2 * self.every - 1 or side in self.is_leaving:
            return
        self.is_leaving.add(side)
        if self.is_graceful:
            await side.say(goaway(LAST_ID), frame(PING, payload=b"goodbye!"))
        else:
            await self.leave(side, stream_id)

    async def on_pong(self, side: RawSide) -> None:
        """A round trip after the first GOAWAY: say which was the last request."""
        await self.leave(side, max([*(heard.stream_id for heard in side.heard), 1]))

    async def leave(self, side: RawSide, last_id: int) -> None:
        self.last_id[side] = last_id
        for stream_id in [stream_id for stream_id in side.open if stream_id > last_id]:
            del side.open[stream_id]
        await side.say(goaway(last_id))


async def storm(session: netio.Session, requests: int, concurrency: int) -> Counter[str]:
    """Send so many requests, so many at once; count what became of them."""
    outcomes: Counter[str] = Counter()
    jobs = iter(range(requests))

    async def work() -> None:
        for number in jobs:
            try:
                response = await session.get(f"/{number}", timeout=None)
                outcomes["good" if response.content == b"hello" else "bad"] += 1
            except netio.RequestError as error:
                outcomes[f"{type(error).__name__}: {error}"] += 1

    async with anyio.create_task_group() as workers:
        for _ in range(concurrency):
            workers.start_soon(work)
    return outcomes
