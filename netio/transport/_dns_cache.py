"""What is known about names, and when to ask again. Told the time; asks nobody itself.

Of each name there is an entry, or none; and the name is being asked for, or not:

    entry        not asked for                     being asked for
    none         absent: ask, and wait             looking: wait, with all others
    fresh        use it                            use it (somebody wanted it renewed)
    stale        use it, and ask                   stale, refreshing: use it
    old          ask, and wait                     wait
    negative     the error, without asking         (as fresh)

*Stale* is an answer up to `STALE` seconds after its end: nobody waits while it is renewed. After that it is *old*: too
long ago to be used unseen. If the question fails (not: if the answer is that the name is gone), what is known is used
once more, and is stale for another `STALE` seconds, but not beyond `STALE_ON_FAILURE` seconds after its end. The next
question then comes after `RETRY` seconds at the soonest (RFC 8767).

A name in use is asked for when its time is over, and not before. Between the name server and us there are caches
(the recursive resolver's, c-ares' own) that count the time to live down: who asks five seconds early is given the old
answer for five seconds, and has to ask once more. Asking at the end costs one query for each time to live, and as
stale answers are used meanwhile, nobody waits for it.

Only results are bounded (`SIZE`, the least recently used goes first): there are as many questions under way as tasks
that wait for one, and forgetting one of those would break the rule of one question for each name.
"""

from __future__ import annotations

import math
from collections import OrderedDict
from typing import NamedTuple

from netio.errors import ResolveError
from netio.transport._dns_contract import Answer

NEVER = math.inf
SIZE = 1_024
SHORTEST = 1.0  # a TTL of 0 means "for this use only", and the many requests of one second are one use
LONGEST = 3_600.0  # resolvers cap at 1 to 7 days (RFC 8767 section 4), but a client that is wrong for so long is broken
UNKNOWN = 30.0  # getaddrinfo says no TTL. The JVM's networkaddress.cache.ttl is 30; aiohttp takes 10, curl 60
NEGATIVE = 10.0  # the JVM's networkaddress.cache.negative.ttl
STALE = 30.0  # RFC 8767 section 4 recommends 30 s as TTL of stale answers
STALE_ON_FAILURE = 3_600.0  # RFC 8767 section 5 allows days, for recursive resolvers; load balancers move sooner
RETRY = 1.0


class Known(NamedTuple):
    """What a look into the cache says: an answer, an error, or neither: then wait. `ask`: begin a question now."""

    answer: Answer | None
    error: ResolveError | None
    ask: bool


class _Entry:
    __slots__ = ("answer", "ends", "error", "retry_at", "usable_until")

    def __init__(self, answer: Answer | None, error: ResolveError | None, ends: float) -> None:
        self.answer = answer
        self.error = error
        self.ends = ends
        self.usable_until = ends if answer is None else ends + STALE
        self.retry_at = ends


class NameCache:
    """Answers by name. Whoever is told to ask calls `answered`, `failed` or `left` once it knows."""

    def __init__(self, size: int = SIZE) -> None:
        if size < 1:
            raise ValueError(f"a name cache has room for 1 name at least, not {size}")
        self._size = size
        self._entries: OrderedDict[str, _Entry] = OrderedDict()
        self._asking: set[str] = set()
        self.hits = self.misses = self.stale = self.negative = self.queries = 0

    def __len__(self) -> int:
        return len(self._entries)

    @property
    def asking(self) -> int:
        """How many questions are under way."""
        return len(self._asking)

    def look(self, host: str, now: float) -> Known:
        """Return what there is for somebody who wants to connect."""
        entry = self._entries.get(host)
        if entry is not None:
            self._entries.move_to_end(host)
            if now < entry.ends:
                if entry.answer is not None:
                    self.hits += 1
                else:
                    self.negative += 1
                return Known(entry.answer, entry.error, ask=False)
            if now < entry.usable_until:
                self.stale += 1
                return Known(entry.answer, None, ask=now >= entry.retry_at and self._ask(host))
        self.misses += 1
        return Known(None, None, ask=self._ask(host))

    def renew(self, host: str, now: float) -> bool:
        """Return whether to ask for a name that is in use; if so, it is being asked for from here on."""
        return now >= self.due(host) and self._ask(host)

    def due(self, host: str) -> float:
        """Return when a name in use is to be asked for; never while it is being asked for."""
        if host in self._asking:
            return NEVER
        entry = self._entries.get(host)
        return -NEVER if entry is None else entry.retry_at

    def answer(self, host: str) -> Answer | None:
        """Return the last answer that is still there, however old. Does not count as a use."""
        entry = self._entries.get(host)
        return None if entry is None else entry.answer

    def _ask(self, host: str) -> bool:
        if host in self._asking:
            return False
        self._asking.add(host)
        self.queries += 1
        return True

    # ------------------------------------------------------------------ what came of a question

    def told_early(self, host: str, answer: Answer, now: float) -> None:
        """Keep the first part of an answer, unless more is known already. The question goes on."""
        known = self._entries.get(host)
        if known is None or known.answer is None or now >= known.usable_until:
            self._keep(host, _Entry(answer, None, now + lifetime(answer)))

    def answered(self, host: str, answer: Answer, now: float) -> None:
        """Keep the answer to a question."""
        self._asking.discard(host)
        self._keep(host, _Entry(answer, None, now + lifetime(answer)))

    def failed(self, host: str, error: Exception, now: float) -> Answer | None:
        """Note that a question failed. Returns the answer that goes for it all the same, if there is one.

        That a name is missing is knowledge, and replaces what was known. Any other failure changes nothing but the
        time of the next question.
        """
        self._asking.discard(host)
        if isinstance(error, ResolveError) and error.kind == "missing":
            self._keep(host, _Entry(None, error, now + NEGATIVE))
            return None
        entry = self._entries.get(host)
        if entry is None or entry.answer is None:
            return None
        last = entry.ends + STALE_ON_FAILURE
        if now >= last:
            del self._entries[host]
            return None
        entry.usable_until = max(entry.usable_until, min(now + STALE, last))
        entry.retry_at = max(entry.retry_at, now + RETRY)
        return entry.answer

    def left(self, host: str) -> None:
        """Note that a question was given up without a result."""
        self._asking.discard(host)

    def _keep(self, host: str, entry: _Entry) -> None:
        self._entries[host] = entry
        self._entries.move_to_end(host)
        if len(self._entries) > self._size:
            self._entries.popitem(last=False)


def lifetime(answer: Answer) -> float:
    """Return for how many seconds an answer is fresh.

    An incomplete one is good for `UNKNOWN` seconds at most: what is missing is to be asked for again soon.
    """
    ttl = UNKNOWN if answer.ttl is None else answer.ttl
    longest = LONGEST if answer.is_complete else UNKNOWN
    return min(max(ttl, SHORTEST), longest)
