"""Request and Response: what they are made of, and what a body says."""

from __future__ import annotations

import codecs
import copy
import encodings
import pickle
from collections.abc import Callable
from encodings.aliases import aliases
from typing import Any

import pytest

from netio.body import NO_BODY, BytesBody
from netio.deadline import NEVER, Timeouts
from netio.errors import InvalidRequest, InvalidURL, StatusError
from netio.headers import Headers
from netio.message import IDEMPOTENT_METHODS, Request, Response
from netio.url import URL

REQUEST = Request("GET", "http://user:secret@example.org/path?secret")
READERS = ["aiter_raw", "aiter_bytes", "aiter_text", "aiter_lines"]
CHARSETS = sorted({*aliases, *aliases.values(), "cp874", "koi8_u", "utf_8_sig"})


def answer(content: bytes | str, content_type: str = "text/plain") -> Response:
    return Response(200, request=REQUEST, headers={"content-type": content_type}, content=content)


# ---------------------------------------------------------------------- Request


def test_request_has_sensible_defaults() -> None:
    request = Request("GET", "http://e/")
    assert (request.method, request.url, request.headers, request.body) == ("GET", URL("http://e/"), Headers(), NO_BODY)
    assert (request.timeouts, request.deadline, request.body_deadline, request.is_streamed) == (
        Timeouts(),
        NEVER,
        NEVER,
        False,
    )


@pytest.mark.parametrize(
    "method", ["", "GET ", " GET", "G ET", "GET\r\n", "GET\n", "GÉT", "GET/", "\x00", "GET\x7f", "(", None, b"GET", 5]
)
def test_req_01_method_that_is_no_token_is_refused(method: Any) -> None:
    with pytest.raises(InvalidRequest, match="is not a method"):
        Request(method, "http://e/")


@pytest.mark.parametrize("method", ["GET", "get", "PROPFIND", "M-SEARCH", "!#$%&'*+.^_`|~"])
def test_any_token_is_a_method_as_it_is(method: str) -> None:
    assert Request(method, "http://e/").method == method


def test_req_01_url_and_headers_of_a_request_are_checked() -> None:
    with pytest.raises(InvalidURL):
        Request("GET", "http://e/\r\n")
    with pytest.raises(InvalidRequest):
        Request("GET", "http://e/", headers={"a": "b\r\nc: d"})


@pytest.mark.parametrize(
    "method", ["GET", "HEAD", "OPTIONS", "TRACE", "PUT", "DELETE", "POST", "PATCH", "CONNECT", "get", "LOCK"]
)
def test_rt_01_method_says_whether_a_request_is_idempotent(method: str) -> None:
    expected = method in {"GET", "HEAD", "OPTIONS", "TRACE", "PUT", "DELETE"}
    assert Request(method, "http://e/").is_idempotent is expected
    assert (method in IDEMPOTENT_METHODS) is expected


def test_replace_changes_the_copy_only() -> None:
    request = Request(
        "PUT",
        "http://e/",
        headers={"a": "1"},
        body=BytesBody(b"x"),
        timeouts=Timeouts(total=1),
        deadline=5.0,
        body_deadline=6.0,
        is_streamed=True,
    )
    changed = request.replace(method="POST", deadline=7.0)
    changed.headers["a"] = "2"
    assert (request.method, request.deadline, request.headers["a"]) == ("PUT", 5.0, "1")
    assert (changed.method, changed.deadline, changed.headers["a"]) == ("POST", 7.0, "2")
    for name in ("url", "body", "timeouts", "body_deadline", "is_streamed"):
        assert getattr(changed, name) == getattr(request, name)


def test_replace_checks_what_it_is_given() -> None:
    with pytest.raises(TypeError, match="no attribute methd"):
        REQUEST.replace(methd="GET")
    with pytest.raises(InvalidRequest):
        REQUEST.replace(method="GET /")
    assert REQUEST.replace(headers={"x": "y"}, url="http://other/").url == "http://other/"


