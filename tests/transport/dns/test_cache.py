"""What the cache says, by the time that it is told."""

from __future__ import annotations

import math

import pytest

from netio.errors import ResolveError, ResolveFailure
from netio.transport._dns_cache import (
    LONGEST,
    NEGATIVE,
    NEVER,
    RETRY,
    SHORTEST,
    SIZE,
    STALE,
    STALE_ON_FAILURE,
    UNKNOWN,
    Known,
    NameCache,
    lifetime,
)
from netio.transport._dns_contract import Answer

NAME = "a.test"
ONE, OTHER = Answer(("192.0.2.1",), 60.0), Answer(("192.0.2.2",), 60.0)
NOW = 1_000.0
ENDS = NOW + 60


def failure(kind: ResolveFailure = "failed") -> ResolveError:
    return ResolveError("no", kind=kind)


@pytest.fixture
def cache() -> NameCache:
    return NameCache()


@pytest.fixture
def warm(cache: NameCache) -> NameCache:
    """A cache that was given `ONE` at `NOW`."""
    cache.look(NAME, NOW)
    cache.answered(NAME, ONE, NOW)
    return cache


# ------------------------------------------------------------------ one question


def test_dns_01_the_first_to_look_asks_and_the_others_wait(cache: NameCache) -> None:
    assert cache.look(NAME, NOW) == Known(None, None, ask=True)
    assert {cache.look(NAME, NOW) for _ in range(1_000)} == {Known(None, None, ask=False)}
    assert (cache.queries, cache.asking, cache.misses, len(cache)) == (1, 1, 1_001, 0)


def test_an_answer_is_used_until_its_time_is_over(warm: NameCache) -> None:
    assert warm.look(NAME, math.nextafter(ENDS, 0)) == Known(ONE, None, ask=False)
    assert warm.look(NAME, ENDS) == Known(ONE, None, ask=True)
    assert (warm.hits, warm.stale, warm.misses, warm.queries) == (1, 1, 1, 2)


def test_an_answer_that_is_being_renewed_is_used_by_all_and_asked_for_by_one(warm: NameCache) -> None:
    assert [warm.look(NAME, ENDS).ask for _ in range(5)] == [True, False, False, False, False]
    warm.answered(NAME, OTHER, ENDS + 1)
    assert warm.look(NAME, ENDS + 60) == Known(OTHER, None, ask=False)


def test_dns_02_an_answer_that_ended_long_ago_is_not_used_unseen(warm: NameCache) -> None:
    assert warm.look(NAME, math.nextafter(ENDS + STALE, 0)).answer == ONE
    assert warm.look(NAME, ENDS + STALE) == Known(None, None, ask=False)
    warm.left(NAME)
    assert warm.look(NAME, ENDS + STALE) == Known(None, None, ask=True)


# ------------------------------------------------------------------ failures


def test_dns_02_after_a_failure_what_was_known_goes_on_for_an_hour(warm: NameCache) -> None:
    warm.look(NAME, ENDS + 100)
    assert warm.failed(NAME, failure(), ENDS + 100) == ONE
    assert warm.look(NAME, ENDS + 100) == Known(ONE, None, ask=False)
    last = ENDS + STALE_ON_FAILURE
    warm.look(NAME, last - 1)
    assert warm.failed(NAME, failure(), last - 1) == ONE
    assert warm.look(NAME, math.nextafter(last, 0)).answer == ONE
    assert warm.look(NAME, last).answer is None
    assert warm.failed(NAME, failure(), last) is None
    assert len(warm) == 0


def test_a_failure_long_ago_does_not_make_an_old_answer_good_again(warm: NameCache) -> None:
    warm.look(NAME, ENDS)
    warm.failed(NAME, failure(), ENDS)
    assert warm.look(NAME, ENDS + STALE).answer is None


def test_after_a_failure_the_next_question_waits_a_moment(warm: NameCache) -> None:
    warm.look(NAME, ENDS)
    warm.failed(NAME, failure("timeout"), ENDS + 5)
    assert warm.due(NAME) == ENDS + 5 + RETRY
    assert warm.look(NAME, math.nextafter(ENDS + 5 + RETRY, 0)) == Known(ONE, None, ask=False)
    assert warm.look(NAME, ENDS + 5 + RETRY) == Known(ONE, None, ask=True)


@pytest.mark.parametrize("kind", ["failed", "timeout", "invalid"])
def test_dns_03_a_failure_is_not_remembered(cache: NameCache, kind: ResolveFailure) -> None:
    cache.look(NAME, NOW)
    assert cache.failed(NAME, failure(kind), NOW) is None
    assert cache.look(NAME, NOW) == Known(None, None, ask=True)
    assert len(cache) == 0


