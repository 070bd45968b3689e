"""Looking for one header field without making an index of all of them: most messages don't have it."""

from __future__ import annotations

from netio.headers import Field


def has_field(fields: tuple[Field, ...], name: str) -> bool:
    """Whether there is a field of this name, which is given in lower case."""
    size = len(name)
    for other, _ in fields:  # noqa: SIM110 -- any() with a generator costs twice as much
        if len(other) == size and other.lower() == name:
            return True
    return False
