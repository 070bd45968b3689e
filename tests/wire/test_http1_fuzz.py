"""The fuzz target over the response parser: a million inputs under `make fuzz`, otherwise the corpus and a few.

For each input: only netio's own errors come out; what is held back stays within its limit; the bytes add up; and what
is reported as a success is one to the judge of http1_fuzz.py too, to the byte. NETIO_FUZZ_SEED begins somewhere else.
"""

from __future__ import annotations

import os
from random import Random

import pytest

from netio.errors import ProtocolError, RequestError
from netio.wire import MAX_HEAD_BYTES, MAX_INFORMATIONAL, FastHttp1, HeadCache, Message
from tests.wire.engines import request_head
from tests.wire.http1_corpus import STREAMS, read_bytes
from tests.wire.http1_fuzz import body_of, mutated, pieces_of

INPUTS = 1_000_000
SEED = int(os.environ.get("NETIO_FUZZ_SEED", "1"))
HEADS = {method: request_head(method) for method in ("GET", "HEAD")}


def check_bounds(engine: FastHttp1, message: Message, fed: int) -> None:
    """What an engine holds is bounded by its limits, and never more than it was fed."""
    assert len(engine._buffer) <= min(fed, MAX_HEAD_BYTES + 1)
    assert engine._chunked is None or len(engine._chunked._line) <= min(fed, MAX_HEAD_BYTES)
    assert message.received == sum(map(len, message.chunks)) <= fed
    assert len(message.informational) <= MAX_INFORMATIONAL


def check(cache: HeadCache, method: str, raw: bytes, pieces: list[bytes], *, is_clean: bool) -> bool:
    """Feed one input and hold the outcome against the judge; return whether it was a success."""
    engine = FastHttp1(cache)
    message, _ = engine.start(HEADS[method])
    fed = 0
    try:
        for piece in pieces:
            fed += len(piece)
            engine.feed(piece)
            check_bounds(engine, message, fed)
    except ProtocolError:
        check_bounds(engine, message, fed)
        assert not engine.is_reusable
    was_complete = message.is_complete
    engine.feed_end(is_clean=is_clean)
    assert message.is_complete
    assert not engine.is_reusable
    if message.error is not None:
        assert isinstance(message.error, RequestError)
        return False
    body = body_of(raw, method)
    assert body is not None, raw
    assert b"".join(message.chunks) == body
    assert message.head is not None
    assert was_complete or is_clean
    return True


def fuzz(seed: int, inputs: int) -> int:
    """Check so many inputs; return how many were successes."""
    random = Random(seed)
    cache = HeadCache(heads=16, lines=64)  # small, so that what is remembered changes all the time
    successes = 0
    for _ in range(inputs):
        raw = mutated(random)
        method = "GET" if random.random() < 0.9 else "HEAD"
        pieces = pieces_of(random, raw)
        is_clean = random.random() < 0.7
        try:
            successes += check(cache, method, raw, pieces, is_clean=is_clean)
        except BaseException as error:
            error.add_note(f"for found.txt: {raw!r}, {method}, is_clean={is_clean}, cut at {[*map(len, pieces)]}")
            raise
    return successes


def test_a_few_thousand_inputs() -> None:
    successes = fuzz(SEED, 5_000)
    assert 500 < successes < 4_500  # else the changes are too wild, or too tame, to find anything


@pytest.mark.fuzz
@pytest.mark.timeout(3_000)
@pytest.mark.parametrize("part", range(10))
def test_a_million_inputs(part: int, request: pytest.FixtureRequest) -> None:
    is_long = request.config.getoption("--hypothesis-profile") == "fuzz"
    inputs = INPUTS // 10 if is_long else 200
    assert fuzz(SEED + 1 + part, inputs) > inputs // 20


@pytest.mark.parametrize("is_clean", [True, False], ids=["clean", "unclean"])
@pytest.mark.parametrize("method", ["GET", "HEAD"])
def test_the_corpus(method: str, is_clean: bool) -> None:
    cache = HeadCache()
    names = set()
    for name, raw in STREAMS.items():
        if check(cache, method, raw, [raw], is_clean=is_clean):
            names.add(name)
        pieces = [raw[place : place + 1] for place in range(len(raw))]
        assert check(cache, method, raw, pieces, is_clean=is_clean) == (name in names)
    good = {name for name in STREAMS if name.startswith("good: ")}
    needs_clean_end = {"good: until the end", "good: until the end of http 1.0", "good: no field at all"}
    expected = good if is_clean or method == "HEAD" else good - needs_clean_end
    assert expected - names == set()


def test_the_judge_knows_a_complete_response() -> None:
    assert body_of(STREAMS["good: chunked"], "GET") == b"hello world"
    assert body_of(STREAMS["good: interim then final"], "GET") == b"hello"
    assert body_of(STREAMS["good: length"], "HEAD") == b""
    for name in ("framing: body too short", "chunks: cut before last chunk", "heads: bare lf", "framing: two lengths"):
        assert body_of(STREAMS[name], "GET") is None


def test_the_notation_of_the_corpus() -> None:
    assert read_bytes("b'a * 2'\nb'\\r\\n' * 2\nb'b'\n") == b"a * 2\r\n\r\nb"
    assert len(STREAMS["chunks: 2000 small chunks"]) > 12_000
