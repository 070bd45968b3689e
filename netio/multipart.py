"""Forms with files: multipart/form-data (RFC 7578).

Names are written as browsers write them (WHATWG HTML, "multipart/form-data encoding algorithm"): in UTF-8, with CR, LF
and the quotation mark percent-encoded. Every other control character is refused, in names and in fields of a part, so
that nothing a name contains can end the field that it stands in (HAZARDS REQ-05). The boundary is drawn from `secrets`:
one that could be guessed would let a file contain parts of its own (REQ-06).

The body is put together while it is sent. Its length is known if that of each part is, and it can be sent again if
each part can.
"""

from __future__ import annotations

import os
import re
import secrets
from collections.abc import AsyncGenerator, Mapping, Sequence
from contextlib import aclosing

from netio.body import BytesBody, RequestBody, measured
from netio.errors import InvalidRequest
from netio.headers import checked_field

SMALL = 65_536
"""Forms of up to so many bytes, all of them in memory, are put together when the request is built."""

# What is sent as which type: the same on every machine, which the `mimetypes` module does not promise. The rest is
# application/octet-stream (RFC 7578 section 4.4).
MEDIA_TYPES = {
    "avif": "image/avif",
    "bmp": "image/bmp",
    "bz2": "application/x-bzip2",
    "css": "text/css",
    "csv": "text/csv",
    "docx": "application/vnd.openxmlformats-officedocument.wordprocessingml.document",
    "gif": "image/gif",
    "gz": "application/gzip",
    "htm": "text/html",
    "html": "text/html",
    "ico": "image/vnd.microsoft.icon",
    "jpeg": "image/jpeg",
    "jpg": "image/jpeg",
    "js": "text/javascript",
    "json": "application/json",
    "md": "text/markdown",
    "mp3": "audio/mpeg",
    "mp4": "video/mp4",
    "pdf": "application/pdf",
    "png": "image/png",
    "pptx": "application/vnd.openxmlformats-officedocument.presentationml.presentation",
    "svg": "image/svg+xml",
    "tar": "application/x-tar",
    "tif": "image/tiff",
    "tiff": "image/tiff",
    "txt": "text/plain",
    "wav": "audio/wav",
    "webm": "video/webm",
    "webp": "image/webp",
    "xlsx": "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet",
    "xml": "application/xml",
    "zip": "application/zip",
}
UNKNOWN_TYPE = "application/octet-stream"

_ESCAPES = {ord("\r"): "%0D", ord("\n"): "%0A", ord('"'): "%22"}
_CONTROL = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f]").search
_MEDIA_TYPE = re.compile(r"[!#$%&'*+\-.^_`|~0-9A-Za-z]+/[!#$%&'*+\-.^_`|~0-9A-Za-z]+[ \t]*(?:;.*)?").fullmatch
_RESERVED = frozenset(("content-disposition", "content-length", "content-type"))


class Part:
    """One part of a form: a field, or with a `filename` a file. Raises `InvalidRequest` for what cannot be sent."""

    __slots__ = ("content", "head")

    def __init__(
        self,
        name: str,
        content: RequestBody,
        filename: str | None = None,
        content_type: str | None = None,
        fields: Mapping[str, str] | None = None,
    ) -> None:
        self.content = content
        disposition = f'form-data; name="{_quoted("name", name)}"'
        if filename is not None:
            disposition += f'; filename="{_quoted("file name", filename)}"'
            content_type = content_type or media_type(filename)
        lines = [f"Content-Disposition: {disposition}"]
        if content_type is not None:
            lines.append(f"Content-Type: {_checked_type(content_type)}")
        for other, value in (fields or {}).items():
            if isinstance(other, str) and other.lower() in _RESERVED:
                raise InvalidRequest(f"the field {other} of a part is netio's to write")
            lines.append(": ".join(checked_field(other, value)))
        self.head = "\r\n".join((*lines, "\r\n")).encode()


def part_name(path: object) -> str:
    """Return the name of a file without its folders; "upload" for one that has none (httpx2 calls it so, too)."""
    if isinstance(path, os.PathLike):
        path = os.fspath(path)
    return os.path.basename(path) or "upload" if isinstance(path, str) else "upload"


def media_type(filename: str) -> str:
    """Return the media type that the end of a file name stands for."""
    return MEDIA_TYPES.get(filename.rpartition(".")[2].lower(), UNKNOWN_TYPE) if "." in filename else UNKNOWN_TYPE


def _quoted(what: str, name: object) -> str:
    if not isinstance(name, str):
        raise InvalidRequest(f"a {what} is text, not {type(name).__name__}")
    if _CONTROL(name):
        raise InvalidRequest(f"the {what} {name[:80]!a} has a control character")
    try:
        name.encode()
    except UnicodeEncodeError as error:
        raise InvalidRequest(f"the {what} {name[:80]!a} cannot be sent as UTF-8: {error.reason}") from None
    return name.translate(_ESCAPES)


def _checked_type(content_type: object) -> str:
    if not isinstance(content_type, str) or not _MEDIA_TYPE(content_type):
        raise InvalidRequest(f"{content_type!a:.80} is not a media type (RFC 9110 section 8.3.1)")
    return checked_field("Content-Type", content_type)[1]


class MultipartBody(RequestBody):
    """A form that is put together while it is sent."""

    __slots__ = ("_closing", "_opening", "_parts", "content_type", "is_prepared", "length")

    def __init__(self, parts: Sequence[Part]) -> None:
        boundary = f"netio-{secrets.token_hex(16)}"
        self._parts = parts
        self._opening = f"--{boundary}\r\n".encode()
        self._closing = f"--{boundary}--\r\n".encode()
        self.content_type = f"multipart/form-data; boundary={boundary}"
        self.is_prepared = all(part.content.is_prepared for part in parts)
        self.length = self._measure()

    def _measure(self) -> int | None:
        total = len(self._closing)
        for part in self._parts:
            length = part.content.length
            if length is None:
                return None
            total += len(self._opening) + len(part.head) + length + 2
        return total

    @property
    def is_replayable(self) -> bool:
        return all(part.content.is_replayable for part in self._parts)

    async def prepare(self) -> None:
        for part in self._parts:
            if not part.content.is_prepared:
                await part.content.prepare()
        self.is_prepared = True
        self.length = self._measure()

    async def chunks(self) -> AsyncGenerator[bytes]:
        before = b""
        for part in self._parts:
            content, before = part.content, before + self._opening + part.head
            if content.data is not None and len(content.data) <= SMALL:
                before += content.data + b"\r\n"
                if len(before) > SMALL:
                    yield before
                    before = b""
                continue
            yield before
            chunks = content.chunks()
            async with aclosing(chunks if content.length is None else measured(chunks, content.length)) as pieces:
                async for piece in pieces:
                    yield piece
            before = b"\r\n"
        yield before + self._closing

    def __repr__(self) -> str:
        return f"<MultipartBody of {len(self._parts)} parts>"


def multipart_body(parts: Sequence[Part]) -> RequestBody:
    """Return a form; one that is small and in memory at once."""
    body = MultipartBody(parts)
    if body.length is None or body.length > SMALL or any(part.content.data is None for part in parts):
        return body
    pieces: list[bytes] = []
    for part in parts:
        pieces += [body._opening, part.head, part.content.data or b"", b"\r\n"]
    return BytesBody(b"".join([*pieces, body._closing]), body.content_type)
