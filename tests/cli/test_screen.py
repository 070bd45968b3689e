from __future__ import annotations

import io
import os
import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from netio.cli._screen import Screen, head_lines, is_binary
from netio.headers import Headers
from netio.message import Request, Response
from netio.shown import escaped_line, escaped_text


def answer(status: int = 200, *fields: tuple[str, str], reason: str = "", version: str = "HTTP/1.1") -> Response:
    return Response(
        status,
        request=Request("GET", "http://h/"),
        headers=Headers.received(fields),
        reason_phrase=reason,
        http_version=version,
    )


def shown(*pieces: bytes, charset: str = "utf-8", is_terminal: bool = True, encoding: str = "utf-8") -> bytes:
    stream = io.BytesIO()
    screen = Screen(stream, is_terminal=is_terminal, encoding=encoding)
    for piece in pieces:
        if not screen.show_piece(piece, charset):
            screen.end()
            return stream.getvalue() + b"refused"
    screen.end()
    return stream.getvalue()


def shown_head(response: Response, *, is_terminal: bool) -> bytes:
    stream = io.BytesIO()
    Screen(stream, is_terminal=is_terminal).show_head(response)
    return stream.getvalue()


@pytest.mark.parametrize(
    ("hostile", "harmless"),
    [
        ("\x1b]0;title\x07", "\\x1b]0;title\\x07"),
        ("\x9b2J", "\\x9b2J"),
        ("a\rb", "a\\x0db"),
        ("a\x08\x7f", "a\\x08\\x7f"),
        ("admin\u202etxt.exe", "admin\\u202etxt.exe"),
        ("a\u2028b\u2066c", "a\\u2028b\\u2066c"),
    ],
)
def test_log_02_what_a_terminal_would_obey_is_shown_escaped(hostile: str, harmless: str) -> None:
    assert escaped_line(hostile) == harmless
    assert escaped_text(hostile) == harmless


def test_log_02_a_line_stays_one_line_and_a_text_keeps_tabs_and_line_feeds() -> None:
    assert escaped_line("a\tb\nc") == "a\\x09b\\x0ac"
    assert escaped_text("a\tb\nc") == "a\tb\nc"


@given(st.text())
def test_log_02_no_control_character_survives(text: str) -> None:
    left = {unicodedata.category(character) for character in escaped_line(text)}
    assert left & {"Cc", "Zl", "Zp"} == set()


def test_letters_of_any_script_and_emoji_are_left_alone() -> None:
    text = "Grüße, 世界 👩‍👩‍👧"
    assert escaped_line(text) == text


def test_log_02_control_characters_in_the_head_are_escaped_on_a_terminal() -> None:
    response = answer(200, ("x-evil", "\x9b31mred"), reason="\x9dOK")
    assert shown_head(response, is_terminal=True) == b"HTTP/1.1 200 \\x9dOK\nx-evil: \\x9b31mred\n\n"


def test_a_pipe_gets_the_bytes_of_the_head_as_they_came() -> None:
    response = answer(200, ("x-odd", "caf\xe9 \x9b"), reason="OK")
    assert shown_head(response, is_terminal=False) == b"HTTP/1.1 200 OK\nx-odd: caf\xe9 \x9b\n\n"


@pytest.mark.parametrize(
    ("response", "line"),
    [
        (answer(200, version="HTTP/2"), "HTTP/2 200 OK"),
        (answer(404, reason="Nowhere"), "HTTP/1.1 404 Nowhere"),
        (answer(599), "HTTP/1.1 599"),
    ],
)
def test_the_status_line_has_the_registered_reason_where_none_was_sent(response: Response, line: str) -> None:
    assert head_lines(response) == [line]


def test_log_02_control_characters_in_the_body_are_escaped_on_a_terminal() -> None:
    assert shown(b"one\x1b[2J\ttwo\n") == b"one\\x1b[2J\ttwo\n"


