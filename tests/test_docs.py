"""The documentation is true: its code runs, its links lead somewhere, and what it names exists."""

from __future__ import annotations

import builtins
import re
from collections.abc import AsyncIterator, Iterator
from functools import partial
from pathlib import Path
from typing import Any, cast

import pytest

import netio
from netio import errors
from netio.cli._arguments import DemoOptions
from netio.cli._demo import _rows
from netio.cli._measure import Measurement
from netio.cli._origin import Origin
from netio.cli._report import print_report
from tests.docs.calls import unknown_keywords
from tests.docs.names import defined_names
from tests.docs.origin import Service, running_service
from tests.docs.pages import PAGES, PROJECT, Page

FENCES = {"output", "python", "sh", "text"}
FRAGMENT_KINDS = {"added", "changed", "fixed", "removed", "security"}

_PATH = re.compile(r"(?:netio|tests|docs|bench|\.ci)/[a-z0-9_./-]*").fullmatch
_DOTTED = re.compile(r"\b(_?[A-Z]\w*)\.(\w+)")
_CLASS = re.compile(r"_?[A-Z]\w*[a-z]\w*").fullmatch
_MAKE = re.compile(r"\bmake (?![A-Z])([a-z]+)")

every_page = pytest.mark.parametrize("page", [Page(path) for path in PAGES], ids=str)


def test_the_pages_are_there() -> None:
    names = {path.relative_to(PROJECT).as_posix() for path in PAGES}
    pages = {"architecture", "changes", "contributing", "index", "tutorial"}
    assert {"README.md", *(f"docs/{name}.md" for name in pages)} <= names


# ---------------------------------------------------------------------- code


@pytest.fixture(scope="module")
def service() -> Iterator[Service]:
    with running_service() as running:
        yield running


