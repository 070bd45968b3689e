"""The contract kit: what every Link must pass, whatever is behind it.

    @pytest.mark.parametrize("check", CHECKS, ids=NAMES)
    async def test_my_link(check: Check) -> None:
        await check(make, is_pumped=False)

`make` is `async () -> (link, peer)`: a link that was not started, and the far end as an anyio ByteStream in the hands
of the check. Buffers between the two hold much less than half a megabyte. Under TLS, `peer.transport_stream` is the
stream below it, and `peer.send_eof()` sends close_notify and nothing else. A connection in memory has `reset()`.
`aclose` is to give up within a second, so that the whole kit does not take long.
"""

from __future__ import annotations

from typing import Protocol

from tests.transport import kit_bytes, kit_ends, kit_waits
from tests.transport.kit_tools import Make

__all__ = ["CHECKS", "NAMES", "Check", "Make"]


class Check(Protocol):
    """One check. Raises AssertionError, or TimeoutError where the link hangs."""

    __name__: str

    async def __call__(self, make: Make, *, is_pumped: bool) -> None: ...


CHECKS: tuple[Check, ...] = (*kit_bytes.CHECKS, *kit_waits.CHECKS, *kit_ends.CHECKS)
NAMES = [check.__name__.removeprefix("check_") for check in CHECKS]