def test_dns_01_that_a_name_is_missing_is_remembered_for_ten_seconds(cache: NameCache) -> None:
    missing = failure("missing")
    cache.look(NAME, NOW)
    assert cache.failed(NAME, missing, NOW) is None
    assert cache.look(NAME, math.nextafter(NOW + 10, 0)) == Known(None, missing, ask=False)
    assert cache.look(NAME, NOW + 10) == Known(None, None, ask=True)
    assert NEGATIVE == 10
    assert (cache.negative, cache.hits) == (1, 0)


def test_dns_03_that_a_name_is_missing_replaces_what_was_known(warm: NameCache) -> None:
    warm.look(NAME, ENDS)
    assert warm.failed(NAME, failure("missing"), ENDS) is None
    assert warm.look(NAME, ENDS).error is not None
    assert warm.answer(NAME) is None


# ------------------------------------------------------------------ times to live


@pytest.mark.parametrize(
    ("ttl", "seconds"),
    [
        (0.0, SHORTEST),
        (-5.0, SHORTEST),
        (0.999, SHORTEST),
        (1.0, 1.0),
        (300.0, 300.0),
        (3_600.0, LONGEST),
        (3_601.0, LONGEST),
        (2.0**31, LONGEST),
        (math.inf, LONGEST),
        (None, UNKNOWN),
    ],
)
def test_dns_02_times_to_live_are_kept_within_bounds(ttl: float | None, seconds: float) -> None:
    assert lifetime(Answer(("192.0.2.1",), ttl)) == seconds
    assert lifetime(Answer(("192.0.2.1",), ttl, is_complete=False)) == min(seconds, UNKNOWN)


def test_dns_02_a_clock_that_jumps_ahead_ends_answers_and_breaks_nothing(warm: NameCache) -> None:
    assert warm.look(NAME, NOW + 1e9) == Known(None, None, ask=True)
    warm.answered(NAME, OTHER, NOW + 1e9)
    assert warm.look(NAME, NOW + 1e9).answer == OTHER


# ------------------------------------------------------------------ early answers


def test_the_first_part_of_an_answer_is_used_and_the_question_goes_on(cache: NameCache) -> None:
    early = Answer(("192.0.2.1",), 60.0, is_complete=False)
    cache.look(NAME, NOW)
    cache.told_early(NAME, early, NOW)
    assert cache.look(NAME, NOW) == Known(early, None, ask=False)
    assert (cache.asking, cache.due(NAME)) == (1, NEVER)
    cache.answered(NAME, ONE, NOW)
    assert cache.look(NAME, NOW).answer == ONE


def test_the_first_part_of_an_answer_does_not_replace_a_whole_one_that_is_stale(warm: NameCache) -> None:
    warm.look(NAME, ENDS)
    warm.told_early(NAME, OTHER, ENDS)
    assert warm.look(NAME, ENDS).answer == ONE
    warm.told_early(NAME, OTHER, ENDS + STALE)
    assert warm.look(NAME, ENDS + STALE).answer == OTHER


# ------------------------------------------------------------------ names in use


def test_a_name_in_use_is_asked_for_when_its_time_is_over_and_not_before(warm: NameCache) -> None:
    assert warm.due(NAME) == ENDS
    assert warm.renew(NAME, math.nextafter(ENDS, 0)) is False
    assert warm.renew(NAME, ENDS) is True
    assert (warm.renew(NAME, ENDS), warm.due(NAME)) == (False, NEVER)
    assert warm.queries == 2


def test_a_name_in_use_that_was_forgotten_is_due_at_once(cache: NameCache) -> None:
    assert cache.due(NAME) == -NEVER
    assert cache.renew(NAME, NOW) is True


# ------------------------------------------------------------------ bounds


def test_dns_01_the_least_recently_used_name_goes_first() -> None:
    cache = NameCache(3)
    for name in ("a", "b", "c"):
        cache.look(name, NOW)
        cache.answered(name, ONE, NOW)
    cache.look("a", NOW)
    cache.look("d", NOW)
    assert len(cache) == 3
    cache.answered("d", ONE, NOW)
    assert len(cache) == 3
    assert [name for name in "abcd" if cache.answer(name) is not None] == ["a", "c", "d"]


def test_dns_01_missing_names_without_end_stay_within_the_bound() -> None:
    cache = NameCache()
    for number in range(3 * SIZE):
        cache.look(f"{number}.test", NOW)
        cache.failed(f"{number}.test", failure("missing"), NOW)
    assert (len(cache), cache.asking) == (1_024, 0)


def test_a_cache_without_room_is_refused() -> None:
    assert len(NameCache(1)) == 0
    with pytest.raises(ValueError, match="room for 1 name at least, not 0"):
        NameCache(0)