@pytest.fixture
async def sessions(service: Service, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[list[netio.Session]]:
    """Lead every session without a network of its own to the service; close those that a failing page leaves open."""
    made: list[netio.Session] = []

    class LedSession(netio.Session):
        def __init__(self, **options: Any) -> None:
            if not options.keys() & {"connect", "network", "send"}:
                options.update(connect=service.connect, verify=service.trust)
            super().__init__(**options)
            made.append(self)

    monkeypatch.setattr(netio, "Session", LedSession)
    service.app.turned_away = 0
    yield made
    for session in made:
        if not session.is_closed:
            await session.aclose()


async def printed_and_shown(page: Page) -> tuple[dict[str, str], dict[str, str]]:
    """Run a page; return what each of its blocks prints, and what the page says that it prints."""
    runs = await page.run()
    return {str(run.block): run.printed for run in runs}, {str(run.block): run.shown or "" for run in runs}


@pytest.mark.anyio
@pytest.mark.parametrize("page", [page for path in PAGES if (page := Page(path)).has_code], ids=str)
async def test_the_code_of_the_page_runs_and_prints_what_the_page_says(
    page: Page, sessions: list[netio.Session]
) -> None:
    printed, shown = await printed_and_shown(page)
    assert printed == shown
    assert [session for session in sessions if not session.is_closed] == []


@pytest.mark.anyio
async def test_the_blocks_of_a_page_share_their_names_and_may_await(tmp_path: Path) -> None:
    page = write_page(
        tmp_path,
        "```python\nimport anyio\nasync def two():\n    return 2\nprint(anyio.run(two))\n```\n\n```output\n2\n```",
        "```python\nprint(await two() + 1)\n```\n\n```output\n3\n```",
    )
    assert await printed_and_shown(page) == ({f"{page}:2": "2\n", f"{page}:13": "3\n"},) * 2


@pytest.mark.anyio
async def test_what_a_page_does_not_show_is_noticed(tmp_path: Path) -> None:
    page = write_page(tmp_path, "```python\nprint(1)\n```", "```python\nprint(2)\n```\n```output\n3\n```")
    assert await printed_and_shown(page) == (
        {f"{page}:2": "1\n", f"{page}:6": "2\n"},
        {f"{page}:2": "", f"{page}:6": "3\n"},
    )


@pytest.mark.anyio
async def test_an_error_says_on_which_line_of_the_page_it_was_raised(tmp_path: Path) -> None:
    page = write_page(tmp_path, "Some text.\n\n```python\nx = 1\nx / 0\n```")
    with pytest.raises(ZeroDivisionError) as caught:
        await page.run()
    assert caught.value.__notes__ == [f"in the block at {page}:4"]
    assert caught.traceback[-1].lineno + 1 == 5


@pytest.mark.anyio
async def test_a_block_that_is_marked_is_not_run_but_has_to_be_python(tmp_path: Path) -> None:
    page = write_page(tmp_path, "<!-- not run: it never ends -->\n```python\nwhile True: pass\n```")
    assert await page.run() == []
    assert [block.reason for block in page.blocks] == ["it never ends"]
    with pytest.raises(SyntaxError):
        write_page(tmp_path, "```python\nwhile\n```").blocks[0].compiled()


def write_page(folder: Path, *parts: str) -> Page:
    path = folder / "page.md"
    path.write_text("\n\n".join(parts) + "\n")
    return Page(path)


@every_page
def test_every_block_is_of_a_known_kind_and_python_is_python(page: Page) -> None:
    assert {block.kind for block in page.blocks} <= FENCES
    assert page.text.count("```") == 2 * len(page.blocks)
    for block in page.blocks:
        if block.kind == "python":
            block.compiled()


@every_page
def test_every_code_span_ends_on_its_line_where_it_can_be_looked_up(page: Page) -> None:
    assert [line for line in page.prose.splitlines() if line.count("`") % 2] == []


# ---------------------------------------------------------------------- what the pages name


@every_page
def test_every_link_leads_to_a_file_and_a_heading(page: Page) -> None:
    for link in page.links:
        target, _, anchor = link.partition("#")
        if "://" in target:
            continue
        path = page.path.parent / target if target else page.path
        assert path.exists(), link
        assert not anchor or anchor in Page(path).anchors, link


@every_page
def test_every_file_that_is_named_exists(page: Page) -> None:
    named = [span for span in page.code_spans if _PATH(span)]
    assert [name for name in named if not (PROJECT / name).exists()] == []


@every_page
def test_every_attribute_that_is_named_exists(page: Page) -> None:
    names = defined_names()
    drawn = [block.text for block in page.blocks if block.kind == "text"]
    named = [found for text in (*page.code_spans, *drawn) for found in _DOTTED.findall(text) if found[0] in names]
    assert [f"{owner}.{name}" for owner, name in named if name not in names[owner]] == []


@every_page
def test_every_keyword_that_is_named_exists(page: Page) -> None:
    assert [name for span in page.code_spans for name in unknown_keywords(span)] == []


@pytest.mark.parametrize(
    ("span", "unknown"),
    [
        ("Session(proxy=...)", []),
        ("netio.Session(proxies=None)", ["netio.Session(proxies=)"]),
        ("session.get(url, retries=3)", ["session.get(retries=)"]),
        ("await session.get(url, files={}, auth=None)", []),
        ("Session(policies=[policy.Retry(tries=3)])", ["policy.Retry(tries=)"]),
        ("aiohttp.ClientSession(anything=1)", []),
        ("not python(", []),
    ],
)
def test_an_unknown_keyword_is_noticed(span: str, unknown: list[str]) -> None:
    assert unknown_keywords(span) == unknown


def test_every_class_that_the_architecture_names_exists() -> None:
    page = Page(PROJECT / "docs" / "architecture.md")
    drawn = " ".join(block.text for block in page.blocks if block.kind == "text")
    named = {span for span in page.code_spans if _CLASS(span)} | {owner for owner, _ in _DOTTED.findall(drawn)}
    assert len(named) > 50
    assert named - defined_names().keys() - set(dir(builtins)) == {"ByteStream"}


def test_every_target_of_make_that_is_named_exists_and_the_other_way_round() -> None:
    makefile = (PROJECT / "Makefile").read_text()
    targets = set(re.findall(r"^([a-z]+):", makefile, re.MULTILINE))
    named: set[str] = set()
    for page in map(Page, PAGES):
        shell = [block.text for block in page.blocks if block.kind == "sh"]
        named |= {target for text in (*page.code_spans, *shell) for target in _MAKE.findall(text)}
    assert named == targets


def test_every_public_name_is_in_the_overview() -> None:
    page = Page(PROJECT / "docs" / "index.md")
    named = {name for block in page.blocks for name in re.findall(r"\w+", block.text)} | set(page.code_spans)
    assert set(netio.__all__) - named == set()


def test_the_overview_draws_the_tree_of_errors_as_it_is() -> None:
    (block,) = (block for block in Page(PROJECT / "docs" / "index.md").blocks if block.text.startswith("NetioError"))
    drawn: dict[str, str] = {}
    above: dict[int, str] = {}
    for line in block.text.splitlines():
        depth = (len(line) - len(line.lstrip())) // 4
        names = re.split(r"\s{2,}", line.strip())[0].split(", ")
        above[depth] = names[-1]
        drawn |= dict.fromkeys(names, above.get(depth - 1, "Exception"))
    real = {name: getattr(errors, name).__bases__[0].__name__ for name in errors.__all__ if name != "Phase"}
    assert drawn == real


# ---------------------------------------------------------------------- the demo, the change log


def cells(line: str) -> list[str]:
    return re.split(r"\s{2,}", line.strip())


def test_the_table_in_the_readme_is_that_of_the_demo(capsys: pytest.CaptureFixture[str]) -> None:
    rows = _rows(Origin(http="", https="", authority_file=""), DemoOptions.requests)
    print_report([Measurement(row.name) for row in rows])
    heading = capsys.readouterr().out.splitlines()[0]
    (shown,) = (block.text for block in Page(PROJECT / "README.md").blocks if "req/s" in block.text)
    table = [cells(line) for line in shown.partition("\n\n")[0].splitlines()]
    assert table[0] == cells(heading)
    asked = [len(cast("partial[Any]", row.run).args[0]) for row in rows]
    assert [row[:3] for row in table[2:]] == [
        [row.name, f"{count:,}", f"{count:,}/0"] for row, count in zip(rows, asked, strict=True)
    ]


def test_every_fragment_of_the_change_log_has_a_kind_and_a_text() -> None:
    folder = PROJECT / "docs" / "changes"
    kinds = {path.name: path.suffixes[0][1:] for path in folder.iterdir() if path.name != "README.md"}
    assert [name for name, kind in kinds.items() if kind not in FRAGMENT_KINDS] == []
    assert [path.name for path in folder.iterdir() if not path.read_text().strip()] == []
