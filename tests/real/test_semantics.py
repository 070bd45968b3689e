"""HTTP's own semantics and server-sent events against a server that is not ours, over HTTP/1.1 and HTTP/2."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from netio import policy
from tests.real.conftest import WAYS, RealServer, Way, http_version

pytestmark = [pytest.mark.anyio, pytest.mark.parametrize("way", WAYS)]


async def test_what_a_session_adds_arrives(server: RealServer, way: Way) -> None:
    async with server.session(way, auth=("user", "pw"), cookies={"a": "1"}) as session:
        seen = (await session.get("/headers", cookies={"b": "2"})).json()
        fields = {name: value for name, value in seen["headers"] if name != "host"}
        assert fields["authorization"] == "Basic dXNlcjpwdw=="
        assert fields["cookie"] == "a=1; b=2"
        assert fields["accept-encoding"] == policy.Decode().accept_encoding


async def test_events_come_one_by_one(server: RealServer, way: Way) -> None:
    async def echoed() -> AsyncIterator[bytes]:
        for number in range(3):
            yield f"id: {number}\r\ndata: {number}\r\n\r\n".encode()
        yield b"data: cut off"

    async with server.session(way) as session:
        headers = {"content-type": "text/event-stream"}
        async with session.sse("/echo", method="POST", content=echoed(), headers=headers) as events:
            assert events.response is not None
            assert events.response.http_version == http_version(way)
            assert [(event.id, event.data) async for event in events] == [("0", "0"), ("1", "1"), ("2", "2")]
        assert session.stats().active == 0
