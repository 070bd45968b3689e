"""What LogEvents writes."""

from __future__ import annotations

import logging

import pytest

import netio
from netio.adapters import LogEvents
from netio.observe import BreakerChanged, Hedged, Refused, Retried
from netio.policy import CircuitBreaker
from netio.testing import MemoryNetwork
from tests.adapters.conftest import BASE
from tests.canary import Canary, harmful, logged

pytestmark = pytest.mark.anyio

REQUEST = netio.Request("GET", "http://h.test/path?secret")


@pytest.fixture(autouse=True)
def level(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG, logger="netio")


def lines(caplog: pytest.LogCaptureFixture, least: int = logging.INFO) -> list[str]:
    return [record.getMessage() for record in caplog.records if record.levelno >= least]


async def test_each_request_is_one_record_at_debug(network: MemoryNetwork, caplog: pytest.LogCaptureFixture) -> None:
    async with netio.Session(connect=network.connect, observer=LogEvents()) as session:
        await session.get(f"{BASE}/404?q=1")
    (record,) = [record for record in caplog.records if record.msg == "%s %s: %s in %s ms"]
    assert record.levelno == logging.DEBUG
    assert record.getMessage().startswith("GET http://peer.test/404?...: 404 in ")
    details = record.__dict__["netio"]
    assert details.pop("seconds") >= 0
    assert details == {
        "event": "request",
        "method": "GET",
        "url": "http://peer.test/404?...",
        "status": 404,
        "error": None,
        "protocol": "HTTP/1.1",
        "attempts": 1,
        "redirects": 0,
    }


async def test_a_format_for_requests_fits_those_that_fail_too(
    network: MemoryNetwork, caplog: pytest.LogCaptureFixture
) -> None:
    async with netio.Session(connect=network.connect, observer=LogEvents()) as session:
        with pytest.raises(netio.ConnectError):
            await session.get("http://nobody.test/")
    form = logging.Formatter("{netio[method]} {netio[status]} {netio[error]}", style="{")
    requests = [form.format(record) for record in caplog.records if record.__dict__["netio"]["event"] == "request"]
    assert requests == ["GET None ConnectError"]


async def test_a_healthy_session_says_nothing_above_debug(
    network: MemoryNetwork, caplog: pytest.LogCaptureFixture
) -> None:
    async with netio.Session(connect=network.connect, observer=LogEvents()) as session:
        await session.get(f"{BASE}/200")
    assert lines(caplog) == []


async def test_what_a_person_should_know_is_a_warning(network: MemoryNetwork, caplog: pytest.LogCaptureFixture) -> None:
    breaker = CircuitBreaker.simple(failure_threshold=1)
    async with netio.Session(connect=network.connect, observer=LogEvents(), policies=[breaker]) as session:
        with pytest.raises(netio.ConnectError):
            await session.get("http://nobody.test/")
        with pytest.raises(netio.CircuitOpen):
            await session.get("http://nobody.test/")
    warnings = lines(caplog, logging.WARNING)
    assert warnings[0].startswith("no connection to http://nobody.test: ")
    assert any("the circuit of http://nobody.test is open, it was closed" in line for line in warnings)
    assert any("was not sent" in line for line in warnings)


def test_each_event_of_a_policy_has_its_line(caplog: pytest.LogCaptureFixture) -> None:
    log = LogEvents()
    log(Retried(REQUEST, 1, "503", 0.25))
    log(Hedged(REQUEST, 0.1))
    log(BreakerChanged("db", "half_open", "closed"))
    log(Refused(REQUEST, netio.QueueFull("too many wait")))
    assert lines(caplog) == [
        "<Request GET http://h.test/path?...> is sent again in 0.250 s, after attempt 1: 503",
        "<Request GET http://h.test/path?...> has no answer after 0.100 s and is sent twice",
        "the circuit of db is closed, it was half_open",
        "<Request GET http://h.test/path?...> was not sent: too many wait",
    ]


def test_log_02_what_a_peer_said_stays_one_line_and_harmless(caplog: pytest.LogCaptureFixture) -> None:
    LogEvents()(Retried(REQUEST, 1, "503\r\nINFO forged\x1b[2J\u202e", 0.0))
    (line,) = lines(caplog)
    assert harmful(line) == []
    assert "\n" not in line


@pytest.mark.parametrize("path", ["/200", "/cut"])
async def test_log_01_no_secret_is_logged(network: MemoryNetwork, caplog: pytest.LogCaptureFixture, path: str) -> None:
    canary = Canary()
    async with netio.Session(connect=network.connect, observer=LogEvents()) as session:
        try:
            await session.post(
                canary.url(f"{BASE}{path}"), headers=canary.headers, cookies=canary.cookies, content=canary.body
            )
        except netio.NetioError:
            assert path == "/cut"
    text = logged(caplog.records)
    assert "peer.test" in text
    assert canary.leaks(text) == []
