"""statsd: an observer that writes lines, over UDP or wherever you like."""

from __future__ import annotations

import socket
from collections.abc import Callable

from netio.observe import (
    BreakerChanged,
    ConnectionClosed,
    ConnectionOpened,
    DialFailed,
    Event,
    Hedged,
    Refused,
    RequestFinished,
    Resent,
    Retried,
)

_COUNTED: dict[type[Event], str] = {
    Retried: "retries",
    Resent: "resends",
    Hedged: "hedges",
    Refused: "refusals",
    DialFailed: "connections.failed",
    ConnectionOpened: "connections.opened",
    ConnectionClosed: "connections.closed",
}
_UNFIT = str.maketrans(dict.fromkeys(":|@#\n\r\t ,/", "_"))


class StatsdWriter:
    """An observer for statsd: `Session(observer=StatsdWriter())`.

    Each request gives `PREFIX.requests.HOST.STATUS:1|c` and `PREFIX.duration.HOST:MS|ms`, a failed one the name of its
    error in place of the status; other events give counters. With `tags` host and outcome are tags after `#`, as
    DogStatsD, Telegraf and others read them. `write` gets the lines of an event, by default into one UDP datagram to
    `host` and `port`, which is lost if the network cannot take it at once. A name is looked up once, here and now, and
    that blocks: in an event loop give an address. Raises `OSError` if it has none. `close` when done.
    """

    def __init__(
        self,
        host: str = "127.0.0.1",
        port: int = 8125,
        *,
        prefix: str = "netio",
        tags: bool = False,
        write: Callable[[bytes], object] | None = None,
    ) -> None:
        self._prefix = prefix
        self._has_tags = tags
        self._socket: socket.socket | None = None
        if write is None:
            self._socket = _connected(host, port)
            write = self._send
        self._write = write

    def __call__(self, event: Event) -> None:
        if isinstance(event, RequestFinished):
            host = event.request.url.host
            outcome = str(event.response.status_code) if event.response is not None else type(event.error).__name__
            lines = self._line("requests", "1|c", host=host, outcome=outcome)
            lines += self._line("duration", f"{event.seconds * 1e3:.3f}|ms", host=host)
        elif isinstance(event, BreakerChanged):
            lines = self._line("breaker", "1|c", outcome=event.after)
        elif (name := _COUNTED.get(type(event))) is not None:
            lines = self._line(name, "1|c")
        else:
            return
        self._write(lines.encode())

    def close(self) -> None:
        """Close the socket; events after that are dropped."""
        if self._socket is not None:
            self._socket.close()

    def _line(self, name: str, value: str, **labels: str) -> str:
        shown = {label: text.translate(_UNFIT) for label, text in labels.items()}
        if self._has_tags:
            tags = ",".join(f"{label}:{text}" for label, text in shown.items())
            return f"{self._prefix}.{name}:{value}{'|#' if tags else ''}{tags}\n"
        # Dots separate the levels of a name.
        return f"{'.'.join([self._prefix, name, *(text.replace('.', '_') for text in shown.values())])}:{value}\n"

    def _send(self, lines: bytes) -> None:
        assert self._socket is not None
        try:
            self._socket.send(lines)
        except OSError:  # nobody listens, or the network is full: a measurement is not worth an error
            return


def _connected(host: str, port: int) -> socket.socket:
    family, kind, protocol, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_DGRAM)[0]
    made = socket.socket(family, kind, protocol)
    made.setblocking(False)
    try:
        made.connect(address)
    except OSError:
        made.close()
        raise
    return made
