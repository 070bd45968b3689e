"""For tests, netio's and yours: network in memory, clock moved by hand, faults, cancellation at every checkpoint."""

from netio.testing._cancel import Way, cancel_at, cancel_everywhere, ways_to_cancel
from netio.testing._chaos import Answer, Chaos, Cut, Failure, Fault, Latency, Step
from netio.testing._clock import FakeClock
from netio.testing._network import Handler, MemoryNetwork, MemoryStream

__all__ = [
    "Answer",
    "Chaos",
    "Cut",
    "Failure",
    "FakeClock",
    "Fault",
    "Handler",
    "Latency",
    "MemoryNetwork",
    "MemoryStream",
    "Step",
    "Way",
    "cancel_at",
    "cancel_everywhere",
    "ways_to_cancel",
]
