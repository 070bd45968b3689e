"""Recordings of what HTTP/2 servers say to eight fixed requests, and what an engine makes of one.

The files in corpus/http2 are raw bytes after the server's first SETTINGS. `python -m tests.wire.http2_corpus` writes
them anew, by h2's server and by hand. What fuzzing finds is added there as a file of its own.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from random import Random

from h2.settings import SettingCodes
from hyperframe.frame import ContinuationFrame, DataFrame, GoAwayFrame, HeadersFrame, PingFrame, SettingsFrame

from netio.errors import ConnectionLost, ProtocolError, RequestError
from netio.wire import Http2Engine, RequestHead, Stream, Wish
from tests.wire.engines import outcome, request_head
from tests.wire.http2_server import Server

CORPUS = Path(__file__).parent / "corpus" / "http2"
FIELDS = (("Accept", "*/*"), ("User-Agent", "netio"))
REQUESTS = (
    request_head(fields=FIELDS),
    request_head(target="/a", fields=FIELDS),
    request_head("HEAD", fields=FIELDS),
    request_head("POST", fields=FIELDS, length=None),
    request_head("POST", fields=FIELDS, length=5),
    RequestHead("CONNECT", "http", "example.com:443", "example.com:443", (), 0),
    request_head(target="/b"),
    request_head(target="/c"),
)


def ask(engine: Http2Engine) -> list[Stream]:
    """Have an engine make the requests, after the server's first SETTINGS."""
    engine.feed(SettingsFrame(0).serialize())
    streams = [engine.open(head) for head in REQUESTS]
    for number, stream in enumerate(streams):
        stream.wish = (Wish.END, Wish.HEAD, Wish.PROGRESS)[number % 3]
        stream.credits_itself = number % 2 == 0
    engine.send(streams[3], bytes(70_000))
    engine.send(streams[4], b"hello")
    return streams


@dataclass
class Result:
    """What an engine made of a recording."""

    streams: list[Stream]
    fault: RequestError | None
    output: bytes
    is_leaving: bool
    data_received: int

    @property
    def code(self) -> int | None:
        """The code of the GOAWAY that was said."""
        return None if self.fault is None else int.from_bytes(self.output[-4:], "big")

    @property
    def outcomes(self) -> list[dict[str, object]]:
        return [outcome(stream) for stream in self.streams]


def listen(kind: Callable[[], Http2Engine], pieces: list[bytes]) -> Result:
    """Give an engine a recording in pieces; what did not end by it ends by the loss of the connection."""
    engine = kind()
    streams = ask(engine)
    output = engine.take()
    told: list[Stream] = []
    fault: RequestError | None = None
    try:
        for piece in pieces:
            told += engine.feed(piece)
            output += engine.take()
    except ProtocolError as error:
        fault = error
    output += engine.take()
    is_leaving = engine.max_streams == 0
    told += engine.fail(fault or ConnectionLost("the recording ends"))
    for stream in streams:
        assert stream.is_complete
        assert stream in told or not stream.wish
        assert stream.error is None or isinstance(stream.error, RequestError)
    assert engine.open_streams == 0
    assert not engine.has_output
    return Result(streams, fault, output, is_leaving, engine.data_received)


def recordings() -> dict[str, bytes]:
    return {path.stem: path.read_bytes() for path in sorted(CORPUS.glob("*.bin"))}


def frames_of(data: bytes) -> list[bytes]:
    """Cut data into frames; what is no whole frame is one too."""
    frames = []
    while data:
        size = 9 + int.from_bytes(data[:3], "big")
        frames.append(data[:size])
        data = data[size:]
    return frames


def mutated(data: bytes, choice: Random) -> bytes:
    """Return a recording with one to three changes, of bytes or of whole frames."""
    for _ in range(choice.randrange(1, 4)):
        if choice.random() < 0.5:
            data = _change_bytes(bytearray(data), choice)
        else:
            data = b"".join(_change_frames(frames_of(data), choice))
    return data


