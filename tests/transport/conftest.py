"""A runtime of the running loop for each test that asks for one, after which neither task nor socket is left."""

from __future__ import annotations

from collections.abc import AsyncIterator

import anyio
import pytest

from netio.transport import Runtime, current_runtime
from tests.transport.kit_tools import eventually, open_sockets


@pytest.fixture
async def runtime(anyio_backend: object) -> AsyncIterator[Runtime]:
    runtime, before = current_runtime(), open_sockets()
    yield runtime
    with anyio.fail_after(5):
        await runtime.finish()
        await eventually(lambda: open_sockets() <= before)
    assert runtime.tasks == 0
