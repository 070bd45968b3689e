"""The site leads to every page, the reference has every public name, and the commands that pages show exist."""

from __future__ import annotations

import importlib.util
import inspect
import re
import shlex
import tomllib
from collections import Counter
from importlib import import_module
from pathlib import Path
from types import ModuleType

import pytest

from netio.cli._parser import parse
from tests.docs.pages import PAGES, PROJECT, Page

DOCS = PROJECT / "docs"
SITE = DOCS / "site"
MODULES = (
    "netio",
    "netio.policy",
    "netio.metrics",
    "netio.observe",
    "netio.timings",
    "netio.adapters",
    "netio.testing",
)
LITERALS = {f"netio.errors.{name}" for name in ("CertificateFault", "Phase", "ResolveFailure")}

_NAV_PAGE = re.compile(r"^ +- (?:[\w ]+: )?([\w/-]+\.md)$", re.MULTILINE)
_COMMAND = re.compile(r"netio (?=[a-z:/-])[^`]+").fullmatch
_PROGRAM = re.compile(r"\bpython (?:(bench/\w+\.py)|-m ([\w.]+))")
_EXTRAS = re.compile(r"netio-http\[([\w,]+)\]")
_EXTRA_ROW = re.compile(r"^\| `(\w+)` \| ([^|]+) \|", re.MULTILINE)


def hooks() -> ModuleType:
    spec = importlib.util.spec_from_file_location("site_hooks", SITE / "hooks.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def public_names(path: str) -> list[str]:
    module = import_module(path)
    return [f"{path}.{name}" for name in module.__all__ if not inspect.ismodule(getattr(module, name))]


def test_the_site_leads_to_every_page_once() -> None:
    led_to = Counter(_NAV_PAGE.findall((SITE / "mkdocs.yml").read_text()))
    pages = {path.relative_to(DOCS).as_posix() for path in PAGES if path.is_relative_to(DOCS)}
    fragments = {name for name in pages if name.startswith("changes/")}  # gathered on the page of changes
    assert led_to == Counter(pages - fragments)


def test_a_warning_fails_the_build_of_the_site() -> None:
    (command,) = (line for line in (PROJECT / "Makefile").read_text().splitlines() if "mkdocs build" in line)
    assert "quiet" not in command  # with it warnings are neither shown nor counted
    assert "\nstrict: true\n" in (SITE / "mkdocs.yml").read_text()


@pytest.mark.parametrize("module", MODULES)
def test_the_reference_has_every_public_name_once(module: str) -> None:
    entries = hooks().entries
    listed = Counter(name for path in (DOCS / "reference").glob("*.md") for name in entries(path.read_text()))
    assert Counter({name: count for name, count in listed.items() if name.rpartition(".")[0] == module}) == Counter(
        public_names(module)
    )


def test_the_reference_lists_nothing_else_but_what_errors_can_say() -> None:
    listed = {name for path in (DOCS / "reference").glob("*.md") for name in hooks().entries(path.read_text())}
    assert {name for name in listed if name.rpartition(".")[0] not in MODULES} == LITERALS


def test_the_page_of_changes_has_every_fragment() -> None:
    gathered = hooks().unreleased()
    fragments = [path for path in (DOCS / "changes").iterdir() if path.name != "README.md"]
    lost = [path.name for path in fragments if path.read_text().strip().replace("](../", "](") not in gathered]
    assert (lost, bool(fragments)) == ([], True)


def test_links_out_of_docs_lose_their_target_on_the_site_and_others_keep_it() -> None:
    class FakePage:
        class file:  # noqa: N801  # what mkdocs calls it
            src_uri = "guide/x.md"

    text = "[a](../README.md) [b](../../netio/errors.py) [c](../tls.md#pins) [d](https://example.org/)\n* `netio.URL`\n"
    shown = hooks().on_page_markdown(text, page=FakePage, config=None)
    assert shown == "a b [c](../tls.md#pins) [d](https://example.org/)\n::: netio.URL\n\n"


def commands() -> list[str]:
    """Return the netio commands that pages show, in blocks and in the text."""
    found: set[str] = set()
    for page in map(Page, PAGES):
        lines = [line for block in page.blocks if block.kind == "sh" for line in block.text.splitlines()]
        found |= {text for text in (*lines, *page.code_spans) if _COMMAND(text)}
    return sorted(found)


@pytest.mark.parametrize("command", commands())
def test_a_command_that_a_page_shows_is_one(command: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path("ada.png").write_bytes(b"\x89PNG")
    words = shlex.split(command)[1:]
    try:
        parse(words if len(words) > 1 else [*words, "--help"])  # one word may be the bare name of a command
    except SystemExit as stop:
        assert stop.code == 0, "argparse refuses it"


def test_every_program_that_is_named_exists() -> None:
    texts = [text for page in map(Page, PAGES) for text in (*page.code_spans, *(block.text for block in page.blocks))]
    named = {program for text in texts for program in _PROGRAM.findall(text)}
    paths = {path or f"{module.replace('.', '/')}.py" for path, module in named if module not in ("venv", "asyncio")}
    assert len(paths) > 5
    assert [path for path in sorted(paths) if not (PROJECT / path).exists()] == []


def test_the_extras_are_those_of_the_project() -> None:
    project = tomllib.loads((PROJECT / "pyproject.toml").read_text())["project"]
    extras: dict[str, list[str]] = project["optional-dependencies"]
    packages = {name: {re.split(r"[>=;]", line)[0] for line in lines} for name, lines in extras.items()}
    told = {name: set(brings.split(", ")) for name, brings in _EXTRA_ROW.findall((PROJECT / "README.md").read_text())}
    assert told == {name: found - {"brotlicffi"} for name, found in packages.items()}  # that is brotli, for PyPy
    shown = {extra for page in map(Page, PAGES) for extras in _EXTRAS.findall(page.text) for extra in extras.split(",")}
    assert shown - extras.keys() == set()
