"""README.md and docs/ as programs.

The ```python blocks of a page are run from top to bottom in one namespace. A block with `await` in it runs on the event
loop of the test, as in a notebook. One without runs in a thread of its own, as a script does, so it may start an event
loop itself. An ```output block after it is what the block prints, to the letter.

`<!-- not run: reason -->` before a block means that it only has to be Python.
"""

from __future__ import annotations

import ast
import inspect
import re
from collections.abc import Iterator
from contextlib import redirect_stdout
from dataclasses import dataclass, field
from io import StringIO
from pathlib import Path
from types import CodeType, FunctionType
from typing import Any

from anyio.to_thread import run_sync

PROJECT = Path(__file__).parents[2]
PAGES = [PROJECT / "README.md", *sorted((PROJECT / "docs").rglob("*.md"))]

_FENCE = re.compile(r"^(?P<mark>`{3,})(?P<kind>\w*)\n(?P<text>.*?)^(?P=mark)$", re.MULTILINE | re.DOTALL)
_NOT_RUN = re.compile(r"<!-- not run: (.+) -->\n\Z")
_COMMENT = re.compile(r"<!--.*?-->", re.DOTALL)
_LINK = re.compile(r"\[[^\]]*\]\(([^)\s]+)\)")
_CODE = re.compile(r"`([^`\n]+)`")
_HEADING = re.compile(r"^#+ (.+)$", re.MULTILINE)


@dataclass(frozen=True)
class Block:
    """A fenced block: what kind it is, the line its text begins on, and why it is not run, if it is not."""

    page: Path
    kind: str
    line: int
    text: str
    reason: str = ""

    def __str__(self) -> str:
        return f"{_shown(self.page)}:{self.line}"

    def compiled(self) -> CodeType:
        """Compile it with the lines of the page, so that a traceback points there."""
        source = "\n" * (self.line - 1) + self.text
        return compile(source, str(self.page), "exec", ast.PyCF_ALLOW_TOP_LEVEL_AWAIT, dont_inherit=True)


@dataclass
class Run:
    """One block after it was run: what it printed, and what the page says that it prints (None if nothing)."""

    block: Block
    printed: str = ""
    shown: str | None = None


@dataclass
class Page:
    """A page, and what stands on it."""

    path: Path
    text: str = field(init=False, repr=False)
    blocks: list[Block] = field(init=False, repr=False)

    def __post_init__(self) -> None:
        self.text = self.path.read_text()
        self.blocks = list(self._read_blocks())

    def _read_blocks(self) -> Iterator[Block]:
        for found in _FENCE.finditer(self.text):
            before = self.text[: found.start()]
            marked = _NOT_RUN.search(before)
            line = self.text.count("\n", 0, found.start("text")) + 1
            yield Block(self.path, found["kind"], line, found["text"], marked[1] if marked else "")

    def __str__(self) -> str:
        return _shown(self.path)

    @property
    def has_code(self) -> bool:
        return any(block.kind == "python" and not block.reason for block in self.blocks)

    @property
    def prose(self) -> str:
        return _COMMENT.sub("", _FENCE.sub("", self.text))

    @property
    def links(self) -> list[str]:
        return _LINK.findall(_CODE.sub("", self.prose))

    @property
    def code_spans(self) -> list[str]:
        return _CODE.findall(self.prose)

    @property
    def anchors(self) -> set[str]:
        """The anchors that GitHub makes of the headings."""
        headings = _HEADING.findall(_FENCE.sub("", self.text))
        return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}

    async def run(self) -> list[Run]:
        """Run the page; return what each block printed and should have."""
        runs: list[Run] = []
        namespace: dict[str, Any] = {"__name__": "__main__"}
        for block in self.blocks:
            if block.kind == "output":
                runs[-1].shown = block.text
            elif block.kind == "python" and not block.reason:
                runs.append(Run(block, await _run_block(block, namespace)))
        return runs


def _shown(path: Path) -> str:
    return path.relative_to(PROJECT).as_posix() if path.is_relative_to(PROJECT) else path.name


async def _run_block(block: Block, namespace: dict[str, Any]) -> str:
    code, printed = block.compiled(), StringIO()
    try:
        with redirect_stdout(printed):
            if code.co_flags & inspect.CO_COROUTINE:
                await FunctionType(code, namespace)()
            else:
                await run_sync(exec, code, namespace)
    except Exception as error:
        error.add_note(f"in the block at {block}")
        raise
    return printed.getvalue()
