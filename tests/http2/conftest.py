"""A session over each of the two HTTP/2 engines."""

from __future__ import annotations

import pytest

from netio.wire import EngineName


@pytest.fixture(params=["fast", "reference"])
def engine(request: pytest.FixtureRequest) -> EngineName:
    name: EngineName = request.param
    return name
