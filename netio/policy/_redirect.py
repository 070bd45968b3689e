"""Redirects: follow answers that lead elsewhere.

    status      method and body of the next request (Fetch section 4.4, "HTTP-redirect fetch")
    301, 302    POST becomes GET without a body; any other stays as it is
    303         all but GET and HEAD become GET without a body
    307, 308    stays as it is
    others      are answers: 300, 304, and any redirect without a Location

What the user put on his request was for the origin that he named. As soon as a redirect leads to another scheme, host
or port, credentials, cookies and whatever is called like a secret are taken off, all of them and for the rest of the
way: the next request is made from the last one, so that what is gone cannot come back (HAZARDS RED-01, RED-02). What
policies further inside add (`Cookies`, the auth policies) they decide anew at each hop, by the URL and by
`Request.redirected_by`.
"""

from __future__ import annotations

from collections.abc import Collection

from netio.body import NO_BODY
from netio.errors import RedirectError, RequestBodyError, TooManyRedirects
from netio.headers import Field, Headers
from netio.message import Request, Response, Send
from netio.observe import Redirected, tell
from netio.policy._check import whole
from netio.policy._discard import discard
from netio.policy._location import followed, location_of
from netio.url import URL

_STATUSES = frozenset((301, 302, 303, 307, 308))

_OF_A_BODY = frozenset(
    (
        *("content-encoding", "content-language", "content-location", "content-type", "content-length"),  # Fetch
        *("transfer-encoding", "trailer", "expect", "content-md5", "digest", "content-digest", "repr-digest"),
    )
)
_OF_AN_ORIGIN = frozenset(("host", "referer"))
"""Not secret, but wrong elsewhere. A Referer may have the query of the first URL in it (HAZARDS RED-08)."""
_SECRETS = ("auth", "cookie", "token", "secret", "password", "credential", "session", "signature", "api-key", "apikey")
_SECRET_KEYS = frozenset(("x-access-key", "access-key", "x-functions-key", "ocp-apim-subscription-key"))


class Redirects:
    """Follow redirects, at most `limit` of them; `Response.history` has them, closed.

    * `secrets`: names of header fields that another origin must not see, beside Authorization, Proxy-Authorization,
      Cookie, and all whose name contains auth, cookie, token, secret, password, credential, session, signature or
      api-key.
    * `allow_http`: whether a redirect may lead from https to http.

    Raises `TooManyRedirects`; `RedirectError` where a redirect leads to no http:// or https:// URL, or from https to
    http; and `RequestBodyError` where a body has to be sent again and cannot be.
    """

    def __init__(self, limit: int = 20, *, secrets: Collection[str] = (), allow_http: bool = False) -> None:
        if isinstance(secrets, str):
            raise TypeError("Redirects.secrets is a list of names, not one name")
        self.limit = whole("Redirects.limit", limit, 0)  # 20: Fetch, and with it all browsers
        self._secrets = _SECRET_KEYS.union(name.lower() for name in secrets)
        self._allow_http = allow_http

    async def __call__(self, request: Request, send: Send) -> Response:
        response = await send(request)
        if response.status_code not in _STATUSES:
            return response
        history: list[Response] = []
        while (following := await self._following(request, response, history)) is not None:
            await discard(response)
            history.append(response)
            if request.observer is not None:
                tell(request.observer, Redirected(request, response.status_code, following))
            request = following
            response = await send(request)
        response.history = tuple(history)
        return response

    async def _following(self, request: Request, response: Response, history: list[Response]) -> Request | None:
        """Return the next request, None if the response is the answer. An error closes the response."""
        try:
            return self._decide(request, response, len(history))
        except BaseException as error:
            response.history = tuple(history)
            await response.aclose()
            if not isinstance(error, RedirectError | RequestBodyError):
                raise
            failure = error.during(request, "head", sent=True)
            if isinstance(failure, RedirectError):
                failure.response = response
            raise failure from error.__cause__

    def _decide(self, request: Request, response: Response, count: int) -> Request | None:
        location = location_of(response) if response.status_code in _STATUSES else None
        if location is None:
            return None
        if count >= self.limit:
            raise TooManyRedirects(f"there were more than {self.limit} redirects (Redirects.limit)")
        url = followed(request.url, location)
        if request.url.scheme == "https" and url.scheme == "http" and not self._allow_http:
            raise RedirectError(f"the redirect leads from https to {url.redacted} (Redirects.allow_http)")
        return self._moved(request, response.status_code, url, len(response.attempts))

    def _moved(self, request: Request, status: int, url: URL, repeats: int) -> Request:
        """Return the request as it goes on, to another URL."""
        method, body, fields = request.method, request.body, request.fields
        if (status in (301, 302) and method == "POST") or (status == 303 and method not in ("GET", "HEAD")):
            method, body = "GET", NO_BODY
            fields = _without(fields, _OF_A_BODY)
        elif not body.is_replayable:
            raise RequestBodyError(
                "the body is an iterator that has been read already, and the redirect wants it again; "
                "pass a function that returns a new one"
            )
        origin = request.url.origin
        if url.origin != origin:
            fields = tuple(field for field in fields if not self._is_private(field[0].lower()))
        led = request.redirected_by
        return request.replace(
            method=method,
            url=url,
            body=body,
            headers=Headers.received(fields),
            redirected_by=led if origin in led else (*led, origin),
            repeats=request.repeats + repeats,
        )

    def _is_private(self, name: str) -> bool:
        return name in self._secrets or name in _OF_AN_ORIGIN or any(word in name for word in _SECRETS)


def _without(fields: tuple[Field, ...], names: frozenset[str]) -> tuple[Field, ...]:
    return tuple(field for field in fields if field[0].lower() not in names)
