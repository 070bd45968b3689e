"""Inputs for the HTTP/1.1 response parser: the corpus, changed where a parser could stumble, cut at random.

`body_of` is the judge: what a response means, said once more in a few regular expressions over the whole of it. It is
slow and simple on purpose, shares no code with netio, and does not know what a read is.
"""

from __future__ import annotations

import re
from random import Random

from tests.wire.http1_corpus import STREAMS

LONGEST = 3_000  # the corpus has longer ones, which are replayed as they are

SEEDS = [raw for raw in STREAMS.values() if len(raw) <= LONGEST]
GOOD_SEEDS = [raw for name, raw in STREAMS.items() if name.startswith("good: ")]

BYTES = b'\r\n\r\n \t:;,=0159afAFxX-+_"\x00\x01\x0b\x7f\x80\xff'
TOKENS = [
    b"\r\n",
    b"\r\n\r\n",
    b"\r\n ",
    b"\n\n",
    b"0\r\n\r\n",
    b"5\r\nhello\r\n",
    b"ffffffffffffffff",
    b"00000000000000005",
    b"99999999999999999999",
    b"-1",
    b"+5",
    b"0x5",
    b"5, 5",
    b";a=b",
    b" ;a",
    b';"\r\n"',
    b"HTTP/1.1 200 OK\r\n",
    b"HTTP/1.0 200 OK\r\n",
    b"HTTP/1.1 100 Continue\r\n\r\n",
    b"HTTP/1.1 101 Switching Protocols\r\n",
    b"HTTP/1.1 204 No Content\r\n",
    b"HTTP/1.1 304 Not Modified\r\n",
    b"Content-Length: 5\r\n",
    b"content-length:6\r\n",
    b"Content-Length: 5, 5\r\n",
    b"Transfer-Encoding: chunked\r\n",
    b"transfer-encoding:\tCHUNKED \r\n",
    b"Transfer-Encoding: gzip, chunked\r\n",
    b"Connection: close\r\n",
    b"Connection: keep-alive\r\n",
    b"Set-Cookie: a=b\r\n",
    b"X: 1\r\n",
    b"X : 1\r\n",
    b": 1\r\n",
]


def mutated(random: Random) -> bytes:
    """Return a stream of the corpus with one to five changes."""
    raw = random.choice(GOOD_SEEDS if random.random() < 0.6 else SEEDS)
    for _ in range(random.choice((1, 1, 1, 2, 2, 3, 5))):
        raw = random.choice(_CHANGES)(random, raw)
    return raw[: 2 * LONGEST]


def _insert_byte(random: Random, raw: bytes) -> bytes:
    place = random.randint(0, len(raw))
    return raw[:place] + bytes((random.choice(BYTES),)) + raw[place:]


def _replace_byte(random: Random, raw: bytes) -> bytes:
    place = random.randint(0, len(raw))
    new = random.choice(BYTES) if random.random() < 0.8 else random.randrange(256)
    return raw[:place] + bytes((new,)) + raw[place + 1 :]


def _delete(random: Random, raw: bytes) -> bytes:
    place = random.randint(0, len(raw))
    return raw[:place] + raw[place + random.choice((1, 1, 2, 5)) :]


def _insert_token(random: Random, raw: bytes) -> bytes:
    place = random.randint(0, len(raw))
    return raw[:place] + random.choice(TOKENS) + raw[place:]


def _insert_line(random: Random, raw: bytes) -> bytes:
    lines = raw.splitlines(keepends=True)
    lines.insert(random.randint(0, len(lines)), random.choice(TOKENS))
    return b"".join(lines)


def _move_line(random: Random, raw: bytes) -> bytes:
    lines = raw.splitlines(keepends=True)
    if not lines:
        return raw
    line = random.choice(lines) if random.random() < 0.5 else lines.pop(random.randrange(len(lines)))
    lines.insert(random.randint(0, len(lines)), line)
    return b"".join(lines)


def _cut(random: Random, raw: bytes) -> bytes:
    return raw[: random.randint(0, len(raw))]


def _splice(random: Random, raw: bytes) -> bytes:
    other = random.choice(SEEDS)
    return raw[: random.randint(0, len(raw))] + other[random.randint(0, len(other)) :]


def _change_line_end(random: Random, raw: bytes) -> bytes:
    places = [found.start() for found in re.finditer(b"\r\n", raw)]
    if not places:
        return raw
    place = random.choice(places)
    return raw[:place] + random.choice((b"\n", b"\r", b"\r\r\n", b"\n\r", b"")) + raw[place + 2 :]


_CHANGES = (
    _insert_byte,
    _replace_byte,
    _delete,
    _insert_token,
    _insert_line,
    _move_line,
    _cut,
    _splice,
    _change_line_end,
)


def pieces_of(random: Random, raw: bytes) -> list[bytes]:
    """Cut a stream into reads: one, a few, or single bytes."""
    kind = random.random()
    if kind < 0.4:
        return [raw]
    if kind < 0.45:
        return [raw[place : place + 1] for place in range(len(raw))]
    places = sorted(random.randint(0, len(raw)) for _ in range(random.choice((1, 1, 2, 5))))
    return [raw[begin:end] for begin, end in zip([0, *places], [*places, len(raw)], strict=True)]


# The judge

_LINES = rb"((?:[!#$%&'*+\-.^_`|~0-9A-Za-z]+:[^\x00-\x08\x0a-\x1f\x7f]*\r\n)*)\r\n"
_HEAD = re.compile(rb"HTTP/1\.([01]) ([1-5][0-9][0-9])(?: [^\x00-\x08\x0a-\x1f\x7f]*)?\r\n" + _LINES)
_CHUNK = re.compile(rb"([0-9A-Fa-f]{1,16})(?:[ \t]*;[^\x00-\x08\x0a-\x1f\x7f]*)?\r\n")
_TRAILERS = re.compile(_LINES)
_LENGTH = re.compile(rb"([0-9]{1,19})(?:[ \t]*,[ \t]*\1)*")


def body_of(raw: bytes, method: str) -> bytes | None:
    """Return the body of the response that a stream begins with, None if there is no complete and correct one."""
    place = 0
    while True:
        head = _HEAD.match(raw, place)
        if not head or head[2] == b"101":
            return None
        place = head.end()
        if head[2] >= b"200":
            break
    lines = [line.partition(b":") for line in head[3].split(b"\r\n")[:-1]]
    lengths = {value.strip(b" \t") for name, _, value in lines if name.lower() == b"content-length"}
    codings = [value.strip(b" \t").lower() for name, _, value in lines if name.lower() == b"transfer-encoding"]
    if codings and (lengths or codings != [b"chunked"] or head[1] == b"0"):
        return None
    numbers = {match[1] for value in lengths if (match := _LENGTH.fullmatch(value))}
    if lengths and (len(numbers) != 1 or not all(_LENGTH.fullmatch(value) for value in lengths)):
        return None
    if method == "HEAD" or head[2] in (b"204", b"304"):
        return b""
    if codings:
        return _chunked_body(raw, place)
    if not lengths:
        return raw[place:]
    length = int(numbers.pop())
    return raw[place : place + length] if len(raw) >= place + length else None


def _chunked_body(raw: bytes, place: int) -> bytes | None:
    body = b""
    while True:
        chunk = _CHUNK.match(raw, place)
        if not chunk:
            return None
        place = chunk.end() + int(chunk[1], 16)
        if place == chunk.end():
            return body if _TRAILERS.match(raw, place) else None
        if raw[place : place + 2] != b"\r\n":
            return None
        body += raw[chunk.end() : place]
        place += 2
