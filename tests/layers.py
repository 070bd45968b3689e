"""The layers of netio as rules over its imports (docs/architecture.md draws the map).

Every import statement is read by `ast`, those under TYPE_CHECKING and inside functions too, and so is
`import_module("netio...")` with a constant name. Each import becomes one row: where it stands, and what it reaches for.
A rule looks at one row and returns what is wrong with it; only the cycles among the vocabulary need to see all rows.
Sources come as a mapping from path to text, so that the tests can feed the rules small houses of their own.
"""

from __future__ import annotations

import ast
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass

# In the order in which a request passes them, which is the alphabet's.
FOLDERS = ("adapters", "cli", "client", "policy", "pool", "protocol", "testing", "transport", "wire")
VOCABULARY = (
    *("errors", "deadline", "url", "headers", "body", "files", "multipart", "encoding"),
    *("reading", "saving", "request", "message", "timings", "observe", "histogram", "tally", "metrics", "shown"),
)

ROOT = "netio/__init__.py"
MAIN = "netio/__main__.py"
NOT_FOR_ROOT = ("adapters", "cli", "testing")  # `import netio` is to stay cheap and free of optional packages

# What only some places may import, and what some places may not. A place is the beginning of a path.
RESERVED = {
    "asyncio": ("netio/transport/_runtime", "netio/testing/"),
    "trio": ("netio/transport/_runtime", "netio/testing/"),
    "hypercorn": ("netio/cli/",),
    "matplotlib": ("netio/adapters/",),
    "python_socks": ("netio/transport/_proxy_socks",),
    "opentelemetry": ("netio/adapters/",),
    "prometheus_client": ("netio/adapters/",),
    "rich": ("netio/cli/",),
    "trustme": ("netio/cli/",),
}
PURE = (
    "netio/wire/",
    "netio/pool/_ledger.py",
    *(f"netio/transport/_{name}.py" for name in ("address_policy", "dial_places", "eyeballs", "network")),
    *(f"netio/transport/_dns_{name}.py" for name in ("bindings", "cache", "rules")),
    *(f"netio/policy/_{name}.py" for name in ("budget", "circuit", "gate", "gcra", "gradient", "latencies", "windows")),
)
IMPURE = frozenset(("anyio", "asyncio", "select", "selectors", "socket", "ssl", "threading", "time", "trio", "uvloop"))


@dataclass(frozen=True)
class Import:
    """One imported module, and the name taken from it ("" for a plain import)."""

    path: str
    line: int
    module: str
    name: str = ""
    is_typing_only: bool = False

    @property
    def home(self) -> str:
        """The folder or vocabulary module that the import stands in."""
        return self.path.split("/")[1].removesuffix(".py")

    @property
    def is_in_folder(self) -> bool:
        return self.path.count("/") > 1

    @property
    def is_inside(self) -> bool:
        return self.module.split(".")[0] == "netio"

    @property
    def target(self) -> str:
        """The folder or vocabulary module that the import reaches for, "" for the root itself."""
        return self.module.partition(".")[2].partition(".")[0]


class _Reader(ast.NodeVisitor):
    def __init__(self, path: str) -> None:
        self.path = path
        self.package = path.removesuffix(".py").split("/")[:-1]
        self.is_typing_only = False
        self.found: list[Import] = []

    def visit_If(self, node: ast.If) -> None:
        outer = self.is_typing_only
        self.visit(node.test)
        self.is_typing_only = outer or ast.unparse(node.test).rpartition(".")[2] == "TYPE_CHECKING"
        for statement in node.body:
            self.visit(statement)
        self.is_typing_only = outer
        for statement in node.orelse:
            self.visit(statement)

    def visit_Import(self, node: ast.Import) -> None:
        for alias in node.names:
            self._add(node, alias.name)

    def visit_ImportFrom(self, node: ast.ImportFrom) -> None:
        above = self.package[: len(self.package) + 1 - node.level] if node.level else []
        module = ".".join([*above, *([node.module] if node.module else [])])
        for alias in node.names:
            if module == "netio":
                self._add(node, f"netio.{alias.name}")
            else:
                self._add(node, module, alias.name)

    def visit_Call(self, node: ast.Call) -> None:
        if ast.unparse(node.func).rpartition(".")[2] in ("import_module", "__import__"):
            for argument in node.args[:1]:
                if isinstance(argument, ast.Constant):
                    self._add(node, str(argument.value))
        self.generic_visit(node)

    def _add(self, node: ast.stmt | ast.expr, module: str, name: str = "") -> None:
        self.found.append(Import(self.path, node.lineno, module, name, self.is_typing_only))


