"""The architecture page draws what the code says, and tells the walk of a request as it is walked."""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Any

import anyio

import netio
from tests.docs.diagrams import DIAGRAMS, PAGE, PROJECT
from tests.docs.origin import running_service
from tests.docs.pages import Page
from tests.layers import FOLDERS, VOCABULARY

_DRAWN = re.compile(r"<!-- drawn: (\w+) -->\n```text\n(.*?)```", re.DOTALL)
_CALL = re.compile(r"\b([A-Z]\w*)\.(\w+)\b")
_COMMENTS = 43  # the column from which on the walk is explained


def test_the_diagrams_are_those_of_the_code() -> None:
    drawn = dict(_DRAWN.findall(PAGE.read_text()))
    stale = {name: text for name, text in drawn.items() if text != f"{DIAGRAMS[name]()}\n"}
    assert (list(drawn), stale) == (list(DIAGRAMS), {}), "python -m tests.docs.diagrams"


def test_the_maps_name_every_file_and_folder() -> None:
    told = Page(PAGE).text.partition("## The walk")[0]
    files = re.findall(r"^\| `netio/(\w+)\.py` \|", told, re.MULTILINE)
    folders = re.findall(r"^\| `netio/(\w+)/` \|", told, re.MULTILINE)
    readme = re.findall(r"^\| `netio/(\w+)/` \|", (PROJECT / "README.md").read_text(), re.MULTILINE)
    assert (sorted(files), folders, readme) == (sorted(VOCABULARY), list(FOLDERS), list(FOLDERS))


def test_the_map_in_the_code_is_that_of_the_tree() -> None:
    vocabulary, _, folders = (netio.__doc__ or "").partition("    vocabulary ")[2].partition("\n\n")
    assert sorted(re.findall(r"\w+", vocabulary)) == sorted(VOCABULARY)
    assert re.findall(r"^    (\w+)", folders, re.MULTILINE) == list(FOLDERS)


def steps_of_the_walk() -> list[tuple[str, str]]:
    """Return class and method of each step that the page draws."""
    (walk,) = (block.text for block in Page(PAGE).blocks if "Session._dispatch" in block.text)
    return [step for line in walk.splitlines() for step in _CALL.findall(line[:_COMMENTS])]


def class_named(name: str) -> type[Any]:
    """Return the class of that name, wherever netio has it."""
    homes = [module for path, module in sys.modules.items() if path.startswith("netio.")]
    return next(found for home in homes if isinstance(found := getattr(home, name, None), type))


def is_step(call: tuple[object, str], kind: type[Any], method: str) -> bool:
    whose, name = call
    return name == method and (getattr(kind, "_is_protocol", False) or isinstance(whose, kind))


@contextmanager
def calls_noted(into: list[tuple[object, str]]) -> Iterator[None]:
    """Note whose method is entered, or entered again after a wait, in this thread."""

    def note(frame: FrameType, event: str, _: object) -> None:
        if event == "call" and "self" in frame.f_locals:
            into.append((frame.f_locals["self"], frame.f_code.co_name))

    sys.setprofile(note)
    try:
        yield
    finally:
        sys.setprofile(None)


def test_a_request_takes_the_steps_of_the_walk_in_their_order() -> None:
    calls: list[tuple[object, str]] = []

    async def walk(session: netio.Session) -> None:
        async with session:
            with calls_noted(calls):
                await session.get("/books", follow_redirects=True)

    with running_service() as service:
        base_url = "https://api.example.com"
        anyio.run(walk, netio.Session(base_url=base_url, connect=service.connect, verify=service.trust, http2=False))
    steps = steps_of_the_walk()
    assert len(steps) > 20
    missed, since = [], 0
    for owner, method in steps:
        kind = class_named(owner)
        found = next((at for at in range(since, len(calls)) if is_step(calls[at], kind, method)), None)
        if found is None:
            missed.append(f"{owner}.{method}")
        else:
            since = found
    assert missed == []
