"""HTTP's own semantics as a session has them: which policies lie around those of the user, and when.

    Decode (in the session itself), Redirects, credentials, Cookies | the user's list | the pool

They go outside of the user's list, so that each hop of a redirect is repeated by itself and has its own cookies and
credentials. What is not in use is not there: a session without redirects, cookies and credentials sends its requests
straight into the user's list. The way of a request that wants something else is put together for it alone, since it
may hold a password, and costs a microsecond or two.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TypedDict

from netio.message import Policy, Send
from netio.policy import (
    BasicAuth,
    Cookie,
    CookieJar,
    Cookies,
    Credentials,
    Decode,
    Redirects,
    UserinfoAuth,
    compose,
    cookie_field,
)
from netio.url import URL

AuthInput = tuple[str, str] | Policy
"""User name and password, for Basic, or a policy that adds credentials."""

CookiesInput = CookieJar | Mapping[str, str] | bool | None


class WayOptions(TypedDict, total=False):
    """What a request may have that lies around it otherwise than around the others."""

    follow_redirects: bool | Redirects | None
    auth: AuthInput | None


class SendOptions(WayOptions, total=False):
    """What `Session.send` takes."""

    policies: Sequence[Policy] | None


WAY_OPTIONS = frozenset(SendOptions.__annotations__)

_USERINFO = UserinfoAuth()


class Semantics:
    """The policies of HTTP itself that a session uses."""

    def __init__(
        self,
        *,
        base_url: URL | None,
        decode: bool | Decode,
        follow_redirects: bool | Redirects,
        cookies: CookiesInput,
        auth: AuthInput | None,
    ) -> None:
        self.decode = as_decode(decode)
        self._redirects = as_redirects(follow_redirects, Redirects())
        self._usual = self._redirects or Redirects()
        jar = jar_of(cookies, base_url)
        self.cookies = None if jar is None else Cookies(jar)
        if auth is not None and base_url is not None and base_url.has_userinfo:
            raise ValueError("base_url has a user name or password, and there is auth, too: which of them is meant?")
        self._auth = None if auth is None else as_credentials(auth, base_url)

    def around(self, inner: Send, options: WayOptions, *, has_userinfo: bool = False) -> Send:
        """Return the way of a request: what is in use for it, around the rest of the way."""
        policies: list[Policy] = []
        wish = options.get("follow_redirects")
        redirects = self._redirects if wish is None else as_redirects(wish, self._usual)
        if redirects is not None:
            policies.append(redirects)
        own = options.get("auth")
        if own is not None:
            policies.append(as_credentials(own, None))
        else:
            if has_userinfo:
                policies.append(_USERINFO)
            if self._auth is not None and "auth" not in options:
                policies.append(self._auth)
        if self.cookies is not None:  # inside of the credentials: a challenge may set a cookie, too
            policies.append(self.cookies)
        return compose(policies, inner) if policies else inner


def as_decode(decode: bool | Decode) -> Decode | None:
    if isinstance(decode, Decode):
        return decode
    if not isinstance(decode, bool):
        raise TypeError(f"decode is True, False or a policy.Decode, not {type(decode).__name__}")
    return Decode() if decode else None


def as_redirects(follow: bool | Redirects, usual: Redirects) -> Redirects | None:
    if isinstance(follow, Redirects):
        return follow
    if not isinstance(follow, bool):
        raise TypeError(
            f"follow_redirects is True, False or a policy.Redirects, which has the limit; not {type(follow).__name__}"
        )
    return usual if follow else None


def jar_of(cookies: CookiesInput, base_url: URL | None) -> CookieJar | None:
    if isinstance(cookies, CookieJar):
        return cookies
    if cookies is None or isinstance(cookies, bool):
        return CookieJar() if cookies else None
    if not isinstance(cookies, Mapping):
        raise TypeError(f"cookies is True, False, a CookieJar or a mapping, not {type(cookies).__name__}")
    if base_url is None:
        raise ValueError(
            "cookies is a mapping and there is no base_url, so nobody knows whose they are: give a CookieJar instead, "
            "and Cookies with a domain to it"
        )
    cookie_field(cookies)
    jar = CookieJar()
    is_secure = base_url.scheme == "https"
    for name, value in cookies.items():
        jar.add(Cookie(name=name, value=value, domain=base_url.host.removesuffix("."), is_secure=is_secure))
    return jar


def as_credentials(auth: AuthInput, base_url: URL | None) -> Policy:
    """Return the policy; one that was bound to no origin is bound to that of the base or, without one, of the URL."""
    if isinstance(auth, tuple):
        if len(auth) != 2:
            raise TypeError(f"auth is a user name and a password, not {len(auth)} things")
        auth = BasicAuth(*auth)
    if not callable(auth):
        raise TypeError(f"auth is a user name and a password, or a policy, not {type(auth).__name__}")
    if not isinstance(auth, Credentials) or auth.origins is not None:
        return auth
    return auth.bound_to_first() if base_url is None else auth.bound_to(base_url)
