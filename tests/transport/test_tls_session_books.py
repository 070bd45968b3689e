"""The books of TLS sessions: pure, told the time."""

from __future__ import annotations

import ssl
from typing import Any, cast

import pytest

from netio.transport._tls_sessions import REFUSAL_SECONDS, SESSIONS, KeptSession, Server, Sessions
from tests.transport.far_ends import HOST


def place(host: str = HOST) -> Server:
    return Server(host, 443, host, ("h2",), 2, True)


def kept(expires: float = 1_000.0, *, reusable_until: float = 0.0) -> KeptSession:
    return KeptSession(cast("ssl.SSLSession", object()), reusable_until, expires)


def test_tls_09_a_session_is_offered_once_the_newest_first() -> None:
    sessions, old, new = Sessions(), kept(), kept()
    sessions.give(place(), old)
    sessions.give(place(), new)
    assert [sessions.take(place(), 0.0) for _ in range(3)] == [new, old, None]


def test_a_session_that_is_new_is_offered_to_all_and_then_to_one() -> None:
    sessions, one = Sessions(), kept(reusable_until=60.0)
    sessions.give(place(), one)
    assert [sessions.take(place(), 59.9) for _ in range(3)] == [one] * 3
    assert sessions.wants(place(), 59.9) is False
    assert sessions.wants(place(), 60.0) is True
    assert [sessions.take(place(), 60.0) for _ in range(2)] == [one, None]


def test_a_session_that_the_server_did_not_resume_is_forgotten() -> None:
    sessions, one = Sessions(), kept(reusable_until=60.0)
    sessions.give(place(), one)
    sessions.drop(place(), one)
    sessions.drop(place(), one)
    assert sessions.take(place(), 0.0) is None
    assert sessions.wants(place(), 0.0) is True


@pytest.mark.parametrize("reusable_until", [0.0, 60.0])
def test_a_session_that_has_expired_is_not_offered(reusable_until: float) -> None:
    sessions = Sessions()
    sessions.give(place(), kept(10.0, reusable_until=reusable_until))
    assert sessions.wants(place(), 10.0) is True
    assert sessions.take(place(), 10.0) is None
    assert len(sessions) == 0


def test_no_more_sessions_are_kept_than_the_limits_say() -> None:
    sessions = Sessions(servers=2)
    for _ in range(SESSIONS + 1):
        sessions.give(place("a"), kept())
    assert len(sessions) == SESSIONS
    sessions.give(place("b"), kept())
    assert sessions.take(place("a"), 0.0) is not None  # so that b is the one not asked for
    sessions.give(place("c"), kept())
    assert sessions.take(place("b"), 0.0) is None
    assert sessions.take(place("a"), 0.0) is not None


def test_a_server_that_broke_a_handshake_is_left_alone_for_a_while() -> None:
    sessions = Sessions()
    sessions.give(place(), kept(REFUSAL_SECONDS * 2))
    sessions.refuse(place(), 5.0)
    assert sessions.take(place(), 5.0) is None
    assert sessions.wants(place(), 5.0 + REFUSAL_SECONDS - 0.1) is False
    assert sessions.wants(place(), 5.0 + REFUSAL_SECONDS) is True


@pytest.mark.parametrize("change", [{"host": "x"}, {"port": 1}, {"name": "x"}, {"alpn": ()}, {"verify_mode": 0}])
def test_tls_09_a_session_is_for_one_server_alone(change: dict[str, Any]) -> None:
    sessions = Sessions()
    sessions.give(place(), kept())
    assert sessions.take(place()._replace(**change), 0.0) is None
    assert sessions.take(place(), 0.0) is not None
