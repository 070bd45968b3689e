"""The corpus of HTTP/1.1 byte streams: what a server says to one GET, then the end of the connection.

tests/wire/corpus/http1/*.txt hold them in Python's notation: a name in brackets, then lines of bytes, each of which may
be repeated (`b"a" * 3`). found.txt has what the fuzz target, or somebody, once found.
"""

from __future__ import annotations

import ast
import re
from pathlib import Path

FOLDER = Path(__file__).parent / "corpus" / "http1"

_CASE = re.compile(r"^\[(.+)\]\n((?:b.*\n)*)", re.MULTILINE)


def read_bytes(lines: str) -> bytes:
    """Join lines of bytes literals, each with an optional factor."""
    parts: list[bytes] = []
    for line in lines.splitlines():
        literal, _, factor = line.rpartition(" * ") if re.search(r" \* \d+$", line) else (line, "", "1")
        part = ast.literal_eval(literal)
        assert isinstance(part, bytes)
        parts.append(part * int(factor))
    return b"".join(parts)


def read_corpus() -> dict[str, bytes]:
    """Return the streams by the name of their file and their own."""
    return {
        f"{path.stem}: {name}": read_bytes(lines)
        for path in sorted(FOLDER.glob("*.txt"))
        for name, lines in _CASE.findall(path.read_text(encoding="ascii"))
    }


STREAMS = read_corpus()
