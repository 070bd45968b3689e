"""Waiting in a queue of a policy: for an event, and no longer than until some time of the clock.

Here a real scope is right: who waits in a queue has lost more time than it costs, and it is the clock that ends the
wait, so that it can be a test's.
"""

from __future__ import annotations

import anyio

from netio.deadline import NEVER, Clock


async def wait_until(event: anyio.Event, deadline: float, clock: Clock) -> bool:
    """Return True once the event is set, False if the deadline passed before."""
    if deadline == NEVER:
        await event.wait()
        return True
    async with anyio.create_task_group() as group:
        group.start_soon(_cancel_at, group.cancel_scope, deadline, clock)
        await event.wait()
        group.cancel_scope.cancel()
    return event.is_set()


async def _cancel_at(scope: anyio.CancelScope, deadline: float, clock: Clock) -> None:
    await clock.sleep(max(deadline - clock.now(), 0.0))
    scope.cancel()
