"""The cache against a model that keeps every event for ever, and works out what holds by reading them all again."""

from __future__ import annotations

from dataclasses import dataclass, field

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from netio.errors import ResolveError
from netio.transport._dns_cache import NameCache, lifetime
from netio.transport._dns_contract import Answer

HOSTS = ("a.test", "b.test", "c.test", "d.test")
SECONDS = st.sampled_from([0.0, 0.5, 1.0, 5.0, 10.0, 29.0, 30.0, 60.0, 1_000.0, 3_599.0, 3_600.0, 4_000.0])
ANSWERS = st.builds(
    Answer,
    st.sampled_from([("192.0.2.1",), ("192.0.2.2", "2001:db8::1")]),
    st.none() | st.sampled_from([0.0, 1.0, 30.0, 5_000.0]),
    is_complete=st.booleans(),
)
MISSING = ResolveError("no such name", kind="missing")
FAILED = ResolveError("refused", kind="failed")


@dataclass
class History:
    """What has happened to one name: the last thing learned, when, and the failures since."""

    learned: Answer | ResolveError | None = None
    at: float = 0.0
    failures: list[float] = field(default_factory=list)

    def learn(self, what: Answer | ResolveError | None, now: float) -> None:
        self.learned, self.at, self.failures = what, now, []

    def ends(self) -> float:
        return self.at + (lifetime(self.learned) if isinstance(self.learned, Answer) else 10.0)

    def state(self, now: float) -> str:
        if self.learned is None:
            return "absent"
        if now < self.ends():
            return "fresh" if isinstance(self.learned, Answer) else "negative"
        if isinstance(self.learned, Answer) and now < self.ends() + 3_600:
            moments = [self.ends(), *self.failures]
            if any(now < moment + 30 for moment in moments):
                return "stale"
        return "old"

    def may_ask(self, now: float) -> bool:
        return now >= self.ends() and all(now >= failure + 1 for failure in self.failures)


class CacheMachine(RuleBasedStateMachine):
    def __init__(self) -> None:
        super().__init__()
        self.now = 0.0
        self.histories = {host: History() for host in HOSTS}
        self.order: list[str] = []
        """Names with something learned, the last used at the end."""
        self.asking: list[str] = []
        self.asked = 0
        self.looks = dict.fromkeys(("absent", "fresh", "stale", "old", "negative"), 0)

    @initialize(size=st.integers(1, 5))
    def begin(self, size: int) -> None:
        self.size = size
        self.cache = NameCache(size)

    def used(self, host: str) -> None:
        if host in self.order:
            self.order.remove(host)
        self.order.append(host)
        for forgotten in self.order[: -self.size]:
            self.histories[forgotten] = History()
        self.order = self.order[-self.size :]

    def begins(self, host: str) -> None:
        self.asking.append(host)
        self.asked += 1

    @rule(seconds=SECONDS)
    def time_passes(self, seconds: float) -> None:
        self.now += seconds

    @rule(host=st.sampled_from(HOSTS))
    def look(self, host: str) -> None:
        history = self.histories[host]
        state = history.state(self.now)
        self.looks[state] += 1
        wants = state in ("absent", "old") or (state == "stale" and history.may_ask(self.now))
        known = self.cache.look(host, self.now)
        assert known.answer == (history.learned if state in ("fresh", "stale") else None)
        assert known.error is (history.learned if state == "negative" else None)
        assert known.ask == (wants and host not in self.asking)
        if state != "absent":
            self.used(host)
        if known.ask:
            self.begins(host)

    @rule(host=st.sampled_from(HOSTS))
    def renew(self, host: str) -> None:
        history = self.histories[host]
        wants = history.learned is None or history.may_ask(self.now)
        assert self.cache.renew(host, self.now) == (wants and host not in self.asking)
        if wants and host not in self.asking:
            self.begins(host)

    @precondition(lambda self: self.asking)
    @rule(number=st.integers(0, 9), answer=ANSWERS)
    def tell_early(self, number: int, answer: Answer) -> None:
        host = self.asking[number % len(self.asking)]
        history = self.histories[host]
        self.cache.told_early(host, answer, self.now)
        if history.state(self.now) in ("absent", "old", "negative"):
            history.learn(answer, self.now)
            self.used(host)

    @precondition(lambda self: self.asking)
    @rule(number=st.integers(0, 9), result=ANSWERS | st.sampled_from([MISSING, FAILED, None]))
    def end(self, number: int, result: Answer | ResolveError | None) -> None:
        host = self.asking.pop(number % len(self.asking))
        history = self.histories[host]
        if result is None:
            self.cache.left(host)
        elif isinstance(result, Answer):
            self.cache.answered(host, result, self.now)
            history.learn(result, self.now)
            self.used(host)
        elif result.kind == "missing":
            assert self.cache.failed(host, result, self.now) is None
            history.learn(result, self.now)
            self.used(host)
        else:
            self.fail(host, result)

    def fail(self, host: str, error: ResolveError) -> None:
        history = self.histories[host]
        known = history.learned if isinstance(history.learned, Answer) else None
        is_too_old = known is not None and self.now >= history.ends() + 3_600
        assert self.cache.failed(host, error, self.now) == (None if is_too_old else known)
        if is_too_old:
            history.learn(None, self.now)
            self.order.remove(host)
        elif known is not None:
            history.failures.append(self.now)

    @invariant()
    def the_books_agree(self) -> None:
        if not hasattr(self, "cache"):
            return
        cache = self.cache
        assert len(cache) == len(self.order) <= self.size
        assert (cache.asking, cache.queries) == (len(self.asking), self.asked)
        waits = self.looks["absent"] + self.looks["old"]
        counted = (cache.hits, cache.stale, cache.negative, cache.misses)
        assert counted == (self.looks["fresh"], self.looks["stale"], self.looks["negative"], waits)


TestCacheMachine = pytest.mark.timeout(600)(CacheMachine.TestCase)  # the search for a small example takes its time
TestCacheMachine.settings = settings(stateful_step_count=60)
