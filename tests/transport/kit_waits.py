"""The contract kit, waiting: `wait` and `drain`, who wakes them, and what a cancelled one leaves behind."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

import anyio

from netio.errors import ConnectionLost
from netio.transport import HIGH_WATER
from tests.transport.kit_tools import PLENTY, Ends, Make, eventually, opened, pattern, read_exactly, reset, turn


class Call:
    """A call of `wait` or `drain` by a task of its own."""

    def __init__(self, ends: Ends, function: Callable[..., Awaitable[None]]) -> None:
        self.waiter = ends.link.waiter()
        self.scope = anyio.CancelScope()
        self.is_over = False
        self._function = function

    async def run(self) -> None:
        with self.scope:
            await self._function(self.waiter)
        self.is_over = True

    async def over(self) -> None:
        await eventually(lambda: self.is_over)


async def check_wait_is_woken_by_what_is_fed(make: Make, *, is_pumped: bool) -> None:
    async with opened(make, is_pumped=is_pumped) as ends:
        waiter = ends.recorder.waiter = ends.link.waiter()
        await ends.peer.send(b"x")
        await ends.link.wait(waiter)
        assert waiter.is_awake is True
        assert ends.recorder.received == b"x"


async def check_wait_is_woken_by_another_task(make: Make, *, is_pumped: bool) -> None:
    async with opened(make, is_pumped=is_pumped) as ends, anyio.create_task_group() as group:
        call = Call(ends, ends.link.wait)
        group.start_soon(call.run)
        await turn()
        assert call.is_over is False
        call.waiter.wake()
        call.waiter.wake()
        await call.over()


async def check_wait_returns_if_it_was_woken_before_it_began(make: Make, *, is_pumped: bool) -> None:
    async with opened(make, is_pumped=is_pumped) as ends:
        waiter = ends.link.waiter()
        waiter.wake()
        await ends.link.wait(waiter)
        assert ends.recorder.calls == []


async def check_wait_goes_on_until_it_is_woken_whatever_arrives(make: Make, *, is_pumped: bool) -> None:
    async with opened(make, is_pumped=is_pumped) as ends, anyio.create_task_group() as group:
        call = Call(ends, ends.link.wait)
        group.start_soon(call.run)
        await ends.peer.send(b"not what it waits for")
        await eventually(lambda: ends.recorder.received != b"")
        await turn()
        assert call.is_over is False
        call.waiter.wake()
        await call.over()


async def check_spurious_wakes_lose_no_received_byte(make: Make, *, is_pumped: bool) -> None:
    data = pattern(20_000)

    async def send() -> None:
        for start in range(0, len(data), 400):
            await ends.peer.send(data[start : start + 400])
            ends.recorder.wake()  # in the middle of whatever the waiting task does

    async with opened(make, is_pumped=is_pumped) as ends, anyio.create_task_group() as group:
        group.start_soon(send)
        await ends.until_received(data)


async def check_spurious_wakes_lose_no_written_byte(make: Make, *, is_pumped: bool) -> None:
    """Waking a task that is about to send must not leave half of it unsent and then go on."""
    data = pattern(PLENTY)
    async with opened(make, is_pumped=is_pumped) as ends, anyio.create_task_group() as group:
        ends.link.write(data)
        for _ in range(5):
            for function in (ends.link.wait, ends.link.drain):
                call = Call(ends, function)
                group.start_soon(call.run)
                await turn()
                call.waiter.wake()
                await call.over()
        group.start_soon(ends.until_received, b"enough")
        assert await read_exactly(ends.peer, len(data)) == data
        await ends.peer.send(b"enough")


async def check_a_cancelled_wait_loses_no_byte(make: Make, *, is_pumped: bool) -> None:
    async with opened(make, is_pumped=is_pumped) as ends:
        with anyio.CancelScope() as scope:
            async with anyio.create_task_group() as group:
                group.start_soon(ends.wait, ends.link.waiter())
                await turn()
                scope.cancel()
        await ends.peer.send(b"after")
        await ends.until_received(b"after")


async def check_after_a_cancelled_wait_or_drain_the_link_can_be_aborted(make: Make, *, is_pumped: bool) -> None:
    async with opened(make, is_pumped=is_pumped) as ends, anyio.create_task_group() as group:
        ends.link.write(pattern(PLENTY))
        calls = [Call(ends, ends.link.wait), Call(ends, ends.link.drain)]
        for call in calls:
            group.start_soon(call.run)
        await turn()
        for call in calls:
            call.scope.cancel()
            await call.over()
        for call in calls:
            call.waiter.wake()  # by somebody who does not know yet
        ends.link.abort()
        assert ends.link.has_unsent is False
        await turn()
        assert ends.recorder.calls == []


async def check_drain_returns_at_once_while_little_is_queued(make: Make, *, is_pumped: bool) -> None:
    async with opened(make, is_pumped=is_pumped) as ends:
        await ends.link.drain(ends.link.waiter())
        ends.link.write(bytes(HIGH_WATER // 2))
        await ends.link.drain(ends.link.waiter())


async def check_drain_waits_for_a_peer_that_does_not_read(make: Make, *, is_pumped: bool) -> None:
    data = pattern(PLENTY)
    async with opened(make, is_pumped=is_pumped) as ends, anyio.create_task_group() as group:
        ends.link.write(data)
        call = Call(ends, ends.link.drain)
        group.start_soon(call.run)
        await turn()
        assert call.is_over is False
        assert ends.link.has_unsent is True
        assert await read_exactly(ends.peer, len(data)) == data
        await call.over()
        await eventually(lambda: not ends.link.has_unsent)


async def check_drain_is_released_by_its_waiter(make: Make, *, is_pumped: bool) -> None:
    """As the timer does when the time is over."""
    async with opened(make, is_pumped=is_pumped) as ends, anyio.create_task_group() as group:
        ends.link.write(pattern(PLENTY))
        calls = [Call(ends, ends.link.drain), Call(ends, ends.link.drain)]
        for call in calls:
            group.start_soon(call.run)
        await turn()
        calls[0].waiter.wake()
        await calls[0].over()
        await turn()
        assert calls[1].is_over is False
        calls[1].waiter.wake()
        await calls[1].over()
        assert ends.link.has_unsent is True


async def check_drain_is_released_when_the_connection_breaks(make: Make, *, is_pumped: bool) -> None:
    async with opened(make, is_pumped=is_pumped) as ends, anyio.create_task_group() as group:
        ends.link.write(pattern(PLENTY))
        call = Call(ends, ends.link.drain)
        group.start_soon(call.run)
        await turn()
        assert call.is_over is False
        await reset(ends.peer)
        await call.over()
        assert isinstance(await ends.until_lost(), ConnectionLost)
        ends.link.write(pattern(PLENTY))
        await ends.link.drain(ends.link.waiter())


async def check_drain_is_released_by_abort(make: Make, *, is_pumped: bool) -> None:
    async with opened(make, is_pumped=is_pumped) as ends, anyio.create_task_group() as group:
        ends.link.write(pattern(PLENTY))
        call = Call(ends, ends.link.drain)
        group.start_soon(call.run)
        await turn()
        ends.link.abort()
        await call.over()


async def check_wait_ends_when_whoever_aborts_wakes_it(make: Make, *, is_pumped: bool) -> None:
    async with opened(make, is_pumped=is_pumped) as ends, anyio.create_task_group() as group:
        call = Call(ends, ends.link.wait)
        group.start_soon(call.run)
        await turn()
        ends.link.abort()
        call.waiter.wake()
        await call.over()
        assert ends.recorder.calls == []


CHECKS = (
    check_wait_is_woken_by_what_is_fed,
    check_wait_is_woken_by_another_task,
    check_wait_returns_if_it_was_woken_before_it_began,
    check_wait_goes_on_until_it_is_woken_whatever_arrives,
    check_spurious_wakes_lose_no_received_byte,
    check_spurious_wakes_lose_no_written_byte,
    check_a_cancelled_wait_loses_no_byte,
    check_after_a_cancelled_wait_or_drain_the_link_can_be_aborted,
    check_drain_returns_at_once_while_little_is_queued,
    check_drain_waits_for_a_peer_that_does_not_read,
    check_drain_is_released_by_its_waiter,
    check_drain_is_released_when_the_connection_breaks,
    check_drain_is_released_by_abort,
    check_wait_ends_when_whoever_aborts_wakes_it,
)