def test_a_pipe_gets_the_bytes_of_the_body_as_they_came() -> None:
    assert shown(b"one\x1b[2J\r\n", b"\x00\xff", is_terminal=False) == b"one\x1b[2J\r\n\x00\xff"


def test_a_pipe_gets_each_piece_as_it_comes() -> None:
    read_end, write_end = os.pipe()
    with open(read_end, "rb", buffering=0) as pipe, open(write_end, "wb") as stream:
        Screen(stream, is_terminal=False).show_piece(b"event", "utf-8")
        assert pipe.read(100) == b"event"


def test_line_ends_and_characters_cut_by_two_pieces_are_put_together() -> None:
    assert shown(b"one\r", b"\ntwo\xc3", b"\xbc") == b"one\ntwo\xc3\xbc"


def test_a_lone_cr_cannot_overwrite_the_line_it_stands_in() -> None:
    assert shown(b"password: \rname:") == b"password: \nname:"


def test_a_character_cut_off_by_the_end_is_replaced() -> None:
    assert shown(b"ok \xe2\x82") == "ok \ufffd".encode()


def test_text_in_its_declared_charset_is_shown_in_that_of_the_terminal() -> None:
    assert shown("über".encode("utf-16"), charset="utf-16") == "über".encode()
    assert shown("über".encode(), encoding="ascii") == b"\\xfcber"


@pytest.mark.parametrize("beginning", [b"\x89PNG\r\n\x1a\n", b"\x1f\x8b\x08\x00", b"text and \x00", b"\xff\xfe"])
def test_a_binary_body_is_refused_on_a_terminal(beginning: bytes) -> None:
    assert shown(beginning) == b"refused"


def test_a_character_cut_by_the_sample_does_not_make_a_text_binary() -> None:
    assert not is_binary(b"a" + "ü".encode() * 2_000, "utf-8")


@pytest.mark.parametrize("charset", ["utf-16", "utf-32", "idna", "undefined"])
def test_a_body_that_its_charset_cannot_decode_is_refused_and_not_a_crash(charset: str) -> None:
    assert shown(b"a", b"b" * 9, b"\xff" * 9, charset=charset) == b"refused"


@pytest.mark.parametrize(("status", "colour"), [(204, "32"), (301, "36"), (404, "33"), (503, "31"), (999, "")])
def test_a_person_sees_the_class_of_the_status_by_its_colour(status: int, colour: str) -> None:
    stream = io.BytesIO()
    Screen(stream, is_terminal=True, is_coloured=True).show_head(answer(status, ("x", "1"), reason="R"))
    first, second, *_ = stream.getvalue().decode().split("\n")
    assert first == f"\x1b[1{';' * bool(colour)}{colour}mHTTP/1.1 {status} R\x1b[0m"
    assert second == "\x1b[1mx:\x1b[0m 1"


def test_what_comes_after_a_body_without_a_line_end_begins_on_a_new_line() -> None:
    stream = io.BytesIO()
    screen = Screen(stream, is_terminal=True)
    screen.show_piece(b"no end", "utf-8")
    screen.end()
    screen.end_line()
    screen.end_line()
    assert stream.getvalue() == b"no end\n"


@pytest.mark.parametrize(("name", "value"), [("NO_COLOR", "1"), ("TERM", "dumb")])
def test_colours_are_for_terminals_that_have_them(monkeypatch: pytest.MonkeyPatch, name: str, value: str) -> None:
    class Terminal(io.TextIOWrapper):
        def isatty(self) -> bool:
            return True

    monkeypatch.setattr("sys.stdout", Terminal(io.BytesIO()))
    monkeypatch.delenv("NO_COLOR", raising=False)
    monkeypatch.setenv("TERM", "xterm")
    assert Screen.of_stdout()._is_coloured
    monkeypatch.setenv(name, value)
    assert not Screen.of_stdout()._is_coloured
