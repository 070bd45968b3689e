"""What WWW-Authenticate says (RFC 9110 section 11.6.1): a list of challenges, each a scheme and a list of parameters.

Both lists are divided by commas, so a challenge ends where a name follows that has no "=" behind it. Quoted strings are
read with their escapes. What is no challenge ends the reading: what came before it counts.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import NamedTuple

_TOKEN = r"[!#$%&'*+\-.^_`|~0-9A-Za-z]+"
_SCHEME = re.compile(rf"[ \t,]*({_TOKEN})(?=[ \t,]|\Z)[ \t]*").match
_PARAMETER = re.compile(rf'({_TOKEN})[ \t]*=[ \t]*(?:"((?:[^"\\]|\\.)*)"|({_TOKEN}))[ \t]*(?=,|\Z)').match
_TOKEN68 = re.compile(r"[A-Za-z0-9\-._~+/]+=*[ \t]*(?=,|\Z)").match
_COMMAS = re.compile(r"[ \t]*,[ \t,]*").match
_ESCAPED = re.compile(r"\\(.)")

MAX_CHALLENGES = 16
"""Of all fields together; there are not that many schemes."""


class Challenge(NamedTuple):
    """A scheme and its parameters, their names in lower case."""

    scheme: str
    parameters: dict[str, str]


def challenges(values: Iterable[str]) -> list[Challenge]:
    """Return the challenges of some WWW-Authenticate fields."""
    found: list[Challenge] = []
    for value in values:
        position = 0
        while len(found) < MAX_CHALLENGES and (scheme := _SCHEME(value, position)):
            parameters, position = parameters_at(value, scheme.end())
            found.append(Challenge(scheme.group(1).lower(), parameters))
    return found


def parameters_at(value: str, position: int) -> tuple[dict[str, str], int]:
    """Return the parameters that stand from a position on, and where they end. The first of a name counts."""
    parameters: dict[str, str] = {}
    while parameter := _PARAMETER(value, position):
        name, quoted, token = parameter.groups()
        parameters.setdefault(name.lower(), token if quoted is None else _ESCAPED.sub(r"\1", quoted))
        commas = _COMMAS(value, parameter.end())
        position = parameter.end() if commas is None else commas.end()
    if not parameters and (token68 := _TOKEN68(value, position)):
        # "Negotiate abc=": but "Negotiate, Basic realm=x" has the next scheme here.
        position = token68.end()
    return parameters, position


def quoted(text: str) -> str:
    """Return a text as a quoted string."""
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"'
