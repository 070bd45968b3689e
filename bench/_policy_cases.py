"""The cases of `inmemory.py --policies`: each policy around the same GET, and the libraries that do the same elsewhere.

All stand around calls that go well: what a policy costs on a good day, which is each of its days but a few.
"""

from __future__ import annotations

import importlib
from collections.abc import Awaitable, Callable, Coroutine
from typing import Any

from _memory_link import drive

import netio
from netio import policy

BARE = "GET, no policies"

Slice = Callable[[int], None]
MakeSession = Callable[..., Awaitable[netio.Session]]
Get = Callable[[], Coroutine[Any, Any, netio.Response]]

POLICIES: dict[str, Callable[[], list[Any]]] = {
    "Retry": lambda: [policy.Retry()],
    "CircuitBreaker": lambda: [policy.CircuitBreaker()],
    "CircuitBreaker, by time": lambda: [policy.CircuitBreaker(window_seconds=10.0)],
    "CircuitBreaker, slow calls": lambda: [policy.CircuitBreaker(slow_seconds=1.0)],
    "Deadline": lambda: [policy.Deadline(10.0)],
    "AttemptTimeout": lambda: [policy.AttemptTimeout(10.0)],
    "RateLimit": lambda: [policy.RateLimit(1e9, burst=1_000_000)],
    "Bulkhead": lambda: [policy.Bulkhead()],
    "AdaptiveLimit": lambda: [policy.AdaptiveLimit()],
    "Hedge": lambda: [policy.Hedge(least_delay=0.05)],
    "Fallback": lambda: [policy.Fallback(_unused)],
    "SingleFlight": lambda: [policy.SingleFlight()],
    "standard()": policy.standard,
    "standard(), both limits": lambda: policy.standard(
        rate_limit=policy.RateLimit(1e9, burst=1_000_000), bulkhead=policy.Bulkhead()
    ),
}


async def _unused(request: netio.Request | None, outcome: object) -> netio.Response:
    raise AssertionError("nothing fails here")


# ---------------------------------------------------------------------- the libraries beside


def _tenacity(module: Any, get: Get) -> Get:
    # Without reraise and statistics nobody would use it; three attempts with exponential waiting are what Retry does.
    retry = module.retry(
        stop=module.stop_after_attempt(3),
        wait=module.wait_random_exponential(multiplier=0.1, max=5),
        retry=module.retry_if_exception_type(netio.RequestError),
        reraise=True,
    )
    retried: Get = retry(get)
    return retried


def _stamina(module: Any, get: Get) -> Get:
    retried: Get = module.retry(on=netio.RequestError, attempts=3)(get)
    return retried


def _pybreaker(module: Any, get: Get) -> Get:
    breaker = module.CircuitBreaker(fail_max=5, reset_timeout=30)

    async def guarded() -> netio.Response:
        with breaker.calling():  # its call_async is for tornado
            return await get()

    return guarded


def _aiobreaker(module: Any, get: Get) -> Get:
    breaker = module.CircuitBreaker(fail_max=5)

    async def guarded() -> netio.Response:
        response: netio.Response = await breaker.call_async(get)
        return response

    return guarded


def _purgatory(module: Any, get: Get) -> Get:
    breakers = module.AsyncCircuitBreakerFactory(default_threshold=5, default_ttl=30)

    async def guarded() -> netio.Response:
        async with await breakers.get_breaker("bench.test"):
            return await get()

    return guarded


LIBRARIES: dict[str, Callable[[Any, Get], Get]] = {
    "tenacity": _tenacity,
    "stamina": _stamina,
    "pybreaker": _pybreaker,
    "aiobreaker": _aiobreaker,
    "purgatory": _purgatory,
}


def _loop(call: Get) -> Slice:
    def run(count: int) -> None:
        for _ in range(count):
            drive(call())

    return run


async def policy_cases(make: MakeSession, url: str) -> tuple[dict[str, Slice], list[str]]:
    """Return what is to be measured by its name, and which libraries are not installed."""
    bare = await make()

    def getter(session: netio.Session) -> Get:
        get = session.get
        return lambda: get(url)

    cases = {BARE: _loop(getter(bare))}
    for name, policies in POLICIES.items():
        cases[name] = _loop(getter(await make(policies=policies())))

    async def get() -> netio.Response:
        return await bare.get(url)

    cases["an async function"] = _loop(get)  # what the wrappers below have inside
    absent = []
    for name, around in LIBRARIES.items():
        try:
            module = importlib.import_module(name)
        except ImportError:
            absent.append(name)
        else:
            cases[name] = _loop(around(module, get))
    return cases, absent
