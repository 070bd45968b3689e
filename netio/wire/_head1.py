"""Response heads of HTTP/1.1: strict reading, and two caches so that it is done once for what repeats.

A head is read line by line: split at CRLF, and each line held against one regular expression that allows no control
character, so bare CR, bare LF, NUL and folded lines fail there without being looked for. What a line means for the
framing and for the connection is part of its result; the framing of the whole head is decided from these.

`HeadCache` remembers lines (most of them are the same from one response to the next) and whole heads (under load, and
within one second, many are the same to the byte, Date included). It belongs to a pool, not to a connection and not to
the process: connections of one pool talk to the same servers and have the same owner, an idle connection stays small,
and two sessions cannot tell by the time a head takes what the other one has seen. What is remembered depends on the
bytes alone, never on the request or the connection, so a cache of any size, or none, gives the same result. Lines that
hold secrets or never repeat (`_PRIVATE`) are not remembered, nor is a head that has one. A full cache is emptied: what
is common is back after one response, and there is no order to be kept up on the hot path.
"""

from __future__ import annotations

import re

from netio.errors import ProtocolError
from netio.headers import Field
from netio.wire._checks import MAX_LENGTH_DIGITS
from netio.wire._contract import MAX_HEAD_FIELDS, ResponseHead

# How a message ends, as `ReceivedHead.framing` says it: by so many bytes (0 or more), or one of these.
CHUNKED = -1
UNTIL_END = -2
INTERIM = -3
BOTH = -4  # Content-Length and Transfer-Encoding
CHUNKED_1_0 = -5  # Transfer-Encoding in HTTP/1.0

MAX_CACHED_LINE = 256
MAX_CACHED_HEAD = 2_048
MAX_CACHED_STATUS_LINES = 64

# What a field line means beyond itself.
_PLAIN = 0
_LENGTH = 1
_CHUNKED = 2
_CONNECTION = 3
_PRIVATE = 4
_CLOSE = 5
_KEEP_ALIVE = 6
_CODED = 7

_MEANINGS = {
    "content-length": _LENGTH,
    "transfer-encoding": _CHUNKED,
    "connection": _CONNECTION,
    "content-encoding": _CODED,
    "authentication-info": _PRIVATE,
    "location": _PRIVATE,
    "proxy-authenticate": _PRIVATE,
    "proxy-authentication-info": _PRIVATE,
    "refresh": _PRIVATE,
    "set-cookie": _PRIVATE,
    "set-cookie2": _PRIVATE,
    "www-authenticate": _PRIVATE,
}

_TEXT = r"[\t\x20-\x7e\x80-\xff]*"  # field-content and reason-phrase, with obs-text (RFC 9110 section 5.5)
_LINE = re.compile(rf"([!#$%&'*+\-.^_`|~0-9A-Za-z]+):({_TEXT})").fullmatch
_NAME = re.compile(r"([!#$%&'*+\-.^_`|~0-9A-Za-z]+):").match
_STATUS = re.compile(rf"HTTP/1\.([01]) ([1-5][0-9][0-9])(?: ({_TEXT}))?").fullmatch
_NUMBER = re.compile(rf"[0-9]{{1,{MAX_LENGTH_DIGITS}}}").fullmatch

# Bare LF, bare CR (at the very end of what came it may still become a CRLF), folded line, control character.
_FAULT = re.compile(rb"(?<!\r)\n|\r[^\n]|\n[ \t]|[\x00-\x08\x0b\x0c\x0e-\x1f\x7f]").search
_VERSIONS = (b"HTTP/1.1 ", b"HTTP/1.0 ")

_Line = tuple[Field, int]
_StatusLine = tuple[int, str, str]


class ReceivedHead(ResponseHead):
    """A response head, and what it says about the end of the message and of the connection."""

    __slots__ = ("framing", "keeps_alive")

    def __init__(
        self, line: _StatusLine, fields: tuple[Field, ...], framing: int, *, keeps_alive: bool, is_coded: bool
    ) -> None:
        self.status, self.reason, self.version = line
        self.fields = fields
        self.is_coded = is_coded
        self.framing = framing
        self.keeps_alive = keeps_alive


