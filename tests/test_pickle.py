"""What netio stores (cookies, profiles) is JSON: reading it runs no code."""

from __future__ import annotations

from pathlib import Path

from tests.layers import read_imports

PROJECT = Path(__file__).parents[1]
RUN_CODE_WHEN_READ = {"cloudpickle", "dill", "joblib", "marshal", "pickle", "shelve"}


def test_pickle_01_netio_imports_nothing_that_runs_code_when_it_reads() -> None:
    paths = sorted((PROJECT / "netio").rglob("*.py"))
    rows = [row for path in paths for row in read_imports(path.relative_to(PROJECT).as_posix(), path.read_text())]
    assert len(rows) > 1_000
    assert [f"{row.path}:{row.line}" for row in rows if row.module.partition(".")[0] in RUN_CODE_WHEN_READ] == []
