"""What the site does with the pages besides rendering them.

* They are read in the repository too, so they link to files of it: those links lead nowhere on the site.
* The pages of the reference list names; here each of them becomes an entry of mkdocstrings.
* The page of changes shows the fragments that no release has gathered yet.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

_FRAGMENTS = Path(__file__).parents[1] / "changes"

_OUTSIDE = re.compile(r"\[([^\]]+)\]\((?:\.\./)+(?:[A-Z]|netio/|tests/|bench/)[^)]*\)")
_ENTRY = re.compile(r"^\* `(netio[\w.]*)`$", re.MULTILINE)


def on_page_markdown(markdown: str, *, page: Any, **_: Any) -> str:
    """Leave of a link to something outside of docs/ its text, make entries of listed names, and gather fragments."""
    if page.file.src_uri == "changes.md":
        markdown += f"\n## In fragments\n\n{unreleased()}"
    return _ENTRY.sub(r"::: \1\n", _OUTSIDE.sub(r"\1", markdown))


def entries(markdown: str) -> list[str]:
    """Return the names that a page of the reference lists."""
    return _ENTRY.findall(markdown)


def unreleased() -> str:
    """Return the fragments of the change log, those of a kind under one heading."""
    kinds: dict[str, list[str]] = {}
    for path in sorted(_FRAGMENTS.glob("*.*.md")):
        text = path.read_text().strip().replace("](../", "](")
        kinds.setdefault(path.suffixes[0][1:], []).append(text)
    return "\n".join(f"### {kind.capitalize()}\n\n" + "\n\n".join(texts) + "\n" for kind, texts in kinds.items())
