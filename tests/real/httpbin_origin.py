"""httpbin behind hypercorn in a process of its own, one for all tests, and the record of what is exercised of it.

A test says which endpoints it exercises, as method and rule of httpbin's URL map. The server is asked after the test
whether it was so, to the letter; so test_httpbin_map.py can go by what the tests say.
"""

from __future__ import annotations

import json
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import pytest

import netio
from netio.message import Request, Response, Send

EVERY_METHOD = ("DELETE", "GET", "PATCH", "POST", "PUT", "TRACE")
WAYS = ("http1", "http2-tls")
EXERCISED: dict[str, list[str]] = {}
"""The tests of each endpoint, as they say themselves."""

START_SECONDS = 30.0
PATIENCE_SECONDS = 5.0
_ROOT = Path(__file__).parents[2]

Test = TypeVar("Test", bound=Callable[..., Any])


def exercises(*endpoints: str) -> Callable[[Test], Test]:
    """Say which endpoints a test exercises: "GET /get", "/get" for the same, "* /anything" for every method."""
    named: set[str] = set()
    for endpoint in endpoints:
        method, _, rule = endpoint.rpartition(" ")
        named |= {f"{each} {rule}" for each in (EVERY_METHOD if method == "*" else [method or "GET"])}

    def mark(test: Test) -> Test:
        for endpoint in named:
            EXERCISED.setdefault(endpoint, []).append(test.__name__)
        test.endpoints = named  # type: ignore[attr-defined]
        return test

    return mark


@dataclass(frozen=True)
class Httpbin:
    """A running httpbin, which knows what it was asked for."""

    http: str
    https: str
    authority_file: str
    endpoints: frozenset[str]
    child: subprocess.Popen[bytes]

    def base(self, way: str) -> str:
        return self.https if way == "http2-tls" else self.http

    def session(self, way: str, **options: Any) -> netio.Session:
        """Return a session that speaks HTTP/1.1 in clear text, or HTTP/2 over TLS."""
        return netio.Session(base_url=self.base(way), verify=self.authority_file, **options)

    def asked(self) -> set[str]:
        """Return what it was asked for since the last time."""
        assert self.child.stdin is not None
        assert self.child.stdout is not None
        self.child.stdin.write(b"?\n")
        self.child.stdin.flush()
        return set(json.loads(self.child.stdout.readline())["asked"])


class Statuses(list[int]):
    """A policy that notes the status of each answer: those of a session stand below redirects and credentials."""

    async def __call__(self, request: Request, send: Send) -> Response:
        response = await send(request)
        self.append(response.status_code)
        return response


@pytest.fixture(scope="session")
def httpbin_process() -> Iterator[Httpbin]:
    child = subprocess.Popen(
        [sys.executable, "-W", "ignore", "-m", "tests.real.httpbin_child"],
        cwd=_ROOT,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    assert child.stdin is not None
    assert child.stdout is not None
    watchdog = threading.Timer(START_SECONDS, child.kill)
    watchdog.start()
    try:
        line = child.stdout.readline()
        assert line, f"httpbin did not start: python -m tests.real.httpbin_child ended with {child.wait()}"
        watchdog.cancel()
        said = json.loads(line)
        yield Httpbin(
            http=said["http"],
            https=said["https"],
            authority_file=said["authority_file"],
            endpoints=frozenset(said["endpoints"]),
            child=child,
        )
    finally:
        watchdog.cancel()
        child.stdin.close()
        try:
            child.wait(PATIENCE_SECONDS)
        except subprocess.TimeoutExpired:
            child.kill()
            child.wait()
        child.stdout.close()


@pytest.fixture
def httpbin(httpbin_process: Httpbin, request: pytest.FixtureRequest) -> Iterator[Httpbin]:
    """Give httpbin to a test, and check afterwards that the test asked for what it says, and for nothing else."""
    said: set[str] = request.function.endpoints
    httpbin_process.asked()
    yield httpbin_process
    asked = httpbin_process.asked()
    limit = time.monotonic() + PATIENCE_SECONDS
    while not said <= asked and time.monotonic() < limit:  # a request that was given up may arrive late
        time.sleep(0.01)
        asked |= httpbin_process.asked()
    assert asked == said
