"""What an outcome says about the peer: it has failed, it works, or nothing.

Nothing is said by what never reached the peer, or was not its doing: our own refusals, a queue of ours that is full, a
request that is wrong, a bug in the caller's code. And by a cancelled attempt, which is no `Exception` and never comes
here.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from netio.errors import (
    AddressRefused,
    BodyTooLarge,
    CertificateError,
    CredentialsError,
    EventStreamError,
    InvalidRequest,
    PoolTimeout,
    ProxyError,
    RedirectError,
    Rejected,
    RequestBodyError,
    RequestError,
    ResolveError,
    SessionClosed,
    TotalTimeout,
)
from netio.message import Response

Verdict = Callable[[Any], bool | None]
"""Given a response or an exception: True if the peer has failed, False if it works, None if it says nothing."""

FIRST_FAILING_STATUS = 429
PROXY_WANTS_CREDENTIALS = 407
_PASSING_REFUSALS = (408, 425, 429)

_SAYS_NOTHING = (
    Rejected,
    AddressRefused,
    BodyTooLarge,
    EventStreamError,
    InvalidRequest,
    RequestBodyError,
    SessionClosed,
    PoolTimeout,
    CredentialsError,
    RedirectError,
)


def peer_failed(outcome: Response | Exception) -> bool | None:
    """Count errors of the network, 5xx and 429 as failures of the peer."""
    if isinstance(outcome, Response):
        return outcome.status_code >= 500 or outcome.status_code == FIRST_FAILING_STATUS
    if not isinstance(outcome, RequestError) or isinstance(outcome, _SAYS_NOTHING):
        return None
    if isinstance(outcome, ProxyError) and outcome.status_code == PROXY_WANTS_CREDENTIALS:
        return None
    # A deadline that passes while the request waits in a queue of ours says nothing about the peer.
    return None if isinstance(outcome, TotalTimeout) and outcome.phase == "queue" else True


def call_failed(outcome: object) -> bool | None:
    """Count any exception of a function as a failure, except those of netio that say nothing about the peer."""
    if not isinstance(outcome, Exception):
        return False
    return peer_failed(outcome) if isinstance(outcome, RequestError) else True


def is_final(error: Exception) -> bool:
    """Say whether an error will be the same the next time, so that nobody but a person can help."""
    if isinstance(error, ProxyError):
        # What a proxy refuses (407: our credentials, 403: its rules) it refuses again; the rest may come.
        status = error.status_code
        return status is not None and 400 <= status < 500 and status not in _PASSING_REFUSALS
    if isinstance(error, ResolveError):
        return error.kind == "invalid"
    return isinstance(error, AddressRefused | CertificateError)
