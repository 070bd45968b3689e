"""The guards that every other test relies on: a hang, a logged error and a blocking call are failures."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.conftest import LOOPS, chosen_loops

pytest_plugins = ["pytester"]

PROJECT = Path(__file__).parent.parent
GUARDS = (PROJECT / "tests" / "conftest.py").read_text()


@pytest.fixture(autouse=True)
def one_loop(pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NETIO_TEST_LOOPS", "asyncio")
    monkeypatch.setenv("PYTHONPATH", str(PROJECT))
    pytester.makeconftest(GUARDS)
    pytester.makeini("[pytest]\ntimeout = 60")


def test_all_loops_are_chosen_where_none_is_named() -> None:
    assert chosen_loops("") == list(LOOPS)


def test_named_loops_are_chosen() -> None:
    assert chosen_loops("trio, asyncio") == ["trio", "asyncio"]


def test_unknown_loop_is_an_error() -> None:
    with pytest.raises(pytest.UsageError, match="not curio"):
        chosen_loops("asyncio,curio")


def test_hanging_test_fails_and_says_where(pytester: pytest.Pytester) -> None:
    pytester.makepyfile(
        """
        import anyio
        import pytest

        pytestmark = pytest.mark.anyio

        @pytest.mark.timeout(0.25)
        async def test_hangs():
            await anyio.sleep_forever()

        @pytest.mark.timeout(60)
        async def test_does_not_hang():
            await anyio.sleep(0)
        """
    )
    result = pytester.runpytest_subprocess("-p", "no:timeout")  # which would end the run as a whole
    result.assert_outcomes(failed=1, passed=1)
    result.stdout.fnmatch_lines(["*the test hangs; after 0.2 s*", "*await anyio.sleep_forever()*"])


def test_logged_error_fails_the_test_that_caused_it(pytester: pytest.Pytester) -> None:
    pytester.makepyfile(
        """
        import logging

        def test_logs_an_error():
            logging.getLogger("netio.pool").error("lost %s", "something")

        def test_logs_a_warning():
            logging.getLogger("netio.pool").warning("slow")
        """
    )
    result = pytester.runpytest_subprocess()
    result.assert_outcomes(errors=1, passed=2)
    result.stdout.fnmatch_lines(["*netio.pool: lost something*"])


def test_blocking_call_below_netio_is_an_error(pytester: pytest.Pytester) -> None:
    pytester.makepyfile(
        """
        import time
        import blockbuster
        import pytest
        from netio.url import Origin

        class Sleepy(str):
            def __eq__(self, other):
                time.sleep(0.001)

        @pytest.mark.anyio
        async def test_blocks():
            with pytest.raises(blockbuster.BlockingError):
                Origin(Sleepy(), "", 80).is_tls

        def test_may_block_without_a_loop():
            assert not Origin(Sleepy(), "", 80).is_tls
        """
    )
    pytester.runpytest_subprocess().assert_outcomes(passed=2)
