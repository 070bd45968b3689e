"""The resolver that is used if the user names none: one c-ares for all sessions of a process."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator

import anyio
import anyio.to_thread
import pytest

from netio.transport import SystemResolver
from netio.transport import _dns_default as module
from netio.transport._dns_contract import EarlyResolver
from netio.transport._dns_default import SharedResolver, default_resolver

pytestmark = pytest.mark.anyio


@pytest.fixture(autouse=True)
def nothing_is_shared_afterwards(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setattr(module, "_shared", None)
    yield
    assert module._shared is None


async def made() -> SharedResolver:
    resolver = await anyio.to_thread.run_sync(default_resolver)
    assert isinstance(resolver, SharedResolver)
    return resolver


async def test_all_sessions_share_one_c_ares_which_closes_with_the_last_of_them() -> None:
    one, other = await made(), await made()
    assert one._whole.resolver is other._whole.resolver
    assert isinstance(one, EarlyResolver)
    await one.aclose()
    assert not other._whole.resolver._is_closed
    assert "127.0.0.1" in (await other.resolve("localhost")).addresses  # c-ares knows that by itself
    await other.aclose()
    assert other._whole.resolver._is_closed
    await other.aclose()
    another = await made()
    assert another._whole is not other._whole
    await another.aclose()


async def test_closing_that_is_cancelled_gives_the_part_back() -> None:
    resolver = await made()
    with anyio.CancelScope() as scope:
        scope.cancel()
        await resolver.aclose()
    assert resolver._whole.resolver._is_closed


async def test_after_a_fork_the_child_has_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    parents = await made()
    monkeypatch.setattr(os, "getpid", lambda: -1)
    childs = await made()
    assert childs._whole is not parents._whole
    await parents.aclose()
    assert not childs._whole.resolver._is_closed
    await childs.aclose()


async def test_without_pycares_the_system_is_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pycares", None)
    assert isinstance(await anyio.to_thread.run_sync(default_resolver), SystemResolver)