def read_imports(path: str, source: str) -> list[Import]:
    """Return what a module imports, in the order in which it stands there."""
    reader = _Reader(path)
    reader.visit(ast.parse(source, path))
    return reader.found


def _is_in(path: str, places: Iterable[str]) -> bool:
    return path.startswith(tuple(places))


def _broken_by_foreign_import(row: Import) -> Iterator[str]:
    package = row.module.split(".")[0]
    if package in RESERVED and not _is_in(row.path, RESERVED[package]):
        yield f"only {' and '.join(RESERVED[package])} may import {package}"
    if package in IMPURE and _is_in(row.path, PURE):
        yield f"does no I/O and knows neither clock nor event loop, so it may not import {package}"


def _broken_by_target(row: Import) -> Iterator[str]:
    if row.target == "":
        yield "imports the root of netio: import the folder or the vocabulary module itself"
    elif row.target not in FOLDERS and row.target not in VOCABULARY:
        yield f"{row.module} is neither a folder of the design nor vocabulary"
    elif row.path == ROOT:
        if row.target in NOT_FOR_ROOT:
            yield f"the root may not import {row.target}"
    elif row.path == MAIN:
        if row.target != "cli":
            yield "netio/__main__.py may import cli only"
    elif row.is_in_folder:
        yield from _broken_by_folder(row)
    elif row.target not in VOCABULARY:
        yield f"vocabulary may import vocabulary only, not {row.target}"


def _broken_by_folder(row: Import) -> Iterator[str]:
    if row.target in VOCABULARY or row.target == row.home:
        return
    if {row.home, row.target} == {"policy", "pool"}:
        yield "policy and pool may not know each other"
    elif (row.home, row.target) == ("cli", "adapters"):
        return  # the command is a user of netio like any other, and nobody imports it
    elif row.home in FOLDERS and row.target < row.home:
        yield f"{row.home} may import only folders after it in the alphabet, not {row.target}"


def _broken_by_privacy(row: Import) -> Iterator[str]:
    if row.is_in_folder and row.target == row.home:
        return
    if row.module.count(".") > 1:
        yield f"{row.module} is private to its folder: import from netio.{row.target}"
    elif row.name.startswith("_") and (row.is_in_folder or row.target in FOLDERS):
        yield f"{row.module}.{row.name} is private to its folder"


def _broken_by_place(path: str) -> Iterator[str]:
    parts = path.split("/")
    if len(parts) == 2 and path not in (ROOT, MAIN) and parts[1].removesuffix(".py") not in VOCABULARY:
        yield f"{path}:1: a plain file beside the folders is vocabulary, and the design does not name this one"
    if len(parts) > 2 and parts[1] not in FOLDERS:
        yield f"{path}:1: the design has no folder {parts[1]}"


def _broken_by_cycles(rows: Iterable[Import]) -> Iterator[str]:
    """Find an import that closes a circle of vocabulary. Type-only ones count, but two may name message's types."""
    edges: dict[str, list[Import]] = {}
    for row in rows:
        is_allowed = row.is_typing_only and row.home in ("errors", "observe") and row.target == "message"
        if row.home in VOCABULARY and not row.is_in_folder and row.target in VOCABULARY and not is_allowed:
            edges.setdefault(row.home, []).append(row)
    done: set[str] = set()

    def walk(module: str, way: tuple[str, ...]) -> Iterator[str]:
        for row in edges.get(module, ()):
            if row.target in way:
                circle = " -> ".join((*way[way.index(row.target) :], row.target))
                yield f"{row.path}:{row.line}: closes a circle of imports in the vocabulary, {circle}"
            elif row.target not in done:
                yield from walk(row.target, (*way, row.target))
        done.add(module)

    for module in VOCABULARY:
        if module not in done:
            yield from walk(module, (module,))


def violations(sources: Mapping[str, str]) -> list[str]:
    """Return each broken rule as "path:line: what is wrong", by the text of each module of netio."""
    found = [message for path in sources for message in _broken_by_place(path)]
    rows = [row for path, source in sources.items() for row in read_imports(path, source)]
    for row in rows:
        rules = (_broken_by_target, _broken_by_privacy) if row.is_inside else (_broken_by_foreign_import,)
        found += [f"{row.path}:{row.line}: {message}" for rule in rules for message in rule(row)]
    return found + list(_broken_by_cycles(row for row in rows if row.is_inside))
