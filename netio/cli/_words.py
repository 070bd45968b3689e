"""Numbers and distributions in words and lines, for a screen of 80 columns."""

from __future__ import annotations

from netio.histogram import Histogram, shown_time
from netio.shown import escaped_line, shown_bytes
from netio.url import URL

WIDTH = 80

_EIGHTHS = " ▏▎▍▌▋▊▉█"
_ROWS = 8
_BAR = 50


def shortened(text: str, width: int = WIDTH) -> str:
    """Escape what a terminal would obey, and cut the text to one line."""
    text = escaped_line(text)
    return text if len(text) <= width else text[: width - 1] + "…"


def shown_url(text: str) -> str:
    """Return a URL as it is sent, without userinfo: that is a secret. Raises `InvalidURL` for what is none."""
    url = URL(text)
    return f"{url.origin}{url.target}"


def size(number: int) -> str:
    """Write a number of bytes with three digits and its unit."""
    return f"{number} bytes" if number < 1_000 else shown_bytes(number)


def bar(share: float, width: int) -> str:
    """Draw a share (0 to 1) of a width, exact to an eighth of a character."""
    eighths = round(max(0.0, min(share, 1.0)) * width * 8)
    return "█" * (eighths // 8) + _EIGHTHS[eighths % 8].strip()


def bars(latency: Histogram) -> list[str]:
    """Draw how latencies are distributed: rows of equal width up to the 99th percentile, and what is beyond."""
    if latency.count < _ROWS:
        return []
    low, high = latency.minimum or 0.0, latency.percentile(99) or 0.0
    step = max((high - low) / _ROWS, 1e-9)
    rows = [0] * (_ROWS + 1)
    for lower, upper, number in latency.buckets():
        rows[min(_ROWS, max(0, int(((lower + upper) / 2 - low) / step)))] += number
    most = max(rows)
    shown = [
        f"{shown_time(low + step * row):>8} {number / latency.count:>7.1%} {bar(number / most, _BAR)}"
        for row, number in enumerate(rows)
    ]
    return [*shown, ""]
