"""From the arguments of `session.get(...)` to a Request."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any, TypedDict

from netio.body import NO_BODY, AttendedBody, Progress, RequestBody, Trailers
from netio.client._semantics import AuthInput
from netio.deadline import NEVER, Timeouts
from netio.encoding import Content, Files, FormData, JsonEncoder, encode_body
from netio.errors import InvalidRequest, InvalidURL
from netio.headers import Field, HeaderInput, Headers
from netio.message import USUAL_METHODS, Policy, Request
from netio.policy import Redirects, cookie_field
from netio.reading import Informed, Reading
from netio.url import URL, Params, parse_url

TimeoutInput = Timeouts | float | None


class RequestOptions(TypedDict, total=False):
    """What every request method of a session takes; `Session.request` says what each is."""

    params: Params | None
    headers: HeaderInput | None
    content: Content | None
    data: FormData | None
    json: Any
    timeout: TimeoutInput
    policies: Sequence[Policy] | None
    files: Files | None
    progress: Progress | None
    trailers: Trailers | None
    max_body: int | None
    on_informational: Informed | None
    cookies: Mapping[str, str] | None
    follow_redirects: bool | Redirects | None
    auth: AuthInput | None


MAX_TARGETS = 1_024
"""URLs, and sets of header fields, that a session remembers with what it adds to them."""

_OPTIONS = frozenset(RequestOptions.__annotations__)


def as_timeouts(timeout: TimeoutInput, default: Timeouts) -> Timeouts:
    """A number is the total in seconds, with the other limits as they are; None is no limit at all."""
    if timeout is None:
        return Timeouts(total=None, pool=None, connect=None, read=None, write=None)
    if isinstance(timeout, Timeouts):
        return timeout
    return Timeouts(total=timeout, pool=default.pool, connect=default.connect, read=default.read, write=default.write)


def reading_of(options: RequestOptions, default: Reading | None) -> Reading | None:
    """Return what a request says about its response; a limit that is given for it holds for a streamed one as well."""
    if options.keys().isdisjoint(("max_body", "on_informational")):
        return default
    changes: dict[str, Any] = {"on_informational": options.get("on_informational")}
    if "max_body" in options:
        changes["max_body"] = changes["max_stream"] = as_most(options["max_body"])
    return replace(default or Reading(), **changes)


def as_most(max_body: int | None) -> float:
    """Return a limit in bytes; None is no limit."""
    if max_body is None:
        return NEVER
    if isinstance(max_body, bool) or not isinstance(max_body, int) or max_body < 0:
        raise ValueError(f"max_body is a number of bytes or None, not {max_body!r}")
    return max_body


class RequestBuilder:
    """What every request of a session has in common."""

    def __init__(
        self,
        *,
        base_url: str | URL,
        params: Params | None,
        headers: HeaderInput | None,
        timeouts: Timeouts,
        reading: Reading | None = None,
        json_encoder: JsonEncoder | None = None,
    ) -> None:
        self.base_url = _base(base_url)
        self.headers = Headers(headers or ())
        self.timeouts = timeouts
        self._params = params
        self._reading = reading
        self._json_encoder = json_encoder
        self._targets: dict[str, URL] = {}
        self._merges: dict[tuple[object, ...], tuple[Field, ...]] = {}

    def build(self, method: str, url: str | URL, options: RequestOptions) -> Request:
        """Return a request; raise `InvalidURL` or `InvalidRequest` for what cannot become one."""
        if not options and method in USUAL_METHODS:
            return Request.with_fields(method, self._target(url), self.headers.fields, self.timeouts, self._reading)
        if unknown := options.keys() - _OPTIONS:
            known = ", ".join(sorted(_OPTIONS))
            raise TypeError(f"a request has no option {', '.join(sorted(unknown))}; it has {known}")
        timeouts = as_timeouts(options["timeout"], self.timeouts) if "timeout" in options else self.timeouts
        params = options.get("params")
        fields = self._merged(options.get("headers"))
        cookies = options.get("cookies")
        body = self._body(options)
        if options.get("files") and any(name.lower() == "content-type" for name, _ in fields):
            raise InvalidRequest("the Content-Type of a form with files is netio's to write: it names the boundary")
        if isinstance(body, AttendedBody) and body.trailer_names:
            fields = (*fields, ("trailer", body.trailer_names))
        return Request(
            method.upper() if isinstance(method, str) else method,
            self._target(url) if params is None else self._url(url, params),
            headers=Headers.received(fields if cookies is None else _with_cookies(fields, cookies)),
            body=body,
            timeouts=timeouts,
            reading=reading_of(options, self._reading),
        )

    def _body(self, options: RequestOptions) -> RequestBody:
        body = encode_body(
            options.get("content"),
            options.get("data"),
            options.get("json"),
            options.get("files"),
            json_encoder=self._json_encoder,
        )
        progress, trailers = options.get("progress"), options.get("trailers")
        if progress is None and trailers is None:
            return body
        if trailers is not None and body is NO_BODY:
            raise InvalidRequest("trailers follow a body, and the request has none")
        return AttendedBody(body, progress=progress, trailers=trailers)

    def _target(self, url: str | URL) -> URL:
        """Return the URL that is meant, with the base and the parameters of the session."""
        if not isinstance(url, str):
            return self._url(url, None)
        target = self._targets.get(url)
        if target is not None:
            return target
        target = self._url(url, None)
        if len(self._targets) >= MAX_TARGETS:
            self._targets.clear()
        self._targets[url] = target
        return target

    def _url(self, url: str | URL, params: Params | None) -> URL:
        if not isinstance(url, str | URL):
            raise InvalidURL(f"a URL is a str or netio.URL, not {type(url).__name__}")
        target = parse_url(url) if isinstance(url, str) else url
        if not target.scheme and self.base_url is not None:
            target = _joined(self.base_url, target)
        for more in (self._params, params):
            if more is not None:
                target = target.with_params(more)
        check_target(target)
        return target

    def _merged(self, headers: HeaderInput | None) -> tuple[Field, ...]:
        """Return the session's fields; those given for the request replace them by name."""
        own = self.headers.fields
        if headers is None:
            return own
        if type(headers) is not dict:
            return _replaced(own, headers)
        key = (own, *headers.items())
        try:
            merged = self._merges.get(key)
        except TypeError:  # it holds something that is no text
            return _replaced(own, headers)
        if merged is None:
            merged = _replaced(own, headers)
            if len(self._merges) >= MAX_TARGETS:
                self._merges.clear()
            self._merges[key] = merged
        return merged


