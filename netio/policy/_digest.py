"""DigestAuth: the password stays here, a hash of it goes (RFC 7616).

    no nonce    ──send──> 401 + challenge ──answer──> ...
    nonce       ──answer, count + 1──> ...  2xx: Authentication-Info may name the next nonce
    answered    401, and the nonce was one from before ──answer the new one──> ...
    answered    401 stale=true, for the first time     ──answer the new one──> ...
    answered    401 ──> that is the result: the credentials are wrong

A nonce is counted where the field is made, without an await in between: two requests never use the same count. One
cnonce serves as long as its nonce: a server that keeps the session key of "-sess" (section 3.4.2) and one that computes
it each time come to the same.
"""

from __future__ import annotations

import hashlib
import secrets
from collections.abc import Callable, Generator, Iterable
from urllib.parse import quote

from netio.message import Request, Response
from netio.policy._auth import Auth, Origins
from netio.policy._challenges import Challenge, challenges, parameters_at, quoted
from netio.url import Origin

Hash = Callable[[str], str]

MAX_NONCES = 1_000
"""Origins whose nonces are remembered; the next request to any other one begins anew."""


def _sha256(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


def _md5(text: str) -> str:
    return hashlib.md5(text.encode(), usedforsecurity=False).hexdigest()


_HASHES: dict[str, Hash] = {"SHA-256": _sha256, "SHA-256-SESS": _sha256, "MD5": _md5, "MD5-SESS": _md5}
"""The algorithms, the strongest first. SHA-512-256 nobody speaks."""


class Nonce:
    """A challenge that is being answered, and how often that was done."""

    def __init__(self, challenge: Challenge, cnonce: str) -> None:
        parameters = challenge.parameters
        self.realm = parameters.get("realm", "")
        self.nonce = parameters["nonce"]
        self.count = 0
        self.algorithm = parameters.get("algorithm")
        self.opaque = parameters.get("opaque")
        self.has_qop = "qop" in parameters
        self.has_user_hash = parameters.get("userhash", "").lower() == "true"
        self.is_utf8 = parameters.get("charset", "").upper() == "UTF-8"
        self.cnonce = cnonce
        self._hash = _HASHES[(self.algorithm or "MD5").upper()]

    def renew(self, nonce: str) -> None:
        """Go on with another nonce of the same server."""
        if nonce != self.nonce:
            self.nonce, self.count = nonce, 0

    def field(self, username: str, password: str, method: str, target: str) -> str:
        """Return the Authorization field of the next request."""
        self.count += 1
        parts = [
            *self._names(username),
            f"realm={quoted(self.realm)}",
            f"nonce={quoted(self.nonce)}",
            f"uri={quoted(target)}",
            f'response="{self._response(username, password, method, target)}"',
        ]
        if self.algorithm is not None:
            parts.append(f"algorithm={self.algorithm}")
        if self.opaque is not None:
            parts.append(f"opaque={quoted(self.opaque)}")
        if self.has_qop:
            parts += ["qop=auth", f"nc={self.count:08x}", f'cnonce="{self.cnonce}"']
        return f"Digest {', '.join(parts)}"

    def _response(self, username: str, password: str, method: str, target: str) -> str:
        first = self._hash(f"{username}:{_utf8(self.realm)}:{password}")
        if (self.algorithm or "").upper().endswith("-SESS"):
            first = self._hash(f"{first}:{self.nonce}:{self.cnonce}")
        second = self._hash(f"{method}:{target}")
        if not self.has_qop:  # RFC 2069, which some devices still speak
            return self._hash(f"{first}:{self.nonce}:{second}")
        return self._hash(f"{first}:{self.nonce}:{self.count:08x}:{self.cnonce}:auth:{second}")

    def _names(self, username: str) -> list[str]:
        if self.has_user_hash:
            return [f"username={quoted(self._hash(f'{username}:{_utf8(self.realm)}'))}", "userhash=true"]
        if self.is_utf8 and not username.isascii():
            return [f"username*=UTF-8''{quote(username, safe='')}"]
        return [f"username={quoted(username.encode().decode('latin-1'))}"]


class DigestAuth(Auth):
    """User name and password by Digest: SHA-256 or MD5, also "-sess", with quality of protection "auth" or none.

    The first request is sent without, to get a nonce; so a body that cannot be sent twice should not be the first.
    `origins`: the URL or URLs whose origins are answered.
    """

    def __init__(self, username: str, password: str, *, origins: Origins | None = None) -> None:
        super().__init__(origins=origins)
        if not isinstance(username, str) or not isinstance(password, str):
            raise TypeError("user name and password are str")
        self._username = username
        self._password = password
        self._nonces: dict[Origin, Nonce] = {}

    def auth_flow(self, request: Request) -> Generator[Request, Response, None]:
        origin = request.url.origin
        nonce = self._nonces.get(origin)
        used = None if nonce is None else nonce.nonce
        is_fresh = has_been_stale = False
        response = yield request if nonce is None else self._answered(request, nonce)
        while response.status_code == 401:
            challenge = strongest(response.headers.get_list("www-authenticate"))
            if challenge is None:
                return
            is_stale = challenge.parameters.get("stale", "").lower() == "true"
            is_refused = is_fresh or challenge.parameters["nonce"] == used
            if is_refused and (has_been_stale or not is_stale):
                self._nonces.pop(origin, None)  # the credentials are wrong: the next request begins anew
                return
            has_been_stale = has_been_stale or is_stale
            is_fresh = True
            nonce = self._nonces[origin] = Nonce(challenge, secrets.token_hex(16))
            if len(self._nonces) > MAX_NONCES:
                del self._nonces[next(iter(self._nonces))]
            used = nonce.nonce
            response = yield self._answered(request, nonce)
        if nonce is not None and nonce.nonce == used:  # else a later answer has named the next one already
            note_next(nonce, response)

    def _answered(self, request: Request, nonce: Nonce) -> Request:
        field = nonce.field(self._username, self._password, request.method, request.url.target)
        return request.with_field("authorization", field)


def strongest(values: Iterable[str]) -> Challenge | None:
    """Return the Digest challenge with the strongest algorithm that can be answered, None if there is none."""
    found = [challenge for challenge in challenges(values) if challenge.scheme == "digest" and _is_known(challenge)]
    ranks = list(_HASHES)
    return min(found, key=lambda each: ranks.index(_algorithm(each)), default=None)


def _is_known(challenge: Challenge) -> bool:
    parameters = challenge.parameters
    options = [option.strip().lower() for option in parameters.get("qop", "auth").split(",")]
    return "nonce" in parameters and _algorithm(challenge) in _HASHES and "auth" in options


def _algorithm(challenge: Challenge) -> str:
    return challenge.parameters.get("algorithm", "MD5").upper()


def note_next(nonce: Nonce, response: Response) -> None:
    """Go on with the nonce that the server names (RFC 7616 section 3.5)."""
    said = response.headers.get("authentication-info")
    if said is not None and (following := parameters_at(said, 0)[0].get("nextnonce")):
        nonce.renew(following)


def _utf8(text: str) -> str:
    """Read the bytes of a field as UTF-8, if they are: the hash is made of characters."""
    try:
        return text.encode("latin-1").decode()
    except UnicodeError:
        return text
