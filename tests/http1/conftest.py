"""The ways by which the bytes of a server come to the client."""

from __future__ import annotations

import pytest

from tests.http1.sites import WAYS, Way


@pytest.fixture(params=WAYS, ids=str)
def way(request: pytest.FixtureRequest) -> Way:
    made: Way = request.param
    return made
