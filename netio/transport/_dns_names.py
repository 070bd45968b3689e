"""Names: the shell around the cache and a resolver, one for each pool.

A question belongs to the pool, not to the task that asked first: it runs in the background, and whoever waits for it
may leave. Names with open connections are asked for again when their answers end, so that a name that moves is noticed
although its connections live on; one task does that, and it ends with the last such name.
"""

from __future__ import annotations

from collections.abc import Callable
from copy import copy
from dataclasses import dataclass

import anyio
import anyio.to_thread

from netio.deadline import NEVER, Clock
from netio.errors import RequestError, ResolveError, SessionClosed
from netio.transport._dns_cache import RETRY, SIZE, NameCache
from netio.transport._dns_contract import Answer, EarlyResolver, Resolver
from netio.transport._dns_default import default_resolver
from netio.transport._dns_rules import LOOPBACK, HostsOption, Overrides, check_name, is_address, is_localhost
from netio.transport._dns_system import resolver_threads
from netio.transport._runtime import Background, Runtime, Waiter

QUESTION_SECONDS = 20.0  # a resolver has its own limits; this one keeps a name from being stuck behind a hung question
SHORTEST_NAP = 0.05

OnChange = Callable[[str, frozenset[str]], None]


@dataclass(frozen=True, kw_only=True, slots=True)
class NameStats:
    """What the name cache has done.

    `hits`, `stale` and `negative` were answered at once: by a fresh answer, by one that was just being renewed, and by
    the error of a moment ago. `misses` had to wait. `queries` are questions to the resolver; `entries` and `in_use` are
    names that the cache has now, and names with open connections.
    """

    hits: int
    misses: int
    stale: int
    negative: int
    queries: int
    entries: int
    in_use: int


class _Question:
    """A question under way, and who waits for it."""

    __slots__ = ("answer", "error", "task", "waiters")

    def __init__(self) -> None:
        self.waiters: set[Waiter] = set()
        self.task: Background | None = None
        self.answer: Answer | None = None
        self.error: Exception | None = None

    def tell(self, answer: Answer | None, error: Exception | None = None) -> None:
        self.answer, self.error = answer, error
        for waiter in self.waiters:
            waiter.wake()
        self.waiters.clear()


class _Use:
    """Open connections to a name, the addresses it was last known to have, and when to ask for them again.

    The cache may have forgotten the name: there may be more names in use than it has room for.
    """

    __slots__ = ("addresses", "count", "due")

    def __init__(self, answer: Answer | None, due: float) -> None:
        self.count = 0
        self.addresses = frozenset(answer.addresses) if answer is not None else frozenset()
        self.due = due


