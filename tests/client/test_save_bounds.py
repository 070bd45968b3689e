"""Session.download: how often, how long, how much; and what it leaves when it fails."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import anyio
import pytest
from anyio.to_thread import run_sync

import netio
from netio.testing import FakeClock, cancel_everywhere
from tests.client.answering import Answer, Asked, answering
from tests.client.conftest import Version
from tests.client.download_site import DATA, TAG, Files, fetch
from tests.client.test_save import no_threads_at_work, whole_or_not_there

pytestmark = pytest.mark.anyio


async def test_attempts_are_counted_and_those_that_bring_nothing_are_waited_for(tmp_path: Path) -> None:
    clock = FakeClock()
    files = Files(marks=[TAG], cuts=[1_000, 0, 0, 0, 0])
    async with answering("HTTP/1.1", files, clock=clock) as (house, site):
        caught: list[netio.RequestError] = []

        async def download() -> None:
            with pytest.raises(netio.IncompleteBody) as info:
                await house.session.download("/", tmp_path / "file", attempts=4)
            caught.append(info.value)

        async with anyio.create_task_group() as group:
            group.start_soon(download)
            for wait, asked in ((0.0, 2), (0.11, 3), (0.21, 4)):
                await clock.advance(wait)
                await house.settle()
                await no_threads_at_work()
                await house.settle()
                assert len(site.asked) == asked
        assert len(caught) == 1
    assert os.listdir(tmp_path) == []


async def test_a_server_that_never_sends_all_is_given_up(tmp_path: Path) -> None:
    def handle(asked: Asked) -> Answer:
        wish = asked.fields.get("range")
        if wish is None:
            return Answer(200, [TAG], DATA, cut=10)
        first = int(wish[6:-1])
        return Answer(206, [TAG, ("content-range", f"bytes {first}-{first}/*")], b"x")

    async with answering("HTTP/1.1", handle) as (house, site):
        with pytest.raises(netio.ConnectionLost, match=r"not complete after 20 requests \(attempts\)"):
            await fetch(house.session, tmp_path / "file")
        assert len(site.asked) == 20
    assert os.listdir(tmp_path) == []


async def test_a_timeout_is_for_all_of_the_download(tmp_path: Path) -> None:
    clock = FakeClock()

    def change(files: Files, number: int) -> None:
        clock._now += 4  # each answer takes four seconds

    files = Files(marks=[TAG], cuts=[100] * 10)
    files.change = change
    async with answering("HTTP/1.1", files, clock=clock) as (house, site):
        caught: list[BaseException] = []

        async def download() -> None:
            try:
                await house.session.download("/", tmp_path / "file", timeout=10)
            except netio.RequestError as error:
                caught.append(error)

        async with anyio.create_task_group() as group:
            group.start_soon(download)
            while not caught:
                await no_threads_at_work()
                await house.settle()
                await clock.advance(0.2)
        assert [type(error) for error in caught] == [netio.TotalTimeout]
        assert 2 <= len(site.asked) <= 4
    assert os.listdir(tmp_path) == []


async def test_max_body_holds_for_all_of_the_file(version: Version, tmp_path: Path) -> None:
    for has_length in (True, False):
        files = Files(marks=[TAG], cuts=[350_000])
        files.has_length = has_length
        async with answering(version, files) as (house, _):
            with pytest.raises(netio.BodyTooLarge):
                await fetch(house.session, tmp_path / "file", max_body=len(DATA) - 1)
            await house.settle()
            await house.assert_clean()
            await fetch(house.session, tmp_path / "file", max_body=len(DATA))
        (tmp_path / "file").unlink()
        assert os.listdir(tmp_path) == []


async def test_pool_10_what_the_progress_function_raises_comes_out(version: Version, tmp_path: Path) -> None:
    def progress(got: int, total: int | None) -> None:
        raise KeyError("mine")

    async with answering(version, Files(marks=[TAG])) as (house, site):
        with pytest.raises(KeyError, match="mine"):
            await fetch(house.session, tmp_path / "file", progress=progress)
        assert len(site.asked) == 1
        await house.settle()
        await house.assert_clean()
    assert os.listdir(tmp_path) == []


async def test_a_range_of_the_callers_own_is_refused(version: Version, tmp_path: Path) -> None:
    async with answering(version, Files(marks=[TAG])) as (house, site):
        for name in ("Range", "If-Range"):
            with pytest.raises(netio.InvalidRequest, match="netio's to send"):
                await fetch(house.session, tmp_path / "file", headers={name: "bytes=1-"})
        for attempts in (0, -1, 1.5, True):
            with pytest.raises(ValueError, match="attempts"):
                await fetch(house.session, tmp_path / "file", attempts=attempts)
        assert site.asked == []


async def test_pool_01_a_download_that_is_cancelled_anywhere_leaves_nothing_or_all(
    version: Version, tmp_path: Path
) -> None:
    path, short = tmp_path / "file", DATA[:50_000]
    async with answering(version, Files(marks=[TAG], data=short, cuts=[])) as (house, site):

        async def scenario() -> None:
            files: Any = site.handler
            files.number, files.cuts = 0, [20_000]
            await house.session.download("/", path)

        async def after() -> None:
            await house.settle()
            await no_threads_at_work()
            assert house.session.stats().active == 0
            await run_sync(whole_or_not_there, path, short)

        assert await cancel_everywhere(scenario, after) > 0
