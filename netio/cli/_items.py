r"""Request items as HTTPie writes them: what follows the URL on the command line.

    Name:Value       a header field; `Name:` sends none, `Name;` an empty one
    name==value      a parameter of the query
    name=value       a text in the body: of a JSON object, or of a form with --form
    name:=json       any JSON value in the body
    name@path        a file, as a part of a multipart form
    name=@path, name:=@path, name==@path, Name:@path     the same with the content of a file

The first separator in the item counts, the longest where several begin at the same place; a backslash before a
separator makes it part of the name. What an item holds may be a secret, so complaints name the item by its position.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from netio.cli._exits import Usage

_SEPARATORS = (":=@", "==@", ":=", "==", "=@", ":@", "=", "@", ":")  # the longest first


@dataclass
class Items:
    """What the items of a command line add up to."""

    headers: list[tuple[str, str]] = field(default_factory=list[tuple[str, str]])
    without: list[str] = field(default_factory=list[str])
    """Header fields that are not to be sent."""
    params: list[tuple[str, str]] = field(default_factory=list[tuple[str, str]])
    pairs: list[tuple[str, Any]] = field(default_factory=list[tuple[str, Any]])
    """What the body is to hold. A form may hold a name several times, in a JSON object the last one stays."""
    files: list[tuple[str, Path]] = field(default_factory=list[tuple[str, Path]])

    @property
    def data(self) -> dict[str, Any]:
        """The JSON object."""
        return dict(self.pairs)

    @property
    def form(self) -> dict[str, list[str]]:
        """The form: what is no text is written as JSON."""
        form: dict[str, list[str]] = {}
        for name, value in self.pairs:
            form.setdefault(name, []).append(value if isinstance(value, str) else json.dumps(value))
        return form

    @property
    def has_body(self) -> bool:
        return bool(self.pairs or self.files)


def read_items(texts: Iterable[str]) -> Items:
    """Read the items in their order. Raises `Usage` for what is none, and for files that cannot be read."""
    items = Items()
    for position, text in enumerate(texts, 1):
        name, separator, value = _cut(text)
        if not separator and name.endswith(";"):
            items.headers.append((name[:-1], ""))
        elif not separator or not name:
            raise Usage(f"item {position} is none of Name:Value, name==value, name=value, name:=json, name@file")
        else:
            _add(items, position, name, separator, value)
    return items


def _cut(text: str) -> tuple[str, str, str]:
    """Return name, separator and value; no separator if there is none."""
    name: list[str] = []
    index = 0
    while index < len(text):
        if text[index] == "\\" and text[index + 1 : index + 2] in tuple(":=@;"):
            name.append(text[index + 1])
            index += 2
            continue
        for separator in _SEPARATORS:
            if text.startswith(separator, index):
                return "".join(name), separator, text[index + len(separator) :]
        name.append(text[index])
        index += 1
    return "".join(name), "", ""


def _add(items: Items, position: int, name: str, separator: str, value: str) -> None:
    if separator == "@":
        path = Path(value).expanduser()
        if not path.is_file():
            raise Usage(f"the file of item {position} ({name!r}) is not there")
        items.files.append((name, path))
        return
    if separator.endswith("@"):
        value = _content(position, name, value)
    match separator.removesuffix("@"):
        case ":":
            if value:
                items.headers.append((name, value.strip(" \t\r\n")))
            else:
                items.without.append(name)
        case "==":
            items.params.append((name, value))
        case "=":
            items.pairs.append((name, value))
        case _:
            items.pairs.append((name, _json(position, name, value)))


def _content(position: int, name: str, path: str) -> str:
    try:
        return Path(path).expanduser().read_text()
    except (OSError, UnicodeDecodeError) as error:
        why = error.strerror if isinstance(error, OSError) else "it is not text"
        raise Usage(f"the file of item {position} ({name!r}) cannot be read: {why}") from None


def _json(position: int, name: str, value: str) -> Any:
    try:
        return json.loads(value)
    except (ValueError, RecursionError):
        raise Usage(f"the value of item {position} ({name!r}) is not JSON; name=value is for texts") from None