def test_auth_02_repr_shows_no_secret() -> None:
    assert repr(REQUEST) == "<Request GET http://example.org/path?...>"
    assert repr(Response(200, request=REQUEST)) == "<Response 200 to GET http://example.org/path?...>"


def test_request_can_be_copied_and_pickled() -> None:
    request = Request("POST", "http://e/", headers={"a": "1"}, body=BytesBody(b"x", "text/plain"), deadline=5.0)
    for again in (copy.copy(request), copy.deepcopy(request), pickle.loads(pickle.dumps(request))):
        assert (again.method, again.url, again.headers, again.deadline) == ("POST", request.url, request.headers, 5.0)
        assert (again.body.data, again.body.content_type) == (b"x", "text/plain")


# ---------------------------------------------------------------------- Response in memory


def test_response_of_a_handler_has_what_it_was_given() -> None:
    response = Response(201, request=REQUEST, headers={"a": "b"}, content="tëxt", reason_phrase="Created")
    assert (response.status_code, response.reason_phrase, response.http_version) == (201, "Created", "HTTP/1.1")
    assert (response.content, response.text, response.headers["A"]) == ("tëxt".encode(), "tëxt", "b")
    assert (response.url, response.is_success, response.is_closed) == (REQUEST.url, True, True)
    assert response.elapsed.total_seconds() == 0
    response.elapsed_seconds = 1.5
    assert response.elapsed.total_seconds() == 1.5


def test_response_without_a_body_is_empty() -> None:
    assert (Response(204, request=REQUEST).content, Response(204, request=REQUEST).text) == (b"", "")


def test_json_response_does_not_change_the_headers_it_was_given() -> None:
    headers = Headers({"a": "b"})
    response = Response(200, request=REQUEST, headers=headers, json={"x": [1, None]})
    assert (response.json(), response.headers["content-type"]) == ({"x": [1, None]}, "application/json")
    assert headers.fields == (("a", "b"),)
    given_type = Response(200, request=REQUEST, headers={"Content-Type": "application/problem+json"}, json={})
    assert given_type.headers.get_list("content-type") == ["application/problem+json"]


@pytest.mark.parametrize(
    ("status", "is_success"),
    [(199, False), (200, True), (204, True), (299, True), (300, False), (404, False), (503, False)],
)
def test_success_is_200_to_299(status: int, is_success: bool) -> None:
    assert Response(status, request=REQUEST).is_success is is_success


@pytest.mark.parametrize("status", [100, 200, 204, 301, 304, 399])
def test_status_below_400_raises_nothing(status: int) -> None:
    response = Response(status, request=REQUEST)
    assert response.raise_for_status() is response


@pytest.mark.parametrize(
    ("status", "reason", "text"), [(400, "Bad Request", "400 Bad Request"), (404, "", "404"), (599, "Odd", "599 Odd")]
)
def test_status_of_400_and_above_raises(status: int, reason: str, text: str) -> None:
    response = Response(status, request=REQUEST, reason_phrase=reason)
    with pytest.raises(StatusError) as caught:
        response.raise_for_status()
    assert str(caught.value) == f"{text} for GET http://example.org/path?..."
    assert (caught.value.response, caught.value.request) == (response, REQUEST)


# ---------------------------------------------------------------------- text and JSON


@pytest.mark.parametrize(
    ("content_type", "charset"),
    [
        ("", "utf-8"),
        ("text/plain", "utf-8"),
        ("text/plain; charset=utf-8", "utf-8"),
        ("text/plain; charset=UTF8", "utf-8"),
        ('text/html;CHARSET="ISO-8859-1"; x=y', "iso8859-1"),
        ("text/html; charset = windows-1252", "cp1252"),
        ("text/html; charset=koi8-u", "koi8-u"),
        ("text/html; charset=utf-16", "utf-16"),
        ("text/html; x-charset=latin-1", "utf-8"),
        ("charset=latin-1", "utf-8"),
        ('text/html; charset=""', "utf-8"),
        ("text/html; charset=", "utf-8"),
        ("text/html; charset=;charset=latin-1", "iso8859-1"),
    ],
)
def test_charset_is_that_of_the_content_type(content_type: str, charset: str) -> None:
    assert answer("", content_type).charset == charset


