"""Places where connecting takes for ever: the kernel's queue of connections that nobody accepts is full."""

from __future__ import annotations

import socket
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

FILLERS = 4


@contextmanager
def black_holes(addresses: Sequence[str]) -> Iterator[int]:
    """Make a black hole of each of these addresses, all on the port that is yielded."""
    sockets: list[socket.socket] = []
    port = 0
    try:
        for address in addresses:
            family = socket.AF_INET6 if ":" in address else socket.AF_INET
            hole = socket.socket(family)
            sockets.append(hole)
            hole.bind((address, port))
            hole.listen(0)
            port = hole.getsockname()[1]
            for _ in range(FILLERS):
                filler = socket.socket(family)
                sockets.append(filler)
                filler.setblocking(False)
                filler.connect_ex((address, port))
        yield port
    finally:
        for sock in sockets:
            sock.close()
