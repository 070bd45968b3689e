"""Content codings undone in bounded steps: plain objects that are fed bytes and asked for the next piece.

A compressed body is a program that a stranger wrote, and it may want to run for long. So nothing here loops until it is
done. `BodyDecoder.take` lets each coding work once, on at most `STEP` bytes of output, and comes back even if nothing
came out; whoever calls it may look at the other tasks in between. What a step costs is bounded by its input and output
(HAZARDS DEC-06). After each step the limits are held against the output of *every* coding, since a stack of them may
hide in the middle what does not show at the end (DEC-01, DEC-02).

The input is cut into slices, small ones at first: the ratio is looked at after each slice, where what went in is known
to the byte, and a bomb shows itself within its first kilobytes.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache
from importlib import import_module
from types import ModuleType
from typing import Protocol

from netio.errors import DecodeError

STEP = 262_144
"""Decoded bytes of one piece, at most."""
_INNER_STEP = 16_384
"""The same between two codings."""
_SLICES = (1_024, 16_384)
"""Bytes that are decoded at a time: of the first 64 KiB of a body, and after them."""
_FIRST = 65_536

MAX_CODINGS = 5  # curl allows 5 as well, urllib3 too
WINDOW_LOG = 23  # RFC 9659: 8 MB is the largest window that a zstd decoder of HTTP has to bear
_FREE_MEMBERS = 1_000
_LEAST_MEMBER = 64
"""Members and frames, beyond the first 1,000, have so many bytes on average: to begin one costs more than its bytes."""

_TRUNCATED = "the {name} body ends in the middle"
_TRAILING = "bytes follow the end of the {name} body"


@dataclass(frozen=True, kw_only=True, slots=True)
class DecodeLimits:
    """See `Decode`."""

    max_body: int | None
    max_stream: int | None
    max_ratio: float | None
    ratio_from: int


class Member(Protocol):
    """One compressed stream: from its magic number to its checksum."""

    is_ended: bool
    has_more: bool
    """Whether there may be output without further input."""

    def decode(self, data: bytes, most: int) -> bytes: ...

    def rest(self) -> bytes:
        """Return what came after the end."""
        ...


class Coding(Protocol):
    """One content coding of a body."""

    has_more: bool

    def decode(self, data: bytes, most: int) -> bytes:
        """Take bytes, return at most `most`; those left over are kept, and `has_more` says so."""
        ...

    def end(self) -> None:
        """Raise `DecodeError` if the input must not end here."""
        ...


class _Inflated:
    """A member of deflate, by zlib or one of the libraries that can do the same faster."""

    __slots__ = ("_left", "_library", "_object", "has_more", "is_ended")

    def __init__(self, library: ModuleType, window_bits: int) -> None:
        self._library = library
        self._object = library.decompressobj(window_bits)
        self._left = b""
        self.has_more = self.is_ended = False

    def decode(self, data: bytes, most: int) -> bytes:
        left = self._left + data if self._left else data
        try:
            output: bytes = self._object.decompress(left, most)
        except self._library.error as error:
            raise DecodeError(f"the body is not what its Content-Encoding says: {error}") from error
        self.is_ended = self._object.eof
        self._left = b"" if self.is_ended else self._object.unconsumed_tail
        if self._left and not output and len(self._left) == len(left):
            raise DecodeError("the body cannot be decoded: the decoder makes no progress")
        self.has_more = not self.is_ended and (bool(self._left) or len(output) >= most)
        return output

    def rest(self) -> bytes:
        rest: bytes = self._object.unused_data
        return rest


class _Frame:
    """A frame of zstd."""

    __slots__ = ("_library", "_object", "has_more", "is_ended")

    def __init__(self, library: ModuleType) -> None:
        self._library = library
        options = {library.DecompressionParameter.window_log_max: WINDOW_LOG}
        self._object = library.ZstdDecompressor(options=options)
        self.has_more = self.is_ended = False

    def decode(self, data: bytes, most: int) -> bytes:
        try:
            output: bytes = self._object.decompress(data, most)
        except self._library.ZstdError as error:
            raise DecodeError(f"the body is not what its Content-Encoding says: {error}") from error
        self.is_ended = self._object.eof
        self.has_more = not self.is_ended and not self._object.needs_input
        if self.has_more and not output and not data:
            raise DecodeError("the body cannot be decoded: the decoder makes no progress")
        return output

    def rest(self) -> bytes:
        rest: bytes = self._object.unused_data
        return rest


class Members:
    """A coding whose body is one member after the other: gzip (RFC 1952 section 2.2) and zstd (RFC 8878 section 3)."""

    __slots__ = ("_input", "_left", "_may_be_padded", "_member", "_members", "_name", "_open", "has_more")

    def __init__(self, name: str, open_member: Callable[[], Member], *, may_be_padded: bool = False) -> None:
        self._name = name
        self._open = open_member
        self._may_be_padded = may_be_padded
        self._member: Member | None = None
        self._members = 0
        self._input = 0
        self._left = b""
        self.has_more = False

    def decode(self, data: bytes, most: int) -> bytes:
        self._input += len(data)
        outputs: list[bytes] = []
        self._left = self._left + data if self._left else data
        while most > 0:
            output = self._decode_once(most)
            if output:
                outputs.append(output)
                most -= len(output)
            if not self._left and not (self._member is not None and self._member.has_more):
                self.has_more = False
                break
        else:
            self.has_more = True
        return outputs[0] if len(outputs) == 1 else b"".join(outputs)

    def _decode_once(self, most: int) -> bytes:
        member = self._member
        if member is None:
            if self._may_be_padded and self._members:
                self._left = self._left.lstrip(b"\0")  # what gzip(1) and Python's gzip overlook
            if not self._left:
                return b""
            member = self._member = self._next_member()
        data, self._left = self._left, b""
        output = member.decode(data, most)
        if member.is_ended:
            self._left = member.rest()
            self._member = None
        return output

    def _next_member(self) -> Member:
        self._members += 1
        if self._members > _FREE_MEMBERS + self._input // _LEAST_MEMBER:
            raise DecodeError(f"the {self._name} body has {self._members} members in {self._input} bytes, too many")
        return self._open()

    def end(self) -> None:
        if self._member is not None or not self._members:
            raise DecodeError(_TRUNCATED.format(name=self._name))


class Deflate:
    """What servers call deflate: zlib's format (RFC 9110 section 8.4.1.2), or the bare one that many send instead.

    The first two bytes tell them apart: no encoder begins the bare format with a stored block that is padded by ones.
    """

    __slots__ = ("_begun", "_library", "_member", "has_more")

    def __init__(self, library: ModuleType) -> None:
        self._library = library
        self._begun = b""
        self._member: _Inflated | None = None
        self.has_more = False

    def decode(self, data: bytes, most: int) -> bytes:
        if self._member is None:
            self._begun += data
            if len(self._begun) < 2:
                return b""
            data, self._begun = self._begun, b""
            self._member = _Inflated(self._library, 15 if _is_zlib(data) else -15)
        if self._member.is_ended and data:
            raise DecodeError(_TRAILING.format(name="deflate"))
        output = self._member.decode(data, most)
        if self._member.is_ended and self._member.rest():
            raise DecodeError(_TRAILING.format(name="deflate"))
        self.has_more = self._member.has_more
        return output

    def end(self) -> None:
        if self._member is None or not self._member.is_ended:
            raise DecodeError(_TRUNCATED.format(name="deflate"))


def _is_zlib(data: bytes) -> bool:
    """Whether this is the header of RFC 1950 section 2.2."""
    return data[0] & 0x0F == 8 and data[0] >> 4 <= 7 and (data[0] << 8 | data[1]) % 31 == 0


class Brotli:
    """RFC 7932. The library refuses bytes after the end by itself, and large windows, which are no part of the RFC."""

    __slots__ = ("_left", "_library", "_object", "has_more")

    def __init__(self, library: ModuleType) -> None:
        self._library = library
        self._object = library.Decompressor()
        self._left = b""
        self.has_more = False

    def decode(self, data: bytes, most: int) -> bytes:
        output = self._left
        if len(output) < most:
            output += self._process(data, most - len(output))
        elif data:
            raise ValueError("input is taken only while there is no more output")
        # The library's limit is where it stops to grow its buffer, and not where it stops.
        output, self._left = output[:most], output[most:]
        self.has_more = bool(self._left) or not (self._object.is_finished() or self._object.can_accept_more_data())
        return output

    def _process(self, data: bytes, most: int) -> bytes:
        if self._object.is_finished():
            if data:
                raise DecodeError(_TRAILING.format(name="br"))
            return b""
        try:
            output: bytes = self._object.process(data, output_buffer_limit=most)
        except self._library.error as error:
            raise DecodeError(f"the body is not what its Content-Encoding says: {error}") from error
        return output

    def end(self) -> None:
        if not self._object.is_finished():
            raise DecodeError(_TRUNCATED.format(name="br"))


# ---------------------------------------------------------------------- what is installed


def _inflate_library() -> ModuleType:
    return _first_of("isal.isal_zlib", "zlib_ng.zlib_ng") or import_module("zlib")


def _first_of(*names: str) -> ModuleType | None:
    for name in names:
        try:
            return import_module(name)
        except ImportError:
            continue
    return None


@cache
def coding_makers() -> dict[str, Callable[[], Coding]]:
    """Return what makes a decoder, for each content coding of which the library is installed, by preference."""
    inflate = _inflate_library()
    makers: dict[str, Callable[[], Coding]] = {
        "gzip": lambda: Members("gzip", lambda: _Inflated(inflate, 31), may_be_padded=True),
        "deflate": lambda: Deflate(inflate),
    }
    brotli = _first_of("brotli", "brotlicffi")
    if brotli is not None and hasattr(brotli.Decompressor, "can_accept_more_data"):  # 1.2: before, without a limit
        makers["br"] = lambda: Brotli(brotli)
    zstd = _first_of("compression.zstd" if sys.version_info >= (3, 14) else "backports.zstd")
    if zstd is not None:
        makers["zstd"] = lambda: Members("zstd", lambda: _Frame(zstd))
    return makers


_OTHER_NAMES = {"x-gzip": "gzip"}  # RFC 9110 section 8.4.1.3
_NOT_INSTALLED = frozenset(("br", "zstd"))


def codings_of(values: Sequence[str]) -> list[str]:
    """Return the codings of all Content-Encoding fields in the order in which they were applied.

    Without any, or with one that is none of netio's business, there are none: the body stays as it was sent, as
    browsers leave it. Raises `DecodeError` for more than `MAX_CODINGS`, and for one whose library is not installed.
    """
    names = [name for value in values for token in value.split(",") if (name := token.strip(" \t").lower())]
    if len(names) > MAX_CODINGS:
        raise DecodeError(f"the body has {len(names)} content codings, more than {MAX_CODINGS}")
    known = [_OTHER_NAMES.get(name, name) for name in names if name != "identity"]
    makers = coding_makers()
    if all(name in makers for name in known):
        return known
    missing = [name for name in known if name not in makers and name in _NOT_INSTALLED]
    if missing and all(name in makers or name in _NOT_INSTALLED for name in known):
        raise DecodeError(f"the body is coded with {missing[0]}; pip install netio-http[compression] can decode that")
    return []


# ---------------------------------------------------------------------- a body


class BodyDecoder:
    """Undoes the content codings of one body, given in the order in which they were applied."""

    def __init__(self, codings: Sequence[str], limits: DecodeLimits, *, is_whole: bool) -> None:
        makers = coding_makers()
        self._stages = [makers[name]() for name in reversed(codings)]
        self._steps = [_INNER_STEP] * (len(codings) - 1) + [STEP]
        self._outputs = [0] * len(codings)
        self._limits = limits
        self._most, self._limit_name = (limits.max_body, "max_body") if is_whole else (limits.max_stream, "max_stream")
        self._input = 0
        self._fed = b""
        self._position = 0

    def feed(self, data: bytes) -> None:
        """Take the next piece of the body as it was sent; only after `take` has asked for it."""
        self._fed = data
        self._position = 0

    def take(self) -> bytes | None:
        """Return the next piece, b"" if one step brought none but the next may, None if it takes more input.

        Raises `DecodeError`.
        """
        first = len(self._stages) - 1
        while first >= 0 and not self._stages[first].has_more:
            first -= 1
        data = b""
        if first < 0:
            data = self._slice()
            if not data:
                return None
            first = 0
        for index in range(first, len(self._stages)):
            data = self._stages[index].decode(data, self._steps[index])
            self._outputs[index] += len(data)
            if not data:
                break
        self._check()
        return data

    def end(self) -> None:
        """Raise `DecodeError` if the body must not end here. One without a byte has no coding either."""
        if self._input:
            for stage in self._stages:
                stage.end()

    def _slice(self) -> bytes:
        position, size = self._position, _SLICES[self._input >= _FIRST]
        data = self._fed[position : position + size] if position or len(self._fed) > size else self._fed
        self._position = position + len(data)
        self._input += len(data)
        return data

    def _check(self) -> None:
        output = max(self._outputs)
        if self._most is not None and output > self._most:
            raise DecodeError(f"the decoded body is larger than {self._most} bytes (Decode.{self._limit_name})")
        limits = self._limits
        if limits.max_ratio is None or output <= limits.ratio_from:
            return
        if output > limits.max_ratio * self._input:
            raise DecodeError(
                f"the body grew to {output} bytes from {self._input}, more than {limits.max_ratio:g} times "
                f"(Decode.max_ratio)"
            )
