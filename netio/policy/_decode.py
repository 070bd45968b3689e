"""Decode: the body without its content codings; the rules are in _codings.py."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Self

from anyio.lowlevel import checkpoint

from netio.errors import DecodeError
from netio.message import Request, Response, Send
from netio.policy._check import positive, whole
from netio.policy._codings import BodyDecoder, DecodeLimits, coding_makers, codings_of
from netio.policy._fields import has_field

_BODILESS = frozenset((204, 304))
_PARTIAL = 206


class Decode:
    """Ask for compressed bodies, and decode what comes; `Response.aiter_raw` still gives the bytes as they were sent.

    It belongs outside of all that discards responses (`Redirects`, `Retry`): what nobody reads is not decoded.

    * `max_body`: bytes that a body read into memory may grow to; `max_stream`: one that is streamed. None for no limit.
    * `max_ratio`: how many times the size that was sent a body may grow to, beyond its first MiB. None for no limit.

    A request that has an Accept-Encoding field keeps it. A part of a body (status 206, Range) is neither asked for in a
    coding nor decoded, as it can't be without what precedes it. Raises `DecodeError` for a body that is not what its
    Content-Encoding says or that hits a limit, for more than five codings, and for one whose library is missing; a
    name that is no coding leaves the body as it is.
    """

    def __init__(
        self,
        *,
        max_body: int | None = 1_073_741_824,
        max_stream: int | None = None,
        max_ratio: float | None = 1_000.0,  # deflate reaches 1,032 for nothing but zeros
    ) -> None:
        self._limits = DecodeLimits(
            max_body=None if max_body is None else whole("Decode.max_body", max_body),
            max_stream=None if max_stream is None else whole("Decode.max_stream", max_stream),
            max_ratio=None if max_ratio is None else positive("Decode.max_ratio", max_ratio, "a number"),
            ratio_from=1_048_576,
        )
        self.accept_encoding = ", ".join(coding_makers())
        """What is installed, as the Accept-Encoding field says it."""

    async def __call__(self, request: Request, send: Send) -> Response:
        fields = request.fields
        if not has_field(fields, "accept-encoding"):
            # Fetch section 4.5: a range is asked for as it is.
            wish = "identity" if has_field(fields, "range") else self.accept_encoding
            request = request.with_field("accept-encoding", wish)
        response = await send(request)
        if response.may_be_coded:
            await self.decode(request, response)
        return response

    async def decode(self, request: Request, response: Response) -> None:
        """Let a response be read without its codings, if it has any and nobody has decoded it before."""
        if not has_field(response.headers.fields, "content-encoding"):
            return
        if request.method == "HEAD" or response.status_code in _BODILESS or response.status_code == _PARTIAL:
            return
        try:
            codings = codings_of(response.headers.get_list("content-encoding"))
            if not codings:
                return
            response.decode_by(_Decoding(codings, self._limits))
            if not request.is_streamed:
                await response.aread()
        except DecodeError as error:
            await response.aclose()
            if error.request is not None:
                raise
            raise error.during(request, "body", sent=True) from error.__cause__
        except BaseException:
            await response.aclose()
            raise


class _Decoding:
    """How one response is decoded; each call begins anew."""

    __slots__ = ("_codings", "_limits")

    def __init__(self, codings: list[str], limits: DecodeLimits) -> None:
        self._codings = codings
        self._limits = limits

    def __call__(self, response: Response, raw: AsyncIterator[bytes], *, is_whole: bool) -> AsyncIterator[bytes]:
        return _Decoded(response, raw, BodyDecoder(self._codings, self._limits, is_whole=is_whole))


class _Decoded:
    """The decoded pieces of a body. An error closes the response; so does the end of what was sent."""

    __slots__ = ("_decoder", "_has_worked", "_is_ended", "_raw", "_response")

    def __init__(self, response: Response, raw: AsyncIterator[bytes], decoder: BodyDecoder) -> None:
        self._response = response
        self._raw = raw
        self._decoder = decoder
        self._is_ended = False
        self._has_worked = False

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> bytes:
        try:
            while (piece := await self._next()) == b"":
                pass
        except DecodeError as error:
            self._is_ended = True
            await self._response.aclose()
            raise error.during(self._response.request, "body", sent=True) from error.__cause__
        if piece is None:
            raise StopAsyncIteration
        return piece

    async def _next(self) -> bytes | None:
        """Do one step: return a piece, b"" if it brought none, None at the end."""
        if self._is_ended:
            return None
        if self._has_worked:
            # A kilobyte that was received may be a megabyte to decode: the other tasks have a turn at each step.
            await checkpoint()
        piece = self._decoder.take()
        self._has_worked = piece is not None
        if piece is not None:
            return piece
        try:
            self._decoder.feed(await anext(self._raw))
        except StopAsyncIteration:
            self._is_ended = True
            self._decoder.end()
            return None
        return b""