class Names:
    """Looks names up for one pool, on one event loop.

    `resolver` stays open when the names are closed; without one the default resolver is made at the first question, and
    closed with them. `hosts` sets addresses by "name" or "name:port". `on_change(host, addresses)` is called when a
    name that is in use (see `use`) turns out to have another set of addresses; not when it is gone, or cannot be
    looked up.
    """

    def __init__(
        self,
        resolver: Resolver | None,
        *,
        runtime: Runtime,
        clock: Clock,
        hosts: HostsOption | None = None,
        on_change: OnChange | None = None,
        size: int = SIZE,
    ) -> None:
        self._resolver = resolver
        self._is_own = resolver is None
        self._making = anyio.Lock()
        self._runtime = runtime
        self._clock = clock
        self._overrides = Overrides(hosts or {})
        self._on_change = on_change
        self._cache = NameCache(size)
        self._questions: dict[str, _Question] = {}
        self._used: dict[str, _Use] = {}
        self._renewing: Background | None = None
        self._nap: anyio.CancelScope | None = None
        self._nap_ends = NEVER
        self._is_closed = False

    @property
    def stats(self) -> NameStats:
        cache = self._cache
        return NameStats(
            hits=cache.hits,
            misses=cache.misses,
            stale=cache.stale,
            negative=cache.negative,
            queries=cache.queries,
            entries=len(cache),
            in_use=len(self._used),
        )

    async def look_up(self, host: str, port: int | None = None) -> Answer:
        """Return the addresses of a host; without waiting if they are known, or need not be looked up.

        Raises `ResolveError`, or what a foreign resolver raises.
        """
        answer = self._settled(host, port)
        if answer is not None:
            return answer
        host = host.lower()
        known = self._cache.look(host, self._clock.now())
        if known.ask:
            self._ask(host)
        if known.answer is not None:
            return known.answer
        if known.error is not None:
            raise _mine(known.error)
        return await self._wait(self._questions[host])

    def _settled(self, host: str, port: int | None) -> Answer | None:
        """Return what no resolver is asked for."""
        if self._is_closed:
            raise SessionClosed("the session is closed")
        if is_address(host):
            return Answer((host,))
        if len(self._overrides) and (answer := self._overrides.find(host, port)) is not None:
            return answer
        if is_localhost(host):
            return LOOPBACK
        check_name(host)
        return None

    async def _wait(self, question: _Question) -> Answer:
        waiter = self._runtime.waiter()
        question.waiters.add(waiter)
        try:
            await waiter.park()
        finally:
            question.waiters.discard(waiter)
        if question.answer is not None:
            return question.answer
        assert question.error is not None
        raise _mine(question.error)

    # ------------------------------------------------------------------ questions

    def _ask(self, host: str) -> None:
        question = self._questions[host] = _Question()
        question.task = self._runtime.spawn(self._question, host, question)

    async def _question(self, host: str, question: _Question) -> None:
        answer: Answer | None = None
        error: Exception | None = None
        try:
            with anyio.move_on_after(QUESTION_SECONDS) as limit:
                answer = await self._resolve(host, question)
            if limit.cancelled_caught:
                error = ResolveError(f"cannot resolve {host}: no answer after {QUESTION_SECONDS:g} s", kind="timeout")
            elif answer is not None and not answer.addresses:
                answer, error = None, ResolveError(f"cannot resolve {host}: it has no address", kind="missing")
        except Exception as raised:
            error = raised
        finally:
            del self._questions[host]
            self._end(host, question, answer, error)

    async def _resolve(self, host: str, question: _Question) -> Answer:
        resolver = self._resolver or await self._make_resolver()
        if not isinstance(resolver, EarlyResolver):
            return await resolver.resolve(host)

        def early(answer: Answer) -> None:
            self._cache.told_early(host, answer, self._clock.now())
            question.tell(answer)

        return await resolver.resolve_early(host, early)

    async def _make_resolver(self) -> Resolver:
        async with self._making:
            if self._resolver is None:  # in a thread, as it reads files
                self._resolver = await anyio.to_thread.run_sync(default_resolver, limiter=resolver_threads())
                if self._is_closed:
                    await self._resolver.aclose()
        return self._resolver

    def _end(self, host: str, question: _Question, answer: Answer | None, error: Exception | None) -> None:
        """Note what came of a question, and tell all who wait. Synchronous: the task may be being cancelled."""
        now, use = self._clock.now(), self._used.get(host)
        if answer is not None:
            self._cache.answered(host, answer, now)
        elif error is not None:
            answer = self._cache.failed(host, error, now)
        else:
            error = SessionClosed("the session was closed")
            self._cache.left(host)
        question.tell(answer, error)
        if use is not None:
            use.due = max(self._cache.due(host), now + RETRY)
            self._hurry(use.due)
            self._compare(host, use)

    def _compare(self, host: str, use: _Use) -> None:
        """Tell if a name in use has moved. What is not known whole says nothing about that."""
        answer = self._cache.answer(host)
        if answer is None or not answer.is_complete:
            return
        addresses = frozenset(answer.addresses)
        if addresses != use.addresses:
            use.addresses = addresses
            if self._on_change is not None:
                self._on_change(host, addresses)

    # ------------------------------------------------------------------ names in use

    def use(self, host: str) -> None:
        """Note that a connection to a name was opened: the name is asked for whenever its answer ends."""
        if self._is_closed or not self._is_asked_for(host):
            return
        host = host.lower()
        use = self._used.get(host)
        if use is None:
            use = self._used[host] = _Use(self._cache.answer(host), self._cache.due(host))
        use.count += 1
        if self._renewing is None:
            self._renewing = self._runtime.spawn(self._renew)
        else:
            self._hurry(use.due)

    def release(self, host: str) -> None:
        """Note that a connection that `use` was called for was closed."""
        host = host.lower()
        use = self._used.get(host)
        if use is None:
            return
        use.count -= 1
        if use.count == 0:
            del self._used[host]
        if not self._used and self._renewing is not None:
            self._renewing.cancel()
            self._renewing = None

    def addresses(self, host: str) -> frozenset[str] | None:
        """Return the addresses that a name was last known to have; None if they are not known, or not all of them."""
        answer = self._cache.answer(host.lower())
        return None if answer is None or not answer.is_complete else frozenset(answer.addresses)

    def _is_asked_for(self, host: str) -> bool:
        try:
            return self._settled(host, None) is None
        except ResolveError:
            return False

    def _hurry(self, due: float) -> None:
        if self._nap is not None and due < self._nap_ends:
            self._nap.cancel()

    async def _renew(self) -> None:
        """Ask for each name in use when its answer ends; until cancelled, by `release` or `aclose`."""
        while True:
            now, next_due = self._clock.now(), NEVER
            for host, use in self._used.items():
                if now >= use.due:
                    if self._cache.renew(host, now):
                        self._ask(host)
                    use.due = self._cache.due(host)
                next_due = min(next_due, use.due)
            await self._sleep(now, max(next_due, now + SHORTEST_NAP))

    async def _sleep(self, now: float, until: float) -> None:
        self._nap_ends = until
        with anyio.CancelScope() as nap:
            self._nap = nap
            if until == NEVER:
                await anyio.sleep_forever()
            await self._clock.sleep(until - now)
        if self._nap is nap:
            self._nap = None

    async def aclose(self) -> None:
        """Fail all who wait, end the questions under way, and close the resolver if it is netio's own."""
        self._is_closed = True
        self._used.clear()
        if self._renewing is not None:
            self._renewing.cancel()
            self._renewing = None
        for question in self._questions.values():
            question.tell(None, SessionClosed("the session was closed"))
            if question.task is not None:
                question.task.cancel()
        if self._is_own and self._resolver is not None:
            await self._resolver.aclose()


def _mine(error: Exception) -> Exception:
    """Return an error that one task may raise: a shared one would collect everybody's traceback."""
    if not isinstance(error, RequestError):
        return error
    mine = copy(error)
    mine.__traceback__ = None
    mine.__cause__ = error.__cause__
    return mine
