"""For tests, netio's and yours: a network in memory, a clock moved by hand, and cancellation at every checkpoint."""

from netio.testing._cancel import Way, cancel_at, cancel_everywhere, ways_to_cancel
from netio.testing._clock import FakeClock
from netio.testing._network import Handler, MemoryNetwork, MemoryStream

__all__ = [
    "FakeClock",
    "Handler",
    "MemoryNetwork",
    "MemoryStream",
    "Way",
    "cancel_at",
    "cancel_everywhere",
    "ways_to_cancel",
]
