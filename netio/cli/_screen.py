"""What the server said, on a terminal or into a pipe.

A terminal obeys control characters: a server could retitle the window, repaint what stands above, or answer for the
user (HAZARDS LOG-02). So on a terminal everything of the peer is escaped, and a body that is not text is refused. A
pipe or a file gets the exact bytes.
"""

from __future__ import annotations

import codecs
import io
import os
import sys
from collections.abc import Iterable
from http import HTTPStatus
from typing import IO

from netio.cli._exits import NotWritten
from netio.message import Response
from netio.shown import escaped_line, escaped_text

_COLOURS = {2: "1;32", 3: "1;36", 4: "1;33", 5: "1;31"}  # green, cyan, yellow, red
_SAMPLE = 2_048  # bytes looked at to tell text from binary; curl looks at 2,000


def is_binary(beginning: bytes, charset: str) -> bool:
    """Whether a body that begins like this is not text in this charset."""
    try:
        text = codecs.getincrementaldecoder(charset)(errors="strict").decode(beginning[:_SAMPLE])
    except UnicodeError:
        return True
    return "\0" in text


class Screen:
    """Standard output, which knows whether a person or a program reads it."""

    def __init__(
        self, stream: IO[bytes], *, is_terminal: bool, encoding: str = "utf-8", is_coloured: bool = False
    ) -> None:
        self._stream = stream
        self._is_terminal = is_terminal
        self._encoding = encoding
        self._is_coloured = is_coloured
        self._decoder: io.IncrementalNewlineDecoder | None = None
        self._last = ""  # the character shown last

    @classmethod
    def of_stdout(cls) -> Screen:
        sys.stdout.flush()
        is_terminal = sys.stdout.isatty()
        is_coloured = is_terminal and not os.environ.get("NO_COLOR") and os.environ.get("TERM") != "dumb"
        encoding = sys.stdout.encoding
        return cls(sys.stdout.buffer, is_terminal=is_terminal, encoding=encoding, is_coloured=is_coloured)

    def show_head(self, response: Response) -> None:
        for line in head_lines(response):
            if self._is_terminal:
                self._show_text(escaped_line(line), style=self._style(line, response))
                self._write(b"\n")
            else:
                self._write(line.encode("latin-1", "backslashreplace") + b"\n")
        self._write(b"\n")
        self._last = "\n"
        self.flush()

    def show_piece(self, piece: bytes, charset: str) -> bool:
        """Show the next piece of the body; return False, without showing it, if it is not for this screen."""
        if not self._is_terminal:
            self._write(piece)
            self.flush()  # the next program in the pipe may wait for an event of a slow stream
            return True
        if self._decoder is None:
            if is_binary(piece, charset):
                return False
            # Line ends may be CRLF, also cut by two pieces; a CR alone would let the line overwrite itself.
            decoder = codecs.getincrementaldecoder(charset)(errors="replace")
            self._decoder = io.IncrementalNewlineDecoder(decoder, translate=True)
        return self._show_decoded(piece)

    def end(self) -> None:
        """Show what is left of the body: a character that was cut off."""
        self._show_decoded(b"", is_last=True)
        self.flush()

    def end_line(self) -> None:
        """Begin a new line for what comes next, if a person watches and the body has left one open."""
        if self._is_terminal and self._last not in ("", "\n"):
            self._write(b"\n")
            self._last = "\n"
            self.flush()

    def flush(self) -> None:
        try:
            self._stream.flush()
        except OSError as error:
            raise _not_written(error) from error

    def _show_decoded(self, piece: bytes, *, is_last: bool = False) -> bool:
        if self._decoder is None:
            return False
        try:
            text = self._decoder.decode(piece, final=is_last)
        except UnicodeError:  # some codecs raise where errors are to be replaced: UTF-16 without a byte order mark
            self._decoder = None
            return False
        self._show_text(text)
        return True

    def _show_text(self, text: str, *, style: str = "") -> None:
        shown = escaped_text(text)
        self._last = shown[-1:] or self._last
        if style:
            name, colon, value = shown.partition(":")
            shown = f"\x1b[{style}m{name}{colon}\x1b[0m{value}"
        self._write(shown.encode(self._encoding, "backslashreplace"))
        self.flush()

    def _style(self, line: str, response: Response) -> str:
        """Return how a line of the head is drawn: the status by its class, the names of fields in bold."""
        if not self._is_coloured:
            return ""
        is_status = line.startswith(response.http_version)
        return _COLOURS.get(response.status_code // 100, "1") if is_status else "1"

    def _write(self, data: bytes) -> None:
        try:
            self._stream.write(data)
        except OSError as error:
            raise _not_written(error) from error


def print_lines(lines: Iterable[str]) -> None:
    """Print lines on standard output. Raises `NotWritten`, without a word if who reads has had enough."""
    try:
        print("\n".join(lines), flush=True)
    except OSError as error:
        raise _not_written(error) from error


def head_lines(response: Response) -> list[str]:
    """Return status line and header fields, unescaped."""
    return [
        f"{response.http_version} {response.status_code} {reason_of(response)}".rstrip(),
        *(f"{name}: {value}" for name, value in response.headers.fields),
    ]


def reason_of(response: Response) -> str:
    """Return the reason phrase, the registered one where none was sent: HTTP/2 has none."""
    if response.reason_phrase:
        return response.reason_phrase
    try:
        return HTTPStatus(response.status_code).phrase
    except ValueError:
        return ""


def _not_written(error: OSError) -> NotWritten:
    if isinstance(error, BrokenPipeError):
        return NotWritten("")  # who reads has had enough, as in `netio get URL | head`
    return NotWritten(f"standard output cannot be written: {error.strerror}")
