"""A server of one file that understands ranges, and breaks off as a test wants it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import anyio

import netio
from tests.client.answering import Answer, Asked, Fields
from tests.peers import pattern

DATA = pattern(600_000)
DATE = ("date", "Sun, 06 Nov 1994 08:49:37 GMT")
MODIFIED = ("last-modified", "Sun, 06 Nov 1994 08:49:36 GMT")
TAG = ("etag", '"one"')


class Files:
    """A server of one file that understands ranges; `cuts` are after how many bytes its answers break."""

    def __init__(self, *, marks: Fields, cuts: list[int | None] | None = None, data: bytes = DATA) -> None:
        self.data = data
        self.marks = marks
        self.cuts = cuts or []
        self.change: Callable[[Files, int], None] = lambda files, number: None
        """Called with the number of a request before it is answered."""
        self.has_length = True
        self.has_ranges = True
        self.has_conditions = True
        self.number = 0

    def __call__(self, asked: Asked) -> Answer:
        self.change(self, self.number)
        cut = self.cuts[self.number] if self.number < len(self.cuts) else None
        self.number += 1
        wish = asked.fields.get("range")
        marks = [value for name, value in self.marks if name != "date"]
        condition = asked.fields.get("if-range")
        is_same = condition is None or condition in marks or not self.has_conditions
        if wish is None or not self.has_ranges or not is_same:
            return Answer(200, self.marks, self.data, cut=cut, has_length=self.has_length)
        first = int(wish.removeprefix("bytes=").removesuffix("-"))
        if first >= len(self.data):
            return Answer(416, [*self.marks, ("content-range", f"bytes */{len(self.data)}")])
        where = ("content-range", f"bytes {first}-{len(self.data) - 1}/{len(self.data)}")
        return Answer(206, [*self.marks, where], self.data[first:], cut=cut, has_length=self.has_length)


async def fetch(session: netio.Session, path: Path, **options: Any) -> netio.Response:
    with anyio.fail_after(5):
        return await session.download("/", path, **options)


def ranges(site: Any) -> list[str | None]:
    return [asked.fields.get("range") for asked in site.asked]
