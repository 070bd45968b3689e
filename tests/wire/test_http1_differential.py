"""netio's HTTP/1.1 engine against h11 (under netio's reference engine), httptools and h11r.

Every stream on which they disagree belongs to a row of docs/http1.md, which is the table of http1_disagreements.py.
"""

from __future__ import annotations

import re
from pathlib import Path
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from netio.wire import FastHttp1
from tests.wire.engines import http1_result
from tests.wire.http1_corpus import STREAMS
from tests.wire.http1_disagreements import DISAGREEMENTS, name_of
from tests.wire.http1_fuzz import mutated, pieces_of
from tests.wire.http1_oracles import COMPLETE, ORACLES, REFUSED, Verdict, fast
from tests.wire.test_properties import Answer, answers

DOCUMENT = Path(__file__).parents[2] / "docs" / "http1.md"
MUTATED = 3_000


def disagreements(raw: bytes) -> dict[str, str | None]:
    """Return the row of the table that knows the disagreement, by the name of each oracle that disagrees."""
    ours = fast(raw)
    found: dict[str, str | None] = {}
    for oracle, verdict_of in ORACLES.items():
        theirs = verdict_of(raw)
        if theirs != ours:
            found[oracle] = name_of(oracle, raw, ours, theirs)
    return found


@pytest.mark.parametrize("name", STREAMS)
def test_diff_01_every_disagreement_over_the_corpus_is_in_the_table(name: str) -> None:
    assert None not in disagreements(STREAMS[name]).values()


def test_the_corpus_has_an_example_for_every_cell_of_the_table() -> None:
    seen: dict[str | None, set[str]] = {}
    for raw in STREAMS.values():
        for oracle, row in disagreements(raw).items():
            seen.setdefault(row, set()).add(oracle)
    assert seen == {row.name: set(row.others) for row in DISAGREEMENTS}


def test_every_disagreement_over_changed_streams_is_in_the_table() -> None:
    random = Random(1)
    for _ in range(MUTATED):
        raw = mutated(random)
        assert None not in disagreements(raw).values(), raw


@given(seed=st.integers(0, 2**64))
def test_every_disagreement_over_any_changed_stream_is_in_the_table(seed: int) -> None:
    raw = mutated(Random(seed))
    assert None not in disagreements(raw).values(), raw


@given(answer=answers.filter(lambda answer: answer.method == "GET"))
def test_nobody_disagrees_about_a_response_as_it_should_be(answer: Answer) -> None:
    ours = fast(answer.raw)
    assert ours.end == COMPLETE
    assert {oracle: verdict_of(answer.raw) for oracle, verdict_of in ORACLES.items()} == dict.fromkeys(ORACLES, ours)


def test_two_who_read_different_bodies_are_in_no_row() -> None:
    one, other = Verdict(COMPLETE, 200, b"a"), Verdict(COMPLETE, 200, b"b")
    assert name_of("h11", STREAMS["chunks: space before extension"], one, other) is None
    refused = Verdict(REFUSED, reason="the server sent a new kind of nonsense")
    assert name_of("h11", STREAMS["good: length"], refused, one) is None
    assert name_of("h11", STREAMS["good: length"], Verdict("incomplete"), one) is None


@given(seed=st.integers(0, 2**64), method=st.sampled_from(["GET", "HEAD"]), is_clean=st.booleans())
def test_any_cut_of_a_changed_stream_has_the_same_outcome(seed: int, method: str, is_clean: bool) -> None:
    random = Random(seed)
    raw = mutated(random)
    expected = http1_result(FastHttp1, method, [raw], is_clean=is_clean)
    assert http1_result(FastHttp1, method, pieces_of(random, raw), is_clean=is_clean) == expected
    single = [raw[place : place + 1] for place in range(len(raw))]
    assert http1_result(FastHttp1, method, single, is_clean=is_clean) == expected


@pytest.mark.parametrize("name", STREAMS)
@pytest.mark.parametrize("method", ["GET", "HEAD"])
def test_any_cut_of_the_corpus_has_the_same_outcome(name: str, method: str) -> None:
    raw = STREAMS[name]
    expected = http1_result(FastHttp1, method, [raw])
    assert http1_result(FastHttp1, method, [raw[place : place + 1] for place in range(len(raw))]) == expected
    for size in (2, 3, 7, 100, 4_096):
        assert http1_result(FastHttp1, method, [raw[i : i + size] for i in range(0, len(raw), size)]) == expected


def test_the_document_has_the_same_table() -> None:
    cells = r"^\| ([^|]+) \| (refuses|takes|fails too) \| ([^|]+) \| ([0-9. ]+) \|"
    rows = re.findall(cells, DOCUMENT.read_text(encoding="utf-8"), re.MULTILINE)
    expected = [(row.name, row.netio, row.others, row.section) for row in DISAGREEMENTS]
    assert [(name, netio, frozenset(others.split(", ")), rfc) for name, netio, others, rfc in rows] == expected
