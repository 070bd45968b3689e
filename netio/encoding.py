"""From what a caller gives as content, form, files or JSON to a request body."""

from __future__ import annotations

import io
import json as jsonlib
import os
from collections.abc import AsyncIterable, Callable, Iterable, Mapping
from typing import IO, Any, cast
from urllib.parse import urlencode

from netio.body import NO_BODY, BytesBody, Chunks, IteratorBody, RequestBody
from netio.errors import InvalidRequest
from netio.files import PathBody, file_body
from netio.multipart import Part, multipart_body, part_name
from netio.url import text_pairs

Content = str | bytes | bytearray | memoryview | os.PathLike[str] | IO[bytes] | Chunks | Callable[[], Chunks]
FormData = Mapping[str, Any] | Iterable[tuple[str, Any]]
Files = Mapping[str, Any] | Iterable[tuple[str, Any]]
"""By name a file or a list of files: their content, or (file name, content, media type, more fields of the part)."""
JsonEncoder = Callable[[Any], bytes | str]


def encode_body(
    content: Content | None = None,
    data: FormData | None = None,
    json: Any = None,
    files: Files | None = None,
    *,
    json_encoder: JsonEncoder | None = None,
) -> RequestBody:
    """Make a body of `content`, of `json`, or of a form. None is no body; JSON's null is content="null".

    A form of `data` alone is URL-encoded; with `files` it is multipart/form-data. Raises `InvalidRequest` for what
    excludes each other or cannot be encoded; what a `json_encoder` raises comes through.
    """
    has_files = bool(files)
    if (content is not None) + (data is not None or has_files) + (json is not None) > 1:
        raise InvalidRequest("content, json and a form (data, files) exclude each other: a request has one body")
    if json is not None:
        return _json_body(json) if json_encoder is None else _json_body_by(json_encoder, json)
    if files is not None and has_files:
        return multipart_body([*_field_parts(data or ()), *_file_parts(files)])
    if data is not None:
        return _form_body(data)
    return NO_BODY if content is None else _content_body(content)


def _content_body(content: Any) -> RequestBody:
    if isinstance(content, str):
        return _text_body(content)
    if isinstance(content, bytes | bytearray | memoryview):
        return BytesBody(bytes(content))
    if isinstance(content, Mapping):
        raise InvalidRequest("content is a mapping; send it with data= as a form or with json= as JSON")
    if isinstance(content, os.PathLike):
        return PathBody(content)
    if hasattr(content, "read") and not isinstance(content, AsyncIterable):
        return file_body(content)
    if isinstance(content, Iterable | AsyncIterable) or callable(content):
        return IteratorBody(cast("Chunks", content))
    raise InvalidRequest(f"content cannot be of type {type(content).__name__}")


def _text_body(text: str) -> BytesBody:
    try:
        return BytesBody(text.encode(), "text/plain; charset=utf-8")
    except UnicodeEncodeError as error:
        raise InvalidRequest(f"content cannot be sent as UTF-8: {error.reason}") from None


def _json_body(value: Any) -> BytesBody:
    try:
        text = jsonlib.dumps(value, ensure_ascii=False, separators=(",", ":"), allow_nan=False)
        return BytesBody(text.encode(), "application/json")
    except (TypeError, ValueError, RecursionError) as error:
        raise InvalidRequest(f"the value cannot be sent as JSON: {error}") from error


def _json_body_by(encoder: JsonEncoder, value: Any) -> BytesBody:
    made = encoder(value)
    if isinstance(made, str):
        made = made.encode()
    if not isinstance(made, bytes | bytearray | memoryview):
        raise InvalidRequest(f"the json_encoder returned {type(made).__name__}, neither bytes nor str")
    return BytesBody(bytes(made), "application/json")


def _form_body(data: FormData) -> BytesBody:
    try:
        text = urlencode(list(text_pairs(data)))
    except (TypeError, ValueError) as error:
        raise InvalidRequest(f"data cannot be sent as a form: {error}") from error
    return BytesBody(text.encode("ascii"), "application/x-www-form-urlencoded")


# ---------------------------------------------------------------------- multipart


def _field_parts(data: FormData) -> list[Part]:
    try:
        return [Part(name, BytesBody(value.encode())) for name, value in text_pairs(data)]
    except (TypeError, ValueError) as error:
        raise InvalidRequest(f"data cannot be sent as a form: {error}") from error


def _file_parts(files: Files) -> list[Part]:
    if isinstance(files, str | bytes) or not isinstance(files, Mapping | Iterable):
        raise InvalidRequest(f"files are a mapping or pairs of a name and a file, not {type(files).__name__}")
    parts: list[Part] = []
    pairs: Iterable[Any] = files.items() if isinstance(files, Mapping) else files
    for pair in pairs:
        if not isinstance(pair, tuple) or len(pair) != 2 or not isinstance(pair[0], str):
            raise InvalidRequest(
                f"files are a mapping or pairs of a name and a file, and {type(pair).__name__} is none"
            )
        name: str = pair[0]
        given: Any = pair[1]
        parts += [_file_part(name, file) for file in (given if isinstance(given, list) else [given])]
    return parts


def _file_part(name: str, file: Any) -> Part:
    if not isinstance(file, tuple):
        return Part(name, _file_content(file), part_name(_name_of(file)))
    if not 2 <= len(file) <= 4:
        raise InvalidRequest(f"a file is (name, content, media type, fields), of which {len(file)} were given")
    filename, content, content_type, fields = (*file, None, None)[:4]
    if filename is not None and not isinstance(filename, str):
        raise InvalidRequest(f"the name of a file is text, not {type(filename).__name__}")
    return Part(name, _file_content(content), filename, content_type, dict(fields or {}))


def _file_content(content: object) -> RequestBody:
    if isinstance(content, io.TextIOBase):
        raise InvalidRequest("a file is read as bytes: open it in binary mode")
    return _content_body(content)


def _name_of(file: object) -> object:
    """Return the path that a file was opened with, or is."""
    return file if isinstance(file, os.PathLike) else getattr(file, "name", None)
