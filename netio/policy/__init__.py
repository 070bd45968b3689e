"""What may happen around a request. A policy is any `async (request, send) -> response`.

`compose` puts a list of them around a send, the first one outermost; `standard()` is a list for most purposes. Those of
resilience, but for `Deadline` and `AttemptTimeout`, also stand around any async function: `await retry.call(function)`,
`@retry`, and those that are entered and left, `async with breaker.guard("db"):`. Those of HTTP itself go outside of
them, in this order: `Decode`, `Redirects`, credentials, `Cookies`. None is for use from several threads.
"""

from netio.policy._adaptive import AdaptiveLimit
from netio.policy._auth import Auth, BasicAuth, Credentials, UserinfoAuth
from netio.policy._bearer import BearerAuth, Token
from netio.policy._breaker import CircuitBreaker
from netio.policy._budget import RetryBudget
from netio.policy._bulkhead import Bulkhead
from netio.policy._circuit import CircuitStats, State
from netio.policy._compose import compose
from netio.policy._cookie_jar import Cookie, CookieJar
from netio.policy._cookies import Cookies, cookie_field, load_cookies, save_cookies
from netio.policy._deadline import AttemptTimeout, Deadline
from netio.policy._decode import Decode
from netio.policy._digest import DigestAuth
from netio.policy._fallback import Fallback
from netio.policy._hedge import Hedge
from netio.policy._netrc import NetrcAuth
from netio.policy._rate_limit import RateLimit
from netio.policy._redirect import Redirects
from netio.policy._retry import RETRIED_ERRORS, RETRIED_STATUSES, Retry
from netio.policy._single_flight import SingleFlight
from netio.policy._standard import standard
from netio.policy._verdict import peer_failed

__all__ = [
    "RETRIED_ERRORS",
    "RETRIED_STATUSES",
    "AdaptiveLimit",
    "AttemptTimeout",
    "Auth",
    "BasicAuth",
    "BearerAuth",
    "Bulkhead",
    "CircuitBreaker",
    "CircuitStats",
    "Cookie",
    "CookieJar",
    "Cookies",
    "Credentials",
    "Deadline",
    "Decode",
    "DigestAuth",
    "Fallback",
    "Hedge",
    "NetrcAuth",
    "RateLimit",
    "Redirects",
    "Retry",
    "RetryBudget",
    "SingleFlight",
    "State",
    "Token",
    "UserinfoAuth",
    "compose",
    "cookie_field",
    "load_cookies",
    "peer_failed",
    "save_cookies",
    "standard",
]
