"""A link with a delay and a bandwidth, between a client and a server on one machine: a TCP proxy.

Each direction is a queue of what was read and the time at which it may be handed on: half the round trip after it was
read, and no earlier than the bandwidth allows. What is read ahead is bounded by what the link can have in flight and a
quarter more, as the buffer of a router; so the sender feels the link. TCP ends at the proxy: its windows are not what
is measured, those of HTTP/2 are.
"""

from __future__ import annotations

import asyncio
from typing import Any

from _child import Control

READ = 16_384


class _Direction:
    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, case: dict[str, Any]) -> None:
        self._reader = reader
        self._writer = writer
        self._delay = case["round_trip"] / 2
        self._bandwidth = case["bandwidth"]
        self._room = asyncio.Semaphore(max(4, int(self._bandwidth * case["round_trip"] * 1.25 / READ)))
        self._queue: asyncio.Queue[tuple[float, bytes]] = asyncio.Queue()

    async def run(self) -> None:
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._read())
            tasks.create_task(self._write())

    async def _read(self) -> None:
        """Take bytes as they come, and let each out of the link after the one before."""
        loop = asyncio.get_running_loop()
        free_at = 0.0
        while True:
            await self._room.acquire()
            data = await self._reader.read(READ)
            free_at = max(free_at, loop.time()) + len(data) / self._bandwidth
            self._queue.put_nowait((free_at + self._delay, data))
            if not data:
                return

    async def _write(self) -> None:
        loop = asyncio.get_running_loop()
        while True:
            due, data = await self._queue.get()
            if (wait := due - loop.time()) > 0:
                await asyncio.sleep(wait)
            if not data:
                self._writer.close()
                return
            self._writer.write(data)
            await self._writer.drain()
            self._room.release()


async def in_child(case: dict[str, Any], control: Control) -> None:
    """Listen on a free port, which is said first, and connect everybody to `case["port"]`."""

    async def connect(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        there_reader, there_writer = await asyncio.open_connection("127.0.0.1", case["port"])
        try:
            async with asyncio.TaskGroup() as tasks:
                tasks.create_task(_Direction(reader, there_writer, case).run())
                tasks.create_task(_Direction(there_reader, writer, case).run())
        except* OSError:
            pass
        finally:
            writer.close()
            there_writer.close()

    listener = await asyncio.start_server(connect, "127.0.0.1", 0)
    control.say(port=listener.sockets[0].getsockname()[1])
    await asyncio.to_thread(control.hear)
