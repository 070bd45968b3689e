"""The hazard report, and that no required row has lost its test."""

from __future__ import annotations

import pytest

from tests.hazards import (
    OUT_OF_SCOPE,
    REQUIRED,
    group_by_row,
    ids_in,
    names_of_tests,
    project_rows,
    project_tests,
    read_rows,
    report,
)


def area(row: str) -> str:
    return row.rpartition("-")[0]


@pytest.mark.parametrize("row", sorted(REQUIRED))
def test_required_row_has_a_test(row: str) -> None:
    assert project_tests().get(row, []) != []


def test_tests_required_and_left_out_rows_are_all_rows_of_the_catalogue() -> None:
    rows = project_rows()
    areas = {area(row) for row in rows}
    of_tests = {row for row in project_tests() if area(row) in areas}  # test_after_20_answers means no row AFTER-20
    assert (REQUIRED | OUT_OF_SCOPE.keys() | of_tests) - rows.keys() == set()


def test_a_row_out_of_scope_has_no_test() -> None:
    assert OUT_OF_SCOPE.keys() & (project_tests().keys() | REQUIRED) == set()


@pytest.mark.parametrize(
    ("name", "ids"),
    [
        ("test_h1_13_bytes_on_an_idle_connection", ["H1-13"]),
        ("test_pool_03_and_rt_01", ["POOL-03", "RT-01"]),
        ("test_cancelled_stream_is_reset_h2_28", ["H2-28"]),
        ("test_pool_031", []),
        ("test_pool_3", []),
        ("test_windows_01x", []),
        ("test_http_404", []),
    ],
)
def test_ids_are_found_in_a_name(name: str, ids: list[str]) -> None:
    assert ids_in(name) == ids


def test_functions_methods_and_coroutines_count_as_tests() -> None:
    source = "async def test_a(): ...\nclass TestB:\n    def test_b(self): ...\ndef helper(): ...\n"
    assert names_of_tests(source) == ["test_a", "test_b"]


def test_rows_come_from_the_list_and_then_from_the_catalogue() -> None:
    catalogue = (
        "| id | fault |\n|---|---|\n| H1-02 | **two** things |\n| H1-03 | third | x |\nSUP-01 pins · LOG-01 keys\n"
    )
    rows = read_rows("# a comment\nH1-02 two\n", catalogue)
    assert rows == {"H1-02": "two", "H1-03": "third", "SUP-01": "pins", "LOG-01": "keys"}


def test_the_report_shows_first_test_missing_tests_and_reasons() -> None:
    rows = {"H1-02": "two", "REQ-01": "one"} | dict.fromkeys(OUT_OF_SCOPE, "left out")
    tests = group_by_row(["def test_h1_02_first(): ...\ndef test_h1_02_second(): ...\n"])
    lines = report(rows, tests).splitlines()
    assert lines[0].split() == ["H1-02", "two", "2", "test_h1_02_first"]
    assert lines[1].split() == ["REQ-01", "one", "-", "no", "test,", "required"]
    assert "1 of 2 rows have a test. Out of scope:" in lines
    assert lines[-1].endswith(OUT_OF_SCOPE["WS-06"])
