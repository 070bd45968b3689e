"""What netio's source defines: its classes with their attributes, and all other names of its modules."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from functools import cache

from tests.docs.pages import PROJECT


@cache
def defined_names() -> dict[str, set[str]]:
    """Return each name that a module of netio defines, with its own attributes and those of its bases in netio."""
    own: dict[str, set[str]] = {}
    bases: dict[str, set[str]] = {}
    for path in (PROJECT / "netio").rglob("*.py"):
        for node in ast.parse(path.read_text()).body:
            for name in _names_of(node):
                own.setdefault(name, set())
            if isinstance(node, ast.ClassDef):
                own[node.name] |= set(_attributes_of(node))
                bases.setdefault(node.name, set()).update(_base_name(base) for base in node.bases)
    return {name: own[name].union(*(own[base] for base in _ancestors(name, bases) if base in own)) for name in own}


def _ancestors(name: str, bases: dict[str, set[str]]) -> Iterator[str]:
    for base in bases.get(name, ()):
        if base != name:  # netio.TimeoutError is one of Python's
            yield base
            yield from _ancestors(base, bases)


def _base_name(base: ast.expr) -> str:
    return ast.unparse(base).partition("[")[0].rpartition(".")[2]


def _attributes_of(node: ast.ClassDef) -> Iterator[str]:
    for statement in node.body:
        yield from _names_of(statement)
    for inner in ast.walk(node):
        if isinstance(inner, ast.Attribute) and isinstance(inner.ctx, ast.Store) and ast.unparse(inner.value) == "self":
            yield inner.attr


def _names_of(node: ast.stmt) -> Iterator[str]:
    if isinstance(node, ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
        yield node.name
    elif isinstance(node, ast.Assign | ast.AnnAssign):
        targets = node.targets if isinstance(node, ast.Assign) else [node.target]
        yield from (target.id for target in targets if isinstance(target, ast.Name))
