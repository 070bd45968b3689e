"""Draw the diagrams of docs/architecture.md from the code: `python -m tests.docs.diagrams`.

Each stands in the page after a comment with its name; tests/docs/test_diagrams.py compares them. Where the code has a
table it is drawn. Where it has none, as the cache of names, the object itself is led into each state and asked.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from pathlib import Path

from netio.errors import ResolveError
from netio.policy._circuit import TRANSITIONS, Signal, State
from netio.transport._dns_cache import STALE, NameCache
from netio.transport._dns_contract import Answer
from tests.layers import FOLDERS, VOCABULARY, Import, read_imports

PROJECT = Path(__file__).parents[2]
PAGE = PROJECT / "docs" / "architecture.md"

HOST, TTL = "shop.test", 60


def all_imports() -> list[Import]:
    """Return every import of netio's modules from netio itself."""
    paths = sorted((PROJECT / "netio").rglob("*.py"))
    rows = (row for path in paths for row in read_imports(path.relative_to(PROJECT).as_posix(), path.read_text()))
    return [row for row in rows if row.is_inside and row.target and row.target != row.home]


def draw_folders() -> str:
    """Return which folder imports which, as a table of marks."""
    pairs = {(row.home, row.target) for row in all_imports()}
    targets = [name for name in FOLDERS if any((home, name) in pairs for home in FOLDERS)]
    lines = [" " * 12 + "  ".join(targets)]
    for home in FOLDERS:
        marks = (("x" if (home, name) in pairs else "·").center(len(name)) for name in targets)
        lines.append(f"{home:<12}" + "  ".join(marks).rstrip())
    return "\n".join(lines)


def draw_vocabulary() -> str:
    """Return the plain files, each after those that it imports when it is loaded."""
    needs: dict[str, set[str]] = {name: set() for name in VOCABULARY}
    for row in all_imports():
        if row.home in needs and not row.is_in_folder and not row.is_typing_only:
            needs[row.home].add(row.target)
    depths: dict[str, int] = {}
    while len(depths) < len(needs):
        ready = [name for name in needs if name not in depths and needs[name] <= depths.keys()]
        depths |= {name: 1 + max((depths[need] for need in needs[name]), default=-1) for name in ready}
    ordered = sorted(VOCABULARY, key=lambda name: depths[name])
    return "\n".join(f"{depths[name]}  {name:<10} {_needs(needs[name])}".rstrip() for name in ordered)


def _needs(names: Iterable[str]) -> str:
    return ", ".join(name for name in VOCABULARY if name in names)


def draw_circuit() -> str:
    """Return the transitions of a circuit; what leads to the same state from everywhere is drawn once."""
    lines: list[str] = []
    everywhere = [signal for signal in Signal if all((state, signal) in TRANSITIONS for state in State)]
    for before in State:
        rows = [(signal, after) for (state, signal), after in TRANSITIONS.items() if state == before]
        lines += _drawn_rows(before, {signal: after for signal, after in rows if signal not in everywhere})
    return "\n".join(
        [*lines, *_drawn_rows("each", {signal: TRANSITIONS[State.CLOSED, signal] for signal in everywhere})]
    )


def _drawn_rows(before: str, rows: Mapping[Signal, State]) -> list[str]:
    if not rows:
        return []
    width = max(map(len, Signal))
    lines = [f"    ├── {signal} ".ljust(width + 10, "─") + f"▶ {after}" for signal, after in rows.items()]
    return [before, *lines[:-1], lines[-1].replace("├", "└")]


def draw_names() -> str:
    """Return what a look into the cache of names says, in each state, while nobody asks and while somebody does."""
    states: dict[str, tuple[Callable[[NameCache], object], float]] = {
        "absent": (lambda cache: None, 0),
        "fresh": (_answered, TTL / 2),
        "stale": (_answered, TTL + STALE / 2),
        "old": (_answered, TTL + STALE + 1),
        "failed since": (_answered_then_failed, TTL + STALE + 1),
        "negative": (_missing, 1),
    }
    lines = [f"{'':<14}{'nobody is asking':<27}somebody is asking"]
    for name, (lead, now) in states.items():
        idle, asking = NameCache(), NameCache()
        lead(idle)
        lead(asking)
        asking.renew(HOST, 1e9)  # far in the future every entry is due
        lines.append(f"{name:<14}{_told(idle, now):<27}{_told(asking, now)}")
    return "\n".join(lines)


def _answered(cache: NameCache) -> None:
    cache.answered(HOST, Answer(("192.0.2.1",), ttl=TTL), 0.0)


def _answered_then_failed(cache: NameCache) -> None:
    _answered(cache)
    cache.failed(HOST, ResolveError("no name server answers", kind="failed"), TTL + STALE)


def _missing(cache: NameCache) -> None:
    cache.failed(HOST, ResolveError("no such name", kind="missing"), 0.0)


def _told(cache: NameCache, now: float) -> str:
    known = cache.look(HOST, now)
    if known.answer is None and known.error is None:
        return "ask, and wait" if known.ask else "wait for that answer"
    given = "the error" if known.error is not None else "the answer"
    return f"{given}, and ask" if known.ask else given


DIAGRAMS: dict[str, Callable[[], str]] = {
    "folders": draw_folders,
    "vocabulary": draw_vocabulary,
    "circuit": draw_circuit,
    "names": draw_names,
}


def drawn_into(page: str) -> str:
    """Return the page with its diagrams as they should be."""
    for name, draw in DIAGRAMS.items():
        begin = f"<!-- drawn: {name} -->\n```text\n"
        before, found, after = page.partition(begin)
        assert found, f"the page has no place for the diagram of the {name}"
        page = before + begin + draw() + "\n" + after[after.index("```") :]
    return page


if __name__ == "__main__":
    PAGE.write_text(drawn_into(PAGE.read_text()))
