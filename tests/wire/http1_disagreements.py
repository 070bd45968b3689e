"""Where netio's HTTP/1.1 engine and the other readers disagree on purpose: the table of docs/http1.md, as rules.

A disagreement is a stream of which one reader makes a complete response and the other does not, or another one. A row
says who disagrees, which section of an RFC it is about, and how to know it: by what netio says is wrong, or by what the
other reader says, and by what the stream must have in it. A disagreement that no row knows is a fault of somebody.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from tests.wire.http1_oracles import COMPLETE, Verdict

REFUSES = "refuses"
TAKES = "takes"
FAILS_TOO = "fails too"


@dataclass(frozen=True)
class Disagreement:
    """One row. `says` is searched in the words of whoever refuses, `has` in the stream."""

    name: str
    netio: str
    others: frozenset[str]
    section: str
    says: str = ""
    has: bytes = b""

    def knows(self, oracle: str, raw: bytes, ours: Verdict, theirs: Verdict) -> bool:
        if oracle not in self.others or not re.search(self.has, raw, re.DOTALL):
            return False
        if self.netio == FAILS_TOO:
            return ours.end != COMPLETE and theirs.end != COMPLETE
        refused, taken = (ours, theirs) if self.netio == REFUSES else (theirs, ours)
        return refused.end != COMPLETE and taken.end == COMPLETE and bool(re.search(self.says, refused.reason))


def _row(name: str, netio: str, others: str, section: str, says: str = "", has: bytes = b"") -> Disagreement:
    return Disagreement(name, netio, frozenset(others.split(", ")), section, says, has)


_LINE = "line end|control character|no header field|begins with"
_FRAMING = "both Content-Length|is no length|two different|transfer coding|two Transfer-Encodings|HTTP/1.0"
_CONTROL = rb"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f]|\r(?!\n)"

DISAGREEMENTS = [
    _row("bare LF", REFUSES, "h11, h11r", "9112 2.2", f"{_LINE}|MAX_HEAD_FIELDS", rb"(?<!\r)\n"),
    _row("folded line", REFUSES, "h11, h11r", "9112 5.2", f"{_LINE}|is no length|transfer coding", rb"\n[ \t]"),
    _row("control character in a trailer", REFUSES, "h11", "9110 5.5", "control character", _CONTROL),
    _row("control character in a reason", REFUSES, "httptools", "9112 4", "begins with|line 1 ", _CONTROL),
    _row("status outside 100 to 599", REFUSES, "httptools", "9110 15", "begins with", rb"HTTP/1\.[01] (0|[6-9])"),
    _row(
        "empty line before the response",
        REFUSES,
        "httptools, h11r",
        "9112 2.2",
        "begins with",
        rb"^[\r\n]|\n\r?\n[\r\n]",
    ),
    _row(
        "other protocol or version", REFUSES, "httptools", "9112 2.3", "begins with", rb"HTTP/[0-9]\.[0-9] |RTSP/|ICE/"
    ),
    _row("head above a limit", REFUSES, "httptools", "9110 5.4", "response head .*MAX_HEAD"),
    _row("interim responses above the limit", REFUSES, "httptools, h11r", "9110 15.2", "MAX_INFORMATIONAL"),
    _row("switch that nobody asked for", REFUSES, "httptools", "9110 7.8", "switched protocols"),
    _row(
        "faulty framing where no body is", REFUSES, "httptools, h11r", "9112 6.3", _FRAMING, rb" (1[0-9][0-9]|204|304)"
    ),
    _row("one length in two spellings", REFUSES, "h11r", "9110 8.6", "two different"),
    _row("length of more than 19 digits", REFUSES, "httptools, h11r", "9110 8.6", "is no length", rb"[0-9]{20}"),
    _row("coding other than one chunked", REFUSES, "httptools", "9112 6.1", "transfer coding|two Transfer-Encodings"),
    _row("Transfer-Encoding in HTTP/1.0", REFUSES, "httptools", "9112 6.1", r"HTTP/1\.0"),
    _row(
        "chunk size of more than 16 digits",
        REFUSES,
        "h11, httptools, h11r",
        "9112 7.1",
        "chunk size",
        rb"[0-9A-Fa-f]{17}",
    ),
    _row("white space after a chunk size", REFUSES, "h11", "9112 7.1", "chunk size", rb"[0-9A-Fa-f][ \t]+\r\n"),
    _row(
        "control character in an extension",
        REFUSES,
        "h11",
        "9112 7.1.1",
        "chunk size",
        rb"[0-9A-Fa-f];[^\n]*" + b"(?:" + _CONTROL + b")",
    ),
    _row("chunk overhead above the limit", REFUSES, "h11, httptools, h11r", "9112 7.1.1", "MAX_CHUNK_OVERHEAD"),
    _row("trailers above a limit", REFUSES, "h11, httptools", "9110 6.5", "trailers .*MAX_HEAD"),
    _row("white space before an extension", TAKES, "h11, httptools", "9112 7.1.1", "chunk", rb"[0-9A-Fa-f][ \t]+;"),
    _row("extension that is no token", TAKES, "httptools, h11r", "9112 7.1.1", "chunk", rb"[0-9A-Fa-f][ \t]*;"),
    _row("one length said twice", TAKES, "httptools", "9110 8.6", "(Duplicate|character in) Content-Length"),
    _row("framing fields in trailers", TAKES, "h11, httptools", "9110 6.5.1", "Content-Length|Transfer-Encoding"),
    _row(
        "interim response that closes", TAKES, "httptools", "9110 15.2", "after `Connection: close`", rb"HTTP/1\.[01] 1"
    ),
    _row("interim response with a length", TAKES, "httptools", "9110 15.2", "Expected HTTP/|^$", rb"HTTP/1\.[01] 1"),
    _row("white space behind the last chunk", TAKES, "h11r", "9112 9.2", "trailer", rb"\r\n\r\n[ \t]"),
    _row("error of another kind", FAILS_TOO, "h11, httptools, h11r", "9112 8"),
]


def name_of(oracle: str, raw: bytes, ours: Verdict, theirs: Verdict) -> str | None:
    """Return the name of the row that knows a disagreement, None if there is none."""
    return next((row.name for row in DISAGREEMENTS if row.knows(oracle, raw, ours, theirs)), None)
