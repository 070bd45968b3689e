"""The calls that pages name in their text, such as `Session(proxy=...)`, and the parameters that functions have.

What stands in code spans is not run. Where one is a Python expression, its calls of public names are compared with the
signatures.
"""

from __future__ import annotations

import ast
import inspect
import typing
from collections.abc import Callable, Iterator
from functools import cache
from importlib import import_module
from typing import Any

import netio

MODULES = ("netio", "netio.policy", "netio.metrics", "netio.observe", "netio.adapters", "netio.testing")
RECEIVERS: dict[str, type[Any]] = {"session": netio.Session, "response": netio.Response, "request": netio.Request}


@cache
def public_callables() -> dict[str, Callable[..., Any]]:
    """Return what can be called by its bare name."""
    found: dict[str, Callable[..., Any]] = {}
    for path in MODULES:
        module = import_module(path)
        named = ((name, getattr(module, name)) for name in module.__all__)
        found |= {name: value for name, value in named if inspect.isclass(value) or inspect.isfunction(value)}
    return found


def unknown_keywords(span: str) -> list[str]:
    """Return the keywords of calls in a span that the functions do not have."""
    try:
        tree = ast.parse(span, mode="eval")
    except SyntaxError:
        return []
    calls = [node for node in ast.walk(tree) if isinstance(node, ast.Call)]
    return [name for call in calls for name in _unknown(call)]


def _unknown(call: ast.Call) -> Iterator[str]:
    function = _called(call.func)
    known = _parameters(function) if callable(function) else None
    if known is not None:
        yield from (f"{ast.unparse(call.func)}({word.arg}=)" for word in call.keywords if word.arg not in known)


def _called(node: ast.expr) -> Callable[..., Any] | None:
    if isinstance(node, ast.Name):
        return public_callables().get(node.id)
    if isinstance(node, ast.Attribute):
        owner = ast.unparse(node.value)
        receiver = RECEIVERS.get(owner) or public_callables().get(owner.rpartition(".")[2])
        if inspect.isclass(receiver):
            return getattr(receiver, node.attr, None)
        return public_callables().get(node.attr) if owner in ("netio", "policy", "netio.policy") else None
    return None


def _parameters(function: Callable[..., Any]) -> set[str | None] | None:
    """Return the names that a function takes as keywords, those of a TypedDict too; None if it takes any."""
    known: set[str | None] = set()
    for name, parameter in inspect.signature(function).parameters.items():
        if parameter.kind is not inspect.Parameter.VAR_KEYWORD:
            known.add(name)
            continue
        options = typing.get_args(typing.get_type_hints(function)[name])
        if not options:
            return None
        known |= set(typing.get_type_hints(options[0]))
    return known