class HeadCache:
    """What is remembered of response heads: at most `heads` whole ones and `lines` field lines, 0 for none."""

    __slots__ = ("_lines", "_max_heads", "_max_lines", "_status_lines", "heads")

    def __init__(self, *, heads: int = 64, lines: int = 512) -> None:
        self.heads: dict[bytes, ReceivedHead] = {}
        """By their bytes without the empty line; looked up by the engine itself."""
        self._lines: dict[str, _Line] = {}
        self._status_lines: dict[str, _StatusLine] = {}
        self._max_heads = heads
        self._max_lines = lines

    def read(self, raw: bytes) -> ReceivedHead:
        """Read a head without its empty line. Raises `ProtocolError`."""
        lines = raw.decode("latin-1").split("\r\n")
        if len(lines) > MAX_HEAD_FIELDS + 1:
            raise ProtocolError(f"the response head has more than {MAX_HEAD_FIELDS} fields (MAX_HEAD_FIELDS)")
        first = lines.pop(0)
        line = self._status_lines.get(first) or self._read_status_line(first)
        known = self._lines.get
        length = ""
        is_chunked = closes = keeps = is_private = is_coded = False
        fields: list[Field] = []
        for text in lines:
            field, meaning = known(text) or self._read_line(text)
            if meaning:
                if meaning == _LENGTH:
                    if length:
                        if field[1] != length:
                            raise ProtocolError("the server sent two different Content-Lengths")
                        continue  # repeats count as one (RFC 9110 section 8.6)
                    length = field[1]
                elif meaning == _CHUNKED:
                    if is_chunked:
                        raise ProtocolError("the server sent two Transfer-Encodings (RFC 9112 section 6.1)")
                    is_chunked = True
                elif meaning == _PRIVATE:
                    is_private = True
                elif meaning == _CLOSE:
                    closes = True
                elif meaning == _CODED:
                    is_coded = True
                else:
                    keeps = True
            fields.append(field)
        is_current = line[2] == "HTTP/1.1"
        framing = _framing(line[0], length, is_chunked, is_current)
        keeps_alive = not closes and (is_current or keeps)
        head = ReceivedHead(line, tuple(fields), framing, keeps_alive=keeps_alive, is_coded=is_coded)
        if not is_private and len(raw) <= MAX_CACHED_HEAD and self._max_heads:
            if len(self.heads) >= self._max_heads:
                self.heads.clear()
            self.heads[raw] = head
        return head

    def _read_status_line(self, text: str) -> _StatusLine:
        match = _STATUS(text)
        if not match:
            raise ProtocolError(
                f"the server does not speak HTTP/1.1, its answer begins with {text[:40]!a} (RFC 9112 section 4)"
            )
        minor, status, reason = match.groups("")
        line = (int(status), reason, "HTTP/1.1" if minor == "1" else "HTTP/1.0")
        if len(text) <= MAX_CACHED_LINE and self._max_lines:
            if len(self._status_lines) >= min(MAX_CACHED_STATUS_LINES, self._max_lines):
                self._status_lines.clear()
            self._status_lines[text] = line
        return line

    def _read_line(self, text: str) -> _Line:
        match = _LINE(text)
        name, value = match.groups() if match else read_field(text)
        field = (name, value.strip(" \t"))
        meaning = _MEANINGS.get(name.lower(), _PLAIN)
        if meaning:
            if meaning == _PRIVATE:
                return field, _PRIVATE
            if meaning == _LENGTH:
                field = (name, _checked_length(field[1]))
            elif meaning == _CHUNKED:
                field = (name, _checked_coding(field[1]))
            elif meaning == _CONNECTION:
                meaning = _read_options(value)
        line = (field, meaning)
        if len(text) <= MAX_CACHED_LINE and self._max_lines:
            if len(self._lines) >= self._max_lines:
                self._lines.clear()
            self._lines[text] = line
        return line


def read_field(text: str) -> Field:
    """Read one field line, of a head or of trailers. Raises `ProtocolError`."""
    match = _LINE(text)
    if match:
        name, value = match.groups()
        return name, value.strip(" \t")
    named = _NAME(text)
    if named:  # the value is not shown: it may be a secret
        raise ProtocolError(
            f"the value of {named[1][:80]} has a control character or a wrong line end (RFC 9110 section 5.5)"
        )
    raise ProtocolError(f"the server sent a line that is no header field, {text[:40]!a} (RFC 9112 section 5)")


def find_fault(buffer: bytearray, scanned: int) -> str:
    """Say what is wrong with a head that is not complete yet, "" for nothing. `scanned` bytes were looked at before."""
    if scanned < len(_VERSIONS[0]) and not any(version.startswith(buffer[: len(version)]) for version in _VERSIONS):
        return f"the server does not speak HTTP/1.1, its answer begins with {bytes(buffer[:40])!r}"
    fault = _FAULT(buffer, max(0, scanned - 2))
    if not fault:
        return ""
    line = buffer.count(b"\n", 0, fault.start()) + 1
    return f"line {line} of the response head has a wrong line end, a folded line or a control character"


def _framing(status: int, length: str, is_chunked: bool, is_current: bool) -> int:
    """Decide how the message ends (RFC 9112 section 6.3); what depends on the request is left to the engine."""
    if is_chunked:
        if length:
            return BOTH
        if not is_current:
            return CHUNKED_1_0
    if status < 200:
        return INTERIM
    if status in (204, 304):
        return 0
    if is_chunked:
        return CHUNKED
    return int(length) if length else UNTIL_END


def _checked_length(value: str) -> str:
    """Return the one number of a Content-Length, which may be listed more than once (RFC 9110 section 8.6)."""
    if _NUMBER(value):
        return value
    members = {member.strip(" \t") for member in value.split(",")}
    number = members.pop()
    if members or not _NUMBER(number):
        raise ProtocolError(f"the server sent a Content-Length that is no length: {value[:80]!a}")
    return number


def _checked_coding(value: str) -> str:
    if value.lower() != "chunked":
        raise ProtocolError(f"the transfer coding {value[:80]!a} is not known (RFC 9112 section 6.1)")
    return "chunked"


def _read_options(value: str) -> int:
    options = {option.strip(" \t") for option in value.lower().split(",")}
    if "close" in options:
        return _CLOSE
    return _KEEP_ALIVE if "keep-alive" in options else _PLAIN
