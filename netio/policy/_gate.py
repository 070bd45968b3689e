"""Places that only so many can hold at a time, and a queue for those who wait. Plain and synchronous.

    free --take--> held --give--> free
    ticket: queued --admit--> served (it holds a place) | --leave--> gone

Invariants: nobody waits while a place is free; who waits longest is served first; a ticket that leaves after it was
served passes its place on, so no place is lost with a task that was cancelled just then.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable


class Ticket:
    """One that waits. `wake` is called once, when it is served."""

    __slots__ = ("is_served", "wake")

    def __init__(self, wake: Callable[[], object]) -> None:
        self.wake = wake
        self.is_served = False


class Gate:
    """`limit` places, and at most `queue` tickets waiting for one."""

    __slots__ = ("_queue", "active", "limit", "tickets")

    def __init__(self, limit: int, queue: int) -> None:
        self.limit = limit
        self.active = 0
        self._queue = queue
        self.tickets: OrderedDict[Ticket, None] = OrderedDict()

    @property
    def waiting(self) -> int:
        return len(self.tickets)

    @property
    def is_busy(self) -> bool:
        return self.active > 0 or bool(self.tickets)

    def take(self) -> bool:
        """Take a place if one is free. Where one is free, nobody waits."""
        if self.active >= self.limit:
            return False
        self.active += 1
        return True

    def give(self) -> None:
        """Give back a place; the first that waits gets it."""
        self.active -= 1
        self.admit()

    def enqueue(self, ticket: Ticket) -> bool:
        """Let a ticket wait; return False if the queue is full."""
        if len(self.tickets) >= self._queue:
            return False
        self.tickets[ticket] = None
        return True

    def leave(self, ticket: Ticket) -> None:
        """Strike a ticket off, whether it was served or not."""
        if ticket.is_served:
            ticket.is_served = False
            self.give()
        else:
            self.tickets.pop(ticket, None)

    def resize(self, limit: int) -> None:
        self.limit = limit
        self.admit()

    def admit(self) -> None:
        """Serve those who wait, as long as there are free places."""
        while self.tickets and self.active < self.limit:
            ticket, _ = self.tickets.popitem(last=False)
            self.active += 1
            ticket.is_served = True
            ticket.wake()
