"""What a server says about its own rate limit.

| field                                             | where                                                     |
|---------------------------------------------------|-----------------------------------------------------------|
| `Retry-After: 30` with 429 or 503                 | RFC 9110 section 10.2.3                                   |
| `RateLimit: "default";r=0;t=30`                   | draft-ietf-httpapi-ratelimit-headers, since version 8     |
| `RateLimit-Remaining: 0`, `RateLimit-Reset: 30`   | the versions before; with X- in front, most APIs of today |

A reset that is no delay but a time since 1970, as GitHub's, is told apart by its size.
"""

from __future__ import annotations

import re
import time

from netio.headers import Headers
from netio.message import Response
from netio.policy._backoff import retry_after

_REFUSALS = frozenset((429, 503))
_NAMES = frozenset(("ratelimit", "ratelimit-remaining", "x-ratelimit-remaining"))
_REMAINING = re.compile(r";\s*r=(\d{1,12})(?!\d)")
_TIME = re.compile(r";\s*t=(\d{1,12})(?!\d)")
_NUMBER = re.compile(r"\d{1,12}").fullmatch
_EPOCH = 1_000_000_000.0


def seconds_to_wait(response: Response, cap: float) -> float:
    """Return for how many seconds the server wants no further request, 0 to `cap`."""
    if response.status_code in _REFUSALS:
        seconds = retry_after(response.headers, cap)
        if seconds is not None:
            return seconds
    for name, _ in response.headers.fields:
        if name[0] in "rRxX" and name.lower() in _NAMES:
            return min(_reset(response.headers), cap)
    return 0.0


def _reset(headers: Headers) -> float:
    """Return in how many seconds there is something left again, 0 if there is something left now."""
    seconds = 0.0
    for item in headers.get("ratelimit", "").split(","):
        remaining, reset = _REMAINING.search(item), _TIME.search(item)
        if remaining and reset and int(remaining[1]) == 0:
            seconds = max(seconds, float(reset[1]))
    for prefix in ("", "x-"):
        remaining_field = headers.get(f"{prefix}ratelimit-remaining", "").strip()
        reset_field = headers.get(f"{prefix}ratelimit-reset", "").strip()
        if _NUMBER(remaining_field) and int(remaining_field) == 0 and _NUMBER(reset_field):
            value = float(reset_field)
            seconds = max(seconds, value - time.time() if value > _EPOCH else value)
    return seconds
