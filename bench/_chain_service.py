"""A service of bench/chain.py: hypercorn with an application that calls the next service by netio.

It answers 200, or 503 if the next one has refused, failed or not answered in time. A field of its answers says how its
breakers and those behind it stand. The time that the caller has left comes in a field too, and is kept to.
"""

from __future__ import annotations

import asyncio
import json
import sys
from typing import Any

from _child import Control
from hypercorn.asyncio import serve
from hypercorn.config import Config

import netio
from netio import policy

TIME_LEFT = "x-time-left-ms"
BREAKERS = "x-breakers"
TOTAL_SECONDS = 1.5
ATTEMPT_SECONDS = 0.3


def policies(breaker: policy.CircuitBreaker, attempt_seconds: float) -> list[Any]:
    """Return the standard list, with a time limit of attempts that the server is told of."""
    return [
        *policy.standard(breaker=breaker, attempt_timeout=None),
        policy.AttemptTimeout(attempt_seconds, header=TIME_LEFT),
    ]


class Service:
    def __init__(self, name: str, next_url: str | None, work_seconds: float) -> None:
        self.name = name
        self.next_url = next_url
        self.work_seconds = work_seconds
        self.delay = 0.0
        self.breaker = policy.CircuitBreaker()
        self.session = netio.Session(policies=policies(self.breaker, ATTEMPT_SECONDS))

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] != "http":
            raise RuntimeError("this application knows http only")  # so hypercorn does without lifespan
        await asyncio.sleep(self.work_seconds + self.delay)
        fields = dict(scope["headers"])
        left = float(fields.get(TIME_LEFT.encode(), b"inf")) / 1_000
        status, breakers = 200, ""
        if self.next_url is not None:
            status, breakers = await self.ask_next(min(left, TOTAL_SECONDS))
        headers = [(BREAKERS.encode(), breakers.encode()), (b"content-type", b"text/plain")]
        await send({"type": "http.response.start", "status": status, "headers": headers})
        await send({"type": "http.response.body", "body": f"{self.name}\n".encode()})

    async def ask_next(self, seconds: float) -> tuple[int, str]:
        assert self.next_url is not None
        behind = ""
        status = 503
        if seconds > 0:
            try:
                response = await self.session.get(self.next_url, timeout=seconds)
            except netio.RequestError:
                pass
            else:
                status = 200 if response.is_success else 503
                behind = response.headers.get(BREAKERS, "")
        return status, f"{self.name} {self.breaker.state(netio.URL(self.next_url).origin)}; {behind}".strip("; ")


async def in_child(case: dict[str, Any], control: Control) -> None:
    """Serve on the port of the case; a word sets how much slower than usual the service is."""
    service = Service(case["name"], case["next"], case["work"])
    config = Config()
    config.bind = [f"127.0.0.1:{case['port']}"]
    config.graceful_timeout = 0.1
    config.errorlog = None
    over = asyncio.Event()
    words = asyncio.StreamReader()
    await asyncio.get_running_loop().connect_read_pipe(lambda: asyncio.StreamReaderProtocol(words), sys.stdin)

    async def listen_to_words() -> None:
        while line := await words.readline():
            service.delay = json.loads(line)["delay"]
            control.say(delay=service.delay)
        over.set()

    listening = asyncio.ensure_future(listen_to_words())
    serving = asyncio.ensure_future(serve(service, config, shutdown_trigger=over.wait, mode="asgi"))
    control.say(name=service.name)
    await serving
    await listening
    await service.session.aclose()
