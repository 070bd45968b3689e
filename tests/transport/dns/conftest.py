"""A name server for each test that asks for one, and resolvers that ask it."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AsyncExitStack
from typing import Any

import pytest

from netio.transport import CaresResolver
from tests.transport.dns.server import NameServer

MakeCares = Callable[..., CaresResolver]


@pytest.fixture
def server() -> Iterator[NameServer]:
    with NameServer().running() as running:
        yield running


@pytest.fixture
async def cares(server: NameServer) -> AsyncIterator[MakeCares]:
    """Make resolvers that are closed after the test."""
    async with AsyncExitStack() as stack:

        def make(**options: Any) -> CaresResolver:
            resolver = CaresResolver(**{"servers": [server.place], "timeout": 2.0, **options})
            stack.push_async_callback(resolver.aclose)
            return resolver

        yield make
