"""Load in real time, and many first look-ups at once, counted where it matters: by the name server."""

from __future__ import annotations

import anyio
import pytest

from netio.deadline import SystemClock
from netio.transport import Names, Runtime
from tests.transport.dns.campaign import campaign
from tests.transport.dns.conftest import MakeCares
from tests.transport.dns.server import NameServer, Script

pytestmark = pytest.mark.anyio


async def test_dns_02_once_warm_nobody_waits_and_a_name_is_asked_for_once_a_ttl() -> None:
    outcome = await campaign(2.1)
    assert outcome.look_ups >= 300
    assert outcome.waited == 0
    assert outcome.queries <= 1.1


async def test_dns_01_a_thousand_first_look_ups_make_one_query_for_each_type(
    server: NameServer, cares: MakeCares, runtime: Runtime
) -> None:
    server.scripts["a.test"] = Script(a=["192.0.2.1"], aaaa=["2001:db8::1"], https=["1 . alpn=h2"])
    names = Names(cares(), runtime=runtime, clock=SystemClock())
    with anyio.fail_after(10):
        async with anyio.create_task_group() as group:
            for _ in range(1_000):
                group.start_soon(names.look_up, "a.test")
        await runtime.finish()
    assert server.asked == {("a.test", "A"): 1, ("a.test", "AAAA"): 1, ("a.test", "HTTPS"): 1}
    await names.aclose()
