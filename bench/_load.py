"""Closed-loop load: so many workers, each of which sends its next request when it has the answer to the last one."""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

import anyio


@dataclass
class Load:
    """What a run has cost: seconds of CPU of this process (user and system, all threads), and of the clock."""

    requests: int
    wrong: int
    cpu: float
    wall: float


async def run_load(
    get: Callable[[str], Awaitable[int]], url: str, *, size: int, concurrency: int, requests: int
) -> Load:
    """Send requests; each worker's first one is a warm-up and not counted.

    The clock starts when all workers have done that: spawning 256 tasks is no part of a request. An answer of another
    size is counted as wrong; an exception ends the run.
    """
    left, wrong = requests, 0
    arrived = 0
    wall = cpu = 0.0
    gate, all_here = anyio.Event(), anyio.Event()

    async def work() -> None:
        nonlocal left, wrong, arrived
        await get(url)
        arrived += 1
        if arrived == concurrency:
            all_here.set()
        await gate.wait()
        while left > 0:
            left -= 1
            if await get(url) != size:
                wrong += 1

    async with anyio.create_task_group() as workers:
        for _ in range(concurrency):
            workers.start_soon(work)
        await all_here.wait()
        gate.set()
        wall, cpu = time.perf_counter(), time.process_time()
    return Load(requests, wrong, time.process_time() - cpu, time.perf_counter() - wall)
