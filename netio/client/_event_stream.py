"""Server-sent events (WHATWG HTML section 9.2) without I/O: bytes to events, and when to connect again.

`EventParser` is fed bytes and returns the events that are complete by then; however the bytes are cut, the events are
the same. That holds for what is too large as well: `fault` is set, the events before it are returned, and nothing after
it is read. An event that the end of the stream cuts off is dropped, as the standard has it: since its id was not yet
the last one, a server that resumes sends it again.
"""

from __future__ import annotations

import json as jsonlib
import re
from dataclasses import dataclass
from typing import Any

_LINE_END = re.compile(rb"\r\n|\n|\r").split
_RETRY = re.compile(r"[0-9]{1,15}").fullmatch
_CONTROL = re.compile(r"[\x00-\x1f\x7f]").search
_BOM = b"\xef\xbb\xbf"

MAX_ID = 4_096
"""Bytes of an id that is kept: longer ones no server takes as a header field."""
MAX_ATTEMPTS = 10
"""In a row that come to no stream, until the last one's error is raised."""
SHORTEST_WAIT, LONGEST_WAIT = 0.1, 60.0
"""Seconds between two connections; what `retry:` asks for is clamped to that (HAZARDS SSE-01)."""


@dataclass(frozen=True, slots=True)
class ServerSentEvent:
    """One event. `id` is the last id that was sent, with this event or before it."""

    data: str
    event: str = "message"
    id: str = ""

    def json(self) -> Any:
        """Parse the data as JSON. Raises `ValueError`."""
        return jsonlib.loads(self.data)


class EventParser:
    """The events of one stream. `last_id` is the id after the last complete event, `retry` in seconds what was asked.

    `limit`: bytes that a line, or the data of an event, may have.
    """

    def __init__(self, *, limit: int, last_id: str = "") -> None:
        self.last_id = last_id
        self.retry: float | None = None
        self.fault: str | None = None
        self._limit = limit
        self._id = last_id
        self._event = ""
        self._data: list[str] = []
        self._size = 0
        self._begun: list[bytes] = []
        self._begun_size = 0
        self._is_first = True
        self._is_after_cr = False

    def feed(self, data: bytes) -> list[ServerSentEvent]:
        """Take bytes, and return the events that they complete."""
        if not data or self.fault is not None:
            return []
        if self._is_after_cr and data[0] == 0x0A:
            data = data[1:]
        self._is_after_cr = data.endswith(b"\r")
        *lines, rest = _LINE_END(data)
        events: list[ServerSentEvent] = []
        for line in lines:
            event = self._take_line(self._whole(line))
            if event is not None:
                events.append(event)
            if self.fault is not None:
                return events
        if rest:
            self._begun.append(rest)
            self._begun_size += len(rest)
            self._check("a line", self._begun_size)
        return events

    def _whole(self, end: bytes) -> bytes:
        """Return the line of which this is the end, and maybe all."""
        if self._begun:
            self._begun.append(end)
            end = b"".join(self._begun)
            self._begun.clear()
            self._begun_size = 0
        if self._is_first:
            self._is_first = False
            end = end.removeprefix(_BOM)
        return end

    def _take_line(self, line: bytes) -> ServerSentEvent | None:
        """Take one line (section 9.2.6); return the event that it completes, if it is empty and there is one."""
        if not line:
            return self._complete()
        if not self._check("a line", len(line)) or line.startswith(b":"):
            return None
        name, _, value = line.decode("utf-8", "replace").partition(":")
        value = value.removeprefix(" ")
        match name:
            case "data":
                self._size += len(line)
                if self._check("the data of an event", self._size):
                    self._data.append(value)
            case "event":
                self._event = value
            case "id":
                # The standard refuses NUL; no other control character could be sent back in a field either.
                if not _CONTROL(value) and len(value.encode()) <= MAX_ID:
                    self._id = value
            case "retry":
                if _RETRY(value):
                    self.retry = int(value) / 1_000
        return None

    def _complete(self) -> ServerSentEvent | None:
        self.last_id = self._id
        lines, event = self._data, self._event
        self._data, self._event, self._size = [], "", 0
        return ServerSentEvent("\n".join(lines), event or "message", self._id) if lines else None

    def _check(self, what: str, size: int) -> bool:
        if size > self._limit:
            self.fault = f"{what} of the event stream has more than {self._limit} bytes (max_event)"
        return self.fault is None


@dataclass(kw_only=True)
class Reconnection:
    """When to connect again; times are in seconds."""

    usual_wait: float = 3.0  # Chrome; Firefox waits for five seconds
    _failures: int = 0
    _silent: int = 0

    def opened(self) -> None:
        """There is a stream again."""
        self._failures = 0

    def heard(self) -> None:
        """An event has come."""
        self._silent = 0

    def asked(self, retry: float) -> None:
        """The server wants to be left alone for so long."""
        self.usual_wait = min(max(retry, SHORTEST_WAIT), LONGEST_WAIT)

    def failed(self) -> bool:
        """No stream came about; return whether to try again."""
        self._failures += 1
        return self._failures < MAX_ATTEMPTS

    def wait(self, share: float) -> float:
        """Return how long to wait, twice as long each time that nothing was heard; `share` is random, 0 to 1."""
        bound = min(self.usual_wait * 2.0 ** min(self._silent, 30), LONGEST_WAIT)
        self._silent += 1
        return bound * (0.5 + share / 2)
