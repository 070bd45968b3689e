"""Recordings with something wrong in them: an engine gives a right answer or an error of netio, whatever comes.

And both engines agree on which, except where a row of `DISAGREEMENTS` says why not.
"""

from __future__ import annotations

import re
from random import Random

import pytest
from hyperframe.frame import SettingsFrame
from hypothesis import given

from netio.errors import ProtocolError
from netio.wire import FastHttp2, Http2Engine
from netio.wire._reference2 import ReferenceHttp2
from tests.wire.engines import HTTP2_ENGINES, is_long, is_success
from tests.wire.http2_corpus import Result, frames_of, listen, mutated, recordings
from tests.wire.test_http2_exchanges import ForgetfulHttp2
from tests.wire.test_properties import Script, http2_result, scripts

RECORDINGS = recordings()
names = pytest.mark.parametrize("name", list(RECORDINGS))
kinds = pytest.mark.parametrize("kind", HTTP2_ENGINES, ids=lambda kind: kind.__name__)


def cut(data: bytes, choice: Random) -> list[bytes]:
    pieces = []
    while data:
        size = choice.choice((1, 5, 9, 100, 3_000, len(data)))
        pieces.append(data[:size])
        data = data[size:]
    return pieces


def check(result: Result) -> None:
    """What must be true of any outcome."""
    assert b"".join(frames_of(result.output)) == result.output
    for stream in result.streams:
        if is_success(stream):
            assert stream.head is not None
            assert 200 <= stream.head.status <= 599
        body = b"".join(stream.chunks)
        assert len(body) == stream.received <= result.data_received


def some_mutations(count: int, first: int = 0) -> list[tuple[int, str]]:
    return [(seed, list(RECORDINGS)[seed % len(RECORDINGS)]) for seed in range(first, first + count)]


@kinds
@names
def test_a_recording_means_the_same_however_it_is_cut(kind: type[Http2Engine], name: str) -> None:
    data = RECORDINGS[name]
    whole = listen(kind, [data])
    assert whole.fault is None
    for seed in range(5):
        pieces = cut(data, Random(seed))
        assert listen(kind, pieces).outcomes == whole.outcomes
    if len(data) < 1_000:
        by_bytes = listen(kind, [data[place : place + 1] for place in range(len(data))])
        assert by_bytes.outcomes == whole.outcomes


@names
def test_every_prefix_of_a_recording_is_part_of_it(name: str) -> None:
    data = RECORDINGS[name]
    whole = listen(FastHttp2, [data])
    step = 1 if len(data) < 1_000 else 97
    for size in range(0, len(data), step):
        result = listen(FastHttp2, [data[:size]])
        assert result.fault is None
        check(result)
        for part, stream in zip(result.streams, whole.streams, strict=True):
            assert b"".join(stream.chunks).startswith(b"".join(part.chunks))
            assert part.head is None or (stream.head is not None and part.head.fields == stream.head.fields)


@pytest.mark.fuzz
@pytest.mark.timeout(3_000)
def test_a_broken_recording_ends_in_an_answer_or_an_error() -> None:
    """In pieces and at once, with and without caches: the same."""
    for seed, name in some_mutations(100_000 if is_long() else 2_000):
        choice = Random(seed)
        data = mutated(RECORDINGS[name], choice)
        result = listen(FastHttp2, [data])
        check(result)
        for other in (listen(FastHttp2, cut(data, choice)), listen(ForgetfulHttp2, [data])):
            assert (other.outcomes, other.code, other.is_leaving) == (result.outcomes, result.code, result.is_leaving)


# Where the engines disagree and may. Each row: name, section of RFC 9113, what FastHttp2 says of the connection, what
# ReferenceHttp2 says; "" is nothing. A fault that one of them meets earlier hides what comes after it.

ANY, SOME = r".*", r".+"
HPACK = r"sent a header block that"
WRONG_SIZE = r"sent a \w+ frame of|too short for their priority|frame of \d+ bytes where|acknowledgement of SETTINGS"
MISPLACED = r"for stream \d+$|which nothing allowed|only a push|which no request opened|with more padding"
H2_BY_HEADER = r"invalid header: Stream ID|only a push|which no request opened|Frame data missing or invalid"

