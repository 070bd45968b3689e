"""LatencyProfile: what it measures, how a cancellation counts, its time line, and merging."""

from __future__ import annotations

import json
import pickle
import random
from itertools import count
from typing import Any

import anyio
import pytest

import netio
from netio.metrics import LatencyProfile, Sample
from netio.testing import FakeClock, cancel_everywhere

pytestmark = pytest.mark.anyio


class Broken(Exception):
    pass


async def answer(clock: FakeClock, seconds: float, result: int = 42) -> int:
    await clock.sleep(seconds)
    return result


async def failure(clock: FakeClock, seconds: float) -> int:
    await clock.sleep(seconds)
    raise Broken("as it should")


# ---------------------------------------------------------------------- measuring


async def test_measure_counts_successes_and_failures_with_their_times() -> None:
    clock = FakeClock()
    profile = LatencyProfile(clock=clock)
    results: list[int] = []

    async def run() -> None:
        results.append(await profile.measure(answer(clock, 2.0)))
        with pytest.raises(Broken, match="as it should"):
            await profile.measure(failure(clock, 3.0))

    async with anyio.create_task_group() as group:
        await clock.advance(10.0)
        group.start_soon(run)
        await clock.advance(5.0)
    assert results == [42]
    assert profile.samples() == [Sample(10.0, 2.0, True), Sample(12.0, 3.0, False)]
    assert (profile.latency.minimum, profile.latency.maximum, profile.latency.count) == (2.0, 2.0, 1)
    assert (profile.succeeded, profile.failed, profile.failures, profile.cancelled) == (1, 1, {"Broken": 1}, 0)
    assert profile.summary().success_rate == 0.5


async def test_tasks_share_a_profile() -> None:
    clock = FakeClock()
    profile = LatencyProfile(clock=clock)
    async with anyio.create_task_group() as group:
        for seconds in (3.0, 1.0, 2.0):
            group.start_soon(profile.measure, answer(clock, seconds))
        await clock.advance(3.0)
    assert profile.samples() == [Sample(0.0, seconds, True) for seconds in (1.0, 2.0, 3.0)]


async def test_block_and_wrapped_function_are_measured() -> None:
    clock = FakeClock()
    profile = LatencyProfile(clock=clock)

    @profile.wrap
    async def double(number: int, *, plus: int = 0) -> int:
        """Say what it does."""
        async with profile.timing():
            await clock.advance(1.0)
        await clock.advance(0.5)
        return 2 * number + plus

    assert await double(4, plus=1) == 9
    assert (double.__name__, double.__doc__) == ("double", "Say what it does.")
    with pytest.raises(Broken):
        async with profile.timing():
            raise Broken
    assert sorted(profile.samples()) == [Sample(0.0, 1.0, True), Sample(0.0, 1.5, True), Sample(1.5, 0.0, False)]


async def test_profile_is_a_policy_and_any_answer_a_success() -> None:
    clock = FakeClock()
    profile = LatencyProfile(clock=clock)
    statuses = iter((200, 503))

    async def send(request: netio.Request) -> netio.Response:
        await clock.advance(0.25)
        status = next(statuses, None)
        if status is None:
            raise netio.ConnectError("nobody is there")
        return netio.Response(status, request=request)

    async with netio.Session(send=send, policies=[profile], clock=clock) as session:
        assert (await session.get("http://a.example/")).status_code == 200
        assert (await session.get("http://a.example/")).status_code == 503
        with pytest.raises(netio.ConnectError):
            await session.get("http://a.example/")
    assert [sample.seconds for sample in profile.samples()] == [0.25] * 3
    assert (profile.succeeded, profile.failures) == (2, {"ConnectError": 1})


def test_what_was_measured_elsewhere_can_be_recorded() -> None:
    clock = FakeClock(start=100.0)
    profile = LatencyProfile(clock=clock)
    profile.record(103.0, 0.5)
    profile.record(101.0, 1.5, Broken())
    assert profile.samples() == [Sample(1.0, 1.5, False), Sample(3.0, 0.5, True)]
    with pytest.raises(ValueError, match="a duration"):
        profile.record(102.0, -1.0)
    assert len(profile.samples()) == 2


# ---------------------------------------------------------------------- cancellation


async def test_cancelled_measurement_is_counted_as_cancelled_and_is_no_failure() -> None:
    clock = FakeClock()
    profile = LatencyProfile(clock=clock)
    async with anyio.create_task_group() as group:
        group.start_soon(profile.measure, answer(clock, 100.0))
        await clock.advance(1.0)
        group.cancel_scope.cancel()
    assert (profile.succeeded, profile.failed, profile.cancelled) == (0, 0, 1)
    assert profile.samples() == []
    assert (profile.summary().count, profile.summary().success_rate) == (0, None)


async def test_timeout_that_the_measured_code_raises_itself_is_a_failure() -> None:
    profile = LatencyProfile(clock=FakeClock())

    async def impatient() -> None:
        with anyio.fail_after(0):
            await anyio.sleep_forever()

    with pytest.raises(TimeoutError):
        await profile.measure(impatient())
    assert (profile.failures, profile.cancelled) == ({"TimeoutError": 1}, 0)


async def test_each_measurement_is_counted_once_wherever_it_is_cancelled() -> None:
    profiles: list[LatencyProfile] = []

    async def scenario() -> None:
        profile = LatencyProfile(clock=FakeClock())
        profiles.append(profile)
        await profile.measure(anyio.lowlevel.checkpoint())
        async with profile.timing():
            await anyio.lowlevel.checkpoint()

    async def check() -> None:
        profile = profiles[-1]
        assert profile.failed == 0
        assert profile.cancelled <= 1
        assert profile.succeeded <= 2
        assert 1 <= profile.succeeded + profile.cancelled <= 2

    await cancel_everywhere(scenario, check)
    assert {profile.cancelled for profile in profiles} == {0, 1}