def _change_bytes(data: bytearray, choice: Random) -> bytes:
    place = choice.randrange(len(data) + 1)
    what = choice.randrange(4)
    if what == 0 and place < len(data):
        data[place] = choice.randrange(256)
    elif what == 1:
        del data[place : place + choice.randrange(1, 20)]
    elif what == 2:
        data[place:place] = choice.randbytes(choice.randrange(20))
    elif place < len(data):
        data[place] ^= 1 << choice.randrange(8)
    return bytes(data)


def _change_frames(frames: list[bytes], choice: Random) -> list[bytes]:
    if not frames:
        return frames
    place, other = choice.randrange(len(frames)), choice.randrange(len(frames))
    frame = bytearray(frames[place])
    what = choice.randrange(8)
    if what == 0:
        frames.insert(other, frames[place])
    elif what == 1:
        del frames[place]
    elif what == 2:
        frames[place], frames[other] = frames[other], frames[place]
    elif what == 3 and len(frame) >= 9:
        frame[8] = choice.choice((0, 1, 2, 3, 5, 7, 9, 11, 13, 15, 17, 99))
        frames[place] = bytes(frame)
    elif what == 4 and len(frame) >= 9:
        frame[4] ^= choice.choice((1, 4, 8, 0x20, 0x80))
        frames[place] = bytes(frame)
    elif what == 5 and len(frame) >= 9:
        frame[3] = choice.randrange(12)
        frames[place] = bytes(frame)
    elif what == 6:
        stream = choice.choice((0, 1, 3, 7, 15, 17)).to_bytes(4, "big")
        frames.insert(place, b"\0\0\4" + bytes((choice.randrange(11), choice.randrange(64))) + stream + b"\0\0\0\1")
    elif len(frame) > 9:
        size = choice.randrange(9, len(frame))
        frames[place] = (size - 9).to_bytes(3, "big") + bytes(frame[3:size])
    return frames


# Making the corpus


class _Recorder:
    """A server that answers the requests and writes down what it says."""

    def __init__(self, kind: type[Http2Engine]) -> None:
        self.engine = kind()
        self.server = Server(self.engine, {SettingCodes.MAX_CONCURRENT_STREAMS: 100})
        self.server.hear()
        self.server.h2.data_to_send()
        self.streams = ask(self.engine)
        self.server.hear()
        self.said = bytearray()

    def flush(self) -> None:
        self.said += self.server.h2.data_to_send()

    def answer(self, number: int, body: bytes = b"", *fields: tuple[bytes, bytes], status: bytes = b"200") -> None:
        stream = self.streams[number]
        self.server.h2.send_headers(stream.id, [(b":status", status), *fields], end_stream=not body)
        if body:
            self.server.send(stream, body, ends=True)
        self.flush()


NGINX = (b"server", b"nginx"), (b"date", b"Sun, 22 Nov 2026 20:00:00 GMT"), (b"content-type", b"text/html")


def _record(kind: type[Http2Engine]) -> dict[str, bytes]:
    made: dict[str, bytes] = {}
    plain = _Recorder(kind)
    for number, body in enumerate((b"hello", b"x" * 300, b"", b"early", b"created", b"raw bytes", b"y" * 20_000, b"")):
        length = (b"content-length", b"%d" % len(body))
        plain.answer(number, body, *NGINX, *(() if number == 5 else (length,)))
    made["plain"] = bytes(plain.said)
    made["shapes"] = _shapes(_Recorder(kind))
    made["control"] = _control(_Recorder(kind))
    made["endings"] = _endings(_Recorder(kind))
    made["blocks"] = _blocks(_Recorder(kind))
    return made