@pytest.mark.parametrize(
    "charset",
    [
        "unknown",
        "base64",
        "base64_codec",
        "bz2",
        "hex",
        "quopri",
        "rot13",
        "rot_13",
        "uu",
        "zlib",
        "idna",
        "punycode",
        "undefined",
        "unicode_escape",
        "raw_unicode_escape",
        "string_escape",
        "mbcs",
        "..",
        "../utf_8",
        "encodings.utf_8",
        "aliases",
        "ü",
        "x" * 60_000,
    ],
)
def test_dec_08_what_is_no_charset_is_read_as_utf_8(charset: str) -> None:
    response = answer("hé", f"text/plain; charset={charset}")
    assert (response.charset, response.text) == ("utf-8", "hé")


@pytest.mark.parametrize("charset", ["utf-8\0", "\0", "utf-8\x1b", "lat\ud800in"])
def test_dec_08_charset_that_could_not_have_been_received_does_no_harm(charset: str) -> None:
    headers = Headers.received((("content-type", f"text/plain; charset={charset}"),))
    response = Response(200, request=REQUEST, headers=headers, content="hé")
    assert (response.charset, response.text) == ("utf-8", "hé")


def test_dec_08_unknown_charsets_leave_nothing_behind() -> None:
    before = len(encodings._cache)
    for number in range(100):
        assert answer("x", f"text/plain; charset=unknown{number}").text == "x"
        assert answer("x", f"text/plain; charset=utf{'-' * number}8").text == "x"
    assert len(encodings._cache) - before <= 1


@pytest.mark.parametrize(
    ("content", "content_type", "text"),
    [
        (b"caf\xe9", "text/plain; charset=latin-1", "café"),
        (b"caf\xe9", "text/plain", "caf\ufffd"),
        (b"\xff\xfea\x00", "text/plain; charset=utf-16", "a"),
        (b"\xfe\xff\x00a", "text/plain; charset=utf-16", "a"),
        (b"a\x00", "text/plain; charset=utf-16le", "a"),
        (b"\xed\xa0\x80", "text/plain", "\ufffd\ufffd\ufffd"),
    ],
)
def test_text_is_decoded_and_never_fails(content: bytes, content_type: str, text: str) -> None:
    assert answer(content, content_type).text == text


def test_json_is_parsed_whatever_the_content_type_says() -> None:
    assert answer('{"a": "ü"}').json() == {"a": "ü"}
    assert answer('"ü"'.encode("utf-16")).json() == "ü"
    assert answer("null").json() is None


@pytest.mark.parametrize(
    "content", [b"", b"{", b"'a'", b"{}x", b"\xff\xff", b"\xff", b"[" * 100_000, b'{"a":' * 100_000, b"1" * 5_000]
)
def test_what_is_no_json_is_a_value_error(content: bytes) -> None:
    with pytest.raises(ValueError):
        answer(content).json()


def test_response_in_memory_can_be_copied_and_pickled() -> None:
    response = Response(200, request=REQUEST, headers={"a": "b"}, json={"x": 1})
    ways: list[Callable[[Response], Response]] = [
        copy.copy,
        copy.deepcopy,
        lambda each: pickle.loads(pickle.dumps(each)),
    ]
    for way in ways:
        again = way(response)
        assert (again.status_code, again.headers, again.json()) == (200, response.headers, {"x": 1})


def test_every_charset_that_is_looked_up_is_one_or_none() -> None:
    for name in CHARSETS:
        charset = answer("", f"text/plain; charset={name}").charset
        assert codecs.lookup(charset).name == charset
        assert b"abc".decode(charset, errors="replace") is not None
