"""Server-sent events without I/O: what bytes mean (WHATWG HTML section 9.2), and when to connect again."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from netio.client._event_stream import (
    LONGEST_WAIT,
    MAX_ATTEMPTS,
    MAX_ID,
    SHORTEST_WAIT,
    EventParser,
    Reconnection,
    ServerSentEvent,
)

Event = ServerSentEvent


def parsed(data: bytes, limit: int = 1_000) -> list[ServerSentEvent]:
    return EventParser(limit=limit).feed(data)


CASES = {
    "one line": (b"data: a\n\n", [Event("a")]),
    "two lines": (b"data: a\ndata: b\n\n", [Event("a\nb")]),
    "without a blank": (b"data:a\n\n", [Event("a")]),
    "one blank is taken off": (b"data:  a \n\n", [Event(" a ")]),
    "no colon": (b"data\n\ndata\ndata\n\ndata:", [Event(""), Event("\n")]),
    "nothing but an end": (b"\n\n\n", []),
    "no data, no event": (b"event: x\nid: 1\n\ndata: a\n\n", [Event("a", "message", "1")]),
    "type": (b"event: add\ndata: 1\n\ndata: 2\n\n", [Event("1", "add"), Event("2")]),
    "last type counts": (b"event: a\nevent: b\ndata\n\nevent: c\nevent:\ndata\n\n", [Event("", "b"), Event("")]),
    "id stays": (b"id: 1\ndata: a\n\ndata: b\n\nid\ndata: c\n\n", [Event("a", id="1"), Event("b", id="1"), Event("c")]),
    "id with NUL": (b"id: 1\x002\ndata: a\n\nid: 3\ndata: b\n\n", [Event("a"), Event("b", id="3")]),
    "id that no field can carry": (b"id: 1\x1b\ndata: a\n\n", [Event("a")]),
    "id that is too long": (b"id: " + b"1" * (MAX_ID + 1) + b"\ndata: a\n\n", [Event("a")]),
    "comment": (b": one\n:two\ndata: a\n:\n\n", [Event("a")]),
    "unknown field": (b"date: a\ndata\x00: b\nData: c\n data: d\n\n", []),
    "colons in the value": (b"data: a: b\n\n", [Event("a: b")]),
    "CR": (b"data: a\rdata: b\r\r", [Event("a\nb")]),
    "CRLF": (b"data: a\r\ndata: b\r\n\r\n", [Event("a\nb")]),
    "mixed": (b"data: a\rdata: b\ndata: c\r\n\r\ndata: d\r\r\ndata: e\n\r", [Event("a\nb\nc"), Event("d"), Event("e")]),
    "byte order mark": (b"\xef\xbb\xbfdata: a\n\n", [Event("a")]),
    "two of them": (b"\xef\xbb\xbf\xef\xbb\xbfdata: a\n\n", []),
    "one later": (b"data: a\n\n\xef\xbb\xbfdata: b\n\n", [Event("a")]),
    "no UTF-8": (b"data: \xff\xc3\n\ndata: \xc3\xbc\n\n", [Event("\ufffd\ufffd"), Event("ü")]),
    "cut off": (b"data: a\n\ndata: b\n", [Event("a")]),
    "NUL in the data": (b"data: \x00\n\n", [Event("\x00")]),
}


@pytest.mark.parametrize(("data", "events"), CASES.values(), ids=list(CASES))
def test_sse_01_bytes_mean_these_events(data: bytes, events: list[ServerSentEvent]) -> None:
    assert parsed(data, 10_000) == events


@pytest.mark.parametrize(("data", "events"), CASES.values(), ids=list(CASES))
def test_sse_01_the_same_byte_by_byte(data: bytes, events: list[ServerSentEvent]) -> None:
    parser = EventParser(limit=10_000)
    assert [event for byte in data for event in parser.feed(bytes([byte]))] == events


LINES = [
    b"data: abc",
    b"data",
    b":",
    b"id: 7",
    b"id: \x00",
    b"event: e",
    b"retry: 10",
    b"\xef\xbb\xbf",
    b"\xc3\xbc",
    b"",
]
ENDS = [b"\n", b"\r", b"\r\n"]


@given(
    st.lists(st.tuples(st.sampled_from(LINES), st.sampled_from(ENDS))),
    st.lists(st.integers(0, 200)),
    st.sampled_from([8, 12, 1_000]),
)
def test_sse_01_any_cut_gives_the_same(lines: list[tuple[bytes, bytes]], cuts: list[int], limit: int) -> None:
    data = b"".join(line + end for line, end in lines)
    whole, cut = EventParser(limit=limit), EventParser(limit=limit)
    events = whole.feed(data)
    places = sorted({0, len(data), *(place for place in cuts if place < len(data))})
    pieces = [data[i:j] for i, j in zip(places, [*places[1:], len(data)], strict=True)]
    assert [event for piece in pieces for event in cut.feed(piece)] == events
    assert (cut.last_id, cut.retry, cut.fault) == (whole.last_id, whole.retry, whole.fault)


def test_the_last_id_is_that_of_a_complete_event() -> None:
    parser = EventParser(limit=100, last_id="0")
    parser.feed(b"data: a\n\n")
    assert parser.last_id == "0"
    parser.feed(b"id: 1\ndata: b\n")
    assert parser.last_id == "0"
    parser.feed(b"\n")
    assert parser.last_id == "1"


@pytest.mark.parametrize(
    ("value", "retry"),
    [("2500", 2.5), ("0", 0.0), ("1" * 15, int("1" * 15) / 1_000), ("1" * 16, None), ("-1", None), ("1.5", None),
     ("٣", None), ("", None), ("1e3", None)],
)  # fmt: skip
def test_sse_01_retry_is_digits(value: str, retry: float | None) -> None:
    parser = EventParser(limit=100)
    parser.feed(f"retry: {value}\n".encode())
    assert parser.retry == retry


@pytest.mark.parametrize("limit", [10, 100])
def test_sse_01_a_line_has_a_limit(limit: int) -> None:
    line = b":" * limit
    parser = EventParser(limit=limit)
    assert parser.feed(line) + parser.feed(b"\n" + line + b"\n") == []
    assert parser.fault is None
    parser.feed(line + b":")  # its end has not come yet
    assert parser.fault == f"a line of the event stream has more than {limit} bytes (max_event)"


def test_sse_01_an_event_has_a_limit_and_those_before_it_come() -> None:
    parser = EventParser(limit=14)
    assert parser.feed(b"data: 1\ndata: 2\n\n") == [Event("1\n2")]
    assert parser.feed(b"data: 1\n\ndata: 2\ndata: 34\ndata: 5\n\ndata: 6\n\n") == [Event("1")]
    assert parser.fault == "the data of an event of the event stream has more than 14 bytes (max_event)"
    assert parser.feed(b"data: 7\n\n") == []


def test_an_event_may_be_json() -> None:
    assert Event('{"a": [1]}').json() == {"a": [1]}
    with pytest.raises(ValueError, match="Expecting"):
        Event("").json()


# ---------------------------------------------------------------------- when to connect again


def test_waits_grow_while_nothing_is_heard() -> None:
    reconnection = Reconnection()
    waits = [reconnection.wait(1.0) for _ in range(40)]
    assert waits == [*(min(3.0 * 2**n, LONGEST_WAIT) for n in range(40))]
    assert reconnection.wait(0.0) == LONGEST_WAIT / 2
    reconnection.heard()
    assert (reconnection.wait(0.0), reconnection.wait(0.0)) == (1.5, 3.0)


@pytest.mark.parametrize(("asked", "usual"), [(0.0, SHORTEST_WAIT), (2.0, 2.0), (1e12, LONGEST_WAIT)])
def test_sse_01_what_the_server_asks_for_is_clamped(asked: float, usual: float) -> None:
    reconnection = Reconnection()
    reconnection.asked(asked)
    assert reconnection.wait(1.0) == usual


def test_so_many_failures_in_a_row_are_enough() -> None:
    reconnection = Reconnection()
    assert [reconnection.failed() for _ in range(MAX_ATTEMPTS)] == [True] * (MAX_ATTEMPTS - 1) + [False]
    reconnection.opened()
    assert reconnection.failed()