# ---------------------------------------------------------------------- the time line


def filled(numbers: range, *, samples: int, seed: int, source: Any = None) -> LatencyProfile:
    """Return a profile that recorded a success of a millisecond at each of these seconds."""
    profile = LatencyProfile(clock=FakeClock(start=0.0), samples=samples, random=source or random.Random(seed).random)
    for number in numbers:
        profile.record(float(number), 0.001)
    return profile


def test_time_line_is_bounded_and_fair() -> None:
    profile = filled(range(10_000), samples=1_000, seed=1)
    starts = [sample.start for sample in profile.samples()]
    assert len(starts) == len(set(starts)) == 1_000
    tenths = [sum(start // 1_000 == tenth for start in starts) for tenth in range(10)]
    assert all(60 <= number <= 140 for number in tenths)  # 100 each, and four standard deviations
    assert profile.latency.count == 10_000


def test_rare_failures_are_not_crowded_out_by_successes() -> None:
    profile = filled(range(10_000), samples=10, seed=1)
    profile.record(5.0, 60.0, Broken())
    assert [sample for sample in profile.samples() if not sample.is_ok] == [Sample(5.0, 60.0, False)]
    assert len(profile.samples()) == 11


def test_highest_numbers_stay() -> None:
    drawn = iter((0.5, 0.1, 0.9, 0.2, 0.7))
    profile = filled(range(5), samples=2, seed=0, source=lambda: next(drawn))
    assert [sample.start for sample in profile.samples()] == [2.0, 4.0]


@pytest.mark.parametrize("samples", [0, -1])
def test_profile_without_samples_is_refused(samples: int) -> None:
    with pytest.raises(ValueError, match="one sample or more"):
        LatencyProfile(samples=samples)


# ---------------------------------------------------------------------- merging


def parts() -> list[LatencyProfile]:
    profiles = [filled(range(100), samples=50, seed=seed) for seed in (1, 2)]
    profiles.append(filled(range(10), samples=40, seed=3))
    for number, profile in zip(count(1), profiles, strict=False):
        profile.record(1.0, 60.0, Broken())
        profile.record(2.0, 60.0, [ValueError(), TimeoutError(), Broken()][number - 1])
        profile.cancelled += number
    return profiles


def shown(profile: LatencyProfile) -> dict[str, Any]:
    written = profile.to_dict()
    written["latency"].pop("total"), written["latency"].pop("squares")
    return written | {name: sorted(written[name]) for name in ("successes_drawn", "failures_drawn")}


def test_merging_is_associative_and_commutative() -> None:
    a, b, c = parts()
    a.merge(b)
    a.merge(c)
    x, y, z = parts()
    z.merge(y)
    z.merge(x)
    assert shown(a) == shown(z)
    assert (a.latency.count, a.failed, a.cancelled) == (210, 6, 6)
    assert a.failures == {"Broken": 4, "ValueError": 1, "TimeoutError": 1}
    assert len([sample for sample in a.samples() if sample.is_ok]) == 40  # as many as the smallest of them keeps
    a.record(0.0, 0.5)
    assert len([sample for sample in a.samples() if sample.is_ok]) == 40


def test_json_and_pickle_give_back_the_same() -> None:
    for profile in (LatencyProfile(), *parts()):
        again = LatencyProfile.from_dict(json.loads(json.dumps(profile.to_dict(), allow_nan=False)))
        assert shown(again) == shown(profile)
        assert (again.samples(), again.summary()) == (profile.samples(), profile.summary())


def test_worker_may_send_its_profile_by_pickle() -> None:
    profile = LatencyProfile()
    profile.record(0.0, 0.5)
    assert shown(pickle.loads(pickle.dumps(profile))) == shown(profile)


GOOD = parts()[0].to_dict()


@pytest.mark.parametrize(
    "changes",
    [
        {"version": 2},
        {"latency": {"version": 0}},
        {"latency": None},
        {"failures": {"Broken": -1}},
        {"failures": {"Broken": 1.5}},
        {"failures": [1]},
        {"cancelled": -1},
        {"cancelled": "1"},
        {"samples": 0},
        {"samples": None},
        {"successes_drawn": [[0.5, 1.0]]},
        {"successes_drawn": [[0.5, float("nan"), 1.0]]},
        {"failures_drawn": [[0.5, "1.0", 1.0]]},
        {"failures_drawn": None},
    ],
)
def test_from_dict_refuses_what_no_profile_writes(changes: dict[str, Any]) -> None:
    assert shown(LatencyProfile.from_dict(GOOD))["failures"] == GOOD["failures"]
    with pytest.raises(ValueError):
        LatencyProfile.from_dict(GOOD | changes)


def test_profile_prints_its_summary_and_what_went_wrong() -> None:
    profile = LatencyProfile(clock=FakeClock(start=0.0))
    profile.record(0.0, 0.0123)
    heading, line = str(profile).splitlines()
    assert (heading.split()[0], line.split()[:2], line.split()[-1]) == ("count", ["1", "12.3ms"], "100%")
    for error in (Broken(), ValueError(), Broken(), KeyboardInterrupt()):
        profile.record(0.0, 1.0, error)
    assert str(profile).splitlines()[2:] == ["failed: 2 Broken, 1 ValueError", "cancelled: 1"]
