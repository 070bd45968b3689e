"""What holds for any input: how it was cut into reads changes nothing, and only netio's own errors come out."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any

import pytest
from hpack import Encoder
from hyperframe.frame import (
    DataFrame,
    Frame,
    GoAwayFrame,
    HeadersFrame,
    PingFrame,
    RstStreamFrame,
    SettingsFrame,
    WindowUpdateFrame,
)
from hypothesis import given
from hypothesis import strategies as st

from netio.errors import ProtocolError, RequestError
from netio.wire import Http1Engine, Http2Engine, Stream, Wish
from tests.wire.engines import HTTP1_ENGINES, HTTP2_ENGINES, http1_result, is_success, outcome, request_head

http1 = pytest.mark.parametrize("kind", HTTP1_ENGINES, ids=lambda kind: kind.__name__)
http2 = pytest.mark.parametrize("kind", HTTP2_ENGINES, ids=lambda kind: kind.__name__)


def pieces_of(data: bytes, cuts: list[int]) -> list[bytes]:
    places = [0, *sorted(cut % (len(data) + 1) for cut in cuts), len(data)]
    return [data[begin:end] for begin, end in pairwise(places)]


cut_places = st.lists(st.integers(0, 1 << 16), max_size=30)

changes = st.lists(
    st.tuples(
        st.sampled_from(["replace", "insert", "delete"]), st.integers(0, 1 << 16), st.binary(min_size=1, max_size=3)
    ),
    max_size=4,
)


def changed(data: bytes, what: list[tuple[str, int, bytes]]) -> bytes:
    """Return data with some bytes replaced, inserted or left out."""
    for kind, number, new in what:
        place = number % (len(data) + 1)
        data = data[:place] + (b"" if kind == "delete" else new) + data[place + (0 if kind == "insert" else len(new)) :]
    return data


# HTTP/1.1

tokens = st.text("abcXYZ019-_!~", min_size=1, max_size=8)
values = st.text('ab,;= \t"\xe9\xff', max_size=12).map(lambda value: value.strip(" \t"))
pairs = st.lists(st.tuples(tokens.map(lambda name: f"X-{name}"), values), max_size=5)


@dataclass
class Answer:
    """An HTTP/1.1 response that is as it should be."""

    method: str
    status: int
    framing: str
    fields: list[tuple[str, str]]
    interim: list[list[tuple[str, str]]]
    chunks: list[bytes]
    trailers: list[tuple[str, str]]

    @property
    def has_body(self) -> bool:
        return self.method != "HEAD" and self.status not in (204, 304)

    @property
    def raw(self) -> bytes:
        parts = [b"HTTP/1.1 103 Early Hints\r\n" + lines(fields) + b"\r\n" for fields in self.interim]
        framing = {
            "chunked": [("Transfer-Encoding", "chunked")],
            "length": [("Content-Length", str(sum(map(len, self.chunks))))],
        }
        parts.append(f"HTTP/1.1 {self.status} Reason\r\n".encode())
        parts.append(lines([*self.fields, *framing.get(self.framing, [])]) + b"\r\n")
        if self.has_body and self.framing == "chunked":
            parts += [b"%x;ext=1\r\n%b\r\n" % (len(chunk), chunk) for chunk in self.chunks if chunk]
            parts.append(b"0\r\n" + lines(self.trailers) + b"\r\n")
        elif self.has_body:
            parts += self.chunks
        return b"".join(parts)


def lines(fields: list[tuple[str, str]]) -> bytes:
    return b"".join(f"{name}: {value}\r\n".encode("latin-1") for name, value in fields)


answers = st.builds(
    Answer,
    method=st.sampled_from(["GET", "GET", "GET", "HEAD"]),
    status=st.sampled_from([200, 200, 200, 404, 204, 304]),
    framing=st.sampled_from(["length", "chunked", "end"]),
    fields=pairs,
    interim=st.lists(pairs, max_size=2),
    chunks=st.lists(st.binary(max_size=40), max_size=4),
    trailers=pairs,
)


@http1
@given(answer=answers, cuts=cut_places)
def test_any_cut_of_an_http1_response_gives_the_same_response(
    kind: type[Http1Engine], answer: Answer, cuts: list[int]
) -> None:
    expected = http1_result(kind, answer.method, [answer.raw])
    assert http1_result(kind, answer.method, pieces_of(answer.raw, cuts)) == expected
    assert http1_result(kind, answer.method, [bytes([byte]) for byte in answer.raw]) == expected
    assert expected["body"] == (b"".join(answer.chunks) if answer.has_body else b"")
    assert expected["error"] is type(None)
    assert expected["trailers"] == (tuple(answer.trailers) if answer.has_body and answer.framing == "chunked" else ())
    assert len(expected["heads"]) == len(answer.interim) + 1
    assert expected["was_reusable"] == (answer.framing != "end" or not answer.has_body)


@http1
@given(answer=answers, what=changes, cuts=cut_places, is_clean=st.booleans())
def test_any_cut_of_a_broken_http1_response_gives_the_same_outcome(
    kind: type[Http1Engine], answer: Answer, what: list[tuple[str, int, bytes]], cuts: list[int], is_clean: bool
) -> None:
    raw = changed(answer.raw, what)
    expected = http1_result(kind, answer.method, [raw], is_clean=is_clean)
    assert http1_result(kind, answer.method, pieces_of(raw, cuts), is_clean=is_clean) == expected
    assert http1_result(kind, answer.method, [raw[i : i + 1] for i in range(len(raw))], is_clean=is_clean) == expected


@http1
@given(answer=answers, size=st.integers(0, 1 << 16), is_clean=st.booleans())
def test_h1_14_any_response_cut_short_is_never_a_success(
    kind: type[Http1Engine], answer: Answer, size: int, is_clean: bool
) -> None:
    raw = answer.raw[: size % len(answer.raw)]
    engine = kind()
    message, _ = engine.start(request_head(answer.method))
    engine.feed(raw)
    engine.feed_end(is_clean=is_clean)
    # Only of a body that the end of the connection ends nobody can tell.
    could_be_whole = answer.framing == "end" and answer.has_body and message.head is not None and is_clean
    assert is_success(message) == could_be_whole


# HTTP/2


@dataclass
class Script:
    """What an HTTP/2 server says about three requests: frames, each made when its turn comes."""

    frames: list[Frame] = field(default_factory=list)

    @property
    def raw(self) -> bytes:
        return SettingsFrame(0).serialize() + b"".join(frame.serialize() for frame in self.frames)


stream_ids = st.sampled_from([1, 3, 5])
names = st.text("abcxyz-019", min_size=1, max_size=8).map(lambda name: b"x-" + name.encode())
fields = st.lists(st.tuples(names, values.map(lambda value: value.encode("latin-1"))), max_size=4)
flags = st.sampled_from([[], [], ["END_STREAM"]])

Step = Callable[[Encoder], list[Frame]]


def heads(stream_id: int, status: bytes, block: list[tuple[bytes, bytes]], flag: list[str], is_split: bool) -> Step:
    def make(encoder: Encoder) -> list[Frame]:
        data = encoder.encode([(b":status", status), *block])
        if is_split:
            data, rest = data[:1], data[1:]
            more = Frame.parse_frame_header(memoryview(b"\x00\x00\x00\x09\x04" + stream_id.to_bytes(4, "big")))[0]
            more.parse_body(memoryview(rest))
            return [HeadersFrame(stream_id, data=data, flags=flag), more]
        return [HeadersFrame(stream_id, data=data, flags=["END_HEADERS", *flag])]

    return make


def plain(frame: Frame) -> Step:
    return lambda _: [frame]


steps = st.one_of(
    st.builds(
        heads, stream_ids, st.sampled_from([b"200", b"200", b"404", b"304", b"103"]), fields, flags, st.booleans()
    ),
    st.builds(
        lambda stream_id, data, flag: plain(DataFrame(stream_id, data=data, flags=flag)),
        stream_ids,
        st.binary(max_size=50),
        flags,
    ),
    st.builds(
        lambda stream_id, size: plain(DataFrame(stream_id, data=b"x", pad_length=size, flags=["PADDED"])),
        stream_ids,
        st.integers(0, 255),
    ),
    st.builds(
        lambda stream_id, code: plain(RstStreamFrame(stream_id, error_code=code)), stream_ids, st.integers(0, 20)
    ),
    st.builds(
        lambda stream_id, size: plain(WindowUpdateFrame(stream_id, window_increment=size)),
        st.sampled_from([0, 1, 3, 5]),
        st.integers(1, 1000),
    ),
    st.builds(lambda data: plain(PingFrame(0, opaque_data=data)), st.binary(min_size=8, max_size=8)),
    st.builds(lambda size: plain(SettingsFrame(0, settings={4: size})), st.integers(0, 100_000)),
    st.builds(lambda last: plain(GoAwayFrame(0, last_stream_id=last)), st.sampled_from([0, 1, 3, 2**31 - 1])),
)


def scripted(made: list[Step]) -> Script:
    encoder = Encoder()
    return Script([frame for step in made for frame in step(encoder)])


scripts = st.lists(steps, max_size=12).map(scripted)


def http2_result(kind: type[Http2Engine], pieces: list[bytes]) -> dict[str, Any]:
    """Return what an engine makes of a server's frames: three streams, whom it told what, and what it said."""
    engine = kind()
    engine.feed(SettingsFrame(0).serialize())
    streams = [engine.open(request_head()), engine.open(request_head("POST", length=None)), engine.open(request_head())]
    engine.send(streams[1], bytes(70_000))
    streams[2].credits_itself = True
    told: list[Stream] = []
    output = engine.take()
    fault: RequestError | None = None
    for stream in streams:
        stream.wish = Wish.END
    for piece in pieces:
        try:
            told += engine.feed(piece)
        except ProtocolError as error:
            fault = error
            told += engine.fail(error)
            break
        output += engine.take()
    output += engine.take()
    for stream in streams:
        assert not (stream.is_complete and stream.wish), "nobody was told of the end"
        assert (stream in told) or not stream.is_complete
    return {
        "outcomes": [outcome(stream) for stream in streams],
        "sent": [stream.error.sent if stream.error else None for stream in streams],
        "fault": type(fault),
        "open": (engine.open_streams, engine.max_streams),
        "output": output,
    }


@http2
@given(script=scripts, cuts=cut_places)
def test_any_cut_of_an_http2_connection_gives_the_same_outcome(
    kind: type[Http2Engine], script: Script, cuts: list[int]
) -> None:
    expected = http2_result(kind, [script.raw])
    assert http2_result(kind, pieces_of(script.raw, cuts)) == expected
    assert http2_result(kind, [bytes([byte]) for byte in script.raw]) == expected


@http2
@given(script=scripts, what=changes, cuts=cut_places)
def test_any_cut_of_a_broken_http2_connection_gives_the_same_outcome(
    kind: type[Http2Engine], script: Script, what: list[tuple[str, int, bytes]], cuts: list[int]
) -> None:
    raw = changed(script.raw, what)
    expected = http2_result(kind, [raw])
    assert http2_result(kind, pieces_of(raw, cuts)) == expected
