"""Many POSTs through a peer that breaks off anywhere: none is executed twice, through pool and policies (RT-01)."""

from __future__ import annotations

from collections import Counter
from random import Random

import anyio
import pytest
from hypothesis import settings

import netio
from netio.testing import MemoryNetwork, MemoryStream

pytestmark = pytest.mark.anyio

REQUESTS = 5 * settings().max_examples
"""500, and 100,000 under `make fuzz`."""
TASKS = 20
BREAKS = 0.3
"""The share of requests that meet a break."""


class Breaking:
    """A server that executes each request that it has read, unless it breaks off before; or after."""

    def __init__(self, seed: int) -> None:
        self.random = Random(seed)
        self.executed: Counter[bytes] = Counter()
        self.breaks = 0

    async def __call__(self, stream: MemoryStream) -> None:
        received = b""
        while True:
            place = self.random.choice(("before", "head", "body", "executed", "answer")) if self.is_breaking() else ""
            if place == "before":
                return self.end(stream)
            while b"\r\n\r\n" not in received:
                received += await stream.receive()
            if place == "head":
                return self.end(stream)
            head, _, received = received.partition(b"\r\n\r\n")
            length = int(head.lower().partition(b"content-length: ")[2].partition(b"\r\n")[0])
            while len(received) < length:
                received += await stream.receive()
            body, received = received[:length], received[length:]
            if place == "body":
                return self.end(stream)
            self.executed[body] += 1
            if place == "executed":
                return self.end(stream)
            answer = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"
            if place == "answer":
                await stream.send(answer[: self.random.randrange(1, len(answer))])
                return self.end(stream)
            await stream.send(answer)

    def is_breaking(self) -> bool:
        return self.random.random() < BREAKS

    def end(self, stream: MemoryStream) -> None:
        self.breaks += 1
        stream.reset() if self.random.random() < 0.5 else stream.close()


@pytest.mark.fuzz
@pytest.mark.parametrize("seed", [1, 2])
async def test_rt_01_peer_that_breaks_off_anywhere_executes_no_post_twice(seed: int) -> None:
    server = Breaking(seed)
    outcomes: Counter[str] = Counter()
    policies = [netio.policy.Retry(attempts=4, base=1e-6, cap=1e-6, budget=netio.policy.RetryBudget.unlimited())]
    async with MemoryNetwork() as network:
        network.listen("example.org", 80, server)
        async with netio.Session(connect=network.connect, policies=policies) as session:

            async def post(first: int) -> None:
                for number in range(first, REQUESTS, TASKS):
                    try:
                        response = await session.post("http://example.org/", content=f"<{number}>")
                    except netio.RequestError as error:
                        outcomes["not sent" if not error.sent else "in doubt"] += 1
                        assert error.sent or server.executed[f"<{number}>".encode()] == 0
                    else:
                        outcomes["done"] += 1
                        assert response.content == b"ok"
                        assert server.executed[f"<{number}>".encode()] == 1

            async with anyio.create_task_group() as group:
                for first in range(TASKS):
                    group.start_soon(post, first)
    assert server.breaks > REQUESTS * BREAKS / 2
    assert set(server.executed.values()) == {1}
    assert outcomes["done"] > REQUESTS / 2
    assert outcomes.total() == REQUESTS
