"""Public suffixes: domains under which anybody may register, so that no cookie may be for all of them (HAZARDS CK-01).

The list is that of publicsuffixlist, if it is installed (extra `cookies`). Reading it takes 50 ms and opens a file, so
`Suffixes.load` is run in a thread before it is first needed. Without it, what can be known without a list is: that a
domain of one label is one, and the second levels that most countries have in common.
"""

from __future__ import annotations

from collections.abc import Callable
from importlib import import_module

_SECOND_LEVELS = frozenset(
    ("ac", "co", "com", "edu", "gob", "gov", "gv", "mil", "ne", "net", "nom", "or", "org", "sch")
)

IsPublicSuffix = Callable[[str], bool]


class Suffixes:
    """Says whether a domain, in lower case and A-labels, is a public suffix."""

    def __init__(self) -> None:
        self._suffix_of: Callable[[str], str | None] | None = None
        self.is_loaded = False

    def load(self) -> None:
        """Read the list, if it is installed."""
        try:
            self._suffix_of = import_module("publicsuffixlist").PublicSuffixList().publicsuffix
        except ImportError:
            pass
        self.is_loaded = True

    def __call__(self, domain: str) -> bool:
        if not self.is_loaded:
            self.load()
        if self._suffix_of is not None:
            return self._suffix_of(domain) == domain
        return is_common_suffix(domain)


def is_common_suffix(domain: str) -> bool:
    """Whether a domain is a public suffix as far as one can tell without the list."""
    labels = domain.split(".")
    return len(labels) == 1 or (len(labels) == 2 and len(labels[1]) == 2 and labels[0] in _SECOND_LEVELS)


SUFFIXES = Suffixes()