def _replaced(own: tuple[Field, ...], headers: HeaderInput) -> tuple[Field, ...]:
    given = headers if isinstance(headers, Headers) else Headers(headers)
    kept = (field for field in own if field[0] not in given)
    if "range" in given and "accept-encoding" not in given:
        # Fetch section 4.5: a range is asked for as it is; a part of something coded could not be decoded.
        kept = (("accept-encoding", "identity") if field[0] == "accept-encoding" else field for field in kept)
    return (*kept, *given.fields)


def _with_cookies(fields: tuple[Field, ...], cookies: Mapping[str, str]) -> tuple[Field, ...]:
    """Return the fields with cookies beside those of a Cookie field."""
    try:
        value = cookie_field(cookies)
    except ValueError as error:
        raise InvalidRequest(str(error)) from None
    given = [value for name, value in fields if name.lower() == "cookie"]
    kept = [field for field in fields if field[0].lower() != "cookie"]
    values = [each for each in (*given, value) if each]
    return (*kept, ("cookie", "; ".join(values))) if values else tuple(kept)


def check_target(url: URL) -> None:
    """Raise `InvalidURL` for what is no http:// or https:// URL with a host."""
    if url.scheme not in ("http", "https"):
        hint = "; write it out, or give the session a base_url" if not url.scheme else ""
        raise InvalidURL(f"{url.redacted!r} is not an http:// or https:// URL{hint}")
    if not url.host:
        raise InvalidURL(f"{url.redacted!r} has no host")


def _base(url: str | URL) -> URL | None:
    if not url:
        return None
    base = url if isinstance(url, URL) else URL(url)
    if base.scheme not in ("http", "https") or not base.host:
        raise InvalidURL(f"base_url must be an http:// or https:// URL, not {base.redacted!r}")
    return base


def _joined(base: URL, reference: URL) -> URL:
    """Append a path to the base, as httpx does: "/users" under ".../v1" is ".../v1/users".

    By RFC 3986 a path that begins with a slash would replace the base's; nobody who sets a base_url means that.
    """
    if reference.host:
        return base.join(reference)
    prefix = str(base).partition("#")[0].partition("?")[0].rstrip("/")
    return URL(f"{prefix}/{str(reference).lstrip('/')}") if str(reference) else base