def _shapes(said: _Recorder) -> bytes:
    """Interim answers, padding, trailers, empty frames, no body where there is a length."""
    h2, ids = said.server.h2, [stream.id for stream in said.streams]
    for stream_id in ids[:3]:
        h2.send_headers(stream_id, [(b":status", b"103"), (b"link", b"</a>")])
    h2.send_headers(ids[0], [(b":status", b"200"), (b"content-length", b"10")])
    for _ in range(2):
        h2.send_data(ids[0], b"hello", pad_length=7)
    h2.send_headers(ids[0], [(b"x-sum", b"1")], end_stream=True)
    h2.send_headers(ids[1], [(b":status", b"304"), (b"content-length", b"10")])
    h2.end_stream(ids[1])
    h2.send_headers(ids[2], [(b":status", b"200"), (b"content-length", b"10")], end_stream=True)
    h2.send_headers(ids[6], [(b":status", b"200")])
    for piece in (b"a", b"", b"b" * 100, b""):
        h2.send_data(ids[6], piece)
    h2.end_stream(ids[6])
    said.flush()
    return bytes(said.said)


def _control(said: _Recorder) -> bytes:
    """SETTINGS, PING and windows between the frames of responses."""
    h2, ids = said.server.h2, [stream.id for stream in said.streams]
    h2.send_headers(ids[0], [(b":status", b"200")])
    h2.ping(b"12345678")
    h2.send_data(ids[0], b"hello", end_stream=True)
    h2.update_settings({SettingCodes.INITIAL_WINDOW_SIZE: 100_000, SettingCodes.HEADER_TABLE_SIZE: 100})
    h2.increment_flow_control_window(50_000)
    h2.increment_flow_control_window(50_000, ids[3])
    h2.update_settings({SettingCodes.INITIAL_WINDOW_SIZE: 10, SettingCodes.MAX_CONCURRENT_STREAMS: 1})
    said.flush()
    said.said += PingFrame(0, opaque_data=bytes(8), flags=["ACK"]).serialize()
    said.said += SettingsFrame(0, flags=["ACK"]).serialize()
    said.answer(7, b"last", *NGINX)
    return bytes(said.said)


def _endings(said: _Recorder) -> bytes:
    """Resets of every kind, and a GOAWAY in two steps."""
    said.answer(0, b"hello", *NGINX)
    said.server.h2.reset_stream(said.streams[1].id, 7)
    said.server.h2.send_headers(said.streams[3].id, [(b":status", b"413")], end_stream=True)
    said.server.h2.reset_stream(said.streams[3].id, 0)
    said.server.h2.send_headers(said.streams[4].id, [(b":status", b"200")])
    said.server.h2.reset_stream(said.streams[4].id, 2)
    said.flush()
    said.said += GoAwayFrame(0, last_stream_id=2**31 - 1).serialize()
    said.answer(2, b"", *NGINX)
    said.said += GoAwayFrame(
        0, last_stream_id=said.streams[6].id, error_code=11, additional_data=b"max age"
    ).serialize()
    said.answer(6, b"hello", *NGINX)
    return bytes(said.said)


def _blocks(said: _Recorder) -> bytes:
    """Header blocks in pieces, padded, with priority, with and without the table."""
    encoder, ids = said.server.h2.encoder, [stream.id for stream in said.streams]
    for number, huffman in ((0, True), (1, False), (6, True)):
        block = encoder.encode([(b":status", b"200"), *NGINX, (b"set-cookie", b"a=%d" % number)], huffman=huffman)
        first = HeadersFrame(ids[number], data=block[:5])
        second = ContinuationFrame(ids[number], data=block[5:9])
        third = ContinuationFrame(ids[number], data=block[9:], flags=["END_HEADERS"])
        for frame in (first, second, third, DataFrame(ids[number], data=b"hello", flags=["END_STREAM"])):
            said.said += frame.serialize()
    for number in (2, 7):
        block = encoder.encode([(b":status", b"404"), *NGINX])
        flags = ["END_HEADERS", "END_STREAM", "PADDED", "PRIORITY"]
        head = HeadersFrame(ids[number], data=block, pad_length=9, depends_on=0, stream_weight=5, flags=flags)
        said.said += head.serialize()
    return bytes(said.said)


if __name__ == "__main__":
    from netio.wire import FastHttp2

    CORPUS.mkdir(parents=True, exist_ok=True)
    for name, data in _record(FastHttp2).items():
        (CORPUS / f"{name}.bin").write_bytes(data)
