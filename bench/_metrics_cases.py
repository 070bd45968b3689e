"""The cases of `inmemory.py --metrics`: the same GET, counted, observed, and with its timings read."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from _memory_link import drive

import netio
from netio.observe import Event

BARE = "GET, nothing counted"

Slice = Callable[[int], None]
MakeSession = Callable[..., Awaitable[netio.Session]]


EXPORTS: dict[type[Event], Callable[[Event], None]] = {}


def dropping(event: Event) -> None:
    """Be an observer in the shape of an exporter: it asks for the type of each event, and has no use for any."""
    export = EXPORTS.get(type(event))
    if export is not None:
        export(event)


def ignoring(event: Event) -> None:
    """Be the cheapest observer there is."""


async def metrics_cases(make_session: MakeSession, url: str) -> dict[str, Slice]:
    """Return the cases by name, the bare one first."""
    bare = await make_session(metrics=False)

    def gets(session: netio.Session) -> Slice:
        def run(count: int) -> None:
            get = session.get
            for _ in range(count):
                drive(get(url))

        return run

    def reads_timings(count: int) -> None:
        get = bare.get
        for _ in range(count):
            drive(get(url)).timings.total  # noqa: B018  # reading is what is measured

    counted = await make_session(metrics=True)

    def takes_stats(count: int) -> None:
        for _ in range(count):
            counted.stats()

    return {
        BARE: gets(bare),
        "metrics": gets(counted),
        "an observer that does nothing": gets(await make_session(metrics=False, observer=ignoring)),
        "an exporter that drops everything": gets(await make_session(metrics=False, observer=dropping)),
        "metrics and the exporter": gets(await make_session(metrics=True, observer=dropping)),
        "response.timings read": reads_timings,
        "session.stats() alone": takes_stats,
    }
