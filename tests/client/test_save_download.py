"""Session.download: goes on where it broke off, if it is still the same file (HAZARDS DEC-07)."""

from __future__ import annotations

import hashlib
import os
import random
from collections.abc import Callable
from pathlib import Path

import pytest

import netio
from netio.client._download import Resume, validator_of
from netio.headers import Headers
from netio.wire import EngineName
from tests.client.answering import Answer, Asked, Fields, answering
from tests.client.conftest import Version
from tests.client.download_site import DATA, DATE, MODIFIED, TAG, Files, fetch, ranges

pytestmark = pytest.mark.anyio


@pytest.mark.parametrize("engine", ["fast", "reference"])
@pytest.mark.parametrize("marks", [[TAG], [MODIFIED, DATE]], ids=["etag", "date"])
async def test_a_download_cut_ten_times_at_random_places_is_the_whole_file(
    version: Version, engine: EngineName, marks: Fields, tmp_path: Path
) -> None:
    chance = random.Random(f"{version}{engine}{marks}")
    cuts: list[int | None] = [chance.randrange(1, len(DATA) // 11) for _ in range(10)]
    told: list[tuple[int, int | None]] = []
    async with answering(version, Files(marks=marks, cuts=cuts), engine=engine) as (house, site):
        response = await fetch(house.session, tmp_path / "file", progress=lambda got, total: told.append((got, total)))
        assert (response.status_code, response.is_closed) == (206, True)
        assert len(site.asked) == 11
        assert {asked.fields["accept-encoding"] for asked in site.asked} == {"identity"}
        assert [asked.fields.get("if-range") for asked in site.asked] == [None] + [marks[0][1]] * 10
        await house.settle()
        await house.assert_clean()
    assert hashlib.sha256((tmp_path / "file").read_bytes()).digest() == hashlib.sha256(DATA).digest()
    assert told[-1] == (len(DATA), len(DATA))
    assert [got for got, _ in told] == sorted({got for got, _ in told})
    assert os.listdir(tmp_path) == ["file"]


async def test_a_download_that_is_not_cut_is_one_request(version: Version, tmp_path: Path) -> None:
    async with answering(version, Files(marks=[TAG])) as (house, site):
        assert (await fetch(house.session, tmp_path / "file", durable=True)).headers["etag"] == '"one"'
        assert (ranges(site), (tmp_path / "file").read_bytes() == DATA) == ([None], True)
        await house.assert_clean(connections=1)


async def test_a_file_without_announced_length_is_resumed_too(version: Version, tmp_path: Path) -> None:
    files = Files(marks=[TAG], cuts=[200_000, 150_000])
    files.has_length = False
    async with answering(version, files) as (house, site):
        await fetch(house.session, tmp_path / "file")
        assert len(site.asked) == 3
    assert (tmp_path / "file").read_bytes() == DATA


OTHER = bytes(reversed(DATA))


@pytest.mark.parametrize("has_conditions", [True, False])
async def test_dec_07_a_file_that_has_changed_is_begun_again(
    version: Version, tmp_path: Path, has_conditions: bool
) -> None:
    """A server that does not know If-Range sends the rest of another file, and its ETag gives it away."""

    def change(files: Files, number: int) -> None:
        if number == 1:
            files.data, files.marks = OTHER, [("etag", '"two"')]

    files = Files(marks=[TAG], cuts=[300_000, None, 100_000])
    files.change, files.has_conditions = change, has_conditions
    async with answering(version, files) as (house, site):
        await fetch(house.session, tmp_path / "file")
        expected = [None, "bytes=300000-"]
        if not has_conditions:
            expected += [None, "bytes=100000-"]
        assert ranges(site) == expected
    assert (tmp_path / "file").read_bytes() == OTHER


@pytest.mark.parametrize(
    "marks",
    [
        [],
        [("etag", 'W/"weak"')],
        [("etag", "bare")],
        [MODIFIED],
        [MODIFIED, ("date", MODIFIED[1])],
        [MODIFIED, ("date", "yesterday")],
        [TAG, ("accept-ranges", "none")],
        [TAG, ("content-encoding", "unheard-of")],
    ],
    ids=str,
)
async def test_dec_07_a_file_without_a_strong_mark_of_its_state_is_begun_again(marks: Fields, tmp_path: Path) -> None:
    async with answering("HTTP/1.1", Files(marks=marks, cuts=[100, 200])) as (house, site):
        await fetch(house.session, tmp_path / "file")
        assert ranges(site) == [None, None, None]
    assert (tmp_path / "file").read_bytes() == DATA


async def test_a_server_without_ranges_is_asked_for_all_of_it_again(version: Version, tmp_path: Path) -> None:
    files = Files(marks=[TAG], cuts=[200_000])
    files.has_ranges = False
    async with answering(version, files) as (house, site):
        assert (await fetch(house.session, tmp_path / "file")).status_code == 200
        assert ranges(site) == [None, "bytes=200000-"]
    assert (tmp_path / "file").read_bytes() == DATA


def lying(first: str, **fields: str) -> Callable[[Asked], Answer]:
    """A server whose second answer is a 206 with fields of the test's choice."""
    numbers = iter(range(10))

    def handle(asked: Asked) -> Answer:
        if next(numbers) == 0:
            return Answer(200, [TAG], DATA, cut=1_000)
        more = [(name.replace("_", "-"), value) for name, value in fields.items()]
        return Answer(206, [TAG, *more], DATA[1_000:])

    return handle


END = len(DATA) - 1


@pytest.mark.parametrize(
    "fields",
    [
        {},
        {"content_range": f"bytes 0-{END}/{END + 1}"},
        {"content_range": f"bytes 999-{END}/{END + 1}"},
        {"content_range": f"bytes 1001-{END}/{END + 1}"},
        {"content_range": f"bytes 1000-{END + 1}/{END + 1}"},
        {"content_range": f"bytes 1000-{END - 1}/{END + 1}"},
        {"content_range": "bytes 1000-999/*"},
        {"content_range": f"items 1000-{END}/{END + 1}"},
        {"content_range": f"bytes */{END + 1}"},
        {"content_range": f"bytes 1000-{END}/{END + 1}", "content_encoding": "gzip"},
        {"content_type": "multipart/byteranges; boundary=x"},
    ],
    ids=str,
)
async def test_dec_07_a_part_that_is_not_the_one_asked_for_is_an_error(
    version: Version, fields: dict[str, str], tmp_path: Path
) -> None:
    async with answering(version, lying("", **fields)) as (house, site):
        with pytest.raises(netio.ProtocolError, match="the server sent"):
            await fetch(house.session, tmp_path / "file")
        assert len(site.asked) == 2
        await house.settle()
        await house.assert_clean()
    assert os.listdir(tmp_path) == []


async def test_dec_07_a_part_that_nobody_asked_for_is_an_error(version: Version, tmp_path: Path) -> None:
    answer = Answer(206, [("content-range", f"bytes 0-{END}/{END + 1}")], DATA)
    async with answering(version, lambda _: answer) as (house, _):
        with pytest.raises(netio.ProtocolError, match="not asked for"):
            await fetch(house.session, tmp_path / "file")
    assert os.listdir(tmp_path) == []


async def test_dec_07_a_total_that_changes_means_another_file(version: Version, tmp_path: Path) -> None:
    fields = {"content_range": f"bytes 1000-{END}/{END + 2}"}
    handle = lying("", **fields)
    asked_for: list[str | None] = []

    def honest_later(asked: Asked) -> Answer:
        asked_for.append(asked.fields.get("range"))
        return handle(asked) if len(asked_for) < 3 else Answer(200, [TAG], OTHER)

    async with answering(version, honest_later) as (house, _):
        await fetch(house.session, tmp_path / "file")
    assert asked_for == [None, "bytes=1000-", None]
    assert (tmp_path / "file").read_bytes() == OTHER


async def test_a_part_shorter_than_asked_for_is_followed_by_the_next(version: Version, tmp_path: Path) -> None:
    def handle(asked: Asked) -> Answer:
        wish = asked.fields.get("range")
        if wish is None:
            return Answer(200, [TAG], DATA, cut=150_000)
        first = int(wish[6:-1])
        last = min(first + 149_999, END)
        return Answer(206, [TAG, ("content-range", f"bytes {first}-{last}/{END + 1}")], DATA[first : last + 1])

    async with answering(version, handle) as (house, site):
        await fetch(house.session, tmp_path / "file")
        assert ranges(site) == [None, "bytes=150000-", "bytes=300000-", "bytes=450000-"]
    assert (tmp_path / "file").read_bytes() == DATA


@pytest.mark.parametrize("length", [len(DATA), len(DATA) + 1])
async def test_a_file_of_which_nothing_is_missing_is_complete_if_the_server_says_so(
    length: int, tmp_path: Path
) -> None:
    """The connection broke after the last byte of a body without announced length, so only the server can tell."""

    def handle(asked: Asked) -> Answer:
        if "range" in asked.fields:
            return Answer(416, [TAG, ("content-range", f"bytes */{length}")])
        if len(site.asked) == 1:
            framing = len(b"%x\r\n" % len(DATA))
            return Answer(200, [TAG], DATA, has_length=False, cut=len(DATA) + framing)
        return Answer(200, [TAG], OTHER)

    async with answering("HTTP/1.1", handle) as (house, site):
        await fetch(house.session, tmp_path / "file")
        assert ranges(site)[:2] == [None, f"bytes={len(DATA)}-"]
    assert (tmp_path / "file").read_bytes() == (DATA if length == len(DATA) else OTHER)


@pytest.mark.parametrize("status", [404, 500, 302, 304])
async def test_what_is_no_file_is_an_error_and_leaves_the_old_one(
    version: Version, status: int, tmp_path: Path
) -> None:
    (tmp_path / "file").write_bytes(b"old")
    async with answering(version, lambda _: Answer(status)) as (house, site):
        with pytest.raises(netio.StatusError) as caught:
            await fetch(house.session, tmp_path / "file")
        assert (caught.value.response.status_code, len(site.asked)) == (status, 1)
        await house.settle()
        await house.assert_clean()
    assert ((tmp_path / "file").read_bytes(), os.listdir(tmp_path)) == (b"old", ["file"])


async def test_a_first_request_that_fails_is_the_business_of_policies(version: Version, tmp_path: Path) -> None:
    async with answering(version, Files(marks=[TAG])) as (house, site):
        with pytest.raises(netio.ConnectError):
            await house.session.download("http://nobody.test/", tmp_path / "file")
        tries = 0

        async def again(request: netio.Request, send: netio.Send) -> netio.Response:
            nonlocal tries
            tries += 1
            return await send(request)

        await fetch(house.session, tmp_path / "file", policies=[again])
        assert (tries, len(site.asked)) == (1, 1)


# ---------------------------------------------------------------------- the rules alone


@pytest.mark.parametrize(
    ("fields", "validator"),
    [
        ([TAG], '"one"'),
        ([TAG, MODIFIED, DATE], '"one"'),
        ([("etag", '""')], '""'),
        ([("etag", 'W/"x"'), MODIFIED, DATE], None),
        ([("etag", '"')], None),
        ([MODIFIED, DATE], MODIFIED[1]),
        ([DATE], None),
        ([], None),
    ],
)
def test_what_if_range_may_say(fields: Fields, validator: str | None) -> None:
    assert validator_of(Headers(fields)) == validator


def test_nothing_is_asked_for_in_parts_before_there_is_something() -> None:
    resume = Resume()
    assert (resume.fields(0), resume.fields(10), resume.is_begun) == ({}, {}, False)
    request = netio.Request("GET", "http://peer.test/")
    answer = netio.Response(200, request=request, headers={"etag": '"x"', "content-length": "20"})
    assert (resume.judge(answer, 10), resume.is_begun, resume.total) == ("begin again", True, 20)
    assert (resume.fields(0), resume.fields(10)) == ({}, {"range": "bytes=10-", "if-range": '"x"'})
    assert (resume.is_complete(19), resume.is_complete(20)) == (False, True)
