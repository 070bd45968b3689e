"""What a policy remembers by key: bounded, and as cheap to find as an item of a dict, which it is.

A strict LRU moves an entry at each use, which would cost as much as the policies themselves. Here are two generations:
a key that is used comes into the young one and stays there for nothing. When that is full it becomes the old one, and
what the old one still held is forgotten. So there are at most `limit` states, and one is forgotten only if at least
`limit / 2` other keys came up since its last use. What `is_kept` says of a state (places are taken, a user has forced
it) holds it beyond that.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterator
from typing import Generic, TypeVar

S = TypeVar("S")

LIMIT = 10_000


def _never(state: object) -> bool:
    return False


class States(dict[Hashable, S], Generic[S]):
    """One state for each key; `states[key]` makes it if it is not there."""

    __slots__ = ("_half", "_is_kept", "_make", "_old", "_room")

    def __init__(self, make: Callable[[], S], *, limit: int = LIMIT, is_kept: Callable[[S], bool] = _never) -> None:
        super().__init__()
        self._make = make
        self._is_kept = is_kept
        self._half = self._room = max(limit // 2, 1)
        self._old: dict[Hashable, S] = {}

    def __missing__(self, key: Hashable) -> S:
        state = self._old.pop(key, None)
        if state is None:
            state = self._make()
        if len(self) >= self._room:
            self._turn()
        self[key] = state
        return state

    def _turn(self) -> None:
        kept = {key: state for key, state in self._old.items() if self._is_kept(state)}
        self._old = dict(self)
        self.clear()
        self.update(kept)
        self._room = self._half + len(kept)  # else a young generation of nothing but kept ones would turn at each miss

    def peek(self, key: Hashable) -> S | None:
        """Return the state of a key without making or touching it."""
        state = self.get(key)
        return self._old.get(key) if state is None else state

    def both(self) -> Iterator[tuple[Hashable, S]]:
        """Iterate over all that is remembered."""
        yield from self._old.items()
        yield from self.items()
