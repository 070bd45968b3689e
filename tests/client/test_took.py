"""`TimeoutError.took`: what each phase of a request has taken until its time was over, in numbers and in words."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import anyio
import pytest

import netio
from netio.testing import FakeClock, MemoryStream
from tests.client.conftest import House, Version, make_house
from tests.transport.far_ends import client_context

pytestmark = pytest.mark.anyio

DIAL_SECONDS = 3.0
QUEUE_SECONDS = 2.0


async def error_after(
    house: House, clock: FakeClock, seconds: float, method: str, path: str, **options: Any
) -> netio.TimeoutError:
    """Send a request, let time pass, and return the error that it ends with."""
    caught: list[netio.TimeoutError] = []

    async def send() -> None:
        with pytest.raises(netio.TimeoutError) as info:
            await house.session.request(method, path, **options)
        caught.append(info.value)

    async with anyio.create_task_group() as group:
        group.start_soon(send)
        await clock.advance(seconds - 0.2)
        assert caught == []
        await clock.advance(0.4)
    return caught[0]


NAP = 0.006
"""A nap of the timer is at least 5 ms long, so that it may look so much later."""

TICK = 0.106
"""How exactly the timer knows when the last byte came, or left."""


def check(
    error: netio.TimeoutError, kind: type[netio.TimeoutError], phase: str, took: dict[str, float], within: float = NAP
) -> None:
    """The error has these phases in this order, with these seconds, and names each that took time."""
    assert type(error) is kind
    assert error.phase == phase
    # A dial that took no time is there too, if this request or, at the same moment, one before it has caused it.
    seen = {name: seconds for name, seconds in error.took.items() if name not in ("resolve", "connect") or seconds}
    assert list(seen) == list(took)
    assert seen == pytest.approx(took, abs=within)
    earlier = list(took)[:-1]
    story = ", ".join(f"{name} {error.took[name]:.3g} s" for name in earlier if took[name])  # type: ignore[index]
    assert str(error).endswith(f" after {story}" if story else "]")


def slow_dials(house: House, clock: FakeClock) -> None:
    """Let every connection take its time to open, from now on."""

    async def connect(host: str, port: int) -> MemoryStream:
        await clock.sleep(DIAL_SECONDS)
        return await house.network.connect(host, port)

    house.session._connect = connect


NO_LIMIT = {"total": None, "pool": None, "connect": None, "read": None, "write": None}


def only(**limits: float) -> netio.Timeouts:
    return netio.Timeouts(**{**NO_LIMIT, **limits})


async def test_a_pool_timeout_took_the_queue(version: Version) -> None:
    clock = FakeClock()
    async with make_house(version, clock=clock, limits=netio.Limits(connections=1), max_streams=1) as house:
        async with house.session.stream("GET", "/drip", timeout=None):
            error = await error_after(house, clock, 7, "GET", "/", timeout=only(pool=7))
            check(error, netio.PoolTimeout, "queue", {"queue": 7})
            error = await error_after(house, clock, 7, "GET", "/", timeout=only(total=7))
            check(error, netio.TotalTimeout, "queue", {"queue": 7})


@pytest.mark.parametrize(("limit", "kind"), [("connect", netio.ConnectTimeout), ("total", netio.TotalTimeout)])
async def test_a_connection_that_does_not_open_took_the_phase_that_it_hung_in(
    version: Version, limit: str, kind: type[netio.TimeoutError]
) -> None:
    clock = FakeClock()

    async def never(host: str, port: int) -> MemoryStream:
        await anyio.sleep_forever()
        raise AssertionError

    async with make_house(version, clock=clock) as house:
        house.session._connect = never
        error = await error_after(house, clock, 7, "GET", "/", timeout=only(**{limit: 7}))
        assert error.sent is False
        check(error, kind, "connect", {"queue": 0, "connect": 7})


@pytest.mark.parametrize(("limit", "kind"), [("read", netio.ReadTimeout), ("total", netio.TotalTimeout)])
async def test_a_silent_server_took_the_dial_before_it(
    version: Version, limit: str, kind: type[netio.TimeoutError]
) -> None:
    clock = FakeClock()
    async with make_house(version, clock=clock) as house:
        slow_dials(house, clock)
        seconds = 7 + (DIAL_SECONDS if limit == "read" else 0)
        error = await error_after(house, clock, seconds, "GET", "/hang", timeout=only(**{limit: 7}))
        head = seconds - DIAL_SECONDS
        check(error, kind, "head", {"queue": 0, "connect": DIAL_SECONDS, "send": 0, "head": head})


async def test_the_dial_of_an_earlier_request_is_not_counted(version: Version) -> None:
    clock = FakeClock()
    async with make_house(version, clock=clock) as house:
        slow_dials(house, clock)
        async with anyio.create_task_group() as group:
            group.start_soon(house.session.get, "/")
            await clock.advance(DIAL_SECONDS + 1)
        error = await error_after(house, clock, 7, "GET", "/hang", timeout=only(read=7))
        check(error, netio.ReadTimeout, "head", {"queue": 0, "send": 0, "head": 7})


async def test_the_queue_is_counted_before_what_hung(version: Version) -> None:
    clock = FakeClock()
    async with make_house(version, clock=clock, limits=netio.Limits(connections=1), max_streams=1) as house:
        response = await house.session.send(house.session.build_request("GET", "/drip", timeout=None), stream=True)

        async def release() -> None:
            await clock.sleep(QUEUE_SECONDS)
            await response.aclose()

        errors: list[netio.TimeoutError] = []
        async with anyio.create_task_group() as group:
            group.start_soon(release)
            errors.append(await error_after(house, clock, QUEUE_SECONDS + 7, "GET", "/hang", timeout=only(read=7)))
        check(errors[0], netio.ReadTimeout, "head", {"queue": QUEUE_SECONDS, "send": 0, "head": 7})


async def test_a_body_that_stops_took_the_head_before_it(version: Version) -> None:
    clock = FakeClock()
    async with make_house(version, clock=clock) as house:
        await house.session.get("/")
        request = house.session.build_request("GET", "/drip", timeout=only(read=7))
        async with await house.session.send(request, stream=True) as response:
            errors = []

            async def read() -> None:
                with pytest.raises(netio.ReadTimeout) as info:
                    await response.aread()
                errors.append(info.value)

            await clock.advance(1)
            async with anyio.create_task_group() as group:
                group.start_soon(read)
                await clock.advance(7.2)
        check(errors[0], netio.ReadTimeout, "body", {"queue": 0, "send": 0, "head": 0, "body": 8})


async def test_a_body_that_stops_is_counted_apart_from_its_head(version: Version) -> None:
    clock = FakeClock()
    async with make_house(version, clock=clock) as house:
        await house.session.get("/")
        error = await error_after(house, clock, 7, "GET", "/drip", timeout=only(read=7))
        check(error, netio.ReadTimeout, "body", {"queue": 0, "send": 0, "head": 0, "body": 7}, TICK)


async def endless() -> AsyncIterator[bytes]:
    while True:
        yield b"x" * 50_000


@pytest.mark.parametrize(("limit", "kind"), [("write", netio.WriteTimeout), ("total", netio.TotalTimeout)])
async def test_a_server_that_takes_nothing_took_the_dial_and_the_sending(
    version: Version, limit: str, kind: type[netio.TimeoutError], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("netio.transport._queueing_link.CLOSE_SECONDS", 0.01)  # nor does it take the farewell
    clock = FakeClock()

    async def deaf(stream: MemoryStream) -> None:
        await anyio.sleep_forever()

    async with make_house(version, clock=clock) as house:
        house.network.listen("deaf.test", 80, deaf)
        slow_dials(house, clock)
        seconds = 7 + (DIAL_SECONDS if limit == "write" else 0)
        timeouts = only(**{limit: 7})
        error = await error_after(
            house, clock, seconds, "POST", "http://deaf.test/", content=endless(), timeout=timeouts
        )
        check(error, kind, "send", {"queue": 0, "connect": DIAL_SECONDS, "send": seconds - DIAL_SECONDS})


async def test_an_upload_that_took_long_is_counted_before_the_silence(version: Version) -> None:
    clock = FakeClock()

    async def slow() -> AsyncIterator[bytes]:
        for _ in range(4):
            await clock.sleep(1)
            yield b"x"

    async with make_house(version, clock=clock) as house:
        await house.session.get("/")
        error = await error_after(house, clock, 11, "POST", "/hang", content=slow(), timeout=only(read=7))
        check(error, netio.ReadTimeout, "head", {"queue": 0, "send": 4, "head": 7}, TICK)


async def test_a_handshake_that_hangs_took_its_own_phase() -> None:
    """HAZARDS SLOW-01: inside of the limit for connecting, and told apart from it."""
    clock = FakeClock()

    async def silent(stream: MemoryStream) -> None:
        await anyio.sleep_forever()

    async with make_house("HTTP/1.1", clock=clock) as house:
        house.network.listen("silent.test", 443, silent)
        await house.session.get("/")
        slow_dials(house, clock)
        caught: list[netio.ConnectTimeout] = []
        async with netio.Session(connect=house.network.connect, verify=client_context(), clock=clock) as session:
            async with anyio.create_task_group() as group:

                async def get() -> None:
                    with pytest.raises(netio.ConnectTimeout) as info:
                        await session.get("https://silent.test/", timeout=only(connect=7))
                    caught.append(info.value)

                group.start_soon(get)
                while session.stats().dialing == 0 or len(house.network.streams) < 2:  # noqa: ASYNC110
                    await anyio.sleep(0.001)
                await anyio.sleep(0.05)  # the context for TLS is made in a thread
                await clock.advance(7.2)
        assert (caught[0].phase, caught[0].sent) == ("tls", False)
        assert caught[0].took["tls"] == pytest.approx(7, abs=0.006)