DISAGREEMENTS = [
    ("HPACK faults are PROTOCOL_ERROR to h2, which allows other codes where one fault is another", "4.3", HPACK, SOME),
    (
        "of two faults in one frame either may be told: size, stream and settings",
        "5.4",
        f"{WRONG_SIZE}|{MISPLACED}|interrupted",
        f"{H2_BY_HEADER}|{WRONG_SIZE}|MAX_SETTINGS|which is closed",
    ),
    ("trailers that do not end the stream cost the connection over h2", "8.1.1", ANY, "Trailers must have END_STREAM"),
    (
        "a 1xx that ends its stream, or comes late, costs the connection over h2",
        "8.1.1",
        ANY,
        "informational responses|Informational response|INFORMATIONAL_HEADERS",
    ),
    (
        "a Content-Length that is none, or is two, costs the connection over h2",
        "8.1.1",
        ANY,
        "content-length header|InvalidBodyLengthError",
    ),
    ("hyperframe reads ALTSVC, which netio ignores as any unknown frame", "5.5", ANY, "Frame data missing or invalid"),
    ("hyperframe takes padding for a priority", "6.2", "too short for their priority", ANY),
    ("a 304 whose end came apart is reset by the reference, which ignores what follows", "5.1", "is closed$", ANY),
    ("h2 refuses frames for streams that netio has reset, and ignores others", "5.4.2", ANY, "which is closed"),
    ("h2 ignores CONTINUATION of a stream that was reset", "6.10", "CONTINUATION, which nothing allowed", ANY),
    ("h2 waits for the rest of a header block before it judges", "6.10", f"interrupted|{MISPLACED}", ANY),
]


def disagreement(fast: Result, reference: Result) -> str | None:
    """Return the name of the row that explains a disagreement, None if there is no such row."""
    said, other = str(fast.fault or ""), str(reference.fault or "")
    for name, _, ours, theirs in DISAGREEMENTS:
        if re.search(ours, said) and re.search(theirs, other) and (said or other):
            return name
    return None


@pytest.mark.fuzz
@pytest.mark.timeout(3_000)
def test_each_disagreement_of_the_engines_has_a_row() -> None:
    seen: dict[str, int] = {}
    agreed = 0
    for seed, name in some_mutations(20_000 if is_long() else 1_500, 1_000_000):
        data = mutated(RECORDINGS[name], Random(seed))
        fast, reference = listen(FastHttp2, [data]), listen(ReferenceHttp2, [data])
        check(reference)
        if (fast.outcomes, fast.code) == (reference.outcomes, reference.code):
            agreed += 1
            continue
        row = disagreement(fast, reference)
        assert row is not None, f"seed {seed}, {name}: {fast.fault!s} / {reference.fault!s}"
        seen[row] = seen.get(row, 0) + 1
    assert agreed > sum(seen.values())
    if is_long():
        assert seen.keys() == {row[0] for row in DISAGREEMENTS}


@given(script=scripts)
def test_both_engines_make_the_same_of_frames_in_any_order(script: Script) -> None:
    """Each frame is well-formed; what h2 gives up the whole connection for is left out."""
    pieces = [SettingsFrame(0).serialize(), *(frame.serialize() for frame in script.frames)]
    fast, reference = http2_result(FastHttp2, pieces), http2_result(ReferenceHttp2, pieces)
    if fault_at(FastHttp2, pieces) == fault_at(ReferenceHttp2, pieces):
        assert fast["fault"] is reference["fault"]
        for what in ("outcomes", "sent", "open"):
            assert fast[what] == reference[what]
    else:
        assert reference["fault"] is ProtocolError


def fault_at(kind: type[Http2Engine], pieces: list[bytes]) -> int | None:
    """Return the number of the piece at which an engine gives the connection up."""
    ends = range(1, len(pieces) + 1)
    return next((end for end in ends if http2_result(kind, pieces[:end])["fault"] is ProtocolError), None)
