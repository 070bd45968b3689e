"""Credentials: a base for what adds them to requests, Basic, what looks them up by URL, and flows as generators.

Credentials belong to origins. A policy of this kind says which (`origins`), and adds nothing for any other. A redirect
may lead away from them and back: who sends one back chooses what our credentials will be used for. So they are only
added while all of the way lies within the origins (`Request.redirected_by`, HAZARDS RED-02, RED-04).
"""

from __future__ import annotations

import re
from base64 import b64encode
from collections.abc import AsyncGenerator, Generator, Iterable
from contextlib import aclosing
from copy import copy
from typing import Self

from netio.errors import InvalidRequest, InvalidURL, RequestBodyError
from netio.message import Request, Response, Send
from netio.policy._discard import discard
from netio.policy._fields import has_field
from netio.url import URL, Origin

Origins = str | URL | Origin | Iterable[str | URL | Origin]

MAX_STEPS = 10
"""Requests that a flow may send in place of one, at most (HAZARDS AUTH-03). Digest needs three."""

_CONTROL = re.compile(r"[\x00-\x1f\x7f]").search


class Credentials:
    """The base of what adds credentials to requests: knows for which origins they are."""

    origins: frozenset[Origin] | None = None
    _is_for_first = False

    def __init__(self, *, origins: Origins | None = None) -> None:
        self.origins = None if origins is None else origins_of(origins)

    def bound_to(self, origins: Origins) -> Self:
        """Return the same for other origins; what it learns (a nonce, a token) it shares."""
        bound = copy(self)
        bound.origins = origins_of(origins)
        bound._is_for_first = False
        return bound

    def bound_to_first(self) -> Self:
        """Return the same for whatever origin a request is made to; not for those that redirects lead to."""
        bound = copy(self)
        bound.origins = None
        bound._is_for_first = True
        return bound

    def is_for(self, request: Request) -> bool:
        """Whether the credentials may be added; a request that has an Authorization field keeps it.

        Raises `ValueError` if nobody has said what origins they are for.
        """
        if self._is_for_first:
            return not is_led_away(request) and not has_field(request.fields, "authorization")
        origins = self.origins
        if origins is None:
            raise ValueError(f"{type(self).__name__} is for no origin: give it origins= (a URL, or several)")
        if request.url.origin not in origins or has_field(request.fields, "authorization"):
            return False
        return origins.issuperset(request.redirected_by)

    def __repr__(self) -> str:
        nobody = "the first origin" if self._is_for_first else "no origin"
        places = nobody if self.origins is None else ", ".join(sorted(map(str, self.origins)))
        return f"<{type(self).__name__} for {places}>"


class BasicAuth(Credentials):
    """User name and password, as they are (RFC 7617, in UTF-8): for https.

    `origins`: the URL or URLs whose origins get them.
    """

    def __init__(self, username: str, password: str, *, origins: Origins | None = None) -> None:
        super().__init__(origins=origins)
        self._field = basic(username, password)

    async def __call__(self, request: Request, send: Send) -> Response:
        return await send(request.with_field("authorization", self._field) if self.is_for(request) else request)


class UserinfoAuth:
    """Send the user name and password that stand in a URL ("https://user:password@host/") by Basic.

    Those of the URL that the user gave; never those of a URL that a redirect brought.
    """

    async def __call__(self, request: Request, send: Send) -> Response:
        url = request.url
        if not url.has_userinfo:
            return await send(request)
        if not is_led_away(request) and not has_field(request.fields, "authorization"):
            try:
                field = basic(url.username or "", url.password or "")
            except ValueError as error:
                raise InvalidRequest(f"the user name and password of the URL: {error}", request=request) from None
            request = request.with_field("authorization", field)
        return await send(request)


class Auth(Credentials):
    """The base of credentials that take a conversation. A subclass writes it as a generator:

        class Ticket(Auth):
            def auth_flow(self, request):
                response = yield request
                if response.status_code == 401:
                    request.headers["authorization"] = f"Ticket {response.headers['x-ticket']}"
                    yield request

    What it yields is sent, and what is sent last is the answer. The request is a copy, and may be changed. Not more
    than 10 requests are sent in all. `async_auth_flow` is the same with await; `requires_response_body` has the bodies
    of responses read before the generator gets them. Raises `RequestBodyError` where a body cannot be sent again.
    """

    requires_response_body = False

    def auth_flow(self, request: Request) -> Generator[Request, Response, None]:
        yield request

    async def async_auth_flow(self, request: Request) -> AsyncGenerator[Request, Response]:
        flow = self.auth_flow(request)
        try:
            outgoing = next(flow)
            while True:
                response = yield outgoing
                outgoing = flow.send(response)
        except StopIteration:
            return
        finally:
            flow.close()

    async def __call__(self, request: Request, send: Send) -> Response:
        if not self.is_for(request):
            return await send(request)
        response: Response | None = None
        try:
            async with aclosing(self.async_auth_flow(request.replace())) as flow:
                # What was yielded may be changed and yielded again: what is sent is a copy of it.
                response = await send((await anext(flow, request)).replace())
                for _ in range(MAX_STEPS - 1):
                    following = await self._next(flow, response)
                    if following is None:
                        break
                    await discard(response)
                    response = await send(following)
        except BaseException:  # also out of the generator, at its end
            if response is not None:
                await response.aclose()
            raise
        return response

    async def _next(self, flow: AsyncGenerator[Request, Response], response: Response) -> Request | None:
        if self.requires_response_body:
            await response.aread()
        try:
            following = await flow.asend(response)
        except StopAsyncIteration:
            return None
        if not following.body.is_replayable:
            raise RequestBodyError(
                "the body is an iterator that has been read already, and the server wants credentials first; "
                "pass a function that returns a new one",
                request=following,
                sent=True,
            )
        return following.replace()


def basic(username: str, password: str) -> str:
    if not isinstance(username, str) or not isinstance(password, str):
        raise TypeError("user name and password are str")
    if ":" in username or _CONTROL(username) or _CONTROL(password):
        raise ValueError("a user name has no colon, and neither it nor the password a control character (RFC 7617)")
    return f"Basic {b64encode(f'{username}:{password}'.encode()).decode()}"


def is_led_away(request: Request) -> bool:
    """Whether a redirect has led to another origin than the user's, on whatever way."""
    return any(origin != request.url.origin for origin in request.redirected_by)


def origins_of(origins: Origins) -> frozenset[Origin]:
    """Return the origins that one or several URLs have. Raises `InvalidURL` for one without a host."""
    given = [origins] if isinstance(origins, str | URL | Origin) else list(origins)
    return frozenset(map(_origin, given))


def _origin(place: str | URL | Origin) -> Origin:
    if isinstance(place, Origin):
        return place
    url = place if isinstance(place, URL) else URL(place)
    if not url.is_absolute:
        raise InvalidURL(f"{url.redacted!r} is no URL with a host, so it has no origin")
    return url.origin
