"""BearerAuth: a token, fixed or renewed by a function (RFC 6750).

One request at a time renews, in its own task; the others wait for what comes of it, and if it is cancelled the next of
them takes over: as in _single_flight.py, and for its reasons. But unlike there a failure is everybody's who waited for
it: a hundred requests must not ask a broken token service one after the other.
"""

from __future__ import annotations

import math
import re
from collections.abc import AsyncGenerator, Awaitable, Callable
from typing import NamedTuple

import anyio

from netio.deadline import NEVER
from netio.errors import CredentialsError, TotalTimeout
from netio.message import Request, Response
from netio.policy._auth import Auth, Origins
from netio.policy._wait import wait_until

_TOKEN = re.compile(r"[A-Za-z0-9\-._~+/]+=*").fullmatch  # RFC 6750 section 2.1

LEEWAY = 30.0
"""Seconds before its end at which a token is renewed; half of its life, if that is shorter."""


class Token(NamedTuple):
    """A token and, if known, for how many seconds it is good (`expires_in` of RFC 6749)."""

    value: str
    lifetime: float | None = None


Renew = Callable[[], Awaitable["str | Token"]]


class _Renewal:
    """One call of the function, and what came of it for those who wait; neither, if it was cancelled."""

    def __init__(self) -> None:
        self.is_over = anyio.Event()
        self.field: str | None = None
        self.error: Exception | None = None


class _Keeper:
    """The token, and who renews it; shared by all that is bound from one `BearerAuth`."""

    def __init__(self, renew: Renew | None, field: str | None) -> None:
        self._renew = renew
        self._field = field
        self._until = NEVER
        self._renewal: _Renewal | None = None

    async def current(self, request: Request) -> str:
        """Return the Authorization field, renewed if there is none or it is over. Raises `CredentialsError`."""
        field = self._field
        if field is not None and request.clock.now() < self._until:
            return field
        while (renewal := self._renewal) is not None:
            if not await wait_until(renewal.is_over, request.deadline, request.clock):
                late = "the deadline of the request passed while the token was renewed"
                raise TotalTimeout(late, request=request, phase="build", sent=False)
            if renewal.error is not None:
                raise _failure(renewal.error, request) from renewal.error
            if renewal.field is not None:
                return renewal.field
        return await self._renewed(request)

    def drop(self, field: str) -> bool:
        """Forget a field that was refused, if it is still the current one; return whether there may be another."""
        if self._renew is None:
            return False
        if self._field == field:
            self._field = None
        return True

    async def _renewed(self, request: Request) -> str:
        assert self._renew is not None
        renewal = self._renewal = _Renewal()
        try:
            given = await self._renew()
            token = given if isinstance(given, Token) else Token(given)
            field = self._field = renewal.field = bearer(token.value)
            self._until = _end(token, request.clock.now())
            return field
        except Exception as error:
            renewal.error = error
            raise _failure(error, request) from error
        finally:
            self._renewal = None
            renewal.is_over.set()


class BearerAuth(Auth):
    """Send a token: a fixed one, or what an async function returns.

    The function returns the token, or a `Token` with its lifetime in seconds. It is called for the first request, when
    the lifetime is nearly over, and when a server answers 401, after which the request is sent once more with the new
    token, if its body allows. However many requests need it, it runs once at a time. What it raises comes as
    `CredentialsError` to all who waited for it. It has to end by itself: it has its own time limits.

    `origins`: the URL or URLs whose origins get the token.
    """

    def __init__(self, token: str | Renew, *, origins: Origins | None = None) -> None:
        super().__init__(origins=origins)
        if not isinstance(token, str) and not callable(token):
            raise TypeError(f"token is a str or an async function, not {type(token).__name__}")
        self._keeper = _Keeper(None, bearer(token)) if isinstance(token, str) else _Keeper(token, None)

    async def async_auth_flow(self, request: Request) -> AsyncGenerator[Request, Response]:
        keeper = self._keeper
        field = await keeper.current(request)
        response = yield request.with_field("authorization", field)
        if response.status_code == 401 and keeper.drop(field) and request.body.is_replayable:
            yield request.with_field("authorization", await keeper.current(request))


def bearer(token: object) -> str:
    if not isinstance(token, str) or not _TOKEN(token):
        raise ValueError("a bearer token is a str of letters, digits and -._~+/, then maybe = (RFC 6750 section 2.1)")
    return f"Bearer {token}"


def _end(token: Token, now: float) -> float:
    lifetime = token.lifetime
    if lifetime is None or not math.isfinite(lifetime):
        return NEVER
    return now + lifetime - min(LEEWAY, lifetime / 2)


def _failure(error: Exception, request: Request) -> CredentialsError:
    return CredentialsError(
        f"the token could not be renewed: {type(error).__name__}: {error}", request=request, phase="build", sent=False
    )
